//! The time of a store: that of its clock, as far as it can be trusted.
//!
//! Clocks jump: an administrator types a wrong year, a time server fails, a device without a battery starts in 1970. So there
//! are two times. The *certain* time advances with the clock, or, when that is set back, with the time that the machine has
//! been running. A jump ahead moves it only after the clock has run on from there for ten minutes. The time *now* is the later
//! of the certain time and the clock.
//!
//! Deadlines are compared with now: a session that may be over is not served, since a jump ahead may also be a machine that
//! slept, or a store that was closed. What cannot be undone waits until it is certain: expired records are deleted, from memory
//! and from the file, only by the certain time. So when the clock was wrong and is corrected within ten minutes, all sessions
//! are served again.
//!
//! Invariants: the certain time never goes back, and continues across restarts from the [`Mark`] in the file. Now is never
//! before it, by more than the second between two comparisons.
//!
//! Facts: a reading of the system's clock takes some 25 ns, and so does one of `Instant`. The two are compared after each
//! second on the clock, and by each sweep, in case the clock stands still. In between, a reading is one of the clock and one
//! atomic load.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;

use crate::{
    clock::{Clock, duration_ms, to_ms},
    log,
};

/// A clock that is set ahead by at most this much is trusted at once; otherwise, only after it has run on for this long. An
/// error of the clock within this limit shifts deadlines by at most as much.
pub(crate) const BELIEVED_MS: u64 = 10 * 60 * 1000;
/// How long the clock is trusted between two comparisons, and how far it may be behind without having been set back.
const SECOND_MS: u64 = 1000;

/// The part of the time that is kept in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The certain time when it was written.
    pub(crate) certain_ms: u64,
    /// The clock's time when it was first seen ahead; 0 if it was not.
    pub(crate) ahead_ms: u64,
}

pub(crate) struct Timeline {
    clock: Arc<dyn Clock>,
    /// The clock's time at the last comparison; `u64::MAX` while it is behind.
    compared_ms: AtomicU64,
    state: Mutex<State>,
    jumps: AtomicU64,
}

/// The state at the last comparison.
#[derive(Default)]
struct State {
    certain_ms: u64,
    uptime_ms: u64,
    ahead: Option<Ahead>,
    is_behind: bool,
}

/// The clock is ahead, and not trusted yet.
#[derive(Clone, Copy)]
#[expect(clippy::struct_field_names, reason = "numbers end in their unit")]
struct Ahead {
    /// Its time when it was first seen ahead, perhaps by another process.
    first_ms: u64,
    /// Its time and its uptime when this process saw it.
    clock_ms: u64,
    uptime_ms: u64,
}

/// The result of a comparison, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Jump {
    Back(u64),
    Ahead(u64),
    /// The clock is right again.
    Undone,
    /// The clock has run on from where it jumped to.
    Confirmed,
}

impl Timeline {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let (compared_ms, jumps) = (AtomicU64::new(u64::MAX), AtomicU64::new(0));
        Self { clock, compared_ms, state: Mutex::default(), jumps }
    }

    /// Continues from where the store was closed. Without a mark there is nothing to compare the clock with.
    pub(crate) fn resume(&self, mark: Option<Mark>) {
        let (clock_ms, uptime_ms) = self.ask();
        let mut state = State::resumed(mark, clock_ms, uptime_ms);
        let jump = state.compare(clock_ms, uptime_ms);
        *self.state.lock() = state;
        // After a store was closed for a while, the clock is always ahead.
        if let Some(jump @ Jump::Back(_)) = jump {
            self.note(jump);
        }
    }

    /// Returns the time that deadlines are compared with.
    #[inline]
    pub(crate) fn now_ms(&self) -> u64 {
        let clock_ms = to_ms(self.clock.now());
        let compared_ms = self.compared_ms.load(Ordering::Relaxed);
        if clock_ms.checked_sub(compared_ms).is_some_and(|since_ms| since_ms < SECOND_MS) {
            return clock_ms;
        }
        self.compare().0
    }

    /// Returns how long the clock has run, counted from any moment, whatever time was set meanwhile.
    pub(crate) fn uptime(&self) -> Duration {
        self.clock.uptime()
    }

    /// Returns the time by which records may be deleted: before now, while now is not certain.
    pub(crate) fn certain_ms(&self) -> u64 {
        self.compare().1.certain_ms
    }

    /// Returns what to keep in the file.
    pub(crate) fn mark(&self) -> Mark {
        self.compare().1
    }

    /// Returns how often the clock was set back, or ahead too far to be trusted.
    pub(crate) fn jumps(&self) -> u64 {
        self.jumps.load(Ordering::Relaxed)
    }

    fn ask(&self) -> (u64, u64) {
        (to_ms(self.clock.now()), duration_ms(self.clock.uptime()))
    }

    #[cold]
    fn compare(&self) -> (u64, Mark) {
        let mut state = self.state.lock();
        // Under the lock: of two threads, the one that read the clock first must not come second.
        let (clock_ms, uptime_ms) = self.ask();
        let jump = state.compare(clock_ms, uptime_ms);
        let now_ms = clock_ms.max(state.certain_ms);
        self.compared_ms.store(if now_ms == clock_ms { clock_ms } else { u64::MAX }, Ordering::Relaxed);
        let mark = state.mark();
        drop(state);
        if let Some(jump) = jump {
            self.note(jump);
        }
        (now_ms, mark)
    }

    fn note(&self, jump: Jump) {
        match jump {
            Jump::Back(by_ms) => log::clock_set_back(by_ms),
            Jump::Ahead(by_ms) => log::clock_ahead(by_ms),
            Jump::Undone => return log::clock_right_again(),
            Jump::Confirmed => return log::clock_confirmed(),
        }
        self.jumps.fetch_add(1, Ordering::Relaxed);
    }
}

impl State {
    fn resumed(mark: Option<Mark>, clock_ms: u64, uptime_ms: u64) -> Self {
        let mut state = Self { certain_ms: clock_ms, uptime_ms, ..Self::default() };
        if let Some(Mark { certain_ms, ahead_ms: first_ms }) = mark {
            state.certain_ms = certain_ms;
            if clock_ms >= first_ms.saturating_add(BELIEVED_MS) {
                // An earlier process saw it there, and it has run on since: a process that never runs for long trusts its
                // clock, too.
                state.certain_ms = certain_ms.max(first_ms);
            } else if first_ms > certain_ms && clock_ms >= first_ms {
                state.ahead = Some(Ahead { first_ms, clock_ms, uptime_ms });
            }
        }
        state
    }

    fn compare(&mut self, clock_ms: u64, uptime_ms: u64) -> Option<Jump> {
        let steady_ms = self.certain_ms.saturating_add(uptime_ms.saturating_sub(self.uptime_ms));
        self.uptime_ms = self.uptime_ms.max(uptime_ms);
        if clock_ms > steady_ms.saturating_add(BELIEVED_MS) {
            self.is_behind = false;
            return self.compare_ahead(clock_ms, steady_ms);
        }
        let was_ahead = self.ahead.take().is_some();
        let was_behind = self.is_behind;
        self.is_behind = clock_ms.saturating_add(SECOND_MS) < steady_ms;
        // Two clocks never run exactly alike: a lag of less than a second is waited for, or the differences would add up.
        self.certain_ms = if self.is_behind { steady_ms } else { self.certain_ms.max(clock_ms) };
        match (self.is_behind, was_behind, was_ahead) {
            (true, false, _) => Some(Jump::Back(steady_ms - clock_ms)),
            (false, _, true) => Some(Jump::Undone),
            _ => None,
        }
    }

    fn compare_ahead(&mut self, clock_ms: u64, steady_ms: u64) -> Option<Jump> {
        self.certain_ms = steady_ms;
        let uptime_ms = self.uptime_ms;
        let goes_on = self.ahead.filter(|ahead| {
            let expected_ms = ahead.clock_ms.saturating_add(uptime_ms - ahead.uptime_ms);
            clock_ms.abs_diff(expected_ms) <= BELIEVED_MS
        });
        match goes_on {
            Some(ahead) if uptime_ms - ahead.uptime_ms >= BELIEVED_MS => {
                (self.certain_ms, self.ahead) = (clock_ms, None);
                Some(Jump::Confirmed)
            }
            Some(_) => None,
            None => {
                self.ahead = Some(Ahead { first_ms: clock_ms, clock_ms, uptime_ms });
                Some(Jump::Ahead(clock_ms - steady_ms))
            }
        }
    }

    fn mark(&self) -> Mark {
        Mark { certain_ms: self.certain_ms, ahead_ms: self.ahead.map_or(0, |ahead| ahead.first_ms) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use proptest::prelude::*;

    use super::*;

    const DAY_MS: u64 = 86_400_000;

    /// A clock that counts how often it was read for its uptime.
    #[derive(Default)]
    struct Hands {
        clock_ms: AtomicU64,
        uptime_ms: AtomicU64,
        comparisons: AtomicU64,
    }

    impl Clock for Arc<Hands> {
        fn now(&self) -> SystemTime {
            UNIX_EPOCH + Duration::from_millis(self.clock_ms.load(Ordering::Relaxed))
        }

        fn uptime(&self) -> Duration {
            self.comparisons.fetch_add(1, Ordering::Relaxed);
            Duration::from_millis(self.uptime_ms.load(Ordering::Relaxed))
        }
    }

    fn timeline(clock_ms: u64) -> (Arc<Hands>, Timeline) {
        let hands = Arc::new(Hands { clock_ms: AtomicU64::new(clock_ms), ..Hands::default() });
        let timeline = Timeline::new(Arc::new(hands.clone()));
        timeline.resume(None);
        (hands, timeline)
    }

    #[test]
    fn between_two_seconds_a_reading_is_one_of_the_clock() {
        let (hands, timeline) = timeline(DAY_MS);
        hands.comparisons.store(0, Ordering::Relaxed);
        for ms in 1..=10_000 {
            hands.clock_ms.fetch_add(1, Ordering::Relaxed);
            hands.uptime_ms.fetch_add(1, Ordering::Relaxed);
            assert_eq!(timeline.now_ms(), DAY_MS + ms);
        }
        assert_eq!(hands.comparisons.load(Ordering::Relaxed), 10);
    }

    #[test]
    fn two_clocks_that_do_not_run_alike_stay_together() {
        // Uptime runs a thousandth too fast, for a month of readings once a minute.
        let (hands, timeline) = timeline(DAY_MS);
        for minute in 1..=43_200 {
            hands.clock_ms.fetch_add(60_000, Ordering::Relaxed);
            hands.uptime_ms.fetch_add(60_060, Ordering::Relaxed);
            assert_eq!((timeline.now_ms(), timeline.certain_ms()), (DAY_MS + minute * 60_000, DAY_MS + minute * 60_000));
        }
        assert_eq!(timeline.jumps(), 0);
    }

    proptest! {
        #[test]
        fn prop_certain_time_never_goes_back_and_only_jumps_where_the_clock_stayed(
            steps in prop::collection::vec((0..3 * BELIEVED_MS, prop::option::weighted(0.4, 0..800 * DAY_MS), any::<bool>()), 1..60)
        ) {
            let (hands, mut timeline) = timeline(400 * DAY_MS);
            let mut before = timeline.mark();
            // How much time passed since the clock was set, and that the certain time has no other reason to move.
            let mut since_ms = u64::MAX;
            for (ms, set_to, restarts) in steps {
                hands.clock_ms.fetch_add(ms, Ordering::Relaxed);
                hands.uptime_ms.fetch_add(ms, Ordering::Relaxed);
                since_ms = since_ms.saturating_add(ms);
                if let Some(clock_ms) = set_to {
                    hands.clock_ms.store(clock_ms, Ordering::Relaxed);
                    since_ms = 0;
                }
                if restarts {
                    let mark = timeline.mark();
                    timeline = Timeline::new(Arc::new(hands.clone()));
                    timeline.resume(Some(mark));
                }
                let (now_ms, mark) = (timeline.now_ms(), timeline.mark());
                prop_assert!(mark.certain_ms >= before.certain_ms, "{before:?} {mark:?}");
                prop_assert!(now_ms >= mark.certain_ms);
                prop_assert!(now_ms >= hands.clock_ms.load(Ordering::Relaxed));
                if since_ms == 0 {
                    prop_assert!(mark.certain_ms <= before.certain_ms.max(before.ahead_ms) + ms + BELIEVED_MS, "{before:?} {mark:?}");
                }
                before = mark;
            }
        }
    }
}
