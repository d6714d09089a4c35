//! Refuses requests that change something and that another site made the visitor's browser send.
//!
//! Facts behind it: a browser adds the cookie to requests that other sites make, and says by `Sec-Fetch-Site` (all since 2023) and
//! `Origin` (with every request that is not safe, since 2020) who makes them. A page cannot forge either. So no token is needed
//! (Fetch Metadata, W3C; the same rule as in Go's `http.CrossOriginProtection`). `SameSite` cookies alone are not enough:
//! every host of the same registrable domain counts as the same site.
//!
//! Invariants: what cannot be told is refused; a safe method is let through whatever it says, so it must change nothing, and a
//! WebSocket's handshake is not counted as safe, because it opens a channel that changes things.

use std::{
    error, fmt,
    future::Future,
    net::Ipv6Addr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::event;

/// A tower layer that answers 403 to requests from other sites, unless their method is safe (GET, HEAD, OPTIONS, TRACE).
///
/// A request that is not safe, or that opens a WebSocket, passes if one of these holds:
/// 1. its `Origin` is [trusted](Self::trust);
/// 2. `Sec-Fetch-Site` is `same-origin`, or `none` for what the visitor did by hand;
/// 3. without `Sec-Fetch-Site`: the host of its `Origin` is the host that it asks.
///
/// A request with neither header comes from no browser of the last years. It is refused unless
/// [told otherwise](Self::allow_without_origin).
///
/// Put it around the same routes as the [`SessionLayer`](crate::SessionLayer), inside or outside of it. Handlers of safe methods must change
/// nothing. Sessions that a header carries need no such layer: no browser sends that by itself.
///
/// # Examples
/// ```
/// # use axum::{Router, routing::post};
/// # use sessile::{CsrfLayer, SessionLayer};
/// # let store = sessile::testing::store();
/// let app: Router = Router::new()
///     .route("/transfer", post(async || "done"))
///     .layer(CsrfLayer::new().trust("https://pay.example.com")?)
///     .layer(SessionLayer::new(store));
/// # Ok::<(), sessile::CsrfError>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a layer does nothing until it is put around a service"]
pub struct CsrfLayer {
    config: Arc<Config>,
}

#[derive(Clone, Debug, Default)]
struct Config {
    trusted: Vec<String>,
    allow_without_origin: bool,
}

impl CsrfLayer {
    /// A layer that trusts this origin alone.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets requests from another origin through, such as `https://pay.example.com`: scheme, host, and a port if it is not the
    /// scheme's own. Default: none.
    ///
    /// # Errors
    /// [`CsrfError::NotAnOrigin`] for anything else: a path, a wildcard, `null`, which any page can be.
    pub fn trust(mut self, origin: &str) -> Result<Self, CsrfError> {
        let origin = parse_origin(origin).ok_or_else(|| CsrfError::NotAnOrigin { found: origin.to_owned() })?;
        Arc::make_mut(&mut self.config).trusted.push(origin);
        Ok(self)
    }

    /// Lets requests through that have neither `Origin` nor `Sec-Fetch-Site`: for clients that are not browsers. Default: they
    /// are refused.
    pub fn allow_without_origin(mut self) -> Self {
        Arc::make_mut(&mut self.config).allow_without_origin = true;
        self
    }
}

/// Why a [`CsrfLayer`] would not mean what it says.
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
            "the trusted origin is {found:?}, an origin is a scheme and a host, as in `https://example.com` (RFC 6454); leave out \
             path, user and wildcards"
        )
    }
}

impl error::Error for CsrfError {}

/// The origin as browsers write it: in lower case, without the scheme's own port, an IPv6 address in its one spelling.
fn parse_origin(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let (scheme, authority) = text.split_once("://")?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let (host, port) = match authority.rsplit_once(':') {
        // Within brackets it belongs to the address.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let host = match host.strip_prefix('[') {
        Some(rest) => spelled(rest.strip_suffix(']')?.parse().ok()?),
        None => host.to_owned(),
    };
    let is_name =
        |host: &str| !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|number| number.to_string() == port));
    let port = port.filter(|port| !matches!((scheme, *port), ("https", "443") | ("http", "80")));
    let port = port.map_or(String::new(), |port| format!(":{port}"));
    (is_scheme && is_port && (host.starts_with('[') || is_name(&host))).then(|| format!("{scheme}://{host}{port}"))
}

/// The address as browsers write it (WHATWG URL, 3.5): as RFC 5952, but for a mapped IPv4 address, which they write as any other.
fn spelled(address: Ipv6Addr) -> String {
    match (address.to_ipv4_mapped(), address.segments()) {
        (Some(_), [.., high, low]) => format!("[::ffff:{high:x}:{low:x}]"),
        (None, _) => format!("[{address}]"),
    }
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Why a request is refused. The words are for a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    OtherSite,
    NoOrigin,
    Malformed,
}

impl Config {
    fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        if method.is_safe() && !opens_websocket(headers) {
            return Ok(());
        }
        let (origin, site) = (single(headers, &header::ORIGIN)?, single(headers, &SEC_FETCH_SITE)?);
        if origin.is_some_and(|origin| self.trusted.iter().any(|trusted| trusted.as_bytes() == origin.as_bytes())) {
            return Ok(());
        }
        let is_own = match (site, origin) {
            (Some(site), _) => site == "same-origin" || site == "none",
            (None, Some(origin)) => is_own_origin(origin, uri, headers),
            (None, None) if self.allow_without_origin => true,
            (None, None) => return Err(Refusal::NoOrigin),
        };
        if is_own { Ok(()) } else { Err(Refusal::OtherSite) }
    }
}

fn opens_websocket(headers: &HeaderMap) -> bool {
    let mut protocols = headers.get_all(header::UPGRADE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    protocols.any(|protocol| protocol.trim_ascii().eq_ignore_ascii_case(b"websocket"))
}

/// The header's one value. Browsers send no second one.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() { Err(Refusal::Malformed) } else { Ok(first) }
}

/// Whether the origin's host is every host that the request names for its server. The scheme cannot be compared: behind a proxy
/// that ends TLS nobody here knows it.
fn is_own_origin(origin: &HeaderValue, uri: &Uri, headers: &HeaderMap) -> bool {
    let Some((_, host)) = origin.to_str().ok().and_then(|origin| origin.split_once("://")) else { return false };
    let in_uri = uri.authority().map(|authority| authority.as_str().as_bytes());
    let mut asked = in_uri.into_iter().chain(headers.get_all(header::HOST).iter().map(HeaderValue::as_bytes)).peekable();
    asked.peek().is_some() && asked.all(|asked| asked.eq_ignore_ascii_case(host.as_bytes()))
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
    ResBody: Default,
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
            Err(refusal) => {
                event::refused_request(match refusal {
                    Refusal::OtherSite => "another site made it",
                    Refusal::NoOrigin => "it says by no header who made it",
                    Refusal::Malformed => "it has a header twice that says who made it",
                });
                CsrfFuture { verdict: Verdict::Refused }
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
        Refused,
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
    B: Default,
{
    type Output = Result<Response<B>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().verdict.project() {
            VerdictProjection::Passed { inner } => inner.poll(context),
            VerdictProjection::Refused => {
                let mut response = Response::new(B::default());
                *response.status_mut() = StatusCode::FORBIDDEN;
                Poll::Ready(Ok(response))
            }
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
            ("tauri://localhost", "tauri://localhost"),
        ] {
            assert_eq!(parse_origin(given).as_deref(), Some(expected), "{given}");
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
            "https://a\r\nb",
        ] {
            let error = CsrfLayer::new().trust(found).unwrap_err();
            assert_eq!(error, CsrfError::NotAnOrigin { found: found.to_owned() });
            assert!(error.to_string().contains("RFC 6454") && !error.to_string().contains(char::is_control));
        }
    }
}
