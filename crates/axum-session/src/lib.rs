//! The embedded session store sessile as a database of `axum_session` 0.22.
//!
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

use std::fmt;

use axum_session::{DatabaseError, DatabasePool};
use sessile::{
    Error, Owner, Store,
    foreign::{ForeignKind, Loaded, New, Owners, Saved, SessionKey, Sessions, text},
};

/// A database pool for `axum_session` 0.22.
///
/// # Examples
/// ```
/// use axum_session::{SessionConfig, SessionStore};
/// use sessile_axum_session::AxumSessionPool;
///
/// # async fn make() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = sessile::testing::store(); // Store::open("sessions.redb")?
/// let config = SessionConfig::default();
/// let sessions = SessionStore::new(Some(AxumSessionPool::new(store)), config).await?;
/// # Ok(())
/// # }
/// ```
///
/// # What to know
///
/// - `axum_session` keeps sessions in its own memory, above its database, and reads the database only on a miss. So the memory
///   tier of this crate has little effect. A session that is ended with [`Store::destroy_sessions_of`] or the like continues
///   until `axum_session` forgets it: `SessionConfig::with_memory_lifetime`.
/// - `axum_session` stores a session as one text: of two processes or requests that store one, the later wins.
/// - It creates and changes sessions with the same call. So the store remembers the 65,536 sessions that ended last, and drops
///   what is stored to one of them; [`Stats::dropped_commits`](sessile::Stats::dropped_commits) counts it. **The call still
///   succeeds**, unlike with the other adapters, and the request that was running gets its page although its changes are lost.
///   After an error `axum_session` 0.22 would keep the session in its memory, permanently if its memory is turned off: each
///   later request with the old cookie would run as the user who was signed out. It would also no longer store the other
///   sessions that leave its memory. A session that expired without being ended is replaced by what is stored.
/// - It uses the id of a visitor's ended session for a new session. That one is not stored, for the reason above. Call
///   `Session::renew` at each sign-in, which also keeps planted ids out: the signed-in session then has a new id.
/// - The ids are not in the file, only hashes, so `get_ids` is refused. With the feature `key-store` of `axum_session`, turn
///   its filter off: `SessionConfig::with_bloom_filter(false)`.
#[derive(Clone)]
pub struct AxumSessionPool(Sessions, Owners<str>);

/// The key of the text.
const SESSION: &str = "session";

impl AxumSessionPool {
    /// Returns the sessions of `axum_session` in `store`.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self(Sessions::new(store, ForeignKind::AxumSession), Owners::default())
    }

    /// Sets the function that returns a session's owner from the text that `axum_session` stores, so that
    /// [`Store::sessions_of`], [`Store::destroy_sessions_of`] and the like work, and the limit of
    /// [`Builder::sessions_per_owner`](sessile::Builder::sessions_per_owner). Default: no owner.
    ///
    /// The text is JSON with the values in `data`, each of which is JSON in a text. With `SessionConfig::with_database_key` it
    /// is encrypted, and the function cannot read it. Note that `axum_session` serves a session that was ended here until it
    /// has forgotten it: turn its memory off with `SessionConfig::with_memory_lifetime(Duration::zero())`.
    ///
    /// If the store has sessions already, call [`index_owners`](Self::index_owners) once.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// use sessile_axum_session::AxumSessionPool;
    ///
    /// // axum_session_auth stores the user's id.
    /// let sessions = AxumSessionPool::new(store.clone()).owned_by(|session| {
    ///     let session: serde_json::Value = serde_json::from_str(session).ok()?;
    ///     session.get("data")?.get("user_auth_session_id")?.as_str().map(str::to_owned)
    /// });
    /// sessions.index_owners(1)?;
    ///
    /// store.destroy_sessions_of("7").wait()?; // signs user 7 out everywhere
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[must_use]
    pub fn owned_by<O: Into<Owner>>(self, owner: impl Fn(&str) -> Option<O> + Send + Sync + 'static) -> Self {
        Self(self.0.with_owners(), Owners::by(owner))
    }

    /// Sets the owner of each session that was stored before [`owned_by`](Self::owned_by) was added, or with another `version`
    /// of its function. Returns how many sessions had another owner.
    ///
    /// Reads every session. The store notes that this was done: the next call with the same `version` returns at once. See
    /// [`sessile::foreign`](sessile::foreign#owners-of-sessions-that-are-there-already). It blocks the thread, so call it
    /// before the server starts.
    ///
    /// # Errors
    /// [`Error::Config`] without `owned_by`; [`Error::Degraded`] and the like if the disk refuses; call it again then.
    pub fn index_owners(&self, version: u32) -> Result<u64, Error> {
        self.0.index_owners(version, |loaded| self.1.of(loaded.get(SESSION).ok()??))
    }

    fn key(&self, id: &str, table: &str) -> SessionKey {
        // No table's name contains this byte, so no two pairs have the same text.
        self.0.key(format!("{table}\0{id}").as_bytes())
    }

    async fn put(&self, id: &str, session: &str, expires: i64, table: &str) -> Result<(), Error> {
        let values = self.0.values([(SESSION, session)])?.in_group(table)?;
        let ends_ms = u64::try_from(expires).unwrap_or_default().saturating_mul(1000);
        let new = New { values: &values, ends_ms, owner: self.1.of(session) };
        match self.0.put(&self.key(id, table), &new)? {
            Saved::Done(ack) => ack.await,
            // For the reason that this is no error, see the type's documentation.
            Saved::Ended => Ok(()),
        }
    }

    fn find(&self, id: &str, table: &str) -> Result<Option<Loaded>, DatabaseError> {
        self.0.load(&self.key(id, table)).map_err(|error| DatabaseError::GenericSelectError(text(&error)))
    }

    fn keys(&self, table: &str) -> Result<Vec<SessionKey>, DatabaseError> {
        self.0.keys_in_group(table).map_err(|error| DatabaseError::GenericSelectError(text(&error)))
    }
}

#[async_trait::async_trait]
impl DatabasePool for AxumSessionPool {
    async fn initiate(&self, _table_name: &str) -> Result<(), DatabaseError> {
        Ok(())
    }

    async fn count(&self, table_name: &str) -> Result<i64, DatabaseError> {
        Ok(i64::try_from(self.keys(table_name)?.len()).unwrap_or(i64::MAX))
    }

    async fn store(&self, id: &str, session: &str, expires: i64, table_name: &str) -> Result<(), DatabaseError> {
        let failed = |error: Error| DatabaseError::GenericInsertError(text(&error));
        self.put(id, session, expires, table_name).await.map_err(failed)
    }

    async fn load(&self, id: &str, table_name: &str) -> Result<Option<String>, DatabaseError> {
        let Some(loaded) = self.find(id, table_name)? else { return Ok(None) };
        let session = loaded.get::<String>(SESSION).map_err(|error| DatabaseError::GenericSelectError(text(&error)))?;
        if let Some(session) = &session {
            self.0.with_owner(&self.key(id, table_name), loaded, self.1.of(session));
        }
        Ok(session)
    }

    async fn delete_one_by_id(&self, id: &str, table_name: &str) -> Result<(), DatabaseError> {
        let deleted = self.0.delete(&self.key(id, table_name)).await;
        deleted.map(|_| ()).map_err(|error| DatabaseError::GenericDeleteError(text(&error)))
    }

    async fn exists(&self, id: &str, table_name: &str) -> Result<bool, DatabaseError> {
        Ok(self.find(id, table_name)?.is_some())
    }

    async fn delete_by_expiry(&self, _table_name: &str) -> Result<Vec<String>, DatabaseError> {
        let swept = self.0.store().sweep().await;
        // A swept session has no name: its id was never stored.
        swept.map(|()| Vec::new()).map_err(|error| DatabaseError::GenericDeleteError(text(&error)))
    }

    async fn delete_all(&self, table_name: &str) -> Result<(), DatabaseError> {
        let acks: Vec<_> = self.keys(table_name)?.iter().map(|key| self.0.delete(key)).collect();
        for ack in acks {
            ack.await.map_err(|error| DatabaseError::GenericDeleteError(text(&error)))?;
        }
        Ok(())
    }

    async fn get_ids(&self, _table_name: &str) -> Result<Vec<String>, DatabaseError> {
        let why = "this store holds hashes of ids, not ids; turn the filter off with `SessionConfig::with_bloom_filter(false)`";
        Err(DatabaseError::GenericNotSupportedError(why.to_owned()))
    }

    fn auto_handles_expiry(&self) -> bool {
        true
    }
}

impl fmt::Debug for AxumSessionPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AxumSessionPool").finish_non_exhaustive()
    }
}
