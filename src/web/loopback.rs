//! Whether a request was made to this machine itself: plain http is for nothing else.
//!
//! Invariant: what cannot be told is not loopback.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::{HeaderMap, Uri, header::HOST};

/// Whether every name that the request gives for its server is one of loopback. HTTP/2 gives it in the URI, HTTP/1 in `Host`.
pub(super) fn is_loopback(uri: &Uri, headers: &HeaderMap) -> bool {
    let in_uri = uri.authority().map(|authority| authority.as_str().as_bytes());
    let mut names = in_uri.into_iter().chain(headers.get_all(HOST).iter().map(http::HeaderValue::as_bytes)).peekable();
    names.peek().is_some() && names.all(is_loopback_authority)
}

fn is_loopback_authority(authority: &[u8]) -> bool {
    let Ok(authority) = std::str::from_utf8(authority) else { return false };
    if let Some(rest) = authority.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        return address.parse() == Ok(Ipv6Addr::LOCALHOST) && (port.is_empty() || is_port(port.strip_prefix(':')));
    }
    let (name, port) = authority.split_once(':').map_or((authority, None), |(name, port)| (name, Some(port)));
    if port.is_some() && !is_port(port) {
        return false;
    }
    match name.parse::<Ipv4Addr>() {
        Ok(address) => IpAddr::V4(address).is_loopback(),
        // RFC 6761, 6.3: these names always mean loopback.
        Err(_) => name.eq_ignore_ascii_case("localhost") || ends_with_localhost(name),
    }
}

fn ends_with_localhost(name: &str) -> bool {
    const SUFFIX: &str = ".localhost";
    name.len().checked_sub(SUFFIX.len()).and_then(|at| name.get(at..)).is_some_and(|end| end.eq_ignore_ascii_case(SUFFIX))
}

fn is_port(port: Option<&str>) -> bool {
    port.is_some_and(|port| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_host(host: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        is_loopback(&Uri::from_static("/"), &headers)
    }

    #[test]
    fn loopback_names_and_addresses() {
        for host in
            ["localhost", "LOCALHOST:3000", "127.0.0.1", "127.0.0.1:80", "127.9.9.9", "[::1]", "[::1]:3000", "app.localhost"]
        {
            assert!(with_host(host), "{host}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for host in [
            "example.com",
            "localhost.example.com",
            "127.0.0.1.example.com",
            "127.0.0.1@example.com",
            "notlocalhost",
            "192.168.0.1",
            "[::2]",
            "[::1]x",
            "::1",
            "localhost:",
            "localhost:x",
            "",
        ] {
            assert!(!with_host(host), "{host}");
        }
        assert!(!is_loopback(&Uri::from_static("/"), &HeaderMap::new()));
    }

    #[test]
    fn two_names_must_both_be_loopback() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, "localhost".parse().unwrap());
        assert!(is_loopback(&Uri::from_static("http://localhost/"), &headers));
        assert!(!is_loopback(&Uri::from_static("http://example.com/"), &headers));
        headers.append(HOST, "example.com".parse().unwrap());
        assert!(!is_loopback(&Uri::from_static("http://localhost/"), &headers));
    }
}
