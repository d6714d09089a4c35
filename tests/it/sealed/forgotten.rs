//! What a store may have forgotten, because it was restored from a backup, because it crashed before the disk knew, or because a clock
//! was wrong: what was sealed before must not profit from it.

use std::time::Duration;

use sessile::{
    Store,
    testing::{FaultDisk, ManualClock},
};

use super::{app, body, visit};
use crate::support::{DAY, OnDisk, SECOND, ask_with};

fn open(disk: &FaultDisk, clock: &ManualClock) -> Store {
    Store::builder().clock(clock.clone()).open_on(disk).unwrap()
}

async fn is_there(app: &axum::Router, cookie: &str) -> bool {
    ask_with(app, "/is_there", cookie).await.body == "true"
}

#[tokio::test]
async fn a_restored_backup_believes_nothing_from_before_revoke_sealed() {
    let (disk, clock) = (FaultDisk::new(0), ManualClock::default());
    let store = open(&disk, &clock);
    let before_sealing = disk.copy();
    let app_of_old = app(&store);
    store.flush().wait().unwrap();
    let backup = disk.copy();
    clock.advance(SECOND);
    // It moves the epoch on, which the backup does not know.
    store.destroy_all("bob").wait().unwrap();
    let ada = visit(&app_of_old, "/login", "").await;
    visit(&app_of_old, "/logout", &ada).await;
    assert!(!is_there(&app_of_old, &ada).await);
    store.close().unwrap();
    clock.advance(SECOND);

    let restored = open(&backup, &clock);
    let app = app(&restored);
    assert!(is_there(&app, &ada).await, "a backup knows of no later logout");
    restored.revoke_sealed().wait().unwrap();
    assert!(!is_there(&app, &ada).await);
    assert!(is_there(&app, &visit(&app, "/login", "").await).await);

    // One that knows nothing of sealing either, where nobody has built a layer yet.
    for revokes in [true, false] {
        let restored = open(&before_sealing.copy(), &clock);
        if revokes {
            restored.revoke_sealed().wait().unwrap();
        }
        let app = self::app(&restored);
        assert!(!is_there(&app, &ada).await, "{revokes}");
        assert!(is_there(&app, &visit(&app, "/login", "").await).await);
    }
}

#[tokio::test]
async fn a_crash_that_forgets_an_epoch_lets_nobody_escape_the_next() {
    for seed in 0..8 {
        let (disk, clock) = (FaultDisk::new(seed), ManualClock::default());
        let store = open(&disk, &clock);
        let app = app(&store);
        store.flush().wait().unwrap();
        disk.stall_syncs();
        clock.advance(SECOND);
        let unheard = store.destroy_all("bob");
        let ada = visit(&app, "/login", "").await;
        let crashed = disk.crash(seed);
        disk.heal();
        drop(unheard);
        crashed.heal();
        let store = open(&crashed, &clock);
        let app = self::app(&store);
        assert!(is_there(&app, &ada).await);
        clock.advance(SECOND);
        store.destroy_all("ada").wait().unwrap();
        assert!(!is_there(&app, &ada).await, "seed {seed}");
    }
}

#[tokio::test]
async fn a_cookie_that_was_sealed_while_the_clock_was_ahead_does_not_outlive_its_revocation() {
    let disk = OnDisk::new();
    let app = app(&disk.store);
    let now = sessile::Clock::now(&disk.clock);
    disk.clock.set(now + 30 * DAY);
    let ahead = visit(&app, "/set/7", "").await;
    disk.clock.set(now);
    let right = visit(&app, "/set/8", &ahead).await;
    assert_eq!(body(&app, &right).await, "8");
    visit(&app, "/logout", &right).await;
    for days in [0, 8, 30] {
        disk.clock.advance(days * DAY + Duration::from_mins(11));
        disk.store.sweep().wait().unwrap();
        for cookie in [&ahead, &right] {
            assert_eq!(body(&app, cookie).await, "none", "after {days} days");
        }
    }
}
