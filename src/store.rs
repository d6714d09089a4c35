//! Combines the two tiers into one store of sessions.
//!
//! Invariants:
//! - Memory is asked first, and its answer holds for the disk too: it pins every record and tombstone that is not durable yet.
//! - A commit merges onto the record that is current at that moment. It is refused if the session has ended.
//! - A token's MAC is checked before any I/O, and only if memory does not know the session. A forged id costs no I/O.
//! - A disk failure is returned as an error, never as "no session".

mod backup;
mod callbacks;
mod capacity;
mod commit;
mod counters;
mod destroy;
#[cfg(feature = "foreign")]
mod ended;
mod events;
mod find;
#[cfg(feature = "foreign")]
mod foreign;
mod info;
mod lease;
#[cfg(feature = "metrics")]
mod metrics;
mod notes;
mod owners;
#[cfg(feature = "sealed")]
#[path = "sealed/revoked.rs"]
mod revoked;
#[cfg(feature = "foreign")]
mod scan;
mod txn;
#[cfg(any(all(test, feature = "test-util"), not(feature = "sealed")))]
mod unsealed;
mod watch;

use std::{
    fmt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::SystemTime,
};

use sessile_codec::Limits;

#[cfg(feature = "foreign")]
pub use self::foreign::ForeignKind;
#[cfg(feature = "foreign")]
pub(crate) use self::foreign::{Change, Placed};
#[cfg(feature = "foreign")]
pub use self::notes::Came;
#[cfg(feature = "foreign")]
pub(crate) use self::notes::{Import, Incoming, Source};
#[cfg(feature = "sealed")]
use self::revoked::Revoked;
#[cfg(feature = "sealed")]
pub(crate) use self::revoked::{Opened, SealedEnd, SealedId, has_left};
#[cfg(not(feature = "sealed"))]
use self::unsealed::Revoked;
use self::{callbacks::StoreCallbacks, capacity::FullAt, counters::Shared, lease::Leases, notes::Notes, owners::OwnerLocks};
pub use self::{
    events::{EndReason, Event, Events},
    info::SessionInfo,
    watch::{SessionEnd, Watch},
};
pub(crate) use self::{
    find::{Found, Presented},
    lease::Lease,
    txn::{CommitOptions, Committed, LoadedRecord, MergeInput, NewKey, Put},
};
use crate::{
    Ack, Builder, Durability, Error, Stats,
    builder::Settings,
    clock::from_ms,
    disk::{self, Disk},
    expiry::Timeouts,
    keys::KeyRing,
    memory::Memory,
    timeline::Timeline,
    token::Key,
};

/// Sessions in one file, with the hot ones in memory.
///
/// Cheap to clone: every clone is the same store. The file is closed when the last clone and the last session are dropped. Call
/// [`close`](Self::close) to learn whether closing succeeded.
///
/// # Examples
/// ```
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("sessions.redb");
/// use sessile::Store;
///
/// let store = Store::open(&path)?;
/// let session = store.session(None)?;
/// session.insert("name", "Ada")?;
/// session.save().wait()?;
///
/// // The token that the client sends with its next request.
/// let token = session.token().unwrap();
/// assert_eq!(store.session(Some(&token))?.get::<String>("name")?.as_deref(), Some("Ada"));
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Clone)]
pub struct Store(Arc<Inner>, Leases);

struct Inner {
    memory: Arc<Memory>,
    disk: Disk,
    ring: KeyRing,
    settings: Settings,
    timeline: Arc<Timeline>,
    shared: Arc<Shared>,
    revoked: Arc<Revoked>,
    notes: Arc<Notes>,
    owner_locks: OwnerLocks,
    full_at: FullAt,
    closed: AtomicBool,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Store {
    /// Opens the store at `path`, with the defaults of [`Builder`]. Creates it if there is no file.
    ///
    /// # Errors
    /// [`Error::AlreadyOpen`], [`Error::EmptyFile`], [`Error::NotAStore`], [`Error::StoreFormat`], [`Error::Open`],
    /// [`Error::NoRandomness`].
    ///
    /// # Examples
    /// ```
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("sessions.redb");
    /// use sessile::Store;
    ///
    /// let store = Store::open(&path)?;
    /// let session = store.session(None)?;
    /// session.insert("name", "Ada")?;
    /// session.save().wait()?;
    /// store.close()?;
    /// assert_eq!(Store::open(&path)?.stats().sessions, 1);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::builder().open(path)
    }

    /// Returns a builder, for settings other than the defaults.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// use sessile::Store;
    ///
    /// let store = Store::builder().idle_timeout(Duration::from_mins(30)).open_in_memory()?;
    /// assert_eq!(store.stats().sessions, 0);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn start(builder: &Builder, settings: disk::Settings) -> Result<Self, Error> {
        let path = settings.volume.path(&settings.name);
        let memory = Arc::new(Memory::new(builder.memory_budget, builder.settings.is_bounded()));
        let (timeline, shared) = (settings.timeline.clone(), Arc::new(Shared::default()));
        let (revoked, notes) = (Arc::new(Revoked::default()), Arc::new(Notes::default()));
        let upstream = StoreCallbacks {
            memory: memory.clone(),
            timeline: timeline.clone(),
            shared: shared.clone(),
            revoked: revoked.clone(),
            notes: notes.clone(),
        };
        let (disk, mac_keys) = Disk::open(settings, Arc::new(upstream))?;
        let stored = KeyRing::from_bytes(mac_keys).ok_or(Error::NotAStore { path })?;
        let ring = match &builder.keys {
            Some(keys) => KeyRing::of(keys, &stored),
            None => stored,
        };
        #[cfg(feature = "sealed")]
        let lost = revoked.load(&disk)?;
        #[cfg(not(feature = "sealed"))]
        revoked.load(&disk)?;
        notes.load(&disk)?;
        shared.recount(-(revoked.len() + notes.len()).cast_signed());
        #[cfg(feature = "sealed")]
        shared.recount(-(lost.as_ref().map_or(0, Vec::len) as u64).cast_signed());
        let inner = Arc::new(Inner {
            memory,
            disk,
            ring,
            settings: builder.settings,
            timeline,
            shared,
            revoked,
            notes,
            owner_locks: OwnerLocks::default(),
            full_at: FullAt::default(),
            closed: AtomicBool::new(false),
        });
        let leases = Leases::of(&inner);
        let store = Self(inner, leases);
        #[cfg(feature = "sealed")]
        if let Some(lost) = lost {
            store.cut_off_lost(&lost);
        }
        Ok(store)
    }

    /// Makes everything durable that was committed until now, quick commits included.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// use sessile::Durability;
    ///
    /// let session = store.session(None)?;
    /// session.insert("name", "Ada")?;
    /// session.save_with(Durability::Relaxed).wait()?;
    /// store.flush().wait()?; // now no power cut undoes it
    /// assert_eq!(store.stats().disk_sessions, 1);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn flush(&self) -> Ack {
        if let Err(error) = self.0.disk.check_process() {
            return Ack::settled(Err(error));
        }
        self.0.memory.write_back(&self.0.disk, false);
        Ack::new(self.0.disk.flush(), ())
    }

    /// Writes what is not on disk yet and closes the file, for all clones of this store. Later commits return
    /// [`Error::Closed`].
    ///
    /// # Errors
    /// [`Error::Degraded`] if the disk refuses: the last relaxed and quick commits may then be lost. [`Error::Forked`] in a
    /// child process: the parent's store stays open.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// store.close()?;
    /// let session = store.session(None)?;
    /// session.insert("name", "Ada")?;
    /// assert!(matches!(session.save().wait(), Err(sessile::Error::Closed)));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn close(&self) -> Result<(), Error> {
        self.0.close()
    }

    /// Returns the events of this store's sessions from now on: created, rotated, destroyed, expired.
    ///
    /// It costs nothing without subscribers and never makes a commit wait. A subscriber that falls more than 1,024 events
    /// behind loses the oldest and learns how many. The events of two threads that change one session at once may arrive in
    /// either order.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// use sessile::events::{EndReason, Event};
    ///
    /// let mut events = store.subscribe();
    /// let session = store.session(None)?;
    /// session.insert("name", "Ada")?;
    /// session.save().wait()?;
    /// let handle = session.handle().unwrap();
    /// session.destroy();
    /// session.save().wait()?;
    /// assert_eq!(events.try_next(), Some(Event::Created { handle }));
    /// assert_eq!(events.try_next(), Some(Event::Destroyed { handle, reason: EndReason::Logout }));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[must_use]
    pub fn subscribe(&self) -> Events {
        self.0.shared.events.subscribe()
    }

    /// Returns the store's counters and sizes. In a child process, only `degraded` is set.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// let session = store.session(None)?;
    /// session.insert("name", "Ada")?;
    /// session.save().wait()?;
    /// let stats = store.stats();
    /// assert_eq!((stats.sessions, stats.commits, stats.degraded), (1, 1, false));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn stats(&self) -> Stats {
        if self.0.disk.check_process().is_err() {
            return Stats { degraded: true, ..Stats::default() };
        }
        let (memory, disk, counters) = (self.0.memory.counts(), self.0.disk.stats(), &self.0.shared.counters);
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            memory_hits: memory.hits,
            disk_hits: read(&counters.disk_hits),
            misses: read(&counters.misses),
            forged: read(&counters.forged),
            ambiguous: read(&counters.ambiguous),
            commits: read(&counters.commits),
            dropped_commits: read(&counters.dropped_commits),
            syncs: disk.syncs,
            evictions: memory.evictions,
            expired: read(&counters.expired),
            swept: disk.swept,
            clock_jumps: self.0.timeline.jumps(),
            corrupt: read(&counters.corrupt),
            unreadable: read(&counters.unreadable),
            shape_changed: read(&counters.shape_changed),
            device_registrations: read(&counters.device_registrations),
            device_refreshes: read(&counters.device_refreshes),
            device_refusals: read(&counters.device_refusals),
            refused: read(&counters.refused),
            limited: read(&counters.limited),
            sessions: self.0.shared.sessions(),
            memory_sessions: memory.sessions,
            memory_bytes: memory.bytes,
            memory_budget_bytes: self.0.memory.budget_bytes() as u64,
            quarantined: disk.quarantined,
            torn_writes: disk.torn,
            replayed: disk.replayed,
            disk_sessions: disk.sessions.saturating_sub(self.0.revoked.len() + self.0.notes.len()),
            sealed: read(&counters.sealed),
            revoked: self.0.revoked.len().saturating_sub(u64::from(self.0.revoked.is_in_use())),
            file_bytes: disk.file_bytes,
            journal_bytes: disk.journal_bytes,
            degraded: disk.degraded,
        }
    }

    /// Deletes expired sessions from the file now. The store also does so by itself every [`Builder::sweep_interval`].
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// use sessile::{Store, testing::ManualClock};
    ///
    /// let clock = ManualClock::default();
    /// let store = Store::builder().clock(clock.clone()).open_in_memory()?;
    /// let session = store.session(None)?;
    /// session.insert("name", "Ada")?;
    /// session.save().wait()?;
    /// clock.advance(Duration::from_hours(24 * 31));
    /// store.sweep().wait()?;
    /// assert_eq!(store.stats().sessions, 0);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn sweep(&self) -> Ack {
        Ack::new(self.0.disk.sweep(), ())
    }

    /// Returns the store's current time: that of its [`Clock`](crate::Clock), except that it does not go back when the clock is
    /// set back.
    ///
    /// Compare it with [`Session::authenticated_at`](crate::Session::authenticated_at) and deadlines.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// let now = store.now();
    /// assert!(store.now() >= now);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[must_use]
    pub fn now(&self) -> SystemTime {
        from_ms(self.now_ms())
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.0.timeline.now_ms()
    }

    /// Returns the store's id, which is in the file and differs from every other store's.
    #[cfg(feature = "tower")]
    pub(crate) fn id(&self) -> [u8; 16] {
        self.0.disk.store_id()
    }

    /// Returns the keys with which the store recognizes what it signed.
    #[cfg(feature = "device-bound")]
    pub(crate) fn ring(&self) -> &KeyRing {
        &self.0.ring
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.settings.limits
    }

    pub(crate) fn timeouts(&self) -> &Timeouts {
        &self.0.settings.timeouts
    }

    /// The durability of commits that do not set their own.
    pub(crate) fn durability(&self) -> Durability {
        self.0.settings.durability
    }

    /// Counts a stored model whose fields are not those of its version.
    pub(crate) fn note_shape_changed(&self) {
        count(&self.0.shared.counters.shape_changed);
    }

    /// Counts and logs a session that was bound to a device, and sends the event to subscribers.
    #[cfg(feature = "device-bound")]
    pub(crate) fn note_bound(&self, handle: crate::Handle) {
        count(&self.0.shared.counters.device_registrations);
        crate::log::bound_device(handle);
        self.0.shared.events.send(|| Event::DeviceBound { handle });
    }

    /// Counts a proof of a device.
    #[cfg(feature = "device-bound")]
    pub(crate) fn note_refreshed(&self) {
        count(&self.0.shared.counters.device_refreshes);
    }

    /// Counts and logs a proof that was refused, and sends the event to subscribers.
    #[cfg(feature = "device-bound")]
    pub(crate) fn note_refused(&self, handle: Option<crate::Handle>, refusal: crate::device::Refusal) {
        count(&self.0.shared.counters.device_refusals);
        crate::log::refused_proof(handle, refusal);
        if let Some(handle) = handle {
            self.0.shared.events.send(|| Event::DeviceRefused { handle, refusal });
        }
    }

    /// Counts a stored value that could not be read.
    pub(crate) fn note_unreadable(&self) {
        count(&self.0.shared.counters.unreadable);
    }

    /// Whether both are clones of one store.
    #[cfg(any(feature = "tower", feature = "foreign"))]
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::SeqCst)
    }

    /// Watches the session under `key`.
    pub(crate) fn watch(&self, key: &Key) -> Result<Watch, Error> {
        let watch = self.0.shared.watchers.add(key);
        let mut key = *key;
        // Checked after the watch began, and again after it moved: an end before that had no watcher to notify.
        loop {
            match self.current(&key)? {
                None => self.0.shared.watchers.end(&key, SessionEnd::Before),
                Some(current) if current.key != key => {
                    self.0.shared.watchers.follow(&key, &current.key);
                    key = current.key;
                    continue;
                }
                Some(_) => {}
            }
            break;
        }
        if self.is_closed() {
            self.0.shared.watchers.close();
        }
        Ok(watch)
    }
}

impl Inner {
    fn close(&self) -> Result<(), Error> {
        if let Err(error) = self.disk.check_process() {
            // Threads that do not exist in this process may hold memory's locks. The disk tier leaves its files alone.
            return self.disk.close().and(Err(error));
        }
        // Before the write-back: a quick commit either sees that the store is closed, or is included in the write-back.
        self.closed.store(true, Ordering::SeqCst);
        self.memory.write_back(&self.disk, true);
        let closed = self.disk.close();
        self.shared.watchers.close();
        self.shared.events.close();
        closed
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // To learn whether this succeeds, call `close` first.
        let _ = self.close();
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}
