//! Files beside the store with names that it uses, and that it did not create.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use sessile::{Error, Store};

use super::{Place, assert_all, builder, names, use_much};
use crate::support::{n_of, saved};

/// Creates a file at the path.
type Make = fn(&Path);

/// What another program may have under the name of a journal file, and what the error reports.
fn strangers() -> Vec<(&'static str, Make)> {
    vec![
        ("it is no journal", |path| fs::write(path, "notes").unwrap()),
        ("it is no journal", |path| fs::write(path, "a long text\n".repeat(10_000)).unwrap()),
        ("it is no journal", |path| {
            // A disk image: nothing in its first sectors.
            let mut image = vec![0; 400_000];
            image[300_000] = 1;
            fs::write(path, image).unwrap();
        }),
        ("it is a database", |path| drop(redb::Database::create(path).unwrap())),
        ("it is a directory", |path| fs::create_dir(path).unwrap()),
        ("it is a link", |path| symlink("/etc/passwd", path).unwrap()),
        ("it is a link", |path| symlink("nowhere", path).unwrap()),
        ("a pipe or a socket", |path| {
            assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
        }),
        ("a pipe or a socket", |path| drop(std::os::unix::net::UnixListener::bind(path).unwrap())),
    ]
}

/// Returns what is under `path`, for comparison.
fn look(path: &Path) -> (fs::FileType, Option<Vec<u8>>) {
    let kind = fs::symlink_metadata(path).unwrap().file_type();
    (kind, kind.is_file().then(|| fs::read(path).unwrap()))
}

#[test]
fn a_strangers_file_with_the_name_of_a_journal_is_refused_and_left_alone() {
    for is_there in [true, false] {
        for number in ["0", "7", "4294967295"] {
            for (what, make) in strangers() {
                let place = Place::new();
                if is_there {
                    Store::open(&place.path).unwrap().close().unwrap();
                }
                let path = place.beside(&format!("a.journal{number}"));
                make(&path);
                let before = look(&path);
                for builder in [Store::builder(), Store::builder().salvage_journal(true)] {
                    let error = builder.open(&place.path).unwrap_err();
                    assert!(matches!(&error, Error::NotAJournal { path: found, .. } if *found == path), "{what}: {error:?}");
                    assert!(error.to_string().contains(what), "{error}");
                    assert!(!error.is_transient());
                }
                assert_eq!(look(&path), before, "{what}");
            }
        }
    }
}

#[test]
fn another_store_with_the_name_of_a_journal_is_left_alone_also_while_it_is_open() {
    let place = Place::new();
    let path = place.beside("a.journal1");
    let other = Store::open(&path).unwrap();
    let token = saved(&other, 7).1;
    assert!(matches!(Store::open(&place.path), Err(Error::NotAJournal { .. })));
    other.close().unwrap();
    assert!(matches!(Store::open(&place.path), Err(Error::NotAJournal { .. })));
    assert_eq!(n_of(&Store::open(&path).unwrap(), &token), Some(7));
}

#[test]
fn names_that_are_only_similar_are_nobodys_business() {
    let place = Place::new();
    let similar = [
        "a.journal",
        "a.journal00",
        "a.journal01",
        "a.journal-1",
        "a.journal+1",
        "a.journal4294967296",
        "a.journal0.bak",
        "a.journal0~",
        "a.Journal0",
        "b.journal0",
        "a.new-",
        "a.new-0000000000000000",
        "a.bak",
        ".a.journal0",
    ];
    for name in similar {
        fs::write(place.beside(name), name).unwrap();
    }
    let before = names(place.dir.path());
    for _ in 0..2 {
        let store = builder().open(&place.path).unwrap();
        use_much(&store);
        store.close().unwrap();
    }
    let mut after = names(place.dir.path());
    after.retain(|name| name != "a");
    assert_eq!(after, before);
    for name in similar {
        assert_eq!(fs::read_to_string(place.beside(name)).unwrap(), name);
    }
}

#[test]
fn an_empty_file_with_the_name_of_a_journal_is_one_that_a_crash_left() {
    let place = Place::new();
    Store::open(&place.path).unwrap().close().unwrap();
    for len in [0, 1, 5000, 300_000] {
        fs::write(place.beside("a.journal3"), vec![0; len]).unwrap();
        Store::open(&place.path).unwrap().close().unwrap();
        assert_eq!(names(place.dir.path()), ["a"], "{len}");
    }
}

#[test]
fn a_strangers_file_that_appears_while_the_store_is_open_is_passed_over() {
    for (what, make) in strangers() {
        let place = Place::new();
        let store = builder().open(&place.path).unwrap();
        let paths: Vec<_> = [0, 1, 3].map(|number| place.beside(&format!("a.journal{number}"))).into();
        for path in &paths {
            make(path);
        }
        let before: Vec<_> = paths.iter().map(|path| look(path)).collect();
        let tokens = use_much(&store);
        assert_all(&store, &tokens);
        assert!(!store.stats().degraded);
        store.close().unwrap();
        assert_eq!(paths.iter().map(|path| look(path)).collect::<Vec<_>>(), before, "{what}");
        assert_eq!(names(place.dir.path()), ["a", "a.journal0", "a.journal1", "a.journal3"], "{what}");
        for path in &paths {
            // Moved away, as the error asks.
            fs::rename(path, path.with_extension("moved")).unwrap();
        }
        assert_all(&builder().open(&place.path).unwrap(), &tokens);
    }
}

#[test]
fn a_strangers_file_in_the_place_of_a_journal_is_not_removed_with_the_others() {
    let place = Place::new();
    let store = builder().open(&place.path).unwrap();
    let token = saved(&store, 7).1;
    let journal = place.beside("a.journal0");
    fs::rename(&journal, place.beside("moved")).unwrap();
    fs::write(&journal, "notes").unwrap();
    store.close().unwrap();
    assert_eq!(fs::read_to_string(&journal).unwrap(), "notes");
    fs::remove_file(&journal).unwrap();
    assert_eq!(n_of(&Store::open(&place.path).unwrap(), &token), Some(7), "it is in the store's file");
}
