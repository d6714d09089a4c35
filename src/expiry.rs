//! When a session ends.
//!
//! Invariants: a session is over at the earlier of its two deadlines, to the millisecond; using it moves the idle deadline and
//! never the absolute one; the idle timeout of a record is the distance from its last use to its idle deadline.

use std::time::Duration;

use sessile_codec::Meta;

use crate::{clock::duration_ms, timeline::BELIEVED_MS};

/// How long new sessions last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    pub(crate) idle: Duration,
    pub(crate) absolute: Duration,
    pub(crate) first_life: Duration,
}

/// Flag of a session in its first life: its client has not come back with the cookie yet, and its idle timeout is the shorter one.
const UNPROVEN: u16 = 1;

impl Default for Timeouts {
    fn default() -> Self {
        Self { idle: Duration::from_hours(168), absolute: Duration::from_hours(720), first_life: Duration::from_hours(1) }
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

    /// The same in its first life, if that is shorter.
    pub(crate) fn unproven(&self, meta: &Meta) -> Meta {
        let idle_deadline_ms = meta.last_seen_ms.saturating_add(duration_ms(self.first_life));
        if idle_deadline_ms >= meta.idle_deadline_ms {
            return *meta;
        }
        Meta { idle_deadline_ms, flags: meta.flags | UNPROVEN, ..*meta }
    }

    /// The same after its first life.
    pub(crate) fn proven(&self, meta: &Meta) -> Meta {
        if !is_unproven(meta) {
            return *meta;
        }
        let idle_deadline_ms = meta.last_seen_ms.saturating_add(duration_ms(self.idle));
        Meta { idle_deadline_ms, flags: meta.flags & !UNPROVEN, ..*meta }
    }
}

/// Whether the session is in its first life.
#[inline]
pub(crate) fn is_unproven(meta: &Meta) -> bool {
    meta.flags & UNPROVEN != 0
}

/// The meta data with other timeouts: `idle` from its last use on, `absolute` from its beginning.
pub(crate) fn with_timeouts(meta: &Meta, idle: Option<Duration>, absolute: Option<Duration>) -> Meta {
    let mut meta = *meta;
    if let Some(idle) = idle {
        meta.idle_deadline_ms = meta.last_seen_ms.saturating_add(duration_ms(idle));
        // Whoever sets it knows the visitor.
        meta.flags &= !UNPROVEN;
    }
    if let Some(absolute) = absolute {
        meta.absolute_deadline_ms = meta.created_ms.saturating_add(duration_ms(absolute));
    }
    meta
}

/// How long after its last use the session ends.
#[inline]
fn idle_ms(meta: &Meta) -> u64 {
    meta.idle_deadline_ms.saturating_sub(meta.last_seen_ms)
}

/// When a session ends that was last used at `seen_ms`, which its record may not know yet.
#[inline]
pub(crate) fn deadline_ms(meta: &Meta, seen_ms: u64) -> u64 {
    let idle_deadline_ms = seen_ms.max(meta.last_seen_ms).saturating_add(idle_ms(meta));
    idle_deadline_ms.min(meta.absolute_deadline_ms)
}

/// The meta data after a use of the session at `now_ms`.
#[inline]
pub(crate) fn touched(meta: &Meta, now_ms: u64) -> Meta {
    if is_from_ahead(meta.last_seen_ms, now_ms) {
        return brought_back(meta, now_ms);
    }
    let last_seen_ms = now_ms.max(meta.last_seen_ms);
    Meta { last_seen_ms, idle_deadline_ms: last_seen_ms.saturating_add(idle_ms(meta)), ..*meta }
}

/// When a session was last used that is used at `now_ms` and was before at `seen_ms`.
#[inline]
pub(crate) fn seen(seen_ms: u64, now_ms: u64) -> u64 {
    if is_from_ahead(seen_ms, now_ms) { now_ms } else { seen_ms.max(now_ms) }
}

/// Whether the clock was ahead at `ms`, and was set right before it was believed.
#[inline]
pub(crate) fn is_from_ahead(ms: u64, now_ms: u64) -> bool {
    ms.saturating_sub(now_ms) > BELIEVED_MS
}

/// What was written while the clock was ahead, as if it had not been: its session would last longer by so much.
fn brought_back(meta: &Meta, now_ms: u64) -> Meta {
    let back = |ms: u64, by_ms: u64| if ms == u64::MAX { ms } else { ms.saturating_sub(by_ms) };
    let created_ms = meta.created_ms.min(now_ms);
    let ahead_ms = meta.last_seen_ms - now_ms;
    Meta {
        created_ms,
        last_seen_ms: now_ms,
        idle_deadline_ms: back(meta.idle_deadline_ms, ahead_ms),
        absolute_deadline_ms: back(meta.absolute_deadline_ms, meta.created_ms - created_ms),
        cookie_deadline_ms: back(meta.cookie_deadline_ms, ahead_ms),
        ..*meta
    }
}

/// Whether a use at `now_ms` is worth a write: a tenth of the idle timeout has gone since the last use on record, or that is wrong.
#[inline]
pub(crate) fn touch_is_due(meta: &Meta, now_ms: u64) -> bool {
    now_ms.saturating_sub(meta.last_seen_ms) >= (idle_ms(meta) / 10).max(1) || is_from_ahead(meta.last_seen_ms, now_ms)
}

/// Whether the disk should hear of a use at `seen_ms` before memory forgets it: not for less than a minute, or than a hundredth of the
/// idle timeout if that is shorter; or every read of a session that is evicted later would be a write.
pub(crate) fn use_is_worth_keeping(meta: &Meta, seen_ms: u64) -> bool {
    seen_ms.saturating_sub(meta.last_seen_ms) >= (idle_ms(meta) / 100).clamp(1, 60_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta() -> Meta {
        Timeouts { idle: Duration::from_secs(100), absolute: Duration::from_secs(150), ..Timeouts::default() }.begin(1_000_000)
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
        assert_eq!(touched(&meta(), 999_000), meta());
        assert_eq!(deadline_ms(&meta(), 999_000), 1_100_000);
    }

    #[test]
    fn what_was_written_while_the_clock_was_ahead_lasts_no_longer_for_it() {
        let year = 365 * 86_400_000;
        let begun = Meta { cookie_deadline_ms: 1_090_000, ..meta() };
        let ahead = Meta {
            created_ms: begun.created_ms + year,
            last_seen_ms: begun.last_seen_ms + year,
            idle_deadline_ms: begun.idle_deadline_ms + year,
            absolute_deadline_ms: begun.absolute_deadline_ms + year,
            cookie_deadline_ms: begun.cookie_deadline_ms + year,
            ..begun
        };
        assert!(touch_is_due(&ahead, 1_000_000));
        assert_eq!(touched(&ahead, 1_000_000), begun);
        let used = Meta { created_ms: 900_000, absolute_deadline_ms: 2_000_000, ..ahead };
        let back = touched(&used, 1_000_000);
        assert_eq!((back.created_ms, back.absolute_deadline_ms), (900_000, 2_000_000), "it began before");
        let endless = Meta { idle_deadline_ms: u64::MAX, absolute_deadline_ms: u64::MAX, ..ahead };
        assert_eq!(touched(&endless, 1_000_000).deadline_ms(), u64::MAX);
        assert_eq!((seen(ahead.last_seen_ms, 1_000_000), seen(1_000_001, 1_000_000)), (1_000_000, 1_000_001));
    }

    #[test]
    fn a_tenth_of_the_idle_timeout_makes_a_touch_due() {
        assert!(!touch_is_due(&meta(), 1_009_999));
        assert!(touch_is_due(&meta(), 1_010_000));
    }

    #[test]
    fn never_stays_never() {
        let never = Timeouts { idle: Duration::MAX, absolute: Duration::MAX, ..Timeouts::default() }.begin(1_000);
        assert_eq!(deadline_ms(&never, 2_000), u64::MAX);
        assert_eq!(touched(&never, 9_000).absolute_deadline_ms, u64::MAX);
    }
}
