//! What users of tower-sessions keep their sessions in, besides its MemoryStore.
//!
//! The published stores for moka and SQLite are for other versions of tower-sessions, or want another SQLite than the one that is
//! measured here. These do what they do, on the same libraries; SQLite is asked on the caller's thread, which spares it a way to another.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};
use tower_sessions::{
    SessionStore,
    session::{Id, Record},
    session_store::{Error, Result},
};

/// Records in a cache of moka's.
#[derive(Clone, Debug)]
pub(crate) struct Moka(moka::sync::Cache<Id, Record>);

impl Moka {
    pub(crate) fn new() -> Self {
        Self(moka::sync::Cache::new(1_000_000))
    }
}

#[async_trait]
impl SessionStore for Moka {
    async fn save(&self, record: &Record) -> Result<()> {
        self.0.insert(record.id, record.clone());
        Ok(())
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        Ok(self.0.get(id))
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        self.0.invalidate(id);
        Ok(())
    }
}

/// Records as MessagePack in a table of SQLite, with a write-ahead log.
#[derive(Clone, Debug)]
pub(crate) struct Sqlite(Arc<std::sync::Mutex<Connection>>);

impl Sqlite {
    /// `synchronous` as SQLite names it: `NORMAL` is durable from time to time, `FULL` with each commit.
    pub(crate) fn new(directory: &Path, synchronous: &str) -> rusqlite::Result<Self> {
        let connection = Connection::open(directory.join("sessions.sqlite"))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", synchronous)?;
        connection.execute(
            "CREATE TABLE sessions (id TEXT PRIMARY KEY NOT NULL, data BLOB NOT NULL, expiry_date INTEGER NOT NULL)",
            (),
        )?;
        Ok(Self(Arc::new(std::sync::Mutex::new(connection))))
    }

    fn with<T>(&self, run: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let connection = self.0.lock().map_err(|_| Error::Backend("a thread panicked".to_owned()))?;
        run(&connection).map_err(|error| Error::Backend(error.to_string()))
    }
}

#[async_trait]
impl SessionStore for Sqlite {
    async fn save(&self, record: &Record) -> Result<()> {
        let data = rmp_serde::to_vec(record).map_err(|error| Error::Encode(error.to_string()))?;
        self.with(|connection| {
            let mut statement = connection.prepare_cached(
                "INSERT INTO sessions VALUES (?1, ?2, ?3) \
                 ON CONFLICT (id) DO UPDATE SET data = excluded.data, expiry_date = excluded.expiry_date",
            )?;
            statement.execute(params![record.id.to_string(), data, record.expiry_date.unix_timestamp()])
        })?;
        Ok(())
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        let data = self.with(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT data FROM sessions WHERE id = ?1 AND expiry_date > unixepoch()")?;
            statement.query_row(params![id.to_string()], |row| row.get::<_, Vec<u8>>(0)).optional()
        })?;
        data.map(|data| rmp_serde::from_slice(&data).map_err(|error| Error::Decode(error.to_string()))).transpose()
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        self.with(|connection| connection.execute("DELETE FROM sessions WHERE id = ?1", params![id.to_string()]))?;
        Ok(())
    }
}
