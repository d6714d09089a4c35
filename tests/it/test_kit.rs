//! The kit for an application's tests: signed in without a login, whatever carries the token.

use std::time::Duration;

use axum::{Router, http::HeaderName, routing::get};
use sessile::{
    Named, Session, SessionLayer, SessionName, Store,
    testing::{self, ManualClock},
    web::Transport,
};

use crate::support::{ask, ask_with};

struct Admin;

impl SessionName for Admin {
    const NAME: &str = "admin";
}

fn app(layer: SessionLayer) -> Router {
    Router::new()
        .route("/", get(async |session: Session| session.get::<String>("role").unwrap().unwrap_or_default()))
        .route("/admin", get(async |admin: Named<Admin>| admin.get::<String>("role").unwrap().unwrap_or_default()))
        .route("/here", get(async |session: Option<Session>| session.is_some().to_string()))
        .layer(layer)
}

#[tokio::test]
async fn a_login_cookie_signs_its_owner_in_until_the_session_ends() {
    let clock = ManualClock::default();
    let store = Store::builder().clock(clock.clone()).idle_timeout(Duration::from_mins(30)).open_in_memory().unwrap();
    let layer = SessionLayer::new(store.clone());
    let cookie = testing::login_cookie(&layer, "ada");
    let app = app(layer);
    assert_eq!(ask_with(&app, "/here", &cookie).await.body, "true");
    let [session] = &store.sessions_of("ada").unwrap()[..] else { panic!("one session of hers") };
    assert!(store.destroy_session_of("ada", &session.handle).await.unwrap());
    assert_eq!(ask_with(&app, "/here", &cookie).await.body, "false");

    let cookie = testing::login_cookie(&SessionLayer::new(store), "ada");
    clock.advance(Duration::from_mins(30));
    assert_eq!(ask_with(&app, "/here", &cookie).await.body, "false");
}

#[tokio::test]
async fn a_login_fits_its_layer() {
    let store = testing::store();
    let layer = || SessionLayer::new(store.clone());
    let x_session = Transport::Header(HeaderName::from_static("x-session"));
    for (layer, path, expected) in [
        (layer(), "/", "cookie"),
        (layer().plain_http_on_loopback(), "/", "cookie"),
        (layer().named::<Admin>(), "/admin", "cookie"),
        (layer().transport(Transport::Bearer).unwrap(), "/", "authorization"),
        (layer().transport(x_session).unwrap(), "/", "x-session"),
    ] {
        let (name, value) = testing::login_with(&layer, "ada", |session| session.insert("role", "root").unwrap());
        assert_eq!(name, expected);
        let answer = ask(&app(layer), path, &[(name.as_str(), value.as_bytes()), ("host", b"localhost")]).await;
        assert_eq!(answer.body, "root", "{name:?}: {value:?}");
    }
    assert_eq!(store.sessions_of("ada").unwrap().len(), 5);
}

#[test]
#[should_panic(expected = "use `login_with`")]
fn a_layer_without_cookies_has_no_login_cookie() {
    let layer = SessionLayer::new(testing::store()).transport(Transport::Bearer).unwrap();
    let _ = testing::login_cookie(&layer, "ada");
}
