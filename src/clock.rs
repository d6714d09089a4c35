//! Where the time comes from.

use std::{
    sync::LazyLock,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Tells the time. The store asks it for every deadline, so a test can move time by hand.
///
/// # Examples
/// A clock that is a day ahead, for a store that is to believe it:
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
    /// The time now, as whoever keeps the clock has set it: it may jump.
    ///
    /// A store asks with a lock held, so it must not use the store.
    fn now(&self) -> SystemTime;

    /// How long the clock has been running, counted from any moment: it goes on when the time is set, and never goes back.
    ///
    /// A store compares the two, and so knows a clock that was set from time that went by. Default: [`Instant`].
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

/// A time as records hold it: milliseconds since the Unix epoch. Times before it count as the epoch.
pub(crate) fn to_ms(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, duration_ms)
}

/// The time that a record holds. One after the year 9999, which calendars cannot write with four digits and some crates not at all,
/// becomes the end of that year.
pub(crate) fn from_ms(ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(ms.min(LATEST_MS))
}

/// The deadline that a record holds; `None` for never, and for one after the year 9999.
pub(crate) fn deadline_from_ms(ms: u64) -> Option<SystemTime> {
    (ms <= LATEST_MS).then(|| from_ms(ms))
}

/// 9999-12-31 23:59:59.999, which every platform can represent.
const LATEST_MS: u64 = 253_402_300_799_999;

pub(crate) fn duration_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
