//! The two tiers as one store of sessions.
//!
//! Invariants:
//! - Memory is asked first and answers for the disk: what is not durable yet is pinned there, tombstones of destroyed sessions too.
//! - A commit is a merge onto the record that is current when it is made; it is refused when that session is over.
//! - A token's MAC is checked before any I/O, and only when memory does not know the session: a forged id costs no I/O.
//! - A failure of the disk is an error to the caller, never "no session".

mod commit;
mod ending;
mod find;
mod info;
mod owners;
mod upstream;

use std::{
    fmt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use sessile_codec::Limits;

pub use self::info::SessionInfo;
pub(crate) use self::{commit::Committed, find::Found};
use self::{ending::Endings, upstream::Above};
use crate::{
    Ack, Builder, Durability, Error, Stats,
    clock::{Clock, to_ms},
    disk::{self, Disk, Urgency},
    expiry::Timeouts,
    memory::Memory,
    token::KeyRing,
};

/// Sessions in one file, with the hot ones in memory.
///
/// Cheap to clone: every clone is the same store. The file is closed when the last clone is dropped, sessions included; call
/// [`close`](Self::close) to hear whether that went well.
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
/// // What the client presents the next time.
/// let token = session.token().unwrap();
/// assert_eq!(store.session(Some(&token))?.get::<String>("name")?.as_deref(), Some("Ada"));
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    memory: Arc<Memory>,
    disk: Disk,
    ring: KeyRing,
    timeouts: Timeouts,
    limits: Limits,
    urgency: Urgency,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
    endings: Endings,
}

/// What is counted outside the tiers.
#[derive(Default)]
struct Counters {
    disk_hits: AtomicU64,
    misses: AtomicU64,
    forged: AtomicU64,
    ambiguous: AtomicU64,
    commits: AtomicU64,
    dropped_commits: AtomicU64,
    expired: AtomicU64,
    corrupt: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Store {
    /// Opens the store at `path`, or makes one if no file is there, with the defaults of [`Builder`].
    ///
    /// # Errors
    /// [`Error::AlreadyOpen`], [`Error::EmptyFile`], [`Error::NotAStore`], [`Error::StoreFormat`], [`Error::Open`],
    /// [`Error::NoRandomness`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::builder().open(path)
    }

    /// Settings other than the defaults.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn start(builder: &Builder, settings: disk::Settings) -> Result<Self, Error> {
        let path = settings.volume.path(&settings.name);
        let memory = Arc::new(Memory::new(builder.memory_budget));
        let clock = builder.clock.clone();
        let upstream = Arc::new(Above { memory: memory.clone(), clock: clock.clone() });
        let (disk, mac_keys) = Disk::open(settings, upstream)?;
        let ring = KeyRing::from_bytes(&mac_keys).ok_or(Error::NotAStore { path })?;
        let urgency = match builder.durability {
            Durability::Durable => Urgency::Now,
            Durability::Relaxed => Urgency::Soon,
        };
        let (timeouts, limits) = (builder.timeouts, builder.limits);
        let (counters, endings) = (Arc::default(), Endings::default());
        Ok(Self(Arc::new(Inner { memory, disk, ring, timeouts, limits, urgency, clock, counters, endings })))
    }

    /// Makes everything durable that was committed until now.
    pub fn flush(&self) -> Ack {
        Ack::new(self.0.disk.flush(), ())
    }

    /// Writes what is not on disk yet and closes the file, for all clones of this store. Later commits give [`Error::Closed`].
    ///
    /// # Errors
    /// [`Error::Degraded`] if the disk refuses: then the last relaxed commits may be lost.
    pub fn close(&self) -> Result<(), Error> {
        self.0.disk.close()
    }

    /// What the store has done and holds.
    pub fn stats(&self) -> Stats {
        let (memory, disk, counters) = (self.0.memory.counts(), self.0.disk.stats(), &self.0.counters);
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
            corrupt: read(&counters.corrupt),
            memory_sessions: memory.sessions,
            memory_bytes: memory.bytes,
            memory_budget_bytes: self.0.memory.budget_bytes() as u64,
            quarantined: disk.quarantined,
            torn_writes: disk.torn,
            disk_sessions: disk.sessions,
            file_bytes: disk.file_bytes,
            journal_bytes: disk.journal_bytes,
            degraded: disk.degraded,
        }
    }

    /// Deletes from the file what is expired now, as the store does by itself every [`Builder::sweep_interval`].
    pub fn sweep(&self) -> Ack {
        Ack::new(self.0.disk.sweep(), ())
    }

    pub(crate) fn now_ms(&self) -> u64 {
        to_ms(self.0.clock.now())
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.limits
    }

    pub(crate) fn timeouts(&self) -> &Timeouts {
        &self.0.timeouts
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}
