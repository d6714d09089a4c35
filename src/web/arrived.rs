//! What the layer keeps of a request, and what a request presents.
//!
//! Why it keeps anything: a handler may make a request of its own to the application, and that request's handler uses the same
//! layer. Such a request must not decide which session the visitor has.
//!
//! Facts: keeping the header itself, which is shared and not copied, took 40 ns more for each request. That is as much as the
//! rest of the layer takes for a request that does not use its session. So it keeps a hash of the header's length and both its
//! ends.
//!
//! Invariant: nothing is allocated, unless the layer has a binding.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{Binding, SameSite, transport::Carrier};
use crate::session::Bound;

/// What the layer keeps of a request.
#[derive(Debug, Default)]
pub(super) struct Arrived {
    mark: Mark,
    /// Whether the request's method is safe (RFC 9110, 9.2.1).
    is_safe: bool,
    client: Option<Box<Bound>>,
}

/// A hash of the first header that carries tokens; 0 if the request has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Mark(u64);

impl Mark {
    #[inline]
    fn of(value: Option<&HeaderValue>) -> Self {
        value.map_or(Self::default(), |value| Self::of_bytes(value.as_bytes()))
    }

    #[inline]
    fn of_bytes(bytes: &[u8]) -> Self {
        // Odd, so that each bit of a word changes the mark. One factor for each word, so that the multiplications can run in
        // parallel.
        const FACTORS: [u64; 4] = [0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb, 0xd6e8_feb8_6659_fd93];
        // For a cookie alone, this is the end of its name and most of its token.
        let mut ends = [[0; 16]; 2];
        match (bytes.first_chunk(), bytes.last_chunk()) {
            (Some(first), Some(last)) => ends = [*first, *last],
            _ => ends[0][..bytes.len()].copy_from_slice(bytes),
        }
        let words = ends.as_flattened().as_chunks().0.iter().map(|word| u64::from_le_bytes(*word));
        let mixed = words.zip(FACTORS).fold(bytes.len() as u64, |mark, (word, factor)| mark ^ word.wrapping_mul(factor));
        Self(mixed.max(1))
    }
}

/// The values of the header that carries tokens.
#[derive(Debug)]
pub(crate) enum Carried<'a> {
    None,
    One(&'a HeaderValue),
    /// HTTP/2 clients may send each cookie in its own header.
    Several(Vec<HeaderValue>),
}

impl<'a> Carried<'a> {
    #[inline]
    pub(crate) fn of(headers: &'a HeaderMap, name: &HeaderName) -> Self {
        let mut values = headers.get_all(name).iter();
        let Some(first) = values.next() else { return Self::None };
        match values.next() {
            None => Self::One(first),
            Some(second) => Self::Several([first, second].into_iter().chain(values).cloned().collect()),
        }
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
            mark: Mark::of(headers.get(carrier.asks())),
            is_safe: request.method().is_safe(),
            client: binding.map(|binding| Box::new(binding.read(headers, request.extensions()))),
        }
    }

    /// The client's properties, if sessions are bound to them.
    pub(super) fn client(&self) -> Bound {
        self.client.as_deref().copied().unwrap_or_default()
    }

    /// Whether both are the same request, or one is made by a handler on behalf of its visitor, with the original header.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.mark == other.mark
    }

    /// Whether `carried`, from the request whose handler uses its session, is what this request carries.
    #[inline]
    pub(super) fn has(&self, carried: &Carried<'_>) -> bool {
        self.mark == Mark::of(carried.values().first())
    }

    /// Whether the browser may have withheld a cookie with this `SameSite`, because another site made the request. `headers`
    /// are the request's.
    pub(super) fn may_withhold(&self, same_site: SameSite, headers: &HeaderMap) -> bool {
        let is = |name: &str, value: &str| headers.get(name).is_some_and(|found| found.as_bytes() == value.as_bytes());
        let is_cross_site = match headers.get("sec-fetch-site") {
            Some(site) => site.as_bytes() == b"cross-site",
            // Browsers from before 2023.
            None => headers.get(header::ORIGIN).is_some_and(|origin| !names_host(origin, headers)),
        };
        // A visit that a service worker fetches has no destination.
        let is_page = is("sec-fetch-dest", "document") || is("sec-fetch-dest", "empty");
        let is_visit = self.is_safe && is("sec-fetch-mode", "navigate") && is_page;
        match same_site {
            SameSite::Strict => is_cross_site,
            SameSite::Lax => is_cross_site && !is_visit,
            SameSite::None => false,
        }
    }
}

/// Whether the origin's host is the request's host.
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
    use crate::web::Transport;

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
    fn a_request_is_known_by_the_header_that_carries_tokens() {
        let carrier = Carrier::header(Transport::Bearer).unwrap().unwrap();
        let token = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA-_";
        let request = Request::builder().header("authorization", format!("Bearer {token}")).body(()).unwrap();
        let arrived = Arrived::of(&request, &carrier, None);
        let mut moved = request.headers().clone();
        for n in 0..100 {
            moved.insert(HeaderName::try_from(format!("x-{n}")).unwrap(), HeaderValue::from_static("1"));
        }
        let has = |headers: &HeaderMap| arrived.has(&Carried::of(headers, carrier.asks()));
        assert!(has(&moved));
        for at in 0..token.len() {
            let mut other = token.to_owned();
            other.replace_range(at..=at, "B");
            let other = HeaderValue::try_from(format!("Bearer {other}")).unwrap();
            let is_known = has(&[(header::AUTHORIZATION, other)].into_iter().collect());
            // The seven characters before the last 16 of 39 are in neither end.
            assert_eq!(is_known, (9..16).contains(&at), "another character at {at}");
        }
        for short in ["", "a", "Bearer abc"] {
            let other = HeaderValue::from_static(short);
            assert!(!has(&[(header::AUTHORIZATION, other)].into_iter().collect()));
        }
        assert!(!has(&HeaderMap::new()) && Arrived::default().has(&Carried::None));
    }

    #[test]
    fn values_are_read_where_they_are() {
        let map: HeaderMap = headers(&[("cookie", "a=b")]);
        let info = allocation_counter::measure(|| assert_eq!(Carried::of(&map, &header::COOKIE).values().len(), 1));
        assert_eq!(info.count_total, 0);
        let two: HeaderMap = [("cookie", "a=b"), ("cookie", "c=d")]
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .into_iter()
            .collect();
        assert_eq!(Carried::of(&two, &header::COOKIE).values(), ["a=b", "c=d"]);
    }
}
