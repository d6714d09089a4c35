//! Requests that run while another moves their session into the store or out of it, and commits that fail halfway.

use axum::{Router, http::StatusCode, routing::get};
use sessile::{OwnerLimit, Session, SessionLayer, Store};

use super::{after, app, app_of, body, is_sealed, keys, layer, visit};
use crate::support::{Answer, DAY, OnDisk, SECOND, ask, ask_with};

/// Returns the answer to a request that does `work` with its session while the same client requests `path`. Also returns the
/// browser's cookies after that request.
async fn while_it_runs(
    store: &Store,
    cookies: &str,
    work: fn(&Session),
    path: &'static str,
    later: impl Fn() + Clone + Send + Sync + 'static,
) -> (Answer, String) {
    let (inner, sent) = (app(store), cookies.to_owned());
    let other = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let other_too = other.clone();
    let slow = async move |session: Session| {
        work(&session);
        // In a separate task, or it would be this request's session.
        let other = tokio::spawn(async move { visit(&inner, path, &sent).await }).await.unwrap();
        *other_too.lock().unwrap() = other;
        later();
    };
    let answer = ask_with(&Router::new().route("/", get(slow)).layer(layer(store)), "/", cookies).await;
    let other = other.lock().unwrap().clone();
    (answer, other)
}

#[tokio::test]
async fn a_logout_ends_the_session_that_moved_into_the_store_meanwhile() {
    // Within the grace of the old cookie, and after it.
    for wait in [0, 11] {
        let disk = OnDisk::new();
        let app = app(&disk.store);
        let cookie = visit(&app, "/login", &visit(&app, "/set/7", "").await).await;
        let clock = disk.clock.clone();
        let later = move || clock.advance(wait * SECOND);
        let (answer, stored) = while_it_runs(&disk.store, &cookie, Session::destroy, "/grow/5000", later).await;
        assert!(!is_sealed(&stored) && answer.set_cookies().is_empty());
        assert_eq!((body(&app, &cookie).await.as_str(), body(&app, &stored).await.as_str()), ("none", "none"), "{wait}");
        assert!(disk.store.sessions_of("ada").unwrap().is_empty());
        let (_dir, crashed) = disk.after_crash();
        assert_eq!(body(&self::app(&crashed), &stored).await, "none");
    }
}

#[tokio::test]
async fn a_logout_ends_the_session_that_went_on_in_the_cookie_meanwhile() {
    for wait in [0, 11] {
        let disk = OnDisk::new();
        let app = app(&disk.store);
        let stored = visit(&app, "/grow/5000", &visit(&app, "/set/7", "").await).await;
        let clock = disk.clock.clone();
        let later = move || clock.advance(wait * SECOND);
        let (_, sealed) = while_it_runs(&disk.store, &stored, Session::destroy, "/shrink", later).await;
        assert!(is_sealed(&sealed));
        assert_eq!((body(&app, &sealed).await.as_str(), body(&app, &stored).await.as_str()), ("none", "none"), "{wait}");
    }
}

#[tokio::test]
async fn a_session_that_leaves_the_store_in_its_first_life_has_its_whole_life_in_the_cookie() {
    let clock = sessile::testing::ManualClock::default();
    let store = Store::builder().clock(clock.clone()).open_in_memory().unwrap();
    let shrink = async |session: Session| {
        session.insert("n", 7_u64).unwrap();
        session.insert("big", "x".repeat(5000)).unwrap();
        session.save().await.unwrap();
        session.remove("big").unwrap();
    };
    let answer = ask(&Router::new().route("/", get(shrink)).layer(layer(&store)), "/", &[]).await;
    let sealed = after("", &answer);
    assert!(is_sealed(&sealed), "{sealed}");
    clock.advance(6 * DAY);
    assert_eq!(body(&app(&store), &sealed).await, "7");
}

#[tokio::test]
async fn a_change_of_a_session_that_went_on_in_the_cookie_meanwhile_is_dropped() {
    let change = |session: &Session| session.insert("n", 9_u64).unwrap();
    let rotate = |session: &Session| {
        session.insert("n", 9_u64).unwrap();
        session.rotate();
    };
    for (work, dropped) in [(change as fn(&Session), 1), (rotate, 1), (|_: &Session| (), 0)] {
        let disk = OnDisk::new();
        let app = app(&disk.store);
        let stored = visit(&app, "/grow/5000", &visit(&app, "/set/7", "").await).await;
        // So that a use is worth sending, too.
        disk.clock.advance(5 * DAY);
        let (answer, sealed) = while_it_runs(&disk.store, &stored, work, "/shrink", || ()).await;
        assert!(is_sealed(&sealed), "{sealed}");
        let status = if dropped == 1 { StatusCode::CONFLICT } else { StatusCode::OK };
        assert_eq!(answer.status, status, "a page must not say that it stored what is nowhere");
        assert_eq!(answer.set_cookies().len(), 0, "it would take the place of the sealed one, and end in 10 seconds");
        assert_eq!(disk.store.stats().dropped_commits, dropped);
        disk.clock.advance(11 * SECOND);
        disk.store.sweep().wait().unwrap();
        assert_eq!((body(&app, &after(&sealed, &answer)).await.as_str(), disk.store.stats().sessions), ("7", 0));
    }
}

/// Ada may have one session, and she has one.
async fn limited() -> OnDisk {
    let disk = OnDisk::with(|builder| builder.sessions_per_owner(1, OwnerLimit::Refuse));
    visit(&app(&disk.store), "/login", "").await;
    disk
}

#[tokio::test]
async fn what_was_saved_is_told_although_a_later_commit_fails() {
    let disk = limited().await;
    let save_and_fail = async |session: Session| {
        session.insert("n", 7_u64).unwrap();
        session.save().await.unwrap();
        session.sign_in("ada").unwrap();
    };
    for layer in [layer(&disk.store), SessionLayer::new(disk.store.clone())] {
        let app = Router::new().route("/", get(save_and_fail)).layer(layer);
        let answer = ask(&app, "/", &[]).await;
        assert_eq!((answer.status, answer.set_cookies().len()), (StatusCode::CONFLICT, 1));
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert_eq!(body(&self::app(&disk.store), &after("", &answer)).await, "7");
    }
}

#[tokio::test]
async fn a_use_that_is_due_and_does_not_fit_the_store_is_let_be() {
    let mut disk = OnDisk::new();
    let cookie = visit(&app(&disk.store), "/login", &visit(&app(&disk.store), "/set/7", "").await).await;
    disk.store.close().unwrap();
    // From now on her sessions are limited, and so in the store.
    let builder = Store::builder().clock(disk.clock.clone()).sessions_per_owner(1, OwnerLimit::Refuse);
    disk.store = builder.open(disk.dir.path().join("sessions.redb")).unwrap();
    let app = app_of(SessionLayer::new(disk.store.clone()).sealed_cookies(&keys(), 1024).unwrap());
    visit(&app, "/login", "").await;
    disk.clock.advance(2 * DAY);
    let read = ask_with(&app, "/", &cookie).await;
    assert_eq!((read.status, read.body.as_str(), read.set_cookies().len()), (StatusCode::OK, "7", 0));
    assert_eq!(ask_with(&app, "/set/8", &cookie).await.status, StatusCode::CONFLICT, "a change is not let be");
}

#[tokio::test]
async fn a_late_answer_to_the_cookie_from_before_a_move_sets_none() {
    // A grace so long that a use becomes due within it, and with it a new date of the cookie.
    let disk = OnDisk::with(|builder| builder.rotation_grace(4 * DAY));
    let app = app(&disk.store);
    let sealed = visit(&app, "/set/7", "").await;
    let stored = visit(&app, "/grow/5000", &sealed).await;
    assert!(is_sealed(&sealed) && !is_sealed(&stored));
    for days in [0, 1, 2] {
        disk.clock.advance(days * DAY);
        // The client has the newer cookie by now: any other in its place would sign it out, or end earlier.
        for path in ["/", "/is_there", &format!("/set/{}", 8 + days), "/shrink", "/"] {
            let answer = ask_with(&app, path, &sealed).await;
            assert_eq!((answer.status, answer.set_cookies()), (StatusCode::OK, vec![]), "{path}, {days} days later");
        }
        assert_eq!(body(&app, &sealed).await, (8 + days).to_string(), "it was in the session, and not in a new one");
        visit(&app, "/grow/5000", &stored).await;
    }
    assert_eq!(body(&app, &stored).await, "10");
    assert_eq!(disk.store.stats().sessions, 1);
}
