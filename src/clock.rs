//! Where the time comes from.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Tells the time. The store asks it for every deadline, so a test can move time by hand.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> SystemTime;
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

/// The time that a record holds. One that the platform cannot represent, "never" among them, becomes a date it can.
pub(crate) fn from_ms(ms: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(ms)).unwrap_or(UNIX_EPOCH + FAR_AWAY)
}

/// About ten thousand years, which every platform can represent.
const FAR_AWAY: Duration = Duration::from_hours(87_600_000);

pub(crate) fn duration_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
