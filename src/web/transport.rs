//! What carries the token between client and server: the cookie, or a header for clients that have no cookies.
//!
//! Invariants: a token is read only from the layer's own transport, never from the URL or the body. No cache may keep a
//! response that carries a token. A response that depends on the session has a `Vary` with the transport's header.

use std::{error, fmt, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{
    arrived::Carried,
    cookie::{self, CookieTemplate},
};
use crate::{Token, session::CookieUpdate};

mod taken;

/// What carries the token of a layer's sessions.
///
/// Headers are for APIs, mobile apps and desktop web views with their own scheme. In browsers a cookie is safer: scripts cannot
/// read it. On the other hand, no browser sends a header by itself, so such requests need no defence against cross-site
/// forgery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport {
    /// The session's [`Cookie`](crate::Cookie).
    #[default]
    Cookie,
    /// `Authorization: Bearer <token>`. The response sends a new token as `Session-Token: <token>`.
    Bearer,
    /// A header of the application's own, in both directions: its value is the token alone.
    Header(HeaderName),
}

/// Why a header cannot carry tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportError {
    /// Browsers, caches, proxies or servers read or write the header by themselves: it may be changed or removed on the way, or
    /// its value logged. These are the headers of RFC 9110, 9111 and 9112, of the Fetch standard and of browsers' policies, and
    /// those with which proxies pass on addresses, such as `x-real-ip`, and trace requests, such as `x-request-id`.
    HeaderTaken {
        /// The header.
        found: HeaderName,
    },
    /// The header's name has a character for which nginx and other proxies silently drop the header. They accept letters,
    /// digits and `-`.
    HeaderDropped {
        /// The header.
        found: HeaderName,
        /// The first such character, usually `_`.
        character: char,
    },
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HeaderTaken { found } => write!(
                f,
                "the header `{found}` cannot carry tokens, browsers, caches, proxies or servers use it themselves (RFC 9110); use one \
                 such as `x-session`, or `Transport::Bearer`"
            ),
            Self::HeaderDropped { found, character } => write!(
                f,
                "the header `{found}` has the character `{character}`, nginx and other proxies drop it (`ignore_invalid_headers`, \
                 `underscores_in_headers`); use letters, digits and `-`, as in `x-session`"
            ),
        }
    }
}

impl error::Error for TransportError {}

/// Sends the token to a client that presents it as `Authorization`.
const SESSION_TOKEN: HeaderName = HeaderName::from_static("session-token");

/// The most values read from one request, as for cookies.
const MOST_CANDIDATES: usize = 8;

/// A checked [`Transport`].
#[derive(Clone)]
pub(super) enum Carrier {
    Cookie(CookieTemplate),
    Header { asks: HeaderName, answers: HeaderName, is_bearer: bool },
}

impl Carrier {
    /// Returns a carrier other than the cookie; `None` for the cookie.
    pub(super) fn header(transport: Transport) -> Result<Option<Self>, TransportError> {
        Ok(match transport {
            Transport::Cookie => None,
            Transport::Bearer => Some(Self::Header { asks: header::AUTHORIZATION, answers: SESSION_TOKEN, is_bearer: true }),
            Transport::Header(found) if taken::is_taken(&found) => return Err(TransportError::HeaderTaken { found }),
            Transport::Header(name) => match taken::dropped(&name) {
                Some(character) => return Err(TransportError::HeaderDropped { found: name, character }),
                None => Some(Self::Header { asks: name.clone(), answers: name, is_bearer: false }),
            },
        })
    }

    /// Returns the header in which requests present tokens.
    pub(super) fn asks(&self) -> &HeaderName {
        match self {
            Self::Cookie(_) => &header::COOKIE,
            Self::Header { asks, .. } => asks,
        }
    }

    /// Whether both read the same tokens from a request.
    pub(super) fn reads_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Cookie(one), Self::Cookie(other)) => one.name() == other.name(),
            (Self::Header { asks: one, .. }, Self::Header { asks: other, .. }) => one == other,
            (Self::Cookie(_), Self::Header { .. }) | (Self::Header { .. }, Self::Cookie(_)) => false,
        }
    }

    /// Whether the request presents anything by this carrier, valid or not.
    pub(super) fn is_presented(&self, carried: &Carried<'_>) -> bool {
        match self {
            Self::Cookie(template) => cookie::candidates(carried.values(), template.name().as_bytes()).next().is_some(),
            Self::Header { .. } => !carried.values().is_empty(),
        }
    }

    /// Calls `with` with the tokens that the request presents by this carrier.
    pub(super) fn tokens<T>(&self, carried: &Carried<'_>, with: impl FnOnce(&mut dyn Iterator<Item = Token>) -> T) -> T {
        match self {
            Self::Cookie(template) => {
                with(&mut cookie::candidates(carried.values(), template.name().as_bytes()).filter_map(Token::parse))
            }
            Self::Header { is_bearer, .. } => {
                let values = carried.values().iter().map(HeaderValue::as_bytes);
                let values = values.filter_map(|value| if *is_bearer { bearer(value) } else { Some(value) });
                with(&mut values.take(MOST_CANDIDATES).filter_map(Token::parse))
            }
        }
    }

    /// Returns the header with which a request presents `token`.
    #[cfg(feature = "test-util")]
    pub(super) fn presents(&self, token: &Token) -> (HeaderName, HeaderValue) {
        let (name, value) = match self {
            Self::Cookie(template) => (header::COOKIE, format!("{}={}", template.name(), token.expose())),
            Self::Header { asks, is_bearer: true, .. } => (asks.clone(), format!("Bearer {}", token.expose())),
            Self::Header { asks, is_bearer: false, .. } => (asks.clone(), token.expose()),
        };
        (name, HeaderValue::try_from(value).expect("the name was checked, and a token is base64url"))
    }

    /// Whether cookies end with the browser, unless their sessions set it.
    pub(super) fn ends_with_browser(&self) -> bool {
        matches!(self, Self::Cookie(template) if template.is_browser_session())
    }

    /// Marks the response as dependent on the header that carries the token.
    pub(super) fn append_vary(&self, headers: &mut HeaderMap) {
        match self {
            Self::Cookie(_) => cookie::append_vary_cookie(headers),
            Self::Header { asks, .. } => cookie::append_vary(headers, asks.as_str(), || HeaderValue::from(asks.clone())),
        }
    }

    /// Writes the update of the client's cookie or header; `now_ms` is the time of the store.
    pub(super) fn tell(&self, update: &CookieUpdate, now_ms: u64, headers: &mut HeaderMap) {
        match (self, update) {
            // A header has no date that could be moved.
            (_, CookieUpdate::Nothing) | (Self::Header { .. }, CookieUpdate::Token { renewed: true, .. }) => return,
            // The sealer writes this one.
            #[cfg(feature = "sealed")]
            (_, CookieUpdate::Sealed { .. }) => return,
            (Self::Cookie(template), CookieUpdate::Token { token, deadline_ms, .. }) => {
                let max_age = deadline_ms.map(|deadline_ms| Duration::from_millis(deadline_ms.saturating_sub(now_ms)));
                headers.append(header::SET_COOKIE, template.set(&token.expose(), max_age));
            }
            (Self::Cookie(template), CookieUpdate::Forget) => {
                headers.append(header::SET_COOKIE, template.delete());
            }
            (Self::Header { answers, .. }, CookieUpdate::Token { token, .. }) => {
                let mut value = HeaderValue::try_from(token.expose()).expect("a token is base64url");
                value.set_sensitive(true);
                headers.insert(answers.clone(), value);
            }
            (Self::Header { answers, .. }, CookieUpdate::Forget) => {
                headers.insert(answers.clone(), HeaderValue::from_static(""));
            }
        }
        cookie::forbid_caching(headers);
    }
}

impl fmt::Debug for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cookie(template) => f.debug_tuple("Cookie").field(&template.name()).finish(),
            Self::Header { asks, .. } => f.debug_tuple("Header").field(asks).finish(),
        }
    }
}

/// Returns what follows `Bearer`, in any case and with any number of spaces (RFC 9110, 11.4).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"bearer";
    let (scheme, rest) = value.split_at_checked(SCHEME.len())?;
    let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
    (scheme.eq_ignore_ascii_case(SCHEME) && spaces > 0).then(|| &rest[spaces..])
}

/// Reads bearer credentials a second time, as plainly as possible, to check the reader: for tests and the fuzz target. `data`
/// are `Authorization` headers, one per line.
#[cfg(any(test, fuzzing))]
pub(crate) fn check_bearer(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(header::AUTHORIZATION, value);
        }
    }
    let plainly = |value: &HeaderValue| {
        let value = value.as_bytes().to_vec();
        let token = value.iter().rposition(|byte| *byte == b' ').map(|at| value[at + 1..].to_vec())?;
        let scheme = &value[..value.len() - token.len()];
        let is_bearer = String::from_utf8_lossy(scheme).to_ascii_lowercase().trim_end_matches(' ') == "bearer";
        is_bearer.then_some(token)
    };
    let expected = headers.get_all(header::AUTHORIZATION).iter().filter_map(plainly);
    // A value with a space within is none, whichever part is read.
    let all = headers.get_all(header::AUTHORIZATION).iter().filter_map(|value| bearer(value.as_bytes()));
    let found = all.filter(|token| !token.contains(&b' ')).map(<[u8]>::to_vec);
    assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    let carrier = Carrier::header(Transport::Bearer).expect("no header is taken").expect("it is no cookie");
    let values = Carried::of(&headers, carrier.asks());
    assert!(carrier.tokens(&values, |tokens| tokens.count()) <= MOST_CANDIDATES);
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn the_corpus_of_the_fuzz_target_passes() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/bearer");
        let files: Vec<_> = fs::read_dir(corpus).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(files.len() >= 5, "{} files", files.len());
        for file in files {
            println!("{}", file.display());
            check_bearer(&fs::read(&file).unwrap());
        }
    }

    #[test]
    fn bearer_credentials_are_read_as_written() {
        for good in ["Bearer abc", "bearer abc", "BEARER   abc"] {
            assert_eq!(bearer(good.as_bytes()), Some(&b"abc"[..]), "{good}");
        }
        for bad in ["", "Bearer", "Bearerabc", "Bearer\tabc", " Bearer abc", "Basic abc", "abc"] {
            assert_eq!(bearer(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(bearer(b"Bearer "), Some(&b""[..]));
    }

    #[test]
    fn headers_with_a_meaning_carry_no_tokens() {
        for taken in [
            // Hop by hop, and the path of a message.
            "connection",
            "keep-alive",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
            "via",
            "proxy-connection",
            "proxy-authorization",
            "max-forwards",
            "host",
            "expect",
            "alt-svc",
            "early-data",
            "priority",
            // Caches and validators.
            "cache-control",
            "pragma",
            "warning",
            "expires",
            "age",
            "date",
            "vary",
            "etag",
            "last-modified",
            "if-match",
            "if-range",
            "if-modified-since",
            "if-unmodified-since",
            "range",
            "accept-ranges",
            "cdn-cache-control",
            "surrogate-control",
            "x-accel-expires",
            // Content.
            "accept",
            "accept-language",
            "accept-ch",
            "content-type",
            "content-length",
            "content-disposition",
            "content-security-policy",
            // Credentials.
            "cookie",
            "set-cookie",
            "authorization",
            "www-authenticate",
            "authentication-info",
            // What browsers send, and obey.
            "origin",
            "referer",
            "user-agent",
            "sec-fetch-site",
            "sec-websocket-protocol",
            "last-event-id",
            "dnt",
            "save-data",
            "x-requested-with",
            "link",
            "location",
            "refresh",
            "clear-site-data",
            "permissions-policy",
            "referrer-policy",
            "strict-transport-security",
            "access-control-allow-origin",
            "cross-origin-opener-policy",
            "x-frame-options",
            "server-timing",
            // What proxies write.
            "forwarded",
            "x-forwarded-for",
            "x-forwarded",
            "x-real-ip",
            "x-request-id",
            "traceparent",
            "x-original-url",
            "cf-connecting-ip",
            "true-client-ip",
            "x-amzn-trace-id",
            "x-envoy-external-address",
            "x-http-method-override",
            "x-sendfile",
            "grpc-timeout",
        ] {
            let found = HeaderName::from_static(taken);
            let Err(error) = Carrier::header(Transport::Header(found.clone())) else { panic!("{taken} is let through") };
            assert_eq!(error, TransportError::HeaderTaken { found });
            assert!(error.to_string().contains(taken) && error.to_string().contains("RFC 9110"));
        }
        // A name that only resembles one of these belongs to the application.
        for free in [
            "x-session",
            "session",
            "session-token",
            "x-auth-token",
            "x-api-key",
            "x-via",
            "viax",
            "x-forward",
            "x-real",
            "accepts",
        ] {
            assert!(Carrier::header(Transport::Header(HeaderName::from_static(free))).is_ok(), "{free}");
        }
    }

    #[test]
    fn headers_that_proxies_drop_carry_no_tokens() {
        for (dropped, expected) in [("x_session", '_'), ("session_", '_'), ("x-session.id", '.'), ("x~a_b", '~'), ("a!", '!')] {
            let found = HeaderName::from_static(dropped);
            let Err(error) = Carrier::header(Transport::Header(found.clone())) else { panic!("{dropped} is let through") };
            assert_eq!(error, TransportError::HeaderDropped { found, character: expected });
            assert!(error.to_string().contains(&format!("`{expected}`")) && error.to_string().contains("nginx"), "{error}");
        }
        assert!(Carrier::header(Transport::Header(HeaderName::from_static("0-session-9"))).is_ok());
    }
}
