//! Helpers for an application's tests: an in-memory store, and a manual clock.

#[cfg(feature = "tower")]
mod login;
mod models;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

#[cfg(feature = "tower")]
pub use self::login::{login_cookie, login_with};
#[doc(hidden)]
pub use self::models::{__check_models, Declared};
#[doc(inline)]
pub use crate::__check_models as check_models;
pub use crate::disk::{FileId, FileKind, Seen, Volume, VolumeFile};
use crate::{
    Clock, Error, Session, Store,
    clock::{duration_ms, from_ms, to_ms},
    operate::Backup,
};

/// Returns a store that is gone when its last clone is dropped.
///
/// # Panics
/// If the operating system provides no random bytes or no thread.
#[must_use]
pub fn store() -> Store {
    Store::builder().open_in_memory().expect("a store without a file needs only randomness and a thread")
}

/// Returns a new session in its own store.
///
/// # Panics
/// As [`store`].
#[must_use]
pub fn session() -> Session {
    store().session(None).expect("a new session needs no I/O")
}

/// Makes a backup of `store`, as [`Store::backup`] does, in the file `backup` of a test's own volume.
///
/// # Errors
/// Those of [`Store::backup`].
///
/// # Examples
/// ```
/// use sessile::{Store, testing};
/// use sessile_fault_disk::FaultDisk;
///
/// let disk = FaultDisk::new(0);
/// let store = Store::builder().open_on(&disk)?;
/// testing::backup_on(&store, &disk)?;
/// assert!(disk.contents("backup").is_some());
/// # Ok::<(), sessile::Error>(())
/// ```
pub fn backup_on(store: &Store, volume: &(impl Volume + Clone)) -> Result<Backup, Error> {
    let volume: Arc<dyn Volume> = Arc::new(volume.clone());
    store.backup_in(&volume, "backup".as_ref(), |_| ())
}

/// A clock that moves only when a test moves it. Clones are the same clock.
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
///
/// clock.advance(Duration::from_mins(30));
/// assert!(store.session(session.token().as_ref())?.token().is_none(), "it has expired");
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<ManualTime>);

#[derive(Debug)]
struct ManualTime {
    now_ms: AtomicU64,
    uptime_ms: AtomicU64,
}

impl ManualClock {
    /// Returns a clock that shows `now`.
    #[must_use]
    pub fn at(now: SystemTime) -> Self {
        Self(Arc::new(ManualTime { now_ms: AtomicU64::new(to_ms(now)), uptime_ms: AtomicU64::new(0) }))
    }

    /// Advances the clock and the uptime.
    pub fn advance(&self, by: Duration) {
        self.0.uptime_ms.fetch_add(duration_ms(by), Ordering::Relaxed);
        self.0.now_ms.fetch_add(duration_ms(by), Ordering::Relaxed);
    }

    /// Advances the uptime while the clock stands still.
    pub fn freeze(&self, by: Duration) {
        self.0.uptime_ms.fetch_add(duration_ms(by), Ordering::Relaxed);
    }

    /// Sets the clock, also backward. The uptime stays: the clock jumps, and [`Builder::clock`](crate::Builder::clock)
    /// describes how a store handles that.
    pub fn set(&self, now: SystemTime) {
        self.0.now_ms.store(to_ms(now), Ordering::Relaxed);
    }
}

impl Default for ManualClock {
    /// Shows the time of the operating system when it is created.
    fn default() -> Self {
        Self::at(SystemTime::now())
    }
}

impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        from_ms(self.0.now_ms.load(Ordering::Relaxed))
    }

    fn uptime(&self) -> Duration {
        Duration::from_millis(self.0.uptime_ms.load(Ordering::Relaxed))
    }
}
