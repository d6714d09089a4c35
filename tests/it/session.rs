//! One request's session in each of its states: new, stored, ended by this request, ended by another, and on a disk that refuses.

use std::time::Duration;

use sessile::{Durability, Error, Model, Session, Store, Tier, error::CodecError, testing};

use crate::support::{DAY, OnDisk, n_of, saved};

#[derive(Model)]
struct Cart {
    items: Vec<u32>,
}

#[derive(Model)]
struct Profile {
    age: u32,
}

type Call = fn(&Session);

/// Commits and syncs so far.
fn writes(store: &Store) -> (u64, u64) {
    store.flush().wait().unwrap();
    let stats = store.stats();
    (stats.commits, stats.syncs)
}

#[test]
fn nothing_exists_before_the_first_value() {
    let disk = OnDisk::new();
    let before = writes(&disk.store);
    let session = disk.store.session(None).unwrap();
    assert_eq!(session.get::<u64>("n").unwrap(), None);
    assert!(!session.contains_key("n"));
    assert!(!session.remove("n").unwrap());
    assert!(session.take_flashes().is_empty());
    assert!(session.keys().is_empty());
    session.clear();
    session.rotate();
    session.unbind_owner();
    session.destroy();
    session.save().wait().unwrap();
    assert_eq!(session.token(), None);
    assert_eq!((session.handle(), session.tier(), session.created(), session.record_bytes()), (None, None, None, 0));
    assert_eq!(writes(&disk.store), before);
    assert_eq!(disk.store.stats().disk_sessions, 0);
}

#[test]
fn a_value_that_is_set_and_removed_makes_no_session() {
    let store = testing::store();
    let session = store.session(None).unwrap();
    session.insert("n", 1).unwrap();
    assert!(session.remove("n").unwrap());
    session.save().wait().unwrap();
    session.insert("n", 1).unwrap();
    session.clear();
    session.save().wait().unwrap();
    assert_eq!(session.token(), None);
    assert_eq!(store.stats().commits, 0);
}

#[test]
fn the_first_value_makes_a_session_at_commit() {
    let first_values: [(&str, Call); 4] = [
        ("insert", |session| session.insert("n", 1).unwrap()),
        ("insert_model", |session| session.insert_model("cart", &Cart { items: vec![] }).unwrap()),
        ("flash", |session| session.flash("info", "hello").unwrap()),
        ("sign_in", |session| session.sign_in("ada").unwrap()),
    ];
    for (name, set) in first_values {
        let store = testing::store();
        let session = store.session(None).unwrap();
        set(&session);
        assert_eq!(session.token(), None, "{name}: not before commit");
        session.save().wait().unwrap();
        let token = session.token().unwrap();
        assert_eq!(store.session(Some(&token)).unwrap().token(), Some(token), "{name}");
        assert_eq!(store.stats().commits, 1, "{name}");
    }
}

#[test]
fn all_changes_of_a_request_are_one_commit() {
    let disk = OnDisk::new();
    let (_, token) = saved(&disk.store, 1);
    let before = writes(&disk.store);
    let session = disk.store.session(Some(&token)).unwrap();
    session.insert("a", 1).unwrap();
    session.insert("a", 2).unwrap();
    session.remove("n").unwrap();
    session.update("b", |n: Option<u32>| n.unwrap_or(7)).unwrap();
    session.flash("info", "hello").unwrap();
    session.sign_in("ada").unwrap();
    session.rotate();
    session.save().wait().unwrap();
    assert_eq!(writes(&disk.store), (before.0 + 1, before.1 + 1));
    assert_eq!(session.keys(), ["a", "b"]);
}

#[test]
fn a_request_that_changes_nothing_writes_nothing() {
    let disk = OnDisk::new();
    let (_, token) = saved(&disk.store, 1);
    let before = writes(&disk.store);
    let session = disk.store.session(Some(&token)).unwrap();
    assert_eq!(session.get("n").unwrap(), Some(1_u64));
    assert!(session.take_flashes().is_empty());
    session.save().wait().unwrap();
    session.save().wait().unwrap();
    assert_eq!(writes(&disk.store), before);
}

#[test]
fn reads_see_the_changes_before_them() {
    let mut disk = OnDisk::new();
    let (session, token) = saved(&disk.store, 1);
    session.insert("m", 2_u64).unwrap();
    assert_eq!(session.get("m").unwrap(), Some(2_u64));
    assert_eq!(session.keys(), ["m", "n"]);
    assert!(session.remove("n").unwrap());
    assert!(!session.remove("n").unwrap());
    assert!(!session.contains_key("n"));
    assert!(session.entry("n").is_none());
    session.insert_model("cart", &Cart { items: vec![3, 4] }).unwrap();
    assert_eq!(session.view::<Cart>("cart").unwrap().unwrap().items, [3, 4]);
    assert_eq!(session.update("m", |m: Option<u64>| m.unwrap() * 10).unwrap(), 20);
    for _ in 0..2 {
        assert_eq!(session.get("m").unwrap(), Some(20_u64));
        session.save().wait().unwrap();
    }
    disk.reopen();
    let later = disk.store.session(Some(&token)).unwrap();
    assert_eq!(later.tier(), Some(Tier::Disk));
    assert_eq!(later.keys(), ["cart", "m"]);
    assert_eq!(later.view::<Cart>("cart").unwrap().unwrap().items, [3, 4]);
    assert_eq!(disk.store.session(Some(&token)).unwrap().tier(), Some(Tier::Memory));
}

#[test]
fn clear_leaves_an_empty_session_in_every_tier() {
    let mut disk = OnDisk::new();
    let (session, token) = saved(&disk.store, 1);
    session.flash("info", "secret").unwrap();
    session.save().wait().unwrap();
    session.clear();
    session.insert("after", 1).unwrap();
    assert_eq!(session.keys(), ["after"]);
    session.save().wait().unwrap();
    for _ in 0..2 {
        let later = disk.store.session(Some(&token)).unwrap();
        assert_eq!(later.keys(), ["after"]);
        assert!(later.take_flashes().is_empty());
        disk.reopen();
    }
}

#[test]
fn a_value_of_another_type_is_an_error_and_stays() {
    let store = testing::store();
    let (session, token) = saved(&store, 1);
    session.insert("text", "no number").unwrap();
    session.insert_model("cart", &Cart { items: vec![1] }).unwrap();
    session.save().wait().unwrap();
    assert!(matches!(session.get::<u32>("text"), Err(Error::Codec(_))));
    assert!(matches!(session.update("text", |n: Option<u32>| n.unwrap_or(0)), Err(Error::Codec(_))));
    let error = session.get::<u32>("cart").unwrap_err();
    assert!(matches!(error, Error::Codec(CodecError::WrongLane { .. })), "{error}");
    assert!(matches!(session.view::<Cart>("text"), Err(Error::Codec(CodecError::WrongLane { .. }))));
    assert!(matches!(session.view::<Profile>("cart"), Err(Error::Codec(CodecError::WrongModel { .. }))));
    session.save().wait().unwrap();
    let later = store.session(Some(&token)).unwrap();
    assert_eq!(later.get("text").unwrap(), Some("no number".to_owned()));
    assert_eq!(later.view::<Cart>("cart").unwrap().unwrap().items, [1]);
}

#[test]
fn an_update_whose_value_becomes_another_type_fails_at_commit_and_can_be_mended() {
    let store = testing::store();
    let (_, token) = saved(&store, 1);
    let session = store.session(Some(&token)).unwrap();
    session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1).unwrap();
    let other = store.session(Some(&token)).unwrap();
    other.insert("n", "text").unwrap();
    other.save().wait().unwrap();
    assert!(matches!(session.save().wait(), Err(Error::Codec(_))));
    assert_eq!(session.token(), Some(token), "the session is still there");
    session.insert("n", 5_u64).unwrap();
    session.save().wait().unwrap();
    assert_eq!(n_of(&store, &token), Some(5));
}

#[test]
fn too_big_a_value_is_refused_where_it_is_set() {
    let store = Store::builder().record_limit(10_000).open_in_memory().unwrap();
    let too_large = |result: Result<(), Error>| {
        matches!(result, Err(Error::Codec(CodecError::RecordTooLarge { .. } | CodecError::ValueTooLarge { .. })))
    };
    let session = store.session(None).unwrap();
    session.insert("n", 1_u64).unwrap();
    assert!(too_large(session.insert("big", "x".repeat(10_001))));
    assert!(too_large(session.insert_model("big", &Cart { items: vec![7; 2600] })));
    assert!(too_large(session.flash("info", "x".repeat(10_001))));
    assert!(too_large(session.update("big", |_: Option<String>| "x".repeat(10_001)).map(drop)));
    session.insert("half", "x".repeat(5000)).unwrap();
    session.save().wait().unwrap();
    assert!(too_large(session.insert("other", "x".repeat(5000))), "together they are too large");
    session.insert("half", "x".repeat(9000)).unwrap();
    session.save().wait().unwrap();
    assert_eq!(session.keys(), ["half", "n"]);
}

#[test]
fn reserved_keys_are_refused_by_every_call() {
    let session = testing::session();
    session.flash("info", "hello").unwrap();
    let key = "sessile.flashes";
    assert!(matches!(session.get::<u32>(key), Err(Error::ReservedKey)));
    assert!(matches!(session.insert(key, 1), Err(Error::ReservedKey)));
    assert!(matches!(session.update(key, |n: Option<u32>| n.unwrap_or(0)), Err(Error::ReservedKey)));
    assert!(matches!(session.insert_model(key, &Cart { items: vec![] }), Err(Error::ReservedKey)));
    assert!(matches!(session.view::<Cart>(key), Err(Error::ReservedKey)));
    assert!(matches!(session.remove(key), Err(Error::ReservedKey)));
    assert!(!session.contains_key(key));
    assert!(session.entry(key).is_none());
    assert!(session.keys().is_empty());
}

#[test]
fn messages_are_taken_once_and_in_order() {
    let mut disk = OnDisk::new();
    let session = disk.store.session(None).unwrap();
    session.flash("success", "saved").unwrap();
    session.flash("error", "or not").unwrap();
    session.save().wait().unwrap();
    let token = session.token().unwrap();
    disk.reopen();
    let texts = |session: &Session| session.take_flashes().into_iter().map(|flash| flash.text).collect::<Vec<_>>();
    let next = disk.store.session(Some(&token)).unwrap();
    assert_eq!(texts(&next), ["saved", "or not"]);
    assert!(texts(&next).is_empty());
    next.save().wait().unwrap();
    assert!(texts(&disk.store.session(Some(&token)).unwrap()).is_empty());
}

#[test]
fn rotation_keeps_values_and_dates_and_changes_token_and_handle() {
    let disk = OnDisk::new();
    let (_, old) = saved(&disk.store, 1);
    disk.clock.advance(DAY);
    let session = disk.store.session(Some(&old)).unwrap();
    let (handle, created) = (session.handle(), session.created());
    session.insert("m", 2).unwrap();
    session.rotate();
    assert_eq!(session.token(), Some(old), "not before commit");
    session.save().wait().unwrap();
    let new = session.token().unwrap();
    assert_ne!((new, session.handle()), (old, handle));
    assert_eq!(session.created(), created, "the absolute deadline does not move");
    assert_eq!(disk.store.session(Some(&new)).unwrap().keys(), ["m", "n"]);
    assert_eq!(n_of(&disk.store, &old), None);
}

#[test]
fn after_destroy_the_request_reads_nothing_and_writes_to_a_new_session() {
    for durability in [Durability::Durable, Durability::Relaxed] {
        let disk = OnDisk::with(|builder| builder.durability(durability).flush_interval(Duration::from_hours(1)));
        let (session, old) = saved(&disk.store, 1);
        session.insert("pending", 1).unwrap();
        session.sign_in("ada").unwrap();
        session.destroy();
        assert_eq!((session.token(), session.keys().len(), session.get::<u64>("n").unwrap()), (None, 0, None));
        session.insert("m", 2).unwrap();
        session.save().wait().unwrap();
        let new = session.token().unwrap();
        assert_ne!(new, old);
        assert_eq!(disk.store.session(Some(&new)).unwrap().keys(), ["m"]);
        assert!(disk.store.sessions_of("ada").unwrap().is_empty());
        // The answer covers the end too, which is always durable.
        let (_dir, crashed) = disk.after_crash();
        assert_eq!(n_of(&crashed, &old), None, "{durability:?}");
        assert_eq!(crashed.session(Some(&new)).unwrap().keys(), ["m"], "{durability:?}");
    }
}

#[test]
fn g3_a_request_whose_session_was_ended_writes_nothing_any_more() {
    let ends: [(&str, Call); 2] = [("destroy", Session::destroy), ("rotate", Session::rotate)];
    for (name, end) in ends {
        let disk = OnDisk::new();
        let (_, token) = saved(&disk.store, 1);
        let late = disk.store.session(Some(&token)).unwrap();
        let other = disk.store.session(Some(&token)).unwrap();
        end(&other);
        other.save().wait().unwrap();
        let sessions = disk.store.stats().disk_sessions;

        for n in 1..4 {
            late.insert("n", n).unwrap();
            // Neither does it begin a new one, whose token would replace that of the visitor who has just signed in.
            assert!(matches!(late.save().wait(), Err(Error::SessionEnded)), "{name}: each time");
            assert_eq!((late.token(), late.handle()), (None, None), "{name}");
            assert_eq!(late.get::<u64>("n").unwrap(), None, "{name}: what was dropped is not shown");
            assert_eq!(disk.store.stats().dropped_commits, 2 * n - 1, "{name}");
            late.insert("n", n).unwrap();
            assert!(matches!(late.save_if_unchanged().wait(), Err(Error::SessionEnded)), "{name}: this too");
            late.save().wait().unwrap();
        }
        late.destroy();
        late.insert("n", 4_u64).unwrap();
        assert!(late.save().wait().is_err());
        assert_eq!((late.token(), disk.store.stats().disk_sessions), (None, sessions), "{name}");
        assert_eq!(n_of(&disk.store, &token), None, "{name}");
    }
}

#[test]
fn a_sign_in_on_a_session_that_ended_meanwhile_begins_a_new_one() {
    let ends: [(&str, Call); 2] = [("destroy", Session::destroy), ("rotate", Session::rotate)];
    for (name, end) in ends {
        let disk = OnDisk::new();
        let (_, token) = saved(&disk.store, 7);
        let late = disk.store.session(Some(&token)).unwrap();
        late.insert("name", "Ada").unwrap();
        late.update("logins", |n: Option<u32>| n.unwrap_or(0) + 1).unwrap();
        late.update("n", |n: Option<u64>| n.unwrap_or(100) + 1).unwrap();
        let other = disk.store.session(Some(&token)).unwrap();
        end(&other);
        other.save().wait().unwrap();

        late.sign_in("ada").unwrap();
        late.save().wait().unwrap();
        assert!(late.token().is_some() && late.token() != Some(token) && late.token() != other.token(), "{name}");
        let (_dir, crashed) = disk.after_crash();
        let found = crashed.session(late.token().as_ref()).unwrap();
        assert_eq!(found.owner(), Some("ada".into()), "{name}");
        assert_eq!(found.keys(), ["logins", "n", "name"], "{name}: what this request set");
        assert_eq!(found.get::<u64>("n").unwrap(), Some(101), "{name}: not what the other session had");
        assert_eq!((crashed.sessions_of("ada").unwrap().len(), disk.store.stats().dropped_commits), (1, 0), "{name}");
        // The same when the end was noticed before the sign-in.
        let later = disk.store.session(Some(&token)).unwrap();
        assert!(later.token().is_none());
    }
    let disk = OnDisk::new();
    let (session, token) = saved(&disk.store, 7);
    let late = disk.store.session(Some(&token)).unwrap();
    session.destroy();
    session.save().wait().unwrap();
    late.insert("n", 8_u64).unwrap();
    assert!(late.save().wait().is_err());
    late.sign_in("ada").unwrap();
    late.save().wait().unwrap();
    assert_eq!(disk.store.sessions_of("ada").unwrap().len(), 1);
    assert_eq!(late.keys(), [""; 0], "what was given up stays so");
}

#[test]
fn a_session_that_expires_while_the_request_runs_is_over_for_it() {
    let disk = OnDisk::new();
    let (session, token) = saved(&disk.store, 1);
    disk.clock.advance(7 * DAY);
    for n in 1..3 {
        session.insert("n", n).unwrap();
        assert!(matches!(session.save().wait(), Err(Error::SessionEnded)));
        assert_eq!(session.token(), None);
        assert_eq!(disk.store.stats().dropped_commits, n);
    }
    assert_eq!(n_of(&disk.store, &token), None);
}

#[test]
fn a_disk_that_refuses_is_an_error_and_not_no_session() {
    let disk = OnDisk::with(|builder| builder.memory_budget(0));
    let (session, token) = saved(&disk.store, 1);
    disk.store.close().unwrap();
    assert!(disk.store.session(Some(&token)).is_err());
    for _ in 0..2 {
        session.insert("n", 2_u64).unwrap();
        assert!(session.save().wait().is_err());
        assert_eq!(session.token(), Some(token), "the session is not given up");
        assert_eq!(session.get("n").unwrap(), Some(2_u64), "nor is what the request set");
        session.rotate();
        assert!(session.save().wait().is_err());
        assert_eq!(session.token(), Some(token));
    }
    assert_eq!(disk.store.stats().dropped_commits, 0);
    assert!(disk.store.sessions_of("ada").is_err());
    assert!(disk.store.destroy_sessions_of("ada").wait().is_err());
}

#[test]
fn an_end_that_the_disk_refused_is_tried_again_and_not_forgotten() {
    let disk = OnDisk::with(|builder| builder.memory_budget(0));
    let (session, _) = saved(&disk.store, 1);
    disk.store.close().unwrap();
    session.destroy();
    for _ in 0..2 {
        assert!(session.save().wait().is_err(), "a logout that did not happen must not look as if it had");
    }
}

#[test]
fn a_new_session_that_could_not_be_stored_keeps_its_values() {
    let store = testing::store();
    store.close().unwrap();
    let session = store.session(None).unwrap();
    session.insert("n", 1).unwrap();
    assert!(matches!(session.save().wait(), Err(Error::Closed)));
    assert_eq!(session.get("n").unwrap(), Some(1));
}

#[test]
fn clones_are_one_session() {
    let store = testing::store();
    let (session, _) = saved(&store, 1);
    let clone = session.clone();
    clone.insert("m", 2).unwrap();
    assert_eq!(session.keys(), ["m", "n"]);
    session.destroy();
    clone.save().wait().unwrap();
    assert_eq!((session.token(), clone.token()), (None, None));
}
