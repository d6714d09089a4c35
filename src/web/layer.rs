//! The layer, and its settings.
//!
//! Invariant: a configuration that browsers would refuse, or that is not safe, is an error before the first request.

use std::{fmt, net::SocketAddr, sync::Arc};

#[cfg(feature = "test-util")]
use http::{HeaderMap, HeaderName, HeaderValue, header};

#[cfg(feature = "test-util")]
use super::arrived::{Arrived, Carried};
#[cfg(feature = "device-bound")]
use super::device::{DeviceBound, Devices};
use super::{
    Binding, Cookie, CookieError, SessionName, Transport, TransportError, config::Config, marker::Marker, transport::Carrier,
};
use crate::Store;
#[cfg(feature = "test-util")]
use crate::{
    Error, Session,
    session::{Ending, Finish},
};

/// A tower layer that provides the handlers within it with a [`Session`](crate::Session) carried by a cookie.
///
/// The cookie is `__Host-id` with `Secure`, `HttpOnly`, `SameSite=Lax` and `Path=/`. A response that used the session has
/// `Vary: Cookie`, and `Cache-Control: private` if the application set no `Cache-Control`. One that sets the cookie always has
/// `Cache-Control: no-store`.
///
/// A handler that does not use its session pays nothing for the layer.
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

impl SessionLayer {
    /// Returns a layer over `store`, with the safe defaults above.
    ///
    /// # Panics
    /// Never: the defaults are a valid cookie.
    ///
    /// # Examples
    /// ```
    /// # use axum::{Router, body::Body, http::{Request, StatusCode, header::SET_COOKIE}, routing::get};
    /// # use sessile::{Session, SessionLayer};
    /// # use tower::ServiceExt;
    /// # let store = sessile::testing::store();
    /// # async fn home(session: Session) -> Result<(), sessile::Error> { session.insert("seen", true) }
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let app = Router::new().route("/", get(home)).layer(SessionLayer::new(store));
    /// # let request = Request::get("/").body(Body::empty()).unwrap();
    /// let answer = app.oneshot(request).await.unwrap();
    /// let cookie = answer.headers()[SET_COOKIE].to_str()?;
    /// assert!(cookie.starts_with("__Host-id=") && cookie.contains("; Secure; HttpOnly; SameSite=Lax"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
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
            #[cfg(feature = "device-bound")]
            devices: None,
            #[cfg(feature = "device-bound")]
            device_cookie: None,
            blueprint,
            loopback_only: false,
            commit_on_server_error: false,
            allow_dropped_values: false,
        };
        Self { config: Arc::new(config) }
    }

    /// Carries the sessions of the name `N`, which handlers extract as [`Named<N>`](crate::Named): beside those of another
    /// layer, with their own cookie. Default: sessions without a name.
    ///
    /// Layers may share a store. A token of sessions without a name, or with another one, leads nowhere here.
    ///
    /// # Panics
    /// Never: an invalid name does not compile.
    ///
    /// # Examples
    /// ```
    /// # use axum::{Router, body::Body, http::{Request, StatusCode, header::SET_COOKIE}, routing::get};
    /// # use sessile::{Session, SessionLayer};
    /// # use tower::ServiceExt;
    /// # let store = sessile::testing::store();
    /// use sessile::{Named, SessionName};
    ///
    /// struct Admin;
    ///
    /// impl SessionName for Admin {
    ///     const NAME: &str = "admin";
    /// }
    /// # async fn home(session: Named<Admin>) -> Result<(), sessile::Error> { session.insert("seen", true) }
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let app = Router::new().route("/", get(home)).layer(SessionLayer::new(store).named::<Admin>());
    /// # let request = Request::get("/").body(Body::empty()).unwrap();
    /// let answer = app.oneshot(request).await.unwrap();
    /// assert!(answer.headers()[SET_COOKIE].to_str()?.starts_with("__Host-admin="));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn named<N: SessionName>(self) -> Self {
        let marker = Marker::of::<N>();
        self.change(|config| {
            config.marker = Some(marker);
            config.name = marker.hash();
            config.rebuild_cookie().expect("the name is fit for a cookie, and the rest was checked before");
        })
    }

    /// Sets what carries the token. Default: [`Transport::Cookie`].
    ///
    /// A token that arrives in any other way is ignored.
    ///
    /// With a header, the response sends a new token in a header too: after the first value was set and after a rotation. The
    /// client keeps it and sends it from then on. An empty one means that the session has ended.
    ///
    /// # Errors
    /// [`TransportError::HeaderTaken`] for a header with another meaning, [`TransportError::HeaderDropped`] for one that
    /// proxies drop.
    ///
    /// # Examples
    /// ```
    /// # use sessile::{SessionLayer, web::Transport};
    /// # let store = sessile::testing::store();
    /// let api = SessionLayer::new(store.clone()).transport(Transport::Bearer)?;
    /// let taken = axum::http::header::COOKIE;
    /// assert!(SessionLayer::new(store).transport(Transport::Header(taken)).is_err());
    /// # Ok::<(), sessile::web::TransportError>(())
    /// ```
    pub fn transport(self, transport: Transport) -> Result<Self, TransportError> {
        let header = Carrier::header(transport)?;
        Ok(self.change(|config| match header {
            Some(header) => config.carrier = header,
            None => config.carrier = Carrier::Cookie(config.template().expect("the cookie was checked when it was set")),
        }))
    }

    /// Allows plain http, for development. Answers 421 to a request whose `Host` is not loopback; the answer's text contains
    /// the host that was found.
    ///
    /// Loopback is `localhost` and every name under it, 127.0.0.0/8, also in a short form such as `127.1`, `[::1]`, and an IPv4
    /// address of loopback that is mapped to IPv6.
    ///
    /// The cookie then has neither `Secure` nor the `__Host-` prefix, which browsers accept over https only. Browsers send the
    /// cookies of `localhost` to every port. So its name ends with a part of the store's id, as in `id-3f9a1c02`, unless
    /// [`Cookie::name`] set one: two applications on one computer do not overwrite each other's session. A store in memory has
    /// another id each time it is opened.
    ///
    /// # Panics
    /// Panics with the rule if the cookie set by [`cookie`](Self::cookie) needs https. To get an error instead, call `cookie`
    /// after this, or use [`plain_http_on`](Self::plain_http_on).
    ///
    /// # Examples
    /// ```
    /// # use axum::{Router, body::Body, http::{Request, StatusCode, header::SET_COOKIE}, routing::get};
    /// # use sessile::{Session, SessionLayer};
    /// # use tower::ServiceExt;
    /// # let store = sessile::testing::store();
    /// # async fn home(session: Session) -> Result<(), sessile::Error> { session.insert("seen", true) }
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let app = Router::new().route("/", get(home)).layer(SessionLayer::new(store).plain_http_on_loopback());
    /// # let request = Request::get("/").header("host", "example.com").body(Body::empty()).unwrap();
    /// let answer = app.oneshot(request).await.unwrap();
    /// assert_eq!(answer.status(), StatusCode::MISDIRECTED_REQUEST, "it is for development alone");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
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

    /// Like [`plain_http_on_loopback`](Self::plain_http_on_loopback), for a server that listens on `address`, which is checked
    /// to be loopback before the first request.
    ///
    /// # Errors
    /// [`CookieError::PlainHttpOnPublicAddress`] for any other address, including `0.0.0.0`; and an error if the cookie needs
    /// https.
    ///
    /// # Examples
    /// ```
    /// # use sessile::{SessionLayer, web::CookieError};
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

    /// Replaces the default cookie.
    ///
    /// # Errors
    /// A [`CookieError`] that names the rule, if browsers would refuse the cookie or it would be unsafe.
    ///
    /// # Examples
    /// ```
    /// # use axum::{Router, body::Body, http::{Request, StatusCode, header::SET_COOKIE}, routing::get};
    /// # use sessile::{Session, SessionLayer};
    /// # use tower::ServiceExt;
    /// # let store = sessile::testing::store();
    /// # async fn home(session: Session) -> Result<(), sessile::Error> { session.insert("seen", true) }
    /// use sessile::Cookie;
    ///
    /// let cookie = Cookie::new().name("visitor");
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let app = Router::new().route("/", get(home)).layer(SessionLayer::new(store).cookie(cookie)?);
    /// # let request = Request::get("/").body(Body::empty()).unwrap();
    /// let answer = app.oneshot(request).await.unwrap();
    /// assert!(answer.headers()[SET_COOKIE].to_str()?.starts_with("__Host-visitor="));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    #[doc(alias = "with_name")]
    #[doc(alias = "with_same_site")]
    pub fn cookie(self, cookie: Cookie) -> Result<Self, CookieError> {
        let mut config = (*self.config).clone();
        config.blueprint = if config.loopback_only { cookie.plain_http() } else { cookie };
        config.rebuild_cookie()?;
        Ok(Self { config: Arc::new(config) })
    }

    /// Detects changes of a session's client. Default: off.
    ///
    /// # Examples
    /// ```
    /// # use axum::{Router, body::Body, http::{Request, StatusCode, header::SET_COOKIE}, routing::get};
    /// # use sessile::{Session, SessionLayer};
    /// # use tower::ServiceExt;
    /// # let store = sessile::testing::store();
    /// # async fn home(session: Session) -> Result<(), sessile::Error> { session.insert("seen", true) }
    /// use sessile::web::Binding;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let app = Router::new().route("/", get(home)).layer(SessionLayer::new(store).binding(Binding::new().user_agent()));
    /// # let request = Request::get("/").body(Body::empty()).unwrap();
    /// let answer = app.oneshot(request).await.unwrap();
    /// assert_eq!(answer.status(), StatusCode::OK);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn binding(self, binding: Binding) -> Self {
        self.change(|config| config.binding = Some(binding))
    }

    /// Binds sessions to the device of their browser: a cookie that was copied to another machine is worth minutes, and then
    /// nothing. Off by default.
    ///
    /// At [`Session::sign_in`](crate::Session::sign_in) the browser is asked to make a key pair in the device's secure hardware. From
    /// then on it proves every few minutes that it has the key, by itself, and gets a second, short cookie for it. The layer answers
    /// those requests: the application needs no handler. Browsers that do not support this stay as they are. So do layers that use a
    /// header in place of a cookie. The layer's answers have a text, which browsers need, if the application's body is that of axum, a
    /// `String` or a `Vec<u8>`.
    ///
    /// A request with the cookie of a bound session and without a fresh proof sees a session without values and without an owner:
    /// [`Session::device`](crate::Session::device) is then [`Device::Unproved`](crate::device::Device).
    ///
    /// # Examples
    /// ```
    /// use sessile::{SessionLayer, device::DeviceBound};
    ///
    /// # let store = sessile::testing::store();
    /// let sessions = SessionLayer::new(store).device_bound(DeviceBound::new());
    /// # use axum::{Router, body::Body, http::Request, routing::post};
    /// # use sessile::{Error, Session};
    /// # use tower::ServiceExt;
    /// let sign_in = post(async |session: Session| session.sign_in("ada"));
    /// let app = Router::new().route("/sign-in", sign_in).layer(sessions);
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let request = Request::post("/sign-in").body(Body::empty()).unwrap();
    /// let answer = app.oneshot(request).await.unwrap();
    /// assert!(answer.headers().contains_key("secure-session-registration"));
    /// # });
    /// ```
    #[cfg(feature = "device-bound")]
    #[cfg_attr(docsrs, doc(cfg(feature = "device-bound")))]
    pub fn device_bound(self, settings: DeviceBound) -> Self {
        self.change(|config| {
            config.devices = Some(Arc::new(Devices::new(settings)));
            config.device_cookie = Some(config.template().expect("the cookie was checked when it was set").of_device());
        })
    }

    /// Sends a response unchanged if the values that its request set were dropped because the session had ended meanwhile: for
    /// example, its visitor signed out in another tab. By default that is a 409, because the page claims to have stored values
    /// that are lost.
    ///
    /// A request that set no value, or only [quick](Session::insert_quick) ones, is always answered.
    ///
    /// # Examples
    /// ```
    /// # use axum::{Router, body::Body, http::{Request, StatusCode, header::SET_COOKIE}, routing::get};
    /// # use sessile::{Session, SessionLayer};
    /// # use tower::ServiceExt;
    /// # let store = sessile::testing::store();
    /// # async fn home(session: Session) -> Result<(), sessile::Error> { session.insert("seen", true) }
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let app = Router::new().route("/", get(home)).layer(SessionLayer::new(store).allow_dropped_values());
    /// # let request = Request::get("/").body(Body::empty()).unwrap();
    /// let answer = app.oneshot(request).await.unwrap();
    /// assert_eq!(answer.status(), StatusCode::OK);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn allow_dropped_values(self) -> Self {
        self.change(|config| config.allow_dropped_values = true)
    }

    /// Commits even when the response is a server error (5xx). By default that drops the changes: the handler failed halfway.
    /// The end of a session, by [`sign_out`](Session::sign_out) or [`destroy`](Session::destroy), is always committed.
    ///
    /// # Examples
    /// ```
    /// # use axum::{Router, body::Body, http::{Request, StatusCode, header::SET_COOKIE}, routing::get};
    /// # use sessile::{Session, SessionLayer};
    /// # use tower::ServiceExt;
    /// # let store = sessile::testing::store();
    /// async fn failing(session: Session) -> Result<StatusCode, sessile::Error> {
    ///     session.insert("tries", 1)?;
    ///     Ok(StatusCode::INTERNAL_SERVER_ERROR)
    /// }
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let app = Router::new().route("/", get(failing)).layer(SessionLayer::new(store).commit_on_server_error());
    /// # let request = Request::get("/").body(Body::empty()).unwrap();
    /// let answer = app.oneshot(request).await.unwrap();
    /// assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    /// assert!(answer.headers().contains_key(SET_COOKIE), "the value is stored all the same");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn commit_on_server_error(self) -> Self {
        self.change(|config| config.commit_on_server_error = true)
    }

    /// Returns a session as a request without one would get.
    #[cfg(feature = "test-util")]
    pub(crate) fn new_session(&self) -> Session {
        Session::new(&self.config.store, self.config.kind(&Arrived::default(), &Carried::None))
    }

    /// Returns the header with which a request presents the session, which was saved.
    #[cfg(feature = "test-util")]
    pub(crate) fn presents(&self, session: &Session) -> Result<(HeaderName, HeaderValue), Error> {
        if let Some(token) = session.token() {
            return Ok(self.config.carrier.presents(&token));
        }
        let mut headers = HeaderMap::new();
        if let Some(Finish { ticket, update, parts, .. }) =
            session.finish(Ending { commits: true, allows_dropped_values: false })
        {
            ticket?;
            self.config.tell(&update, parts, &mut headers)?;
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

impl fmt::Debug for SessionLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.config.marker.map(|marker| marker.name);
        f.debug_struct("SessionLayer").field("name", &name).field("carrier", &self.config.carrier).finish_non_exhaustive()
    }
}
