//! The embedded session store sessile for actix-session 0.11.
//!
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

use std::{collections::HashMap, fmt};

use actix_session::storage::{LoadError, SaveError, SessionKey, SessionStore, UpdateError, generate_session_key};
use sessile::{
    Error, Owner, Store,
    foreign::{ForeignKind, New, Owners, Saved, Sessions},
};
use time::Duration;

/// A session store for actix-session 0.11.
///
/// Only the line `SessionMiddleware::new(ActixSessions::new(store), key)` changes; the repository's
/// `examples/frameworks/examples/actix.rs` is an application with it.
///
/// # Examples
/// ```
/// use std::collections::HashMap;
///
/// use actix_session::storage::SessionStore;
/// use sessile_actix_session::ActixSessions;
///
/// # let store = sessile::testing::store(); // Store::open("sessions.redb")?
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let sessions = ActixSessions::new(store); // once, before the server's workers start
/// // What the middleware does:
/// let state = HashMap::from([("name".to_owned(), "\"Ada\"".to_owned())]);
/// let key = sessions.save(state.clone(), &time::Duration::hours(1)).await?;
/// assert_eq!(sessions.load(&key).await?, Some(state));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # What is better than elsewhere
///
/// - **A session that was purged stays ended.** With actix-session's Redis store, a request that is slower than the logout
///   stores its session again, under a new key, and the visitor is signed in again. Here its update is an error, and the answer
///   a 500; see below.
/// - **A session whose deadline moves with every request** (`TtlExtensionPolicy::OnEveryRequest`) does not cost a write for
///   each: see [`sessile::foreign`].
///
/// # What a save of an ended session does
///
/// If its session ends while a request runs, the request's update returns an error: `UpdateError::Other` with
/// [`Error::SessionEnded`]. Its changes are not stored. A request that changed nothing, and only moves its session's deadline
/// (`TtlExtensionPolicy::OnEveryRequest`), gets its page: nothing is lost. Both are counted in
/// [`Stats::dropped_commits`](sessile::Stats::dropped_commits).
///
/// # What is not better
///
/// actix-session passes a session as a whole and does not report what the request changed or loaded. So of two concurrent
/// requests the later one wins, for the whole session, as with its own stores. [`Session`](sessile::Session) merges.
///
/// A value is stored as actix-session's JSON text, byte for byte. All workers share a `Store`: create it once.
#[derive(Clone)]
pub struct ActixSessions(Sessions, Owners<State>);

/// A session's values, each of which is JSON in a text.
type State = HashMap<String, String>;

impl ActixSessions {
    /// Returns the sessions of actix-session in `store`.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self(Sessions::new(store, ForeignKind::ActixSession), Owners::default())
    }

    /// Sets the function that returns a session's owner from its values, each of which is JSON in a text, as actix-session
    /// keeps them. Then [`Store::sessions_of`], [`Store::destroy_sessions_of`] and the like work, and the limit of
    /// [`Builder::sessions_per_owner`](sessile::Builder::sessions_per_owner). Default: no owner.
    ///
    /// If the store has sessions already, call [`index_owners`](Self::index_owners) once.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// use sessile_actix_session::ActixSessions;
    ///
    /// // actix-identity stores a text, in quotes as in JSON.
    /// let sessions = ActixSessions::new(store.clone()).owned_by(|state| {
    ///     let user = state.get("actix_identity.user_id")?;
    ///     serde_json::from_str::<String>(user).ok()
    /// });
    /// sessions.index_owners(1)?;
    ///
    /// store.destroy_sessions_of("ada").wait()?; // signs Ada out everywhere
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[must_use]
    pub fn owned_by<O: Into<Owner>>(
        self,
        owner: impl Fn(&HashMap<String, String>) -> Option<O> + Send + Sync + 'static,
    ) -> Self {
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
        self.0.index_owners(version, |loaded| self.1.of(&loaded.to_map().ok()?))
    }

    fn ends_ms(&self, life: &Duration) -> u64 {
        let life_ms = u64::try_from(life.whole_milliseconds().max(0)).unwrap_or(u64::MAX);
        self.0.now_ms().saturating_add(life_ms)
    }
}

fn pairs(state: &State) -> impl Iterator<Item = (&str, &String)> {
    state.iter().map(|(key, value)| (&**key, value))
}

/// Converts an error of a save or an update. A value over a limit cannot be serialized.
fn save_error(error: Error) -> SaveError {
    if matches!(error, Error::Codec(_)) { SaveError::Serialization(error.into()) } else { SaveError::Other(error.into()) }
}

fn update_error(error: Error) -> UpdateError {
    if matches!(error, Error::Codec(_)) { UpdateError::Serialization(error.into()) } else { UpdateError::Other(error.into()) }
}

impl SessionStore for ActixSessions {
    async fn load(&self, session_key: &SessionKey) -> Result<Option<HashMap<String, String>>, LoadError> {
        let key = self.0.key(session_key.as_ref().as_bytes());
        let Some(loaded) = self.0.load(&key).map_err(|error| LoadError::Other(error.into()))? else { return Ok(None) };
        let state = loaded.to_map().map_err(|error| LoadError::Deserialization(error.into()))?;
        self.0.with_owner(&key, loaded, self.1.of(&state));
        Ok(Some(state))
    }

    async fn save(&self, session_state: HashMap<String, String>, ttl: &Duration) -> Result<SessionKey, SaveError> {
        let values = self.0.values(pairs(&session_state)).map_err(save_error)?;
        loop {
            let session_key = generate_session_key();
            let key = self.0.key(session_key.as_ref().as_bytes());
            let new = New { values: &values, ends_ms: self.ends_ms(ttl), owner: self.1.of(&session_state) };
            if let Some(ack) = self.0.create(&key, &new).map_err(save_error)? {
                ack.await.map_err(save_error)?;
                return Ok(session_key);
            }
        }
    }

    async fn update(
        &self,
        session_key: SessionKey,
        session_state: HashMap<String, String>,
        ttl: &Duration,
    ) -> Result<SessionKey, UpdateError> {
        let key = self.0.key(session_key.as_ref().as_bytes());
        let values = self.0.values(pairs(&session_state)).map_err(update_error)?;
        let new = New { values: &values, ends_ms: self.ends_ms(ttl), owner: self.1.of(&session_state) };
        match self.0.save(&key, &new, None).map_err(update_error)? {
            Saved::Done(ack) => ack.await.map_err(update_error)?,
            // Not `Ok`: the middleware would then set the ended session's cookie, over that of a visitor who has signed in
            // again.
            Saved::Ended => return Err(update_error(Error::SessionEnded)),
        }
        Ok(session_key)
    }

    async fn update_ttl(&self, session_key: &SessionKey, ttl: &Duration) -> Result<(), anyhow::Error> {
        let key = self.0.key(session_key.as_ref().as_bytes());
        match self.0.touch(&key, self.ends_ms(ttl))? {
            Saved::Done(ack) => Ok(ack.await?),
            // As with actix-session's own stores: the request changed nothing, so nothing is lost.
            Saved::Ended => Ok(()),
        }
    }

    async fn delete(&self, session_key: &SessionKey) -> Result<(), anyhow::Error> {
        self.0.delete(&self.0.key(session_key.as_ref().as_bytes())).await?;
        Ok(())
    }
}

impl fmt::Debug for ActixSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActixSessions").finish_non_exhaustive()
    }
}
