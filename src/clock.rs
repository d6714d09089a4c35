//! The clock of a store.

use std::{
    sync::LazyLock,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Returns the time. The store uses it for every deadline, so a test can control the time.
///
/// # Examples
/// A clock that is a day ahead:
/// ```
/// use std::time::{Duration, SystemTime};
///
/// use sessile::{Clock, Store};
///
/// struct Tomorrow;
///
/// impl Clock for Tomorrow {
///     fn now(&self) -> SystemTime {
///         SystemTime::now() + Duration::from_hours(24)
///     }
/// }
///
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("sessions.redb");
/// let store = Store::builder().clock(Tomorrow).open(path)?;
/// # store.close()?;
/// # Ok::<(), sessile::Error>(())
/// ```
pub trait Clock: Send + Sync + 'static {
    /// Returns the current time. It may jump when the clock is set.
    ///
    /// A store calls this while it holds a lock, so it must not use the store.
    fn now(&self) -> SystemTime;

    /// Returns how long the clock has been running, counted from any moment. It continues when the time is set, and never goes
    /// back.
    ///
    /// A store compares the two, and so distinguishes a clock that was set from time that passed. Default: [`Instant`].
    fn uptime(&self) -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        START.elapsed()
    }
}

/// The clock of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// Converts a time to the form in records: milliseconds since the Unix epoch. Earlier times count as the epoch.
pub(crate) fn to_ms(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, duration_ms)
}

/// Converts a record's time. One after the year 9999, which calendars cannot write with four digits and some crates not at all,
/// becomes the end of that year.
pub(crate) fn from_ms(ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(ms.min(LATEST_MS))
}

/// Converts a record's deadline; `None` for never, and for one after the year 9999.
pub(crate) fn deadline_from_ms(ms: u64) -> Option<SystemTime> {
    (ms <= LATEST_MS).then(|| from_ms(ms))
}

/// 9999-12-31 23:59:59.999, which every platform can represent.
const LATEST_MS: u64 = 253_402_300_799_999;

pub(crate) fn duration_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
