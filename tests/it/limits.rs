//! Limits: the sessions of an owner, the sessions and bytes in a store, the keys in a session.

use std::{sync::mpsc, thread, time::Duration};

use sessile::{
    Durability, Error, OwnerLimit, Session, Store, Token,
    error::{Capacity, CodecError},
};

use crate::support::{OnDisk, SECOND, n_of, saved};

/// Returns a session of `owner`, or why it could not begin.
fn login(store: &Store, owner: &str, n: u64) -> Result<Token, Error> {
    let session = store.session(None).unwrap();
    session.insert("n", n).unwrap();
    session.sign_in(owner).unwrap();
    session.save().wait()?;
    Ok(session.token().unwrap())
}

#[test]
fn one_session_too_many_of_an_owner_is_refused() {
    let disk = OnDisk::with(|builder| builder.sessions_per_owner(2, OwnerLimit::Refuse));
    let tokens = [1, 2].map(|n| login(&disk.store, "ada", n).unwrap());
    let error = login(&disk.store, "ada", 3).unwrap_err();
    assert!(matches!(error, Error::OwnerLimit { found: 2, limit: 2 }), "{error:?}");
    login(&disk.store, "bob", 4).unwrap();
    // An existing session, too.
    let (anonymous, token) = saved(&disk.store, 5);
    anonymous.insert("user", "ada").unwrap();
    anonymous.sign_in("ada").unwrap();
    anonymous.rotate();
    assert!(matches!(anonymous.save().wait(), Err(Error::OwnerLimit { .. })));
    // Half a login would be worse than none: the rest of the commit is dropped, and the layer's commit does not store it
    // either.
    anonymous.save().wait().unwrap();
    assert_eq!(disk.store.session(Some(&token)).unwrap().keys(), ["n"]);
    // Existing ones continue, and may set the same owner again.
    for (n, token) in tokens.iter().enumerate() {
        let session = disk.store.session(Some(token)).unwrap();
        session.sign_in("ada").unwrap();
        session.rotate();
        session.save().wait().unwrap();
        assert_eq!(n_of(&disk.store, &session.token().unwrap()), Some(n as u64 + 1));
    }
    assert_eq!(disk.store.destroy_sessions_of("ada").wait().unwrap(), 2);
    login(&disk.store, "ada", 6).unwrap();
}

#[test]
fn the_session_unused_for_longest_makes_room_for_another() {
    let disk = OnDisk::with(|builder| builder.sessions_per_owner(2, OwnerLimit::EvictOldest).durability(Durability::Quick));
    let next = |n| {
        disk.clock.advance(SECOND);
        login(&disk.store, "ada", n).unwrap()
    };
    let (first, second) = (next(1), next(2));
    disk.clock.advance(SECOND);
    assert_eq!(n_of(&disk.store, &first), Some(1), "used last");
    let third = next(3);
    assert_eq!([first, second, third].map(|token| n_of(&disk.store, &token)), [Some(1), None, Some(3)]);
    assert_eq!(disk.store.sessions_of("ada").unwrap().len(), 2);
    assert_eq!(disk.store.stats().limited, 1);
    // Always durable.
    let (_dir, crashed) = disk.after_crash();
    assert_eq!(n_of(&crashed, &second), None);
    assert_eq!(crashed.sessions_of("ada").unwrap().len(), 2);
}

#[test]
fn logins_at_once_do_not_pass_the_limit() {
    for policy in [OwnerLimit::Refuse, OwnerLimit::EvictOldest] {
        let disk = OnDisk::with(|builder| builder.sessions_per_owner(3, policy).durability(Durability::Relaxed));
        thread::scope(|scope| {
            for thread in 0..8 {
                let store = &disk.store;
                scope.spawn(move || {
                    for n in 0..10 {
                        drop(login(store, "ada", thread * 10 + n));
                        let list = store.sessions_of("ada").unwrap();
                        assert!(list.len() <= 3, "{policy:?}: {} sessions", list.len());
                    }
                });
            }
        });
        assert_eq!(disk.store.sessions_of("ada").unwrap().len(), 3, "{policy:?}");
    }
}

fn is_full(result: &Result<(), Error>, capacity: Capacity) -> bool {
    matches!(result, Err(Error::StoreFull { capacity: found, .. }) if *found == capacity)
}

fn try_save(store: &Store, n: u64) -> Result<Session, Error> {
    let session = store.session(None).unwrap();
    session.insert("n", n).unwrap();
    session.save().wait().map(|()| session)
}

#[test]
fn a_full_store_ends_unused_sessions_without_an_owner_first() {
    let disk = OnDisk::with(|builder| builder.max_sessions(20));
    let owned: Vec<_> = (0..10).map(|n| login(&disk.store, &format!("user {n}"), n).unwrap()).collect();
    for n in 0..30 {
        try_save(&disk.store, n).unwrap();
    }
    assert_eq!(disk.store.stats().sessions, 18, "the last tenth is for sessions with an owner");
    for n in 10..20 {
        login(&disk.store, &format!("user {n}"), n).unwrap();
    }
    assert_eq!(disk.store.stats().sessions, 20);
    let stats = disk.store.stats();
    assert_eq!((stats.limited, stats.refused), (22 + 8, 0));
    for (n, token) in owned.iter().enumerate() {
        assert_eq!(n_of(&disk.store, token), Some(n as u64), "none with an owner was ended");
    }
    // No session is left that may be evicted.
    assert!(is_full(&login(&disk.store, "user 20", 20).map(drop), Capacity::Sessions));
    assert!(is_full(&try_save(&disk.store, 1).map(drop), Capacity::Sessions));
    assert_eq!(disk.store.stats().refused, 2);
    disk.store.destroy_sessions_of("user 3").wait().unwrap();
    login(&disk.store, "user 20", 20).unwrap();
    assert!(Error::StoreFull { capacity: Capacity::Sessions, found: 1, limit: 1 }.is_transient());
}

#[test]
fn what_is_counted_survives_restart_expiry_and_the_sweeper() {
    let mut disk = OnDisk::new();
    for n in 0..20 {
        saved(&disk.store, n);
    }
    let quick = disk.store.session(None).unwrap();
    quick.insert_quick("n", 1).unwrap();
    quick.save().wait().unwrap();
    assert_eq!(disk.store.stats().sessions, 21);
    drop(quick);
    disk.reopen();
    assert_eq!(disk.store.stats().sessions, 21);
    disk.clock.advance(8 * crate::support::DAY);
    let in_memory = disk.store.session(None).unwrap();
    in_memory.insert_quick("n", 1).unwrap();
    in_memory.save().wait().unwrap();
    disk.store.sweep().wait().unwrap();
    assert_eq!(disk.store.stats().sessions, 1);
    disk.clock.advance(8 * crate::support::DAY);
    let token = in_memory.token().unwrap();
    assert_eq!(n_of(&disk.store, &token), None);
    assert_eq!(disk.store.stats().sessions, 0, "the file never knew of it");
}

#[test]
fn a_session_that_ended_before_its_first_write_is_not_counted_after_a_kill() {
    let disk = OnDisk::new();
    let quick = disk.store.session(None).unwrap();
    quick.insert_quick("n", 1).unwrap();
    quick.save().wait().unwrap();
    quick.destroy();
    quick.save().wait().unwrap();
    let (_directory, store) = disk.after_crash();
    // What the journal assumed of the file is compared with the file before the first sweep.
    store.sweep().wait().unwrap();
    assert_eq!((store.stats().sessions, store.stats().disk_sessions), (0, 0));
}

#[test]
fn a_full_file_takes_new_sessions_only_for_ended_ones() {
    let disk = OnDisk::with(|builder| builder.max_disk_bytes(4 << 20).journal_bytes(192 << 10).memory_budget(64 << 10));
    let fill = |n: u64, owner: bool| {
        let session = disk.store.session(None).unwrap();
        session.insert("n", n).unwrap();
        session.insert("filler", "x".repeat(4000)).unwrap();
        if owner {
            session.sign_in(format!("user {n}")).unwrap();
        }
        session.save().wait().map(|()| session)
    };
    let mut owned = Vec::new();
    let error = loop {
        match fill(owned.len() as u64, true) {
            Ok(session) => owned.push(session),
            Err(error) => break error,
        }
        assert!(owned.len() < 5000, "nothing stops it");
    };
    assert!(is_full(&Err(error), Capacity::DiskBytes));
    assert!(owned.len() > 50);
    for session in &owned[..10] {
        session.destroy();
        session.save().wait().unwrap();
    }
    for n in 0..10 {
        fill(10_000 + n, true).unwrap();
    }
    assert!(is_full(&fill(1, true).map(drop), Capacity::DiskBytes));
    // Existing sessions may still change.
    owned[20].insert("n", 7_u64).unwrap();
    owned[20].save().wait().unwrap();
    assert_eq!(n_of(&disk.store, &owned[20].token().unwrap()), Some(7));
}

#[test]
fn keys_are_limited_where_they_are_set() {
    let store = Store::builder().keys_limit(3).key_limit(16).open_in_memory().unwrap();
    let (session, _) = saved(&store, 1);
    let too_many =
        |result: Result<(), Error>| matches!(result, Err(Error::Codec(CodecError::TooManyKeys { found: 4, limit: 3 })));
    session.insert("a", 1).unwrap();
    session.insert("b", 1).unwrap();
    assert!(too_many(session.insert("c", 1)));
    assert!(too_many(session.insert_quick("c", 1)));
    assert!(too_many(session.update("c", |_: Option<u32>| 1).map(drop)));
    session.insert("b", 2).unwrap();
    session.save().wait().unwrap();
    assert!(too_many(session.insert("c", 1)));
    session.remove("a").unwrap();
    session.insert("c", 1).unwrap();
    session.save().wait().unwrap();
    assert_eq!(session.keys(), ["b", "c", "n"]);
    session.remove("c").unwrap();
    let long = "k".repeat(17);
    let error = session.insert(&long, 1).unwrap_err();
    assert!(matches!(error, Error::Codec(CodecError::BadKey { found_bytes: 17, limit_bytes: 16 })), "{error:?}");
}

#[test]
fn owned_sessions_that_only_memory_knows_to_be_alive_are_not_looked_at_for_ever() {
    let hour = Duration::from_hours(1);
    let disk = OnDisk::with(|builder| builder.max_sessions(50).idle_timeout(hour).sweep_interval(100 * hour));
    let tokens: Vec<Token> = (0..50).map(|n| login(&disk.store, &format!("user {n}"), n).unwrap()).collect();
    disk.store.sweep().wait().unwrap();
    disk.clock.advance(hour * 5 / 6);
    for (n, token) in tokens.iter().enumerate() {
        assert_eq!(n_of(&disk.store, token), Some(n as u64));
    }
    // By redb's deadlines, all of them are over now.
    disk.clock.advance(hour / 3);
    let (sender, receiver) = mpsc::channel();
    let store = disk.store.clone();
    thread::spawn(move || sender.send(login(&store, "one more", 0)));
    let answer = receiver.recv_timeout(20 * SECOND).expect("the search ends");
    assert!(matches!(answer, Err(Error::StoreFull { .. })), "{answer:?}");
    for (n, token) in tokens.iter().enumerate() {
        assert_eq!(n_of(&disk.store, token), Some(n as u64));
    }
    // A minute later some really are over, and nothing was swept.
    disk.clock.advance(hour);
    login(&disk.store, "one more", 0).unwrap();
}

#[test]
fn a_full_store_evicts_on_and_on_also_what_only_the_disk_has() {
    for memory_budget in [0, 16 << 20] {
        let mut disk = OnDisk::with(|builder| builder.max_sessions(20).memory_budget(memory_budget));
        let owned = login(&disk.store, "ada", 1).unwrap();
        for n in 0..300 {
            drop(saved(&disk.store, n));
            assert!(disk.store.stats().sessions <= 20);
        }
        // Sessions in the file are not in memory after a restart.
        disk.store.close().unwrap();
        let builder = Store::builder().clock(disk.clock.clone()).max_sessions(20).memory_budget(memory_budget);
        disk.store = builder.open(disk.dir.path().join("sessions.redb")).unwrap();
        for n in 0..60 {
            drop(saved(&disk.store, n));
        }
        assert_eq!(n_of(&disk.store, &owned), Some(1));
        assert!((18..=20).contains(&disk.store.stats().sessions));
    }
}

/// Returns the most bytes that the journal's files took while `commit` ran repeatedly.
fn most_journal_bytes(store: &Store, commits: u64, mut commit: impl FnMut(u64)) -> u64 {
    let most = (0..commits).map(|n| {
        commit(n);
        store.stats().journal_bytes
    });
    most.max().unwrap()
}

#[test]
fn the_journal_stays_within_its_bound_while_commits_wait_for_no_disk() {
    for bound in [192 << 10, 1 << 20] {
        let disk = OnDisk::with(|builder| builder.journal_bytes(bound).durability(Durability::Relaxed));
        let most = most_journal_bytes(&disk.store, 20_000, |n| drop(saved(&disk.store, n)));
        assert!(most <= bound, "{most} of {bound} bytes");
        assert_eq!(disk.store.stats().sessions, 20_000);
    }
}

#[test]
fn records_longer_than_a_segment_wait_until_the_journal_has_room() {
    let (bound, len) = (192 << 10, 150 << 10);
    let disk = OnDisk::with(|builder| builder.journal_bytes(bound).durability(Durability::Relaxed));
    let filler = "x".repeat(len);
    let most = most_journal_bytes(&disk.store, 200, |_| {
        let session = disk.store.session(None).unwrap();
        session.insert("filler", &filler).unwrap();
        session.save().wait().unwrap();
    });
    // The one that is written, and the next one.
    let longest = (len as u64 * 8 / 7).next_multiple_of(4096) + 8192;
    assert!(most <= bound + 2 * longest, "{most} of {bound} bytes");
}
