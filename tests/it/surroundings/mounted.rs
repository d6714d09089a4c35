//! Directories that cannot be written, and files that are mounted alone.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use sessile::{Error, Store};

use super::{Place, assert_all, builder, names, use_much};
use crate::support::{n_of, saved};

/// A mount that lasts until this is dropped.
pub(super) struct Mount(PathBuf);

impl Mount {
    /// Returns `None` if this process may not mount.
    pub(super) fn new(arguments: &[&str], at: &Path) -> Option<Self> {
        let mounted = Command::new("mount").args(arguments).arg(at).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(at.into()));
        }
        println!("skipped: only root may mount");
        None
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // If it stays mounted, the removal of its directory fails.
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_directory_that_cannot_be_written_is_told_at_the_open() {
    let place = Place::new();
    let Some(mount) = Mount::new(&["-t", "tmpfs", "-o", "size=8m", "tmpfs"], place.dir.path()) else { return };
    let store = Store::open(&place.path).unwrap();
    let token = saved(&store, 7).1;
    store.close().unwrap();
    let remount = |how: &str| {
        let options = format!("remount,{how}");
        assert!(Command::new("mount").args(["-o", &options]).arg(&mount.0).status().unwrap().success());
    };
    remount("ro");
    for path in [place.path.clone(), place.beside("new")] {
        let error = Store::open(&path).unwrap_err();
        assert!(matches!(&error, Error::ReadOnly { path: found, .. } if *found == path), "{error:?}");
        assert!(!error.is_transient(), "the operator must act");
    }
    remount("rw");
    assert_eq!(n_of(&Store::open(&place.path).unwrap(), &token), Some(7));
}

#[test]
fn an_empty_file_becomes_a_store_when_that_is_asked_for() {
    let place = Place::new();
    fs::write(&place.path, "").unwrap();
    assert!(matches!(Store::open(&place.path), Err(Error::EmptyFile { .. })));
    let store = builder().accept_empty_file(true).open(&place.path).unwrap();
    let tokens = use_much(&store);
    assert!(matches!(builder().accept_empty_file(true).open(&place.path), Err(Error::AlreadyOpen { .. })));
    store.close().unwrap();
    assert_eq!(names(place.dir.path()), ["a"]);
    for accept in [true, false] {
        assert_all(&builder().accept_empty_file(accept).open(&place.path).unwrap(), &tokens);
    }
    // Empty again, while its journal is not.
    let store = builder().open(&place.path).unwrap();
    saved(&store, 7);
    let journal = fs::read(place.beside("a.journal0")).unwrap();
    drop(store);
    fs::write(&place.path, "").unwrap();
    fs::write(place.beside("a.journal0"), journal).unwrap();
    let error = builder().accept_empty_file(true).open(&place.path).unwrap_err();
    assert!(matches!(error, Error::ForeignJournal { .. }), "{error:?}");
    assert_eq!(fs::metadata(&place.path).unwrap().len(), 0);
}

#[test]
fn a_file_that_is_mounted_alone_can_be_a_store() {
    let (outside, inside) = (Place::new(), Place::new());
    fs::write(&outside.path, "").unwrap();
    fs::write(&inside.path, "").unwrap();
    let Some(_mount) = Mount::new(&["--bind", outside.path.to_str().unwrap()], &inside.path) else { return };
    let store = builder().accept_empty_file(true).open(&inside.path).unwrap();
    let tokens = use_much(&store);
    store.close().unwrap();
    // A new container has the file, and nothing else.
    assert_all(&builder().open(&outside.path).unwrap(), &tokens);
}

#[test]
fn a_directory_that_is_mounted_twice_has_one_store() {
    let (outside, inside) = (Place::new(), Place::new());
    let Some(mount) = Mount::new(&["--bind", outside.dir.path().to_str().unwrap()], inside.dir.path()) else { return };
    let store = builder().open(&inside.path).unwrap();
    let mut tokens = use_much(&store);
    assert!(matches!(Store::open(&outside.path), Err(Error::AlreadyOpen { .. })), "it is the same file");
    assert_eq!(names(outside.dir.path()), names(inside.dir.path()));
    // At once although files in it are open.
    assert!(Command::new("umount").arg("--lazy").arg(inside.dir.path()).status().unwrap().success());
    std::mem::forget(mount);
    assert_eq!(names(inside.dir.path()), Vec::<String>::new());
    tokens.push(saved(&store, tokens.len() as u64).1);
    store.sweep().wait().unwrap();
    assert_all(&store, &tokens);
    store.close().unwrap();
    assert_eq!(names(inside.dir.path()), Vec::<String>::new());
    assert_all(&builder().open(&outside.path).unwrap(), &tokens);
}
