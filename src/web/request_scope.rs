//! How a handler finds its request's session: through the thread that polls it.
//!
//! While a request's future is polled, its scope is on this thread's stack of scopes. Nothing is put into the request, so a
//! handler that does not use the session costs no allocation. Tokio's task-local values work the same way.
//!
//! Invariant: a scope is on the stack exactly while its own future runs, even if that panics.

use std::{cell::RefCell, sync::Arc};

use http::HeaderMap;

use super::{
    arrived::Arrived,
    config::{Config, Loaded},
    marker::Marker,
};
#[cfg(feature = "device-bound")]
use crate::Handle;
use crate::{Error, Session};

/// What one layer knows of one request.
pub(super) struct RequestScope {
    pub(super) config: Arc<Config>,
    pub(super) arrived: Arrived,
    pub(super) used: SessionUse,
    /// What the response does for the device, beyond what every response does.
    #[cfg(feature = "device-bound")]
    pub(super) demand: Demand,
}

/// What the response does for the device: the last two are what a [`RequireDevice`](crate::device::RequireDevice) demands.
#[cfg(feature = "device-bound")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Demand {
    #[default]
    Nothing,
    /// Asks for a proof of this session, which the request presents without one. If it has a short cookie that is not good, deletes
    /// that: while a browser has one, it does not prove.
    Ask { session: Handle, has_bad_proof: bool },
    /// Asks for a key.
    Register,
    /// Deletes the short cookie, so that the browser proves again.
    Prove,
}

/// How the request used its session.
pub(super) enum SessionUse {
    /// Not at all.
    Untouched,
    /// Loading it failed.
    Failed,
    /// It was loaded.
    Loaded(Session),
}

thread_local! {
    static SCOPES: RefCell<Vec<RequestScope>> = const { RefCell::new(Vec::new()) };
}

/// Makes `scope` the innermost one of this thread until the returned guard is dropped.
#[inline]
pub(super) fn enter(scope: &mut Option<RequestScope>) -> Entered<'_> {
    let inner = scope.take();
    let is_in = inner.is_some();
    if let Some(inner) = inner {
        SCOPES.with_borrow_mut(|scopes| scopes.push(inner));
    }
    Entered { scope, is_in }
}

/// Like [`enter`], when the request arrives. If an outer layer provides the same session for the request, that layer commits
/// it, and `scope` stays `None`.
#[inline]
pub(super) fn open(scope: &mut Option<RequestScope>) -> Entered<'_> {
    let inner = scope.take();
    let is_in = inner.is_some_and(|inner| {
        SCOPES.with_borrow_mut(|scopes| {
            let is_new = !scopes.iter().any(|around| around.serves_same(&inner));
            if is_new {
                scopes.push(inner);
            }
            is_new
        })
    });
    Entered { scope, is_in }
}

impl RequestScope {
    pub(super) fn new(config: Arc<Config>, arrived: Arrived, used: SessionUse) -> Self {
        Self {
            config,
            arrived,
            used,
            #[cfg(feature = "device-bound")]
            demand: Demand::Nothing,
        }
    }

    /// Whether both layers provide the same session for this request.
    fn serves_same(&self, other: &Self) -> bool {
        self.config.serves_same(&other.config) && self.arrived.is_same(&other.arrived)
    }
}

/// Takes the scope back, even if the code within it panics.
pub(super) struct Entered<'a> {
    scope: &'a mut Option<RequestScope>,
    is_in: bool,
}

impl Drop for Entered<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.is_in {
            *self.scope = SCOPES.with_borrow_mut(Vec::pop);
        }
    }
}

/// Makes the response of this thread's innermost layer without a name ask the browser to register a key.
#[cfg(feature = "device-bound")]
pub(super) fn offer_device() {
    demand(Demand::Register);
}

/// Makes the response of this thread's innermost layer without a name delete the short cookie, so that the browser proves again.
#[cfg(feature = "device-bound")]
pub(super) fn renew_proof() {
    demand(Demand::Prove);
}

#[cfg(feature = "device-bound")]
fn demand(demand: Demand) {
    SCOPES.with_borrow_mut(|scopes| {
        // The one whose session `Session::of_request` returns.
        if let Some(scope) = scopes.iter_mut().rev().find(|scope| scope.config.marker.is_none()) {
            scope.demand = demand;
        }
    });
}

impl Session {
    /// Returns the session of a request, in a service within a [`SessionLayer`](crate::SessionLayer); `headers` are the
    /// request's.
    ///
    /// For all tower services. In axum, add a `Session` to the handler's arguments instead.
    ///
    /// A request that a handler makes to routes within the layer, and that presents no token, has its own session that stores
    /// nothing: it does not decide which session the visitor has.
    ///
    /// # Errors
    /// [`Error::NoLayer`] if no layer's future runs on this thread, as in a spawned task; [`Error::Degraded`] if the session
    /// must be read from disk and the disk refuses.
    ///
    /// # Examples
    /// ```
    /// # use axum::{Router, body::Body, http::{HeaderMap, Request, StatusCode}, routing::get};
    /// # use sessile::{Error, Session, SessionLayer};
    /// # use tower::ServiceExt;
    /// async fn handler(headers: HeaderMap) -> Result<(), Error> {
    ///     Session::of_request(&headers)?.insert("seen", true)
    /// }
    ///
    /// # let store = sessile::testing::store();
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let app = Router::new().route("/", get(handler)).layer(SessionLayer::new(store));
    /// # let request = Request::get("/").body(Body::empty()).unwrap();
    /// assert_eq!(app.oneshot(request).await.unwrap().status(), StatusCode::OK);
    /// # });
    /// assert!(matches!(Session::of_request(&HeaderMap::new()), Err(Error::NoLayer)), "no layer is around this");
    /// ```
    pub fn of_request(headers: &HeaderMap) -> Result<Self, Error> {
        session(headers, None)
    }
}

/// Returns the session with the name `marker` of the request whose handler runs on this thread. The first call loads it.
pub(super) fn session(headers: &HeaderMap, marker: Option<&Marker>) -> Result<Session, Error> {
    let innermost = SCOPES.with_borrow_mut(|scopes| {
        let at = scopes.iter().rposition(|scope| Marker::same(scope.config.marker.as_ref(), marker))?;
        let scope = &mut scopes[at];
        Some(match &scope.used {
            SessionUse::Loaded(session) => (at, Ok(session.clone())),
            _ => (at, Err((scope.config.clone(), std::mem::take(&mut scope.arrived)))),
        })
    });
    let (at, (config, arrived)) = match (innermost, marker) {
        (Some((_, Ok(session))), _) => return Ok(session),
        (Some((at, Err(scope))), _) => (at, scope),
        (None, None) => return Err(Error::NoLayer),
        (None, Some(marker)) => return Err(Error::NoNamedLayer { name: marker.name }),
    };
    // Not under the borrow: this may read the disk and call a clock of the application.
    let loaded = config.load(&arrived, headers);
    SCOPES.with_borrow_mut(|scopes| {
        let scope = scopes.get_mut(at).expect("the scope found above stays until its future was polled");
        scope.arrived = arrived;
        match &loaded {
            Ok(Loaded {
                is_own: true,
                session,
                #[cfg(feature = "device-bound")]
                demand,
            }) => {
                scope.used = SessionUse::Loaded(session.clone());
                #[cfg(feature = "device-bound")]
                {
                    scope.demand = *demand;
                }
            }
            // A handler made the request, which must not decide which session the visitor has.
            Ok(Loaded { is_own: false, .. }) => {}
            Err(_) => scope.used = SessionUse::Failed,
        }
    });
    loaded.map(|loaded| loaded.session)
}
