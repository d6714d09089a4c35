//! The records of other crates' sessions: their beginnings, owners and revisions.

use std::time::{Duration, UNIX_EPOCH};

use sessile_codec::Limits;

use super::*;
use crate::testing::ManualClock;

const ADA: OwnerId = OwnerId([7; 16]);
const GRACE: OwnerId = OwnerId([8; 16]);
const NOBODY: OwnerId = OwnerId::NOBODY;
const SECOND: Duration = Duration::from_secs(1);

/// Returns sessions in a new in-memory store, with a manual clock.
fn sessions() -> (Sessions, ManualClock) {
    let clock = ManualClock::at(UNIX_EPOCH + Duration::from_hours(500_000));
    let store = Store::builder().clock(clock.clone()).open_in_memory().unwrap();
    (Sessions::new(store, ForeignKind::Poem), clock)
}

fn values(pairs: &[(&str, u32)]) -> Values {
    let mut values = Patch::new();
    for (key, value) in pairs {
        values.set(key, Entry::serde(value, &Limits::UNLIMITED).unwrap(), &Limits::UNLIMITED).unwrap();
    }
    Values(values)
}

fn new(values: &Values, owner: Option<OwnerId>) -> New<'_> {
    New { values, ends_ms: u64::MAX, owner }
}

#[track_caller]
fn done(saved: Result<Saved, Error>) {
    let Ok(Saved::Done(ack)) = saved else { panic!("it is stored") };
    ack.wait().unwrap();
}

fn meta(sessions: &Sessions, key: &SessionKey) -> Meta {
    sessions.load(key).unwrap().expect("it is there").0.meta()
}

#[test]
fn a_session_that_another_thread_is_about_to_end_is_not_made_by_a_late_save() {
    let (sessions, _) = sessions();
    let (key, values) = (sessions.key(b"id"), Values::default());
    let new = new(&values, None);
    // What `delete` does first; memory and disk have nothing of the session.
    sessions.store.note_foreign_end(&key.0);
    assert!(matches!(sessions.put(&key, &new), Ok(Saved::Ended)));
    assert!(sessions.load(&key).unwrap().is_none());
    assert_eq!(sessions.store().stats().dropped_commits, 1);
    let other = sessions.key(b"another id");
    assert!(matches!(sessions.put(&other, &new), Ok(Saved::Done(_))));
}

#[test]
fn a_session_begins_now_with_no_idle_timeout_and_with_the_sign_in_of_its_owner() {
    let (sessions, _) = sessions();
    let (key, values, now_ms) = (sessions.key(b"id"), Values::default(), sessions.now_ms());
    for (owner, authenticated_ms) in [(None, 0), (Some(NOBODY), 0), (Some(ADA), now_ms)] {
        let expected = Meta {
            revision: 1,
            created_ms: now_ms,
            last_seen_ms: now_ms,
            idle_deadline_ms: u64::MAX,
            absolute_deadline_ms: now_ms + 1,
            owner: owner.unwrap_or(NOBODY).0,
            handle: Handle::first(&key.0).bits(),
            authenticated_ms,
            flags: 4 << 8,
            ..Meta::default()
        };
        assert_eq!(sessions.meta(&key.0, &New { ends_ms: now_ms + 1, ..new(&values, owner) }), expected);
    }
    assert_eq!(sessions.meta(&key.0, &New { ends_ms: 0, ..new(&values, None) }).absolute_deadline_ms, 1);
}

#[test]
fn each_commit_and_each_session_in_the_place_of_another_has_a_revision_of_its_own() {
    let (sessions, clock) = sessions();
    let (key, ends_ms) = (sessions.key(b"id"), sessions.now_ms() + 1000);
    let put = |n| sessions.put(&key, &New { ends_ms, ..new(&values(&[("n", n)]), None) });
    for n in 1..=3 {
        done(put(n.try_into().unwrap()));
        assert_eq!(meta(&sessions, &key).revision, n);
    }
    let before = meta(&sessions, &key);
    // Exactly then the session expires.
    clock.advance(SECOND);
    assert!(sessions.load(&key).unwrap().is_none());
    done(sessions.put(&key, &new(&values(&[("n", 4)]), None)));
    let after = meta(&sessions, &key);
    assert_eq!((after.revision, after.created_ms), (4, before.created_ms + 1000));
}

#[test]
fn a_save_sets_another_owner_and_the_time_of_the_sign_in_and_the_same_one_stores_nothing() {
    let (sessions, clock) = sessions();
    let (key, same, others) = (sessions.key(b"id"), values(&[("n", 1)]), values(&[("n", 2)]));
    sessions.create(&key, &new(&same, Some(ADA))).unwrap().expect("nothing is there").wait().unwrap();
    let begun = meta(&sessions, &key);
    let commits = || sessions.store().stats().commits;
    for owner in [None, Some(ADA)] {
        clock.advance(SECOND);
        let before = commits();
        done(sessions.save(&key, &new(&same, owner), None));
        assert_eq!((commits(), meta(&sessions, &key).revision), (before, 1), "{owner:?}");
    }
    for (values, owner) in [(&same, GRACE), (&others, ADA), (&same, NOBODY), (&others, GRACE), (&others, NOBODY)] {
        clock.advance(SECOND);
        let before = meta(&sessions, &key);
        done(sessions.save(&key, &new(values, Some(owner)), None));
        let after = meta(&sessions, &key);
        let authenticated_ms = if owner == NOBODY { 0 } else { sessions.now_ms() };
        assert_eq!((after.owner, after.authenticated_ms), (owner.0, authenticated_ms));
        assert_eq!((after.revision, after.created_ms), (before.revision + 1, begun.created_ms));
    }
    // If the owner stays, so does the time of the sign-in.
    done(sessions.save(&key, &new(&same, Some(ADA)), None));
    let before = meta(&sessions, &key);
    clock.advance(SECOND);
    done(sessions.save(&key, &new(&others, Some(ADA)), None));
    assert_eq!(meta(&sessions, &key).authenticated_ms, before.authenticated_ms);
}

#[test]
fn a_load_sets_the_owner_of_a_session_that_has_none_and_of_no_other() {
    let (sessions, clock) = sessions();
    let (sessions, values) = (sessions.with_owners(), values(&[("n", 1)]));
    for (id, owner) in [(b"1", None), (b"2", Some(ADA))] {
        let key = sessions.key(id);
        done(sessions.put(&key, &new(&values, owner)));
        for found in [None, Some(NOBODY)] {
            let record = sessions.load(&key).unwrap().unwrap();
            assert_eq!(sessions.with_owner(&key, record.clone(), found).0.meta(), record.0.meta());
        }
        let before = meta(&sessions, &key);
        clock.advance(SECOND);
        let record = sessions.load(&key).unwrap().unwrap();
        let after = sessions.with_owner(&key, record, Some(GRACE)).0.meta();
        assert_eq!((after, after.owner), (meta(&sessions, &key), owner.unwrap_or(GRACE).0));
        let is_set = owner.is_none();
        assert_eq!(after.revision, before.revision + u64::from(is_set));
        if is_set {
            assert_eq!(after.authenticated_ms, before.created_ms, "when that was is not known, and it was there");
        }
    }
}

#[test]
fn a_session_that_loses_its_owner_loses_the_time_of_the_sign_in() {
    let (sessions, _) = sessions();
    let key = sessions.key(b"id");
    done(sessions.put(&key, &new(&Values::default(), Some(ADA))));
    let set = sessions.store.set_foreign_owner(&key.0, |_| Some(NOBODY.0)).unwrap().unwrap().meta();
    assert_eq!((set.owner, set.authenticated_ms, set.revision), (NOBODY.0, 0, 2));
    assert!(sessions.store.set_foreign_owner(&key.0, |_| Some(NOBODY.0)).unwrap().is_none(), "it has none");
}

/// As releases stored them that supported only one other crate.
#[test]
fn a_session_without_the_mark_of_its_crate_gets_it_when_it_is_saved() {
    let (sessions, _) = sessions();
    let (key, values) = (sessions.key(b"id"), values(&[("n", 1)]));
    let unmarked = Meta { flags: 1 << 15, ..sessions.meta(&key.0, &new(&values, None)) };
    let make = |_| Ok(values.0.apply(None, &key.0, &unmarked, &Limits::UNLIMITED)?);
    sessions.store.create_foreign(&key.0, make, sessions.store.durability()).unwrap().unwrap();
    assert!(!ForeignKind::Poem.is_of(meta(&sessions, &key).flags));
    done(sessions.save(&key, &new(&Values::default(), None), None));
    assert_eq!(meta(&sessions, &key).flags, 1 << 15 | 4 << 8);
}

#[test]
fn a_save_is_the_same_as_its_base_if_its_values_and_its_owner_are() {
    let (sessions, _) = sessions();
    let (key, stored) = (sessions.key(b"id"), values(&[("a", 1), ("bc", 2)]));
    done(sessions.put(&key, &new(&stored, Some(ADA))));
    let record = sessions.load(&key).unwrap().unwrap();
    let bases = [Base::Loaded(record), Base::Stored { values: stored.clone(), owner: ADA }];
    for base in &bases {
        assert_eq!(base.owner(), ADA);
        for (owner, is_same) in [(None, true), (Some(ADA), true), (Some(GRACE), false), (Some(NOBODY), false)] {
            assert_eq!(base.is_same(&new(&stored, owner)), is_same, "{base:?} {owner:?}");
        }
        let others: [&[_]; 4] = [&[("a", 1)], &[("a", 1), ("bc", 3)], &[("a", 1), ("b", 2)], &[("a", 1), ("bc", 2), ("d", 3)]];
        for other in others {
            assert!(!base.is_same(&new(&values(other), None)), "{base:?} {other:?}");
        }
    }
    let [of_record, of_values] = bases.map(|base| base.len_bytes());
    let value_bytes = |n: u32| Entry::serde(&n, &Limits::UNLIMITED).unwrap().as_ref().bytes().len();
    assert_eq!(of_values, 1 + value_bytes(1) + 2 + value_bytes(2));
    assert!(of_record > of_values, "{of_record}: what is not of the values is counted, too");
}
