//! The answer to a request: commits the session once the application has responded, and updates the client's cookie.
//!
//! Invariants: each request has one commit, before its response's headers are sent. After a server error nothing is committed
//! except the end of a session, unless the layer is set to commit. A failed commit is an error to the client, not a page that
//! claims success; the cookie of what was saved before is still sent. A commit of only a touch or quick changes never fails a
//! page.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

#[cfg(feature = "device-bound")]
use http::{HeaderMap, header};
use http::{Response, StatusCode};
use pin_project_lite::pin_project;

#[cfg(feature = "device-bound")]
use super::request_scope::Demand;
use super::{
    body,
    cookie::{forbid_caching, keep_private},
    request_scope::{self, RequestScope, SessionUse},
};
#[cfg(feature = "device-bound")]
use crate::Session;
use crate::{
    Ack, Error, log,
    session::{CookieUpdate, Ending, Finish},
};

pin_project! {
    /// The answer of a [`SessionService`](super::SessionService).
    pub struct ResponseFuture<F, B> {
        // `None` only while the inner future is polled, and when the session has nothing left to do.
        scope: Option<RequestScope>,
        #[pin]
        stage: Stage<F, B>,
    }
}

pin_project! {
    #[project = StageProjection]
    enum Stage<F, B> {
        // The layer has answered the request itself.
        Answered { response: Option<Response<B>> },
        // The application handles the request.
        Running { #[pin] inner: F },
        // The response is ready. It is sent once its session is as durable as its durability requires.
        Committing { ack: Ack, is_vital: bool, update: CookieUpdate, parts: u8, response: Option<Response<B>> },
    }
}

impl<F, B: Default + 'static> ResponseFuture<F, B> {
    /// The application handles the request, with the session of `scope`.
    #[inline]
    pub(super) fn running(scope: Option<RequestScope>, inner: F) -> Self {
        Self { scope, stage: Stage::Running { inner } }
    }

    /// The layer has answered the request itself. The response is sent once the session of `scope`, if any, is committed.
    #[cfg(feature = "device-bound")]
    pub(super) fn answered(scope: RequestScope, response: Response<B>) -> Self {
        Self { scope: Some(scope), stage: Stage::Answered { response: Some(response) } }
    }

    /// The request is for another server, for the reason `why`.
    pub(super) fn misdirected(why: String) -> Self {
        let response = Some(body::with_text(StatusCode::MISDIRECTED_REQUEST, why));
        Self { scope: None, stage: Stage::Answered { response } }
    }
}

impl<F, B> fmt::Debug for ResponseFuture<F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

impl<F, B, E> Future for ResponseFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Default + 'static,
{
    type Output = Result<Response<B>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let mut response = match this.stage.as_mut().project() {
                StageProjection::Answered { response } => response.take().expect("a future is not polled after it was ready"),
                StageProjection::Running { inner } => {
                    let entered = request_scope::enter(this.scope);
                    let polled = inner.poll(context);
                    drop(entered);
                    // Usually the session was not used, and the response need not move.
                    if this.scope.as_ref().is_none_or(|scope| matches!(scope.used, SessionUse::Untouched)) {
                        return polled;
                    }
                    ready!(polled)?
                }
                StageProjection::Committing { ack, is_vital, update, parts, response } => {
                    let acknowledged = ready!(Pin::new(ack).poll(context));
                    let acknowledged = if *is_vital { acknowledged } else { Ok(()) };
                    let response = response.take().expect("a future is not polled after it was ready");
                    return Poll::Ready(Ok(commit_outcome(this.scope.as_ref(), acknowledged, update, *parts, response)));
                }
            };
            let Some(finish) = this.scope.as_ref().and_then(|scope| finish(scope, &mut response)) else {
                return Poll::Ready(Ok(response));
            };
            let Finish { ticket, is_vital, update, parts } = finish;
            let ticket = match ticket {
                Ok(ticket) => ticket,
                Err(error) => return Poll::Ready(Ok(error_with_cookie(this.scope.as_ref(), &error, &update, parts))),
            };
            let mut ack = Ack::new(ticket, ());
            // Usually there is nothing to wait for, and the response need not move to another stage.
            match Pin::new(&mut ack).poll(context) {
                Poll::Ready(acknowledged) => {
                    let acknowledged = if is_vital { acknowledged } else { Ok(()) };
                    return Poll::Ready(Ok(commit_outcome(this.scope.as_ref(), acknowledged, &update, parts, response)));
                }
                Poll::Pending => {
                    let response = Some(response);
                    this.stage.set(Stage::Committing { ack, is_vital, update, parts, response });
                }
            }
        }
    }
}

/// Ends the session's part in the request. `None`: the response is sent unchanged.
fn finish<B>(scope: &RequestScope, response: &mut Response<B>) -> Option<Finish> {
    match &scope.used {
        SessionUse::Untouched => None,
        SessionUse::Failed => {
            scope.config.carrier.append_vary(response.headers_mut());
            keep_private(response.headers_mut());
            None
        }
        SessionUse::Loaded(session) => {
            scope.config.carrier.append_vary(response.headers_mut());
            keep_private(response.headers_mut());
            #[cfg(feature = "device-bound")]
            ask_device(scope, session, response.headers_mut());
            session.finish(Ending {
                commits: scope.config.commit_on_server_error || !response.status().is_server_error(),
                allows_dropped_values: scope.config.allow_dropped_values,
            })
        }
    }
}

/// Returns the response, once its session's commit has been `acknowledged`.
fn commit_outcome<B: Default + 'static>(
    scope: Option<&RequestScope>,
    acknowledged: Result<(), Error>,
    update: &CookieUpdate,
    parts: u8,
    response: Response<B>,
) -> Response<B> {
    // What the disk refuses for now is in memory and valid: a client that did not get its new token would be signed out.
    match acknowledged {
        Ok(()) => with_cookie(scope, update, parts, response),
        Err(error) if error.is_transient() => error_with_cookie(scope, &error, update, parts),
        Err(error) => error_response(scope, &error),
    }
}

/// Returns the error response of a failed commit, with the cookie that is valid nevertheless.
fn error_with_cookie<B: Default + 'static>(
    scope: Option<&RequestScope>,
    error: &Error,
    update: &CookieUpdate,
    parts: u8,
) -> Response<B> {
    with_cookie(scope, update, parts, error_response(scope, error))
}

fn with_cookie<B: Default + 'static>(
    scope: Option<&RequestScope>,
    update: &CookieUpdate,
    parts: u8,
    mut response: Response<B>,
) -> Response<B> {
    if let Some(RequestScope { config, .. }) = scope.filter(|_| !matches!(update, CookieUpdate::Nothing))
        && let Err(error) = config.tell(update, parts, response.headers_mut())
    {
        return error_response(scope, &error);
    }
    #[cfg(feature = "device-bound")]
    if let Some(scope) = scope {
        tell_device(scope, update, response.headers_mut());
    }
    response
}

/// Asks the browser for what the request lacks: a proof, or a key where one is demanded.
#[cfg(feature = "device-bound")]
fn ask_device(scope: &RequestScope, session: &Session, headers: &mut HeaderMap) {
    if scope.demand == Demand::Nothing {
        return;
    }
    let Some((devices, template)) = scope.config.devices() else { return };
    let now_ms = scope.config.store.now_ms();
    match scope.demand {
        Demand::Nothing => {}
        Demand::Ask { session, has_bad_proof } => {
            devices.ask(session, now_ms, headers);
            if has_bad_proof {
                headers.append(header::SET_COOKIE, template.delete());
            }
        }
        Demand::Register => devices.offer(session, now_ms, headers),
        Demand::Prove => {
            headers.append(header::SET_COOKIE, template.delete());
        }
    }
}

/// Offers to bind a session that its client has just got, and takes the short cookie away with the long one.
#[cfg(feature = "device-bound")]
fn tell_device(scope: &RequestScope, update: &CookieUpdate, headers: &mut HeaderMap) {
    let (Some((devices, template)), SessionUse::Loaded(session)) = (scope.config.devices(), &scope.used) else { return };
    match update {
        CookieUpdate::Nothing | CookieUpdate::Token { renewed: true, .. } => {}
        CookieUpdate::Forget => {
            headers.append(header::SET_COOKIE, template.delete());
        }
        CookieUpdate::Token { .. } => devices.offer(session, scope.config.store.now_ms(), headers),
        #[cfg(feature = "sealed")]
        CookieUpdate::Sealed { .. } => devices.offer(session, scope.config.store.now_ms(), headers),
    }
}

fn error_response<B: Default + 'static>(scope: Option<&RequestScope>, error: &Error) -> Response<B> {
    let mut response = if error.is_mistake() {
        body::of_mistake(error)
    } else {
        log::failed_commit(error);
        body::empty(error.status())
    };
    if let Some(scope) = scope {
        scope.config.carrier.append_vary(response.headers_mut());
    }
    forbid_caching(response.headers_mut());
    response
}

impl Error {
    /// The status for a client: 503 for what may work later, 409 for what its user can settle by ending a session or reloading.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::OwnerLimit { .. } | Self::Conflict { .. } | Self::SessionEnded | Self::CookieWithheld => StatusCode::CONFLICT,
            _ if self.is_transient() => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Whether the application must be changed: its code, its set-up, or what it stores. The text then says how.
    pub(super) fn is_mistake(&self) -> bool {
        use sessile_codec::Error as Codec;

        match self {
            Self::NoLayer
            | Self::NoNamedLayer { .. }
            | Self::ReservedKey
            | Self::HeadersSent
            | Self::NestedSave
            | Self::BadOwner { .. }
            | Self::CookieWithheld
            | Self::Config { .. } => true,
            Self::Codec(error) => matches!(
                error,
                Codec::TooDeep { .. }
                    | Codec::ValueTooLarge { .. }
                    | Codec::RecordTooLarge { .. }
                    | Codec::TooManyKeys { .. }
                    | Codec::BadKey { .. }
                    | Codec::WrongLane { .. }
                    | Codec::WrongModel { .. }
                    | Codec::ModelFromFuture { .. }
                    | Codec::NoMigration { .. }
                    | Codec::WrongType { .. }
                    | Codec::Unsupported { .. }
            ),
            _ => false,
        }
    }
}

#[cfg(all(test, feature = "test-util"))]
mod tests {
    use std::{future::Ready, task::Waker};

    use http::header::SET_COOKIE;

    use super::{super::arrived::Arrived, *};
    use crate::{Builder, SessionLayer, error::Cause, keys::KeyRing};

    /// Returns the answer to a request whose commit ended in this result, for a client that is to get a new token.
    fn commit_outcome(result: Result<(), Error>) -> Response<String> {
        let store = Builder::default().open_in_memory().unwrap();
        let (token, deadline_ms) = (KeyRing::generate().unwrap().issue().unwrap(), Some(store.now_ms() + 60_000));
        let config = SessionLayer::new(store).config;
        let update = CookieUpdate::Token { token, deadline_ms, renewed: false };
        let response = Some(Response::new("done".to_owned()));
        let mut future = Box::pin(ResponseFuture::<Ready<Result<_, ()>>, String> {
            scope: Some(RequestScope::new(config, Arrived::default(), SessionUse::Untouched)),
            stage: Stage::Committing { ack: Ack::settled(result), is_vital: true, update, parts: 0, response },
        });
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(response)) => response,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_commit_that_the_disk_refuses_for_now_is_an_error_that_still_tells_the_token() {
        let done = commit_outcome(Ok(()));
        assert_eq!((done.status(), &**done.body(), done.headers().contains_key(SET_COOKIE)), (StatusCode::OK, "done", true));
        let refused = commit_outcome(Err(Error::Degraded { source: Cause::text("no room") }));
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!((&**refused.body(), refused.headers().contains_key(SET_COOKIE)), ("", true));
        assert_eq!(refused.headers()["cache-control"], "no-store");
        let closed = commit_outcome(Err(Error::Closed));
        assert_eq!(closed.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!closed.headers().contains_key(SET_COOKIE), "nothing will ever come of it");
    }
}
