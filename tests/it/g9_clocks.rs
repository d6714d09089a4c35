//! G9: clocks that jump neither revive an expired session nor expire all of them at once.
//!
//! F18 is the same as a failure: a clock a day back, a year ahead, standing still; at run time and across a restart.

use std::time::{Duration, SystemTime};

use axum::{Router, routing::get};
use sessile::{Clock, Session, SessionLayer, Store, Token, testing::ManualClock};
use tempfile::TempDir;

use crate::support::{Answer, DAY, OnDisk, SECOND, ask_with, n_of, saved};

const MINUTE: Duration = Duration::from_mins(1);
const YEAR: Duration = Duration::from_hours(365 * 24);
/// How long a clock must run on from where it jumped to.
const BELIEVED: Duration = Duration::from_mins(10);

fn set_back(clock: &ManualClock, by: Duration) {
    clock.set(clock.now() - by);
}

fn set_ahead(clock: &ManualClock, by: Duration) {
    clock.set(clock.now() + by);
}

/// How a store stops.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stop {
    Close,
    Crash,
}

impl Stop {
    const BOTH: [Self; 2] = [Self::Close, Self::Crash];

    /// Stops the store, calls `meanwhile` with the clock, and opens the store again.
    fn and_start(self, disk: OnDisk, meanwhile: impl FnOnce(&ManualClock)) -> OnDisk {
        let OnDisk { dir, clock, store } = disk;
        let after = if self == Self::Close {
            store.close().unwrap();
            dir
        } else {
            copy_of(&dir)
        };
        drop(store);
        meanwhile(&clock);
        let store = Store::builder().clock(clock.clone()).unconfirmed_timeout(Duration::MAX);
        let store = store.open(after.path().join("sessions.redb")).unwrap();
        OnDisk { dir: after, clock, store }
    }
}

fn copy_of(dir: &TempDir) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

/// Deletes expired sessions, and returns their number.
#[track_caller]
fn swept(store: &Store) -> u64 {
    let before = store.stats().swept;
    store.sweep().wait().unwrap();
    store.stats().swept - before
}

/// Sessions 0 to 9: durable ones, half of them evicted from memory, and one that is nowhere else.
fn ten(disk: &OnDisk) -> Vec<Token> {
    let mut tokens: Vec<_> = (0..9).map(|n| saved(&disk.store, n).1).collect();
    let quick = disk.store.session(None).unwrap();
    quick.insert_quick("n", 9_u64).unwrap();
    quick.save().wait().unwrap();
    tokens.push(quick.token().unwrap());
    tokens
}

fn served(store: &Store, tokens: &[Token]) -> usize {
    tokens.iter().filter(|token| n_of(store, token).is_some()).count()
}

#[test]
fn g9_a_clock_set_back_revives_nothing() {
    // In memory, only in the file, and in neither after the sweep.
    for memory_budget in [64 << 20, 0] {
        let disk = OnDisk::with(|builder| builder.memory_budget(memory_budget));
        let (_, expired) = saved(&disk.store, 1);
        disk.clock.advance(6 * DAY);
        let (_, alive) = saved(&disk.store, 2);
        disk.clock.advance(DAY);
        assert_eq!(n_of(&disk.store, &expired), None);
        for by in [DAY, 100 * DAY, SECOND] {
            set_back(&disk.clock, by);
            assert_eq!((n_of(&disk.store, &expired), n_of(&disk.store, &alive)), (None, Some(2)), "{by:?} back");
        }
        assert_eq!(swept(&disk.store), 1, "it is over by the store's time");
        assert_eq!(disk.store.stats().clock_jumps, 1, "behind is behind, however far");
        disk.clock.advance((7 * DAY).checked_sub(SECOND).unwrap());
        assert_eq!(n_of(&disk.store, &alive), Some(2));
        disk.clock.advance(7 * DAY);
        assert_eq!(n_of(&disk.store, &alive), None, "time continues while the clock is behind");
    }
}

#[test]
fn g9_a_clock_set_a_year_ahead_and_back_deletes_nobody() {
    let disk = OnDisk::new();
    let tokens = ten(&disk);
    set_ahead(&disk.clock, YEAR);
    assert_eq!(served(&disk.store, &tokens), 0, "they may be over");
    assert_eq!(swept(&disk.store), 0, "but not for certain");
    disk.clock.advance(BELIEVED.checked_sub(SECOND).unwrap());
    assert_eq!((served(&disk.store, &tokens), swept(&disk.store)), (0, 0));
    set_back(&disk.clock, YEAR);
    assert_eq!(served(&disk.store, &tokens), 10, "the clock is right again");
    assert_eq!(disk.store.stats().clock_jumps, 1);
    // The times that they report are right, too.
    disk.clock.advance((7 * DAY).checked_sub(SECOND).unwrap());
    assert_eq!(served(&disk.store, &tokens), 10);
    disk.clock.advance(7 * DAY);
    assert_eq!((served(&disk.store, &tokens), swept(&disk.store)), (0, 9));
    assert_eq!(disk.store.stats().sessions, 0);
}

#[test]
fn g9_a_use_that_only_memory_knows_of_counts_while_the_clock_is_ahead() {
    let disk = OnDisk::new();
    let (_, token) = saved(&disk.store, 1);
    // Too soon to be worth a write.
    disk.clock.advance(16 * 60 * MINUTE);
    assert_eq!(n_of(&disk.store, &token), Some(1));
    disk.clock.advance((7 * DAY).checked_sub(60 * MINUTE).unwrap());
    set_ahead(&disk.clock, YEAR);
    assert_eq!((n_of(&disk.store, &token), swept(&disk.store)), (None, 0));
    set_back(&disk.clock, YEAR);
    assert_eq!(n_of(&disk.store, &token), Some(1));
}

#[test]
fn g9_a_clock_that_goes_on_from_its_jump_is_believed() {
    let disk = OnDisk::new();
    let tokens = ten(&disk);
    set_ahead(&disk.clock, YEAR);
    assert_eq!((served(&disk.store, &tokens), swept(&disk.store)), (0, 0));
    disk.clock.advance(BELIEVED);
    assert_eq!(swept(&disk.store), 9);
    assert_eq!(served(&disk.store, &tokens), 0);
    set_back(&disk.clock, YEAR);
    assert_eq!(served(&disk.store, &tokens), 0, "expired is expired, once it was certain");
}

#[test]
fn g9_a_clock_that_jumps_on_and_on_is_not_believed() {
    let disk = OnDisk::new();
    let tokens = ten(&disk);
    for _ in 0..5 {
        set_ahead(&disk.clock, YEAR);
        disk.clock.advance(BELIEVED.checked_sub(SECOND).unwrap());
        assert_eq!((served(&disk.store, &tokens), swept(&disk.store)), (0, 0));
    }
    set_back(&disk.clock, 5 * YEAR);
    assert_eq!(served(&disk.store, &tokens), 10);
}

#[test]
fn g9_small_steps_of_the_clock_are_believed_at_once() {
    let disk = OnDisk::new();
    let (_, token) = saved(&disk.store, 1);
    disk.clock.advance((7 * DAY).checked_sub(BELIEVED).unwrap());
    set_ahead(&disk.clock, BELIEVED);
    assert_eq!((n_of(&disk.store, &token), swept(&disk.store)), (None, 1));
    assert_eq!(disk.store.stats().clock_jumps, 0);
}

#[test]
fn g9_time_goes_on_over_a_restart_with_the_clock_behind() {
    for stop in Stop::BOTH {
        for behind in [3600 * SECOND, DAY, 50 * YEAR] {
            let mut disk = OnDisk::new();
            let (_, expired) = saved(&disk.store, 1);
            disk.clock.advance((7 * DAY).checked_sub(MINUTE).unwrap());
            let (_, alive) = saved(&disk.store, 2);
            // Not by the sweep: the index counts minutes, so it finds one of them, and neither is over.
            disk.clock.advance(MINUTE.checked_sub(SECOND).unwrap());
            assert_eq!(swept(&disk.store), 0);
            if stop == Stop::Close {
                disk.clock.advance(SECOND);
                assert_eq!(n_of(&disk.store, &expired), None);
            }
            disk = stop.and_start(disk, |clock| set_back(clock, behind));
            if stop == Stop::Crash {
                disk.clock.advance(SECOND);
            }
            assert_eq!((n_of(&disk.store, &expired), n_of(&disk.store, &alive)), (None, Some(2)), "{stop:?}, {behind:?}");
            assert_eq!(disk.store.stats().clock_jumps, 1);
            assert_eq!(swept(&disk.store), 1);
            disk.clock.advance(7 * DAY);
            assert_eq!(n_of(&disk.store, &alive), None);
        }
    }
}

#[test]
fn g9_a_sweep_keeps_the_time() {
    let mut disk = OnDisk::new();
    let (_, first) = saved(&disk.store, 1);
    disk.clock.advance(SECOND);
    let (_, second) = saved(&disk.store, 2);
    // So that the sweep is the only write.
    disk = Stop::Close.and_start(disk, |_| {});
    disk.clock.advance((7 * DAY).checked_sub(SECOND).unwrap());
    assert_eq!(swept(&disk.store), 1);
    disk = Stop::Crash.and_start(disk, |clock| set_back(clock, DAY));
    disk.clock.advance(SECOND);
    assert_eq!((n_of(&disk.store, &first), n_of(&disk.store, &second)), (None, None));
}

#[test]
fn g9_a_store_opened_a_year_ahead_deletes_nobody() {
    for stop in Stop::BOTH {
        let mut disk = OnDisk::new();
        let tokens = ten(&disk);
        disk.store.flush().wait().unwrap();
        assert_eq!(swept(&disk.store), 0);
        disk = stop.and_start(disk, |clock| set_ahead(clock, YEAR));
        assert_eq!((served(&disk.store, &tokens), swept(&disk.store)), (0, 0), "{stop:?}: they may be over");
        // Nor does the file take over an uncertain time.
        disk = stop.and_start(disk, |clock| set_back(clock, YEAR));
        assert_eq!(served(&disk.store, &tokens), 10, "{stop:?}");
        assert_eq!(disk.store.stats().clock_jumps, 0);
        disk = stop.and_start(disk, |clock| set_ahead(clock, YEAR));
        disk.clock.advance(BELIEVED.checked_sub(SECOND).unwrap());
        assert_eq!(swept(&disk.store), 0);
        disk.clock.advance(SECOND);
        assert_eq!(swept(&disk.store), 10, "{stop:?}: it has gone on from there");
        disk = stop.and_start(disk, |clock| set_back(clock, YEAR));
        assert_eq!(served(&disk.store, &tokens), 0);
    }
}

#[test]
fn g9_a_store_that_is_never_open_for_long_believes_its_clock_too() {
    let mut disk = OnDisk::new();
    let (_, token) = saved(&disk.store, 1);
    let mut swept_on = None;
    for day in 1..12 {
        disk = Stop::Close.and_start(disk, |clock| clock.advance(DAY));
        disk.clock.advance(SECOND);
        if swept(&disk.store) == 1 {
            swept_on = Some(day);
        }
    }
    assert_eq!(swept_on, Some(8), "a day after its time, when another process has seen the clock there");
    assert_eq!(n_of(&disk.store, &token), None);
}

#[test]
fn g9_a_device_that_boots_in_1970_keeps_its_sessions() {
    let boot = |clock: &ManualClock| clock.set(SystemTime::UNIX_EPOCH);
    for stop in Stop::BOTH {
        let mut disk = OnDisk::new();
        let (_, old) = saved(&disk.store, 1);
        disk.clock.advance(6 * DAY);
        let (_, token) = saved(&disk.store, 2);
        assert_eq!(swept(&disk.store), 0);
        let right = disk.clock.now() + 3600 * SECOND;
        for _ in 0..3 {
            disk = stop.and_start(disk, boot);
            assert_eq!((n_of(&disk.store, &old), n_of(&disk.store, &token)), (Some(1), Some(2)), "{stop:?}");
            let (session, new) = saved(&disk.store, 3);
            assert!(session.created().unwrap() > right - DAY, "a session that begins does not begin in 1970");
            // The time server answers.
            disk.clock.advance(MINUTE);
            disk.clock.set(right);
            assert_eq!([&old, &token, &new].map(|token| n_of(&disk.store, token)), [Some(1), Some(2), Some(3)]);
            assert_eq!(swept(&disk.store), 0);
        }
        disk.clock.advance(8 * DAY);
        assert_eq!((n_of(&disk.store, &token), swept(&disk.store)), (None, 5));
    }
}

#[test]
fn g9_the_idle_timeout_slides_while_the_clock_is_behind() {
    for stop in [None, Some(Stop::Close)] {
        let mut disk = OnDisk::new();
        let (_, token) = saved(&disk.store, 1);
        set_back(&disk.clock, DAY);
        for _ in 0..4 {
            disk.clock.advance(6 * DAY);
            assert_eq!(n_of(&disk.store, &token), Some(1));
            if let Some(stop) = stop {
                disk = stop.and_start(disk, |clock| set_back(clock, 10 * DAY));
            }
        }
        disk.clock.advance(6 * DAY);
        assert_eq!(n_of(&disk.store, &token), None, "30 days are over");
    }
}

async fn visit(session: Session) -> String {
    session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1).unwrap().to_string()
}

#[tokio::test]
async fn g9_cookies_last_as_long_whatever_the_clock_does() {
    let disk = OnDisk::new();
    let app = Router::new().route("/", get(visit)).layer(SessionLayer::new(disk.store.clone()));
    let max_age =
        |answer: &Answer| answer.set_cookies()[0].split("; ").find(|part| part.starts_with("Max-Age")).unwrap().to_owned();
    let first = ask_with(&app, "/", "").await;
    let (cookie, week) = (first.cookie(), max_age(&first));
    set_back(&disk.clock, DAY);
    assert_eq!(max_age(&ask_with(&app, "/", "").await), week);
    disk.clock.advance(5 * DAY);
    let renewed = ask_with(&app, "/", &cookie).await;
    assert_eq!((renewed.body.as_str(), max_age(&renewed)), ("2", week.clone()), "half of the time is over");
    set_ahead(&disk.clock, YEAR);
    assert_eq!(max_age(&ask_with(&app, "/", "").await), week);
    set_back(&disk.clock, YEAR);
    assert_eq!(ask_with(&app, "/", &cookie).await.body, "3");
}

#[tokio::test]
async fn g9_nobody_is_told_to_forget_a_cookie_by_a_clock_that_may_be_wrong() {
    let disk = OnDisk::new();
    let read = |session: Session| async move { session.get::<u64>("n").unwrap().unwrap_or_default().to_string() };
    let app = Router::new().route("/", get(visit)).route("/read", get(read)).layer(SessionLayer::new(disk.store.clone()));
    let cookie = ask_with(&app, "/", "").await.cookie();
    let (session, _) = saved(&disk.store, 1);
    let watch = session.watch().unwrap().unwrap();
    set_ahead(&disk.clock, YEAR);
    let stranger = ask_with(&app, "/read", &cookie).await;
    assert_eq!((stranger.body.as_str(), stranger.set_cookies().len()), ("0", 0));
    assert_eq!((n_of(&disk.store, &session.token().unwrap()), watch.ended()), (None, None));
    set_back(&disk.clock, YEAR);
    assert_eq!(ask_with(&app, "/read", &cookie).await.body, "1");
    assert_eq!((n_of(&disk.store, &session.token().unwrap()), watch.ended()), (Some(1), None));
}

#[test]
fn g9_what_is_ended_while_the_clock_is_ahead_is_ended_for_good() {
    let disk = OnDisk::new();
    let of_ada = |n| {
        let (session, token) = saved(&disk.store, n);
        session.sign_in("ada").unwrap();
        session.save().wait().unwrap();
        (session, token)
    };
    let (phone, phone_token) = of_ada(1);
    let tokens = [of_ada(2).1, of_ada(3).1, phone_token];
    let handle = phone.handle().unwrap();
    set_ahead(&disk.clock, YEAR);
    assert_eq!(served(&disk.store, &tokens), 0);
    let (_, later) = of_ada(4);
    phone.destroy();
    phone.save().wait().unwrap();
    assert!(!disk.store.destroy_session_of("ada", &handle).wait().unwrap(), "it was ended");
    assert_eq!(disk.store.destroy_sessions_of("ada").wait().unwrap(), 3, "those too that are not served now");
    set_back(&disk.clock, YEAR);
    assert_eq!((served(&disk.store, &tokens), n_of(&disk.store, &later)), (0, None));
}

#[test]
fn g9_a_session_from_when_the_clock_was_ahead_lasts_no_longer_for_it() {
    for stop in [None, Some(Stop::Close), Some(Stop::Crash)] {
        let mut disk = OnDisk::new();
        let (long, used) = saved(&disk.store, 1);
        long.set_absolute_timeout(2 * YEAR).unwrap();
        long.set_idle_timeout(YEAR + DAY).unwrap();
        long.save().wait().unwrap();
        set_ahead(&disk.clock, YEAR);
        let (renewed, old) = saved(&disk.store, 2);
        renewed.rotate_with_grace();
        renewed.save().wait().unwrap();
        let begun = renewed.token().unwrap();
        assert_eq!([&used, &begun, &old].map(|token| n_of(&disk.store, token)), [Some(1), Some(2), Some(2)]);
        set_back(&disk.clock, YEAR);
        if let Some(stop) = stop {
            disk = stop.and_start(disk, |_| {});
        }
        assert_eq!([&used, &begun].map(|token| n_of(&disk.store, token)), [Some(1), Some(2)], "{stop:?}");
        // As a request does at its end.
        for token in [&used, &begun] {
            disk.store.session(Some(token)).unwrap().save().wait().unwrap();
        }
        disk.clock.advance(11 * SECOND);
        assert_eq!(n_of(&disk.store, &old), None, "{stop:?}: a grace of ten seconds");
        disk.clock.advance((7 * DAY).checked_sub(11 * SECOND).unwrap());
        assert_eq!(n_of(&disk.store, &begun), None, "{stop:?}: seven days without use");
        disk.clock.advance(YEAR);
        assert_eq!(n_of(&disk.store, &used), None, "{stop:?}: longer than its own");
    }
}

#[test]
fn f18_a_clock_that_stands_still_expires_sessions_all_the_same() {
    let disk = OnDisk::new();
    let (_, token) = saved(&disk.store, 1);
    // A clock that stands still never shows that a second passed: the sweep is the first to notice.
    for _ in 0..4 {
        disk.clock.freeze(6 * DAY);
        assert_eq!((swept(&disk.store), n_of(&disk.store, &token)), (0, Some(1)));
    }
    disk.clock.freeze(6 * DAY);
    assert_eq!(n_of(&disk.store, &token), None, "30 days are over");
    let (_, token) = saved(&disk.store, 2);
    disk.clock.freeze((7 * DAY).checked_sub(SECOND).unwrap());
    assert_eq!(n_of(&disk.store, &token), Some(2));
    disk.clock.freeze(7 * DAY);
    assert_eq!((n_of(&disk.store, &token), disk.store.stats().clock_jumps), (None, 1));
}

#[test]
fn f18_every_pair_of_jumps_at_run_time_and_over_a_restart() {
    let jumps = [(true, DAY), (true, YEAR), (false, YEAR), (false, 5 * MINUTE)];
    for (is_back, by) in jumps {
        for (then_back, then_by) in jumps {
            for stop in [None, Some(Stop::Close), Some(Stop::Crash)] {
                // For a store that is opened, it looks as if it had been closed for a year since the last one: the first is
                // trusted there.
                if stop.is_some() && !is_back && !then_back && by == YEAR && then_by == YEAR {
                    continue;
                }
                let mut disk = OnDisk::new();
                let (_, expired) = saved(&disk.store, 1);
                disk.clock.advance((7 * DAY).checked_sub(SECOND).unwrap());
                let (_, alive) = saved(&disk.store, 2);
                disk.clock.advance(SECOND);
                assert_eq!((n_of(&disk.store, &expired), swept(&disk.store)), (None, 1));
                let right = disk.clock.now();
                for (back, by) in [(is_back, by), (then_back, then_by)] {
                    let jump = |clock: &ManualClock| if back { set_back(clock, by) } else { set_ahead(clock, by) };
                    match stop {
                        None => jump(&disk.clock),
                        Some(stop) => disk = stop.and_start(disk, jump),
                    }
                    assert_eq!((n_of(&disk.store, &expired), swept(&disk.store)), (None, 0));
                }
                disk.clock.set(right);
                assert_eq!(n_of(&disk.store, &alive), Some(2), "{is_back} {by:?}, {then_back} {then_by:?}, {stop:?}");
            }
        }
    }
}
