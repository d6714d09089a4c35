//! What a sweep finds and what it leaves alone: deadlines that moved, uses that only the journal has, and the remains of ended
//! sessions.

use std::{path::Path, time::Duration};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use sessile::{
    Builder, Durability, Session, Store,
    events::{Event, SessionEnd},
};

use crate::support::{DAY, OnDisk, SECOND, n_of, saved};

type Key = [u8; 16];

const MINUTE: Duration = Duration::from_mins(1);
/// Longer than any sweep takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A store that sweeps by itself, with or without room for a session in memory.
fn sweeping(memory_budget: usize) -> OnDisk {
    OnDisk::with(|builder: Builder| builder.sweep_interval(SECOND).memory_budget(memory_budget))
}

#[test]
fn a_deadline_that_comes_nearer_is_swept_in_time_wherever_it_is() {
    type Change = fn(&Session) -> Result<(), sessile::Error>;
    let nearer: [Change; 2] = [|session| session.set_idle_timeout(MINUTE), |session| session.set_absolute_timeout(MINUTE)];
    for (memory_budget, change) in [0, 16 << 20].into_iter().zip(nearer) {
        let come_nearer = |session: &Session| {
            change(session).unwrap();
            session.save().wait().unwrap();
        };
        let ends_in_time = |disk: &OnDisk, session: &Session, place: &str| {
            let watch = session.watch().unwrap().unwrap();
            disk.clock.advance(MINUTE);
            assert_eq!(watch.wait(PATIENCE), Some(SessionEnd::Expired), "{place}, with {memory_budget} bytes of memory");
        };
        let disk = sweeping(memory_budget);
        let (later, in_journal) = (saved(&disk.store, 1).0, saved(&disk.store, 2).0);
        come_nearer(&in_journal);
        ends_in_time(&disk, &in_journal, "the journal has both deadlines");
        // That does not forget a session that ends later.
        let watch = later.watch().unwrap().unwrap();
        disk.clock.advance(7 * DAY);
        assert_eq!(watch.wait(PATIENCE), Some(SessionEnd::Expired), "with {memory_budget} bytes of memory");

        let disk = sweeping(memory_budget);
        let in_redb = saved(&disk.store, 3).0;
        disk.store.sweep().wait().unwrap();
        come_nearer(&in_redb);
        disk.store.sweep().wait().unwrap();
        ends_in_time(&disk, &in_redb, "redb has both deadlines");
        let in_both = saved(&disk.store, 4).0;
        disk.store.sweep().wait().unwrap();
        come_nearer(&in_both);
        ends_in_time(&disk, &in_both, "redb has the later one");
        disk.store.flush().wait().unwrap();
        assert_eq!((disk.store.stats().sessions, disk.store.stats().disk_sessions), (0, 0));
    }
}

#[test]
fn a_timed_sweep_ends_no_session_whose_last_use_only_the_journal_knows() {
    let disk = sweeping(0);
    let (used, token) = saved(&disk.store, 1);
    let unused = saved(&disk.store, 2).0.handle().unwrap();
    let handle = used.handle().unwrap();
    drop(used);
    disk.store.sweep().wait().unwrap();
    disk.clock.advance(3 * DAY);
    disk.store.session(Some(&token)).unwrap().save().wait().unwrap();
    disk.store.flush().wait().unwrap();
    assert_eq!(disk.store.stats().memory_sessions, 0, "redb has the older use, the journal the later one");
    let mut events = disk.store.subscribe();
    disk.clock.advance(4 * DAY);
    // By redb's deadlines, both are over.
    assert_eq!(events.wait(PATIENCE), Some(Event::Expired { handle: unused }));
    // And another sweep.
    let (next, _) = saved(&disk.store, 3);
    next.set_idle_timeout(MINUTE).unwrap();
    next.save().wait().unwrap();
    let next = next.handle().unwrap();
    assert_eq!(events.wait(PATIENCE), Some(Event::Created { handle: next }));
    disk.clock.advance(MINUTE);
    assert_eq!(events.wait(PATIENCE), Some(Event::Expired { handle: next }));
    assert_eq!(events.try_next(), None);
    assert_eq!((disk.store.stats().sessions, n_of(&disk.store, &token)), (1, Some(1)));
    disk.clock.advance(8 * DAY);
    assert_eq!(events.wait(PATIENCE), Some(Event::Expired { handle }), "it ends in its own time");
}

#[test]
fn a_session_that_is_over_is_counted_as_expired_whether_memory_or_only_the_disk_has_it() {
    for only_the_disk in [true, false] {
        let mut disk = OnDisk::new();
        let tokens = [saved(&disk.store, 1).1, saved(&disk.store, 2).1];
        if only_the_disk {
            disk.reopen();
        }
        disk.clock.advance(7 * DAY);
        for (token, asked) in tokens.iter().zip(1..) {
            assert_eq!(n_of(&disk.store, token), None);
            let stats = disk.store.stats();
            assert_eq!((stats.expired, stats.misses, stats.memory_hits, stats.disk_hits), (asked, asked, 0, 0));
        }
    }
}

/// Returns the keys of the records in the file, those in the index of expiry, and those in the index of owners.
fn tables(path: &Path) -> [Vec<Key>; 3] {
    const RECORDS: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("records");
    const EXPIRY: TableDefinition<'_, &[u8; 20], ()> = TableDefinition::new("expiry");
    const OWNERS: TableDefinition<'_, &[u8; 32], ()> = TableDefinition::new("owners");
    let file = Database::open(path).unwrap();
    let txn = file.begin_read().unwrap();
    let records = txn.open_table(RECORDS).unwrap();
    let (expiry, owners) = (txn.open_table(EXPIRY).unwrap(), txn.open_table(OWNERS).unwrap());
    // An entry of an index ends with the record's key.
    let mut keys = [
        records.iter().unwrap().map(|entry| *entry.unwrap().0.value()).collect::<Vec<Key>>(),
        expiry.iter().unwrap().map(|entry| *entry.unwrap().0.value().last_chunk().unwrap()).collect(),
        owners.iter().unwrap().map(|entry| *entry.unwrap().0.value().last_chunk().unwrap()).collect(),
    ];
    for keys in &mut keys {
        keys.sort_unstable();
    }
    keys
}

/// Signs `owner` in.
fn signed_in(store: &Store, owner: &str) -> Session {
    let session = store.session(None).unwrap();
    session.sign_in(owner).unwrap();
    session.save().wait().unwrap();
    session
}

#[test]
fn the_indexes_keep_nothing_of_sessions_that_have_ended() {
    // With a checkpoint after each step, so that redb gets all of them, and without one, so that only the journal does.
    for checkpoints in [true, false] {
        let disk = OnDisk::new();
        let checkpoint = || {
            if checkpoints {
                disk.store.sweep().wait().unwrap();
            }
        };
        let [out, moved, rotated, revoked, expired, kept] = std::array::from_fn(|_| signed_in(&disk.store, "ada"));
        let anonymous = saved(&disk.store, 1).0;
        expired.set_idle_timeout(DAY).unwrap();
        checkpoint();
        for (session, change) in [
            (&out, Session::sign_out as fn(&Session)),
            (&moved, |session| session.sign_in("bob").unwrap()),
            (&rotated, Session::rotate),
            (&expired, |_| ()),
        ] {
            change(session);
            session.save().wait().unwrap();
            checkpoint();
        }
        disk.store.destroy_session_of("ada", &revoked.handle().unwrap()).wait().unwrap();
        kept.insert("n", 1_u64).unwrap();
        kept.save_with(Durability::Relaxed).wait().unwrap();
        checkpoint();
        disk.clock.advance(DAY + MINUTE);
        disk.store.sweep().wait().unwrap();
        let owned = |owner: &str| disk.store.sessions_of(owner).unwrap().len();
        assert_eq!((owned("ada"), owned("bob"), disk.store.stats().sessions), (2, 1, 4), "checkpoints: {checkpoints}");
        disk.store.close().unwrap();
        let [records, expiry, owners] = tables(&disk.dir.path().join("sessions.redb"));
        assert_eq!((records.len(), owners.len()), (4, 3), "checkpoints: {checkpoints}");
        assert_eq!(records, expiry, "checkpoints: {checkpoints}");
        assert!(owners.iter().all(|key| records.contains(key)), "checkpoints: {checkpoints}");
        drop(anonymous);
    }
}
