//! When a session ends.
//!
//! Invariants: a session is over at the earlier of its two deadlines, to the millisecond. Using it moves the idle deadline and
//! never the absolute one. The idle timeout of a record is the distance from its last use to its idle deadline. Its absolute
//! timeout is the distance from the beginning of its life to its absolute deadline. A life begins with the session, and again
//! when an owner signs in.

use std::time::Duration;

use sessile_codec::Meta;

use crate::{clock::duration_ms, timeline::BELIEVED_MS};

/// How long new sessions last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    pub(crate) idle: Duration,
    pub(crate) absolute: Duration,
    pub(crate) unconfirmed: Duration,
}

/// Flag of an unconfirmed session: its client has not sent the cookie back yet, so the shorter idle timeout applies.
const UNCONFIRMED: u16 = 1;
/// Flag of a session with its own idle timeout, which a sign-in keeps.
const OWN_IDLE: u16 = 2;
/// Flag of a session with its own absolute timeout, which a sign-in keeps.
const OWN_ABSOLUTE: u16 = 4;

impl Default for Timeouts {
    fn default() -> Self {
        Self { idle: Duration::from_hours(168), absolute: Duration::from_hours(720), unconfirmed: Duration::from_hours(1) }
    }
}

impl Timeouts {
    /// Returns the metadata of a session that begins now.
    pub(crate) fn begin(&self, now_ms: u64) -> Meta {
        Meta {
            created_ms: now_ms,
            last_seen_ms: now_ms,
            idle_deadline_ms: now_ms.saturating_add(duration_ms(self.idle)),
            absolute_deadline_ms: now_ms.saturating_add(duration_ms(self.absolute)),
            ..Meta::default()
        }
    }

    /// Returns the metadata of the session as unconfirmed, if that timeout is shorter.
    pub(crate) fn unconfirmed(&self, meta: &Meta) -> Meta {
        let idle_deadline_ms = meta.last_seen_ms.saturating_add(duration_ms(self.unconfirmed));
        if idle_deadline_ms >= meta.idle_deadline_ms {
            return *meta;
        }
        Meta { idle_deadline_ms, flags: meta.flags | UNCONFIRMED, ..*meta }
    }

    /// Returns the metadata of the session as confirmed.
    pub(crate) fn confirmed(&self, meta: &Meta) -> Meta {
        if !is_unconfirmed(meta) {
            return *meta;
        }
        let idle_deadline_ms = meta.last_seen_ms.saturating_add(duration_ms(self.idle));
        Meta { idle_deadline_ms, flags: meta.flags & !UNCONFIRMED, ..*meta }
    }

    /// Returns the metadata after an owner has signed in at the last use: a new life begins, with the store's timeouts or the
    /// session's own.
    pub(crate) fn signed_in(&self, meta: &Meta) -> Meta {
        let now_ms = meta.last_seen_ms;
        let idle_ms = if meta.flags & OWN_IDLE == 0 { duration_ms(self.idle) } else { idle_ms(meta) };
        let absolute_ms = if meta.flags & OWN_ABSOLUTE == 0 { duration_ms(self.absolute) } else { absolute_ms(meta) };
        Meta {
            authenticated_ms: now_ms,
            idle_deadline_ms: now_ms.saturating_add(idle_ms),
            absolute_deadline_ms: now_ms.saturating_add(absolute_ms),
            flags: meta.flags & !UNCONFIRMED,
            ..*meta
        }
    }

    /// Returns the metadata after the owner has signed out at the last use: the session continues without an owner and without
    /// timeouts of its own.
    pub(crate) fn signed_out(&self, meta: &Meta) -> Meta {
        let fresh = self.begin(meta.last_seen_ms);
        Meta {
            authenticated_ms: 0,
            idle_deadline_ms: fresh.idle_deadline_ms,
            // From now on. A timeout of its own that is set later counts from the session's beginning.
            absolute_deadline_ms: fresh.absolute_deadline_ms,
            flags: meta.flags & !(UNCONFIRMED | OWN_IDLE | OWN_ABSOLUTE),
            ..*meta
        }
    }
}

/// Returns when the session's life began.
fn life_began_ms(meta: &Meta) -> u64 {
    meta.created_ms.max(meta.authenticated_ms)
}

/// Returns the absolute timeout: the time from the beginning of the session's life to its end.
fn absolute_ms(meta: &Meta) -> u64 {
    if meta.absolute_deadline_ms == u64::MAX { u64::MAX } else { meta.absolute_deadline_ms.saturating_sub(life_began_ms(meta)) }
}

/// Whether the session is unconfirmed: its cookie has not come back yet.
#[inline]
pub(crate) fn is_unconfirmed(meta: &Meta) -> bool {
    meta.flags & UNCONFIRMED != 0
}

/// Returns the metadata with the session's own timeouts: `idle` from its last use on, `absolute` from the beginning of its
/// life.
pub(crate) fn with_timeouts(meta: &Meta, idle: Option<Duration>, absolute: Option<Duration>) -> Meta {
    let mut meta = *meta;
    if let Some(idle) = idle {
        meta.idle_deadline_ms = meta.last_seen_ms.saturating_add(duration_ms(idle));
        // An application that sets it knows the visitor.
        meta.flags = meta.flags & !UNCONFIRMED | OWN_IDLE;
    }
    if let Some(absolute) = absolute {
        meta.absolute_deadline_ms = life_began_ms(&meta).saturating_add(duration_ms(absolute));
        meta.flags |= OWN_ABSOLUTE;
    }
    meta
}

/// Returns the idle timeout: the time from the last use to the session's end.
#[inline]
fn idle_ms(meta: &Meta) -> u64 {
    meta.idle_deadline_ms.saturating_sub(meta.last_seen_ms)
}

/// Returns when a session ends that was last used at `seen_ms`, which its record may not contain yet.
#[inline]
pub(crate) fn deadline_ms(meta: &Meta, seen_ms: u64) -> u64 {
    let idle_deadline_ms = seen_ms.max(meta.last_seen_ms).saturating_add(idle_ms(meta));
    idle_deadline_ms.min(meta.absolute_deadline_ms)
}

/// Returns the metadata after a use of the session at `now_ms`.
#[inline]
pub(crate) fn touched(meta: &Meta, now_ms: u64) -> Meta {
    if is_from_ahead(meta.last_seen_ms, now_ms) {
        return brought_back(meta, now_ms);
    }
    let last_seen_ms = now_ms.max(meta.last_seen_ms);
    Meta { last_seen_ms, idle_deadline_ms: last_seen_ms.saturating_add(idle_ms(meta)), ..*meta }
}

/// Returns the last use of a session that was used at `seen_ms`, and again at `now_ms`.
#[inline]
pub(crate) fn seen(seen_ms: u64, now_ms: u64) -> u64 {
    if is_from_ahead(seen_ms, now_ms) { now_ms } else { seen_ms.max(now_ms) }
}

/// Whether the clock was ahead at `ms`, and was corrected before it was trusted.
#[inline]
pub(crate) fn is_from_ahead(ms: u64, now_ms: u64) -> bool {
    ms.saturating_sub(now_ms) > BELIEVED_MS
}

/// Corrects metadata that was written while the clock was ahead: otherwise its session would last longer by that amount.
fn brought_back(meta: &Meta, now_ms: u64) -> Meta {
    let back = |ms: u64, by_ms: u64| if ms == u64::MAX { ms } else { ms.saturating_sub(by_ms) };
    let ahead_ms = meta.last_seen_ms - now_ms;
    Meta {
        created_ms: meta.created_ms.min(now_ms),
        authenticated_ms: meta.authenticated_ms.min(now_ms),
        last_seen_ms: now_ms,
        idle_deadline_ms: back(meta.idle_deadline_ms, ahead_ms),
        absolute_deadline_ms: back(meta.absolute_deadline_ms, life_began_ms(meta).saturating_sub(now_ms)),
        cookie_deadline_ms: back(meta.cookie_deadline_ms, ahead_ms),
        ..*meta
    }
}

/// Whether a use at `now_ms` is worth a write: a tenth of the idle timeout has passed since the recorded last use, or that is
/// wrong.
#[inline]
pub(crate) fn touch_is_due(meta: &Meta, now_ms: u64) -> bool {
    now_ms.saturating_sub(meta.last_seen_ms) >= touch_ms(meta) || is_from_ahead(meta.last_seen_ms, now_ms)
}

/// Returns how long a use stays unwritten: a tenth of the idle timeout.
#[inline]
fn touch_ms(meta: &Meta) -> u64 {
    (idle_ms(meta) / 10).max(1)
}

/// Whether a request that changes nothing is worth a write: to note its use, or to send the client a later end of its cookie.
#[inline]
pub(crate) fn use_is_due(meta: &Meta, now_ms: u64) -> bool {
    // The cookie of a session without an idle timeout is due by itself; any other is renewed with the touch.
    touch_is_due(meta, now_ms) || (idle_ms(meta) > LONGEST_COOKIE_MS && cookie_is_due(&touched(meta, now_ms)))
}

/// Whether a use at `seen_ms` is worth a write before memory forgets it: after a minute, or after a hundredth of the idle
/// timeout if that is shorter. Otherwise every read of a session that is evicted later would be a write.
pub(crate) fn use_is_worth_keeping(meta: &Meta, seen_ms: u64) -> bool {
    seen_ms.saturating_sub(meta.last_seen_ms) >= (idle_ms(meta) / 100).clamp(1, 60_000)
}

/// Browsers keep no cookie for longer than 400 days (RFC 6265bis, 5.5).
pub(crate) const LONGEST_COOKIE_MS: u64 = 400 * 86_400_000;

/// In place of a cookie's deadline: it ends with the browser. No deadline is later, so it is never due.
const ENDS_WITH_BROWSER: u64 = u64::MAX;

/// Whether the session's cookie outlasts the browser.
pub(crate) fn cookie_lasts(meta: &Meta) -> bool {
    meta.cookie_deadline_ms != ENDS_WITH_BROWSER
}

/// Returns the deadline of a cookie that is set at the session's last use. The store decides when a session ends, so the cookie
/// lasts a quarter of the idle timeout longer: a use that is written in neither the record nor the cookie moves the session's
/// end by up to a tenth.
fn cookie_deadline_ms(meta: &Meta) -> u64 {
    let idle_deadline_ms = meta.idle_deadline_ms.saturating_add(idle_ms(meta) / 4);
    idle_deadline_ms.min(meta.absolute_deadline_ms).min(meta.last_seen_ms.saturating_add(LONGEST_COOKIE_MS))
}

/// Notes that a cookie is sent to the client, and returns its deadline; `None` if it ends with the browser.
pub(crate) fn renew_cookie(meta: &mut Meta, lasts: bool) -> Option<u64> {
    let deadline_ms = cookie_deadline_ms(meta);
    meta.cookie_deadline_ms = if lasts { deadline_ms } else { ENDS_WITH_BROWSER };
    lasts.then_some(deadline_ms)
}

/// Whether the cookie should be sent again. It is due if a cookie set at the session's last use would end later by a touch's
/// interval or by more than 60 % of the cookie's own lifetime, or if the client's would end before the session may. A session
/// without an idle timeout never has a touch due, and its cookie ends after 400 days.
#[inline]
pub(crate) fn cookie_is_due(meta: &Meta) -> bool {
    let deadline_ms = cookie_deadline_ms(meta);
    let later_ms = deadline_ms.saturating_sub(meta.cookie_deadline_ms);
    let life_ms = deadline_ms.saturating_sub(meta.last_seen_ms);
    let session_ends_ms = meta.idle_deadline_ms.saturating_add(touch_ms(meta)).min(meta.absolute_deadline_ms);
    let is_short = meta.cookie_deadline_ms < session_ends_ms && session_ends_ms <= deadline_ms;
    later_ms >= touch_ms(meta) || later_ms > life_ms / 10 * 6 || is_short
}

/// Returns how long a sealed session lasts after its recorded last use. A use that is not due is recorded nowhere, so the
/// session lasts longer by the interval of a touch: its visitor gets the whole idle timeout.
#[cfg(feature = "sealed")]
pub(crate) fn sealed_idle_ms(meta: &Meta) -> u64 {
    idle_ms(meta).saturating_add(touch_ms(meta))
}

/// Returns when a sealed session ends.
#[cfg(feature = "sealed")]
pub(crate) fn sealed_deadline_ms(meta: &Meta) -> u64 {
    meta.last_seen_ms.saturating_add(sealed_idle_ms(meta)).min(meta.absolute_deadline_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Timeouts of this many seconds.
    fn timeouts(idle: u64, absolute: u64) -> Timeouts {
        Timeouts { idle: Duration::from_secs(idle), absolute: Duration::from_secs(absolute), ..Timeouts::default() }
    }

    fn meta() -> Meta {
        timeouts(100, 150).begin(1_000_000)
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
    fn a_clock_is_believed_to_be_ahead_by_as_much_as_the_timeline_believes() {
        assert!(!is_from_ahead(1_000_000 + BELIEVED_MS, 1_000_000));
        assert!(is_from_ahead(1_000_001 + BELIEVED_MS, 1_000_000));
    }

    #[test]
    fn a_sign_in_while_the_clock_was_ahead_was_no_later_than_the_use_that_brings_it_back() {
        let now_ms = 1_000_000;
        let signed_in = timeouts(100, 150).signed_in(&Meta { last_seen_ms: now_ms + 2 * BELIEVED_MS, ..meta() });
        let back = touched(&signed_in, now_ms);
        assert_eq!((back.authenticated_ms, back.last_seen_ms), (now_ms, now_ms));
        assert_eq!((back.idle_deadline_ms, back.absolute_deadline_ms), (now_ms + 100_000, now_ms + 150_000));
    }

    /// The possible flags of a session: each combination of this module's, and one of another module.
    fn flags() -> impl Iterator<Item = u16> {
        (0..=UNCONFIRMED | OWN_IDLE | OWN_ABSOLUTE).flat_map(|own| [own, own | OTHER])
    }

    const OTHER: u16 = 1 << 8;

    #[test]
    fn a_sign_in_gives_a_session_the_timeouts_of_the_store_or_keeps_its_own() {
        let (store, seen_ms) = (timeouts(300, 700), 1_040_000);
        for flags in flags() {
            let before = Meta { flags, ..touched(&meta(), seen_ms) };
            let after = store.signed_in(&before);
            let idle_ms = if flags & OWN_IDLE == 0 { 300_000 } else { 100_000 };
            let absolute_ms = if flags & OWN_ABSOLUTE == 0 { 700_000 } else { 150_000 };
            assert_eq!(after.idle_deadline_ms, seen_ms + idle_ms, "{flags:b}");
            assert_eq!(after.absolute_deadline_ms, seen_ms + absolute_ms, "{flags:b}");
            assert_eq!((after.authenticated_ms, after.created_ms), (seen_ms, before.created_ms));
            assert_eq!(after.flags, flags & (OWN_IDLE | OWN_ABSOLUTE | OTHER), "a client that signs in keeps cookies");
        }
    }

    #[test]
    fn a_session_whose_owner_has_left_has_the_timeouts_of_the_store_whatever_its_own_were() {
        let (store, seen_ms) = (timeouts(300, 700), 1_040_000);
        for flags in flags() {
            let before = Meta { flags, authenticated_ms: 1_000_000, ..touched(&meta(), seen_ms) };
            let after = store.signed_out(&before);
            assert_eq!((after.idle_deadline_ms, after.absolute_deadline_ms), (seen_ms + 300_000, seen_ms + 700_000));
            assert_eq!((after.authenticated_ms, after.flags), (0, flags & OTHER), "{flags:b}");
        }
    }

    #[test]
    fn a_timeout_of_its_own_is_noted_and_takes_no_other_flag_but_that_of_an_unconfirmed_session() {
        let (idle, absolute) = (Duration::from_secs(20), Duration::from_mins(1));
        for flags in flags() {
            let before = Meta { flags, ..meta() };
            let set = |idle, absolute| with_timeouts(&before, idle, absolute);
            assert_eq!(set(None, None), before);
            let own_idle = Meta { idle_deadline_ms: 1_020_000, flags: flags & !UNCONFIRMED | OWN_IDLE, ..before };
            assert_eq!(set(Some(idle), None), own_idle);
            let own_absolute = Meta { absolute_deadline_ms: 1_060_000, flags: flags | OWN_ABSOLUTE, ..before };
            assert_eq!(set(None, Some(absolute)), own_absolute);
            let both = Meta { absolute_deadline_ms: 1_060_000, flags: own_idle.flags | OWN_ABSOLUTE, ..own_idle };
            assert_eq!(set(Some(idle), Some(absolute)), both);
        }
    }

    #[test]
    fn a_session_is_unconfirmed_until_it_is_confirmed_and_keeps_its_other_flags() {
        let store = Timeouts { unconfirmed: Duration::from_secs(10), ..timeouts(100, 150) };
        for flags in flags() {
            let before = Meta { flags, ..meta() };
            let unconfirmed = store.unconfirmed(&before);
            assert_eq!((unconfirmed.idle_deadline_ms, unconfirmed.flags), (1_010_000, flags | UNCONFIRMED));
            assert_eq!(store.unconfirmed(&unconfirmed), unconfirmed, "that timeout is not shorter");
            let confirmed = store.confirmed(&unconfirmed);
            assert_eq!((confirmed.idle_deadline_ms, confirmed.flags), (1_100_000, flags & !UNCONFIRMED));
            assert_eq!(store.confirmed(&confirmed), confirmed);
        }
    }

    #[test]
    fn a_cookie_moves_with_the_touch_unless_browsers_keep_none_for_so_long() {
        for (idle_ms, is_due) in [(LONGEST_COOKIE_MS, false), (LONGEST_COOKIE_MS + 1, true)] {
            let begun =
                Timeouts { idle: Duration::from_millis(idle_ms), absolute: Duration::MAX, ..Timeouts::default() }.begin(0);
            // For example, one that an application had set to end sooner.
            let meta = Meta { cookie_deadline_ms: LONGEST_COOKIE_MS / 2, ..begun };
            assert!(cookie_is_due(&touched(&meta, 1000)) && !touch_is_due(&meta, 1000));
            assert_eq!(use_is_due(&meta, 1000), is_due, "{idle_ms}");
        }
    }

    #[test]
    fn a_cookie_is_due_when_it_ends_before_its_session_may() {
        // The session ends at 1,110,000 at the latest before a use is written, and a new cookie would end with its life.
        let begun = timeouts(100, 115).begin(1_000_000);
        let is_due = |cookie_deadline_ms| cookie_is_due(&Meta { cookie_deadline_ms, ..begun });
        assert!(is_due(1_109_999));
        assert!(!is_due(1_110_000));
        assert!(!is_due(1_115_000));
        assert!(!is_due(ENDS_WITH_BROWSER));
    }

    #[test]
    fn never_stays_never() {
        let never = Timeouts { idle: Duration::MAX, absolute: Duration::MAX, ..Timeouts::default() }.begin(1_000);
        assert_eq!(deadline_ms(&never, 2_000), u64::MAX);
        assert_eq!(touched(&never, 9_000).absolute_deadline_ms, u64::MAX);
    }
}
