//! Timeouts of single sessions, and the short one of a session whose cookie has not come back.

use std::time::Duration;

use sessile::{Builder, Error, Store, testing::ManualClock};

use crate::support::{DAY, OnDisk, SECOND, n_of, saved};

const HOUR: Duration = Duration::from_hours(1);

#[test]
fn g3_a_session_has_timeouts_of_its_own() {
    for restart in [false, true] {
        let mut disk = OnDisk::new();
        let (short, short_token) = saved(&disk.store, 1);
        let (long, long_token) = saved(&disk.store, 2);
        let (brief, brief_token) = saved(&disk.store, 3);
        short.set_idle_timeout(HOUR).unwrap();
        long.set_idle_timeout(60 * DAY).unwrap();
        long.set_absolute_timeout(400 * DAY).unwrap();
        brief.set_absolute_timeout(2 * HOUR).unwrap();
        for session in [&short, &long, &brief] {
            session.save().wait().unwrap();
        }
        let mut wait = |by: Duration| {
            disk.clock.advance(by);
            if restart {
                disk.reopen();
            }
            [&short_token, &long_token, &brief_token].map(|token| n_of(&disk.store, token))
        };
        let minute = 60 * SECOND;
        assert_eq!(wait(59 * minute), [Some(1), Some(2), Some(3)], "{restart}");
        assert_eq!(wait(59 * minute), [Some(1), Some(2), Some(3)], "use moves the idle deadline");
        assert_eq!(wait(2 * minute), [Some(1), Some(2), None]);
        assert_eq!(wait(HOUR), [None, Some(2), None]);
        assert_eq!(wait(59 * DAY), [None, Some(2), None], "longer than the store's 7 and 30 days");
    }
}

#[test]
fn a_timeout_of_nothing_is_refused() {
    let session = sessile::testing::session();
    for timeout in [Duration::ZERO, Duration::from_micros(999)] {
        assert!(matches!(session.set_idle_timeout(timeout), Err(Error::Config { .. })));
        assert!(matches!(session.set_absolute_timeout(timeout), Err(Error::Config { .. })));
    }
}

#[test]
fn a_list_shows_the_sessions_own_deadlines() {
    let disk = OnDisk::new();
    let (session, _) = saved(&disk.store, 1);
    session.sign_in("ada").unwrap();
    session.set_idle_timeout(2 * DAY).unwrap();
    session.set_absolute_timeout(9 * DAY).unwrap();
    session.save().wait().unwrap();
    let info = &disk.store.sessions_of("ada").unwrap()[0];
    assert_eq!(info.idle_deadline, Some(info.last_seen + 2 * DAY));
    assert_eq!(info.absolute_deadline, Some(info.created + 9 * DAY));
}

fn with_defaults(settings: impl FnOnce(Builder) -> Builder) -> (Store, ManualClock) {
    let clock = ManualClock::default();
    (settings(Store::builder().clock(clock.clone())).open_in_memory().unwrap(), clock)
}

#[test]
fn a_session_whose_cookie_does_not_come_back_lasts_an_hour() {
    for (wait, alive) in [(HOUR.checked_sub(SECOND).unwrap(), true), (HOUR, false)] {
        let (store, clock) = with_defaults(|builder| builder);
        let (_, token) = saved(&store, 1);
        clock.advance(wait);
        assert_eq!(n_of(&store, &token).is_some(), alive, "{wait:?}");
    }
}

#[test]
fn a_cookie_that_came_back_once_makes_a_session_last() {
    let mut disk = OnDisk::with(|builder| builder.unconfirmed_timeout(HOUR));
    let (_, token) = saved(&disk.store, 1);
    disk.clock.advance(HOUR / 2);
    assert_eq!(n_of(&disk.store, &token), Some(1));
    disk.store.flush().wait().unwrap();
    let (_dir, crashed) = disk.after_crash();
    disk.clock.advance((7 * DAY).checked_sub(SECOND).unwrap());
    assert_eq!(n_of(&crashed, &token), Some(1), "that it came back is on disk");
    disk.reopen();
    assert_eq!(n_of(&disk.store, &token), Some(1));
    disk.clock.advance(7 * DAY);
    assert_eq!(n_of(&disk.store, &token), None);
}

#[test]
fn to_write_without_the_cookie_coming_back_is_no_proof() {
    let (store, clock) = with_defaults(|builder| builder);
    let (session, token) = saved(&store, 1);
    session.insert("n", 2_u64).unwrap();
    session.save().wait().unwrap();
    clock.advance(HOUR);
    assert_eq!(n_of(&store, &token), None);
}

#[test]
fn sessions_with_an_owner_or_a_timeout_of_their_own_have_no_first_life() {
    let (store, clock) = with_defaults(|builder| builder);
    let new = |n: u64| {
        let session = store.session(None).unwrap();
        session.insert("n", n).unwrap();
        session
    };
    let (owned, timed, later) = (new(1), new(2), new(3));
    owned.sign_in("ada").unwrap();
    timed.set_idle_timeout(2 * DAY).unwrap();
    for session in [&owned, &timed, &later] {
        session.save().wait().unwrap();
    }
    later.sign_in("bob").unwrap();
    later.save().wait().unwrap();
    clock.advance(DAY);
    for (n, session) in [&owned, &timed, &later].into_iter().enumerate() {
        assert_eq!(n_of(&store, &session.token().unwrap()), Some(n as u64 + 1));
    }
}

#[test]
fn first_lives_that_are_over_leave_the_file() {
    let disk = OnDisk::with(|builder| builder.unconfirmed_timeout(HOUR));
    for n in 0..50 {
        saved(&disk.store, n);
    }
    let (_, kept) = saved(&disk.store, 99);
    assert_eq!(n_of(&disk.store, &kept), Some(99));
    disk.clock.advance(HOUR + 60 * SECOND);
    disk.store.sweep().wait().unwrap();
    let stats = disk.store.stats();
    assert_eq!((stats.disk_sessions, stats.sessions), (1, 1));
    assert_eq!(n_of(&disk.store, &kept), Some(99));
}
