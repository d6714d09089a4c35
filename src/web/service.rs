//! The service that a layer puts around an application.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::{
    SessionLayer,
    answer::ResponseFuture,
    arrived::Arrived,
    config::Config,
    loopback,
    request_scope::{self, RequestScope, SessionUse},
};
use crate::log;

impl<S> Layer<S> for SessionLayer {
    type Service = SessionService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SessionService { inner, config: self.config.clone() }
    }
}

/// A service with a [`SessionLayer`] around it.
#[derive(Clone)]
pub struct SessionService<S> {
    inner: S,
    config: Arc<Config>,
}

impl<S: fmt::Debug> fmt::Debug for SessionService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionService").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for SessionService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: Default + 'static,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, ResBody>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        if self.config.loopback_only
            && let Some(why) = loopback::refusal(request.uri(), request.headers())
        {
            log::mistake("plain_http_on_loopback", &why);
            return ResponseFuture::misdirected(why);
        }
        let arrived = Arrived::of(&request, &self.config.carrier, self.config.binding.as_ref());
        #[cfg(feature = "device-bound")]
        if let Some((devices, template)) = self.config.devices()
            && let Some(endpoint) = devices.endpoint(request.method(), request.uri().path())
        {
            let (session, response) = devices.answer(endpoint, &self.config, template, &arrived, request.headers());
            let used = session.map_or(SessionUse::Untouched, SessionUse::Loaded);
            return ResponseFuture::answered(RequestScope::new(self.config.clone(), arrived, used), response);
        }
        let mut scope = Some(RequestScope::new(self.config.clone(), arrived, SessionUse::Untouched));
        let entered = request_scope::open(&mut scope);
        let inner = self.inner.call(request);
        drop(entered);
        ResponseFuture::running(scope, inner)
    }
}
