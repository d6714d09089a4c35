//! F20: the system refuses threads. A child with little address space and large stacks has room for none, one or two of the
//! store's.
#![cfg(target_os = "linux")]

use std::{
    env, fs,
    path::Path,
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use sessile::{Error, Store};

use crate::support::{n_of, saved};

/// Contains the path of the child's store.
const STORE: &str = "SESSILE_TEST_THREADS";
/// So large that few fit beside the rest of a process.
const STACK_GIB: u64 = 4;

/// The child opens twice: a failed attempt must leave neither a lock nor a thread that disturbs the next one.
#[test]
fn child_that_opens() {
    let Some(path) = env::var_os(STORE) else { return };
    let before = threads();
    for _ in 0..2 {
        match Store::open(&path) {
            Ok(store) => println!("opened, closed: {:?}", store.close().is_ok()),
            Err(Error::Open { source, .. }) => println!("refused: {source}"),
            Err(error) => println!("other: {error}"),
        }
        // A thread that is ending may need a moment.
        let give_up = Instant::now() + Duration::from_secs(10);
        while threads() > before {
            assert!(Instant::now() < give_up, "threads: {}, before: {before}", threads());
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Returns the number of this process's threads.
fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

/// Opens `path` in a child with room for `stacks` stacks.
fn open_with_room_for(stacks: u64, path: &Path) -> Output {
    let limit_kib = (stacks * STACK_GIB + STACK_GIB / 2) << 20;
    Command::new("sh")
        .args(["-c", &format!("ulimit -v {limit_kib} && exec \"$0\" \"$@\"")])
        .arg(env::current_exe().unwrap())
        .args(["f20_threads::child_that_opens", "--exact", "--nocapture", "--test-threads=1"])
        .env(STORE, path)
        .env("RUST_MIN_STACK", (STACK_GIB << 30).to_string())
        .output()
        .unwrap()
}

#[test]
fn f20_a_store_without_its_threads_is_a_typed_error_and_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sessions.redb");
    let store = Store::open(&path).unwrap();
    let (_, token) = saved(&store, 7);
    store.close().unwrap();
    let mut refused = 0;
    // One more stack may be the harness's. With more than the store's three it opens.
    for stacks in 0..=5 {
        let output = open_with_room_for(stacks, &path);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "with room for {stacks}: {output:?}");
        let (opened, said) = (text.matches("opened, closed: true").count(), text.matches("refused: ").count());
        assert!([(2, 0), (0, 2)].contains(&(opened, said)), "with room for {stacks}: {text}");
        refused += usize::from(said == 2);
        let store = Store::open(&path).unwrap();
        assert_eq!(n_of(&store, &token), Some(7), "after the child with room for {stacks}");
        store.close().unwrap();
    }
    assert!((3..=5).contains(&refused), "each of the three threads was missing once, and none in the end: {refused}");
}
