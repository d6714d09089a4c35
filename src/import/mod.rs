//! Sessions from elsewhere into a store, and out of it as text.
//!
//! Nobody is signed out where ids can be kept: a session comes under the id that its visitor's cookie holds, so the application goes on with
//! [`TowerSessions`](crate::adapters::TowerSessions) in the place of the store it had. What is in the store already is left alone, so an
//! import can be run twice, and again at the switch for what came in between.
//!
//! # Examples
//! ```
//! # let store = sessile::testing::store(); // Store::open("sessions.redb")?
//! // One session for each line; these are tower-sessions' ids.
//! let lines = r#"{"kind":"tower-sessions","id":"AAECAwQFBgcICQoLDA0ODw","ends_ms":4102444800000,"data":{"cart":["tea"]}}"#;
//! let imported = sessile::import::json_lines(&store, lines.as_bytes())?;
//! assert_eq!(imported.sessions, 1);
//! # Ok::<(), sessile::import::ImportError>(())
//! ```

mod json;
mod sqlite;

use std::{error, fmt, io, path::Path, path::PathBuf};

use tower_sessions_core_0_15::session::Record;

pub use self::json::{export_json_lines, json_lines};
use crate::{
    Ack, Error, Store,
    adapters::foreign::{Foreign, New},
    adapters::tower_sessions::to_ms,
    store::Kind,
};

/// What an import came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// Sessions that are in the store now and were not before.
    pub sessions: u64,
    /// Sessions that were over.
    pub expired: u64,
    /// Sessions that were in the store already, and were left as they are there.
    pub present: u64,
    /// The ones that could not be read or stored, and why: the first 100.
    pub refused: Vec<String>,
    /// How many those are.
    pub refused_sessions: u64,
}

/// Why an import or an export ended early. What was done before is done.
#[derive(Debug)]
#[non_exhaustive]
pub enum ImportError {
    /// The store failed.
    Store(Error),
    /// A file or a stream could not be read or written.
    Io(io::Error),
    /// The file is not what it should be.
    File {
        /// The file.
        path: PathBuf,
        /// What was found, what was expected, what to do.
        detail: String,
    },
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Io(_) => f.write_str("the sessions to import or export could not be read or written; see the cause"),
            Self::File { path, detail } => write!(f, "{}: {detail}", path.display()),
        }
    }
}

impl error::Error for ImportError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Store(error) => error.source(),
            Self::Io(error) => Some(error),
            Self::File { .. } => None,
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

/// The sessions of a SQLite file that tower-sessions-sqlx-store wrote (any of its versions, and tower-sessions-rusqlite-store), from
/// `table`: `"tower_sessions"` unless the application chose another name.
///
/// The file is read without SQLite, whole and as it is. End the application first, or checkpoint: with changes beside the file that are
/// not in it yet, this refuses.
///
/// # Errors
/// [`ImportError`]. A session that cannot be read is none: it is in [`Imported::refused`].
pub fn tower_sessions_sqlite(store: &Store, path: impl AsRef<Path>, table: &str) -> Result<Imported, ImportError> {
    let path = path.as_ref();
    let file = sqlite::File::read(path)?;
    let mut rows = Vec::new();
    file.rows(table, |columns| rows.push(columns)).map_err(|detail| ImportError::File { path: path.to_owned(), detail })?;
    let pairs = rows.into_iter().map(|columns| {
        let (mut id, mut data) = (String::new(), Vec::new());
        for column in columns {
            match column {
                sqlite::Value::Text(text) if id.is_empty() => id = text,
                sqlite::Value::Blob(bytes) if data.is_empty() => data = bytes,
                _ => {}
            }
        }
        (id, data)
    });
    tower_sessions_records(store, pairs)
}

/// Sessions as tower-sessions' stores keep them: pairs of an id, with or without a prefix, and a record as `MessagePack`. These are the keys
/// and values of tower-sessions-redis-store, and the rows of tower-sessions-sqlx-store in any database.
///
/// # Errors
/// [`ImportError::Store`]. A session that cannot be read is none: it is in [`Imported::refused`].
pub fn tower_sessions_records(
    store: &Store,
    pairs: impl IntoIterator<Item = (String, Vec<u8>)>,
) -> Result<Imported, ImportError> {
    let mut import = Import::new(store);
    let sessions = Foreign::new(store.clone(), Kind::TowerSessions);
    for (nth, (id, bytes)) in pairs.into_iter().enumerate() {
        match rmp_serde::from_slice::<Record>(&bytes) {
            // The store would have found it under no other id.
            Ok(record) if id.ends_with(&record.id.to_string()) => {
                let key = sessions.key(&record.id.0.to_le_bytes());
                let made = sessions.values(&record.data).and_then(|values| {
                    let new = New { values: &values, ends_ms: to_ms(record.expiry_date), owner: None };
                    if new.ends_ms <= store.now_ms() { Ok(Made::Expired) } else { Ok(Made::of(sessions.create(&key, &new)?)) }
                });
                import.note(nth, made)?;
            }
            Ok(_) => import.refuse(nth, "its record names another id than it stands under"),
            Err(error) => import.refuse(nth, &format!("its record is not one of tower-sessions: {}", kind(&error))),
        }
    }
    import.finish()
}

/// What is wrong with the bytes, without what they hold.
fn kind(error: &rmp_serde::decode::Error) -> &'static str {
    use rmp_serde::decode::Error as E;
    match error {
        E::InvalidMarkerRead(_) | E::InvalidDataRead(_) => "the bytes end too early",
        E::TypeMismatch(_) | E::Syntax(_) | E::Uncategorized(_) | E::OutOfRange => "another type was expected",
        E::DepthLimitExceeded => "it is nested too deep",
        _ => "its form is another",
    }
}

/// What became of one session.
enum Made {
    Session(Ack),
    Present,
    Expired,
}

impl Made {
    fn of(created: Option<Ack>) -> Self {
        created.map_or(Self::Present, Self::Session)
    }
}

/// An import under way.
struct Import<'a> {
    store: &'a Store,
    imported: Imported,
}

/// So many explanations are kept.
const MOST_REFUSED: usize = 100;
/// So many sessions are on their way to the disk at once: enough to share its syncs, and bounded.
const BATCH: u64 = 1000;

impl<'a> Import<'a> {
    fn new(store: &'a Store) -> Self {
        Self { store, imported: Imported::default() }
    }

    fn note(&mut self, nth: usize, made: Result<Made, Error>) -> Result<(), ImportError> {
        match made {
            // What it waits for is waited for in `finish`, and in between, for many at a time.
            Ok(Made::Session(ack)) => {
                self.imported.sessions += 1;
                if self.imported.sessions.is_multiple_of(BATCH) {
                    ack.wait()?;
                }
            }
            Ok(Made::Present) => self.imported.present += 1,
            Ok(Made::Expired) => self.imported.expired += 1,
            // It is the session that is wrong; any other failure is the store's.
            Err(Error::Codec(error)) => self.refuse(nth, &error.to_string()),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn refuse(&mut self, nth: usize, why: &str) {
        self.imported.refused_sessions += 1;
        if self.imported.refused.len() < MOST_REFUSED {
            self.imported.refused.push(format!("session {}: {why}", nth + 1));
        }
    }

    fn finish(self) -> Result<Imported, ImportError> {
        self.store.flush().wait()?;
        Ok(self.imported)
    }
}
