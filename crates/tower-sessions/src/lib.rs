//! The embedded session store sessile for tower-sessions 0.14 and 0.15.
//!
#![doc = include_str!("../README.md")]
//! # Features
//!
//! `tower-sessions-0_15` (default) and `tower-sessions-0_14`: the versions of tower-sessions.
#![forbid(unsafe_code)]

// The traits of 0.14 and 0.15 are the same text in two crates, so one macro writes both implementations.

#[cfg(not(any(feature = "tower-sessions-0_14", feature = "tower-sessions-0_15")))]
compile_error!("turn on the feature of your version of tower-sessions: `tower-sessions-0_14` or `tower-sessions-0_15`");

mod bases;

use std::{collections::HashMap, fmt, sync::Arc};

use serde_json::Value;
use sessile::{
    Error, Owner, Store,
    foreign::{Base, ForeignKind, New, OwnerId, Owners, Saved, Sessions, text},
};
use time::OffsetDateTime;

use self::bases::{Bases, mark};

/// A session store for tower-sessions, and so for axum-login.
///
/// One type serves 0.14 (feature `tower-sessions-0_14`) and 0.15 (feature `tower-sessions-0_15`). The sessions are the same: an
/// application can move from one version to the other without signing users out.
///
/// # Examples
/// ```
/// # #[cfg(feature = "tower-sessions-0_15")] {
/// use axum::{Router, routing::get};
/// use sessile_tower_sessions::TowerSessions;
/// use tower_sessions::{Session, SessionManagerLayer};
///
/// # let store = sessile::testing::store(); // Store::open("sessions.redb")?
/// let sessions = SessionManagerLayer::new(TowerSessions::new(store));
/// let app: Router = Router::new()
///     .route("/", get(|session: Session| async move {
///         session.insert("seen", true).await.unwrap();
///     }))
///     .layer(sessions);
/// # }
/// ```
///
/// # What is better than elsewhere
///
/// - **Concurrent requests do not overwrite each other.** The trait saves a session as a whole, so with other stores the last
///   request wins and the values of the others are lost. Here a request's changes are found by comparing with what it loaded,
///   and its save is a merge, key by key. For that the store keeps what was loaded recently; see
///   [`merge_budget`](Self::merge_budget).
/// - **A session that was ended stays ended**, even if a slow request saves it afterwards.
/// - **`with_always_save(true)`**, which tower-sessions needs for sessions that last as long as they are used, does not cost a
///   write for each request: see [`sessile::foreign`].
/// - **Sign out everywhere**, with [`owned_by`](Self::owned_by).
///
/// # What a save of an ended session does
///
/// A session may end while a request runs: the visitor signs out in another tab, or signs in, which sets a new session id. The
/// request's save then returns an error, `Backend` with the text of [`Error::SessionEnded`], and tower-sessions answers with a
/// 500. Its changes are not stored. It signs no user in, and its answer sets no cookie over a newer one. A request that changed
/// nothing, as with `with_always_save(true)`, gets its page: nothing is lost. Both are counted in
/// [`Stats::dropped_commits`](sessile::Stats::dropped_commits).
///
/// # What happens to an id that is taken
///
/// `create` uses another id if there is a session, even one that has expired and is still in the file, or whose record is
/// damaged: a client that still has the old cookie must not find another visitor's session.
///
/// # Limits
///
/// Keys may have up to 1 MiB and any number, unless [`Builder::key_limit`](sessile::Builder::key_limit) or
/// [`keys_limit`](sessile::Builder::keys_limit) is set. A session has at most
/// [`Builder::record_limit`](sessile::Builder::record_limit) bytes, 1 MiB by default. tower-sessions keeps a handler's values
/// until it saves the session, so a refusal is an error of `Session::save` or, at the end of the request, a 500. It names the
/// limit.
#[derive(Clone)]
pub struct TowerSessions {
    sessions: Sessions,
    bases: Arc<Bases>,
    owners: Owners<Data>,
}

type Data = HashMap<String, Value>;

/// Some 20,000 loads of sessions of a typical size.
const MERGE_BUDGET_BYTES: usize = 16 << 20;

impl TowerSessions {
    /// Returns the sessions of tower-sessions in `store`.
    #[must_use]
    pub fn new(store: Store) -> Self {
        let bases = Arc::new(Bases::new(MERGE_BUDGET_BYTES));
        Self { sessions: Sessions::new(store, ForeignKind::TowerSessions), bases, owners: Owners::default() }
    }

    /// Sets the bytes of recently loaded values that are kept to merge saves. Default: 16 MiB; 0 for no merging.
    ///
    /// Each load needs the size of its session and some 160 bytes, until later loads exceed this budget; most of that is shared
    /// with the memory tier. If a request's load is forgotten by the time it saves, its session is stored as a whole, as with
    /// any other store.
    #[must_use]
    pub fn merge_budget(self, bytes: usize) -> Self {
        Self { bases: Arc::new(Bases::new(bytes)), ..self }
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
    /// use sessile_tower_sessions::TowerSessions;
    ///
    /// // axum-login stores the user's id.
    /// let sessions = TowerSessions::new(store.clone())
    ///     .owned_by(|data| data.get("axum-login.data")?.get("user_id").map(ToString::to_string));
    /// sessions.index_owners(1)?;
    ///
    /// store.destroy_sessions_of("7").wait()?; // signs user 7 out everywhere
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[must_use]
    pub fn owned_by<O: Into<Owner>>(
        self,
        owner: impl Fn(&HashMap<String, Value>) -> Option<O> + Send + Sync + 'static,
    ) -> Self {
        Self { owners: Owners::by(owner), sessions: self.sessions.with_owners(), ..self }
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
        self.sessions.index_owners(version, |loaded| self.owners.of(&loaded.to_map().ok()?))
    }

    async fn create(&self, id: i128, data: &Data, ends: OffsetDateTime) -> Result<bool, Failure> {
        let key = self.sessions.key(&id.to_le_bytes());
        let values = self.sessions.values(data.iter().map(|(key, value)| (&**key, value))).map_err(Failure::Encode)?;
        let owner = self.owners.of(data);
        let new = New { values: &values, ends_ms: to_ms(ends), owner };
        let Some(ack) = self.sessions.create(&key, &new).map_err(Failure::of_write)? else { return Ok(false) };
        self.bases.put(mark(&key, data), Base::Stored { values, owner: owner.unwrap_or(OwnerId::NOBODY) });
        ack.await.map_err(Failure::Backend)?;
        Ok(true)
    }

    async fn save(&self, id: i128, data: &Data, ends: OffsetDateTime) -> Result<(), Failure> {
        let key = self.sessions.key(&id.to_le_bytes());
        let mark = mark(&key, data);
        let base = self.bases.get(&mark);
        let values = self.sessions.values(data.iter().map(|(key, value)| (&**key, value))).map_err(Failure::Encode)?;
        let owner = self.owners.of(data);
        // Not another request's owner, if this request did not change it.
        let changed = owner.filter(|owner| base.as_ref().is_none_or(|base| base.owner() != *owner));
        let new = New { values: &values, ends_ms: to_ms(ends), owner: changed };
        match self.sessions.save(&key, &new, base.as_deref()).map_err(Failure::of_write)? {
            Saved::Done(ack) => {
                let owner = owner.or(base.map(|base| base.owner())).unwrap_or(OwnerId::NOBODY);
                self.bases.put(mark, Base::Stored { values, owner });
                ack.await.map_err(Failure::Backend)
            }
            Saved::Ended if base.is_some_and(|base| base.is_same(&new)) => Ok(()),
            Saved::Ended => Err(Failure::Backend(Error::SessionEnded)),
        }
    }

    fn load(&self, id: i128) -> Result<Option<(Data, OffsetDateTime)>, Failure> {
        let key = self.sessions.key(&id.to_le_bytes());
        let Some(loaded) = self.sessions.load(&key).map_err(Failure::Backend)? else { return Ok(None) };
        let data = loaded.to_map().map_err(Failure::Decode)?;
        let ends = from_ms(loaded.ends_ms());
        let loaded = self.sessions.with_owner(&key, loaded, self.owners.of(&data));
        self.bases.put(mark(&key, &data), Base::Loaded(loaded));
        Ok(Some((data, ends)))
    }

    async fn delete(&self, id: i128) -> Result<(), Failure> {
        self.sessions.delete(&self.sessions.key(&id.to_le_bytes())).await.map(|_| ()).map_err(Failure::Backend)
    }

    async fn sweep(&self) -> Result<(), Failure> {
        self.sessions.store().sweep().await.map_err(Failure::Backend)
    }
}

impl fmt::Debug for TowerSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TowerSessions").finish_non_exhaustive()
    }
}

/// What went wrong, before it is converted to an error of one version.
enum Failure {
    Encode(Error),
    Decode(Error),
    Backend(Error),
}

impl Failure {
    fn of_write(error: Error) -> Self {
        if matches!(error, Error::Codec(_)) { Self::Encode(error) } else { Self::Backend(error) }
    }
}

/// Times before 1970 count as 1970: such a session is over in any case.
fn to_ms(time: OffsetDateTime) -> u64 {
    u64::try_from((time.unix_timestamp_nanos() / 1_000_000).max(0)).unwrap_or(u64::MAX)
}

fn from_ms(ms: u64) -> OffsetDateTime {
    // A time that does not fit is too far away to matter.
    let last = time::macros::datetime!(9999-12-31 23:59:59 UTC);
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).unwrap_or(last)
}

macro_rules! implement {
    ($core:ident) => {
        const _: () = {
            use $core::{
                ExpiredDeletion, SessionStore,
                session::{Id, Record},
                session_store::{Error as TheirError, Result as TheirResult},
            };

            impl From<Failure> for TheirError {
                fn from(failure: Failure) -> Self {
                    match failure {
                        Failure::Encode(error) => Self::Encode(text(&error)),
                        Failure::Decode(error) => Self::Decode(text(&error)),
                        Failure::Backend(error) => Self::Backend(text(&error)),
                    }
                }
            }

            #[async_trait::async_trait]
            impl SessionStore for TowerSessions {
                async fn create(&self, record: &mut Record) -> TheirResult<()> {
                    while !TowerSessions::create(self, record.id.0, &record.data, record.expiry_date).await? {
                        record.id = Id::default();
                    }
                    Ok(())
                }

                async fn save(&self, record: &Record) -> TheirResult<()> {
                    Ok(TowerSessions::save(self, record.id.0, &record.data, record.expiry_date).await?)
                }

                async fn load(&self, id: &Id) -> TheirResult<Option<Record>> {
                    let loaded = TowerSessions::load(self, id.0)?;
                    Ok(loaded.map(|(data, expiry_date)| Record { id: *id, data, expiry_date }))
                }

                async fn delete(&self, id: &Id) -> TheirResult<()> {
                    Ok(TowerSessions::delete(self, id.0).await?)
                }
            }

            #[async_trait::async_trait]
            impl ExpiredDeletion for TowerSessions {
                async fn delete_expired(&self) -> TheirResult<()> {
                    Ok(TowerSessions::sweep(self).await?)
                }
            }
        };
    };
}

#[cfg(feature = "tower-sessions-0_14")]
implement!(tower_sessions_core_0_14);
#[cfg(feature = "tower-sessions-0_15")]
implement!(tower_sessions_core_0_15);
