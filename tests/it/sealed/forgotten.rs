//! What a store may have forgotten: because it was restored from a backup, crashed before the disk had it, or had a wrong
//! clock. Sessions that were sealed before must not benefit.

use std::time::Duration;

use axum::{Router, routing::get};
use redb::{Database, ReadableTable, TableDefinition};
use sessile::{Store, testing::ManualClock};
use sessile_fault_disk::FaultDisk;

use super::{app, body, visit};
use crate::support::{DAY, OnDisk, SECOND, ask_with};

fn open(disk: &FaultDisk, clock: &ManualClock) -> Store {
    Store::builder().clock(clock.clone()).open_on(disk).unwrap()
}

async fn is_there(app: &Router, cookie: &str) -> bool {
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
    // This begins a new epoch, which the backup does not know.
    store.destroy_sessions_of("bob").wait().unwrap();
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

    // One that knows nothing of sealing either, from before a layer was built.
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
        let unheard = store.destroy_sessions_of("bob");
        let ada = visit(&app, "/login", "").await;
        let crashed = disk.crash(seed);
        disk.heal();
        drop(unheard);
        crashed.heal();
        let store = open(&crashed, &clock);
        let app = self::app(&store);
        assert!(is_there(&app, &ada).await);
        clock.advance(SECOND);
        store.destroy_sessions_of("ada").wait().unwrap();
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

#[tokio::test]
async fn g1_an_acknowledged_end_of_a_sealed_session_outlasts_a_power_cut() {
    for seed in 0..8 {
        let (disk, clock) = (FaultDisk::new(seed), ManualClock::default());
        let store = open(&disk, &clock);
        let app = app(&store);
        let [here, everywhere] = [visit(&app, "/set/7", "").await, visit(&app, "/login", "").await];
        let other = visit(&app, "/set/8", "").await;
        visit(&app, "/logout", &here).await;
        store.destroy_sessions_of("ada").wait().unwrap();
        let app = self::app(&open(&disk.crash(seed), &clock));
        assert!(!is_there(&app, &here).await && !is_there(&app, &everywhere).await && is_there(&app, &other).await);
        store.revoke_sealed().wait().unwrap();
        let app = self::app(&open(&disk.crash(seed), &clock));
        assert!(!is_there(&app, &other).await);
    }
}

#[tokio::test]
async fn g1_a_power_cut_right_after_a_session_moved_into_the_store_brings_its_cookie_not_back() {
    // Because it outgrew the cookie, which has a grace, and with a new owner, which has none. At once, and again later.
    for (path, has_grace) in [("/grow/5000", true), ("/login_and_grow", false)] {
        for seed in 0..16 {
            let (disk, clock) = (FaultDisk::new(seed), ManualClock::default());
            let store = open(&disk, &clock);
            let login_and_grow = async |session: sessile::Session| {
                session.sign_in("ada").unwrap();
                session.insert("big", "x".repeat(5000)).unwrap();
            };
            let layer = super::layer(&store);
            let moving = Router::new().route("/login_and_grow", get(login_and_grow)).layer(layer);
            let sealed = visit(&app(&store), "/set/7", "").await;
            let stored = visit(&app(&store).merge(moving), path, &sealed).await;
            let crashed = disk.crash(seed);
            // Twice, so that what the first recovery wrote is read as well.
            for _ in 0..2 {
                let store = open(&crashed, &clock);
                let app = app(&store);
                assert_eq!(body(&app, &stored).await, "7", "it moved, and that was acknowledged: seed {seed}");
                assert_eq!(body(&app, &sealed).await == "7", has_grace, "{path}, seed {seed}");
                store.close().unwrap();
            }
            clock.advance(10 * SECOND);
            let store = open(&crashed, &clock);
            assert_eq!(body(&app(&store), &sealed).await, "none", "{path}, seed {seed}");
            assert_eq!(body(&app(&store), &stored).await, "7");
        }
    }
}

#[tokio::test]
async fn a_damaged_revocation_stays_until_an_epoch_stands_for_it() {
    const RECORDS: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("records");
    let mut disk = OnDisk::new();
    let app = app(&disk.store);
    let [ended, other] = [visit(&app, "/set/7", "").await, visit(&app, "/set/8", "").await];
    visit(&app, "/logout", &ended).await;
    disk.store.close().unwrap();
    {
        let file = Database::open(disk.dir.path().join("sessions.redb")).unwrap();
        let mut txn = file.begin_write().unwrap();
        txn.set_quick_repair(true);
        let mut records = txn.open_table(RECORDS).unwrap();
        let all: Vec<_> = records
            .iter()
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|(key, value)| (*key.value(), value.value().to_vec()))
            .collect();
        assert_eq!(all.len(), 2, "the epoch and one session");
        for (key, mut value) in all {
            *value.last_mut().unwrap() ^= 1;
            records.insert(&key, value.as_slice()).unwrap();
        }
        drop(records);
        txn.commit().unwrap();
    }
    disk.clock.advance(SECOND);
    for _ in 0..2 {
        disk.reopen();
        disk.store.sweep().wait().unwrap();
        assert_eq!(disk.store.stats().quarantined, 0, "or a crash before the epoch is on disk would forget it");
        let app = self::app(&disk.store);
        assert!(!is_there(&app, &ended).await && !is_there(&app, &other).await);
        assert!(is_there(&app, &visit(&app, "/set/9", "").await).await);
    }
}

/// Commits until the disk refuses.
#[track_caller]
fn fill(disk: &FaultDisk, store: &Store) {
    store.sweep().wait().unwrap();
    disk.set_capacity(Some(disk.used_bytes()));
    for _ in 0..1000 {
        let session = store.session(None).unwrap();
        session.insert("long", "x".repeat(2000)).unwrap();
        if session.save().wait().is_err() {
            return;
        }
    }
    panic!("the disk does not fill up");
}

#[tokio::test]
async fn f7_a_full_disk_takes_logouts_of_sealed_sessions_and_they_outlast_a_crash() {
    let disk = FaultDisk::new(0);
    let store = Store::builder().journal_bytes(192 << 10).memory_budget(0).open_on(&disk).unwrap();
    let app = app(&store);
    let stored = visit(&app, "/grow/5000", &visit(&app, "/login", "").await).await;
    let everywhere = visit(&app, "/login", "").await;
    let mut here = Vec::new();
    for n in 0..8 {
        here.push(visit(&app, &format!("/set/{n}"), "").await);
    }
    fill(&disk, &store);
    for cookie in &here {
        visit(&app, "/logout", cookie).await;
    }
    assert_eq!(store.destroy_sessions_of("ada").wait().unwrap(), 1);
    let crashed = disk.crash(1);
    crashed.heal();
    disk.heal();
    let app = self::app(&Store::builder().open_on(&crashed).unwrap());
    for cookie in here.iter().chain([&stored, &everywhere]) {
        assert!(!is_there(&app, cookie).await);
    }
}
