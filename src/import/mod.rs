//! Sessions from elsewhere into a store, and out of it as text.
//!
//! Nobody is signed out where ids can be kept: a session comes under the id that its visitor's cookie holds, so the application goes on with
//! `TowerSessions` of the crate `sessile-tower-sessions` in the place of the store it had.
//!
//! # Examples
//! ```
//! use sessile::import::Import;
//!
//! # let store = sessile::testing::store(); // Store::open("sessions.redb")?
//! // One session for each line; these are tower-sessions' ids.
//! let lines = r#"{"kind":"tower-sessions","id":"AAECAwQFBgcICQoLDA0ODw","ends_ms":4102444800000,"data":{"user_id":7}}"#;
//! let imported = Import::into(&store)
//!     .owned_by(|data| Some(data.get("user_id")?.to_string()))
//!     .json_lines(lines.as_bytes())?;
//! assert_eq!((imported.created, imported.refused), (1, 0));
//! assert_eq!(store.sessions_of(7)?.len(), 1);
//! # Ok::<(), sessile::import::ImportError>(())
//! ```
//!
//! # Importing again
//!
//! An import can be run any number of times: once to try it, again at the switch for what came in between, at each start of the
//! program, and after one that was interrupted. For each session, the store notes what it was when it was imported, until it would have
//! ended in its source. So a later import knows what happened since:
//!
//! | the session here | it becomes | counted as |
//! |---|---|---|
//! | was never here | what the source has | [`created`](Imported::created) |
//! | is as the import left it, and the source has another state | what the source has | [`updated`](Imported::updated) |
//! | is as the source has it | | [`unchanged`](Imported::unchanged) |
//! | was changed here, its values or its end | stays as it is here | [`kept`](Imported::kept) |
//! | has ended here: signed out, another id, an owner's limit, evicted | stays ended | [`ended_here`](Imported::ended_here) |
//! | is as the import left it, and the source no longer has it | ends | [`gone`](Imported::gone) |
//! | is as the import left it, and its time is over in the source | ends | [`expired`](Imported::expired) |
//!
//! The source is taken for newer than what was imported from it before, so give the newest dump. What [`export_json_lines`] wrote has
//! revisions, and an older one is [`kept`](Imported::kept). In the store that exported it, nothing is newer than what is there: a
//! session that is not there any more has ended.
//!
//! Only a source with a name can show that a session is gone from it: see [`Import::source`]. One without a session in it, as an emptied
//! table is, ends none; neither does one with a session whose id cannot be read.

mod json;
mod sqlite;

use std::{
    collections::HashMap,
    error, fmt, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde_json::Value;
use tower_sessions_core_0_15::session::{Id, Record};

pub use self::json::export_json_lines;
use crate::{
    Error, Owner, Store,
    clock::from_ms,
    foreign::{New, Owners, Sessions, Values},
    store::{self, Came, ForeignKind, Incoming},
    token::Key,
};

/// An import of sessions into a store: from where, and whose they are.
///
/// See [the module](self) for what a second import does.
#[must_use = "an import does nothing until it is given the sessions"]
pub struct Import<'a> {
    store: &'a Store,
    source: Option<String>,
    owners: Owners<HashMap<String, Value>>,
    each: Option<Each<'a>>,
}

/// What is called with each session.
type Each<'a> = Box<dyn FnMut(&SessionImport) + 'a>;

/// How an import went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// Sessions that are in the store now and were not before.
    pub created: u64,
    /// Sessions that were as an import had left them, and are now as the source has them.
    pub updated: u64,
    /// Sessions that were in the store as the source has them.
    pub unchanged: u64,
    /// Sessions that were changed in the store, and are as they were.
    pub kept: u64,
    /// Sessions that have ended in the store since they were imported, and were not imported again.
    pub ended_here: u64,
    /// Sessions that the source no longer has, and that have ended for that.
    pub gone: u64,
    /// Sessions whose time is over.
    pub expired: u64,
    /// Sessions that could not be read or stored.
    pub refused: u64,
    /// Why, with the number of the line or session: the first 100.
    pub reasons: Vec<String>,
}

/// What an import did to one session; see [`Import::each`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionImport {
    /// Where it is in the source: the number of its line, or which session it is, counted from 1. `None` if it is
    /// [gone](Outcome::Gone).
    pub position: Option<u64>,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a session in an import.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// [`Imported::created`].
    Created,
    /// [`Imported::updated`].
    Updated,
    /// [`Imported::unchanged`].
    Unchanged,
    /// [`Imported::kept`].
    Kept,
    /// [`Imported::ended_here`].
    EndedHere,
    /// [`Imported::gone`].
    Gone,
    /// [`Imported::expired`].
    Expired,
    /// [`Imported::refused`].
    Refused {
        /// What is wrong with it. It holds nothing of the session's values.
        reason: String,
    },
}

/// Where sessions were imported from, and when; from [`sources`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Source {
    /// Its [name](Import::source), if it has one.
    pub name: Option<String>,
    /// When the first import from it began.
    pub first: SystemTime,
    /// When the last import from it began that was not interrupted.
    pub last: SystemTime,
    /// How many sessions that found in it.
    pub sessions: u64,
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

/// What was imported into the store, the source that was used first at the beginning. All sources without a name are one.
///
/// # Errors
/// [`ImportError::Store`] if the disk refuses.
///
/// # Examples
/// ```
/// use sessile::import::{self, Import};
///
/// # let store = sessile::testing::store();
/// Import::into(&store).source("the old server").json_lines(&b""[..])?;
/// assert_eq!(import::sources(&store)?[0].name.as_deref(), Some("the old server"));
/// # Ok::<(), import::ImportError>(())
/// ```
pub fn sources(store: &Store) -> Result<Vec<Source>, ImportError> {
    let sources = store.sources()?.into_iter().map(|source| {
        let store::Source { name, first_ms, last_ms, sessions } = source;
        let name = Some(name).filter(|name| !name.is_empty());
        Source { name, first: from_ms(first_ms), last: from_ms(last_ms), sessions }
    });
    Ok(sources.collect())
}

impl<'a> Import<'a> {
    /// An import into `store`. Requests may go on meanwhile; another import waits for this one.
    pub fn into(store: &'a Store) -> Self {
        Self { store, source: None, owners: Owners::default(), each: None }
    }

    /// Names the source, so that a later import under the same name ends the sessions that are gone from it. Default: no name, and none
    /// ends for that; for [`tower_sessions_sqlite`](Self::tower_sessions_sqlite), the file and the table.
    ///
    /// The same name is for the same set of sessions, in whatever file it comes. Two servers' dumps have two names, or the second one
    /// would end the sessions of the first.
    pub fn source(self, name: impl Into<String>) -> Self {
        Self { source: Some(name.into()), ..self }
    }

    /// Says whose a session is, from its values, as the adapters' `owned_by` does: then [`Store::sessions_of`], [`Store::destroy_sessions_of`] and
    /// the like know the sessions at once. Default: nobody's, until the adapter's `index_owners` sets the owner.
    ///
    /// The values of actix-session are texts that hold JSON, as they are in the source. What [`export_json_lines`] wrote has its owners.
    /// An import applies no limit of [`Builder::sessions_per_owner`](crate::Builder::sessions_per_owner): it counts when the owner begins
    /// another session.
    pub fn owned_by<O: Into<Owner>>(
        self,
        owner: impl Fn(&HashMap<String, Value>) -> Option<O> + Send + Sync + 'static,
    ) -> Self {
        Self { owners: Owners::by(owner), ..self }
    }

    /// Calls `each` with what became of each session, in the order of the source; those that are gone from it come last.
    ///
    /// # Examples
    /// ```
    /// use sessile::import::{Import, Outcome};
    ///
    /// # let store = sessile::testing::store();
    /// let mut refused = Vec::new();
    /// let import = Import::into(&store).each(|session| {
    ///     if let Outcome::Refused { reason } = &session.outcome {
    ///         refused.push((session.position.unwrap(), reason.clone()));
    ///     }
    /// });
    /// import.json_lines(&b"no JSON"[..])?;
    /// assert_eq!(refused[0].0, 1);
    /// # Ok::<(), sessile::import::ImportError>(())
    /// ```
    pub fn each(self, each: impl FnMut(&SessionImport) + 'a) -> Self {
        Self { each: Some(Box::new(each)), ..self }
    }

    /// The sessions of a SQLite file that tower-sessions-sqlx-store wrote (any of its versions, and tower-sessions-rusqlite-store), from
    /// `table`: `"tower_sessions"` unless the application chose another name.
    ///
    /// The file is read without SQLite, whole and as it is. End the application first, or checkpoint: with changes beside the file that are
    /// not in it yet, this refuses.
    ///
    /// # Errors
    /// [`ImportError`]. A session that cannot be read is none: it is counted in [`Imported::refused`].
    pub fn tower_sessions_sqlite(self, path: impl AsRef<Path>, table: &str) -> Result<Imported, ImportError> {
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
        let source = match &self.source {
            Some(name) => name.clone(),
            None => format!("{} in {}", table, path.canonicalize()?.display()),
        };
        self.source(source).tower_sessions_records(pairs)
    }

    /// The sessions of any store that keeps tower-sessions' own records, as pairs of an id and the record's bytes in MessagePack: what
    /// tower-sessions-redis-store has under its keys, or tower-sessions-sqlx-store in PostgreSQL and MySQL. What stands before the id in a
    /// key is left out.
    ///
    /// # Errors
    /// [`ImportError`]. A pair that cannot be read is counted in [`Imported::refused`].
    ///
    /// # Examples
    /// ```no_run
    /// use sessile::import::Import;
    ///
    /// # let store = sessile::testing::store();
    /// # let pairs: Vec<(String, Vec<u8>)> = Vec::new(); // `SCAN` and `GET`, or `SELECT id, data FROM tower_sessions.session`
    /// let imported = Import::into(&store).source("redis").tower_sessions_records(pairs)?;
    /// println!("{} sessions, {} refused", imported.created, imported.refused);
    /// # Ok::<(), sessile::import::ImportError>(())
    /// ```
    pub fn tower_sessions_records(self, pairs: impl IntoIterator<Item = (String, Vec<u8>)>) -> Result<Imported, ImportError> {
        let mut run = self.begin("session")?;
        let sessions = Sessions::new(run.store.clone(), ForeignKind::TowerSessions);
        for (position, (id, bytes)) in (1..).zip(pairs) {
            // What an id ends with names its session, also where its record cannot be read.
            let named = id.get(id.len().saturating_sub(ID_CHARACTERS)..).and_then(|id| id.parse::<Id>().ok());
            let key = named.map(|id| sessions.key(&id.0.to_le_bytes()).0);
            match rmp_serde::from_slice::<Record>(&bytes) {
                // The store would have found it under no other id.
                Ok(record) if named == Some(record.id) => {
                    let values = sessions.values(record.data.iter().map(|(key, value)| (&**key, value)));
                    // A time before 1970 is over all the same.
                    let ends_ms = (record.expiry_date.unix_timestamp_nanos() / 1_000_000).max(0);
                    let new = values.map(|values| (values, u64::try_from(ends_ms).unwrap_or(u64::MAX)));
                    run.take_foreign(position, &sessions, &record.id.0.to_le_bytes(), new, &record.data)?;
                }
                Ok(_) => run.refuse(position, key, "its record names another id than it is stored under"),
                Err(error) => {
                    run.refuse(position, key, &format!("its record is not one of tower-sessions: {}", kind(&error)));
                }
            }
        }
        run.finish()
    }

    fn begin(self, unit: &'static str) -> Result<Run<'a>, ImportError> {
        let Self { store, source, owners, each } = self;
        let import = store.begin_import(source.as_deref())?;
        Ok(Run { store, import, owners, each, imported: Imported::default(), is_whole: true, unit })
    }
}

impl fmt::Debug for Import<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Import").field("source", &self.source).finish_non_exhaustive()
    }
}

/// An id of tower-sessions has so many characters.
const ID_CHARACTERS: usize = 22;

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

/// An import under way.
struct Run<'a> {
    store: &'a Store,
    import: store::Import<'a>,
    owners: Owners<HashMap<String, Value>>,
    each: Option<Each<'a>>,
    imported: Imported,
    /// Whether it is known which sessions the source has.
    is_whole: bool,
    /// What a position counts.
    unit: &'static str,
}

/// So many explanations are kept.
const MOST_REASONS: usize = 100;

impl Run<'_> {
    /// Takes over the session of another crate with these values and this end.
    fn take_foreign(
        &mut self,
        position: u64,
        sessions: &Sessions,
        id: &[u8],
        new: Result<(Values, u64), Error>,
        data: &HashMap<String, Value>,
    ) -> Result<(), ImportError> {
        let key = sessions.key(id).0;
        let checked = new.and_then(|(values, ends_ms)| sessions.check_keys(&values.0).map(|()| (values, ends_ms)));
        let (values, ends_ms) = match checked {
            Ok(new) => new,
            Err(error) => {
                self.import.see(&key);
                return self.fail(position, error);
            }
        };
        let owner = self.owners.of(data);
        let meta = sessions.meta(&key, &New { values: &values, ends_ms, owner });
        let limits = self.store.foreign_limits();
        let incoming = Incoming { key, meta, values: &values.0, limits, knows_owner: owner.is_some(), is_ours: false };
        self.take(position, &incoming)
    }

    fn take(&mut self, position: u64, incoming: &Incoming<'_>) -> Result<(), ImportError> {
        self.import.see(&incoming.key);
        let outcome = match self.import.take(incoming) {
            Ok(Came::Created) => Outcome::Created,
            Ok(Came::Updated) => Outcome::Updated,
            Ok(Came::Unchanged) => Outcome::Unchanged,
            Ok(Came::Kept) => Outcome::Kept,
            Ok(Came::EndedHere) => Outcome::EndedHere,
            Ok(Came::Expired) => Outcome::Expired,
            Err(error) => return self.fail(position, error),
        };
        self.note(Some(position), outcome);
        Ok(())
    }

    /// The session could not be stored: it is refused, unless the store failed.
    fn fail(&mut self, position: u64, error: Error) -> Result<(), ImportError> {
        match error {
            Error::Codec(_) | Error::StoreFull { .. } | Error::BadOwner { .. } => {
                self.reject(position, &error.to_string());
                Ok(())
            }
            error => Err(error.into()),
        }
    }

    /// `key`: of its session, if it is known.
    fn refuse(&mut self, position: u64, key: Option<Key>, why: &str) {
        match key {
            Some(key) => self.import.see(&key),
            None => self.is_whole = false,
        }
        self.reject(position, why);
    }

    fn reject(&mut self, position: u64, why: &str) {
        if self.imported.reasons.len() < MOST_REASONS {
            self.imported.reasons.push(format!("{} {position}: {why}", self.unit));
        }
        self.note(Some(position), Outcome::Refused { reason: why.to_owned() });
    }

    fn note(&mut self, position: Option<u64>, outcome: Outcome) {
        note(&mut self.imported, &mut self.each, position, outcome);
    }

    fn finish(self) -> Result<Imported, ImportError> {
        let Self { import, mut imported, mut each, is_whole, .. } = self;
        import.finish(is_whole, || note(&mut imported, &mut each, None, Outcome::Gone))?;
        Ok(imported)
    }
}

fn note(imported: &mut Imported, each: &mut Option<Each<'_>>, position: Option<u64>, outcome: Outcome) {
    *match outcome {
        Outcome::Created => &mut imported.created,
        Outcome::Updated => &mut imported.updated,
        Outcome::Unchanged => &mut imported.unchanged,
        Outcome::Kept => &mut imported.kept,
        Outcome::EndedHere => &mut imported.ended_here,
        Outcome::Gone => &mut imported.gone,
        Outcome::Expired => &mut imported.expired,
        Outcome::Refused { .. } => &mut imported.refused,
    } += 1;
    if let Some(each) = each {
        each(&SessionImport { position, outcome });
    }
}
