//! One small axum application, with each kind of sessions around it, called without a socket.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderValue, header::COOKIE},
    response::Response,
    routing::get,
};
use sessile::{SessionLayer, Store, web::SessionService};
use tower::{Layer, Service};
use tower_sessions::{SessionManagerLayer, SessionStore};

use crate::{Random, USER_ID, block_on};

/// What a handler does with its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// It does not ask for it.
    Nothing,
    /// It reads one key.
    Read,
    /// It reads one key and writes it.
    Write,
}

/// Anything that answers requests.
pub trait App: Service<Request, Response = Response, Error = std::convert::Infallible> {}
impl<S: Service<Request, Response = Response, Error = std::convert::Infallible>> App for S {}

/// The application without sessions.
pub fn bare_app() -> Router {
    served(Router::new().route("/", get(|| async { "0" })))
}

/// The router as `axum::serve` makes it before the first request. Without this it would build its layers anew for each one.
fn served(router: Router) -> Router {
    router.with_state(())
}

/// The application without sessions, in a layer that does nothing: what axum itself asks for any layer.
pub fn no_op_app() -> Router {
    #[derive(Clone)]
    struct NoOp<S>(S);
    impl<S: Service<Request>> Service<Request> for NoOp<S> {
        type Response = S::Response;
        type Error = S::Error;
        type Future = S::Future;

        fn poll_ready(&mut self, context: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), S::Error>> {
            self.0.poll_ready(context)
        }

        fn call(&mut self, request: Request) -> S::Future {
            self.0.call(request)
        }
    }
    served(bare_app().layer(tower::layer::layer_fn(NoOp)))
}

fn sessile_router(work: Work) -> Router {
    match work {
        Work::Nothing => bare_app(),
        Work::Read => served(Router::new().route("/", get(read))),
        Work::Write => served(Router::new().route("/", get(write))),
    }
}

async fn read(session: sessile::Session) -> &'static str {
    text(session.get::<u64>(USER_ID).expect("it is a number"))
}

async fn write(session: sessile::Session) -> &'static str {
    let visits = session.get::<u64>("visits").expect("it is a number").unwrap_or(0);
    session.insert("visits", visits + 1).expect("it is small");
    text(Some(visits))
}

async fn tower_read(session: tower_sessions::Session) -> &'static str {
    text(session.get::<u64>(USER_ID).await.expect("it is a number"))
}

async fn tower_write(session: tower_sessions::Session) -> &'static str {
    let visits = session.get::<u64>("visits").await.expect("it is a number").unwrap_or(0);
    session.insert("visits", visits + 1).await.expect("memory does not fail");
    text(Some(visits))
}

/// An answer that shows whether the session was found, and costs nothing to make.
fn text(value: Option<u64>) -> &'static str {
    if value.is_some() { "found" } else { "none" }
}

/// The application in a [`SessionLayer`], as axum's `layer` puts it.
pub fn sessile_app(store: &Store, work: Work) -> Router {
    served(sessile_router(work).layer(SessionLayer::new(store.clone())))
}

/// The application with the [`SessionLayer`] around all of it, which spares the box that axum puts every layer in.
pub fn sessile_around(store: &Store, work: Work) -> SessionService<Router> {
    around(SessionLayer::new(store.clone()), work)
}

/// The application with `layer` around all of it.
pub fn around(layer: SessionLayer, work: Work) -> SessionService<Router> {
    layer.layer(sessile_router(work))
}

fn tower_router(work: Work) -> Router {
    match work {
        Work::Nothing => bare_app(),
        Work::Read => served(Router::new().route("/", get(tower_read))),
        Work::Write => served(Router::new().route("/", get(tower_write))),
    }
}

/// The application with tower-sessions, as axum's `layer` puts it.
pub fn tower_app(store: &(impl SessionStore + Clone), work: Work) -> Router {
    served(tower_router(work).layer(SessionManagerLayer::new(store.clone())))
}

/// The application with tower-sessions around all of it.
pub fn tower_around<S: SessionStore + Clone>(store: &S, work: Work) -> impl App + use<S> {
    SessionManagerLayer::new(store.clone()).layer(tower_router(work))
}

/// A request that comes with `cookie`, which lies in the nearest cache, as what a server has just read from a socket does.
///
/// # Panics
/// Never: the value was checked before.
pub fn request(cookie: &HeaderValue) -> Request {
    let mut request = Request::new(Body::empty());
    let cookie = HeaderValue::from_bytes(cookie.as_bytes()).expect("it was a value before");
    request.headers_mut().insert(COOKIE, cookie);
    request
}

/// What the application answers to a request with `cookie`.
///
/// # Panics
/// Never: applications answer.
pub fn call(app: &mut impl App, cookie: &HeaderValue) -> Response {
    let Ok(response) = block_on(app.call(request(cookie)));
    response
}

/// Calls `app` with cookies as they come: one of all of them, whichever, and each contestant with others, so that none finds in the
/// caches what another has just brought there.
///
/// # Panics
/// The contestant does, if an answer is no success.
pub fn calling(mut app: impl App, cookies: &[HeaderValue]) -> impl FnMut(usize) {
    static SEEDS: AtomicU64 = AtomicU64::new(1);
    let mut random = Random(SEEDS.fetch_add(1, Ordering::Relaxed));
    move |calls| {
        for _ in 0..calls {
            assert!(call(&mut app, &cookies[random.below(cookies.len())]).status().is_success());
        }
    }
}
