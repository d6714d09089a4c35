//! The store's file is removed or replaced while the store has it open.

use std::{fs, io::ErrorKind, path::Path, thread, time::Duration};

use sessile::{Error, Store};
use sessile_fault_disk::{FaultDisk, IoKind};

use super::{Place, assert_all, builder, names, use_much};
use crate::support::{n_of, saved};

/// Returns the content of every file in `directory`.
fn contents(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let read = |name: String| {
        let content = fs::read(directory.join(&name)).unwrap();
        (name, content)
    };
    names(directory).into_iter().map(read).collect()
}

#[track_caller]
fn assert_replaced<T>(result: Result<T, Error>, path: &Path) {
    match result {
        Err(Error::FileReplaced { path: found }) => assert_eq!(found, path),
        Err(error) => panic!("another error: {error:?}"),
        Ok(_) => panic!("it was not noticed"),
    }
}

/// Fills the room of the journal.
fn use_more(store: &Store) {
    let save = || {
        let session = store.session(None).unwrap();
        session.insert("long", "x".repeat(4000)).unwrap();
        session.save().wait()
    };
    assert!((0..1000).any(|_| save().is_err()), "it is full at some point");
}

/// Replaces the file at the path.
type Replace = fn(&Path);

const REPLACEMENTS: [(&str, Replace); 5] = [
    ("nothing", |_| {}),
    ("an older copy", |path| {
        fs::copy(path.with_extension("backup"), path).unwrap();
    }),
    ("an older copy, and a journal of that time", |path| {
        fs::copy(path.with_extension("backup"), path).unwrap();
        for number in 0..4 {
            // Over the store's own file.
            fs::rename(path.with_extension(format!("backup{number}")), path.with_extension(format!("journal{number}")))
                .unwrap();
        }
    }),
    ("another store", |path| {
        let other = path.with_extension("other");
        Store::open(&other).unwrap().close().unwrap();
        fs::rename(&other, path).unwrap();
    }),
    ("a text", |path| fs::write(path, "notes").unwrap()),
];

#[test]
fn a_file_that_has_lost_its_name_keeps_its_journal() {
    for (what, replace) in REPLACEMENTS {
        let place = Place::new();
        let store = builder().open(&place.path).unwrap();
        saved(&store, 1000);
        for number in 0..4 {
            let journal = place.beside(&format!("a.journal{number}"));
            let copy = place.beside(&format!("a.backup{number}"));
            if fs::copy(&journal, &copy).is_err() {
                fs::copy(place.beside("a.journal0"), &copy).unwrap();
            }
        }
        fs::copy(&place.path, place.beside("a.backup")).unwrap();
        let before = use_much(&store);
        let kept = place.beside("kept");
        fs::rename(&place.path, &kept).unwrap();
        let after = saved(&store, 7).1;
        replace(&place.path);
        let there = contents(place.dir.path());

        assert_replaced(store.sweep().wait(), &place.path);
        assert!(store.stats().degraded, "{what}");
        // Meanwhile room is made for it, beside the replacement.
        use_more(&store);
        assert_replaced(store.close(), &place.path);
        for (name, content) in &there {
            let now = fs::read(place.beside(name)).unwrap_or_else(|error| panic!("{what}: {name} is gone: {error}"));
            // The store's own files are open.
            let is_own = name == "kept" || (name.starts_with("a.journal") && !what.contains("journal"));
            assert!(now == *content || is_own, "{what}: {name}");
        }
        if what == "an older copy, and a journal of that time" {
            continue;
        }
        let mixed = builder().open(&place.path).map(drop);
        let is_told = matches!(
            mixed,
            Err(Error::JournalMismatch { .. } | Error::ForeignJournal { .. } | Error::NotAStore { .. } | Error::Open { .. })
        );
        assert!(is_told, "{what}: {mixed:?}");

        fs::rename(&kept, &place.path).unwrap();
        let store = builder().open(&place.path).unwrap();
        assert_all(&store, &before);
        assert_eq!(n_of(&store, &after), Some(7), "{what}");
    }
}

#[test]
fn a_file_that_gets_its_name_back_is_used_again() {
    let place = Place::new();
    let store = builder().open(&place.path).unwrap();
    let mut tokens = use_much(&store);
    fs::rename(&place.path, place.beside("kept")).unwrap();
    assert_replaced(store.sweep().wait(), &place.path);
    // While the journal has room, commits are accepted, and none is lost.
    tokens.push(saved(&store, tokens.len() as u64).1);
    fs::rename(place.beside("kept"), &place.path).unwrap();
    while store.sweep().wait().is_err() || store.stats().degraded {
        thread::sleep(Duration::from_millis(1));
    }
    tokens.push(saved(&store, tokens.len() as u64).1);
    store.close().unwrap();
    assert_eq!(names(place.dir.path()), ["a"]);
    assert_all(&builder().open(&place.path).unwrap(), &tokens);
}

#[test]
fn a_journal_that_is_full_says_why() {
    let place = Place::new();
    let store = builder().open(&place.path).unwrap();
    let first = saved(&store, 7).1;
    fs::remove_file(&place.path).unwrap();
    let mut kept = Vec::new();
    let error = loop {
        let n = kept.len() as u64;
        assert!(n < 1000, "it is full at some point");
        let session = store.session(None).unwrap();
        session.insert("n", n).unwrap();
        session.insert("long", "x".repeat(4000)).unwrap();
        match session.save().wait() {
            Ok(()) => kept.push(session.token().unwrap()),
            Err(error) => break error,
        }
    };
    assert!(matches!(&error, Error::FileReplaced { .. }), "{error:?}");
    assert!(error.is_transient(), "the caller need not change anything");
    assert_eq!(n_of(&store, &first), Some(7), "reads go on");
    assert_all(&store, &kept);
}

#[test]
fn a_copy_of_the_file_is_not_opened_in_its_place_after_a_failure() {
    let disk = FaultDisk::new(0);
    let store = Store::builder().memory_budget(0).disk_cache(0).open_on(&disk).unwrap();
    let token = saved(&store, 1).1;
    store.sweep().wait().unwrap();
    let copy = disk.contents("store").unwrap();
    saved(&store, 2);
    store.sweep().wait().unwrap();
    disk.delete("store");
    disk.replace("store", &copy);
    // After a failed read, the store opens its file again.
    disk.fail_nth(IoKind::Read, 0, ErrorKind::Other);
    assert!(store.session(Some(&token)).is_err());
    assert!(matches!(store.close(), Err(Error::FileReplaced { .. })));
    assert_eq!(disk.contents("store").unwrap(), copy, "nothing was written to it");
}
