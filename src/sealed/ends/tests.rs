//! The ends of sealed sessions, as the store keeps them.

use super::*;
use crate::disk::{InMemory, SEALED_EPOCH};

fn id(n: u32, owner: [u8; 16], epoch: u64) -> SealedId {
    let mut key = [3; 16];
    key[..4].copy_from_slice(&n.to_le_bytes());
    SealedId { key, handle: Handle::first(&key), owner, epoch }
}

fn status(store: &Store, id: &SealedId) -> SealedStatus {
    store.0.revoked.state.read().status(id, store.now_ms())
}

fn meta(store: &Store) -> Meta {
    store.timeouts().begin(store.now_ms())
}

#[test]
fn flood_of_logouts_by_nobody_ends_nobodys_sessions_and_fills_no_memory() {
    let disk = InMemory::default();
    let store = Store::builder().open_on(&disk).unwrap();
    store.begin_sealing();
    let begun = store.sealing_epoch();
    let (owner, old) = ([1; 16], id(u32::MAX, NOBODY, begun));
    let meta = meta(&store);
    store.revoke(&id(u32::MAX - 1, owner, begun), &meta).unwrap();
    let flood = u32::try_from(MOST_OF_NOBODY).unwrap();
    for n in 0..flood - 1 {
        assert!(store.revoke(&id(n, NOBODY, begun), &meta).is_some());
    }
    assert_eq!((status(&store, &old), store.stats().revoked), (SealedStatus::Alive, u64::from(flood)));
    store.revoke(&id(flood, NOBODY, begun), &meta).unwrap();
    // One epoch replaced them all. It ended everything sealed before, by these visitors and by others.
    let check = |store: &Store| {
        assert_eq!(store.stats().revoked, 2);
        for n in [0, 1, flood - 2, flood, u32::MAX] {
            assert_eq!(status(store, &id(n, NOBODY, begun)), SealedStatus::Ended, "{n}");
        }
        assert_eq!(status(store, &id(u32::MAX - 1, owner, begun)), SealedStatus::Ended);
        assert_eq!(status(store, &id(u32::MAX, owner, begun)), SealedStatus::Alive, "users stay signed in");
        assert_eq!(
            status(store, &id(u32::MAX, NOBODY, store.sealing_epoch())),
            SealedStatus::Alive,
            "new sessions without an owner are valid"
        );
    };
    check(&store);
    store.close().unwrap();
    check(&Store::builder().open_on(&disk).unwrap());
}

#[test]
fn flood_of_sessions_that_move_into_the_store_fills_no_memory_either() {
    // The number of those within the grace of their old cookie.
    for (in_grace, left) in [(0, 0), (1000, 1000), (MOST_OF_NOBODY, 0)] {
        let store = crate::testing::store();
        store.begin_sealing();
        let begun = store.sealing_epoch();
        for n in 0..MOST_OF_NOBODY {
            let until_ms = store.now_ms() + if n < in_grace { 60_000 } else { 0 };
            let gone = Revocation { moved: Some(([1; 16], until_ms)), is_moving: false, of_nobody: true };
            store.0.revoked.state.write().insert(id(u32::try_from(n).unwrap(), NOBODY, begun).key, gone);
        }
        store.revoke(&id(u32::MAX, NOBODY, begun), &meta(&store)).unwrap();
        let state = store.0.revoked.state.read();
        assert_eq!((state.sessions.len(), state.of_nobody), (left, left));
        drop(state);
        for n in [u32::MAX, u32::MAX - 1] {
            assert_eq!(status(&store, &id(n, NOBODY, begun)), SealedStatus::Ended);
        }
    }
}

#[test]
fn revocations_that_cannot_be_read_end_everything_that_was_sealed() {
    for lost in [SEALED_EPOCH, id(1, [1; 16], 0).key] {
        let disk = InMemory::default();
        let store = Store::builder().open_on(&disk).unwrap();
        store.begin_sealing();
        let (meta, begun) = (meta(&store), store.sealing_epoch());
        store.revoke(&id(1, [1; 16], begun), &meta).unwrap();
        store.cut_off(&[2; 16], None).unwrap();
        // What damage would leave: no record under that key, or a wrong one.
        let other = Record::check(
            Patch::new().apply(None, &lost, &Meta { owner: crate::disk::ENDED, ..meta }, &Limits::UNLIMITED).unwrap().bytes(),
            &lost,
            1024,
        );
        let op = if lost == SEALED_EPOCH { Op::Delete { key: lost } } else { Op::Put { key: lost, record: other.unwrap() } };
        store.0.disk.enqueue(op, Urgency::Now);
        store.close().unwrap();
        let store = Store::builder().open_on(&disk).unwrap();
        let before = [id(1, [1; 16], begun), id(2, [1; 16], begun), id(3, NOBODY, begun), id(4, [9; 16], begun + 1)];
        for id in &before {
            assert_eq!(status(&store, id), SealedStatus::Ended);
        }
        let after = id(5, [1; 16], store.sealing_epoch());
        assert_eq!(status(&store, &after), SealedStatus::Alive);
        store.close().unwrap();
        let store = Store::builder().open_on(&disk).unwrap();
        assert_eq!(status(&store, &after), SealedStatus::Alive, "once");
        assert!(before.iter().all(|id| status(&store, id) == SealedStatus::Ended));
    }
}

#[test]
fn revocations_that_cannot_be_read_are_not_counted_as_sessions() {
    let session = id(1, [1; 16], 0).key;
    for is_missing in [false, true] {
        let disk = InMemory::default();
        let store = Store::builder().open_on(&disk).unwrap();
        store.begin_sealing();
        store.revoke(&id(1, [1; 16], store.sealing_epoch()), &meta(&store)).unwrap();
        let without_content = Meta { revision: 2, owner: crate::disk::ENDED, ..meta(&store) };
        let record = Patch::new().apply(None, &session, &without_content, &Limits::UNLIMITED).unwrap();
        let op = if is_missing { Op::Delete { key: SEALED_EPOCH } } else { Op::Put { key: session, record } };
        store.0.disk.enqueue(op, Urgency::Now);
        store.close().unwrap();
        for _ in 0..2 {
            let store = Store::builder().open_on(&disk).unwrap();
            store.sweep().wait().unwrap();
            assert_eq!((store.stats().sessions, store.stats().disk_sessions), (0, 0), "{is_missing}");
            store.close().unwrap();
        }
    }
}

#[test]
fn an_epoch_that_begins_while_the_file_forgets_the_last_one_is_kept() {
    let clock = crate::testing::ManualClock::default();
    let store = Store::builder().clock(clock.clone()).open_in_memory().unwrap();
    store.begin_sealing();
    let (ada, record_key) = (crate::Owner::from("ada").hash(), super::super::turned(&crate::Owner::from("ada").hash()));
    store.destroy_sessions_of("ada").wait().unwrap();
    clock.advance(std::time::Duration::from_millis(LONGEST_MS));
    let sealed = id(1, ada, store.sealing_epoch());
    store.destroy_sessions_of("ada").wait().unwrap();
    // The sweeper reports a deletion that it decided before that.
    assert!(store.0.revoked.expire(&record_key, store.now_ms()));
    assert_eq!(status(&store, &sealed), SealedStatus::Ended);
    assert_eq!(store.0.revoked.deadline_ms(&record_key), Some(store.now_ms() + LONGEST_MS));
    clock.advance(std::time::Duration::from_millis(LONGEST_MS));
    assert!(store.0.revoked.expire(&record_key, store.now_ms()) && !store.0.revoked.expire(&record_key, store.now_ms()));
}

#[test]
fn no_token_leads_to_an_epoch() {
    let store = crate::testing::store();
    store.begin_sealing();
    // The input of the hash of an owner with a three-byte id is as long as the random bytes of a token.
    let token = crate::Token::new(b"sessile ownerbob", [0; crate::token::TAG]);
    assert_eq!(token.key(), crate::Owner::from("bob").hash());
    store.destroy_sessions_of("bob").wait().unwrap();
    store.flush().wait().unwrap();
    assert!(store.0.disk.load(&token.key()).unwrap().is_none());
    let (bob, state) = (crate::Owner::from("bob").hash(), store.0.revoked.state.read());
    assert!(state.owners.contains_key(&bob) && store.0.disk.load(&super::super::turned(&bob)).unwrap().is_some());
}

#[test]
fn a_session_that_was_ended_is_not_kept_by_a_later_end_of_all_others() {
    let store = crate::testing::store();
    store.begin_sealing();
    let owner = [1; 16];
    let [laptop, phone] = [1, 2].map(|n| id(n, owner, store.sealing_epoch()));
    store.cut_off(&owner, Some(&laptop.handle)).unwrap();
    assert_eq!((status(&store, &laptop), status(&store, &phone)), (SealedStatus::Alive, SealedStatus::Ended));
    store.cut_off(&owner, Some(&laptop.handle)).unwrap();
    assert_eq!((status(&store, &laptop), status(&store, &phone)), (SealedStatus::Alive, SealedStatus::Ended));
    store.cut_off(&owner, Some(&phone.handle)).unwrap();
    assert_eq!((status(&store, &laptop), status(&store, &phone)), (SealedStatus::Ended, SealedStatus::Ended));
    store.cut_off(&owner, Some(&laptop.handle)).unwrap();
    assert_eq!((status(&store, &laptop), status(&store, &phone)), (SealedStatus::Ended, SealedStatus::Ended));
}

#[test]
fn a_session_that_moves_into_the_store_while_its_owner_is_signed_out_everywhere_does_not_escape() {
    let store = crate::testing::store();
    store.begin_sealing();
    let owner = crate::Owner::from("ada").hash();
    let mut meta = meta(&store);
    meta.owner = owner;
    let make = |key: &Key, meta: &Meta| Ok(Patch::new().apply(None, key, meta, &Limits::UNLIMITED).unwrap());
    // Between the look at the epoch and the store of the record.
    let sealed = id(1, owner, store.sealing_epoch());
    let taken = store.take_in(&sealed, &meta, true, 0, &meta, |key| {
        store.destroy_sessions_of("ada").wait().unwrap();
        make(key, &meta)
    });
    assert!(taken.unwrap().is_none());
    assert!(store.sessions_of("ada").unwrap().is_empty());
    // Two requests move it at once: one succeeds.
    let sealed = id(2, owner, store.sealing_epoch());
    let taken = store.take_in(&sealed, &meta, true, 0, &meta, |key| {
        assert!(store.take_in(&sealed, &meta, true, 0, &meta, |key| make(key, &meta)).unwrap().is_none());
        make(key, &meta)
    });
    assert!(taken.unwrap().is_some());
    assert_eq!(store.sessions_of("ada").unwrap().len(), 1);
    // One that is signed out while it moves, whether the store accepts it or not.
    for result in [Ok(()), Err(Error::Closed)] {
        let sealed = id(4, owner, store.sealing_epoch());
        let sealed = SealedId { key: [u8::from(result.is_ok()); 16], ..sealed };
        let before = store.sessions_of("ada").unwrap().len();
        let taken = store.take_in(&sealed, &meta, true, 0, &meta, |key| {
            assert!(store.end_sealed(&sealed, &meta).unwrap().is_some(), "it is this logout that ends it");
            assert!(store.end_sealed(&sealed, &meta).unwrap().is_none(), "once");
            result.clone()?;
            make(key, &meta)
        });
        assert!(taken.is_err() || taken.is_ok_and(|taken| taken.is_none()));
        assert_eq!((status(&store, &sealed), store.sessions_of("ada").unwrap().len()), (SealedStatus::Ended, before));
    }
    // One that cannot move stays as it was.
    let sealed = id(3, owner, store.sealing_epoch());
    assert!(store.take_in(&sealed, &meta, true, 0, &meta, |_| Err(Error::Closed)).is_err());
    assert_eq!(status(&store, &sealed), SealedStatus::Alive);
}
