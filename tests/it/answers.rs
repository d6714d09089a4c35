//! What a client receives: when a cookie is set, which headers come with it, and what a failed request leaves behind.

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    routing::get,
};
use sessile::{Error, OwnerLimit, Session, SessionLayer, Store, testing::ManualClock};

use crate::support::{ask, ask_with};

async fn count(session: Session) -> Result<String, Error> {
    Ok(session.update("n", |n: Option<u32>| n.unwrap_or(0) + 1)?.to_string())
}

async fn read(session: Session) -> Result<String, Error> {
    Ok(session.get::<u32>("n")?.unwrap_or(0).to_string())
}

async fn fail(session: Session) -> Result<StatusCode, Error> {
    session.insert("n", 99_u32)?;
    Ok(StatusCode::INTERNAL_SERVER_ERROR)
}

async fn end(session: Session) {
    session.destroy();
}

fn app(layer: SessionLayer) -> Router {
    let routes = Router::new().route("/count", get(count)).route("/read", get(read)).route("/fail", get(fail));
    routes.route("/end", get(end)).route("/none", get(async || "no session")).layer(layer)
}

fn fresh() -> (Store, Router) {
    // A clock that stands still, for the age in the cookie.
    let store = Store::builder().clock(ManualClock::default()).open_in_memory().unwrap();
    (store.clone(), app(SessionLayer::new(store)))
}

#[tokio::test]
async fn nothing_is_told_before_the_first_value() {
    let (store, app) = fresh();
    let untouched = ask(&app, "/none", &[]).await;
    assert_eq!((untouched.set_cookies().len(), untouched.header(header::VARY)), (0, None));
    let read = ask(&app, "/read", &[]).await;
    assert_eq!((read.set_cookies().len(), read.header(header::VARY)), (0, Some("Cookie")));
    assert_eq!(store.stats().commits, 0);
}

#[tokio::test]
async fn the_first_value_sets_one_cookie_and_later_ones_none() {
    let (_, app) = fresh();
    let first = ask(&app, "/count", &[]).await;
    let cookie = first.cookie();
    let token = cookie.strip_prefix("__Host-id=").unwrap();
    assert_eq!(
        first.set_cookies(),
        [format!("__Host-id={token}; Path=/; Max-Age=756000; Secure; HttpOnly; SameSite=Lax")],
        "seven days, as the store's idle timeout, and a quarter"
    );
    assert_eq!(first.header(header::CACHE_CONTROL), Some("no-store"));
    let second = ask_with(&app, "/count", &cookie).await;
    assert_eq!((second.body.as_str(), second.set_cookies().len()), ("2", 0));
    assert_eq!((second.header(header::VARY), second.header(header::CACHE_CONTROL)), (Some("Cookie"), Some("private")));
}

#[tokio::test]
async fn a_server_error_drops_the_changes_unless_asked() {
    let (store, app) = fresh();
    let failed = ask(&app, "/fail", &[]).await;
    assert_eq!((failed.status, failed.set_cookies().len()), (StatusCode::INTERNAL_SERVER_ERROR, 0));
    assert_eq!(store.stats().commits, 0);

    let cookie = ask(&app, "/count", &[]).await.cookie();
    ask_with(&app, "/fail", &cookie).await;
    assert_eq!(ask_with(&app, "/read", &cookie).await.body, "1");

    let app = self::app(SessionLayer::new(store).commit_on_server_error());
    ask_with(&app, "/fail", &cookie).await;
    assert_eq!(ask_with(&app, "/read", &cookie).await.body, "99");
}

#[tokio::test]
async fn an_ended_session_takes_its_cookie_along() {
    let (_, app) = fresh();
    let cookie = ask(&app, "/count", &[]).await.cookie();
    let ended = ask_with(&app, "/end", &cookie).await;
    let [deleting] = ended.set_cookies()[..] else { panic!("{:?}", ended.headers) };
    assert!(deleting.starts_with("__Host-id=;") && deleting.contains("Max-Age=0"), "{deleting}");
    assert_eq!(ended.header(header::CACHE_CONTROL), Some("no-store"));
    assert_eq!(ask_with(&app, "/read", &cookie).await.body, "0");
}

#[tokio::test]
async fn plain_http_is_for_loopback_alone() {
    let app = app(SessionLayer::new(sessile::testing::store()).plain_http_on_loopback());
    let here = ask(&app, "/count", &[("host", b"127.0.0.1:3000")]).await;
    assert_eq!(here.status, StatusCode::OK);
    assert!(here.cookie().starts_with("id-"), "no prefix: browsers take it over https only");
    for headers in [&[("host", b"example.com".as_slice())][..], &[]] {
        let refused = ask(&app, "/count", headers).await;
        assert_eq!((refused.status, refused.set_cookies().len()), (StatusCode::MISDIRECTED_REQUEST, 0));
    }
}

#[tokio::test]
async fn what_a_user_can_settle_is_a_409_and_not_a_fault_of_the_server() {
    let store = Store::builder().sessions_per_owner(1, OwnerLimit::Refuse).open_in_memory().unwrap();
    // The layer's own commit is refused, and so is a handler's, which returns the error.
    let login = async |session: Session| session.sign_in("ada").unwrap();
    let save = async |session: Session| {
        session.sign_in("ada").unwrap();
        session.save().await
    };
    let overtaken = async |State(store): State<Store>, session: Session| {
        session.insert("n", 2)?;
        let other = store.session(session.token().as_ref())?;
        other.insert("n", 1)?;
        other.save().await?;
        session.save_if_unchanged().await
    };
    let routes = Router::new().route("/login", get(login)).route("/save", get(save)).route("/overtaken", get(overtaken));
    let app = routes.with_state(store.clone()).layer(SessionLayer::new(store));
    let first = ask(&app, "/login", &[]).await;
    assert_eq!(first.status, StatusCode::OK);
    for path in ["/login", "/save"] {
        let refused = ask(&app, path, &[]).await;
        assert_eq!((refused.status, refused.set_cookies().len()), (StatusCode::CONFLICT, 0), "{path}");
    }
    assert_eq!(ask_with(&app, "/overtaken", &first.cookie()).await.status, StatusCode::CONFLICT);
}
