//! The sessions of one owner: listed, counted and ended; and the list agrees with the records, before and after a reopen.

use std::{collections::BTreeSet, thread};

use sessile::{Durability, Error, Handle, Owner, Session, Store, Token, testing};

use crate::support::{DAY, OnDisk, SECOND, n_of, saved};

/// A saved session of `owner`.
#[track_caller]
fn signed_in(store: &Store, owner: &str) -> (Session, Token) {
    let session = store.session(None).unwrap();
    session.insert("n", 1_u64).unwrap();
    session.sign_in(owner).unwrap();
    session.set_label(owner).unwrap();
    session.save().wait().unwrap();
    let token = session.token().unwrap();
    (session, token)
}

fn handles(store: &Store, owner: &str) -> BTreeSet<String> {
    store.sessions_of(owner).unwrap().iter().map(|info| info.handle.to_string()).collect()
}

/// Checks that the list of `owner` names exactly these sessions.
#[track_caller]
fn lists(store: &Store, owner: &str, tokens: &[Token]) {
    let handle = |token| store.session(Some(token)).unwrap().handle().expect("the session is alive").to_string();
    assert_eq!(handles(store, owner), tokens.iter().map(handle).collect::<BTreeSet<_>>(), "{owner}");
    assert_eq!(store.sessions_of(owner).unwrap().len(), tokens.len(), "{owner}: each once");
}

#[test]
fn the_list_agrees_with_the_records_after_a_reopen_too() {
    let mut disk = OnDisk::with(|builder| builder.durability(Durability::Relaxed));
    let [ada, ben]: [Vec<Token>; 2] =
        [("ada", 5), ("ben", 3)].map(|(owner, count)| (0..count).map(|_| signed_in(&disk.store, owner).1).collect());
    saved(&disk.store, 1);
    for _ in 0..2 {
        lists(&disk.store, "ada", &ada);
        lists(&disk.store, "ben", &ben);
        lists(&disk.store, "", &[]);
        lists(&disk.store, "ad", &[]);
        lists(&disk.store, "adab", &[]);
        disk.reopen();
    }
}

#[test]
fn one_user_is_one_owner_in_whatever_type() {
    let store = testing::store();
    let sign_in = |owner: Owner| {
        let session = store.session(None).unwrap();
        session.sign_in(owner.clone()).unwrap();
        assert_eq!(session.owner(), Some(owner.clone()), "before it is saved");
        session.save().wait().unwrap();
        assert_eq!(store.session(session.token().as_ref()).unwrap().owner(), Some(owner));
    };
    for owner in [Owner::from(7_u64), Owner::from("7"), Owner::from(7_i8), Owner::from_bytes(&[0xff, 0]), Owner::from("0xff00")]
    {
        sign_in(owner);
    }
    assert_eq!((store.sessions_of("7").unwrap().len(), store.sessions_of(7).unwrap().len()), (3, 3));
    assert_eq!(store.sessions_of(Owner::from_bytes(&[0xff, 0])).unwrap().len(), 2);
    #[cfg(feature = "uuid-1")]
    {
        let id = uuid_1::Uuid::from_u128(7);
        sign_in(id.into());
        assert_eq!(store.sessions_of("00000000-0000-0000-0000-000000000007").unwrap().len(), 1);
    }
}

#[test]
fn an_owner_that_is_empty_or_endless_is_refused_where_it_is_given() {
    let session = testing::session();
    for (owner, bytes) in [("", 0), (&*"x".repeat(1025), 1025)] {
        let error = session.sign_in(owner).unwrap_err();
        assert!(matches!(error, Error::BadOwner { found_bytes, limit_bytes: 1024 } if found_bytes == bytes), "{error}");
    }
    session.save().wait().unwrap();
    assert_eq!((session.owner(), session.token()), (None, None), "nothing has changed");
}

/// Changes the owner of a saved session with `change`.
#[track_caller]
fn changed(session: &Session, with: impl FnOnce(&Session)) -> Token {
    let old = session.token().unwrap();
    with(session);
    session.save().wait().unwrap();
    let new = session.token().unwrap();
    assert_ne!(new, old, "a change of owner is a new token");
    new
}

#[test]
fn a_session_has_one_owner_and_follows_it_in_every_change() {
    let mut disk = OnDisk::new();
    let (session, token) = signed_in(&disk.store, "ada");
    let handle = session.handle();
    session.sign_in("ben").unwrap();
    lists(&disk.store, "ada", &[token]);
    let signed_in = changed(&session, |_| {});
    for _ in 0..2 {
        lists(&disk.store, "ada", &[]);
        lists(&disk.store, "ben", &[signed_in]);
        assert_eq!(n_of(&disk.store, &token), None, "without a grace");
        disk.reopen();
    }
    let session = disk.store.session(Some(&signed_in)).unwrap();
    let rotated = changed(&session, Session::rotate);
    session.insert("n", 2).unwrap();
    session.save().wait().unwrap();
    session.clear();
    session.save().wait().unwrap();
    for _ in 0..2 {
        lists(&disk.store, "ben", &[rotated]);
        assert_eq!(disk.store.sessions_of("ben").unwrap()[0].label.as_deref(), Some("ada"), "the label outlives `clear`");
        let session = disk.store.session(Some(&rotated)).unwrap();
        assert_eq!((session.owner(), session.handle()), (Some("ben".into()), handle), "and so does the owner");
        disk.reopen();
    }
    let session = disk.store.session(Some(&rotated)).unwrap();
    let unbound = changed(&session, Session::unbind_owner);
    for _ in 0..2 {
        lists(&disk.store, "ben", &[]);
        let session = disk.store.session(Some(&unbound)).unwrap();
        assert!(session.token().is_some(), "the session itself goes on");
        assert_eq!((session.owner(), session.authenticated_at(), session.handle()), (None, None, handle));
        assert_eq!(n_of(&disk.store, &rotated), None);
        disk.reopen();
    }
}

#[test]
fn the_list_shows_the_one_used_last_first_and_no_one_that_is_over() {
    let mut disk = OnDisk::new();
    let tokens: Vec<_> = (0..3)
        .map(|_| {
            disk.clock.advance(SECOND);
            signed_in(&disk.store, "ada").1
        })
        .collect();
    disk.clock.advance(6 * DAY);
    assert_eq!(n_of(&disk.store, &tokens[1]), Some(1));
    let infos = disk.store.sessions_of("ada").unwrap();
    let used = disk.store.session(Some(&tokens[1])).unwrap().handle().unwrap();
    assert_eq!(infos[0].handle, used, "a use that is in memory only counts");
    assert_eq!(infos[0].last_seen.duration_since(infos[0].created).unwrap(), 6 * DAY + SECOND);
    assert_eq!(infos[0].idle_deadline.unwrap().duration_since(infos[0].last_seen).unwrap(), 7 * DAY);
    assert_eq!(infos[0].absolute_deadline.unwrap().duration_since(infos[0].created).unwrap(), 30 * DAY);
    assert_eq!(infos[0].authenticated_at, Some(infos[0].created));
    assert!(infos[1].last_seen > infos[2].last_seen);
    disk.clock.advance(DAY);
    lists(&disk.store, "ada", &[tokens[1]]);
    disk.store.session(Some(&tokens[1])).unwrap().save().wait().unwrap();
    disk.reopen();
    lists(&disk.store, "ada", &[tokens[1]]);
}

#[test]
fn one_session_is_ended_by_its_owner_alone() {
    let mut disk = OnDisk::new();
    let (session, token) = signed_in(&disk.store, "ada");
    let (_, other) = signed_in(&disk.store, "ada");
    let handle: Handle = session.handle().unwrap().to_string().parse().unwrap();
    assert!(!disk.store.destroy_session_of("ben", &handle).wait().unwrap(), "not one of his");
    assert_eq!(n_of(&disk.store, &token), Some(1));
    assert!(disk.store.destroy_session_of("ada", &handle).wait().unwrap());
    assert!(!disk.store.destroy_session_of("ada", &handle).wait().unwrap(), "once");
    for _ in 0..2 {
        assert_eq!(n_of(&disk.store, &token), None);
        lists(&disk.store, "ada", &[other]);
        disk.reopen();
    }
}

#[test]
fn all_or_all_others_are_ended_and_counted() {
    for durability in [Durability::Durable, Durability::Relaxed] {
        let mut disk = OnDisk::with(|builder| builder.durability(durability));
        let ada: Vec<_> = (0..5).map(|_| signed_in(&disk.store, "ada")).collect();
        let (_, ben) = signed_in(&disk.store, "ben");
        let (kept, kept_token) = &ada[2];
        let foreign = disk.store.session(Some(&ben)).unwrap().handle().unwrap();

        assert_eq!(disk.store.destroy_other_sessions_of("ada", kept).wait().unwrap(), 4);
        assert_eq!(disk.store.destroy_other_sessions_of("ada", kept.handle().unwrap()).wait().unwrap(), 0);
        let (_dir, crashed) = disk.after_crash();
        for store in [&disk.store, &crashed] {
            lists(store, "ada", &[*kept_token]);
            assert_eq!(ada.iter().filter(|(_, token)| n_of(store, token).is_some()).count(), 1);
        }
        drop(crashed);

        assert_eq!(disk.store.destroy_other_sessions_of("ada", foreign).wait().unwrap(), 1, "it keeps only one of her own");
        let (_, again) = signed_in(&disk.store, "ada");
        assert_eq!(disk.store.destroy_sessions_of("ada").wait().unwrap(), 1);
        assert_eq!(disk.store.destroy_sessions_of("ada").wait().unwrap(), 0);
        for _ in 0..2 {
            lists(&disk.store, "ada", &[]);
            lists(&disk.store, "ben", &[ben]);
            assert_eq!((n_of(&disk.store, kept_token), n_of(&disk.store, &again)), (None, None));
            disk.reopen();
        }
        assert_eq!(disk.store.stats().disk_sessions, 1);
    }
}

#[test]
fn g3_a_request_in_flight_does_not_outlive_the_end_of_all() {
    let disk = OnDisk::new();
    let (_, token) = signed_in(&disk.store, "ada");
    let late = disk.store.session(Some(&token)).unwrap();
    let rotating = disk.store.session(Some(&token)).unwrap();
    assert_eq!(disk.store.destroy_sessions_of("ada").wait().unwrap(), 1);
    late.insert("n", 2).unwrap();
    assert!(matches!(late.save().wait(), Err(Error::SessionEnded)));
    rotating.rotate();
    assert!(matches!(rotating.save().wait(), Err(Error::SessionEnded)));
    assert_eq!((late.token(), rotating.token()), (None, None));
    lists(&disk.store, "ada", &[]);
}

#[test]
fn g3_a_session_that_rotates_meanwhile_does_not_slip_through_the_end_of_all() {
    let store = testing::store();
    for _ in 0..60 {
        let sessions: Vec<_> = (0..8).map(|_| signed_in(&store, "ada").0).collect();
        thread::scope(|scope| {
            for session in &sessions {
                scope.spawn(move || {
                    while session.token().is_some() {
                        session.rotate();
                        drop(session.save());
                    }
                });
            }
            store.destroy_sessions_of("ada").wait().unwrap();
            let slipped = store.sessions_of("ada").unwrap().len();
            // A session that was missed would rotate forever.
            for session in &sessions {
                session.destroy();
                drop(session.save());
            }
            assert_eq!(slipped, 0, "everything was to end");
        });
    }
}
