//! The layer: what it is set to, and the session that it finds for a request.
//!
//! Invariants: a configuration that browsers would refuse, or that is not safe, is an error before the first request; what the client is
//! told is written in [`Carrier::tell`] alone.

use std::{
    fmt,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderMap, Request, Response};
#[cfg(feature = "test-util")]
use http::{HeaderName, HeaderValue, header};
use tower_layer::Layer;
use tower_service::Service;

#[cfg(feature = "sealed")]
use super::sealed::Sealer;
use super::{
    Binding, Cookie, CookieError, SessionName, Transport, TransportError,
    answer::ResponseFuture,
    arrived::{Arrived, Carried},
    cookie::{CookieTemplate, development_name},
    loopback,
    named::Marker,
    scope::{self, Scope, SessionUse},
    transport::Carrier,
};
#[cfg(feature = "test-util")]
use crate::session::{Ending, Finish};
use crate::{
    Error, Session, Store, event,
    session::{CookieUpdate, SessionKind},
    token::NameHash,
};

/// A tower layer that gives the handlers within it a [`Session`](crate::Session) carried by a cookie.
///
/// The cookie is `__Host-id` with `Secure`, `HttpOnly`, `SameSite=Lax` and `Path=/`. A response that used the session has
/// `Vary: Cookie`, and `Cache-Control: private` if the application set no `Cache-Control`; one that sets the cookie has
/// `Cache-Control: no-store` in any case.
///
/// A handler that does not ask for its session pays nothing for the layer.
///
/// # Examples
/// ```
/// # use axum::{Router, routing::get};
/// # use sessile::{Session, SessionLayer};
/// # let store = sessile::testing::store();
/// async fn count(session: Session) -> Result<String, sessile::Error> {
///     let visits = session.update("visits", |n: Option<u32>| n.unwrap_or(0) + 1)?;
///     Ok(format!("visit {visits}"))
/// }
/// let app: Router = Router::new().route("/", get(count)).layer(SessionLayer::new(store));
/// ```
#[derive(Clone)]
#[must_use = "a layer does nothing until it is put around a service"]
pub struct SessionLayer {
    pub(super) config: Arc<Config>,
}

/// What all requests share.
#[derive(Clone)]
pub(super) struct Config {
    pub(super) store: Store,
    pub(super) carrier: Carrier,
    pub(super) marker: Option<Marker>,
    #[cfg(feature = "sealed")]
    pub(super) sealer: Option<Sealer>,
    #[cfg(feature = "sealed")]
    pub(super) sealed_limit_bytes: usize,
    pub(super) name: NameHash,
    binding: Option<Binding>,
    blueprint: Cookie,
    loopback_only: bool,
    pub(super) commit_on_server_error: bool,
    pub(super) allow_dropped_values: bool,
}

impl SessionLayer {
    /// A layer over `store`, with the safe defaults above.
    ///
    /// # Panics
    /// Never: the defaults are a valid cookie.
    pub fn new(store: Store) -> Self {
        let blueprint = Cookie::new();
        let carrier = Carrier::Cookie(blueprint.build().expect("the default cookie is valid"));
        let (marker, name, binding) = (None, 0, None);
        let config = Config {
            store,
            carrier,
            marker,
            #[cfg(feature = "sealed")]
            sealer: None,
            #[cfg(feature = "sealed")]
            sealed_limit_bytes: super::sealed::LIMIT_BYTES,
            name,
            binding,
            blueprint,
            loopback_only: false,
            commit_on_server_error: false,
            allow_dropped_values: false,
        };
        Self { config: Arc::new(config) }
    }

    /// Carries the sessions of the name `N`, which handlers ask for as [`Named<N>`](crate::Named): beside those of another
    /// layer, with a cookie of their own. Default: sessions without a name.
    ///
    /// Layers may share a store. A token of sessions without a name, or of another, leads nowhere here.
    ///
    /// # Panics
    /// Never: a name that is fit for no cookie does not compile.
    pub fn named<N: SessionName>(self) -> Self {
        let marker = Marker::of::<N>();
        self.change(|config| {
            config.marker = Some(marker);
            config.name = marker.hash();
            config.rebuild_cookie().expect("the name is fit for a cookie, and the rest was checked before");
        })
    }

    /// What carries the token. Default: [`Transport::Cookie`].
    ///
    /// A token that arrives in any other way is not looked at.
    ///
    /// With a header, the response tells a new token in a header too: after the first value was set and after a rotation. The
    /// client keeps it and sends it from then on; an empty one says that the session has ended.
    ///
    /// # Errors
    /// [`TransportError::HeaderTaken`] for a header that means something else, [`TransportError::HeaderDropped`] for one that proxies drop.
    ///
    /// # Examples
    /// ```
    /// # use sessile::{SessionLayer, Transport};
    /// # let store = sessile::testing::store();
    /// let api = SessionLayer::new(store).transport(Transport::Bearer)?;
    /// # Ok::<(), sessile::TransportError>(())
    /// ```
    pub fn transport(self, transport: Transport) -> Result<Self, TransportError> {
        let header = Carrier::header(transport)?;
        Ok(self.change(|config| match header {
            Some(header) => config.carrier = header,
            None => config.carrier = Carrier::Cookie(config.template().expect("the cookie was checked when it was set")),
        }))
    }

    /// For development: works over plain http, and answers 421 to a request whose `Host` is not loopback. The answer's text says which
    /// host was found.
    ///
    /// Loopback is `localhost` and every name under it, 127.0.0.0/8, also in a short form such as `127.1`, `[::1]`, and an IPv4 address of
    /// loopback that is mapped to IPv6.
    ///
    /// The cookie then has neither `Secure` nor the `__Host-` prefix, which browsers take over https only. Browsers send the cookies of
    /// `localhost` to every port, so its name ends with a part of the store's id, as in `id-3f9a1c02`, unless [`Cookie::name`] set one: two
    /// applications on one computer do not overwrite each other's session. A store in memory has another id each time it is opened.
    ///
    /// # Panics
    /// With the rule, if the cookie set by [`cookie`](Self::cookie) needs https; set it after this, or use
    /// [`plain_http_on`](Self::plain_http_on), to get an error instead.
    #[doc(alias = "with_secure")]
    pub fn plain_http_on_loopback(self) -> Self {
        self.change(|config| {
            config.loopback_only = true;
            config.blueprint = config.blueprint.clone().plain_http();
            if let Err(rule) = config.rebuild_cookie() {
                panic!("{rule}");
            }
        })
    }

    /// As [`plain_http_on_loopback`](Self::plain_http_on_loopback), for a server that listens on `address`, which is then known
    /// to be one of loopback before the first request.
    ///
    /// # Errors
    /// [`CookieError::PlainHttpOnPublicAddress`] for any other address, `0.0.0.0` included; and if the cookie needs https.
    ///
    /// # Examples
    /// ```
    /// # use sessile::{CookieError, SessionLayer};
    /// # let store = sessile::testing::store();
    /// let layer = SessionLayer::new(store.clone()).plain_http_on(([127, 0, 0, 1], 3000).into())?;
    /// assert!(SessionLayer::new(store).plain_http_on(([0, 0, 0, 0], 3000).into()).is_err());
    /// # Ok::<(), CookieError>(())
    /// ```
    pub fn plain_http_on(self, address: SocketAddr) -> Result<Self, CookieError> {
        if !address.ip().to_canonical().is_loopback() {
            return Err(CookieError::PlainHttpOnPublicAddress { found: address });
        }
        let mut config = (*self.config).clone();
        config.loopback_only = true;
        config.blueprint = config.blueprint.plain_http();
        config.rebuild_cookie()?;
        Ok(Self { config: Arc::new(config) })
    }

    /// Another cookie than the default one.
    ///
    /// # Errors
    /// A [`CookieError`] that names the rule, if browsers would refuse the cookie or it would be unsafe.
    #[doc(alias = "with_name")]
    #[doc(alias = "with_same_site")]
    pub fn cookie(self, cookie: Cookie) -> Result<Self, CookieError> {
        let mut config = (*self.config).clone();
        config.blueprint = if config.loopback_only { cookie.plain_http() } else { cookie };
        config.rebuild_cookie()?;
        Ok(Self { config: Arc::new(config) })
    }

    /// Notices when a session's client changes. Default: not.
    pub fn binding(self, binding: Binding) -> Self {
        self.change(|config| config.binding = Some(binding))
    }

    /// Sends a response as it is when the values that its request set were dropped, because the session had ended meanwhile: its visitor
    /// signed out in another tab, say. By default that is a 409, because the page says that it has stored what is nowhere.
    ///
    /// A request that set no value, or only [quick](Session::insert_quick) ones, is answered in any case.
    pub fn allow_dropped_values(self) -> Self {
        self.change(|config| config.allow_dropped_values = true)
    }

    /// Commits also when the response is a server error (5xx). By default that drops the changes: the handler failed halfway. The end of a
    /// session, by [`sign_out`](Session::sign_out) or [`destroy`](Session::destroy), is committed in any case.
    pub fn commit_on_server_error(self) -> Self {
        self.change(|config| config.commit_on_server_error = true)
    }

    /// A session such as a request without one would get.
    #[cfg(feature = "test-util")]
    pub(crate) fn new_session(&self) -> Session {
        Session::new(&self.config.store, self.config.kind(&Arrived::default(), &Carried::None))
    }

    /// The header by which a request presents the session, which was saved.
    #[cfg(feature = "test-util")]
    pub(crate) fn presents(&self, session: &Session) -> Result<(HeaderName, HeaderValue), Error> {
        if let Some(token) = session.token() {
            return Ok(self.config.carrier.presents(&token));
        }
        let mut headers = HeaderMap::new();
        if let Some(Finish { ticket, told, parts, .. }) = session.finish(Ending { commits: true, allows_dropped_values: false })
        {
            ticket?;
            self.config.tell(&told, parts, &mut headers)?;
        }
        let set = headers.get_all(header::SET_COOKIE).iter().filter_map(|cookie| cookie.to_str().ok()?.split(';').next());
        let value = HeaderValue::try_from(set.collect::<Vec<_>>().join("; "));
        Ok((header::COOKIE, value.expect("what may be in `Set-Cookie` may be in `Cookie`")))
    }

    pub(super) fn change(mut self, with: impl FnOnce(&mut Config)) -> Self {
        with(Arc::make_mut(&mut self.config));
        self
    }
}

impl Config {
    /// The session that a handler asks for by `headers`, and whether it is the one of the request that `arrived`.
    pub(super) fn load(&self, arrived: &Arrived, headers: &HeaderMap) -> Result<(Session, bool), Error> {
        let carried = Carried::of(headers, self.carrier.asks());
        let kind = self.kind(arrived, &carried);
        let mut is_own = true;
        // Asked only if no session was found, which is seldom.
        let is_withheld = || {
            let is_presented = self.carrier.is_presented(&carried);
            is_own = is_presented || arrived.has(&carried);
            !is_own || !is_presented && self.may_withhold(arrived, headers)
        };
        let session = self.load_presented(kind, &carried, is_withheld)?;
        let session = match &self.binding {
            Some(binding) if !binding.check(&session) => Session::new(&self.store, kind),
            _ => session,
        };
        Ok((session, is_own))
    }

    fn load_presented(
        &self,
        kind: SessionKind,
        carried: &Carried<'_>,
        is_withheld: impl FnOnce() -> bool,
    ) -> Result<Session, Error> {
        #[cfg(feature = "sealed")]
        if self.sealer.is_some() {
            let sealed = self.sealed_sessions(carried);
            return self.carrier.tokens(carried, |tokens| Session::load_among(&self.store, kind, sealed, tokens, is_withheld));
        }
        self.carrier.tokens(carried, |tokens| Session::load(&self.store, kind, tokens, is_withheld))
    }

    /// Whether the browser may have withheld the cookie.
    fn may_withhold(&self, arrived: &Arrived, headers: &HeaderMap) -> bool {
        matches!(self.carrier, Carrier::Cookie(_)) && arrived.may_withhold(self.blueprint.wanted_same_site(), headers)
    }

    #[cfg_attr(not(feature = "sealed"), expect(unused_variables, reason = "only parts of sealed sessions are looked for"))]
    fn kind(&self, arrived: &Arrived, carried: &Carried<'_>) -> SessionKind {
        let (name, ends_with_browser) = (self.name, self.carrier.ends_with_browser());
        #[cfg(feature = "sealed")]
        let (parts, seal_bytes) = self.sealing(carried);
        #[cfg(not(feature = "sealed"))]
        let parts = 0;
        SessionKind {
            name,
            ends_with_browser,
            client: arrived.client(),
            #[cfg(feature = "sealed")]
            seal_bytes,
            parts,
        }
    }

    /// Whether both layers give a request the same session.
    pub(super) fn serves_same(&self, other: &Self) -> bool {
        self.store.is_same(&other.store)
            && Marker::same(self.marker.as_ref(), other.marker.as_ref())
            && self.carrier.reads_same(&other.carrier)
    }

    /// Writes what the client must be told; `parts` says which cookies behind the first it has.
    #[cfg_attr(not(feature = "sealed"), expect(clippy::unnecessary_wraps, reason = "to seal can fail"))]
    pub(super) fn tell(&self, told: &CookieUpdate, parts: u8, headers: &mut HeaderMap) -> Result<(), Error> {
        #[cfg(feature = "sealed")]
        if let (Some(sealer), Carrier::Cookie(_)) = (&self.sealer, &self.carrier) {
            return sealer.tell(&self.carrier, told, parts, self.store.now_ms(), headers);
        }
        let _ = parts;
        self.carrier.tell(told, self.store.now_ms(), headers);
        Ok(())
    }

    /// The cookie as it is set, under the name that it goes by.
    pub(super) fn template(&self) -> Result<CookieTemplate, CookieError> {
        let name = self.marker.map(|marker| marker.name);
        match (name, self.loopback_only) {
            (None, false) => self.blueprint.build(),
            (Some(name), false) => self.blueprint.clone().or_named(name).build(),
            (name, true) => self.blueprint.clone().or_named(&development_name(name, self.store.id())).build(),
        }
    }

    /// Checks the cookie again after a change, also if another carrier is in use now.
    fn rebuild_cookie(&mut self) -> Result<(), CookieError> {
        let template = self.template()?;
        #[cfg(feature = "sealed")]
        if let Some(sealer) = &mut self.sealer {
            sealer.adapt(&template, self.name);
        }
        if let Carrier::Cookie(current) = &mut self.carrier {
            *current = template;
        }
        Ok(())
    }
}

impl fmt::Debug for SessionLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.config.marker.map(|marker| marker.name);
        f.debug_struct("SessionLayer").field("name", &name).field("carrier", &self.config.carrier).finish_non_exhaustive()
    }
}

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
            event::mistake("plain_http_on_loopback", &why);
            return ResponseFuture::misdirected(why);
        }
        let arrived = Arrived::of(&request, &self.config.carrier, self.config.binding.as_ref());
        let mut scope = Some(Scope { config: self.config.clone(), arrived, used: SessionUse::Untouched });
        let entered = scope::open(&mut scope);
        let inner = self.inner.call(request);
        drop(entered);
        ResponseFuture::running(scope, inner)
    }
}
