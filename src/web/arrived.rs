//! What a request presented when it reached the layer.
//!
//! Why it is kept: a middleware may change the request's headers, and a handler may make a request of its own to the application. Whose
//! session it is depends on neither.
//!
//! Invariant: for a request with one such header nothing is allocated, and no byte of it is copied.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{Binding, SameSite, transport::Carrier};
use crate::session::Bound;

/// What the layer keeps of a request.
#[derive(Debug, Default)]
pub(super) struct Arrived {
    pub(super) carried: Carried,
    /// Whether the request's method is safe (RFC 9110, 9.2.1).
    is_safe: bool,
    pub(super) client: Bound,
}

/// The values of the header that carries tokens.
#[derive(Debug, Default)]
pub(crate) enum Carried {
    #[default]
    None,
    One(HeaderValue),
    /// HTTP/2 clients may send each cookie in a header of its own.
    Several(Vec<HeaderValue>),
}

impl Carried {
    pub(crate) fn of(headers: &HeaderMap, name: &HeaderName) -> Self {
        let mut values = headers.get_all(name).iter();
        let Some(first) = values.next() else { return Self::None };
        match values.next() {
            None => Self::One(first.clone()),
            Some(second) => Self::Several([first, second].into_iter().chain(values).cloned().collect()),
        }
    }

    /// Whether both are of one request: the same bytes in memory, not equal ones. A request that a handler makes itself is another one.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let (one, other) = (self.values(), other.values());
        one.len() == other.len() && one.iter().zip(other).all(|(one, other)| std::ptr::eq(one.as_bytes(), other.as_bytes()))
    }

    #[inline]
    pub(crate) fn values(&self) -> &[HeaderValue] {
        match self {
            Self::None => &[],
            Self::One(value) => std::slice::from_ref(value),
            Self::Several(values) => values,
        }
    }
}

impl Arrived {
    #[inline]
    pub(super) fn of<B>(request: &http::Request<B>, carrier: &Carrier, binding: Option<&Binding>) -> Self {
        let headers = request.headers();
        Self {
            carried: Carried::of(headers, carrier.asks()),
            is_safe: request.method().is_safe(),
            client: binding.map(|binding| binding.read(headers, request.extensions())).unwrap_or_default(),
        }
    }

    /// Whether the browser may have withheld a cookie that has this `SameSite`, because another site made the request. `headers` are the
    /// request's.
    pub(super) fn may_withhold(&self, same_site: SameSite, headers: &HeaderMap) -> bool {
        let is = |name: &str, value: &str| headers.get(name).is_some_and(|found| found.as_bytes() == value.as_bytes());
        let is_cross_site = match headers.get("sec-fetch-site") {
            Some(site) => site.as_bytes() == b"cross-site",
            // Browsers from before 2023.
            None => headers.get(header::ORIGIN).is_some_and(|origin| !names_host(origin, headers)),
        };
        // What a service worker fetches for a visit has no destination.
        let is_page = is("sec-fetch-dest", "document") || is("sec-fetch-dest", "empty");
        let is_visit = self.is_safe && is("sec-fetch-mode", "navigate") && is_page;
        match same_site {
            SameSite::Strict => is_cross_site,
            SameSite::Lax => is_cross_site && !is_visit,
            SameSite::None => false,
        }
    }
}

/// Whether the origin's host is the one that the request asks.
fn names_host(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let host = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    host.is_some_and(|host| {
        headers.get(header::HOST).is_some_and(|asked| asked.as_bytes().eq_ignore_ascii_case(host.as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::Transport;

    fn arrived(method: &str) -> Arrived {
        let carrier = Carrier::header(Transport::Bearer).unwrap().unwrap();
        Arrived::of(&Request::builder().method(method).uri("/").body(()).unwrap(), &carrier, None)
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    /// Whether a cookie may be withheld with `SameSite` Strict, Lax and None.
    fn withheld(method: &str, pairs: &[(&'static str, &'static str)]) -> [bool; 3] {
        let headers = headers(pairs);
        [SameSite::Strict, SameSite::Lax, SameSite::None].map(|same_site| arrived(method).may_withhold(same_site, &headers))
    }

    #[test]
    fn a_browser_withholds_a_cookie_by_its_same_site() {
        let link = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
        assert_eq!(withheld("GET", &link), [true, false, false], "a link");
        assert_eq!(withheld("POST", &link), [true, true, false], "a form");
        let worker = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "empty")];
        assert_eq!(withheld("GET", &worker), [true, false, false], "a link that a service worker follows");
        let frame = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];
        assert_eq!(withheld("GET", &frame), [true, true, false], "a frame");
        let image = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")];
        assert_eq!(withheld("GET", &image), [true, true, false], "an image");
        for own in ["same-origin", "same-site", "none"] {
            assert_eq!(withheld("POST", &[("sec-fetch-site", own), ("origin", "https://other.test")]), [false; 3], "{own}");
        }
        assert_eq!(withheld("POST", &[]), [false; 3], "a client that is no browser");
    }

    #[test]
    fn a_browser_without_fetch_metadata_is_known_by_its_origin() {
        assert_eq!(withheld("POST", &[("origin", "https://other.test"), ("host", "app.test")]), [true, true, false]);
        assert_eq!(withheld("POST", &[("origin", "null"), ("host", "app.test")]), [true, true, false]);
        assert_eq!(withheld("POST", &[("origin", "https://APP.test"), ("host", "app.test")]), [false; 3]);
    }

    #[test]
    fn a_page_that_is_fetched_ahead_is_the_page_that_its_visitor_sees() {
        assert_eq!(withheld("GET", &[("sec-purpose", "prefetch"), ("sec-fetch-site", "none")]), [false; 3]);
    }

    #[test]
    fn one_header_is_kept_without_allocating() {
        let map: HeaderMap = headers(&[("cookie", "a=b")]);
        let info = allocation_counter::measure(|| drop(Carried::of(&map, &header::COOKIE)));
        assert_eq!(info.count_total, 0);
        let two: HeaderMap = [("cookie", "a=b"), ("cookie", "c=d")]
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .into_iter()
            .collect();
        assert_eq!(Carried::of(&two, &header::COOKIE).values(), ["a=b", "c=d"]);
    }
}
