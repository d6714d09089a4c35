//! A commit that is refused when another request changed the session.

use sessile::{Durability, Error, Session, Token};

use crate::support::{DAY, OnDisk, n_of, saved};

#[test]
fn g4_a_strict_commit_onto_a_changed_session_stores_nothing_and_shows_what_is_there() {
    let disk = OnDisk::new();
    let (_, token) = saved(&disk.store, 1);
    let request = || disk.store.session(Some(&token)).unwrap();
    let (one, two) = (request(), request());
    two.insert("other", 1).unwrap();
    two.save().wait().unwrap();
    one.insert("n", 2_u64).unwrap();
    one.rotate();
    let error = one.save_if_unchanged().wait().unwrap_err();
    assert!(matches!(error, Error::Conflict { found: 2, expected: 1 }), "{error:?}");
    assert!(!error.is_transient());
    assert_eq!(one.keys(), ["n", "other"]);
    assert_eq!(one.get("n").unwrap(), Some(1_u64));
    // What was dropped does not come with the next commit, not even the layer's.
    one.save().wait().unwrap();
    assert_eq!((n_of(&disk.store, &token), one.token()), (Some(1), Some(token)));
    one.insert("n", 3_u64).unwrap();
    one.save_if_unchanged().wait().unwrap();
    assert_eq!(n_of(&disk.store, &token), Some(3));
}

#[test]
fn g4_to_use_a_session_is_no_conflict() {
    let disk = OnDisk::new();
    let (_, token) = saved(&disk.store, 1);
    let strict = disk.store.session(Some(&token)).unwrap();
    strict.insert("n", 2_u64).unwrap();
    disk.clock.advance(DAY);
    let commits = disk.store.stats().commits;
    let other = disk.store.session(Some(&token)).unwrap();
    other.save().wait().unwrap();
    assert_eq!(disk.store.stats().commits, commits + 1, "a touch");
    other.rotate_with_grace();
    other.save().wait().unwrap();
    strict.save_if_unchanged().wait().unwrap();
    assert_eq!(n_of(&disk.store, &other.token().unwrap()), Some(2));
}

#[test]
fn g4_owner_and_timeouts_are_changes_too() {
    type Change = fn(&Session);
    let disk = OnDisk::new();
    let changes: [(Change, bool); 2] =
        [(|session| session.sign_in("ada").unwrap(), true), (|session| session.set_idle_timeout(DAY).unwrap(), false)];
    for (change, has_new_token) in changes {
        let (_, token) = saved(&disk.store, 1);
        let (strict, other) = (disk.store.session(Some(&token)).unwrap(), disk.store.session(Some(&token)).unwrap());
        change(&other);
        other.save().wait().unwrap();
        strict.insert("n", 2_u64).unwrap();
        let error = strict.save_if_unchanged().wait().unwrap_err();
        assert!(if has_new_token { matches!(error, Error::SessionEnded) } else { matches!(error, Error::Conflict { .. }) });
    }
}

#[test]
fn g3_a_strict_commit_onto_an_ended_session_says_so() {
    let disk = OnDisk::new();
    let (session, token) = saved(&disk.store, 1);
    let strict = disk.store.session(Some(&token)).unwrap();
    session.destroy();
    session.save().wait().unwrap();
    strict.insert("n", 2_u64).unwrap();
    let error = strict.save_if_unchanged().wait().unwrap_err();
    assert!(matches!(error, Error::SessionEnded), "{error:?}");
    assert_eq!(disk.store.stats().dropped_commits, 1);
    assert_eq!(n_of(&disk.store, &token), None);
}

#[test]
fn g4_of_many_strict_commits_at_once_one_wins_each_round() {
    let disk = OnDisk::new();
    let (_, token) = saved(&disk.store, 0);
    let wins: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| (0..50).map(|_| bump(&disk, &token)).sum::<u64>())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(n_of(&disk.store, &token), Some(200));
    assert!(wins >= 200, "{wins} attempts");
}

/// Adds one, in as many attempts as needed, and returns their number.
fn bump(disk: &OnDisk, token: &Token) -> u64 {
    let session = disk.store.session(Some(token)).unwrap();
    for attempt in 1.. {
        let n: u64 = session.get("n").unwrap().unwrap();
        session.insert("n", n + 1).unwrap();
        // Without waiting for the disk, so that threads meet more often.
        session.set_durability(Durability::Relaxed);
        match session.save_if_unchanged().wait() {
            Ok(()) => return attempt,
            Err(Error::Conflict { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    unreachable!("one of them always wins")
}
