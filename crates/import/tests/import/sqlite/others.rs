//! Files that another process has open meanwhile. The other process is this program, started again.

use std::{
    env,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, params};
use sessile::testing;
use sessile_import::{FileProblem, Import, ImportError};

use super::{LIVING, TABLE, filled, import, insert, problem};
use crate::{RECORDS, record};

/// What a process that a test started does, and with which file.
const PART: &str = "SESSILE_IMPORT_TEST_PART";
const LONGEST: Duration = Duration::from_mins(2);

/// Another process that has the file open, until this is dropped.
struct Other(Child);

impl Other {
    fn start(part: &str, path: &Path) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command
            .args(["--exact", "sqlite::others::the_other_process", "--nocapture"])
            .env(PART, format!("{part} {}", path.display()));
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.by_ref().map_while(Result::ok).any(|line| line.contains("the file is open")), "{part}");
        Self(child)
    }

    fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.0.kill().and_then(|()| self.0.wait()).unwrap();
    }
}

/// Runs as the other process. Without a part to play, there is nothing to test.
#[test]
fn the_other_process() {
    let Ok(part) = env::var(PART) else { return };
    let (part, path) = part.split_once(' ').unwrap();
    let mut database = Connection::open(path).unwrap();
    database.busy_timeout(LONGEST).unwrap();
    if part == "locks" {
        database.execute_batch("begin exclusive; delete from tower_sessions").unwrap();
    }
    println!("the file is open");
    let began = Instant::now();
    while began.elapsed() < LONGEST {
        match part {
            "locks" => thread::sleep(Duration::from_millis(20)),
            "reopens" => {
                database.close().unwrap();
                database = Connection::open(path).unwrap();
                database.busy_timeout(LONGEST).unwrap();
                replace(&mut database);
            }
            _ => replace(&mut database),
        }
    }
}

/// Replaces the even records with the odd ones, or the reverse, in one transaction.
fn replace(database: &mut Connection) {
    let change = database.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    let found: u32 = change.query_row("select expiry_date from tower_sessions", (), |row| row.get(0)).unwrap();
    change.execute("delete from tower_sessions", ()).unwrap();
    (0..RECORDS).filter(|n| n % 2 != found).for_each(|n| insert(&change, "tower_sessions", n));
    change.commit().unwrap();
}

#[test]
fn what_another_process_writes_meanwhile_comes_over_by_whole_transactions() {
    // A process that closes the file each time leaves nothing beside it for a moment, in which it is copied.
    for (mode, part) in [("wal", "writes"), ("delete", "writes"), ("wal", "reopens")] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.db");
        let database = Connection::open(&path).unwrap();
        database.execute_batch(&format!("pragma journal_mode = {mode}; create table tower_sessions {TABLE}")).unwrap();
        (0..RECORDS).step_by(2).for_each(|n| insert(&database, "tower_sessions", n));
        database.close().unwrap();
        let mut other = Other::start(part, &path);
        // A tenth of all records are expired, and all of those are odd.
        let half = u64::from(RECORDS / 2);
        let expected = [(half, 0), (LIVING - half, half * 2 - LIVING)];
        let (mut times, began) = ([0, 0], Instant::now());
        while times.iter().any(|times| *times < 10) {
            let store = testing::store();
            let imported = match Import::into(&store).tower_sessions_sqlite(&path, "tower_sessions") {
                Err(ImportError::File { problem: FileProblem::Busy, .. }) if part == "reopens" => continue,
                imported => imported.unwrap(),
            };
            let found = (imported.created, imported.expired);
            let which = expected.iter().position(|expected| *expected == found && imported.refused == 0);
            times[which.unwrap_or_else(|| panic!("{mode} {part}: {imported:?}"))] += 1;
            assert!(began.elapsed() < LONGEST, "{mode}: {times:?}");
        }
        assert!(other.is_running(), "{mode}: the import disturbed it");
        drop(other);
        // The changes at its end are read, too.
        let imported = import(&testing::store(), &path, "tower_sessions");
        assert!(expected.contains(&(imported.created, imported.expired)), "{mode}: {imported:?}");
    }
}

#[test]
fn a_file_that_another_process_locks_is_busy() {
    let (_directory, path) = filled("pragma journal_mode = delete", "tower_sessions");
    let other = Other::start("locks", &path);
    let problem = problem(&path, "tower_sessions");
    assert!(matches!(problem, FileProblem::Busy) && problem.to_string().contains("end that process"), "{problem:?}");
    drop(other);
    assert_eq!(import(&testing::store(), &path, "tower_sessions").created, LIVING);
}

#[test]
fn a_database_that_is_only_open_is_not_disturbed() {
    let (_directory, path) = filled("pragma journal_mode = wal", "tower_sessions");
    let database = Connection::open(&path).unwrap();
    for n in 0..20 {
        database.execute("update tower_sessions set data = x'00' where id = ?1", params![record(n).id.to_string()]).unwrap();
        assert_eq!(import(&testing::store(), &path, "tower_sessions").refused, u64::from(n) + 1);
    }
}
