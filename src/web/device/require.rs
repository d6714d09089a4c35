//! A layer that lets only requests through whose session is bound to a device.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response, StatusCode};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    Error, Session,
    session::Device,
    web::{body, request_scope},
};

/// Demands that the session of a request is bound to the device of its browser. Put it around routes, within a
/// [`SessionLayer`](crate::SessionLayer) that is [`device_bound`](crate::SessionLayer::device_bound).
///
/// Other requests are answered by 403. That answer asks the browser to register a key if a user is signed in, and for a proof if the
/// session is bound; a browser that supports it does so, and the visitor repeats the request.
///
/// # Examples
/// ```
/// # use axum::{Router, body::Body, http::{Request, StatusCode}, routing::post};
/// use sessile::{SessionLayer, device::{DeviceBound, RequireDevice}};
/// # use tower::ServiceExt;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let store = sessile::testing::store();
/// let pay = Router::new().route("/pay", post(async || "paid")).layer(RequireDevice::new());
/// let app = pay.layer(SessionLayer::new(store).device_bound(DeviceBound::new()));
/// # let request = Request::post("/pay").body(Body::empty()).unwrap();
/// assert_eq!(app.oneshot(request).await.unwrap().status(), StatusCode::FORBIDDEN);
/// # });
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "a layer does nothing until it is put around a service"]
pub struct RequireDevice {
    fresh: Option<Duration>,
}

impl RequireDevice {
    /// Demands a bound session.
    pub fn new() -> Self {
        Self::default()
    }

    /// Demands a proof that is not older than `within`, too: for a payment or a change of the password. An older one is answered by
    /// 403 and without the short cookie, so that the browser proves before its next request.
    pub fn fresh(self, within: Duration) -> Self {
        Self { fresh: Some(within) }
    }

    /// Returns why the session may not pass.
    fn refusal(self, session: &Session) -> Option<&'static str> {
        match session.device() {
            Device::Unbound => {
                request_scope::offer_device();
                Some("this needs a session that is bound to its device: sign in with a browser that supports it, and try again")
            }
            Device::Unproved => Some("this needs a proof of the session's device: the browser gives one, then try again"),
            Device::Bound => {
                let age = session.proof_age();
                let is_fresh = self.fresh.is_none_or(|within| age.is_some_and(|age| age <= within));
                if is_fresh {
                    return None;
                }
                request_scope::renew_proof();
                Some("this needs a new proof of the session's device: the browser gives one, then try again")
            }
        }
    }
}

impl<S> Layer<S> for RequireDevice {
    type Service = RequireDeviceService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequireDeviceService { inner, require: *self }
    }
}

/// A service with [`RequireDevice`] around it.
#[derive(Clone, Debug)]
pub struct RequireDeviceService<S> {
    inner: S,
    require: RequireDevice,
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for RequireDeviceService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: Default + 'static,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = RequireDeviceFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let verdict = match Session::of_request(request.headers()) {
            Ok(session) => match self.require.refusal(&session) {
                None => Verdict::Passed { inner: self.inner.call(request) },
                Some(why) => Verdict::Refused { why },
            },
            Err(error) => Verdict::Failed { error: Some(error) },
        };
        RequireDeviceFuture { verdict }
    }
}

pin_project! {
    /// The answer of a [`RequireDeviceService`].
    pub struct RequireDeviceFuture<F> {
        #[pin]
        verdict: Verdict<F>,
    }
}

pin_project! {
    #[project = VerdictProjection]
    enum Verdict<F> {
        Passed { #[pin] inner: F },
        Refused { why: &'static str },
        Failed { error: Option<Error> },
    }
}

impl<F> fmt::Debug for RequireDeviceFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireDeviceFuture").finish_non_exhaustive()
    }
}

impl<F, B, E> Future for RequireDeviceFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Default + 'static,
{
    type Output = Result<Response<B>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().verdict.project() {
            VerdictProjection::Passed { inner } => inner.poll(context),
            VerdictProjection::Refused { why } => Poll::Ready(Ok(body::with_text(StatusCode::FORBIDDEN, (*why).to_owned()))),
            VerdictProjection::Failed { error } => {
                let error = error.take().expect("a future is not polled after it was ready");
                let response = if error.is_mistake() { body::of_mistake(&error) } else { body::empty(error.status()) };
                Poll::Ready(Ok(response))
            }
        }
    }
}
