//! The session's cookie: its name, its attributes, and the rules by which browsers refuse some of them.
//!
//! Facts: a browser silently drops a cookie that breaks a rule, and its visitor is then never signed in. So each rule is
//! checked when the cookie is built. Sections are those of RFC 6265bis, the revised RFC 6265 that browsers follow.
//!
//! Invariants: browsers accept what [`Cookie::build`] returns, over the scheme that it is for. Nothing in it can end a header
//! or begin another attribute. The prefix is the strictest that the attributes allow.
//!
//! Knows nothing of public suffixes: only the browser knows that a domain such as `co.uk` belongs to no single owner.

use std::{error, fmt, net::SocketAddr};

mod parse;
#[cfg(any(test, fuzzing))]
pub(crate) mod plain;
mod write;

pub(crate) use self::{
    parse::candidates,
    write::{CookieTemplate, append_vary, append_vary_cookie, forbid_caching, keep_private},
};

/// How the session's cookie is set: `__Host-id` with `Secure`, `HttpOnly`, `SameSite=Lax` and `Path=/` unless changed.
///
/// It is checked when it is passed to the layer.
///
/// The browser enforces the prefix: no sibling host and no plain http can set a cookie whose name begins with `__Host-`. With a
/// [`domain`](Self::domain) or another [`path`](Self::path) the prefix becomes `__Secure-`, which guarantees less.
///
/// # Examples
/// ```
/// # let store = sessile::testing::store();
/// use sessile::{Cookie, SessionLayer, web::SameSite};
///
/// let layer = SessionLayer::new(store).cookie(Cookie::new().name("account").same_site(SameSite::Strict))?;
/// # Ok::<(), sessile::web::CookieError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a cookie is not set until it is passed to a layer"]
pub struct Cookie {
    name: Option<String>,
    domain: Option<String>,
    path: String,
    same_site: SameSite,
    browser_session: bool,
    partitioned: bool,
    plain_http: bool,
}

/// Which requests from other sites carry the cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SameSite {
    /// None. A visitor who follows a link from another site arrives signed out.
    Strict,
    /// Those that navigate to the application with a safe method, such as a followed link.
    #[default]
    Lax,
    /// All: for an application inside another site's frame. Needs https, and another defence against forged requests.
    None,
}

impl Cookie {
    /// Returns a cookie with the safe defaults above.
    pub fn new() -> Self {
        Self {
            name: None,
            domain: None,
            path: "/".to_owned(),
            same_site: SameSite::default(),
            browser_session: false,
            partitioned: false,
            plain_http: false,
        }
    }

    /// Sets the name without its prefix, which is added automatically. Default: the name of [named](crate::SessionLayer::named)
    /// sessions, else `id`, which does not reveal the library; over [plain http](crate::SessionLayer::plain_http_on_loopback)
    /// followed by a part of the store's id.
    pub fn name(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// Sets the name to `name` if it is not set.
    pub(crate) fn or_named(self, name: &str) -> Self {
        Self { name: Some(self.name.unwrap_or_else(|| name.to_owned())), ..self }
    }

    /// Shares the cookie with every host under `domain`, and trusts them all: each can read and set it. One that sets another
    /// cookie of this name for a path prevents the visitor from being signed in there. Default: this host only, where the
    /// name's prefix `__Host-` prevents that.
    ///
    /// A browser keeps a cookie that was set with another domain, and sends both. A release that changes the domain must also
    /// change the cookie's [`name`](Self::name).
    pub fn domain(self, domain: impl Into<String>) -> Self {
        Self { domain: Some(domain.into()), ..self }
    }

    /// Sends the cookie only to paths below this one. Default: `/`. This does not protect it: pages on other paths can still
    /// reach it.
    ///
    /// A browser keeps a cookie that was set with another path, and sends both where both paths match. A release that changes
    /// the path must also change the cookie's [`name`](Self::name).
    pub fn path(self, path: impl Into<String>) -> Self {
        Self { path: path.into(), ..self }
    }

    /// Sets which requests from other sites carry the cookie. Default: [`SameSite::Lax`].
    ///
    /// If another site makes a request without the cookie, and the browser may have withheld the cookie, the request gets no
    /// new session: it would replace the visitor's. Its values are not stored
    /// ([`Error::CookieWithheld`](crate::Error::CookieWithheld) from [`save`](crate::Session::save)), unless it [signs
    /// in](crate::Session::sign_in). If another site's form must find what was stored before, as with the callback of an
    /// identity provider that posts its answer (`response_mode=form_post`), keep that in a separate
    /// [named](crate::SessionLayer::named) session with [`SameSite::None`] until the sign-in is complete.
    pub fn same_site(self, same_site: SameSite) -> Self {
        Self { same_site, ..self }
    }

    /// Sets no `Max-Age`: the cookie is gone when the browser closes, unless the browser restores it. By default, the cookie
    /// lasts longer than the session, by a quarter of the idle timeout, so that the store decides when the session ends. Its
    /// date moves with each use that is written, after a tenth of the idle timeout.
    ///
    /// Applies to sessions that begin from now on and do not call [`Session::remember`](crate::Session::remember).
    pub fn browser_session(self) -> Self {
        Self { browser_session: true, ..self }
    }

    /// Sets one cookie for each site that embeds the application (CHIPS), for use with [`SameSite::None`]. Default: off.
    ///
    /// A browser keeps a cookie that was set without this, and sends both. A release that turns it on must also change the
    /// cookie's [`name`](Self::name).
    pub fn partitioned(self) -> Self {
        Self { partitioned: true, ..self }
    }

    /// Returns the configured `SameSite`.
    pub(crate) fn wanted_same_site(&self) -> SameSite {
        self.same_site
    }

    /// Removes `Secure` and the prefix, which browsers accept over https only.
    pub(crate) fn plain_http(self) -> Self {
        Self { plain_http: true, ..self }
    }

    /// Checks the cookie as browsers do, and prepares its headers.
    pub(crate) fn build(&self) -> Result<CookieTemplate, CookieError> {
        let name = self.name.as_deref().unwrap_or(DEFAULT_NAME);
        check_name(name)?;
        check_path(&self.path)?;
        let domain = self.domain.as_deref().map(check_domain).transpose()?;
        if self.plain_http && self.same_site == SameSite::None {
            return Err(CookieError::SameSiteNoneNeedsHttps);
        }
        if self.plain_http && self.partitioned {
            return Err(CookieError::PartitionedNeedsHttps);
        }
        let prefix = match domain {
            _ if self.plain_http => "",
            None if self.path == "/" => "__Host-",
            _ => "__Secure-",
        };
        let name = format!("{prefix}{name}");
        let found_bytes = name.len() + write::VALUE_BYTES;
        if found_bytes > MOST_COOKIE_BYTES {
            return Err(CookieError::NameTooLong { found_bytes, limit_bytes: MOST_COOKIE_BYTES });
        }
        Ok(CookieTemplate::new(name, &self.scope(domain), &self.flags(), self.browser_session))
    }

    /// Returns the attributes that limit where the cookie is sent.
    fn scope(&self, domain: Option<&str>) -> String {
        let mut scope = format!("; Path={}", self.path);
        if let Some(domain) = domain {
            scope.push_str("; Domain=");
            scope.push_str(domain);
        }
        scope
    }

    /// Returns the attributes that protect the cookie.
    fn flags(&self) -> String {
        let secure = if self.plain_http { "" } else { "; Secure" };
        let same_site = match self.same_site {
            SameSite::Strict => "Strict",
            SameSite::Lax => "Lax",
            SameSite::None => "None",
        };
        let partitioned = if self.partitioned { "; Partitioned" } else { "" };
        format!("{secure}; HttpOnly; SameSite={same_site}{partitioned}")
    }
}

/// Returns the default name of a cookie for plain http: that of its sessions, with a part of the store's id. All ports of a
/// host share its cookies (RFC 6265bis, 8.5), and on a developer's computer each port is another application.
pub(crate) fn development_name(name: Option<&str>, store_id: [u8; 16]) -> String {
    let [a, b, c, d, ..] = store_id;
    format!("{}-{:08x}", name.unwrap_or(DEFAULT_NAME), u32::from_be_bytes([a, b, c, d]))
}

impl Default for Cookie {
    fn default() -> Self {
        Self::new()
    }
}

/// Why browsers would refuse a [`Cookie`], or why it would not work as intended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CookieError {
    /// The name is empty.
    EmptyName,
    /// A character that no cookie name may have.
    NameCharacter {
        /// The first such character.
        found: char,
    },
    /// The name begins with a prefix that has a meaning to browsers, in any case.
    NamePrefix {
        /// The prefix.
        found: &'static str,
    },
    /// The name, with its prefix and the token, is longer than browsers keep.
    NameTooLong {
        /// Bytes of name, prefix and token.
        found_bytes: usize,
        /// Bytes that browsers keep.
        limit_bytes: usize,
    },
    /// An attribute is longer than browsers read.
    AttributeTooLong {
        /// `Domain` or `Path`.
        attribute: &'static str,
        /// Its bytes.
        found_bytes: usize,
        /// Bytes that browsers read.
        limit_bytes: usize,
    },
    /// The domain is not a host name.
    NotADomain {
        /// The domain.
        found: String,
    },
    /// The path does not begin with `/`.
    RelativePath {
        /// The path.
        found: String,
    },
    /// A character that the path of a cookie may not have.
    PathCharacter {
        /// The first such character.
        found: char,
    },
    /// `SameSite=None` on a cookie for plain http.
    SameSiteNoneNeedsHttps,
    /// `Partitioned` on a cookie for plain http.
    PartitionedNeedsHttps,
    /// A server that is publicly reachable speaks plain http: anyone in between can read the token.
    PlainHttpOnPublicAddress {
        /// Where it listens.
        found: SocketAddr,
    },
}

impl fmt::Display for CookieError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyName => f.write_str(
                "the cookie's name is empty, a name has at least one character (RFC 6265bis section 4.1.1); leave it out for \
                 the default `id`",
            ),
            Self::NameCharacter { found } => write!(
                f,
                "the cookie's name has the character {found:?}, a name is a token (RFC 6265bis section 4.1.1); use letters, \
                 digits, `-` and `_`"
            ),
            Self::NamePrefix { found } => write!(
                f,
                "the cookie's name begins with `{found}`, prefixes follow from the attributes (RFC 6265bis section 4.1.3); \
                 leave it out, it is added by itself"
            ),
            Self::NameTooLong { found_bytes, limit_bytes } => write!(
                f,
                "the cookie's name and value are {found_bytes} bytes, browsers keep {limit_bytes} (RFC 6265bis section 5.6); \
                 choose a shorter name"
            ),
            Self::AttributeTooLong { attribute, found_bytes, limit_bytes } => write!(
                f,
                "the cookie's {attribute} is {found_bytes} bytes, browsers read {limit_bytes} (RFC 6265bis section 5.6); \
                 choose a shorter one"
            ),
            Self::NotADomain { found } => write!(
                f,
                "the cookie's domain is {found:?}, it must be a host name of letters, digits, `-` and `.` (RFC 6265bis section \
                 4.1.2.3); write it as in `example.com`, in Punycode if it needs it, or leave it out for this host alone"
            ),
            Self::RelativePath { found } => write!(
                f,
                "the cookie's path is {found:?}, browsers ignore one that does not begin with `/` (RFC 6265bis section \
                 4.1.2.4); begin it with `/`"
            ),
            Self::PathCharacter { found } => write!(
                f,
                "the cookie's path has the character {found:?}, it must be visible ASCII without `;` (RFC 6265bis section \
                 4.1.1); percent-encode it as in the URL"
            ),
            Self::SameSiteNoneNeedsHttps => f.write_str(
                "the cookie has `SameSite=None` over plain http, browsers take it with `Secure` only (RFC 6265bis section \
                 5.7); use https, or `SameSite::Lax`",
            ),
            Self::PartitionedNeedsHttps => f.write_str(
                "the cookie has `Partitioned` over plain http, browsers take it with `Secure` only (CHIPS); use https, or \
                 leave out `partitioned`",
            ),
            Self::PlainHttpOnPublicAddress { found } => write!(
                f,
                "the server listens on {found} over plain http, a session's cookie has to be `Secure` (RFC 6265bis section \
                 4.1.2.5, OWASP ASVS 5, 3.3.1); use https, or listen on loopback behind a proxy that does"
            ),
        }
    }
}

impl error::Error for CookieError {}

const DEFAULT_NAME: &str = "id";
/// The most bytes of name and value together.
const MOST_COOKIE_BYTES: usize = 4096;
/// The most bytes of an attribute's value.
const MOST_ATTRIBUTE_BYTES: usize = 1024;

/// Prefixes with a meaning to browsers, now or in an earlier draft. The first covers `__Host-Http-` as well.
const PREFIXES: [&str; 4] = ["__Host-", "__Secure-", "__Http-", "__HostHttp-"];

fn check_name(name: &str) -> Result<(), CookieError> {
    if name.is_empty() {
        return Err(CookieError::EmptyName);
    }
    if let Some(found) = name.chars().find(|found| !is_token(*found)) {
        return Err(CookieError::NameCharacter { found });
    }
    // In any case: browsers apply the rules of `__Host-id` to `__host-id`, while servers distinguish the two.
    let begins = |prefix: &&str| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    match PREFIXES.into_iter().find(begins) {
        Some(found) => Err(CookieError::NamePrefix { found }),
        None => Ok(()),
    }
}

fn is_token(character: char) -> bool {
    character.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(character)
}

fn check_path(path: &str) -> Result<(), CookieError> {
    check_length("Path", path)?;
    if !path.starts_with('/') {
        return Err(CookieError::RelativePath { found: path.to_owned() });
    }
    // No space either: the URL's path never has one, and the browser would trim it off the end.
    match path.chars().find(|found| !found.is_ascii_graphic() || *found == ';') {
        Some(found) => Err(CookieError::PathCharacter { found }),
        None => Ok(()),
    }
}

/// Returns the domain as it is written, without a leading dot, which has no meaning since RFC 6265.
fn check_domain(domain: &str) -> Result<&str, CookieError> {
    check_length("Domain", domain)?;
    let host = domain.strip_prefix('.').unwrap_or(domain);
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    // A last label of digits makes it an IPv4 address, which has no hosts under it to share with.
    let is_address = host.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    if host.split('.').all(is_label) && !is_address {
        Ok(host)
    } else {
        Err(CookieError::NotADomain { found: domain.to_owned() })
    }
}

fn check_length(attribute: &'static str, value: &str) -> Result<(), CookieError> {
    let (found_bytes, limit_bytes) = (value.len(), MOST_ATTRIBUTE_BYTES);
    if found_bytes > limit_bytes {
        return Err(CookieError::AttributeTooLong { attribute, found_bytes, limit_bytes });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(cookie: &Cookie) -> CookieError {
        cookie.build().map(|template| template.name().to_owned()).expect_err("the cookie must be refused")
    }

    fn named(name: impl Into<String>) -> Cookie {
        Cookie::new().name(name)
    }

    #[test]
    fn the_prefix_is_the_strictest_that_the_attributes_meet() {
        let name = |cookie: Cookie| cookie.build().unwrap().name().to_owned();
        assert_eq!(name(Cookie::default()), "__Host-id");
        assert_eq!(name(named("sid")), "__Host-sid");
        assert_eq!(name(Cookie::new().domain("example.com")), "__Secure-id");
        assert_eq!(name(Cookie::new().path("/app")), "__Secure-id");
        assert_eq!(name(Cookie::new().path("/app").domain("example.com")), "__Secure-id");
        assert_eq!(name(Cookie::new().plain_http()), "id");
        assert_eq!(name(Cookie::new().path("/app").plain_http()), "id");
    }

    #[test]
    fn a_name_is_a_token() {
        assert_eq!(refused(&named("")), CookieError::EmptyName);
        for found in "()<>@,;:\\\"/[]?={} \t\r\n\0\u{7f}\u{a0}é".chars() {
            for name in [format!("{found}id"), format!("i{found}d"), format!("id{found}")] {
                assert_eq!(refused(&named(name)), CookieError::NameCharacter { found });
            }
        }
        for good in "!#$%&'*+-.^_`|~azAZ09".chars() {
            assert!(named(good).build().is_ok(), "{good}");
        }
    }

    #[test]
    fn a_name_brings_no_prefix_of_its_own() {
        for found in ["__Host-", "__Secure-", "__Http-", "__HostHttp-"] {
            for name in [found.to_owned(), format!("{found}id"), found.to_lowercase(), found.to_uppercase() + "id"] {
                assert_eq!(refused(&named(name.clone())), CookieError::NamePrefix { found });
                assert_eq!(refused(&named(name).plain_http()), CookieError::NamePrefix { found });
            }
        }
        assert_eq!(refused(&named("__host-http-id")), CookieError::NamePrefix { found: "__Host-" });
        assert!(named("__Host").build().is_ok());
        assert!(named("x__Host-id").build().is_ok());
    }

    #[test]
    fn name_and_value_fit_in_4096_bytes() {
        let most = 4096 - "__Host-".len() - write::VALUE_BYTES;
        assert!(named("n".repeat(most)).build().is_ok());
        let error = CookieError::NameTooLong { found_bytes: 4097, limit_bytes: 4096 };
        assert_eq!(refused(&named("n".repeat(most + 1))), error);
    }

    #[test]
    fn an_attribute_fits_in_1024_bytes() {
        let path = format!("/{}", "p".repeat(1023));
        assert!(Cookie::new().path(path.clone()).build().is_ok());
        let too_long = |attribute| CookieError::AttributeTooLong { attribute, found_bytes: 1025, limit_bytes: 1024 };
        assert_eq!(refused(&Cookie::new().path(path + "p")), too_long("Path"));
        let domain = format!("d{}", ".d".repeat(511));
        assert!(Cookie::new().domain(domain.clone() + "d").build().is_ok());
        assert_eq!(refused(&Cookie::new().domain(domain + ".d")), too_long("Domain"));
    }

    #[test]
    fn a_domain_is_a_host_name() {
        for bad in ["", ".", "..example.com", "example.com.", "a..b", "-a.b", "a-.b", "127.0.0.1", ".127.0.0.1", "[::1]", "::1"]
            .into_iter()
            .chain(["a b", " a", "a;b", "a,b", "a\r\nb", "a\0b", "a\tb", "a=b", "a/b", "a:80", "münchen.de", "a_b.c", "*.a"])
        {
            assert_eq!(refused(&Cookie::new().domain(bad)), CookieError::NotADomain { found: bad.to_owned() });
        }
        for good in ["example.com", "localhost", "xn--mnchen-3ya.de", "1.example", "a-b.c", "EXAMPLE.com"] {
            assert_eq!(check_domain(good), Ok(good));
        }
        assert_eq!(check_domain(".example.com"), Ok("example.com"));
    }

    #[test]
    fn a_path_is_absolute_and_visible() {
        for bad in ["", "app", " /", "\\", "\r\n/"] {
            assert_eq!(refused(&Cookie::new().path(bad)), CookieError::RelativePath { found: bad.to_owned() });
        }
        for found in ";\r\n\0\t \u{7f}\u{1b}é\u{2028}".chars() {
            assert_eq!(refused(&Cookie::new().path(format!("/a{found}b"))), CookieError::PathCharacter { found });
        }
        assert!(Cookie::new().path("/a-b_c/~d/%20,=\"'").build().is_ok());
    }

    #[test]
    fn what_needs_https_is_refused_without() {
        let none = Cookie::new().same_site(SameSite::None);
        let partitioned = Cookie::new().partitioned();
        assert!(none.build().is_ok());
        assert!(partitioned.build().is_ok());
        assert_eq!(refused(&none.plain_http()), CookieError::SameSiteNoneNeedsHttps);
        assert_eq!(refused(&partitioned.plain_http()), CookieError::PartitionedNeedsHttps);
        assert!(Cookie::new().same_site(SameSite::Strict).plain_http().build().is_ok());
    }

    #[test]
    fn every_error_names_its_rule_in_one_printable_sentence() {
        let cookies = [
            named(""),
            named("i\r\nd"),
            named("__host-id"),
            named("n".repeat(5000)),
            Cookie::new().path("/".repeat(2000)),
            Cookie::new().domain("a\r\nb"),
            Cookie::new().path("a\r\nb"),
            Cookie::new().path("/\r\n"),
            Cookie::new().same_site(SameSite::None).plain_http(),
            Cookie::new().partitioned().plain_http(),
        ];
        let mut said = std::collections::HashSet::new();
        for cookie in &cookies {
            let error: Box<dyn error::Error> = refused(cookie).into();
            let text = error.to_string();
            assert!(text.contains("RFC 6265bis section ") || text.contains("CHIPS"), "{text}");
            assert!(text.contains("; ") && !text.ends_with('.') && !text.contains("  "), "{text}");
            assert!(!text.contains(char::is_control), "{text:?}");
            assert!(said.insert(text));
        }
    }
}
