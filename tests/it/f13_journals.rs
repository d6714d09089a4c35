//! A store's file beside a journal that is not its own: of another moment, of another copy, of another store or of another format.

use sessile::{Error, testing::FaultDisk};

use crate::{
    failures::{JOURNAL, STORE, builder, checkpoint, open},
    support::{n_of, saved},
};

/// Two moments of one store: (earlier, later). Between them are two checkpoints: with one, an earlier state of the newest generation
/// could look like what a crash left of it.
pub(crate) fn two_moments() -> (FaultDisk, FaultDisk) {
    let disk = FaultDisk::new(0);
    let store = open(&disk);
    saved(&store, 1);
    let earlier = disk.copy();
    for n in 2..4 {
        checkpoint(&store);
        saved(&store, n);
    }
    (earlier, disk.copy())
}

/// The journal's files of `disk`.
pub(crate) fn journals(disk: &FaultDisk) -> Vec<String> {
    disk.names().into_iter().filter_map(|name| name.into_string().ok()).filter(|name| name.contains("journal")).collect()
}

/// The database of one disk beside the journal of another.
fn mixed(database: &FaultDisk, journal: &FaultDisk) -> FaultDisk {
    let mixed = database.copy();
    for name in journals(&mixed) {
        mixed.delete(name);
    }
    for name in journals(journal) {
        mixed.replace(&name, &journal.contents(&name).unwrap());
    }
    mixed
}

#[test]
fn f13_a_backup_of_another_moment_is_told_from_its_journal() {
    let (earlier, later) = two_moments();
    for (database, journal) in [(&earlier, &later), (&later, &earlier)] {
        let error = builder().open_on(&mixed(database, journal)).unwrap_err();
        assert!(matches!(error, Error::JournalMismatch { .. }), "{error:?}");
    }
    drop((open(&earlier.copy()), open(&later.copy())));
}

#[test]
fn f13_a_backup_beside_a_journal_of_its_generation_and_another_history_is_refused() {
    let disk = FaultDisk::new(0);
    let store = open(&disk);
    saved(&store, 1);
    store.close().unwrap();
    // Two copies go on, each with commits of its own.
    let (backup, lived_on) = (disk.copy(), disk);
    let store = open(&backup);
    saved(&store, 2);
    store.close().unwrap();
    let store = open(&lived_on);
    let token = saved(&store, 3).1;
    let error = builder().open_on(&mixed(&backup, &lived_on)).map(drop).unwrap_err();
    assert!(matches!(error, Error::JournalMismatch { journal: Some(of), database, .. } if of == database), "{error:?}");
    assert_eq!(n_of(&open(&lived_on.copy()), &token), Some(3), "that journal alone has what was acknowledged");
}

#[test]
fn f13_a_backup_beside_the_next_generation_of_another_history_is_refused() {
    let disk = FaultDisk::new(0);
    let store = open(&disk);
    saved(&store, 1);
    store.close().unwrap();
    let (backup, lived_on) = (disk.copy(), disk);
    let stores = [open(&backup), open(&lived_on)];
    // In each, redb has one commit of its own, and the journal another.
    for (n, store) in (2..).zip(&stores) {
        saved(store, n);
        checkpoint(store);
        saved(store, 10 * n);
    }
    let mixed = mixed(&backup, &lived_on);
    // A spare file: it tells of the generation that both have.
    mixed.delete(JOURNAL);
    let error = builder().open_on(&mixed).map(drop).unwrap_err();
    assert!(matches!(error, Error::JournalMismatch { journal: Some(of), database, .. } if of == database + 1), "{error:?}");
    assert_eq!([&backup, &lived_on].map(|disk| open(&disk.copy()).stats().sessions), [3, 3]);
}

#[test]
fn f13_a_journal_of_another_store_or_without_one_is_refused() {
    let (other, _) = two_moments();
    let (own, _) = two_moments();
    let error = builder().open_on(&mixed(&own, &other)).unwrap_err();
    assert!(matches!(error, Error::ForeignJournal { .. }), "{error:?}");
    own.delete(STORE);
    let error = builder().open_on(&own).unwrap_err();
    assert!(matches!(error, Error::ForeignJournal { .. }), "{error:?}");
    assert!(own.contents(STORE).is_none(), "no new store is made beside it");
}

/// The name of the store that a killed process made may not be durable: the next process makes it so before it makes the first segment.
#[test]
fn f13_a_store_whose_maker_was_killed_has_its_file_after_a_power_cut_too() {
    let killed = |after| {
        let disk = FaultDisk::new(0);
        disk.crash_at(after);
        assert!(builder().open_on(&disk).is_err());
        disk.kill()
    };
    let has_name = |disk: &FaultDisk| disk.names().iter().any(|name| name == STORE);
    let made = (0..1000).map(killed).find(has_name).unwrap();
    for cut_after in 0..20 {
        let next = made.kill();
        next.crash_at(next.counts().changes + cut_after);
        if let Ok(session) = builder().open_on(&next).and_then(|store| store.session(None)) {
            let _ = session.insert("n", 1).and_then(|()| session.save().wait());
        }
        for seed in 0..20 {
            let error = builder().open_on(&next.crash(seed)).map(drop).err();
            assert!(error.is_none(), "cut after {cut_after} changes, seed {seed}: {error:?}");
        }
    }
}

#[test]
fn f13_a_journal_of_another_format_is_refused_by_its_number() {
    let (disk, _) = two_moments();
    let mut bytes = disk.contents(JOURNAL).unwrap();
    bytes[8..12].copy_from_slice(&9_u32.to_le_bytes());
    let crc = crc32(bytes[..12].iter().chain(&bytes[16..64]));
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    disk.replace(JOURNAL, &bytes);
    let error = builder().open_on(&disk).unwrap_err();
    assert!(matches!(error, Error::StoreFormat { found: 9, expected: 1, .. }), "{error:?}");
}

/// CRC-32 as in zip files.
fn crc32<'a>(bytes: impl Iterator<Item = &'a u8>) -> u32 {
    !bytes.fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}
