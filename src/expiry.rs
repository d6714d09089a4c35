//! When a session ends.
//!
//! Invariants: a session is over at the earlier of its two deadlines, to the millisecond; using it moves the idle deadline and
//! never the absolute one; the idle timeout of a record is the distance from its last use to its idle deadline.

use std::time::Duration;

use sessile_codec::Meta;

use crate::clock::duration_ms;

/// How long new sessions last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    pub(crate) idle: Duration,
    pub(crate) absolute: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { idle: Duration::from_hours(168), absolute: Duration::from_hours(720) }
    }
}

impl Timeouts {
    /// The meta data of a session that begins now.
    pub(crate) fn begin(&self, now_ms: u64) -> Meta {
        Meta {
            created_ms: now_ms,
            last_seen_ms: now_ms,
            idle_deadline_ms: now_ms.saturating_add(duration_ms(self.idle)),
            absolute_deadline_ms: now_ms.saturating_add(duration_ms(self.absolute)),
            ..Meta::default()
        }
    }
}

/// How long after its last use the session ends.
fn idle_ms(meta: &Meta) -> u64 {
    meta.idle_deadline_ms.saturating_sub(meta.last_seen_ms)
}

/// When a session ends that was last used at `seen_ms`, which its record may not know yet.
pub(crate) fn deadline_ms(meta: &Meta, seen_ms: u64) -> u64 {
    let idle_deadline_ms = seen_ms.max(meta.last_seen_ms).saturating_add(idle_ms(meta));
    idle_deadline_ms.min(meta.absolute_deadline_ms)
}

/// The meta data after a use of the session at `now_ms`. A clock that went back moves nothing.
pub(crate) fn touched(meta: &Meta, now_ms: u64) -> Meta {
    let last_seen_ms = now_ms.max(meta.last_seen_ms);
    Meta { last_seen_ms, idle_deadline_ms: last_seen_ms.saturating_add(idle_ms(meta)), ..*meta }
}

/// Whether a use at `now_ms` is worth a write: a tenth of the idle timeout has gone since the last use on record.
pub(crate) fn touch_is_due(meta: &Meta, now_ms: u64) -> bool {
    now_ms.saturating_sub(meta.last_seen_ms) >= (idle_ms(meta) / 10).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta() -> Meta {
        Timeouts { idle: Duration::from_secs(100), absolute: Duration::from_secs(150) }.begin(1_000_000)
    }

    #[test]
    fn use_moves_the_idle_deadline_up_to_the_absolute_one() {
        let meta = meta();
        assert_eq!(deadline_ms(&meta, meta.last_seen_ms), 1_100_000);
        assert_eq!(deadline_ms(&meta, 1_040_000), 1_140_000);
        assert_eq!(deadline_ms(&meta, 1_090_000), 1_150_000);
        assert_eq!(touched(&meta, 1_040_000).idle_deadline_ms, 1_140_000);
        assert_eq!(touched(&meta, 1_040_000).absolute_deadline_ms, 1_150_000);
    }

    #[test]
    fn a_clock_that_goes_back_moves_nothing() {
        assert_eq!(touched(&meta(), 5), meta());
        assert_eq!(deadline_ms(&meta(), 5), 1_100_000);
    }

    #[test]
    fn a_tenth_of_the_idle_timeout_makes_a_touch_due() {
        assert!(!touch_is_due(&meta(), 1_009_999));
        assert!(touch_is_due(&meta(), 1_010_000));
    }

    #[test]
    fn never_stays_never() {
        let never = Timeouts { idle: Duration::MAX, absolute: Duration::MAX }.begin(1_000);
        assert_eq!(deadline_ms(&never, 2_000), u64::MAX);
        assert_eq!(touched(&never, 9_000).absolute_deadline_ms, u64::MAX);
    }
}
