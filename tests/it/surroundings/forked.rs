//! The process is forked while the store is open, as by a daemon that opens it too early.

use std::{
    fs, panic,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use daemonize::{Daemonize, Outcome};
use sessile::{Ack, Builder, Error, Owner, Session, Store, Token};
use sessile_fault_disk::FaultDisk;

use super::{Place, assert_all, builder, child, output_of, path_of_child, say_and_exit, tokens_of, use_much};
use crate::support::saved;

/// How long the forked process may take. It waits for nothing.
const PATIENCE: Duration = Duration::from_secs(20);

fn relaxed() -> Builder {
    builder().durability(sessile::Durability::Relaxed)
}

/// A change of a new session.
fn change(store: &Store) -> Session {
    let session = store.session(None).unwrap();
    session.insert("n", 1_u64).unwrap();
    session
}

/// Returns what each call reports in the forked process.
fn calls(store: Store, session: &Session, token: Token, stalled: &Store, pending: Ack, path: &Path) -> Vec<String> {
    let forked = |result: Result<(), Error>| match result {
        Err(Error::Forked { .. }) => "forked".to_owned(),
        other => format!("{other:?}"),
    };
    let in_memory = session.token();
    let mut said = vec![
        format!("what waited before: {}", forked(pending.wait())),
        format!("a flush of a stuck store: {}", forked(stalled.flush().wait())),
        format!("a new session: {}", forked(change(&store).save().wait())),
    ];
    said.push(format!("a session in memory: {}", forked(store.session(in_memory.as_ref()).map(drop))));
    session.insert("n", 8_u64).unwrap();
    said.push(format!("a change: {}", forked(session.save().wait())));
    session.insert_quick("q", 8_u64).unwrap();
    said.push(format!("a quick change: {}", forked(session.save().wait())));
    session.destroy();
    said.push(format!("an end: {}", forked(session.save().wait())));
    said.push(format!("a session: {}", forked(store.session(Some(&token)).map(drop))));
    said.push(format!("an owner: {}", forked(store.sessions_of(Owner::from(7_u64)).map(drop))));
    said.push(format!("a flush: {}", forked(store.flush().wait())));
    said.push(format!("a sweep: {}", forked(store.sweep().wait())));
    let again = Store::open(path).map(drop);
    said.push(format!("another open: {}", matches!(again, Err(Error::AlreadyOpen { .. }))));
    said.push(format!("degraded: {}", store.stats().degraded));
    said.push(format!("a close: {}", forked(store.close())));
    drop(store);
    said
}

#[test]
fn child_that_forks() {
    let Some(path) = path_of_child() else { return };
    let disk = FaultDisk::new(0);
    let stalled = Store::builder().open_on(&disk).unwrap();
    let store = relaxed().open(&path).unwrap();
    let mut tokens = use_much(&store);
    let (session, token) = saved(&store, 7);
    // Its cookie came back, so that finding it again changes nothing.
    assert_eq!(store.session(Some(&token)).unwrap().get::<u64>("n").unwrap(), Some(7));
    disk.stall_syncs();
    let pending = change(&stalled).save();
    let (said, pid) = (path.with_extension("said"), path.with_extension("pid"));
    match Daemonize::new().pid_file(&pid).execute() {
        Outcome::Child(result) => {
            result.unwrap();
            let draft = path.with_extension("draft");
            let hook = draft.clone();
            panic::set_hook(Box::new(move |info| fs::write(&hook, info.to_string()).unwrap()));
            let lines = calls(store, &session, tokens[0], &stalled, pending, &path);
            drop(stalled);
            assert!(!draft.exists(), "a panic");
            fs::write(&draft, lines.join("\n")).unwrap();
            fs::rename(&draft, &said).unwrap();
            std::process::exit(0);
        }
        Outcome::Parent(result) => {
            result.unwrap();
            let began = Instant::now();
            while !said.exists() {
                if began.elapsed() > PATIENCE {
                    disk.heal();
                    // The process that this test has started.
                    let pid = fs::read_to_string(&pid).unwrap();
                    let _ = std::process::Command::new("kill").args(["-9", pid.trim()]).status();
                    panic!("the forked process hangs, or has panicked: {:?}", fs::read_to_string(path.with_extension("draft")));
                }
                thread::sleep(Duration::from_millis(5));
            }
            disk.heal();
            // The store is as it was before.
            tokens.push(saved(&store, tokens.len() as u64).1);
            assert!(matches!(Store::open(&path), Err(Error::AlreadyOpen { .. })), "the lock is still ours");
            assert_all(&store, &tokens);
            store.close().unwrap();
            say_and_exit(&tokens);
        }
    }
}

#[test]
fn a_forked_process_gets_an_error_from_each_call_and_does_the_store_no_harm() {
    let place = Place::new();
    let tokens = tokens_of(&output_of(child("forked::child_that_forks", &place.path)));
    let said = fs::read_to_string(place.beside("a.said")).unwrap();
    let expected = [
        "what waited before: forked",
        "a flush of a stuck store: forked",
        "a new session: forked",
        "a session in memory: forked",
        "a change: forked",
        "a quick change: forked",
        "an end: forked",
        "a session: forked",
        "an owner: forked",
        "a flush: forked",
        "a sweep: forked",
        "another open: true",
        "degraded: true",
        "a close: forked",
    ];
    for line in expected {
        assert!(said.lines().any(|found| found == line), "{line}; it said:\n{said}");
    }
    assert_all(&builder().open(&place.path).unwrap(), &tokens);
}
