//! The errors of imports and exports.

#[cfg(feature = "sqlite")]
use std::path::PathBuf;
use std::{error, fmt, io};

use sessile::Error;

/// Why an import or an export ended early. What was imported or written before stays.
#[derive(Debug)]
#[non_exhaustive]
pub enum ImportError {
    /// The store failed.
    Store(Error),
    /// A file or a stream could not be read or written.
    Io(io::Error),
    /// The SQLite file is missing, unreadable or of another form. Nothing was imported.
    #[cfg(feature = "sqlite")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: FileProblem,
    },
    /// The Redis server refused a command, or the connection to it broke. The sessions that were read before are imported;
    /// import again.
    #[cfg(feature = "redis")]
    Redis(redis::RedisError),
}

/// What is wrong with an SQLite file.
#[cfg(feature = "sqlite")]
#[derive(Debug)]
#[non_exhaustive]
pub enum FileProblem {
    /// No file has this name.
    Missing,
    /// It is a file of another kind, or is encrypted.
    NotSqlite,
    /// It has no table of this name.
    NoTable {
        /// The requested name.
        table: String,
        /// The tables that it has.
        found: Vec<String>,
    },
    /// The table has no column `id`, or none `data`.
    NoColumns {
        /// The table.
        table: String,
        /// The columns that it has.
        found: Vec<String>,
    },
    /// Another process locks it or keeps changing it, so that it cannot be read.
    Busy,
    /// SQLite cannot read it: it is damaged, or the operating system refuses.
    Unreadable(Box<dyn error::Error + Send + Sync>),
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Io(_) => f.write_str("the sessions to import or export could not be read or written; see the cause"),
            #[cfg(feature = "sqlite")]
            Self::File { path, problem } => write!(f, "{}: {problem}", path.display()),
            #[cfg(feature = "redis")]
            Self::Redis(_) => f.write_str(
                "the Redis server refused a command or cannot be reached, so not all sessions were read; see the cause, and import again",
            ),
        }
    }
}

#[cfg(feature = "sqlite")]
impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is no such file; pass the path of the application's SQLite file"),
            Self::NotSqlite => f.write_str(
                "it is no SQLite file, or an encrypted one, expected an SQLite database; pass the path of the database's file",
            ),
            Self::NoTable { table, found } => {
                write!(f, "it has no table `{table}`, found {found:?}; pass the name of one of these")
            }
            Self::NoColumns { table, found } => write!(
                f,
                "its table `{table}` has the columns {found:?}, expected `id` and `data` as tower-sessions-sqlx-store makes them; pass the name \
                 of the table with the sessions"
            ),
            Self::Busy => {
                f.write_str("another process locks it or changes it all the time; end that process, and import again")
            }
            Self::Unreadable(_) => f.write_str(
                "SQLite cannot read it; see the cause, and run `PRAGMA integrity_check` or restore a backup if it is damaged",
            ),
        }
    }
}

impl error::Error for ImportError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Store(error) => error.source(),
            Self::Io(error) => Some(error),
            #[cfg(feature = "sqlite")]
            Self::File { problem: FileProblem::Unreadable(error), .. } => Some(&**error),
            #[cfg(feature = "sqlite")]
            Self::File { .. } => None,
            #[cfg(feature = "redis")]
            Self::Redis(error) => Some(error),
        }
    }
}

impl From<Error> for ImportError {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for ImportError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

#[cfg(feature = "redis")]
impl From<redis::RedisError> for ImportError {
    fn from(error: redis::RedisError) -> Self {
        Self::Redis(error)
    }
}
