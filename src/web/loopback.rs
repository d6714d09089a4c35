//! Checks whether a request was made to this machine itself: plain http is for nothing else.
//!
//! Invariant: a host that two clients can read differently is not loopback; see `authority.rs` for the accepted spellings.

use http::{HeaderMap, Uri};

use super::{
    authority::{Authority, Host},
    body::shown,
};

/// Whether every host that the request names for its server is loopback.
fn is_loopback(uri: &Uri, headers: &HeaderMap) -> bool {
    Authority::all_of(uri, headers).is_some_and(|all| all.iter().all(|authority| is_loopback_host(&authority.host)))
}

fn is_loopback_host(host: &Host) -> bool {
    match host {
        // RFC 6761, 6.3: these names always mean loopback.
        Host::Name(name) => name == "localhost" || name.ends_with(".localhost"),
        Host::V4(address) => address.is_loopback(),
        Host::V6(address) => address.to_canonical().is_loopback(),
    }
}

/// Returns why a plain http server refuses the request, and what to do; `None` if every host that it names is loopback.
pub(super) fn refusal(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    if is_loopback(uri, headers) {
        return None;
    }
    let hosts: Vec<_> = Authority::texts_of(uri, headers).map(shown).collect();
    let found = if hosts.is_empty() { "names no host".to_owned() } else { format!("is for the host {}", hosts.join(" and ")) };
    Some(format!(
        "the request {found}, but `SessionLayer::plain_http_on_loopback` serves loopback only; open the page as `http://localhost` or \
         `http://127.0.0.1`, or serve https and leave that call out"
    ))
}

#[cfg(test)]
mod tests {
    use http::header::HOST;

    use super::*;

    fn with_host(host: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        is_loopback(&Uri::from_static("/"), &headers)
    }

    #[test]
    fn loopback_names_and_addresses() {
        for host in [
            "localhost",
            "LOCALHOST:3000",
            "localhost.",
            "localhost.:3000",
            "app.localhost",
            "App.LocalHost.:80",
            "127.0.0.1",
            "127.0.0.1.",
            "127.0.0.1:80",
            "127.9.9.9",
            "127.1",
            "127.1:3000",
            "127.0.1",
            "2130706433",
            "[::1]",
            "[::1]:3000",
            "[0:0:0:0:0:0:0:1]",
            "[::ffff:127.0.0.1]",
            "[::FFFF:7f00:1]:3000",
        ] {
            assert!(with_host(host), "{host}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for host in [
            "example.com",
            "localhost.example.com",
            "localhost..",
            "localhost.localdomain",
            "xlocalhost",
            "app.xlocalhost",
            ".localhost",
            "a..localhost",
            "127.0.0.1.example.com",
            "127.0.0.1.nip.io",
            "127.1.example.com",
            "127.evil.test",
            "127-0-0-1.example.com",
            "128.1",
            "126.0.0.1",
            "0.0.0.0",
            "0",
            "127.1.1.1.1",
            "127.0.0.256",
            "2130706433.example.com",
            // Octal or hexadecimal to some clients, and another address or a name to others.
            "0177.0.0.1",
            "0x7f.0.0.1",
            "0x7f000001",
            "127.0.0.01",
            "[::ffff:192.168.0.1]",
            // Old forms that no system routes to loopback.
            "[::127.0.0.1]",
            "[64:ff9b::127.0.0.1]",
            "[::1%lo]",
            "localhost@example.com",
            "example.com@localhost",
            "localhost, example.com",
            "localhost/",
            "localhost:+80",
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
    fn a_refusal_names_the_host_and_the_remedy() {
        let mut headers = HeaderMap::new();
        let said = |uri: &'static str, headers: &HeaderMap| refusal(&Uri::from_static(uri), headers).unwrap();
        assert!(
            said("/", &headers).starts_with("the request names no host, but `SessionLayer::plain_http_on_loopback` serves")
        );
        headers.insert(HOST, "localhost:3000".parse().unwrap());
        assert_eq!(refusal(&Uri::from_static("/"), &headers), None);
        let both = said("http://example.com/", &headers);
        assert!(both.starts_with("the request is for the host `example.com` and `localhost:3000`, but "), "{both}");
        headers.insert(HOST, http::HeaderValue::from_bytes(b"\xff\t").unwrap());
        assert!(said("/", &headers).contains(r"`\xff\t`"));
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
