//! Sessions of an SQLite file, read by SQLite.
//!
//! SQLite reads a database in WAL mode with the help of two files beside it, and creates them if they are missing. So there are
//! two ways:
//!
//! - In place, read-only, if that creates no file: the database has a rollback journal, or another process has both files open.
//!   SQLite's locks then separate the import's reads from other processes' writes.
//! - From a copy in the process's own directory: no process has the database open, or a crash left changes beside it that must
//!   be rolled back first. The copy is discarded if the files have changed meanwhile.
//!
//! Invariants: no file beside or under the path is written, except for locks in an existing `-shm`; rows are read in one
//! transaction, and the file is closed before the first of them is imported; no statement contains a name that the file does
//! not have.

use std::{
    ffi::OsString,
    fs, io,
    io::Read,
    path::{Path, PathBuf},
    thread,
    time::{Duration, SystemTime},
};

use rusqlite::{Connection, ErrorCode, OpenFlags, Params, config::DbConfig, types::ValueRef};
use sessile::foreign::ForeignKind;
use tempfile::TempDir;

use crate::{FileProblem, Import, ImportError, Imported};

/// The suffixes of files beside a database that belong to it.
const BESIDE: [&str; 2] = ["-wal", "-journal"];
/// The suffix of the file that processes with a database in WAL mode share.
const SHARED: &str = "-shm";
const MAGIC: &[u8] = b"SQLite format 3\0";
/// Where the header has the file format versions for writing and reading; 2 is WAL.
const VERSIONS: [usize; 2] = [18, 19];
const WAL: u8 = 2;
/// How long another process may hold the lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a changing file is copied, and by how much longer the thread waits before each attempt.
const ATTEMPTS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(20);

impl Import<'_> {
    /// Imports the sessions of an SQLite file that tower-sessions-sqlx-store or tower-sessions-rusqlite-store wrote, from
    /// `table`: `"tower_sessions"` unless the application chose another name. `"main.tower_sessions"` is the same table.
    ///
    /// The file may be in use, also by the application, and changes in a `-wal` or a `-journal` beside it are read. Neither the
    /// file nor its directory is changed. All rows are read into memory before the first one is imported, so the file is not
    /// locked for long. If no process has the file open, and it is in WAL mode or was left by a crash, the thread first copies
    /// it into the system's directory for temporary files, where no other user can read it.
    ///
    /// # Errors
    /// [`ImportError::File`] if the file or the table cannot be used. A session that cannot be read is counted in
    /// [`Imported::refused`].
    ///
    /// # Examples
    /// ```
    /// use sessile_import::{FileProblem, Import, ImportError};
    /// # use tower_sessions_core::session::{Id, Record};
    ///
    /// # let store = sessile::testing::store();
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("app.db");
    /// # let database = rusqlite::Connection::open(&path)?;
    /// # let ends = time::OffsetDateTime::from_unix_timestamp(4_102_444_800)?;
    /// # let record = Record { id: Id(1), data: Default::default(), expiry_date: ends };
    /// # database.execute_batch("create table tower_sessions (id text primary key not null, data blob not null, expiry_date integer not null)")?;
    /// # database.execute("insert into tower_sessions values (?1, ?2, 1)", (record.id.to_string(), rmp_serde::to_vec(&record)?))?;
    /// let imported = Import::into(&store).tower_sessions_sqlite(&path, "tower_sessions")?;
    /// assert_eq!((imported.created, imported.refused), (1, 0));
    ///
    /// let error = Import::into(&store).tower_sessions_sqlite(&path, "sessions").unwrap_err();
    /// assert!(matches!(error, ImportError::File { problem: FileProblem::NoTable { .. }, .. }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn tower_sessions_sqlite(self, path: impl AsRef<Path>, table: &str) -> Result<Imported, ImportError> {
        let path = path.as_ref();
        let (table, rows) = read(path, table, copy).map_err(|problem| ImportError::File { path: path.to_owned(), problem })?;
        let source = match &self.source {
            Some(name) => name.clone(),
            None => format!("{} in {}", table, path.canonicalize()?.display()),
        };
        let mut run = self.source(source).begin("session")?;
        let sessions = run.sessions(ForeignKind::TowerSessions);
        for (position, Row { id, data }) in (1..).zip(rows) {
            let data = data.as_ref().map_err(|found| format!("its `data` is of type {found}, expected BLOB"));
            run.take_record(position, &sessions, &id, data.as_ref().map(|data| &data[..]).map_err(|why| &**why))?;
        }
        run.finish()
    }
}

/// A session in the table.
struct Row {
    /// Empty if it is not text.
    id: String,
    /// The record, or the type of another value.
    data: Result<Vec<u8>, &'static str>,
}

/// A table by its name in the file, and its rows.
type Table = (String, Vec<Row>);

/// `copy` copies the database into a directory; the tests have one that is slow.
fn read(path: &Path, table: &str, mut copy: impl FnMut(&Path) -> io::Result<TempDir>) -> Result<Table, FileProblem> {
    for attempt in 0..ATTEMPTS {
        thread::sleep(PAUSE * attempt);
        if is_readable_in_place(path)? {
            match rows(path, OpenFlags::SQLITE_OPEN_READ_ONLY, table) {
                Err(Failure::Sqlite(error)) if needs_changes(&error) => {}
                read => return read.map_err(Failure::problem),
            }
        }
        let before = stamps(path)?;
        let copy = copy(path).map_err(problem_of)?;
        if stamps(path)? == before {
            return rows(&copy.path().join(COPY), OpenFlags::SQLITE_OPEN_READ_WRITE, table).map_err(Failure::problem);
        }
    }
    Err(FileProblem::Busy)
}

/// Whether SQLite creates no file when it reads this one.
fn is_readable_in_place(path: &Path) -> Result<bool, FileProblem> {
    let mut header = Vec::new();
    fs::File::open(path).and_then(|file| file.take(100).read_to_end(&mut header)).map_err(problem_of)?;
    if header.len() < 100 || !header.starts_with(MAGIC) {
        return Err(FileProblem::NotSqlite);
    }
    let is_wal = VERSIONS.iter().any(|at| header[*at] == WAL);
    Ok(!is_wal || [SHARED, "-wal"].iter().all(|suffix| beside(path, suffix).exists()))
}

/// Whether the database can only be read after a change to a file: a crash left changes to roll back, or the shared file must
/// be created.
fn needs_changes(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// Returns the paths of the database and of the files beside it that belong to it, whether or not they exist.
fn parts(path: &Path) -> impl Iterator<Item = (&'static str, PathBuf)> {
    ["", BESIDE[0], BESIDE[1]].into_iter().map(|suffix| (suffix, beside(path, suffix)))
}

/// Returns lengths and times that differ after a change of the database, or after another process has opened it.
fn stamps(path: &Path) -> Result<Vec<Option<(u64, SystemTime)>>, FileProblem> {
    let parts = parts(path).map(|(_, part)| part).chain([beside(path, SHARED)]);
    let stamp = |part: PathBuf| match fs::metadata(part) {
        Ok(found) => Ok(Some((found.len(), found.modified().map_err(problem_of)?))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(problem_of(error)),
    };
    parts.map(stamp).collect()
}

/// The name of the database in a copy.
const COPY: &str = "sessions.db";

/// Copies the database, with the files beside it, into a directory that no other user can read and that is deleted on drop.
fn copy(path: &Path) -> io::Result<TempDir> {
    let mut directory = tempfile::Builder::new();
    #[cfg(unix)]
    let directory = directory.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    let directory = directory.prefix("sessile-import").tempdir()?;
    let target = directory.path().join(COPY);
    for (suffix, part) in parts(path) {
        match fs::copy(part, beside(&target, suffix)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !suffix.is_empty() => {}
            other => drop(other?),
        }
    }
    Ok(directory)
}

fn problem_of(error: io::Error) -> FileProblem {
    match error.kind() {
        io::ErrorKind::NotFound => FileProblem::Missing,
        _ => FileProblem::Unreadable(error.into()),
    }
}

/// Why the rows could not be read.
enum Failure {
    Sqlite(rusqlite::Error),
    Problem(FileProblem),
}

impl Failure {
    fn problem(self) -> FileProblem {
        match self {
            Self::Problem(problem) => problem,
            Self::Sqlite(error) => match error.sqlite_error_code() {
                Some(ErrorCode::NotADatabase) => FileProblem::NotSqlite,
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => FileProblem::Busy,
                _ => FileProblem::Unreadable(error.into()),
            },
        }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Reads all rows of `table` in the database at `path`, as of one moment.
fn rows(path: &Path, access: OpenFlags, table: &str) -> Result<Table, Failure> {
    let database = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    database.busy_timeout(LOCK_TIMEOUT)?;
    // Where a file that is open for reading can be locked exclusively, the last process that closes the database moves the
    // `-wal` into it, or deletes it.
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // The file is untrusted: no code in it is run, and its pages are checked.
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    database.execute_batch("pragma trusted_schema = off; pragma cell_size_check = on; begin")?;
    let table = table_named(&database, table)?;
    let mut found = Vec::new();
    {
        // The file has a table with this name.
        let mut select = database.prepare(&format!("select \"id\", \"data\" from main.\"{}\"", table.replace('"', "\"\"")))?;
        let mut rows = select.query(())?;
        while let Some(row) = rows.next()? {
            let id = match row.get_ref(0)? {
                ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                _ => String::new(),
            };
            let data = match row.get_ref(1)? {
                ValueRef::Blob(data) => Ok(data.to_vec()),
                ValueRef::Text(_) => Err("TEXT"),
                ValueRef::Integer(_) => Err("INTEGER"),
                ValueRef::Real(_) => Err("REAL"),
                ValueRef::Null => Err("NULL"),
            };
            found.push(Row { id, data });
        }
    }
    Ok((table, found))
}

/// Returns the table's name in the file, if it has the columns of tower-sessions.
fn table_named(database: &Connection, wanted: &str) -> Result<String, Failure> {
    // Tables of a module and views have no page: reading one runs code from the file.
    let tables = texts(database, "select name from main.sqlite_master where type = 'table' and rootpage > 0", ())?;
    let schema = "main.";
    let without_schema =
        wanted.get(..schema.len()).filter(|found| found.eq_ignore_ascii_case(schema)).map(|_| &wanted[schema.len()..]);
    let named = |name: &str| tables.iter().find(|found| found.eq_ignore_ascii_case(name));
    let Some(table) = named(wanted).or_else(|| without_schema.and_then(named)).cloned() else {
        return Err(Failure::Problem(FileProblem::NoTable { table: wanted.to_owned(), found: tables }));
    };
    let columns = texts(database, "select name from pragma_table_info(?1, 'main')", [&table])?;
    if ["id", "data"].iter().all(|name| columns.iter().any(|found| found.eq_ignore_ascii_case(name))) {
        return Ok(table);
    }
    Err(Failure::Problem(FileProblem::NoColumns { table, found: columns }))
}

/// Returns the first column of each row.
fn texts(database: &Connection, query: &str, parameters: impl Params) -> rusqlite::Result<Vec<String>> {
    let mut select = database.prepare(query)?;
    let mut rows = select.query(parameters)?;
    let mut texts = Vec::new();
    while let Some(row) = rows.next()? {
        if let ValueRef::Text(text) = row.get_ref(0)? {
            texts.push(String::from_utf8_lossy(text).into_owned());
        }
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a database in WAL mode that no process has open.
    fn database() -> (TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.db");
        change(&path, "pragma journal_mode = wal; create table t (id text, data blob)");
        (directory, path)
    }

    fn change(path: &Path, change: &str) {
        let database = Connection::open(path).unwrap();
        database.execute_batch(change).unwrap();
        database.close().unwrap();
    }

    #[test]
    fn a_copy_of_a_file_that_changed_meanwhile_is_not_read() {
        let (_directory, path) = database();
        let mut times = 0;
        let read = read(&path, "t", |path| {
            let copied = copy(path);
            times += 1;
            if times < 3 {
                change(path, "insert into t values ('id', x'00')");
            }
            copied
        });
        assert_eq!(read.unwrap_or_else(|problem| panic!("{problem}")).1.len(), 2, "those of the last copy");
        assert_eq!(times, 3);
    }

    #[test]
    fn a_file_that_changes_all_the_time_is_busy() {
        let (_directory, path) = database();
        let read = read(&path, "t", |path| {
            let copied = copy(path);
            change(path, "insert into t values ('id', x'00')");
            copied
        });
        assert!(matches!(read, Err(FileProblem::Busy)));
    }

    #[test]
    fn a_database_that_somebody_opens_meanwhile_is_read_in_place() {
        let (_directory, path) = database();
        let (mut other, mut times) = (None, 0);
        let read = read(&path, "t", |path| {
            let copied = copy(path);
            times += 1;
            let database = Connection::open(path).unwrap();
            database.execute_batch("insert into t values ('id', x'00')").unwrap();
            other = Some(database);
            copied
        });
        assert_eq!((read.unwrap_or_else(|problem| panic!("{problem}")).1.len(), times), (1, 1));
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_can_read_a_copy() {
        use std::os::unix::fs::PermissionsExt;

        let (_directory, path) = database();
        let copied = copy(&path).unwrap();
        assert_eq!(fs::metadata(copied.path()).unwrap().permissions().mode() & 0o077, 0);
        let kept = copied.path().to_owned();
        drop(copied);
        assert!(!kept.exists());
    }
}
