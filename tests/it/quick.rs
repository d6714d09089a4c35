//! Quick changes: in memory until something writes them to disk; a crash undoes only them.

use std::time::Duration;

use sessile::{Durability, Store};

use crate::support::{DAY, OnDisk, SECOND, n_of, saved};

fn quick_of(store: &Store, token: &sessile::Token) -> Option<u64> {
    store.session(Some(token)).unwrap().get("quick").unwrap()
}

/// A saved session, with a quick change.
fn with_quick(disk: &OnDisk) -> (sessile::Session, sessile::Token) {
    let (session, token) = saved(&disk.store, 1);
    session.insert_quick("quick", 7_u64).unwrap();
    session.save().wait().unwrap();
    (session, token)
}

#[test]
fn g2_a_crash_undoes_quick_changes_and_nothing_else() {
    let disk = OnDisk::new();
    let (session, token) = with_quick(&disk);
    session.remove_quick("n").unwrap();
    session.save().wait().unwrap();
    assert_eq!((n_of(&disk.store, &token), quick_of(&disk.store, &token)), (None, Some(7)));
    let (_dir, crashed) = disk.after_crash();
    assert_eq!((n_of(&crashed, &token), quick_of(&crashed, &token)), (Some(1), None));
}

#[test]
fn a_quick_change_writes_nothing() {
    let disk = OnDisk::new();
    let (session, _) = saved(&disk.store, 1);
    let syncs = disk.store.stats().syncs;
    for n in 0..100_u64 {
        session.insert_quick("quick", n).unwrap();
        session.save().wait().unwrap();
    }
    // Behind everything that is queued.
    let (other, _) = saved(&disk.store, 2);
    assert_eq!(disk.store.stats().syncs, syncs + 1);
    drop(other);
}

#[test]
fn g1_the_next_change_carries_quick_ones() {
    let disk = OnDisk::new();
    let (_, token) = with_quick(&disk);
    let other = disk.store.session(Some(&token)).unwrap();
    other.insert("n", 2_u64).unwrap();
    other.save().wait().unwrap();
    let (_dir, crashed) = disk.after_crash();
    assert_eq!((n_of(&crashed, &token), quick_of(&crashed, &token)), (Some(2), Some(7)));
}

#[test]
fn g1_rotation_carries_quick_changes() {
    let disk = OnDisk::new();
    let (session, _) = with_quick(&disk);
    session.rotate();
    session.save().wait().unwrap();
    assert_eq!(quick_of(&disk.after_crash().1, &session.token().unwrap()), Some(7));
}

#[test]
fn g1_in_one_commit_with_another_change_nothing_is_quick() {
    let disk = OnDisk::new();
    let (session, token) = saved(&disk.store, 1);
    session.insert_quick("quick", 7_u64).unwrap();
    session.insert("n", 2_u64).unwrap();
    session.save().wait().unwrap();
    let (_dir, crashed) = disk.after_crash();
    assert_eq!((n_of(&crashed, &token), quick_of(&crashed, &token)), (Some(2), Some(7)));
}

#[test]
fn g1_a_flush_carries_quick_changes() {
    let disk = OnDisk::new();
    let (_, token) = with_quick(&disk);
    disk.store.flush().wait().unwrap();
    assert_eq!(quick_of(&disk.after_crash().1, &token), Some(7));
}

#[test]
fn g1_a_clean_close_carries_quick_changes_and_sessions() {
    let mut disk = OnDisk::new();
    let (_, token) = with_quick(&disk);
    let fresh = disk.store.session(None).unwrap();
    fresh.insert_quick("quick", 8_u64).unwrap();
    fresh.save().wait().unwrap();
    let fresh_token = fresh.token().unwrap();
    drop(fresh);
    disk.reopen();
    assert_eq!(quick_of(&disk.store, &token), Some(7));
    assert_eq!(quick_of(&disk.store, &fresh_token), Some(8));
}

#[test]
fn g1_dropping_the_last_clone_carries_quick_changes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sessions.redb");
    let store = Store::open(&path).unwrap();
    let session = store.session(None).unwrap();
    session.insert_quick("quick", 7_u64).unwrap();
    session.save().wait().unwrap();
    let token = session.token().unwrap();
    drop((store, session));
    assert_eq!(quick_of(&Store::open(&path).unwrap(), &token), Some(7));
}

#[test]
fn a_quick_commit_after_the_close_is_an_error() {
    let disk = OnDisk::new();
    let (session, _) = saved(&disk.store, 1);
    disk.store.close().unwrap();
    session.insert_quick("quick", 7_u64).unwrap();
    assert!(matches!(session.save().wait(), Err(sessile::Error::Closed)));
}

#[test]
fn g5_eviction_carries_quick_changes() {
    // A sixty-fourth of it, for each shard, has room for one or two.
    let disk = OnDisk::with(|builder| builder.memory_budget(64 << 10));
    let tokens: Vec<_> = (0..400)
        .map(|n| {
            let session = disk.store.session(None).unwrap();
            session.insert_quick("quick", n).unwrap();
            session.save().wait().unwrap();
            session.token().unwrap()
        })
        .collect();
    disk.store.flush().wait().unwrap();
    for (n, token) in tokens.iter().enumerate() {
        assert_eq!(quick_of(&disk.store, token), Some(n as u64));
    }
    let stats = disk.store.stats();
    assert!(stats.memory_bytes <= stats.memory_budget_bytes, "{stats:?}");
    assert!(stats.evictions > 200, "{stats:?}");
}

#[test]
fn g5_quick_changes_do_not_grow_memory_beyond_its_budget() {
    let disk = OnDisk::with(|builder| builder.memory_budget(64 << 10).durability(Durability::Quick));
    for n in 0..2000 {
        saved(&disk.store, n);
    }
    disk.store.flush().wait().unwrap();
    // The last of each shard leave once they are durable, which the flush waited for.
    let stats = disk.store.stats();
    assert!(stats.memory_bytes <= stats.memory_budget_bytes, "{stats:?}");
    assert_eq!(stats.disk_sessions, 2000);
}

#[test]
fn g3_a_quick_session_that_ended_stays_ended() {
    let mut disk = OnDisk::new();
    let (session, token) = with_quick(&disk);
    session.destroy();
    session.save().wait().unwrap();
    assert_eq!(n_of(&disk.store, &token), None);
    disk.reopen();
    assert_eq!(n_of(&disk.store, &token), None);
    assert_eq!(disk.store.stats().disk_sessions, 0);
}

#[test]
fn the_class_of_a_store_a_request_or_a_commit_can_be_quick() {
    let quick_store = OnDisk::with(|builder| builder.durability(Durability::Quick));
    let (session, token) = saved(&quick_store.store, 1);
    assert_eq!(n_of(&quick_store.after_crash().1, &token), None);
    session.save_with(Durability::Durable).wait().unwrap();
    session.insert("n", 2_u64).unwrap();
    session.save_with(Durability::Durable).wait().unwrap();
    assert_eq!(n_of(&quick_store.after_crash().1, &token), Some(2));

    let durable_store = OnDisk::new();
    let (session, token) = saved(&durable_store.store, 1);
    session.insert("n", 2_u64).unwrap();
    session.save_with(Durability::Quick).wait().unwrap();
    session.set_durability(Durability::Quick);
    session.insert("m", 2_u64).unwrap();
    session.save().wait().unwrap();
    assert_eq!(n_of(&durable_store.store, &token), Some(2));
    assert_eq!(durable_store.after_crash().1.session(Some(&token)).unwrap().keys(), ["n"]);
    assert_eq!(n_of(&durable_store.after_crash().1, &token), Some(1));
}

#[test]
fn an_owner_is_not_quick() {
    let disk = OnDisk::with(|builder| builder.durability(Durability::Quick));
    let (session, token) = saved(&disk.store, 1);
    session.sign_in("ada").unwrap();
    session.save().wait().unwrap();
    assert_eq!(disk.store.sessions_of("ada").unwrap().len(), 1, "the list knows at once");
    let (_dir, crashed) = disk.after_crash();
    assert_eq!(crashed.sessions_of("ada").unwrap().len(), 1);
    assert_eq!((n_of(&crashed, &session.token().unwrap()), n_of(&crashed, &token)), (Some(1), None));
}

#[test]
fn quick_changes_do_not_put_off_the_touch() {
    let disk = OnDisk::with(|builder| builder.flush_interval(Duration::from_millis(1)));
    let (session, token) = saved(&disk.store, 1);
    for _ in 0..10 {
        disk.clock.advance(DAY / 4);
        let session = disk.store.session(Some(&token)).unwrap();
        session.insert_quick("quick", 7_u64).unwrap();
        session.save().wait().unwrap();
    }
    disk.store.flush().wait().unwrap();
    let (_dir, crashed) = disk.after_crash();
    let session_info = |store: &Store| store.session(Some(&token)).unwrap().last_seen().unwrap();
    let (here, there) = (disk.store.session(Some(&token)).unwrap().last_seen().unwrap(), session_info(&crashed));
    assert!(there >= here.checked_sub(DAY).unwrap(), "{there:?} is long before {here:?}");
    assert!(there > session.created().unwrap() + DAY);
}

#[test]
fn the_last_use_survives_a_clean_close_and_an_eviction() {
    for budget in [64 << 20, 0] {
        let mut disk = OnDisk::with(|builder| builder.memory_budget(budget));
        let (session, token) = saved(&disk.store, 1);
        disk.store.flush().wait().unwrap();
        disk.clock.advance(3600 * SECOND);
        let commits = disk.store.stats().commits;
        assert_eq!(n_of(&disk.store, &token), Some(1));
        assert_eq!(disk.store.stats().commits, commits, "a read is no commit");
        disk.reopen();
        let again = disk.store.session(Some(&token)).unwrap();
        assert_eq!(again.last_seen(), session.created().map(|created| created + 3600 * SECOND), "budget {budget}");
    }
}

#[test]
fn a_use_within_a_minute_of_the_last_one_is_not_worth_a_write() {
    let disk = OnDisk::with(|builder| builder.memory_budget(0));
    let (_, token) = saved(&disk.store, 1);
    disk.store.flush().wait().unwrap();
    let syncs = disk.store.stats().syncs;
    disk.clock.advance(59 * SECOND);
    for _ in 0..100 {
        assert_eq!(n_of(&disk.store, &token), Some(1));
    }
    let (_other, _) = saved(&disk.store, 2);
    assert_eq!(disk.store.stats().syncs, syncs + 1);
}
