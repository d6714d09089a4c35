//! Files of the journal are missing when the store is opened: nothing acknowledged is lost silently.

use std::io::ErrorKind;

use sessile::{Builder, Error, Store, Token};
use sessile_fault_disk::{FaultDisk, IoKind};

use crate::support::n_of;

/// A store that keeps five full segments of 64 KiB.
fn builder() -> Builder {
    Store::builder().journal_bytes(512 << 10)
}

fn save(store: &Store, tokens: &mut Vec<Token>, bytes: usize) {
    let session = store.session(None).unwrap();
    session.insert("n", tokens.len() as u64).unwrap();
    session.insert("long", "x".repeat(bytes)).unwrap();
    if session.save().wait().is_ok() {
        tokens.push(session.token().unwrap());
    }
}

/// The journal's files with their generations, the newest first.
fn journals(disk: &FaultDisk) -> Vec<(u64, std::ffi::OsString)> {
    let mut found: Vec<_> = disk
        .names()
        .into_iter()
        .filter(|name| name.to_string_lossy().contains("journal"))
        .map(|name| {
            let content = disk.contents(&name).unwrap();
            // One that is being created has no header yet.
            (content.get(32..40).map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap())), name)
        })
        .collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    found
}

/// Checks that all `tokens` are found on `disk` after it has lost `missing`, or that the store refuses to open. Returns whether
/// it refused.
#[track_caller]
fn refuses_or_has_all(disk: &FaultDisk, missing: &[&std::ffi::OsString], tokens: &[Token]) -> bool {
    let found = disk.copy();
    for name in missing {
        found.delete(name);
    }
    match builder().open_on(&found) {
        Ok(store) => {
            let lost = tokens.iter().enumerate().filter(|(n, token)| n_of(&store, token) != Some(*n as u64)).count();
            assert_eq!(lost, 0, "without {missing:?} of {:?}", journals(disk));
            false
        }
        Err(Error::JournalIncomplete { .. } | Error::JournalMismatch { .. }) => {
            let salvaged = builder().salvage_journal(true).open_on(&found).map(drop);
            assert!(salvaged.is_ok(), "{salvaged:?}");
            true
        }
        Err(error) => panic!("another error: {error:?}"),
    }
}

/// Checks every way to lose the newest files, and each file alone. Returns how often the store refused.
#[track_caller]
fn check(disk: &FaultDisk, tokens: &[Token]) -> usize {
    // The store may be creating the next file.
    let disk = &disk.copy();
    let journals = journals(disk);
    let newest = (0..=journals.len()).map(|count| journals[..count].iter().map(|(_, name)| name).collect::<Vec<_>>());
    let single = journals.iter().map(|(_, name)| vec![name]);
    newest.chain(single).filter(|missing| refuses_or_has_all(disk, missing, tokens)).count()
}

#[test]
fn a_journal_whose_newest_files_are_missing_is_refused() {
    let disk = FaultDisk::new(0);
    let store = builder().open_on(&disk).unwrap();
    let mut tokens = Vec::new();
    let mut refused = 0;
    // Full segments of which none, some and all except five are in the file.
    for n in 0..160 {
        save(&store, &mut tokens, 4000);
        if n % 10 == 0 {
            refused += check(&disk, &tokens);
        }
    }
    assert!(journals(&disk).len() > 4 && refused > 100, "{refused}");
}

#[test]
fn what_comes_after_a_sweep_a_crash_a_failure_or_a_long_record_is_missed_too() {
    let mut disk = FaultDisk::new(0);
    let mut store = builder().open_on(&disk).unwrap();
    let mut tokens = Vec::new();
    for n in 0..60 {
        for _ in 0..n % 7 {
            save(&store, &mut tokens, 4000);
        }
        match n % 5 {
            0 => store.sweep().wait().unwrap(),
            1 => {
                disk = disk.kill();
                store = builder().open_on(&disk).unwrap();
            }
            2 => {
                disk.fail_nth(IoKind::Sync, 0, ErrorKind::Other);
                save(&store, &mut tokens, 10);
                while store.flush().wait().is_err() {}
            }
            3 => save(&store, &mut tokens, 200_000),
            _ => {}
        }
        save(&store, &mut tokens, 10);
        check(&disk, &tokens);
    }
}

#[test]
fn a_file_that_was_only_ready_is_not_missed() {
    let disk = FaultDisk::new(0);
    let store = builder().open_on(&disk).unwrap();
    let mut tokens = Vec::new();
    save(&store, &mut tokens, 10);
    while journals(&disk).iter().filter(|(generation, _)| *generation != 0).count() < 2 {
        std::thread::yield_now();
    }
    let ready = &journals(&disk)[0].1;
    assert!(!refuses_or_has_all(&disk, &[ready], &tokens));
}
