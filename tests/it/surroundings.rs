//! What is around a store: other files in its directory, other processes, and changes to its files while they are in use.

mod forked;
#[cfg(target_os = "linux")]
mod limits;
mod missing;
mod mounted;
mod moved;
mod neighbours;
mod replaced;
mod together;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use sessile::{Builder, Store, Token};

use crate::support::{n_of, saved};

/// A directory and the path of a store in it.
pub(super) struct Place {
    pub(super) dir: tempfile::TempDir,
    pub(super) path: PathBuf,
}

impl Place {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { path: dir.path().join("a"), dir }
    }

    /// A file beside the store.
    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// A store with the shortest journal, so that it needs many segments.
pub(super) fn builder() -> Builder {
    Store::builder().journal_bytes(192 << 10).memory_budget(0)
}

/// Writes more than the journal holds, so that segments are created, moved to the file and reused. Returns what must be found
/// afterwards.
pub(super) fn use_much(store: &Store) -> Vec<Token> {
    let save = |n| {
        let session = store.session(None).unwrap();
        session.insert("n", n).unwrap();
        session.insert("long", "x".repeat(4000)).unwrap();
        session.save().wait().unwrap();
        session.token().unwrap()
    };
    let mut tokens: Vec<_> = (0..150).map(save).collect();
    store.sweep().wait().unwrap();
    tokens.push(saved(store, 150).1);
    tokens
}

#[track_caller]
pub(super) fn assert_all(store: &Store, tokens: &[Token]) {
    for (n, token) in tokens.iter().enumerate() {
        assert_eq!(n_of(store, token), Some(n as u64));
    }
}

/// The names in `directory`, sorted.
pub(super) fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Contains the path of the child's store.
const STORE: &str = "SESSILE_SURROUNDINGS";

/// A child of this process that runs the test `name` of this module with `path`: see [`path_of_child`].
pub(super) fn child(name: &str, path: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args([&format!("surroundings::{name}"), "--exact", "--nocapture", "--test-threads=1"]).env(STORE, path);
    command
}

/// `None` in the process of the tests.
pub(super) fn path_of_child() -> Option<PathBuf> {
    env::var_os(STORE).map(PathBuf::from)
}

/// Runs `command` to its end and returns the texts that it printed after `said `, one per line.
#[track_caller]
pub(super) fn output_of(mut command: Command) -> Vec<String> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let said = text.lines().filter_map(|line| line.split_once("said ")).map(|(_, said)| said.to_owned());
    said.collect()
}

/// The tokens that a child printed.
#[track_caller]
pub(super) fn tokens_of(said: &[String]) -> Vec<Token> {
    assert!(!said.is_empty());
    said.iter().map(|token| Token::parse(token.as_bytes()).unwrap()).collect()
}

/// Prints tokens for [`tokens_of`] and ends the process as a kill would, without a close.
pub(super) fn say_and_exit(tokens: &[Token]) -> ! {
    for token in tokens {
        println!("said {}", token.expose());
    }
    std::process::exit(0)
}
