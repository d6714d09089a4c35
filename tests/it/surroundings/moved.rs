//! The path leads elsewhere while the store is open, or files are created under another umask.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chroot},
    process::Command,
};

use sessile::{Error, Store};

use super::{Place, assert_all, builder, child, names, output_of, path_of_child, say_and_exit, tokens_of, use_much};

#[test]
fn child_that_changes_its_root() {
    let Some(path) = path_of_child() else { return };
    let store = builder().open(&path).unwrap();
    if chroot(path.with_extension("root")).is_err() {
        println!("said not root");
        return;
    }
    let tokens = use_much(&store);
    assert!(store.stats().file_bytes > 0, "the file is still found");
    say_and_exit(&tokens);
}

#[test]
fn another_root_with_a_directory_of_the_same_path_gets_no_journal() {
    let place = Place::new();
    // The path of the store's directory after the change.
    let inside = place.beside("a.root").join(place.dir.path().strip_prefix("/").unwrap());
    fs::create_dir_all(&inside).unwrap();
    let said = output_of(child("moved::child_that_changes_its_root", &place.path));
    if said == ["not root"] {
        println!("skipped: only root may change its root");
        return;
    }
    assert_eq!(names(&inside), Vec::<String>::new());
    assert_all(&builder().open(&place.path).unwrap(), &tokens_of(&said));
}

#[test]
fn a_directory_that_gets_another_name_keeps_its_store() {
    let root = tempfile::tempdir().unwrap();
    let (old, new) = (root.path().join("old"), root.path().join("new"));
    fs::create_dir(&old).unwrap();
    let store = builder().open(old.join("a")).unwrap();
    let before = use_much(&store);
    fs::rename(&old, &new).unwrap();
    // A directory with the old name has no effect.
    fs::create_dir(&old).unwrap();
    let after = use_much(&store);
    assert!(!store.stats().degraded);
    assert_eq!(names(&old), Vec::<String>::new());
    store.close().unwrap();
    assert_eq!((names(&old), names(&new)), (vec![], vec!["a".to_owned()]));
    let store = builder().open(new.join("a")).unwrap();
    assert_all(&store, &before);
    assert_all(&store, &after);
}

#[test]
fn child_that_makes_files() {
    let Some(path) = path_of_child() else { return };
    let store = builder().open(&path).unwrap();
    let tokens = use_much(&store);
    let directory = path.parent().unwrap();
    for name in names(directory) {
        let mode = fs::metadata(directory.join(&name)).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, 0o600, "{name}");
    }
    assert!(names(directory).len() > 1, "a journal is there");
    say_and_exit(&tokens);
}

#[test]
fn a_umask_neither_takes_the_owners_rights_away_nor_gives_rights_to_others() {
    for umask in ["0000", "0022", "0077", "0777"] {
        let place = Place::new();
        let child = child("moved::child_that_makes_files", &place.path);
        let mut command = Command::new("sh");
        command.args(["-c", &format!("umask {umask} && exec \"$0\" \"$@\"")]).arg(child.get_program()).args(child.get_args());
        command.envs(child.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let tokens = tokens_of(&output_of(command));
        assert_all(&builder().open(&place.path).unwrap(), &tokens);
    }
}

#[test]
fn a_hard_link_is_the_same_store_without_its_journal() {
    let place = Place::new();
    let tokens = tokens_of(&output_of(child("moved::child_that_makes_files", &place.path)));
    let link = place.beside("b");
    fs::hard_link(&place.path, &link).unwrap();
    let error = builder().open(&link).unwrap_err();
    assert!(matches!(error, Error::JournalMismatch { journal: None, .. }), "{error:?}");
    let store = builder().open(&place.path).unwrap();
    assert!(matches!(Store::open(&link), Err(Error::AlreadyOpen { .. })), "one file by two names");
    assert_all(&store, &tokens);
    store.close().unwrap();
    assert_all(&builder().open(&link).unwrap(), &tokens);
}
