//! Headers that cannot carry tokens, because browsers, caches, proxies or servers read or write them by themselves.
//!
//! Three things go wrong with such a header: its value is changed or removed on the way; it is sent elsewhere, to another host,
//! into a log or a cache; or a token is read as a command. A header with a meaning in a single application, such as
//! `x-api-key`, is not listed: only its developers know.

use http::HeaderName;

/// Whether `name` is one of them.
pub(super) fn is_taken(name: &HeaderName) -> bool {
    let name = name.as_str();
    NAMES.iter().any(|names| names.contains(&name)) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Returns the first character of the name for which nginx and others silently drop the header (its `ignore_invalid_headers`
/// and `underscores_in_headers`). `_` is also read as `-` by software that passes headers on as variables (RFC 3875, 4.1.18).
pub(super) fn dropped(name: &HeaderName) -> Option<char> {
    name.as_str().chars().find(|character| !character.is_ascii_alphanumeric() && *character != '-')
}

/// Families: every header with this prefix.
const PREFIXES: &[&str] = &[
    // Content negotiation and the message itself (RFC 9110, 8 and 12). Content-Security-Policy is among them.
    "accept-",
    "content-",
    // Conditions (RFC 9110, 13).
    "if-",
    // The Fetch standard: CORS, metadata, isolation. Pages cannot set `sec-` and `proxy-` at all.
    "access-control-",
    "cross-origin-",
    "proxy-",
    "sec-",
    // Private advertising and shared dictionaries.
    "attribution-reporting-",
    // The client, as proxies report it, and how proxies are configured.
    "cdn-",
    "cf-",
    "fastly-",
    "fly-",
    "surrogate-",
    "x-accel-",
    "x-amz-",
    "x-amzn-",
    "x-appengine-",
    "x-arr-",
    "x-azure-",
    "x-b3-",
    "x-envoy-",
    "x-forwarded-",
    "x-goog-",
    "x-lighttpd-",
    "x-ms-",
    "x-original-",
    "x-vercel-",
    // Reserved by gRPC.
    "grpc-",
];

/// Single headers.
const NAMES: [&[&str]; 9] = [
    // The connection and the path of a message (RFC 9110, 7.6 and 10.1; RFC 9112; RFC 7838; RFC 8470; RFC 9209).
    &[
        "alt-svc",
        "alt-used",
        "connection",
        "early-data",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "max-forwards",
        "priority",
        "proxy",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "upgrade-insecure-requests",
        "via",
    ],
    // Caches, ranges and validators (RFC 9110, 8.8 and 14; RFC 9111; RFC 5861; RFC 9211).
    &[
        "age",
        "allow",
        "cache-control",
        "cache-status",
        "cache-tag",
        "date",
        "etag",
        "expires",
        "last-modified",
        "no-vary-search",
        "pragma",
        "range",
        "retry-after",
        "vary",
        "warning",
    ],
    // Credentials and cookies (RFC 9110, 11; RFC 6265bis; RFC 8053).
    &[
        "authentication-control",
        "authentication-info",
        "authorization",
        "cookie",
        "cookie2",
        "optional-www-authenticate",
        "set-cookie",
        "set-cookie2",
        "set-login",
        "www-authenticate",
    ],
    // What browsers send by themselves.
    &[
        "accept",
        "available-dictionary",
        "device-memory",
        "dictionary-id",
        "dnt",
        "downlink",
        "dpr",
        "ect",
        "from",
        "last-event-id",
        "origin",
        "ping-from",
        "ping-to",
        "purpose",
        "referer",
        "rtt",
        "save-data",
        "service-worker",
        "service-worker-navigation-preload",
        "user-agent",
        "viewport-width",
        "width",
        "x-moz",
        "x-purpose",
        "x-requested-with",
    ],
    // What browsers obey in a response.
    &[
        "activate-storage-access",
        "clear-site-data",
        "critical-ch",
        "document-isolation-policy",
        "document-policy",
        "expect-ct",
        "feature-policy",
        "integrity-policy",
        "link",
        "location",
        "nel",
        "observe-browsing-topics",
        "origin-agent-cluster",
        "origin-trial",
        "permissions-policy",
        "public-key-pins",
        "public-key-pins-report-only",
        "referrer-policy",
        "refresh",
        "report-to",
        "reporting-endpoints",
        "require-document-policy",
        "server-timing",
        "service-worker-allowed",
        "sourcemap",
        "speculation-rules",
        "strict-transport-security",
        "supports-loading-mode",
        "timing-allow-origin",
        "use-as-dictionary",
        "x-content-type-options",
        "x-dns-prefetch-control",
        "x-download-options",
        "x-frame-options",
        "x-permitted-cross-domain-policies",
        "x-robots-tag",
        "x-sourcemap",
        "x-ua-compatible",
        "x-xss-protection",
    ],
    // What proxies report of the client, or take for its address.
    &[
        "client-ip",
        "forwarded",
        "true-client-ip",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-forwarded",
        "x-host",
        "x-real-ip",
        "x-remote-addr",
        "x-scheme",
        "x-url-scheme",
    ],
    // What proxies and tracing add to each request and write into every log.
    &[
        "b3",
        "baggage",
        "correlation-id",
        "request-id",
        "traceparent",
        "tracestate",
        "uber-trace-id",
        "x-cloud-trace-context",
        "x-correlation-id",
        "x-request-id",
        "x-request-start",
        "x-runtime",
        "x-trace-id",
    ],
    // What servers and frameworks take for a command, or write by themselves.
    &[
        "digest",
        "mime-version",
        "repr-digest",
        "server",
        "signature",
        "signature-input",
        "status",
        "want-content-digest",
        "want-digest",
        "want-repr-digest",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-powered-by",
        "x-rewrite-url",
        "x-sendfile",
    ],
    // What HTTP clients copy from a cookie by themselves, whatever page they are on.
    &["x-csrf-token", "x-csrftoken", "x-xsrf-token"],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_listed_once_in_order_and_could_be_given() {
        for names in NAMES {
            assert!(names.is_sorted(), "{names:?}");
        }
        let mut all: Vec<_> = NAMES.concat();
        all.sort_unstable();
        for pair in all.windows(2) {
            assert_ne!(pair[0], pair[1]);
        }
        for name in all {
            // `HeaderName` is in lower case; in any other case, the entry would match nothing.
            let name = HeaderName::from_static(name);
            assert!(is_taken(&name) && dropped(&name).is_none());
        }
    }
}
