//! The embedded session store sessile for the sessions of poem 3.
//!
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

use std::{collections::BTreeMap, fmt, time::Duration};

use poem::{Result, error::InternalServerError, session::SessionStorage};
use serde_json::Value;
use sessile::{
    Error, Owner, Store,
    foreign::{ForeignKind, Loaded, New, Owners, Saved, Sessions},
};

/// A session storage for poem 3.
///
/// # Examples
/// ```
/// use poem::{EndpointExt, Route, session::{CookieConfig, ServerSession}};
/// use sessile_poem::PoemSessions;
///
/// # let store = sessile::testing::store(); // Store::open("sessions.redb")?
/// let app = Route::new().with(ServerSession::new(CookieConfig::default(), PoemSessions::new(store)));
/// ```
///
/// # What a late request does
///
/// poem creates and changes sessions with the same call. A request that is still running when its session ends would recreate
/// the session with it. So the store remembers the 65,536 sessions that ended last, and refuses what is stored to one of them:
/// the request gets a 500, the poem error with [`Error::SessionEnded`], and is counted in
/// [`Stats::dropped_commits`](sessile::Stats::dropped_commits). A session that expired without being ended is replaced by what
/// is stored. Of two concurrent requests the later one wins, for the whole session: poem does not report what a request
/// changed. [`Session`](sessile::Session) merges.
///
/// # When a session ends
///
/// After `CookieConfig::max_age`; without it, after [`Builder::idle_timeout`](sessile::Builder::idle_timeout). Both count from
/// the last change, because poem does not call its storage for other uses.
#[derive(Clone)]
pub struct PoemSessions(Sessions, Owners<BTreeMap<String, Value>>);

impl PoemSessions {
    /// Returns the sessions of poem in `store`.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self(Sessions::new(store, ForeignKind::Poem), Owners::default())
    }

    /// Sets the function that returns a session's owner from its values, so that [`Store::sessions_of`],
    /// [`Store::destroy_sessions_of`] and the like work, and the limit of
    /// [`Builder::sessions_per_owner`](sessile::Builder::sessions_per_owner). Default: no owner.
    ///
    /// If the store has sessions already, call [`index_owners`](Self::index_owners) once.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// use sessile_poem::PoemSessions;
    ///
    /// let sessions = PoemSessions::new(store.clone())
    ///     .owned_by(|entries| entries.get("user")?.as_str().map(str::to_owned));
    /// sessions.index_owners(1)?;
    ///
    /// store.destroy_sessions_of("ada").wait()?; // signs Ada out everywhere
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[must_use]
    pub fn owned_by<O: Into<Owner>>(
        self,
        owner: impl Fn(&BTreeMap<String, Value>) -> Option<O> + Send + Sync + 'static,
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
        self.0.index_owners(version, |loaded| self.1.of(&entries(loaded).ok()?))
    }
}

fn entries(loaded: &Loaded) -> std::result::Result<BTreeMap<String, Value>, Error> {
    loaded.values().collect()
}

impl SessionStorage for PoemSessions {
    async fn load_session<'a>(&'a self, session_id: &'a str) -> Result<Option<BTreeMap<String, Value>>> {
        let key = self.0.key(session_id.as_bytes());
        let Some(loaded) = self.0.load(&key).map_err(InternalServerError)? else { return Ok(None) };
        let entries = entries(&loaded).map_err(InternalServerError)?;
        self.0.with_owner(&key, loaded, self.1.of(&entries));
        Ok(Some(entries))
    }

    async fn update_session<'a>(
        &'a self,
        session_id: &'a str,
        entries: &'a BTreeMap<String, Value>,
        expires: Option<Duration>,
    ) -> Result<()> {
        let values = self.0.values(entries.iter().map(|(key, value)| (&**key, value))).map_err(InternalServerError)?;
        let life = expires.unwrap_or(self.0.default_life());
        let ends_ms = self.0.now_ms().saturating_add(u64::try_from(life.as_millis()).unwrap_or(u64::MAX));
        let new = New { values: &values, ends_ms, owner: self.1.of(entries) };
        match self.0.put(&self.0.key(session_id.as_bytes()), &new).map_err(InternalServerError)? {
            Saved::Done(ack) => ack.await.map_err(InternalServerError),
            Saved::Ended => Err(InternalServerError(Error::SessionEnded)),
        }
    }

    async fn remove_session<'a>(&'a self, session_id: &'a str) -> Result<()> {
        self.0.delete(&self.0.key(session_id.as_bytes())).await.map(|_| ()).map_err(InternalServerError)
    }
}

impl fmt::Debug for PoemSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoemSessions").finish_non_exhaustive()
    }
}
