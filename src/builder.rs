//! Settings of a store, and their defaults.

use std::{path::Path, sync::Arc, time::Duration};

use sessile_codec::Limits;

use crate::{
    Error, Store,
    clock::{Clock, SystemClock},
    disk,
    expiry::Timeouts,
};

/// When a commit is acknowledged.
///
/// | | process crash | power cut |
/// |---|---|---|
/// | `Durable` | nothing acknowledged is lost | nothing acknowledged is lost |
/// | `Relaxed` | at most the last flush interval is lost | at most the last flush interval is lost |
///
/// Rotations and the end of sessions are `Durable` in either class: a logout must not be undone by a crash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// After it was synced to disk.
    #[default]
    Durable,
    /// At once; it is synced within the flush interval.
    Relaxed,
}

/// Settings of a [`Store`]; from [`Store::builder`].
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
    pub(crate) timeouts: Timeouts,
    pub(crate) durability: Durability,
    pub(crate) limits: Limits,
    pub(crate) clock: Arc<dyn Clock>,
    disk_cache: usize,
    wait_for_lock: Duration,
    flush_interval: Duration,
    sweep_interval: Duration,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            memory_budget: 64 << 20,
            timeouts: Timeouts::default(),
            durability: Durability::Durable,
            limits: Limits::default(),
            clock: Arc::new(SystemClock),
            disk_cache: 16 << 20,
            wait_for_lock: Duration::ZERO,
            flush_interval: Duration::from_secs(1),
            sweep_interval: Duration::from_mins(1),
        }
    }
}

impl Builder {
    /// Bytes that sessions in memory may take, their overhead included. Default: 64 MiB, some 80,000 typical sessions.
    ///
    /// Sessions that are not on disk yet stay in memory beyond it: at most some 64 MiB that wait for the disk, and as much that is
    /// being written.
    pub fn memory_budget(self, bytes: usize) -> Self {
        Self { memory_budget: bytes, ..self }
    }

    /// Bytes that the database may use to cache pages of the file. Default: 16 MiB.
    pub fn disk_cache(self, bytes: usize) -> Self {
        Self { disk_cache: bytes, ..self }
    }

    /// How long a session lasts without being used. Default: 7 days; `Duration::MAX` for ever.
    ///
    /// Sessions that exist keep the timeout that they began with.
    pub fn idle_timeout(self, timeout: Duration) -> Self {
        Self { timeouts: Timeouts { idle: timeout, ..self.timeouts }, ..self }
    }

    /// How long a session lasts however much it is used. Default: 30 days; `Duration::MAX` for ever.
    ///
    /// Sessions that exist keep the deadline that they began with.
    pub fn absolute_timeout(self, timeout: Duration) -> Self {
        Self { timeouts: Timeouts { absolute: timeout, ..self.timeouts }, ..self }
    }

    /// When a commit is acknowledged, for every commit of this store. Default: [`Durability::Durable`].
    pub fn durability(self, durability: Durability) -> Self {
        Self { durability, ..self }
    }

    /// How long a relaxed commit may wait for its sync. Default: 1 second.
    pub fn flush_interval(self, interval: Duration) -> Self {
        Self { flush_interval: interval, ..self }
    }

    /// How long to wait for another process to close the file, as at a deploy. Default: not at all.
    pub fn wait_for_lock(self, timeout: Duration) -> Self {
        Self { wait_for_lock: timeout, ..self }
    }

    /// Largest session, in bytes. Default: 1 MiB; at most 1 GiB.
    pub fn record_limit(self, bytes: usize) -> Self {
        Self { limits: Limits { record_bytes: bytes, ..self.limits }, ..self }
    }

    /// How often expired sessions are deleted from the file. They are never served in the meantime. Default: every minute.
    pub fn sweep_interval(self, interval: Duration) -> Self {
        Self { sweep_interval: interval, ..self }
    }

    /// Where the time comes from. Default: the operating system.
    pub fn clock(self, clock: impl Clock) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }

    /// Opens the store at `path`, or makes one if no file is there. The directory must exist.
    ///
    /// # Errors
    /// [`Error::Config`] for a setting without a sensible meaning, and what [`Store::open`] gives.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Store, Error> {
        self.check()?;
        Store::start(&self, Some(path.as_ref()))
    }

    /// Opens a store without a file, which is gone when it is closed.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    #[cfg(feature = "test-util")]
    pub fn open_in_memory(self) -> Result<Store, Error> {
        self.check()?;
        Store::start(&self, None)
    }

    fn check(&self) -> Result<(), Error> {
        let problem = if self.timeouts.idle.is_zero() || self.timeouts.absolute.is_zero() {
            "a timeout of 0 ends every session at once; give at least a millisecond, or `Duration::MAX` for never".to_owned()
        } else if !(256..=1 << 30).contains(&self.limits.record_bytes) {
            format!("the record limit is {} bytes; give 256 bytes to 1 GiB", self.limits.record_bytes)
        } else {
            return Ok(());
        };
        Err(Error::Config { detail: problem })
    }

    pub(crate) fn disk_settings(&self, path: Option<&Path>) -> disk::Settings {
        disk::Settings {
            path: path.map(Into::into),
            cache_bytes: self.disk_cache,
            wait_for_lock: self.wait_for_lock,
            flush_interval: self.flush_interval,
            sweep_interval: self.sweep_interval,
            clock: self.clock.clone(),
        }
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("memory_budget", &self.memory_budget)
            .field("timeouts", &self.timeouts)
            .field("durability", &self.durability)
            .finish_non_exhaustive()
    }
}
