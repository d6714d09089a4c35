//! Encryption at rest: nothing in the files can be read without the keys. What the keys do not open is never taken for absent,
//! nor for something else.

use std::{path::Path, time::Duration};

use redb::{ReadableDatabase, ReadableTable, TableDefinition};
use sessile::{Builder, Error, Keys, Store, Token, testing::ManualClock};
use sessile_fault_disk::FaultDisk;

use crate::support::{DAY, n_of, saved};

const OLD: [u8; 32] = [1; 32];
const NEW: [u8; 32] = [2; 32];
/// In values, keys and labels; so long that no ciphertext contains it by chance.
const MARKER: &str = "a-secret-of-ada-lovelace";

const RECORDS: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("records");
const QUARANTINE: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("quarantine");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

fn encrypted(keys: impl Into<Keys>) -> Builder {
    Store::builder().unconfirmed_timeout(Duration::MAX).memory_budget(0).encrypt(keys)
}

fn plain() -> Builder {
    Store::builder().unconfirmed_timeout(Duration::MAX).memory_budget(0)
}

/// A session with the marker wherever a session can contain text.
#[track_caller]
fn secret(store: &Store, n: u64) -> Token {
    let session = store.session(None).unwrap();
    session.insert("n", n).unwrap();
    session.insert(MARKER, format!("value {MARKER} {n}")).unwrap();
    session.set_label(MARKER).unwrap();
    session.sign_in(MARKER).unwrap();
    session.save().wait().unwrap();
    session.token().unwrap()
}

fn files_with_marker(disk: &FaultDisk) -> Vec<String> {
    let holds = |bytes: &[u8]| bytes.windows(MARKER.len()).any(|window| window == MARKER.as_bytes());
    let names = disk.names().into_iter();
    names.filter(|name| holds(&disk.contents(name).unwrap())).map(|name| name.into_string().unwrap()).collect()
}

/// The id of the one key.
fn id(key: [u8; 32]) -> sessile::error::SealKeyId {
    Keys::from(key).seal_ids().next().unwrap()
}

#[track_caller]
fn assert_unknown<T: std::fmt::Debug>(result: Result<T, Error>, key: [u8; 32]) {
    let error = result.unwrap_err();
    assert!(matches!(error, Error::UnknownSealKey { key: found, .. } if found == id(key)), "{error:?}");
    assert!(error.to_string().contains(&id(key).to_string()) && !error.is_transient(), "{error}");
}

/// The records of a store that is closed, by key.
fn records(path: &Path) -> Vec<([u8; 16], Vec<u8>)> {
    let db = redb::Database::open(path).unwrap();
    let table = db.begin_read().unwrap().open_table(RECORDS).unwrap();
    table.iter().unwrap().map(|entry| entry.map(|(key, value)| (*key.value(), value.value().to_vec())).unwrap()).collect()
}

fn set_record(path: &Path, key: &[u8; 16], value: &[u8]) {
    let db = redb::Database::open(path).unwrap();
    let txn = db.begin_write().unwrap();
    txn.open_table(RECORDS).unwrap().insert(key, value).unwrap();
    txn.commit().unwrap();
}

fn quarantined(path: &Path) -> Vec<Vec<u8>> {
    let db = redb::Database::open(path).unwrap();
    let table = db.begin_read().unwrap().open_table(QUARANTINE).unwrap();
    table.iter().unwrap().map(|entry| entry.unwrap().1.value().to_vec()).collect()
}

#[test]
fn what_was_sealed_is_read_from_the_journal_from_the_file_and_after_crashes() {
    let disk = FaultDisk::new(1);
    let store = encrypted(OLD).open_on(&disk).unwrap();
    let first: Vec<_> = (0..50).map(|n| secret(&store, n)).collect();
    // Into redb; later changes stay in the journal.
    store.sweep().wait().unwrap();
    let later: Vec<_> = (50..60).map(|n| secret(&store, n)).collect();
    let (renewed, old) = saved(&store, 60);
    renewed.rotate();
    renewed.save().wait().unwrap();
    let tokens: Vec<_> = first.into_iter().chain(later).chain(renewed.token()).collect();
    let check = |store: &Store| {
        for (n, token) in (0..).zip(&tokens) {
            assert_eq!(n_of(store, token), Some(n));
        }
        assert_eq!(n_of(store, &old), None, "it was rotated");
        assert_eq!(store.sessions_of(MARKER).unwrap().len(), 60);
    };
    check(&store);
    for seed in 0..5 {
        check(&encrypted(OLD).open_on(&disk.copy().crash(seed)).unwrap());
    }
    check(&encrypted(OLD).open_on(&disk.copy()).unwrap());
    store.close().unwrap();
    check(&encrypted(OLD).open_on(&disk).unwrap());
}

#[test]
fn no_file_holds_what_a_session_holds() {
    let disk = FaultDisk::new(1);
    let open = plain().open_on(&disk).unwrap();
    secret(&open, 1);
    assert!(files_with_marker(&disk.copy()).iter().any(|name| name.contains("journal")), "the search works");
    open.close().unwrap();
    assert_eq!(files_with_marker(&disk), ["store"], "the search works");

    let disk = FaultDisk::new(1);
    let store = encrypted(OLD).open_on(&disk).unwrap();
    let tokens: Vec<_> = (0..20).map(|n| secret(&store, n)).collect();
    let in_journal = disk.copy();
    assert_eq!(files_with_marker(&in_journal), [""; 0]);
    assert!(in_journal.names().len() > 1, "there is a journal");
    store.sweep().wait().unwrap();
    for token in &tokens {
        let session = store.session(Some(token)).unwrap();
        session.insert("again", MARKER).unwrap();
        session.rotate();
        session.save().wait().unwrap();
    }
    store.close().unwrap();
    assert_eq!(files_with_marker(&disk), [""; 0]);
}

#[test]
fn the_wrong_keys_open_nothing_and_change_nothing() {
    let disk = FaultDisk::new(1);
    let store = encrypted(OLD).open_on(&disk).unwrap();
    let token = secret(&store, 7);
    // With a journal beside it.
    let crashed = disk.copy();
    let before = crashed.contents("store.journal0");
    assert!(before.is_some());
    assert_unknown(encrypted(NEW).open_on(&crashed).map(drop), OLD);
    assert!(crashed.contents("store.journal0") == before);
    assert_eq!(n_of(&encrypted(OLD).open_on(&crashed).unwrap(), &token), Some(7));
    // And without.
    store.close().unwrap();
    assert_unknown(encrypted(NEW).open_on(&disk).map(drop), OLD);
    assert_eq!(n_of(&encrypted(OLD).open_on(&disk).unwrap(), &token), Some(7));
    assert!(matches!(encrypted("password").open_on(&disk), Err(Error::ShortKey { found_bytes: 8, .. })));
}

#[test]
fn a_store_is_encrypted_or_it_is_not() {
    for with_journal in [true, false] {
        let (closed, open) = (FaultDisk::new(1), FaultDisk::new(1));
        let (one, other) = (plain().open_on(&closed).unwrap(), encrypted(OLD).open_on(&open).unwrap());
        let (in_plain, in_sealed) = (secret(&one, 1), secret(&other, 2));
        if !with_journal {
            one.close().unwrap();
            other.close().unwrap();
        }
        let (closed, open) = (closed.copy(), open.copy());
        let error = encrypted(OLD).open_on(&closed).unwrap_err();
        assert!(matches!(error, Error::NotEncrypted { .. }) && error.to_string().contains("Builder::copy"), "{error}");
        let error = plain().open_on(&open).unwrap_err();
        assert!(matches!(error, Error::Encrypted { .. }) && error.to_string().contains("Builder::encrypt"), "{error}");
        assert_eq!(n_of(&plain().open_on(&closed).unwrap(), &in_plain), Some(1));
        assert_eq!(n_of(&encrypted(OLD).open_on(&open).unwrap(), &in_sealed), Some(2));
    }
}

#[test]
fn a_key_is_replaced_without_losing_a_session() {
    let disk = FaultDisk::new(1);
    let store = encrypted(OLD).open_on(&disk).unwrap();
    let (used, unused) = (secret(&store, 1), secret(&store, 2));
    store.close().unwrap();

    let store = encrypted(both()).open_on(&disk).unwrap();
    let session = store.session(Some(&used)).unwrap();
    session.insert("n", 3_u64).unwrap();
    session.save().wait().unwrap();
    assert_eq!(n_of(&store, &unused), Some(2), "the old key opens it");
    store.close().unwrap();

    // The old key is dropped too early.
    let store = encrypted(NEW).open_on(&disk).unwrap();
    assert_eq!(n_of(&store, &used), Some(3), "it was sealed with the new key when it was written");
    for _ in 0..2 {
        assert_unknown(store.session(Some(&unused)).map(drop), OLD);
    }
    store.sweep().wait().unwrap();
    let stats = store.stats();
    assert_eq!((stats.corrupt, stats.quarantined, stats.disk_sessions), (0, 0, 2), "it is neither absent nor damaged");
    assert_unknown(store.sessions_of(MARKER).map(drop), OLD);
    store.close().unwrap();

    // And is accepted again.
    let store = encrypted(both()).open_on(&disk).unwrap();
    assert_eq!((n_of(&store, &used), n_of(&store, &unused)), (Some(3), Some(2)));
}

#[test]
fn a_journal_that_an_old_key_sealed_wants_that_key() {
    let disk = FaultDisk::new(1);
    let store = encrypted(OLD).open_on(&disk).unwrap();
    let in_file = secret(&store, 1);
    store.sweep().wait().unwrap();
    let in_journal = secret(&store, 2);
    let killed = disk.kill();
    let mut wanted = 0;
    // The first open with a new key encrypts the store's own secret again, and then takes over the journal. It may be
    // interrupted at any point.
    for at in 0..40 {
        let disk = killed.copy();
        disk.crash_at(disk.counts().changes + at);
        drop(encrypted(both()).open_on(&disk));
        let disk = disk.crash(at);
        match encrypted(NEW).open_on(&disk) {
            Ok(store) => assert_eq!(n_of(&store, &in_journal), Some(2), "it was taken over"),
            Err(error) => {
                let is_known = secret_key_id(&disk) == raw_id(NEW);
                assert_unknown(Err::<(), _>(error), OLD);
                wanted += u64::from(is_known);
                // Intact data is not skipped as if it were damaged.
                assert_unknown(encrypted(NEW).salvage_journal(true).open_on(&disk).map(drop), OLD);
            }
        }
        let store = encrypted(both()).open_on(&disk).unwrap();
        assert_eq!((n_of(&store, &in_file), n_of(&store, &in_journal)), (Some(1), Some(2)), "change {at}");
    }
    assert!(wanted > 0, "the journal alone wanted the old key");
}

/// Returns the id of the key that encrypted the store's own secret.
fn secret_key_id(disk: &FaultDisk) -> [u8; 4] {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    std::fs::write(&path, disk.contents("store").unwrap()).unwrap();
    let db = redb::Database::open(&path).unwrap();
    let table = db.begin_read().unwrap().open_table(META).unwrap();
    let value = table.get("mac_keys").unwrap().unwrap();
    *value.value()[1..].first_chunk().unwrap()
}

#[test]
fn a_record_that_was_changed_is_absent_and_counted_and_the_others_are_served() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sessions.redb");
    let store = encrypted(OLD).open(&path).unwrap();
    let tokens: Vec<_> = (0..5).map(|n| secret(&store, n)).collect();
    store.close().unwrap();
    let all = records(&path);
    let (key, sound) = &all[2];
    // The owner, the id of the key, the nonce, the record, the tag.
    for at in [8, 30, 40, 100, sound.len() - 1] {
        let mut damaged = sound.clone();
        damaged[at] ^= 1;
        set_record(&path, key, &damaged);
        let store = encrypted(OLD).open(&path).unwrap();
        let found = (0..).zip(&tokens).filter(|(n, token)| n_of(&store, token) == Some(*n)).count();
        // Damaged records are put aside before they come to a sweep.
        store.sweep().wait().unwrap();
        let stats = store.stats();
        assert_eq!((found, stats.corrupt, stats.quarantined), (4, 1, 1), "byte {at}");
        store.close().unwrap();
        assert!(quarantined(&path) == [damaged], "byte {at}: it stays sealed");
        // Whole again.
        set_record(&path, key, sound);
        let store = encrypted(OLD).open(&path).unwrap();
        assert!((0..).zip(&tokens).all(|(n, token)| n_of(&store, token) == Some(n)), "byte {at}");
        store.close().unwrap();
    }
}

#[test]
fn a_record_under_another_key_is_nobodys() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sessions.redb");
    let store = encrypted(OLD).open(&path).unwrap();
    let tokens = [secret(&store, 1), secret(&store, 2)];
    store.close().unwrap();
    let [(key, value), (other_key, other_value)] = &records(&path)[..] else { panic!("there are two") };
    set_record(&path, key, other_value);
    set_record(&path, other_key, value);
    let store = encrypted(OLD).open(&path).unwrap();
    assert_eq!(tokens.map(|token| n_of(&store, &token)), [None, None]);
    assert_eq!(store.stats().corrupt, 2);
}

#[test]
fn a_record_of_another_store_is_nobodys() {
    let dir = tempfile::tempdir().unwrap();
    let (path, copy) = (dir.path().join("sessions.redb"), dir.path().join("copy.redb"));
    let store = encrypted(OLD).open(&path).unwrap();
    let token = secret(&store, 1);
    store.close().unwrap();
    // The same session, the same key, the same record key, in another store.
    assert_eq!(encrypted(OLD).copy(&path, &encrypted(OLD), &copy).unwrap(), 1);
    assert_eq!(n_of(&encrypted(OLD).open(&copy).unwrap(), &token), Some(1));
    let (key, value) = &records(&copy)[0];
    set_record(&path, key, value);
    let store = encrypted(OLD).open(&path).unwrap();
    assert_eq!((n_of(&store, &token), store.stats().corrupt), (None, 1));
}

#[test]
fn what_the_keys_are_known_by_is_not_believed_when_it_was_changed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sessions.redb");
    let store = encrypted(OLD).open(&path).unwrap();
    let token = secret(&store, 1);
    store.close().unwrap();
    let change = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let db = redb::Database::open(&path).unwrap();
        let txn = db.begin_write().unwrap();
        {
            let mut table = txn.open_table(META).unwrap();
            let mut value = table.get(name).unwrap().unwrap().value().to_vec();
            change(&mut value);
            table.insert(name, value.as_slice()).unwrap();
        }
        txn.commit().unwrap();
    };
    change("mac_keys", &|value| *value.last_mut().unwrap() ^= 1);
    assert!(matches!(encrypted(OLD).open(&path), Err(Error::SealBroken { .. })));
    change("mac_keys", &|value| *value.last_mut().unwrap() ^= 1);
    // A form of a later release.
    change("sealed", &|value| value[0] = 9);
    assert!(matches!(encrypted(OLD).open(&path), Err(Error::StoreFormat { found: 9, expected: 1, .. })));
    change("sealed", &|value| value[0] = 1);
    assert_eq!(n_of(&encrypted(OLD).open(&path).unwrap(), &token), Some(1));
}

#[test]
fn sealed_sessions_are_listed_ended_and_swept_whichever_keys_there_are() {
    let (disk, clock) = (FaultDisk::new(1), ManualClock::default());
    let open = |keys: Keys| encrypted(keys).clock(clock.clone()).idle_timeout(10 * DAY).open_on(&disk).unwrap();
    let store = open(OLD.into());
    let tokens: Vec<_> = (0..10).map(|n| secret(&store, n)).collect();
    store.sweep().wait().unwrap();
    clock.advance(8 * DAY);
    // Its entry in the expiry index is too early from now on.
    let session = store.session(Some(&tokens[0])).unwrap();
    session.insert("n", 0_u64).unwrap();
    session.save().wait().unwrap();
    assert_eq!(store.sessions_of(MARKER).unwrap().len(), 10);
    store.close().unwrap();

    // Nothing in this store can be read with these keys.
    let store = open(both());
    store.close().unwrap();
    let store = open(NEW.into());
    clock.advance(3 * DAY);
    store.sweep().wait().unwrap();
    assert_eq!((store.stats().swept, store.stats().disk_sessions), (9, 1));
    assert_unknown(store.session(Some(&tokens[0])).map(drop), OLD);
    store.close().unwrap();

    let store = open(both());
    assert_eq!(store.sessions_of(MARKER).unwrap().len(), 1);
    assert_eq!(store.destroy_sessions_of(MARKER).wait().unwrap(), 1);
    store.close().unwrap();
    let store = open(both());
    assert_eq!((n_of(&store, &tokens[0]), store.stats().disk_sessions), (None, 0));
}

/// Returns the new key, with the old one accepted.
fn both() -> Keys {
    Keys::from(NEW).accept(OLD)
}

#[test]
fn a_plain_store_is_copied_to_an_encrypted_one_and_nobody_is_logged_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let store = plain().open(path("plain")).unwrap();
    let tokens: Vec<_> = (0..1200).map(|n| secret(&store, n)).collect();
    let ended = store.session(Some(&tokens[7])).unwrap();
    ended.destroy();
    ended.save().wait().unwrap();
    // A journal is left, as by a killed process.
    let killed = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(dir.path()).unwrap().map(Result::unwrap) {
        std::fs::copy(entry.path(), killed.path().join(entry.file_name())).unwrap();
    }
    assert!(matches!(plain().copy(path("plain"), &encrypted(OLD), path("sealed")), Err(Error::AlreadyOpen { .. })));
    drop(store);
    let path = |name: &str| killed.path().join(name);
    let check = |store: &Store| {
        for (n, token) in (0..).zip(&tokens) {
            assert_eq!(n_of(store, token), (n != 7).then_some(n));
        }
        assert_eq!((store.sessions_of(MARKER).unwrap().len(), store.stats().sessions), (1199, 1199));
    };
    assert_eq!(plain().copy(path("plain"), &encrypted(OLD), path("sealed")).unwrap(), 1199);
    check(&encrypted(OLD).open(path("sealed")).unwrap());
    let bytes = std::fs::read(path("sealed")).unwrap();
    assert!(!bytes.windows(MARKER.len()).any(|window| window == MARKER.as_bytes()));

    // To another key at once, and back.
    assert_unknown(encrypted(NEW).copy(path("sealed"), &encrypted(NEW), path("new")).map(drop), OLD);
    assert_eq!(encrypted(OLD).copy(path("sealed"), &encrypted(NEW), path("new")).unwrap(), 1199);
    check(&encrypted(NEW).open(path("new")).unwrap());
    assert_eq!(encrypted(NEW).copy(path("new"), &plain(), path("back")).unwrap(), 1199);
    check(&plain().open(path("back")).unwrap());

    // Nothing is replaced, and no partial file is left.
    assert!(matches!(plain().copy(path("back"), &encrypted(OLD), path("new")), Err(Error::Open { .. })));
    assert!(matches!(plain().copy(path("missing"), &encrypted(OLD), path("newer")), Err(Error::Open { .. })));
    let mut names: Vec<_> =
        std::fs::read_dir(killed.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["back", "new", "plain", "sealed"]);
}

#[test]
fn a_copy_ends_at_a_session_whose_key_is_missing_and_leaves_out_a_damaged_one() {
    let dir = tempfile::tempdir().unwrap();
    let (path, to) = (dir.path().join("sessions"), dir.path().join("copy"));
    let store = encrypted(OLD).open(&path).unwrap();
    let sealed_by_old = secret(&store, 1);
    store.close().unwrap();
    let store = encrypted(both()).open(&path).unwrap();
    let sealed_by_new = secret(&store, 2);
    store.close().unwrap();
    assert_unknown(encrypted(NEW).copy(&path, &encrypted(NEW), &to).map(drop), OLD);
    assert!(!to.exists());
    let damaged = records(&path).into_iter().find(|(_, value)| value[24 + 4 + 1..][..4] == raw_id(OLD)).unwrap();
    let (key, mut value) = damaged;
    *value.last_mut().unwrap() ^= 1;
    set_record(&path, &key, &value);
    assert_eq!(encrypted(both()).copy(&path, &encrypted(NEW), &to).unwrap(), 1);
    let store = encrypted(NEW).open(&to).unwrap();
    assert_eq!((n_of(&store, &sealed_by_old), n_of(&store, &sealed_by_new)), (None, Some(2)));
}

/// Returns the id of a key as it is in the files.
fn raw_id(key: [u8; 32]) -> [u8; 4] {
    u32::from_str_radix(&id(key).to_string(), 16).unwrap().to_be_bytes()
}

#[test]
fn reads_from_memory_need_no_key() {
    let disk = FaultDisk::new(1);
    let store = encrypted(OLD).memory_budget(1 << 20).open_on(&disk).unwrap();
    let token = secret(&store, 1);
    store.sweep().wait().unwrap();
    let before = disk.counts();
    for _ in 0..100 {
        assert_eq!(n_of(&store, &token), Some(1));
    }
    assert_eq!((disk.counts(), store.stats().disk_hits), (before, 0));
}
