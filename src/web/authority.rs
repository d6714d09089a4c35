//! A host and its port, as in a `Host` header or an origin, in the one spelling that browsers use.
//!
//! Invariants: two spellings are equal only if browsers connect to the same host for both. A text that two readers can take for
//! different hosts is refused. So octal and hexadecimal addresses are refused (RFC 6943, 3.1.1): some clients read `0177.0.0.1`
//! as 127.0.0.1, others as 177.0.0.1.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

use http::{HeaderMap, HeaderValue, Uri, header::HOST};

/// A host, and a port if the text has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Authority {
    pub(super) host: Host,
    pub(super) port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    /// In lower case.
    Name(String),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

impl Authority {
    /// Returns `None` if the text is not a host with an optional port: for example with a user name, a path, or a port that is
    /// not a decimal number as browsers write it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (host, port) = match text.rsplit_once(':') {
            // Within brackets the colon belongs to the address.
            Some((host, port)) if !port.ends_with(']') => (host, Some(parse_port(port)?)),
            _ => (text, None),
        };
        Some(Self { host: Host::parse(host)?, port })
    }

    /// Returns every host that the request names for its server, unparsed: HTTP/2 has it in the URI, HTTP/1 in `Host`.
    pub(super) fn texts_of<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> impl Iterator<Item = &'a [u8]> {
        let in_uri = uri.authority().map(|authority| authority.as_str().as_bytes());
        in_uri.into_iter().chain(headers.get_all(HOST).iter().map(HeaderValue::as_bytes))
    }

    /// Returns every host that the request names for its server. `None`: it names none, or one of them is not a host.
    pub(super) fn all_of(uri: &Uri, headers: &HeaderMap) -> Option<Vec<Self>> {
        let parse = |text| Self::parse(std::str::from_utf8(text).ok()?);
        let all: Vec<_> = Self::texts_of(uri, headers).map(parse).collect::<Option<_>>()?;
        Some(all).filter(|all| !all.is_empty())
    }
}

impl Host {
    fn parse(text: &str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix('[') {
            return Some(Self::V6(rest.strip_suffix(']')?.parse().ok()?));
        }
        let (name, is_rooted) = text.strip_suffix('.').map_or((text, false), |name| (name, true));
        let is_label =
            |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        if !name.split('.').all(is_label) {
            return None;
        }
        let mut name = name.to_ascii_lowercase();
        // Browsers treat every host whose last label is a number as an IPv4 address (WHATWG URL, 3.5).
        if name.rsplit('.').next().is_some_and(is_number) {
            return parse_ipv4(&name).map(Self::V4);
        }
        // A trailing dot means the same host (RFC 1034, 3.1), unless the name has one label: `ai` is a host of the local
        // network, and `ai.` a top-level domain. `localhost` is always loopback (RFC 6761, 6.3).
        if is_rooted && !name.contains('.') && name != "localhost" {
            name.push('.');
        }
        Some(Self::Name(name))
    }
}

fn is_number(label: &str) -> bool {
    let is_hexadecimal = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    label.bytes().all(|byte| byte.is_ascii_digit()) || label.strip_prefix("0x").is_some_and(is_hexadecimal)
}

/// One to four decimal numbers. The last fills all remaining bytes: `127.1` is 127.0.0.1, and so is `2130706433`.
fn parse_ipv4(text: &str) -> Option<Ipv4Addr> {
    let numbers: Vec<u32> = text.split('.').map(parse_decimal).collect::<Option<_>>()?;
    let (last, first) = numbers.split_last()?;
    let fits = first.len() <= 3 && first.iter().all(|number| *number <= 255);
    if !fits || *last > u32::MAX >> (8 * first.len()) {
        return None;
    }
    let shifted = first.iter().zip([24, 16, 8]).map(|(number, bits)| number << bits);
    Some(Ipv4Addr::from(shifted.fold(*last, |address, number| address | number)))
}

/// Digits without a leading zero, which some readers take for octal.
fn parse_decimal<N: std::str::FromStr>(text: &str) -> Option<N> {
    let is_canonical = text == "0" || !text.starts_with('0');
    (is_canonical && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

fn parse_port(text: &str) -> Option<u16> {
    parse_decimal(text)
}

impl fmt::Display for Host {
    /// As browsers write it: an IPv6 address as in RFC 5952, except a mapped IPv4 address, which they write like any other.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V4(address) => address.fmt(f),
            Self::V6(address) => match (address.to_ipv4_mapped(), address.segments()) {
                (Some(_), [.., high, low]) => write!(f, "[::ffff:{high:x}:{low:x}]"),
                (None, _) => write!(f, "[{address}]"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_one_spelling() {
        for (given, host, port) in [
            ("example.com", "example.com", None),
            ("EXAMPLE.com:8443", "example.com", Some(8443)),
            ("example.com.", "example.com", None),
            ("example.com.:443", "example.com", Some(443)),
            ("a_b.example:0", "a_b.example", Some(0)),
            ("xn--mnchen-3ya.de", "xn--mnchen-3ya.de", None),
            ("localhost.", "localhost", None),
            ("LOCALHOST.:80", "localhost", Some(80)),
            ("ai", "ai", None),
            ("ai.", "ai.", None),
            ("1a", "1a", None),
            ("0xg", "0xg", None),
            ("1.example", "1.example", None),
            ("127.0.0.1", "127.0.0.1", None),
            ("127.0.0.1.:65535", "127.0.0.1", Some(65535)),
            ("127.1", "127.0.0.1", None),
            ("127.0.1", "127.0.0.1", None),
            ("127.258", "127.0.1.2", None),
            ("127.16777215", "127.255.255.255", None),
            ("2130706433", "127.0.0.1", None),
            ("4294967295", "255.255.255.255", None),
            ("0", "0.0.0.0", None),
            ("10.20.30.40", "10.20.30.40", None),
            ("[::1]", "[::1]", None),
            ("[0:0:0:0:0:0:0:1]:443", "[::1]", Some(443)),
            ("[2001:DB8:0::0:00A1]", "[2001:db8::a1]", None),
            ("[::ffff:192.0.2.1]", "[::ffff:c000:201]", None),
        ] {
            let Authority { host: found, port: found_port } = Authority::parse(given).unwrap_or_else(|| panic!("{given}"));
            assert_eq!((found.to_string().as_str(), found_port), (host, port), "{given}");
            assert_eq!(Host::parse(&found.to_string()), Some(found), "its own spelling is another: {given}");
        }
    }

    #[test]
    fn what_readers_can_differ_on_is_no_host() {
        for bad in [
            "",
            ".",
            "..",
            "a..b",
            ".a",
            "a..",
            "localhost..",
            "a b",
            "a/b",
            "a@b",
            "a,b",
            "*",
            "é",
            "a\0",
            "a%2eb",
            // Ports.
            ":",
            ":80",
            "a:",
            "a:x",
            "a:+80",
            "a:-1",
            "a: 80",
            "a:080",
            "a:00",
            "a:65536",
            "a:80:80",
            "a:４",
            // Addresses that some readers take for octal or hexadecimal, with too many parts, or with parts that are too large.
            "0177.0.0.1",
            "0x7f.0.0.1",
            "0x7f000001",
            "127.0.0.01",
            "127.0.0.0x1",
            "0x",
            "00",
            "1.2.3.4.5",
            "1.2.3.256",
            "256.0.0.1",
            "1.256.1",
            "1.2.65536",
            "1.16777216",
            "4294967296",
            "127..1",
            "a.1",
            "1.2.3.a.4",
            "a.0x",
            "127.1..",
            // Brackets, and what is between them.
            "::1",
            "[::1",
            "::1]",
            "[]",
            "[x]",
            "[::1]x",
            "[::1]:",
            "x[::1]",
            "[[::1]]",
            "[127.0.0.1]",
            "[::1%25lo]",
            "[::1%lo]",
            "[v1.x]",
            "[::1].",
        ] {
            assert_eq!(Authority::parse(bad), None, "{bad:?}");
        }
    }
}
