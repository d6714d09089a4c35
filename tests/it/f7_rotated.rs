//! Tokens that are replaced while the disk is full: the old one is refused permanently, even after a logout that takes the
//! disk's last room.

use sessile::{Durability, Session, Store, testing::ManualClock};
use sessile_fault_disk::FaultDisk;

use crate::{
    failures::{assert_transient, heal},
    support::{SECOND, n_of, saved},
};

/// A store that writes commits without a waiter only together with commits that have one.
fn open(disk: &FaultDisk, clock: &ManualClock) -> Store {
    let builder = Store::builder().clock(clock.clone()).journal_bytes(192 << 10).memory_budget(0);
    builder.flush_interval(3600 * SECOND).open_on(disk).unwrap()
}

#[test]
fn f7_a_logout_after_a_rotate_that_did_not_fit_leaves_the_old_token_nowhere() {
    let rotations: [fn(&Session); 3] = [Session::rotate, Session::rotate_with_grace, |session| session.sign_in("ada").unwrap()];
    for (nth, rotate) in rotations.into_iter().enumerate() {
        let (disk, clock) = (FaultDisk::new(0), ManualClock::default());
        let store = open(&disk, &clock);
        let (session, old) = saved(&store, 1);
        let kept = saved(&store, 2).1;
        store.sweep().wait().unwrap();
        disk.set_capacity(Some(disk.used_bytes()));
        // One batch: commits that fill the journal, followed by the new token.
        for _ in 0..200 {
            let other = store.session(None).unwrap();
            other.insert("long", "x".repeat(2000)).unwrap();
            other.save_with(Durability::Relaxed).wait().unwrap();
        }
        rotate(&session);
        assert_transient(&session.save().wait().unwrap_err());
        let new = session.token().unwrap();
        assert!(new != old && n_of(&store, &new) == Some(1), "{nth}: it is in memory");
        let before = disk.crash(1);
        before.heal();
        let found = open(&before, &clock);
        assert_eq!((n_of(&found, &old), n_of(&found, &new)), (Some(1), None), "{nth}: the disk has the old token alone");

        session.destroy();
        session.save().wait().expect("logging out works on a full disk");
        for seed in 0..5 {
            let crashed = disk.crash(seed);
            crashed.heal();
            for _ in 0..2 {
                let found = open(&crashed, &clock);
                assert_eq!((n_of(&found, &old), n_of(&found, &new)), (None, None), "{nth}");
                assert_eq!(n_of(&found, &kept), Some(2));
                found.close().unwrap();
            }
        }
        heal(&disk, &store);
        let found = open(&disk.crash(9), &clock);
        assert_eq!((n_of(&found, &old), n_of(&found, &new)), (None, None), "{nth}: nor when there is room again");
    }
}
