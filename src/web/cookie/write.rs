//! Writes a response's headers for the session: its cookie, and that no cache may keep or share the response.
//!
//! Invariants: a cookie is deleted with the same name, path, domain and flags with which it was set, or the browser would keep
//! it. The value with the token is marked sensitive, so that HTTP/2 does not put it into a compression table and `Debug` does
//! not print it. No header here is weaker than what the application itself set.

use std::{fmt::Write, time::Duration};

use http::{
    HeaderMap, HeaderValue,
    header::{CACHE_CONTROL, Entry, VARY},
};

/// Bytes of a value: the characters of a token.
pub(super) const VALUE_BYTES: usize = 32;
/// 400 days: the longest that browsers keep a cookie (RFC 6265bis section 5.5).
const MOST_SECONDS: u64 = 400 * 86_400;

/// The `Set-Cookie` headers of one checked [`Cookie`](super::Cookie), complete except the token and the age.
#[derive(Clone, Debug)]
pub(crate) struct CookieTemplate {
    name: String,
    /// What follows the value, up to the age.
    scope: String,
    /// What follows the age.
    flags: String,
    browser_session: bool,
    deletion: HeaderValue,
}

impl CookieTemplate {
    /// `name`, `scope` and `flags` have been checked; the latter two begin with `; ` if they are not empty.
    pub(super) fn new(name: String, scope: &str, flags: &str, browser_session: bool) -> Self {
        // Old browsers know only `Expires`.
        let deletion = format!("{name}={scope}; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT{flags}");
        let deletion = HeaderValue::try_from(deletion).expect("name, scope and flags are visible ASCII and spaces");
        Self { name, scope: scope.to_owned(), flags: flags.to_owned(), browser_session, deletion }
    }

    /// Returns the name with its prefix.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether the cookie ends with the browser, unless its session sets it.
    pub(crate) fn is_browser_session(&self) -> bool {
        self.browser_session
    }

    /// Returns the header that sets `value`, a token or a part of a sealed session, for `max_age`, or until the browser closes.
    /// The age is rounded up to whole seconds: a cookie that outlives its session does no harm, and one that ends earlier signs
    /// its user out.
    pub(crate) fn set(&self, value: &str, max_age: Option<Duration>) -> HeaderValue {
        const AGE: &str = "; Max-Age=";
        debug_assert!(value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_~".contains(&byte)), "a token is base64url");
        let round_up = |age: Duration| age.as_secs().saturating_add(u64::from(age.subsec_nanos() > 0)).min(MOST_SECONDS);
        let seconds = max_age.map(round_up);
        let age_bytes = seconds.map_or(0, |seconds| AGE.len() + 1 + seconds.checked_ilog10().unwrap_or(0) as usize);
        // Exactly as large: a `HeaderValue` takes over a full `String` as it is, and any other one needs a counter on the heap.
        let bytes = self.name.len() + 1 + value.len() + self.scope.len() + age_bytes + self.flags.len();
        let mut text = String::with_capacity(bytes);
        for part in [&self.name, "=", value, &self.scope] {
            text.push_str(part);
        }
        if let Some(seconds) = seconds {
            write!(text, "{AGE}{seconds}").expect("a `String` takes all that is written");
        }
        text.push_str(&self.flags);
        debug_assert_eq!(text.len(), bytes, "all parts were counted");
        let mut header = HeaderValue::try_from(text).expect("a token is base64url, and the rest was checked");
        header.set_sensitive(true);
        header
    }

    /// Returns the cookie for the `part` with this number; this one itself is part 0.
    #[cfg(feature = "sealed")]
    pub(crate) fn part(&self, part: usize) -> Self {
        match part {
            0 => self.clone(),
            _ => Self::new(format!("{}.{part}", self.name), &self.scope, &self.flags, self.browser_session),
        }
    }

    /// Returns the cookie for proofs of the device, with the same attributes.
    #[cfg(feature = "device-bound")]
    pub(crate) fn of_device(&self) -> Self {
        Self::new(format!("{}-device", self.name), &self.scope, &self.flags, false)
    }

    /// Returns what follows the value, without the age.
    #[cfg(feature = "device-bound")]
    pub(crate) fn attributes(&self) -> String {
        format!("{}{}", self.scope, self.flags).trim_start_matches("; ").to_owned()
    }

    /// Returns the longest value with which the whole header has 4,096 bytes, the limit of the strictest browsers.
    #[cfg(feature = "sealed")]
    pub(crate) fn room_bytes(&self) -> usize {
        4096_usize.saturating_sub(self.frame_bytes())
    }

    /// Returns the most bytes of the header around the value.
    #[cfg(feature = "sealed")]
    pub(crate) fn frame_bytes(&self) -> usize {
        const LONGEST_AGE: usize = "; Max-Age=34560000".len();
        self.name.len() + 1 + self.scope.len() + LONGEST_AGE + self.flags.len()
    }

    /// Returns the bytes of the header that deletes the cookie.
    #[cfg(feature = "sealed")]
    pub(crate) fn deletion_bytes(&self) -> usize {
        self.deletion.len()
    }

    /// Returns the header that deletes the cookie.
    pub(crate) fn delete(&self) -> HeaderValue {
        self.deletion.clone()
    }
}

/// Marks the response as dependent on the request's cookies, unless the application already did so.
pub(crate) fn append_vary_cookie(headers: &mut HeaderMap) {
    append_vary(headers, "cookie", || HeaderValue::from_static("Cookie"));
}

/// Like [`append_vary_cookie`], for another header of the request; `value` returns its name as a value.
///
/// The result is always one line: of several, nginx before 1.23 reads only the last.
pub(crate) fn append_vary(headers: &mut HeaderMap, on: &str, value: impl FnOnce() -> HeaderValue) {
    match headers.entry(VARY) {
        Entry::Vacant(entry) => {
            entry.insert(value());
        }
        Entry::Occupied(mut entry) => {
            let is_named = names(entry.iter(), |name| name == b"*" || name.eq_ignore_ascii_case(on.as_bytes()));
            if is_named && entry.iter().nth(1).is_none() {
                return;
            }
            let added = if is_named { None } else { Some(value()) };
            let lines = entry.iter().chain(&added).map(|line| line.as_bytes().trim_ascii()).filter(|line| !line.is_empty());
            let line = lines.collect::<Vec<_>>().join(&b", "[..]);
            entry.insert(HeaderValue::from_bytes(&line).expect("values that are joined are a value"));
        }
    }
}

/// Forbids shared caches to store a response that has no directives for caches itself. A cache that ignores `Vary`, or reads a
/// part of it, would serve one visitor's page to others.
pub(crate) fn keep_private(headers: &mut HeaderMap) {
    let says_nothing = |value: &HeaderValue| value.as_bytes().iter().all(|byte| b", \t".contains(byte));
    let private = HeaderValue::from_static("private");
    match headers.entry(CACHE_CONTROL) {
        Entry::Vacant(entry) => {
            entry.insert(private);
        }
        Entry::Occupied(mut entry) if entry.iter().all(says_nothing) => {
            entry.insert(private);
        }
        Entry::Occupied(_) => {}
    }
}

/// Forbids caches to store the response, replacing anything weaker from the application.
pub(crate) fn forbid_caching(headers: &mut HeaderMap) {
    if !names(headers.get_all(CACHE_CONTROL).iter(), |directive| directive.eq_ignore_ascii_case(b"no-store")) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

/// Whether a comma-separated list, over all headers of a name, has an element that `wanted` accepts.
fn names<'a>(values: impl Iterator<Item = &'a HeaderValue>, wanted: impl Fn(&[u8]) -> bool) -> bool {
    let values = values.map(HeaderValue::as_bytes);
    // Text in quotes is no element, as in `private="a, no-store, b"`; such a header counts as having none.
    let mut elements = values.filter(|value| !value.contains(&b'"')).flat_map(|value| value.split(|byte| *byte == b','));
    elements.any(|element| wanted(element.trim_ascii()))
}

#[cfg(test)]
mod tests {
    use super::{super::*, *};

    const TOKEN: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA-_";
    const WEEK: Duration = Duration::from_hours(7 * 24);

    /// The two headers of a cookie.
    #[track_caller]
    fn written(cookie: &Cookie) -> [String; 2] {
        let template = cookie.build().expect("the cookie is valid");
        [template.set(TOKEN, Some(WEEK).filter(|_| !template.is_browser_session())), template.delete()]
            .map(|header| header.to_str().expect("it is ASCII").to_owned())
    }

    /// Checks both headers, with the text that follows the value and the text that follows the age.
    #[track_caller]
    fn writes(cookie: &Cookie, name: &str, scope: &str, flags: &str) {
        let gone = "; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT";
        let expected = [format!("{name}={TOKEN}{scope}; Max-Age=604800{flags}"), format!("{name}={scope}{gone}{flags}")];
        assert_eq!(written(cookie), expected);
    }

    #[test]
    fn the_default_cookie_is_written_byte_for_byte() {
        let [set, delete] = written(&Cookie::new());
        let expected = "__Host-id=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA-_; Path=/; Max-Age=604800; Secure; HttpOnly; SameSite=Lax";
        assert_eq!(set, expected);
        let expected = "__Host-id=; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Secure; HttpOnly; SameSite=Lax";
        assert_eq!(delete, expected);
    }

    #[test]
    fn every_attribute_is_written_at_its_place() {
        let strict = "; Secure; HttpOnly; SameSite=Strict";
        writes(&Cookie::new().name("s").same_site(SameSite::Strict), "__Host-s", "; Path=/", strict);
        let lax = "; Secure; HttpOnly; SameSite=Lax";
        writes(&Cookie::new().domain(".Example.com"), "__Secure-id", "; Path=/; Domain=Example.com", lax);
        writes(&Cookie::new().path("/app"), "__Secure-id", "; Path=/app", lax);
        writes(&Cookie::new().plain_http(), "id", "; Path=/", "; HttpOnly; SameSite=Lax");
        let embedded = Cookie::new().same_site(SameSite::None).partitioned();
        let partitioned = "; Secure; HttpOnly; SameSite=None; Partitioned";
        writes(&embedded, "__Host-id", "; Path=/", partitioned);
        writes(&embedded.domain("a.b").path("/x"), "__Secure-id", "; Path=/x; Domain=a.b", partitioned);
    }

    #[test]
    fn a_browser_session_has_no_age_but_can_be_deleted() {
        let cookie = Cookie::new().browser_session();
        assert!(cookie.build().unwrap().is_browser_session());
        assert!(!Cookie::new().build().unwrap().is_browser_session());
        let [set, delete] = written(&cookie);
        assert_eq!(set, format!("__Host-id={TOKEN}; Path=/; Secure; HttpOnly; SameSite=Lax"));
        assert_eq!(delete, written(&Cookie::new())[1]);
    }

    #[test]
    fn the_age_is_in_whole_seconds_and_at_most_400_days() {
        let template = Cookie::new().build().unwrap();
        let (most, nanosecond) = (Duration::from_hours(400 * 24), Duration::from_nanos(1));
        for (max_age, expected) in [
            (Duration::ZERO, 0),
            (nanosecond, 1),
            (Duration::from_secs(9), 9),
            (Duration::from_secs(10), 10),
            (Duration::new(604_799, 999_999_999), 604_800),
            (Duration::from_secs(34_559_999), 34_559_999),
            (most, 34_560_000),
            (most + nanosecond, 34_560_000),
            (most + Duration::from_secs(1), 34_560_000),
            (Duration::from_secs(u64::MAX), 34_560_000),
            (Duration::MAX, 34_560_000),
        ] {
            let header = template.set(TOKEN, Some(max_age));
            let expected = format!("; Path=/; Max-Age={expected}; Secure; HttpOnly; SameSite=Lax");
            assert!(header.to_str().unwrap().ends_with(&expected), "{max_age:?}");
        }
    }

    #[test]
    fn g8_debug_of_a_set_cookie_prints_no_token() {
        let header = Cookie::new().build().unwrap().set(TOKEN, Some(WEEK));
        assert!(header.is_sensitive());
        assert_eq!(format!("{header:?}"), "Sensitive");
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "a token is base64url")]
    fn a_value_that_is_no_token_is_a_bug() {
        drop(Cookie::new().build().unwrap().set("x; Domain=evil.example", Some(WEEK)));
    }

    #[test]
    fn templates_are_shared_between_threads() {
        fn check<T: Clone + Send + Sync + 'static>() {}
        check::<CookieTemplate>();
        check::<Cookie>();
        check::<CookieError>();
    }

    /// Checks how the values of a header are changed.
    #[track_caller]
    fn becomes(change: fn(&mut HeaderMap), name: &http::HeaderName, before: &[&[u8]], after: &[&[u8]]) {
        let values = before.iter().map(|value| (name.clone(), HeaderValue::from_bytes(value).expect("no control character")));
        let mut headers: HeaderMap = values.collect();
        headers.insert("x-other", HeaderValue::from_static("stays"));
        change(&mut headers);
        let found: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
        assert_eq!(found, after, "{before:?}");
        assert_eq!(headers["x-other"], "stays");
    }

    #[test]
    fn vary_names_cookie_once() {
        let vary = |before: &[&[u8]], after: &[&[u8]]| becomes(append_vary_cookie, &VARY, before, after);
        vary(&[], &[b"Cookie"]);
        vary(&[b""], &[b"Cookie"]);
        vary(&[b"Origin"], &[b"Origin, Cookie"]);
        vary(&[b"Cookie2, Set-Cookie, X-Cookie"], &[b"Cookie2, Set-Cookie, X-Cookie, Cookie"]);
        vary(&[b"\xffCookie\xff"], &[b"\xffCookie\xff, Cookie"]);
        for enough in ["Cookie", "cookie", "COOKIE", "*", "Origin, cookie", "a,\tcOOKIE ,b", "a, *"] {
            vary(&[enough.as_bytes()], &[enough.as_bytes()]);
        }
        // On one line, because nginx before 1.23 reads only the last line.
        vary(&[b"Origin", b"Accept-Encoding"], &[b"Origin, Accept-Encoding, Cookie"]);
        vary(&[b"cookie", b"", b"Accept-Encoding"], &[b"cookie, Accept-Encoding"]);
        vary(&[b"Accept-Encoding", b"*"], &[b"Accept-Encoding, *"]);
        vary(&[b"", b""], &[b"Cookie"]);
    }

    #[test]
    fn a_response_that_says_nothing_of_caches_is_private() {
        let private = |before: &[&[u8]], after: &[&[u8]]| becomes(keep_private, &CACHE_CONTROL, before, after);
        private(&[], &[b"private"]);
        for nothing in ["", " ", ",", " ,\t,"] {
            private(&[nothing.as_bytes()], &[b"private"]);
        }
        private(&[b"", b" "], &[b"private"]);
        // The application's own directives stay.
        for said in [
            "public",
            "public, max-age=60",
            "s-maxage=60",
            "max-age=60",
            "no-cache",
            "no-store",
            "private",
            "x",
            "private=\"a, b\"",
        ] {
            private(&[said.as_bytes()], &[said.as_bytes()]);
            private(&[b"", said.as_bytes()], &[b"", said.as_bytes()]);
        }
    }

    #[test]
    fn caching_is_forbidden_in_place_of_what_is_weaker() {
        let caching = |before: &[&[u8]], after: &[&[u8]]| becomes(forbid_caching, &CACHE_CONTROL, before, after);
        caching(&[], &[b"no-store"]);
        for weaker in ["", "public", "max-age=60", "private", "no-cache", "public, max-age=60", "x-no-store", "no-stores"] {
            caching(&[weaker.as_bytes()], &[b"no-store"]);
            caching(&[weaker.as_bytes(), b"private"], &[b"no-store"]);
        }
        caching(&[b"private=\"a, no-store, b\", max-age=60"], &[b"no-store"]);
        caching(&[b"no-cache=\"set-cookie\""], &[b"no-store"]);
        for strict in ["no-store", "No-Store", "private, no-store", "no-store,max-age=0", "no-cache ,\tno-store"] {
            caching(&[strict.as_bytes()], &[strict.as_bytes()]);
            caching(&[b"private", strict.as_bytes()], &[b"private", strict.as_bytes()]);
        }
    }
}
