//! A process that may do less than it needs, and one that ends or becomes another midway.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};
use sessile::{Error, Store, Token};

use super::{
    Place, assert_all, builder, child, mounted::Mount, names, output_of, path_of_child, say_and_exit, tokens_of, use_much,
};
use crate::support::saved;

/// Returns `command` under the limit that `ulimit` sets with these arguments.
fn limited(limit: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    // A file that gets too long is then an error, not a signal.
    shell.args(["-c", &format!("trap '' XFSZ; ulimit {limit} && exec \"$0\" \"$@\"")]);
    shell.arg(command.get_program()).args(command.get_args());
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell
}

/// Commits until one is refused, or there are enough. Returns what was acknowledged.
fn commit_all(store: &Store) -> Vec<Token> {
    let mut tokens = Vec::new();
    for n in 0..300_u64 {
        let session = store.session(None).unwrap();
        session.insert("n", n).unwrap();
        session.insert("long", "x".repeat(4000)).unwrap();
        match session.save().wait() {
            Ok(()) => tokens.push(session.token().unwrap()),
            Err(error) => {
                assert!(matches!(error, Error::Degraded { .. }), "{error:?}");
                break;
            }
        }
    }
    tokens
}

#[test]
fn child_with_limits() {
    let Some(path) = path_of_child() else { return };
    match builder().open(&path) {
        Ok(store) => say_and_exit(&commit_all(&store)),
        Err(error) => {
            assert!(matches!(error, Error::Open { .. }), "{error:?}");
            println!("said refused");
        }
    }
}

#[test]
fn under_any_limit_of_a_process_what_is_acknowledged_is_there_afterwards() {
    // Of a file's length, in blocks of 512 bytes, of open files and of memory in KiB.
    let limits =
        ["-f 100", "-f 600", "-f 1500", "-f 3000", "-n 5", "-n 8", "-n 10", "-n 12", "-n 20", "-v 100000", "-v 200000"];
    let mut acknowledged = 0;
    for limit in limits {
        let place = Place::new();
        Store::open(&place.path).unwrap().close().unwrap();
        let output = limited(limit, &child("limits::child_with_limits", &place.path)).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let said: Vec<_> = text.lines().filter_map(|line| Some(line.split_once("said ")?.1.to_owned())).collect();
        let store = builder().open(&place.path).unwrap_or_else(|error| panic!("{limit}: {error:?}"));
        if !output.status.success() {
            // The harness itself did not get what it needs: a thread, a file, memory.
            println!("with {limit} the test itself could not run");
        } else if said != ["refused"] && !said.is_empty() {
            let tokens = tokens_of(&said);
            acknowledged += tokens.len();
            assert_all(&store, &tokens);
        }
        store.close().unwrap();
        assert_eq!(names(place.dir.path()), ["a"], "{limit}");
    }
    assert!(acknowledged > 100, "{acknowledged}");
}

#[test]
fn a_file_system_without_room_for_another_file_refuses_commits_and_heals() {
    let place = Place::new();
    let Some(_mount) = Mount::new(&["-t", "tmpfs", "-o", "size=64m,nr_inodes=8", "tmpfs"], place.dir.path()) else { return };
    let store = builder().open(&place.path).unwrap();
    let mut tokens = vec![saved(&store, 0).1];
    let mut ballast = 0;
    while fs::write(place.beside(&format!("ballast{ballast}")), "").is_ok() {
        ballast += 1;
    }
    for n in 1..200_u64 {
        let session = store.session(None).unwrap();
        session.insert("n", n).unwrap();
        session.insert("long", "x".repeat(2000)).unwrap();
        if let Err(error) = session.save().wait() {
            assert!(matches!(error, Error::Degraded { .. }) && error.is_transient(), "{error:?}");
            break;
        }
        tokens.push(session.token().unwrap());
    }
    assert_all(&store, &tokens);
    for number in 0..ballast {
        assert_eq!(fs::read(place.beside(&format!("ballast{number}"))).unwrap(), b"", "it is not ours");
        fs::remove_file(place.beside(&format!("ballast{number}"))).unwrap();
    }
    while store.flush().wait().is_err() || store.stats().degraded {
        std::thread::yield_now();
    }
    store.close().unwrap();
    assert_all(&builder().open(&place.path).unwrap(), &tokens);
}

#[test]
fn child_that_becomes_another_program() {
    use std::os::unix::process::CommandExt;

    let Some(path) = path_of_child() else { return };
    let store = builder().open(&path).unwrap();
    let tokens = use_much(&store);
    let said: Vec<_> = tokens.iter().map(|token| format!("said {}", token.expose())).collect();
    // Neither a close nor a drop; the new program has none of the files.
    let error = Command::new("sh").args(["-c", "printf '%s\\n' \"$@\"; ls /proc/$$/fd -l >&2", "sh"]).args(said).exec();
    panic!("{error}");
}

#[test]
fn a_process_that_becomes_another_program_lets_go_of_the_store() {
    let place = Place::new();
    let mut command = child("limits::child_that_becomes_another_program", &place.path);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let open = String::from_utf8_lossy(&output.stderr);
    assert!(!open.contains(place.path.to_str().unwrap()), "{open}");
    let text = String::from_utf8(output.stdout).unwrap();
    let said: Vec<_> = text.lines().filter_map(|line| Some(line.split_once("said ")?.1.to_owned())).collect();
    assert_all(&builder().open(&place.path).unwrap(), &tokens_of(&said));
}

#[test]
fn child_of_another_user() {
    let Some(path) = path_of_child() else { return };
    let error = Store::open(&path).map(drop).unwrap_err();
    assert!(!error.is_transient(), "{error:?}");
    println!("said {}", if matches!(error, Error::ReadOnly { .. }) { "read-only" } else { "open" });
}

#[test]
fn another_user_is_told_what_is_missing() {
    let place = Place::new();
    Store::open(&place.path).unwrap().close().unwrap();
    let user = |path: &Path| {
        let mut command = Command::new("setpriv");
        let child = child("limits::child_of_another_user", path);
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(child.get_program()).args(child.get_args());
        command.envs(child.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command
    };
    let is_possible = Command::new("setpriv").args(["--reuid=65534", "--regid=65534", "--clear-groups", "true"]).status();
    let program = std::env::current_exe().unwrap();
    let may_run =
        Command::new("setpriv").args(["--reuid=65534", "--regid=65534", "--clear-groups", "test", "-x"]).arg(program).status();
    if !is_possible.is_ok_and(|status| status.success()) || !may_run.is_ok_and(|status| status.success()) {
        println!("skipped: only root may become another user, which must be able to run this test");
        return;
    }
    fs::set_permissions(place.dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    assert_eq!(output_of(user(&place.path)), ["read-only"]);
    fs::set_permissions(place.dir.path(), PermissionsExt::from_mode(0o777)).unwrap();
    assert_eq!(output_of(user(&place.path)), ["open"], "the file is its owner's alone");
}

#[test]
fn child_that_becomes_another_user() {
    let Some(path) = path_of_child() else { return };
    let store = builder().open(&path).unwrap();
    let mut tokens = use_much(&store);
    // Like a server that needs root only for its port: from here on, it may not read the directory.
    setgroups(&[]).and_then(|()| setgid(Gid::from_raw(65534))).and_then(|()| setuid(Uid::from_raw(65534))).unwrap();
    fs::read_dir(path.parent().unwrap()).unwrap_err();
    tokens.push(saved(&store, tokens.len() as u64).1);
    let swept = store.sweep().wait();
    assert!(matches!(swept, Err(Error::Degraded { .. })), "whether its file is still there: {swept:?}");
    assert!(store.stats().degraded);
    for n in tokens.len()..tokens.len() + 100 {
        let session = store.session(None).unwrap();
        session.insert("n", n as u64).unwrap();
        session.insert("long", "x".repeat(4000)).unwrap();
        match session.save().wait() {
            Ok(()) => tokens.push(session.token().unwrap()),
            Err(error) => {
                assert!(matches!(error, Error::Degraded { .. }) && error.is_transient(), "{error:?}");
                break;
            }
        }
    }
    assert_all(&store, &tokens);
    // With or without an error: nothing can be lost by now.
    let _ = store.close();
    say_and_exit(&tokens);
}

#[test]
fn a_process_that_becomes_another_user_loses_nothing_that_it_acknowledged() {
    if !Uid::effective().is_root() {
        println!("skipped: only root may become another user");
        return;
    }
    let place = Place::new();
    fs::set_permissions(place.dir.path(), PermissionsExt::from_mode(0o700)).unwrap();
    let tokens = tokens_of(&output_of(child("limits::child_that_becomes_another_user", &place.path)));
    assert!(tokens.len() > 151, "{}", tokens.len());
    assert_all(&builder().open(&place.path).unwrap(), &tokens);
}
