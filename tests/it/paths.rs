//! Where a store's files are: links, another working directory, and paths that are no file.

use std::{env, fs, os::unix::fs::symlink, path::Path, process::Command};

use sessile::{Error, Store, Token};

use crate::support::{n_of, saved};

/// Contains the path of the child's store, relative to the directory that the child starts in.
const STORE: &str = "SESSILE_RELATIVE_STORE";

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Opens what a crash at this moment would leave of `directory`.
fn after_crash(directory: &Path) -> (tempfile::TempDir, Store) {
    let copy = tempfile::tempdir().unwrap();
    for name in names(directory) {
        fs::copy(directory.join(&name), copy.path().join(&name)).unwrap();
    }
    let store = Store::open(copy.path().join("sessions.redb")).unwrap();
    (copy, store)
}

#[test]
fn the_journal_lies_beside_the_file_that_a_link_leads_to() {
    let root = tempfile::tempdir().unwrap();
    let (data, links) = (root.path().join("data"), root.path().join("links"));
    fs::create_dir(&data).unwrap();
    fs::create_dir(&links).unwrap();
    Store::open(data.join("sessions.redb")).unwrap().close().unwrap();
    symlink("../data/sessions.redb", links.join("current")).unwrap();
    symlink(&data, root.path().join("through")).unwrap();
    for path in [links.join("current"), root.path().join("through/sessions.redb"), data.join("../data/./sessions.redb")] {
        let store = Store::open(&path).unwrap();
        let (_, token) = saved(&store, 7);
        assert_eq!(names(&links), ["current"], "{}", path.display());
        assert!(names(&data).len() > 1, "the journal is in {:?}", names(&data));
        let (_copy, found) = after_crash(&data);
        assert_eq!(n_of(&found, &token), Some(7), "{}", path.display());
        let again = Store::open(data.join("sessions.redb")).unwrap_err();
        assert!(matches!(again, Error::AlreadyOpen { .. }), "one store by two names: {again}");
        store.close().unwrap();
    }
}

#[test]
fn a_link_that_is_set_anew_while_the_store_is_open_parts_nothing() {
    let root = tempfile::tempdir().unwrap();
    let (first, second, link) = (root.path().join("first"), root.path().join("second"), root.path().join("current"));
    fs::create_dir(&first).unwrap();
    fs::create_dir(&second).unwrap();
    symlink(&first, &link).unwrap();
    let store = Store::open(link.join("sessions.redb")).unwrap();
    fs::remove_file(&link).unwrap();
    symlink(&second, &link).unwrap();
    let (_, token) = saved(&store, 7);
    store.sweep().wait().unwrap();
    assert_eq!(names(&second), Vec::<String>::new());
    let (_copy, found) = after_crash(&first);
    assert_eq!(n_of(&found, &token), Some(7));
}

#[test]
fn child_that_leaves_its_directory() {
    let Some(path) = env::var_os(STORE) else { return };
    let store = Store::open(path).unwrap();
    // As a daemon does.
    env::set_current_dir("/").unwrap();
    let (_, token) = saved(&store, 7);
    store.sweep().wait().unwrap();
    assert!(store.stats().file_bytes > 0, "the file is still found");
    println!("token {}", token.expose());
    // Without a close, as a kill would end it.
    std::process::exit(0);
}

#[test]
fn another_working_directory_parts_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let child = Command::new(env::current_exe().unwrap())
        .args(["paths::child_that_leaves_its_directory", "--exact", "--nocapture", "--test-threads=1"])
        .env(STORE, "sessions.redb")
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert!(child.status.success(), "{child:?}");
    let text = String::from_utf8_lossy(&child.stdout);
    let (_, token) = text.split_once("token ").unwrap_or_else(|| panic!("{child:?}"));
    let token = Token::parse(&token.as_bytes()[..32]).unwrap();
    let store = Store::open(directory.path().join("sessions.redb")).unwrap();
    assert_eq!(n_of(&store, &token), Some(7));
}

#[test]
fn what_is_no_file_is_refused_as_what_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("link");
    symlink("nowhere/sessions.redb", &link).unwrap();
    let socket = directory.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let inside = directory.path().join("inside");
    fs::create_dir(&inside).unwrap();
    for (path, says) in [
        (link.as_path(), "a link that leads to no file"),
        (Path::new("/dev/null"), "a device, a pipe or a socket and no regular file"),
        (socket.as_path(), "a device, a pipe or a socket and no regular file"),
        (inside.as_path(), "a directory and no regular file"),
    ] {
        let error = Store::open(path).unwrap_err();
        assert!(matches!(&error, Error::Open { path: found, .. } if found == path), "{error:?}");
        let text = format!("{error}: {}", std::error::Error::source(&error).unwrap());
        assert!(text.contains(says), "{text}");
    }
    assert_eq!(names(directory.path()), ["inside", "link", "socket"]);
    assert!(names(&inside).is_empty());
}
