//! Refuses requests that change something and that another site made the visitor's browser send.
//!
//! Facts: a browser adds the cookie to requests that other sites make. It reports the origin of a request in `Sec-Fetch-Site`
//! (all browsers since 2023) and `Origin` (on every request that is not safe, since 2020). A page cannot forge either. So no
//! token is needed (Fetch Metadata, W3C; the same rule as in Go's `http.CrossOriginProtection`). `SameSite` cookies alone are
//! not enough: every host of the same registrable domain counts as the same site.
//!
//! Invariants: an unclear request is refused. A safe method always passes, so it must change nothing. A WebSocket's handshake
//! does not count as safe, because it opens a channel that changes things.

use std::{
    error, fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    authority::{Authority, Host},
    body::{self, shown},
};
use crate::log;

/// A tower layer that answers 403 to requests from other sites, unless their method is safe (GET, HEAD, OPTIONS, TRACE).
///
/// The 403 has a text with what was compared and what to do, if the body is axum's, a `String` or a `Vec<u8>`. So does the
/// event, with the feature `tracing`.
///
/// A request that is not safe, or that opens a WebSocket, passes if one of these holds:
/// 1. its `Origin` is [the application's own](Self::for_origin), or [trusted](Self::trust);
/// 2. `Sec-Fetch-Site` is `same-origin`, or `none` for an action of the visitor;
/// 3. it has no `Sec-Fetch-Site`, [`for_origin`](Self::for_origin) was not called, and its `Origin` has the host and the port
///    of `Host`. A missing port is the default of the origin's scheme.
///
/// A request with neither header was not made by a current browser. It is refused unless
/// [`allow_without_origin`](Self::allow_without_origin) was called.
///
/// # Behind a proxy
/// Many proxies replace `Host`: nginx sends the address of its upstream unless it is configured otherwise. Requests without
/// `Sec-Fetch-Site` then match nothing and are refused: WebSockets of Chromium, all requests of browsers from before 2023, and
/// all requests over plain http. So pass the application's public origin to [`for_origin`](Self::for_origin).
///
/// Put it around the same routes as the [`SessionLayer`](crate::SessionLayer), inside or outside of it. Handlers of safe
/// methods must change nothing. Sessions that a header carries need no such layer: no browser sends that by itself.
///
/// # Examples
/// ```
/// # use axum::{Router, routing::post};
/// # use sessile::{CsrfLayer, SessionLayer};
/// # let store = sessile::testing::store();
/// let csrf = CsrfLayer::new().for_origin("https://app.example.com")?.trust("https://pay.example.com")?;
/// let app: Router = Router::new()
///     .route("/transfer", post(async || "done"))
///     .layer(csrf)
///     .layer(SessionLayer::new(store));
/// # Ok::<(), sessile::web::CsrfError>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a layer does nothing until it is put around a service"]
pub struct CsrfLayer {
    config: Arc<Config>,
}

#[derive(Clone, Debug, Default)]
struct Config {
    own: Vec<Origin>,
    trusted: Vec<Origin>,
    allow_without_origin: bool,
}

impl CsrfLayer {
    /// Returns a layer that accepts requests of the application itself, and no others.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an origin under which browsers know the application, such as `https://app.example.com`: scheme, host, and a port if
    /// it is not the scheme's default. Call it once for each. Default: none.
    ///
    /// `Origin` is then compared with these, and `Host` is ignored. Use it behind a proxy that changes `Host`. It is also
    /// stricter: a page of the same host over plain http is another origin.
    ///
    /// # Errors
    /// [`CsrfError::NotAnOrigin`] for anything else: a path, a wildcard, or `null`, which any page can send.
    ///
    /// # Examples
    /// ```
    /// # use sessile::CsrfLayer;
    /// let layer = CsrfLayer::new().for_origin("https://app.example.com")?.for_origin("https://www.example.com")?;
    /// assert!(CsrfLayer::new().for_origin("app.example.com").is_err());
    /// # Ok::<(), sessile::web::CsrfError>(())
    /// ```
    pub fn for_origin(mut self, origin: &str) -> Result<Self, CsrfError> {
        let origin = Origin::named(origin)?;
        Arc::make_mut(&mut self.config).own.push(origin);
        Ok(self)
    }

    /// Accepts requests from pages of another origin, such as `https://pay.example.com`: scheme, host, and a port if it is not
    /// the scheme's default. Default: none. For the application's own origin, use [`for_origin`](Self::for_origin).
    ///
    /// # Errors
    /// [`CsrfError::NotAnOrigin`] for anything else: a path, a wildcard, or `null`, which any page can send.
    pub fn trust(mut self, origin: &str) -> Result<Self, CsrfError> {
        let origin = Origin::named(origin)?;
        Arc::make_mut(&mut self.config).trusted.push(origin);
        Ok(self)
    }

    /// Accepts requests that have neither `Origin` nor `Sec-Fetch-Site`: for clients that are not browsers. Default: they are
    /// refused.
    pub fn allow_without_origin(mut self) -> Self {
        Arc::make_mut(&mut self.config).allow_without_origin = true;
        self
    }
}

/// Why a [`CsrfLayer`] would not work as intended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CsrfError {
    /// The text is not an origin.
    NotAnOrigin {
        /// The text.
        found: String,
    },
}

impl fmt::Display for CsrfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::NotAnOrigin { found } = self;
        write!(
            f,
            "the origin is {found:?}, an origin is a scheme and a host, as in `https://example.com` (RFC 6454); leave out \
             path, user and wildcards"
        )
    }
}

impl error::Error for CsrfError {}

/// A scheme, a host and a port, in the spelling of browsers.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: Host,
    /// The scheme's default if the origin has no port.
    port: Option<u16>,
}

impl Origin {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        let scheme = scheme.to_ascii_lowercase();
        let Authority { host, port } = Authority::parse(authority)?;
        let port = port.or(own_port(&scheme));
        is_scheme.then_some(Self { scheme, host, port })
    }

    fn named(text: &str) -> Result<Self, CsrfError> {
        Self::parse(text).ok_or_else(|| CsrfError::NotAnOrigin { found: text.to_owned() })
    }

    /// Whether every host that the request names for its server is this one. The scheme cannot be compared: behind a proxy that
    /// ends TLS, the original one is not known.
    fn is_asked(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let is_this = |asked: &Authority| asked.host == self.host && asked.port.or(own_port(&self.scheme)) == self.port;
        Authority::all_of(uri, headers).is_some_and(|asked| asked.iter().all(is_this))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        match self.port.filter(|_| self.port != own_port(&self.scheme)) {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// Returns the port that a URL of the scheme leaves out.
fn own_port(scheme: &str) -> Option<u16> {
    match scheme {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    }
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

impl Config {
    /// Returns in `Err` why the request is refused, and what to do if it should not be.
    fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), String> {
        if method.is_safe() && !opens_websocket(headers) {
            return Ok(());
        }
        let (origin, site) = (single(headers, &header::ORIGIN)?, single(headers, &SEC_FETCH_SITE)?);
        let known = origin.and_then(|origin| Origin::parse(origin.to_str().ok()?));
        if known.as_ref().is_some_and(|known| self.own.contains(known) || self.trusted.contains(known)) {
            return Ok(());
        }
        let is_own = match (site, origin) {
            (Some(site), _) => site == "same-origin" || site == "none",
            (None, Some(_)) => self.own.is_empty() && known.is_some_and(|known| known.is_asked(uri, headers)),
            (None, None) => self.allow_without_origin,
        };
        if is_own { Ok(()) } else { Err(self.refusal(origin, site, uri, headers)) }
    }

    /// Returns what was compared with what, and what to do.
    fn refusal(&self, origin: Option<&HeaderValue>, site: Option<&HeaderValue>, uri: &Uri, headers: &HeaderMap) -> String {
        const OTHER_SITE: &str = "the request was made by another site";
        let site = site.map(|site| shown(site.as_bytes()));
        let (origin, expected) = match (origin, site) {
            (None, None) => {
                return "the request has neither `Origin` nor `Sec-Fetch-Site`, which browsers of the last years send; for clients that are no \
                        browsers, call `CsrfLayer::allow_without_origin`"
                    .to_owned();
            }
            (None, Some(site)) => {
                return format!(
                    "{OTHER_SITE}: its `Sec-Fetch-Site` is {site}, `same-origin` or `none` was expected; without an `Origin` it cannot be trusted"
                );
            }
            (Some(origin), _) if !self.own.is_empty() => (origin, self.own_origins()),
            (Some(origin), Some(site)) => {
                (origin, format!("its `Sec-Fetch-Site` {site}, `same-origin` or `none` was expected"))
            }
            (Some(origin), None) => (origin, hosts_of(uri, headers)),
        };
        let remedy = if origin == "null" {
            "`null` is the origin of sandboxed frames and of pages with `Referrer-Policy: no-referrer`, give the page another policy"
        } else {
            "if that origin is the application's own, as behind a proxy that changes `Host`, call `CsrfLayer::for_origin` with it; if another \
             application may make such requests, call `CsrfLayer::trust`"
        };
        format!("{OTHER_SITE}: its `Origin` is {}, {expected}; {remedy}", shown(origin.as_bytes()))
    }

    fn own_origins(&self) -> String {
        let own: Vec<_> = self.own.iter().map(|own| format!("`{own}`")).collect();
        format!("{} was expected", own.join(" or "))
    }
}

/// The hosts that an origin is compared with.
fn hosts_of(uri: &Uri, headers: &HeaderMap) -> String {
    let hosts: Vec<_> = Authority::texts_of(uri, headers).map(shown).collect();
    match hosts.as_slice() {
        [] => "the request has no `Host`".to_owned(),
        hosts => format!("its `Host` {}", hosts.join(" and ")),
    }
}

fn opens_websocket(headers: &HeaderMap) -> bool {
    let mut protocols = headers.get_all(header::UPGRADE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    protocols.any(|protocol| protocol.trim_ascii().eq_ignore_ascii_case(b"websocket"))
}

/// Returns the header's only value. Browsers never send a second one.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, String> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    match values.next() {
        Some(_) => {
            Err(format!("the request has the header `{name}` twice, browsers send it once; find out what adds the second"))
        }
        None => Ok(first),
    }
}

impl<S> Layer<S> for CsrfLayer {
    type Service = CsrfService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CsrfService { inner, config: self.config.clone() }
    }
}

/// A service with a [`CsrfLayer`] around it.
#[derive(Clone, Debug)]
pub struct CsrfService<S> {
    inner: S,
    config: Arc<Config>,
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for CsrfService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: Default + 'static,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = CsrfFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        match self.config.check(request.method(), request.uri(), request.headers()) {
            Ok(()) => CsrfFuture { verdict: Verdict::Passed { inner: self.inner.call(request) } },
            Err(why) => {
                log::refused_request(&why);
                CsrfFuture { verdict: Verdict::Refused { why } }
            }
        }
    }
}

pin_project! {
    /// The answer of a [`CsrfService`].
    pub struct CsrfFuture<F> {
        #[pin]
        verdict: Verdict<F>,
    }
}

pin_project! {
    #[project = VerdictProjection]
    enum Verdict<F> {
        Passed { #[pin] inner: F },
        Refused { why: String },
    }
}

impl<F> fmt::Debug for CsrfFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CsrfFuture").finish_non_exhaustive()
    }
}

impl<F, B, E> Future for CsrfFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Default + 'static,
{
    type Output = Result<Response<B>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().verdict.project() {
            VerdictProjection::Passed { inner } => inner.poll(context),
            VerdictProjection::Refused { why } => Poll::Ready(Ok(body::with_text(StatusCode::FORBIDDEN, std::mem::take(why)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_written_as_browsers_write_them() {
        for (given, expected) in [
            ("https://example.com", "https://example.com"),
            ("HTTPS://Example.COM", "https://example.com"),
            ("https://example.com:443", "https://example.com"),
            ("http://example.com:80", "http://example.com"),
            ("http://example.com:443", "http://example.com:443"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("https://[::1]", "https://[::1]"),
            ("https://[0:0:0:0:0:0:0:1]:443", "https://[::1]"),
            ("https://[2001:DB8:0::0:00A1]:8443", "https://[2001:db8::a1]:8443"),
            ("https://[::ffff:192.0.2.1]", "https://[::ffff:c000:201]"),
            ("http://127.1:8080", "http://127.0.0.1:8080"),
            ("https://example.com.", "https://example.com"),
            ("tauri://localhost", "tauri://localhost"),
            ("TAURI://localhost:443", "tauri://localhost:443"),
        ] {
            assert_eq!(Origin::parse(given).unwrap().to_string(), expected, "{given}");
        }
    }

    #[test]
    fn everything_else_is_no_origin() {
        for found in [
            "",
            "null",
            "*",
            "https://",
            "https://*",
            "https://*.example.com",
            "example.com",
            "https://example.com/",
            "https://example.com/path",
            "https://user@example.com",
            "https://example.com:",
            "https://example.com:x",
            "https://example.com:00443",
            "https://example.com:65536",
            "https://a b",
            "https://münchen.de",
            "https://[::1",
            "https://[x]",
            "://example.com",
            "1a://example.com",
            "a b://example.com",
            "https:example.com",
            "https://0177.0.0.1",
            "https://a\r\nb",
        ] {
            let error = CsrfLayer::new().trust(found).unwrap_err();
            assert_eq!(error, CsrfError::NotAnOrigin { found: found.to_owned() });
            assert!(error.to_string().contains("RFC 6454") && !error.to_string().contains(char::is_control));
        }
    }
}
