//! Sessions from SQLite files, Redis and JSON lines into a [`Store`] of the crate sessile, and out of it as JSON lines.
//!
#![doc = include_str!("../README.md")]
//!
//! # Importing again
//!
//! An import can be run any number of times: once as a trial, again at the switch for later changes, at each start of the
//! program, and after an interruption. For each session, the store notes its state at the import, until it would have ended in
//! its source. So a later import knows what has changed since:
//!
//! | the session here | it becomes | counted as |
//! |---|---|---|
//! | was never here | what the source has | [`created`](Imported::created) |
//! | is as the import left it, and the source has another state | what the source has | [`updated`](Imported::updated) |
//! | is as the source has it | | [`unchanged`](Imported::unchanged) |
//! | was changed here, its values or its end | stays as it is here | [`kept`](Imported::kept) |
//! | has ended here: signed out, another id, an owner's limit, evicted | stays ended | [`ended_here`](Imported::ended_here) |
//! | is as the import left it, and the source no longer has it | ends | [`gone`](Imported::gone) |
//! | is as the import left it, and has expired in the source | ends | [`expired`](Imported::expired) |
//!
//! The source counts as newer than an earlier import from it, so pass the newest dump. Lines of [`export_json_lines`] have
//! revisions, and an older one is [`kept`](Imported::kept). In the store that exported them, the sessions in the store are
//! always newer: a missing session has ended.
//!
//! Only a source with a name can show that a session is gone from it: see [`Import::source`]. An empty source, such as an
//! emptied table, ends no session; neither does a source with a session whose id cannot be read.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod error;
mod json;
#[cfg(feature = "redis")]
mod redis_server;
mod run;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::{collections::HashMap, fmt};

/// The version of the crate redis whose connections [`Import::tower_sessions_redis`] accepts.
#[cfg(feature = "redis")]
pub use redis;
use serde_json::Value;
pub use sessile::foreign::import::{Source, sources};
use sessile::{
    Owner, Store,
    foreign::{ForeignKind, Owners},
};

#[cfg(feature = "sqlite")]
pub use self::error::FileProblem;
use self::run::Each;
pub use self::{error::ImportError, json::export_json_lines};

/// An import of sessions into a store, with its source and its function for owners.
///
/// See [the module](self) for the effect of a second import.
#[must_use = "an import does nothing until it is passed the sessions"]
pub struct Import<'a> {
    store: &'a Store,
    source: Option<String>,
    owners: Owners<HashMap<String, Value>>,
    each: Option<Each<'a>>,
}

/// The results of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// Sessions that are in the store now and were not before.
    pub created: u64,
    /// Sessions that were as an import had left them, and are now as in the source.
    pub updated: u64,
    /// Sessions that were already as in the source.
    pub unchanged: u64,
    /// Sessions that were changed in the store, and stay as they are.
    pub kept: u64,
    /// Sessions that have ended in the store since they were imported, and were not imported again.
    pub ended_here: u64,
    /// Sessions that ended because the source no longer has them.
    pub gone: u64,
    /// Sessions that have expired.
    pub expired: u64,
    /// Sessions that could not be read or stored.
    pub refused: u64,
    /// Keys of a Redis server that begin with the prefix and are not a session's. If nothing else is found, the prefix is
    /// wrong.
    pub skipped: u64,
    /// The reasons, with the number of the line or session: the first 100.
    pub reasons: Vec<String>,
}

/// The result for one session; see [`Import::each`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionImport {
    /// The session's position in the source: the number of its line or row, counted from 1. `None` if it is
    /// [gone](Outcome::Gone).
    pub position: Option<u64>,
    /// The result.
    pub outcome: Outcome,
}

/// The result for a session in an import.
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
        /// The reason. It contains none of the session's values.
        reason: String,
    },
}

impl<'a> Import<'a> {
    /// Begins an import into `store`. Requests may continue meanwhile; another import waits for this one.
    ///
    /// # Examples
    /// ```
    /// use sessile_import::{Import, Imported};
    ///
    /// # let store = sessile::testing::store();
    /// assert_eq!(Import::into(&store).json_lines(&b""[..])?, Imported::default());
    /// # Ok::<(), sessile_import::ImportError>(())
    /// ```
    pub fn into(store: &'a Store) -> Self {
        Self { store, source: None, owners: Owners::default(), each: None }
    }

    /// Names the source, so that a later import under the same name ends the sessions that are gone from it. Default: no name,
    /// and no session ends for that reason; for an SQLite file, the file and the table.
    ///
    /// The name identifies a set of sessions, whichever file contains it. Dumps of two servers need two names; otherwise the
    /// second import would end the sessions of the first.
    ///
    /// # Examples
    /// ```
    /// use sessile_import::{Import, sources};
    ///
    /// # let store = sessile::testing::store();
    /// let one = r#"{"kind": "poem", "id": "one", "ends_ms": 4102444800000, "data": {}}"#;
    /// let two = one.replace("one", "two");
    /// assert_eq!(Import::into(&store).source("old").json_lines(one.as_bytes())?.created, 1);
    /// let imported = Import::into(&store).source("old").json_lines(two.as_bytes())?;
    /// assert_eq!((imported.created, imported.gone), (1, 1), "the first is gone from the source");
    /// assert_eq!(sources(&store)?[0].name.as_deref(), Some("old"));
    /// # Ok::<(), sessile_import::ImportError>(())
    /// ```
    pub fn source(self, name: impl Into<String>) -> Self {
        Self { source: Some(name.into()), ..self }
    }

    /// Sets a function that returns a session's owner from its values, like the adapters' `owned_by`: then
    /// [`Store::sessions_of`], [`Store::destroy_sessions_of`] and the like find the sessions at once. Default: no owner, until
    /// the adapter's `index_owners` sets it.
    ///
    /// The values of actix-session are strings that contain JSON, as in the source. Lines of [`export_json_lines`] have their
    /// owners. An import does not apply the limit of [`Builder::sessions_per_owner`](sessile::Builder::sessions_per_owner): it
    /// applies when the owner begins another session.
    ///
    /// # Examples
    /// ```
    /// use sessile_import::Import;
    ///
    /// # let store = sessile::testing::store();
    /// let line = r#"{"kind": "poem", "id": "one", "ends_ms": 4102444800000, "data": {"user_id": 7}}"#;
    /// Import::into(&store).owned_by(|data| data.get("user_id")?.as_u64()).json_lines(line.as_bytes())?;
    /// assert_eq!(store.sessions_of(7_u64)?.len(), 1);
    /// # Ok::<(), sessile_import::ImportError>(())
    /// ```
    pub fn owned_by<O: Into<Owner>>(
        self,
        owner: impl Fn(&HashMap<String, Value>) -> Option<O> + Send + Sync + 'static,
    ) -> Self {
        Self { owners: Owners::by(owner), ..self }
    }

    /// Calls `each` with the result for each session, in the order of the source; those that are gone from it come last.
    ///
    /// # Examples
    /// ```
    /// use sessile_import::{Import, Outcome};
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
    /// # Ok::<(), sessile_import::ImportError>(())
    /// ```
    pub fn each(self, each: impl FnMut(&SessionImport) + 'a) -> Self {
        Self { each: Some(Box::new(each)), ..self }
    }

    /// Imports the sessions of any store with tower-sessions' own records, as pairs of an id and the record's bytes in
    /// MessagePack, such as the rows of tower-sessions-sqlx-store in PostgreSQL and MySQL. A prefix before the id is ignored.
    ///
    /// # Errors
    /// [`ImportError`]. A pair that cannot be read is counted in [`Imported::refused`].
    ///
    /// # Examples
    /// ```
    /// use sessile_import::Import;
    /// # use tower_sessions_core::session::{Id, Record};
    ///
    /// # let store = sessile::testing::store();
    /// # let ends = time::OffsetDateTime::from_unix_timestamp(4_102_444_800).unwrap();
    /// # let record = Record { id: Id(1), data: Default::default(), expiry_date: ends };
    /// # let pairs = vec![(record.id.to_string(), rmp_serde::to_vec(&record).unwrap()), ("?".to_owned(), Vec::new())];
    /// // `pairs` are the rows of `SELECT id, data FROM tower_sessions.session`.
    /// let imported = Import::into(&store).source("postgres").tower_sessions_records(pairs)?;
    /// assert_eq!((imported.created, imported.refused), (1, 1));
    /// # Ok::<(), sessile_import::ImportError>(())
    /// ```
    pub fn tower_sessions_records(self, pairs: impl IntoIterator<Item = (String, Vec<u8>)>) -> Result<Imported, ImportError> {
        let mut run = self.begin("session")?;
        let sessions = run.sessions(ForeignKind::TowerSessions);
        for (position, (id, bytes)) in (1..).zip(pairs) {
            run.take_record(position, &sessions, &id, Ok(&bytes))?;
        }
        run.finish()
    }
}

impl fmt::Debug for Import<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Import").field("source", &self.source).finish_non_exhaustive()
    }
}
