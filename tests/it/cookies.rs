//! When the session's cookie is set, and for how long.

use axum::{Router, routing::get};
use sessile::{Cookie, Session, SessionLayer, Store};

use crate::support::{Answer, DAY, OnDisk, SECOND, ask, ask_with};

fn app(store: &Store, cookie: Cookie) -> Router {
    let remember = |lasts: bool| {
        get(async move |session: Session| {
            session.insert("user", 7).unwrap();
            session.remember(lasts);
            session.rotate();
        })
    };
    Router::new()
        .route("/", get(async |session: Session| session.insert("n", 5_u64).unwrap()))
        .route("/read", get(async |session: Session| session.get::<u64>("n").unwrap().unwrap_or(0).to_string()))
        .route("/remember", remember(true))
        .route("/forget", remember(false))
        .route("/now/remember", get(async |session: Session| session.remember(true)))
        .route("/now/forget", get(async |session: Session| session.remember(false)))
        .layer(SessionLayer::new(store.clone()).cookie(cookie).unwrap())
}

/// The age of the one cookie that is set.
#[track_caller]
fn max_age(answer: &Answer) -> Option<u64> {
    let [cookie] = answer.set_cookies()[..] else { panic!("expected one Set-Cookie, found {:?}", answer.set_cookies()) };
    cookie.split("; ").find_map(|attribute| attribute.strip_prefix("Max-Age=")).map(|age| age.parse().unwrap())
}

const WEEK: u64 = 604_800;

#[tokio::test]
async fn the_date_of_a_cookie_moves_when_half_of_its_time_has_gone() {
    let disk = OnDisk::new();
    let app = app(&disk.store, Cookie::new());
    let first = ask(&app, "/", &[]).await;
    assert_eq!(max_age(&first), Some(WEEK));
    let cookie = first.cookie();
    let mut set_at = Vec::new();
    for hour in 1..=7 * 24 {
        disk.clock.advance(3600 * SECOND);
        let answer = ask_with(&app, if hour % 2 == 0 { "/read" } else { "/" }, &cookie).await;
        if !answer.set_cookies().is_empty() {
            assert_eq!((answer.cookie(), max_age(&answer)), (cookie.clone(), Some(WEEK)));
            set_at.push(hour);
        }
    }
    // Half a week is 84 hours. At 84 exactly half is left, and the next write is an hour later.
    assert_eq!(set_at, [85]);
}

#[tokio::test]
async fn the_date_never_goes_beyond_the_absolute_timeout() {
    let disk = OnDisk::with(|builder| builder.absolute_timeout(9 * DAY));
    let app = app(&disk.store, Cookie::new());
    let cookie = ask(&app, "/", &[]).await.cookie();
    disk.clock.advance(6 * DAY);
    assert_eq!(max_age(&ask_with(&app, "/", &cookie).await), Some(3 * 86_400));
    disk.clock.advance(2 * DAY);
    assert_eq!(ask_with(&app, "/", &cookie).await.set_cookies(), [""; 0], "there is no later date to tell");
}

#[tokio::test]
async fn a_layer_whose_cookies_end_with_the_browser() {
    let disk = OnDisk::new();
    let app = app(&disk.store, Cookie::new().browser_session());
    let first = ask(&app, "/", &[]).await;
    assert_eq!(max_age(&first), None);
    for _ in 0..6 {
        disk.clock.advance(DAY);
        assert_eq!(ask_with(&app, "/", &first.cookie()).await.set_cookies(), [""; 0], "there is no date to move");
    }
    // The session itself ends as ever.
    disk.clock.advance(7 * DAY);
    assert_eq!(ask_with(&app, "/read", &first.cookie()).await.body, "0");
}

#[tokio::test]
async fn a_session_says_by_itself_whether_it_is_remembered() {
    for (cookie, default) in [(Cookie::new(), Some(WEEK)), (Cookie::new().browser_session(), None)] {
        let disk = OnDisk::new();
        let app = app(&disk.store, cookie);
        let visitor = ask(&app, "/", &[]).await;
        assert_eq!(max_age(&visitor), default);
        let forgotten = ask_with(&app, "/forget", &visitor.cookie()).await;
        assert_eq!(max_age(&forgotten), None);
        disk.clock.advance(4 * DAY);
        assert_eq!(ask_with(&app, "/", &forgotten.cookie()).await.set_cookies(), [""; 0]);

        let remembered = ask_with(&app, "/remember", &forgotten.cookie()).await;
        assert_eq!(max_age(&remembered), Some(WEEK));
        disk.clock.advance(4 * DAY);
        assert_eq!(max_age(&ask_with(&app, "/", &remembered.cookie()).await), Some(WEEK), "and its date moves");
    }
}

#[tokio::test]
async fn to_be_remembered_needs_no_new_token() {
    let mut disk = OnDisk::new();
    let app = app(&disk.store, Cookie::new());
    let cookie = ask(&app, "/", &[]).await.cookie();
    for (path, expected) in [("/now/forget", None), ("/now/remember", Some(WEEK))] {
        let answer = ask_with(&app, path, &cookie).await;
        assert_eq!((answer.cookie(), max_age(&answer)), (cookie.clone(), expected));
        let commits = disk.store.stats().commits;
        assert_eq!(ask_with(&app, path, &cookie).await.set_cookies(), [""; 0], "it is so already");
        assert_eq!(disk.store.stats().commits, commits);
    }
    ask_with(&app, "/now/forget", &cookie).await;
    disk.reopen();
    let app = self::app(&disk.store, Cookie::new());
    disk.clock.advance(5 * DAY);
    assert_eq!(ask_with(&app, "/", &cookie).await.set_cookies(), [""; 0], "the file knows");
    let no_session = ask(&app, "/now/remember", &[]).await;
    assert_eq!(no_session.set_cookies(), [""; 0], "it makes no session");
}
