//! SQLite files in every form that SQLite has; none of them is changed. Concurrent writes by other processes are tested in
//! [`others`].

mod others;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, params};
use serde_json::json;
use sessile::{Store, testing};
use sessile_import::{FileProblem, Import, ImportError, Imported};
use sessile_tower_sessions::TowerSessions;
use tempfile::TempDir;
use tower_sessions_core::SessionStore;

use crate::{EXPIRED, RECORDS, has_all, loaded, record};

/// As tower-sessions-sqlx-store makes it.
const TABLE: &str = "(id text primary key not null, data blob not null, expiry_date integer not null)";
const LIVING: u64 = RECORDS as u64 - EXPIRED;

fn fixture() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/import/tower_sessions.sqlite")
}

/// Creates the table and stores all records in it, in one transaction.
fn fill(database: &Connection, table: &str) {
    database.execute_batch(&format!("begin; create table {table} {TABLE}")).unwrap();
    (0..RECORDS).for_each(|n| insert(database, table, n));
    database.execute_batch("commit").unwrap();
}

fn insert(database: &Connection, table: &str, n: u32) {
    let (record, sql) = (record(n), format!("insert into {table} values (?1, ?2, ?3)"));
    let data = rmp_serde::to_vec(&record).unwrap();
    database.execute(&sql, params![record.id.to_string(), data, n % 2]).unwrap();
}

/// Returns a file with all records, made after `pragmas`.
fn filled(pragmas: &str, table: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    let database = Connection::open(&path).unwrap();
    database.execute_batch(pragmas).unwrap();
    fill(&database, table);
    database.close().unwrap();
    (directory, path)
}

fn import(store: &Store, path: &Path, table: &str) -> Imported {
    Import::into(store).tower_sessions_sqlite(path, table).unwrap()
}

#[track_caller]
fn problem(path: &Path, table: &str) -> FileProblem {
    match Import::into(&testing::store()).tower_sessions_sqlite(path, table) {
        Err(error @ ImportError::File { .. }) => {
            assert!(error.to_string().starts_with(&format!("{}: ", path.display())), "{error}");
            let ImportError::File { problem, .. } = error else { unreachable!() };
            problem
        }
        other => panic!("{other:?}"),
    }
}

/// Checks that the table has all records, and that a second import finds no changes.
async fn comes_over_whole(path: &Path, table: &str) {
    let store = testing::store();
    let imported = import(&store, path, table);
    assert_eq!((imported.created, imported.expired), (LIVING, EXPIRED), "{:?}", imported.reasons);
    has_all(&store).await;
    assert_eq!(import(&store, path, table).unchanged, LIVING);
}

/// Returns each file in the directory with its bytes.
fn contents(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    files.map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap())).collect()
}

/// Checks that both have the same files with the same bytes. Those of a `-shm` are SQLite's locks.
#[track_caller]
fn same(before: &BTreeMap<String, Vec<u8>>, after: &BTreeMap<String, Vec<u8>>) {
    assert!(before.keys().eq(after.keys()), "{:?} {:?}", before.keys(), after.keys());
    for (name, bytes) in before.iter().filter(|(name, _)| !name.ends_with("-shm")) {
        assert!(after[name] == *bytes, "{name}");
    }
}

/// Copies the database as a crash now would leave it, with the files beside it that have these suffixes.
fn crashed(path: &Path, suffixes: &[&str]) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("app.db");
    for suffix in [""].iter().chain(suffixes) {
        fs::copy(format!("{}{suffix}", path.display()), format!("{}{suffix}", copy.display())).unwrap();
    }
    (directory, copy)
}

#[tokio::test]
async fn a_sqlite_table_comes_over_whole_and_a_second_time_changes_nothing() {
    let store = testing::store();
    let imported = Import::into(&store).tower_sessions_sqlite(fixture(), "tower_sessions").unwrap();
    assert_eq!((imported.created, imported.expired, imported.unchanged), (u64::from(RECORDS) - EXPIRED, EXPIRED, 0));
    assert_eq!(imported.reasons, Vec::<String>::new());
    has_all(&store).await;

    // A visitor continues, and the import is run again.
    let sessions = TowerSessions::new(store.clone());
    let mut changed = loaded(&store, record(1).id).await.unwrap();
    changed.data.insert("n".to_owned(), json!("changed"));
    sessions.save(&changed).await.unwrap();
    let again = Import::into(&store).tower_sessions_sqlite(fixture(), "tower_sessions").unwrap();
    assert_eq!((again.created, again.kept, again.unchanged), (0, 1, u64::from(RECORDS) - EXPIRED - 1));
    assert_eq!(loaded(&store, record(1).id).await.unwrap().data["n"], json!("changed"));
}

#[tokio::test]
async fn changes_in_a_wal_that_is_not_checkpointed_come_over() {
    let (_source, path) = filled("pragma journal_mode = wal", "before");
    let database = Connection::open(&path).unwrap();
    database.execute_batch("pragma wal_autocheckpoint = 0").unwrap();
    fill(&database, "tower_sessions");
    assert!(fs::metadata(format!("{}-wal", path.display())).unwrap().len() > 100_000);
    // The application has it open, or it has crashed, or only these files were copied.
    comes_over_whole(&path, "tower_sessions").await;
    for beside in [&["-wal", "-shm"][..], &["-wal"]] {
        let (directory, copy) = crashed(&path, beside);
        let before = contents(directory.path());
        comes_over_whole(&copy, "tower_sessions").await;
        same(&before, &contents(directory.path()));
    }
    let (_directory, without) = crashed(&path, &[]);
    assert!(matches!(problem(&without, "tower_sessions"), FileProblem::NoTable { found, .. } if found == ["before"]));
}

#[tokio::test]
async fn changes_that_a_crash_left_half_done_are_not_imported() {
    let (_source, path) = filled("pragma page_size = 512", "tower_sessions");
    let database = Connection::open(&path).unwrap();
    // With a cache of this few pages, changes reach the file before the transaction ends.
    database
        .execute_batch("pragma cache_size = 2; pragma cache_spill = 2; begin; delete from tower_sessions where expiry_date = 0")
        .unwrap();
    let (directory, copy) = crashed(&path, &["-journal"]);
    let (_without, without) = crashed(&path, &[]);
    database.execute_batch("rollback").unwrap();
    assert!(fs::read(&without).unwrap() != fs::read(&path).unwrap(), "the changes were in the file");
    let before = contents(directory.path());
    comes_over_whole(&copy, "tower_sessions").await;
    assert!(contents(directory.path()) == before);
}

#[tokio::test]
async fn any_page_size_and_text_encoding_comes_over() {
    for bits in 9..=16 {
        for (number, encoding) in (1..).zip(["UTF-8", "UTF-16le", "UTF-16be"]) {
            let (_directory, path) =
                filled(&format!("pragma page_size = {}; pragma encoding = '{encoding}'", 1 << bits), "tower_sessions");
            let header = fs::read(&path).unwrap();
            // 1 means 65536.
            let expected = u16::try_from(1_u32 << bits).unwrap_or(1);
            assert_eq!((u16::from_be_bytes([header[16], header[17]]), header[59]), (expected, number), "{encoding}");
            comes_over_whole(&path, "tower_sessions").await;
        }
    }
}

#[tokio::test]
async fn a_table_of_any_name_comes_over() {
    for (made, names) in [
        ("web_sessions", &["web_sessions", "main.web_sessions", "MAIN.Web_Sessions"][..]),
        (r#""a ""b""; drop table users""#, &[r#"a "b"; drop table users"#, r#"main.a "b"; drop table users"#]),
        (r#""main.sessions""#, &["main.sessions", "main.main.sessions"]),
        ("\"s\u{e9}ances-1\"", &["s\u{e9}ances-1"]),
    ] {
        let (_directory, path) = filled("create table users (id integer primary key)", made);
        for name in names {
            comes_over_whole(&path, name).await;
        }
        for other in
            ["", "users.id", "temp.web_sessions", "other.web_sessions", "\"web_sessions\"", "main.", "web_sessions; --", "a\0b"]
        {
            let problem = problem(&path, other);
            assert!(matches!(problem, FileProblem::NoTable { ref found, .. } if found.len() == 2), "{other}: {problem}");
        }
    }
}

#[tokio::test]
async fn a_table_without_row_ids_or_with_more_columns_comes_over() {
    let (_directory, path) = filled("create table users (id integer primary key)", "tower_sessions");
    let database = Connection::open(&path).unwrap();
    let copy = "create table other (extra text, data blob, expiry_date integer, ID text primary key) without rowid;
        insert into other select id, data, expiry_date, id from tower_sessions;";
    database.execute_batch(copy).unwrap();
    comes_over_whole(&path, "other").await;
}

#[test]
fn a_table_without_the_columns_is_refused_with_those_that_it_has() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    let database = Connection::open(&path).unwrap();
    let tables =
        "create table a (session_id text, data blob); create table b (id text, payload blob); create table c (data, id);
        create view v as select * from c; create virtual table f using fts5(id, data)";
    database.execute_batch(tables).unwrap();
    for (table, columns) in [("a", ["session_id", "data"]), ("b", ["id", "payload"])] {
        let problem = problem(&path, table);
        assert!(matches!(&problem, FileProblem::NoColumns { found, table: named } if *found == columns && named == table));
        let text = problem.to_string();
        assert!(
            text.contains(columns[0]) && text.contains("expected `id` and `data`") && text.contains("pass the name"),
            "{text}"
        );
    }
    // A view could be any query, even one that never ends.
    for other in ["v", "f"] {
        assert!(matches!(problem(&path, other), FileProblem::NoTable { found, .. } if found[..3] == ["a", "b", "c"]));
    }
    assert_eq!(import(&testing::store(), &path, "c"), Imported::default());
}

#[test]
fn a_file_that_is_no_such_table_says_so() {
    let text = problem(&fixture(), "sessions").to_string();
    assert!(text.contains("no table `sessions`") && text.contains("\"tower_sessions\""), "{text}");
    let directory = tempfile::tempdir().unwrap();
    let [empty, magic, missing] = ["empty", "magic", "missing"].map(|name| directory.path().join(name));
    fs::write(&empty, []).unwrap();
    fs::write(&magic, [&b"SQLite format 3\0"[..], &[0xff; 500]].concat()).unwrap();
    for path in [PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"), empty, magic] {
        let problem = problem(&path, "tower_sessions");
        assert!(matches!(problem, FileProblem::NotSqlite), "{}: {problem:?}", path.display());
        assert!(problem.to_string().contains("no SQLite file") && problem.to_string().contains("pass the path"));
    }
    assert!(matches!(problem(&missing, "tower_sessions"), FileProblem::Missing));
    assert!(matches!(problem(Path::new("/does/not/exist"), "a"), FileProblem::Missing));
    assert!(!missing.exists());
    assert!(matches!(problem(directory.path(), "tower_sessions"), FileProblem::Unreadable(_)));
    let error = Import::into(&testing::store()).tower_sessions_sqlite(directory.path(), "a").unwrap_err();
    assert!(std::error::Error::source(&error).is_some(), "the cause is not lost");
}

#[test]
fn nothing_in_the_file_or_beside_it_changes() {
    for mode in ["delete", "persist", "wal"] {
        let (directory, path) = filled(&format!("pragma journal_mode = {mode}"), "tower_sessions");
        let before = contents(directory.path());
        assert!(!before.contains_key("app.db-wal"), "it was closed");
        for _ in 0..2 {
            assert_eq!(import(&testing::store(), &path, "tower_sessions").created, LIVING);
            same(&before, &contents(directory.path()));
        }
        // While the application has it open and is idle.
        let database = Connection::open(&path).unwrap();
        database.execute_batch("insert into tower_sessions values ('new', x'00', 1)").unwrap();
        let before = contents(directory.path());
        assert_eq!(import(&testing::store(), &path, "tower_sessions").refused, 1);
        same(&before, &contents(directory.path()));
        database.execute_batch("insert into tower_sessions values ('newer', x'00', 1)").unwrap();
        assert_eq!(import(&testing::store(), &path, "tower_sessions").refused, 2);
    }
}

#[test]
fn a_journal_or_a_wal_that_holds_nothing_is_none() {
    for (mode, beside) in [("delete", "-journal"), ("wal", "-wal")] {
        for bytes in [&b""[..], b"no changes"] {
            let (directory, path) = filled(&format!("pragma journal_mode = {mode}"), "tower_sessions");
            fs::write(format!("{}{beside}", path.display()), bytes).unwrap();
            let before = contents(directory.path());
            assert_eq!(import(&testing::store(), &path, "tower_sessions").created, LIVING, "{mode}");
            same(&before, &contents(directory.path()));
        }
    }
}

#[test]
fn values_of_another_type_are_refused_and_the_rest_comes_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    let database = Connection::open(&path).unwrap();
    database.execute_batch("create table t (id, data)").unwrap();
    for (n, data) in (1..).zip(["'text'", "null", "7", "0.5", "x''"]) {
        database.execute(&format!("insert into t values (?1, {data})"), [record(n).id.to_string()]).unwrap();
    }
    let (id, good) = (record(6).id.to_string(), rmp_serde::to_vec(&record(6)).unwrap());
    database.execute("insert into t values (?1, ?2), (null, ?2), (6, ?2), (x'00ff', ?2)", params![id, good]).unwrap();
    let imported = import(&testing::store(), &path, "t");
    assert_eq!((imported.created, imported.refused), (1, 8), "{:?}", imported.reasons);
    for (nth, found) in ["TEXT", "NULL", "INTEGER", "REAL"].iter().enumerate() {
        assert_eq!(imported.reasons[nth], format!("session {}: its `data` is of type {found}, expected BLOB", nth + 1));
    }
}

#[test]
fn g6_a_damaged_sqlite_file_neither_panics_nor_hangs() {
    let bytes = fs::read(fixture()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("damaged.db");
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |bound: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % bound as u64).unwrap()
    };
    let store = Store::builder().durability(sessile::Durability::Relaxed).open_in_memory().unwrap();
    let (mut errors, mut refused) = (0, 0);
    for round in 0..300 {
        let mut damaged = bytes.clone();
        if round % 10 == 0 {
            damaged.truncate(next(bytes.len()));
        }
        for _ in 0..=round % 40 {
            // Half of them where trees have their roots.
            let at = if round % 2 == 0 { next(damaged.len().clamp(1, 4096)) } else { next(damaged.len().max(1)) };
            if let Some(byte) = damaged.get_mut(at) {
                *byte = u8::try_from(next(256)).unwrap();
            }
        }
        fs::write(&path, damaged).unwrap();
        match Import::into(&store).tower_sessions_sqlite(&path, "tower_sessions") {
            Ok(imported) => refused += imported.refused,
            Err(_) => errors += 1,
        }
    }
    assert!(errors > 50 && refused > 50, "{errors} errors and {refused} refused: the damage was seen");
}
