//! An application with `axum_session`'s own layer: how a session that was ended in the store affects its requests.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode, header},
    routing::get,
};
use axum_session::{Session, SessionConfig, SessionLayer, SessionStore};
use sessile::{Store, testing};
use sessile_axum_session::AxumSessionPool;
use tower::ServiceExt;

/// A browser with one cookie, and the users that the handlers saw.
struct Browser {
    app: Router,
    store: Store,
    cookie: Option<String>,
    users: Arc<Mutex<Vec<Option<u32>>>>,
}

type Current = Session<AxumSessionPool>;

impl Browser {
    /// Each request reads its session from the store, as the documentation of `owned_by` asks.
    async fn new() -> Self {
        let store = testing::store();
        let pool = AxumSessionPool::new(store.clone()).owned_by(|session| {
            let session: serde_json::Value = serde_json::from_str(session).ok()?;
            session.get("data")?.get("user")?.as_str().map(str::to_owned)
        });
        let config = SessionConfig::default().with_memory_lifetime(time::Duration::ZERO);
        let sessions = SessionStore::new(Some(pool), config).await.unwrap();
        let users: Arc<Mutex<Vec<Option<u32>>>> = Arc::default();
        let noted = users.clone();
        let page = move |session: Current| async move { noted.lock().unwrap().push(session.get("user")) };
        let ended = store.clone();
        let late = move |session: Current| async move {
            session.set("seen", true);
            assert_eq!(ended.destroy_sessions_of("7").await.unwrap(), 1);
        };
        let app = Router::new()
            .route("/in", get(|session: Current| async move { session.set("user", 7) }))
            .route(
                "/in-anew",
                get(|session: Current| async move {
                    session.renew();
                    session.set("user", 8);
                }),
            )
            .route("/page", get(page))
            .route("/late", get(late))
            .layer(SessionLayer::new(sessions));
        Self { app, store, cookie: None, users }
    }

    async fn ask(&mut self, path: &str) -> StatusCode {
        let mut request = Request::builder().uri(path);
        if let Some(cookie) = &self.cookie {
            request = request.header(header::COOKIE, cookie);
        }
        let response = self.app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        for set in response.headers().get_all(header::SET_COOKIE) {
            let set = set.to_str().unwrap();
            if set.starts_with("session=") && !set.contains("Max-Age=0") {
                self.cookie = set.split(';').next().map(str::to_owned);
            }
        }
        response.status()
    }

    fn last_user(&self) -> Option<u32> {
        *self.users.lock().unwrap().last().expect("a handler ran")
    }
}

#[tokio::test]
async fn a_late_request_leaves_nobody_signed_in_and_shuts_nobody_out() {
    let mut browser = Browser::new().await;
    assert_eq!(browser.ask("/in").await, StatusCode::OK);
    assert_eq!((browser.ask("/page").await, browser.last_user()), (StatusCode::OK, Some(7)));
    // The session ends while the request runs. If its save were an error, `axum_session` would keep what it loaded.
    assert_eq!(browser.ask("/late").await, StatusCode::OK);
    assert_eq!((browser.store.stats().sessions, browser.store.stats().dropped_commits), (0, 1));
    // The visitor still has the cookie.
    for dropped in 2..10 {
        assert_eq!((browser.ask("/page").await, browser.last_user()), (StatusCode::OK, None));
        assert_eq!((browser.store.stats().sessions, browser.store.stats().dropped_commits), (0, dropped));
    }
    assert_eq!(browser.ask("/in-anew").await, StatusCode::OK);
    assert_eq!((browser.ask("/page").await, browser.last_user()), (StatusCode::OK, Some(8)));
}
