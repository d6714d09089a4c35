//! What the tests share: a store on disk with a clock that the test sets, and requests to an application in this process.

use std::time::Duration;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode, header, request},
};
use sessile::{Builder, Session, Store, Token, testing::ManualClock};
use tempfile::TempDir;
use tower::ServiceExt;

/// A store in its own directory.
pub(crate) struct OnDisk {
    pub dir: TempDir,
    pub clock: ManualClock,
    pub store: Store,
}

impl OnDisk {
    pub(crate) fn new() -> Self {
        Self::with(|builder| builder)
    }

    pub(crate) fn with(settings: impl FnOnce(Builder) -> Builder) -> Self {
        let (dir, clock) = (tempfile::tempdir().unwrap(), ManualClock::default());
        let store = settings(builder(&clock)).open(dir.path().join("sessions.redb")).unwrap();
        Self { dir, clock, store }
    }

    /// The same file in a new store, after a clean close.
    pub(crate) fn reopen(&mut self) {
        self.store.close().unwrap();
        self.store = builder(&self.clock).open(self.dir.path().join("sessions.redb")).unwrap();
    }

    /// Opens a copy of what a crash at this moment would leave behind.
    pub(crate) fn after_crash(&self) -> (TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(self.dir.path()).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
        }
        let store = builder(&self.clock).open(dir.path().join("sessions.redb")).unwrap();
        (dir, store)
    }
}

/// The tests' settings: confirmed sessions, or every test would have to send each cookie back before it waits.
fn builder(clock: &ManualClock) -> Builder {
    Store::builder().clock(clock.clone()).unconfirmed_timeout(Duration::MAX)
}

/// A saved session with `n` under "n".
#[track_caller]
pub(crate) fn saved(store: &Store, n: u64) -> (Session, Token) {
    let session = store.session(None).unwrap();
    session.insert("n", n).unwrap();
    session.save().wait().unwrap();
    let token = session.token().unwrap();
    (session, token)
}

/// Returns what `token` leads to.
#[track_caller]
pub(crate) fn n_of(store: &Store, token: &Token) -> Option<u64> {
    store.session(Some(token)).unwrap().get("n").unwrap()
}

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const DAY: Duration = Duration::from_hours(24);

/// An answer.
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    /// Returns the answer of `app` to a request without a body.
    pub(crate) async fn to(app: &Router, request: request::Builder) -> Self {
        let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = String::from_utf8(to_bytes(body, 1 << 20).await.unwrap().to_vec()).unwrap();
        Self { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) fn set_cookies(&self) -> Vec<&str> {
        self.headers.get_all(header::SET_COOKIE).iter().map(|value| value.to_str().unwrap()).collect()
    }

    /// Returns the `name=value` of the one cookie that is set.
    #[track_caller]
    pub(crate) fn cookie(&self) -> String {
        let [cookie] = self.set_cookies()[..] else { panic!("expected one Set-Cookie, found {:?}", self.set_cookies()) };
        cookie.split(';').next().unwrap().to_owned()
    }

    pub(crate) fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// Requests `path` from `app` with these headers.
pub(crate) async fn ask(app: &Router, path: &str, headers: &[(&str, &[u8])]) -> Answer {
    let mut request = Request::builder().uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Answer::to(app, request).await
}

/// Requests `path` with one cookie.
pub(crate) async fn ask_with(app: &Router, path: &str, cookie: &str) -> Answer {
    ask(app, path, &[("cookie", cookie.as_bytes())]).await
}
