//! Settings of a store, and their defaults.

mod check;
mod files;
mod open;
mod restore;

use std::{sync::Arc, time::Duration};

use sessile_codec::Limits;

use crate::{
    Error, Keys,
    clock::{Clock, SystemClock},
    disk::Encryption,
    expiry::Timeouts,
};

/// When a commit is acknowledged.
///
/// | | process crash | power cut |
/// |---|---|---|
/// | `Durable` | nothing acknowledged is lost | nothing acknowledged is lost |
/// | `Relaxed` | at most the last flush interval is lost | at most the last flush interval is lost |
/// | `Quick` | changes that no later commit included are lost | changes that no later commit included are lost |
///
/// A clean close loses nothing. New tokens, the end of sessions and evictions by an owner's limit are always `Durable`: a crash
/// must not undo a logout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// After it was synced to disk.
    #[default]
    Durable,
    /// At once; it is synced within the flush interval.
    Relaxed,
    /// At once, and it stays in memory. It is written with the session's next commit that is not quick, when memory needs the
    /// room, at [`Store::flush`](crate::Store::flush) and when the store is closed. A use that is worth a write (after a tenth
    /// of the idle timeout) makes it `Relaxed`, a change of owner `Durable`.
    Quick,
}

/// What happens when an owner has as many sessions as allowed and begins another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OwnerLimit {
    /// The commit that sets the owner fails with [`Error::OwnerLimit`] and stores nothing.
    Refuse,
    /// The owner's least recently used session ends. That is always durable.
    EvictOldest,
}

/// The settings of a store that concern sessions.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) timeouts: Timeouts,
    pub(crate) limits: Limits,
    /// Limits of other crates' sessions.
    pub(crate) foreign_limits: Limits,
    pub(crate) durability: Durability,
    pub(crate) rotation_grace: Duration,
    pub(crate) owner_limit: Option<(usize, OwnerLimit)>,
    pub(crate) max_sessions: Option<u64>,
    pub(crate) max_disk_bytes: Option<u64>,
}

impl Settings {
    /// Whether the store's size is limited.
    pub(crate) fn is_bounded(&self) -> bool {
        self.max_sessions.is_some() || self.max_disk_bytes.is_some()
    }
}

/// Settings of a [`Store`](crate::Store); from [`Store::builder`](crate::Store::builder).
///
/// # Examples
/// ```
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("sessions.redb");
/// use std::time::Duration;
///
/// use sessile::{Durability, Store};
///
/// let store = Store::builder()
///     .memory_budget(256 << 20)
///     .idle_timeout(Duration::from_mins(30))
///     .absolute_timeout(Duration::from_hours(12))
///     .durability(Durability::Relaxed)
///     .wait_for_lock(Duration::from_secs(10))
///     .open(path)?;
/// # store.close()?;
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing until `open`"]
pub struct Builder {
    pub(crate) memory_budget: usize,
    pub(crate) settings: Settings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) keys: Option<Keys>,
    encryption: Encryption,
    disk_cache: usize,
    wait_for_lock: Duration,
    flush_interval: Duration,
    sweep_interval: Duration,
    commit_timeout: Duration,
    journal_bytes: u64,
    verify_on_open: bool,
    accept_empty_file: bool,
    salvage_journal: bool,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            memory_budget: 64 << 20,
            settings: Settings {
                timeouts: Timeouts::default(),
                limits: Limits::default(),
                foreign_limits: Limits { record_bytes: Limits::default().record_bytes, ..Limits::UNLIMITED },
                durability: Durability::Durable,
                rotation_grace: Duration::from_secs(10),
                owner_limit: None,
                max_sessions: None,
                max_disk_bytes: None,
            },
            clock: Arc::new(SystemClock),
            keys: None,
            encryption: Encryption::default(),
            disk_cache: 16 << 20,
            wait_for_lock: Duration::ZERO,
            flush_interval: Duration::from_secs(1),
            sweep_interval: Duration::from_mins(1),
            commit_timeout: Duration::from_secs(10),
            journal_bytes: 256 << 20,
            verify_on_open: false,
            accept_empty_file: false,
            salvage_journal: false,
        }
    }
}

impl Builder {
    /// Sets the bytes that sessions in memory may take, including overhead. Default: 64 MiB, some 80,000 typical sessions.
    ///
    /// Sessions that are not on disk yet stay in memory beyond this limit: at most some 64 MiB that wait for the disk, and as
    /// much that is being written.
    ///
    /// # Examples
    /// ```
    /// # use sessile::Store;
    /// let store = Store::builder().memory_budget(8 << 20).open_in_memory()?;
    /// assert_eq!(store.stats().memory_budget_bytes, 8 << 20);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn memory_budget(self, bytes: usize) -> Self {
        Self { memory_budget: bytes, ..self }
    }

    /// Sets how long a session lasts unused. Default: 7 days; at least a millisecond, `Duration::MAX` for no limit.
    ///
    /// Existing sessions keep the timeout that they began with.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// use sessile::{Store, testing::ManualClock};
    ///
    /// let clock = ManualClock::default();
    /// let store = Store::builder().clock(clock.clone()).idle_timeout(Duration::from_mins(30)).open_in_memory()?;
    /// let session = store.session(None)?;
    /// session.insert("name", "Ada")?;
    /// session.save().wait()?;
    /// let token = session.token();
    /// clock.advance(Duration::from_mins(29));
    /// assert!(store.session(token.as_ref())?.token().is_some(), "and this use moves the end");
    /// clock.advance(Duration::from_mins(30));
    /// assert!(store.session(token.as_ref())?.token().is_none());
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[doc(alias = "set_expiry")]
    #[doc(alias = "max_age")]
    pub fn idle_timeout(self, timeout: Duration) -> Self {
        self.set(|settings| settings.timeouts.idle = timeout)
    }

    /// Sets how long a session lasts however much it is used. Default: 30 days; at least a millisecond, `Duration::MAX` for no
    /// limit.
    ///
    /// Existing sessions keep the deadline that they began with.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// use sessile::{Store, testing::ManualClock};
    ///
    /// let clock = ManualClock::default();
    /// let store = Store::builder().clock(clock.clone()).absolute_timeout(Duration::from_hours(8)).open_in_memory()?;
    /// let session = store.session(None)?;
    /// session.insert("name", "Ada")?;
    /// session.save().wait()?;
    /// clock.advance(Duration::from_hours(8));
    /// assert!(store.session(session.token().as_ref())?.token().is_none());
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn absolute_timeout(self, timeout: Duration) -> Self {
        self.set(|settings| settings.timeouts.absolute = timeout)
    }

    /// Sets the lifetime of a session until its cookie is seen again. Default: 1 hour. `Duration::MAX` turns it off.
    ///
    /// It keeps bots and clients that drop cookies from filling the store. The first request with the cookie confirms the
    /// session, and the idle timeout applies from then on. Sessions with an owner, or with [their own idle
    /// timeout](crate::Session::set_idle_timeout), are confirmed from the beginning.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// use sessile::{Store, testing::ManualClock};
    ///
    /// let clock = ManualClock::default();
    /// let store = Store::builder().clock(clock.clone()).unconfirmed_timeout(Duration::from_mins(10)).open_in_memory()?;
    /// let session = store.session(None)?;
    /// session.insert("seen", true)?;
    /// session.save().wait()?;
    /// clock.advance(Duration::from_mins(10));
    /// assert!(store.session(session.token().as_ref())?.token().is_none(), "its cookie never came back");
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[doc(alias = "first_life")]
    #[doc(alias = "save_uninitialized")]
    pub fn unconfirmed_timeout(self, timeout: Duration) -> Self {
        self.set(|settings| settings.timeouts.unconfirmed = timeout)
    }

    /// Sets how long the old token leads to a session after [`Session::rotate_with_grace`](crate::Session::rotate_with_grace),
    /// so that requests in progress succeed. Default: 10 seconds.
    ///
    /// It does not outlive this process. [`Session::rotate`](crate::Session::rotate) has no grace.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// use sessile::{Store, testing::ManualClock};
    ///
    /// let clock = ManualClock::default();
    /// let store = Store::builder().clock(clock.clone()).rotation_grace(Duration::from_secs(5)).open_in_memory()?;
    /// let session = store.session(None)?;
    /// session.insert("seen", true)?;
    /// session.save().wait()?;
    /// let before = session.token();
    /// session.rotate_with_grace();
    /// session.save().wait()?;
    /// assert!(store.session(before.as_ref())?.token().is_some(), "for requests that are under way");
    /// clock.advance(Duration::from_secs(5));
    /// assert!(store.session(before.as_ref())?.token().is_none());
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn rotation_grace(self, grace: Duration) -> Self {
        self.set(|settings| settings.rotation_grace = grace)
    }

    /// Sets how many sessions an owner may have at once, and what happens to the next. Default: any number. At least 1.
    ///
    /// # Examples
    /// ```
    /// use sessile::{OwnerLimit, Store};
    ///
    /// let store = Store::builder().sessions_per_owner(1, OwnerLimit::EvictOldest).open_in_memory()?;
    /// for _ in 0..2 {
    ///     let session = store.session(None)?;
    ///     session.sign_in("ada")?;
    ///     session.save().wait()?;
    /// }
    /// assert_eq!(store.sessions_of("ada")?.len(), 1);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn sessions_per_owner(self, limit: usize, policy: OwnerLimit) -> Self {
        self.set(|settings| settings.owner_limit = Some((limit, policy)))
    }

    /// Sets how many sessions there may be. Default: any number. At least 1.
    ///
    /// The last tenth is reserved for sessions with an owner. A new session beyond the limit evicts an unused one without an
    /// owner from memory; if there is none, the commit fails with [`Error::StoreFull`]. A session with an owner is never
    /// evicted for another. Requests that commit at the same moment may exceed the limit, each by one session.
    ///
    /// # Examples
    /// ```
    /// use sessile::{Error, Store, error::Capacity};
    ///
    /// let store = Store::builder().max_sessions(1).open_in_memory()?;
    /// let sign_in = |owner: &str| {
    ///     let session = store.session(None)?;
    ///     session.sign_in(owner)?;
    ///     session.save().wait()
    /// };
    /// sign_in("ada")?;
    /// assert!(matches!(sign_in("bob"), Err(Error::StoreFull { capacity: Capacity::Sessions, .. })));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn max_sessions(self, limit: u64) -> Self {
        self.set(|settings| settings.max_sessions = Some(limit))
    }

    /// Sets how large the store's file may grow through new sessions, in bytes, not counting its
    /// [journal](Self::journal_bytes). Default: any size. At least 1 MiB.
    ///
    /// The file grows when the journal is moved into it, so it may exceed the limit by the journal's content. Once it has this
    /// size, new sessions only replace ended ones, as with [`max_sessions`](Self::max_sessions). Changes of existing sessions
    /// are not refused; [`record_limit`](Self::record_limit) bounds those.
    ///
    /// # Examples
    /// ```
    /// # use sessile::Store;
    /// let store = Store::builder().max_disk_bytes(1 << 30).open_in_memory()?;
    /// assert!(store.stats().file_bytes < 1 << 30);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn max_disk_bytes(self, limit: u64) -> Self {
        self.set(|settings| settings.max_disk_bytes = Some(limit))
    }

    /// Sets the largest size of a session, in bytes. Default: 1 MiB; 256 bytes to 1 GiB.
    ///
    /// # Examples
    /// ```
    /// # use sessile::Store;
    /// let store = Store::builder().record_limit(4096).open_in_memory()?;
    /// let session = store.session(None)?;
    /// assert!(session.insert("text", "x".repeat(5000)).is_err());
    /// assert!(session.insert("text", "x".repeat(2000)).is_ok());
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn record_limit(self, bytes: usize) -> Self {
        self.set(|settings| {
            settings.limits.record_bytes = bytes;
            settings.foreign_limits.record_bytes = bytes;
        })
    }

    /// Sets the most keys in a session. Default: 4,096; at least 1. Setting one more returns
    /// [`CodecError::TooManyKeys`](crate::error::CodecError::TooManyKeys).
    ///
    /// Sessions of another crate (`adapters`) may have any number by default.
    ///
    /// # Examples
    /// ```
    /// # use sessile::Store;
    /// let store = Store::builder().keys_limit(1).open_in_memory()?;
    /// let session = store.session(None)?;
    /// session.insert("one", 1)?;
    /// assert!(session.insert("two", 2).is_err());
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn keys_limit(self, keys: usize) -> Self {
        self.set(|settings| {
            settings.limits.keys = keys;
            settings.foreign_limits.keys = keys;
        })
    }

    /// Sets the longest key, in bytes. Default: 255; 16 bytes to 1 MiB. Setting a longer one returns
    /// [`CodecError::BadKey`](crate::error::CodecError::BadKey).
    ///
    /// Keys of another crate's sessions (`adapters`) may have 1 MiB by default. A lower limit refuses new values under longer
    /// keys; existing ones stay, and the session can be changed.
    ///
    /// # Examples
    /// ```
    /// # use sessile::Store;
    /// let store = Store::builder().key_limit(16).open_in_memory()?;
    /// let session = store.session(None)?;
    /// assert!(session.insert("a key of 17 bytes", 1).is_err());
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn key_limit(self, bytes: usize) -> Self {
        self.set(|settings| {
            settings.limits.key_bytes = bytes;
            settings.foreign_limits.key_bytes = bytes;
        })
    }

    /// Sets the keys with which this store recognizes its tokens. Default: a key that the store generates and keeps in its
    /// file.
    ///
    /// That key stays accepted, so setting keys later logs no user out. Removing them again does.
    ///
    /// A key shorter than 32 bytes makes [`open`](Self::open) return [`Error::ShortKey`].
    ///
    /// # Examples
    /// ```
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("sessions.redb");
    /// # let (this_year, last_year) = ([1; 32], [0; 32]);
    /// use sessile::{Keys, Store};
    ///
    /// let store = Store::builder().keys(last_year).open(&path)?;
    /// let session = store.session(None)?;
    /// session.insert("name", "Ada")?;
    /// session.save().wait()?;
    /// let token = session.token().unwrap();
    /// store.close()?;
    ///
    /// let store = Store::builder().keys(Keys::from(this_year).accept(last_year)).open(&path)?;
    /// assert!(store.session(Some(&token))?.token().is_some());
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn keys(self, keys: impl Into<Keys>) -> Self {
        Self { keys: Some(keys.into()), ..self }
    }

    /// Sets the keys with which records are encrypted before they are written to the journal and the file. Default: none;
    /// anyone who can read the files can read the records.
    ///
    /// A store is encrypted from its first day or not at all. Keys for an unencrypted store return [`Error::NotEncrypted`], no
    /// keys for an encrypted one [`Error::Encrypted`], and the wrong keys [`Error::UnknownSealKey`]. [`copy`](Self::copy) makes
    /// an encrypted copy of an unencrypted store.
    ///
    /// To replace a key, encrypt with the new one and accept the old one. Each session is encrypted with the new key at its
    /// next write. The others stay readable while the old key is accepted: keep it until the last of them has ended, at the
    /// latest after the absolute timeout. A session whose key is missing does not count as absent: loading, listing or ending
    /// it returns [`Error::UnknownSealKey`], until the key is back or the session has expired.
    ///
    /// The files still show how many sessions there are, hashes of tokens and of owners, the minute in which each session ends,
    /// its length, and when files change. Sessions in memory are not encrypted.
    ///
    /// A key shorter than 32 bytes makes [`open`](Self::open) return [`Error::ShortKey`].
    ///
    /// # Examples
    /// ```
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("sessions.redb");
    /// # let (this_year, last_year) = ([1; 32], [0; 32]);
    /// # sessile::Store::builder().encrypt(last_year).open(&path)?.close()?;
    /// use sessile::{Keys, Store};
    ///
    /// let store = Store::builder().encrypt(Keys::from(this_year).accept(last_year)).open(&path)?;
    /// assert!(Store::open(&path).is_err(), "it cannot be read without a key");
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[cfg(feature = "encryption")]
    pub fn encrypt(self, keys: impl Into<Keys>) -> Self {
        Self { encryption: Encryption { keys: Some(keys.into()) }, ..self }
    }

    /// Sets the clock. Default: that of the operating system.
    ///
    /// The clock may jump. If it is set back, while the store is open or closed, time continues from where it was: nothing
    /// expired comes back. If it is set ahead by more than ten minutes, sessions that would be over are not served, as after a
    /// machine has slept. They are deleted only after the clock has run on from there for ten minutes; if it is corrected
    /// before, they are served again. A session that expired less than a [sweep interval](Self::sweep_interval) before a crash
    /// may come back if the clock is behind afterwards.
    ///
    /// [`Stats::clock_jumps`](crate::Stats::clock_jumps) counts the jumps.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// use sessile::{Store, testing::ManualClock};
    ///
    /// let clock = ManualClock::default();
    /// let store = Store::builder().clock(clock.clone()).open_in_memory()?;
    /// let before = store.now();
    /// clock.advance(Duration::from_mins(5));
    /// assert_eq!(store.now(), before + Duration::from_mins(5));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn clock(self, clock: impl Clock) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }

    fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    fn check(&self) -> Result<(), Error> {
        self.keys.as_ref().map_or(Ok(()), Keys::check)?;
        #[cfg(feature = "encryption")]
        self.encryption.keys.as_ref().map_or(Ok(()), Keys::check)?;
        check::problem(self).map_or(Ok(()), |detail| Err(Error::Config { detail }))
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("memory_budget", &self.memory_budget)
            .field("timeouts", &self.settings.timeouts)
            .field("durability", &self.settings.durability)
            .finish_non_exhaustive()
    }
}
