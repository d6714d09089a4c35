//! When the browser forgets the cookie, and when the server forgets the session: the browser must not be first.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use sessile::{SessionLayer, Store, testing::ManualClock};
use sessile_web_tests::{Browser, Page, Server, application};

const HOST: &str = "app.example.test";

#[test]
fn the_cookie_lasts_as_long_as_the_session() {
    for idle in [Duration::from_millis(8500), Duration::from_mins(30)] {
        let clock = ManualClock::default();
        let store = Store::builder().clock(clock.clone()).idle_timeout(idle).open_in_memory().unwrap();
        let server = Server::https(application(&store, SessionLayer::new(store.clone()), ""));
        let browser = Browser::start();
        let visitor = browser.page();
        visitor.go(&(server.origin(HOST) + "/account"));
        visitor.sign_in("ada");
        let deadline = deadline(&store);
        let expiry = expiry(&visitor);
        assert!(expiry >= deadline, "the cookie is gone at {expiry:?}, the session at {deadline:?}");
    }
}

#[test]
fn the_cookie_lasts_as_long_as_the_session_after_each_use() {
    let (clock, idle) = (ManualClock::default(), Duration::from_mins(30));
    let store = Store::builder().clock(clock.clone()).idle_timeout(idle).open_in_memory().unwrap();
    let server = Server::https(application(&store, SessionLayer::new(store.clone()), ""));
    let browser = Browser::start();
    let visitor = browser.page();
    visitor.go(&(server.origin(HOST) + "/account"));
    visitor.sign_in("ada");
    let mut ahead = Duration::ZERO;
    for minutes in [1, 4, 7, 14, 10, 25] {
        // The browser's clock cannot be set. Its cookie ages instead, so its date is compared with the server's deadline less
        // the time that the server's clock is ahead.
        let step = Duration::from_mins(minutes);
        clock.advance(step);
        ahead += step;
        let mut cookie = visitor.cookie("__Host-id");
        cookie["expires"] = json!(cookie["expires"].as_f64().unwrap() - step.as_secs_f64());
        visitor.set_cookie(&cookie);

        visitor.go(&(server.origin(HOST) + "/account"));
        assert_eq!(visitor.user(), "ada", "{minutes} minutes later");
        let (expiry, deadline) = (expiry(&visitor), deadline(&store) - ahead);
        assert!(expiry >= deadline, "{minutes} minutes later, the cookie is gone at {expiry:?}, the session at {deadline:?}");
    }
}

/// When the browser forgets the cookie.
#[track_caller]
fn expiry(page: &Page<'_>) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs_f64(page.cookie("__Host-id")["expires"].as_f64().unwrap())
}

/// When the session ends if it is not used again.
#[track_caller]
fn deadline(store: &Store) -> SystemTime {
    let sessions = store.sessions_of("ada").unwrap();
    assert_eq!(sessions.len(), 1);
    sessions[0].idle_deadline.expect("the store has an idle timeout")
}
