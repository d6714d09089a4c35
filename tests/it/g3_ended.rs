//! G3: a destroyed or expired session is never served again.

use std::time::Duration;

use sessile::{Error, Store, testing::ManualClock};

use crate::support::{DAY, OnDisk, SECOND, n_of, saved};

#[test]
fn g3_late_commit_does_not_revive_a_destroyed_session() {
    let mut disk = OnDisk::new();
    let (_, token) = saved(&disk.store, 1);
    let slow = disk.store.session(Some(&token)).unwrap();
    let logout = disk.store.session(Some(&token)).unwrap();
    logout.destroy();
    logout.save().wait().unwrap();
    slow.insert("n", 2_u64).unwrap();
    assert!(matches!(slow.save().wait(), Err(Error::SessionEnded)));
    assert_eq!(slow.token(), None, "the late commit stored nothing");
    assert_eq!(n_of(&disk.store, &token), None);
    assert_eq!(disk.store.stats().dropped_commits, 1);
    disk.reopen();
    assert_eq!(n_of(&disk.store, &token), None);
    assert_eq!(disk.store.stats().disk_sessions, 0);
}

#[test]
fn g3_a_commit_in_flight_does_not_outlive_the_end() {
    let mut disk = OnDisk::new();
    let (session, token) = saved(&disk.store, 1);
    for n in 2..200_u64 {
        session.insert("n", n).unwrap();
        drop(session.save());
    }
    let logout = disk.store.session(Some(&token)).unwrap();
    logout.destroy();
    drop(logout.save());
    assert_eq!(n_of(&disk.store, &token), None, "the end is effective before it is durable");
    disk.reopen();
    assert_eq!(n_of(&disk.store, &token), None);
}

#[test]
fn g3_destroy_while_others_write() {
    for _ in 0..20 {
        let disk = OnDisk::new();
        let (_, token) = saved(&disk.store, 0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let session = disk.store.session(Some(&token)).unwrap();
                        if session.token().is_some() {
                            session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1).unwrap();
                            drop(session.save());
                        }
                    }
                });
            }
            scope.spawn(|| {
                let session = disk.store.session(Some(&token)).unwrap();
                session.destroy();
                session.save().wait().unwrap();
                assert_eq!(n_of(&disk.store, &token), None);
            });
        });
        assert_eq!(n_of(&disk.store, &token), None);
        disk.store.flush().wait().unwrap();
        assert_eq!(disk.store.stats().disk_sessions, 0);
    }
}

#[test]
fn g3_the_old_token_finds_nothing_after_a_rotation() {
    let mut disk = OnDisk::new();
    let (session, old) = saved(&disk.store, 1);
    let late = disk.store.session(Some(&old)).unwrap();
    session.rotate();
    session.save().wait().unwrap();
    let new = session.token().unwrap();
    assert_ne!(old, new);
    late.insert("n", 9_u64).unwrap();
    assert!(matches!(late.save().wait(), Err(Error::SessionEnded)));
    for _ in 0..2 {
        assert_eq!(n_of(&disk.store, &old), None);
        assert_eq!(n_of(&disk.store, &new), Some(1));
        disk.reopen();
    }
}

fn timed(clock: &ManualClock) -> Store {
    let builder = Store::builder().clock(clock.clone()).idle_timeout(100 * SECOND).absolute_timeout(250 * SECOND);
    builder.open_in_memory().unwrap()
}

#[test]
fn g3_a_session_ends_at_its_idle_deadline_to_the_millisecond() {
    for (wait, alive) in [(99_999, true), (100_000, false), (100_001, false)] {
        let clock = ManualClock::default();
        let store = timed(&clock);
        let (_, token) = saved(&store, 1);
        clock.advance(Duration::from_millis(wait));
        assert_eq!(n_of(&store, &token).is_some(), alive, "{wait} ms");
        assert_eq!(n_of(&store, &token).is_some(), alive, "asking revives nothing");
    }
}

#[test]
fn g3_use_moves_the_idle_deadline_and_not_the_absolute_one() {
    let clock = ManualClock::default();
    let store = timed(&clock);
    let (_, token) = saved(&store, 1);
    for _ in 0..4 {
        clock.advance(60 * SECOND);
        assert_eq!(n_of(&store, &token), Some(1));
    }
    clock.advance(9 * SECOND);
    assert_eq!(n_of(&store, &token), Some(1));
    clock.advance(SECOND);
    assert_eq!(n_of(&store, &token), None, "250 s are over");
}

#[test]
fn g3_expired_sessions_are_not_served_from_the_file() {
    for (wait, alive) in [((7 * DAY).checked_sub(SECOND).unwrap(), true), (7 * DAY, false)] {
        let mut disk = OnDisk::new();
        let (_, token) = saved(&disk.store, 1);
        disk.clock.advance(wait);
        disk.reopen();
        assert_eq!(n_of(&disk.store, &token).is_some(), alive, "{wait:?}");
        assert_eq!(disk.store.stats().disk_sessions, 1, "there was no sweep yet");
    }
}

#[test]
fn g3_a_commit_onto_an_expired_session_is_dropped() {
    let disk = OnDisk::new();
    let (session, token) = saved(&disk.store, 1);
    disk.clock.advance(7 * DAY);
    session.insert("n", 2_u64).unwrap();
    assert!(matches!(session.save().wait(), Err(Error::SessionEnded)));
    assert_eq!(n_of(&disk.store, &token), None);
    assert_eq!(disk.store.stats().dropped_commits, 1);
}

#[test]
fn the_sweeper_deletes_what_is_expired_and_nothing_else() {
    let disk = OnDisk::new();
    let old: Vec<_> = (0..1200).map(|n| saved_soon(&disk.store, n)).collect();
    disk.clock.advance(5 * DAY);
    let used = &old[..10];
    for token in used {
        // A use that is only in memory: it keeps the session alive, and is too soon after the recorded one to be written.
        assert!(n_of(&disk.store, token).is_some());
    }
    let young = saved(&disk.store, 1).1;
    disk.clock.advance(2 * DAY);
    disk.store.sweep().wait().unwrap();
    assert_eq!(disk.store.stats().disk_sessions, 11);
    assert_eq!(disk.store.stats().swept, 1190);
    for token in used.iter().chain([&young]) {
        assert!(n_of(&disk.store, token).is_some());
    }
    disk.clock.advance(8 * DAY);
    disk.store.sweep().wait().unwrap();
    assert_eq!(disk.store.stats().disk_sessions, 0);
}

/// A session that is durable some time later.
fn saved_soon(store: &Store, n: u64) -> sessile::Token {
    let session = store.session(None).unwrap();
    session.insert("n", n).unwrap();
    drop(session.save());
    session.token().unwrap()
}

#[test]
fn a_touch_is_written_after_a_tenth_of_the_idle_timeout() {
    let mut disk = OnDisk::new();
    let (_, token) = saved(&disk.store, 1);
    disk.clock.advance(DAY);
    let commits = disk.store.stats().commits;
    let session = disk.store.session(Some(&token)).unwrap();
    session.save().wait().unwrap();
    assert_eq!(disk.store.stats().commits, commits + 1);
    session.save().wait().unwrap();
    disk.store.session(Some(&token)).unwrap().save().wait().unwrap();
    assert_eq!(disk.store.stats().commits, commits + 1, "once is enough");
    disk.clock.advance(6 * DAY + 20 * 3600 * SECOND);
    disk.reopen();
    assert_eq!(n_of(&disk.store, &token), Some(1), "the file knows of the use");
}
