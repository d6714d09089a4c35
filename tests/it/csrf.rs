//! Requests that another site makes a visitor's browser send.

use std::{
    future::{Ready, ready},
    task::{Context, Poll, Waker},
};

use axum::{
    Router,
    body::Body,
    http::{Request, Response, StatusCode, header},
    routing::any,
};
use sessile::{CsrfLayer, Session, SessionLayer, web::CsrfError};
use tower::{Layer, Service, ServiceExt};

use crate::support::{Answer, OnDisk, saved};

const HOST: &str = "example.com";
const TRUSTED: &str = "https://pay.example.com";
const SAFE: [&str; 4] = ["GET", "HEAD", "OPTIONS", "TRACE"];
const UNSAFE: [&str; 6] = ["POST", "PUT", "PATCH", "DELETE", "CONNECT", "FROB"];

type Headers<'a> = &'a [(&'a str, &'a str)];

async fn answer(layer: CsrfLayer, method: &str, uri: &str, headers: Headers<'_>) -> Answer {
    let app: Router = Router::new().fallback(any(async || "done")).layer(layer);
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Answer::to(&app, request).await
}

async fn status(layer: CsrfLayer, method: &str, uri: &str, headers: Headers<'_>) -> StatusCode {
    answer(layer, method, uri, headers).await.status
}

/// Whether the layer accepts a request to [`HOST`].
async fn passes(method: &str, origin: Option<&str>, site: Option<&str>, lenient: bool) -> bool {
    let layer = CsrfLayer::new().trust(TRUSTED).unwrap();
    let layer = if lenient { layer.allow_without_origin() } else { layer };
    let mut headers = vec![("host", HOST)];
    headers.extend(origin.map(|origin| ("origin", origin)));
    headers.extend(site.map(|site| ("sec-fetch-site", site)));
    status(layer, method, "/", &headers).await == StatusCode::OK
}

#[tokio::test]
async fn every_method_with_every_origin_and_every_site() {
    let own = "https://example.com";
    let origins = [
        None,
        Some(own),
        Some("http://example.com"),
        Some(TRUSTED),
        Some("https://evil.example"),
        Some("https://sub.example.com"),
        Some("https://example.com:8443"),
        Some("https://example.com.evil.example"),
        Some("null"),
        Some(""),
    ];
    let sites = [None, Some("same-origin"), Some("none"), Some("same-site"), Some("cross-site"), Some("Same-Origin"), Some("")];
    let mut passed = 0;
    for lenient in [false, true] {
        for origin in origins {
            for site in sites {
                let expected = match (origin, site) {
                    (Some(TRUSTED), _) | (_, Some("same-origin" | "none")) => true,
                    (_, Some(_)) => false,
                    // Behind a proxy, the original scheme is not known.
                    (Some(origin), None) => origin == own || origin == "http://example.com",
                    (None, None) => lenient,
                };
                for method in UNSAFE {
                    let found = passes(method, origin, site, lenient).await;
                    assert_eq!(found, expected, "{method} {origin:?} {site:?}, lenient: {lenient}");
                    passed += u32::from(found);
                }
                for method in SAFE {
                    assert!(passes(method, origin, site, lenient).await, "{method} {origin:?} {site:?}");
                }
            }
        }
    }
    // Of 140 combinations for each method: 20 by each of the two good sites, 2 x 5 more by the trusted origin, 2 x 2 by the
    // host, 1 by leniency.
    assert_eq!(passed, 6 * (40 + 10 + 4 + 1));
}

#[tokio::test]
async fn a_websocket_is_not_safe() {
    for (origin, site, expected) in [
        (Some("https://example.com"), Some("same-origin"), StatusCode::OK),
        (Some("https://example.com"), None, StatusCode::OK),
        (Some("https://evil.example"), Some("cross-site"), StatusCode::FORBIDDEN),
        (Some("https://evil.example"), None, StatusCode::FORBIDDEN),
        (None, None, StatusCode::FORBIDDEN),
    ] {
        let mut headers = vec![("host", HOST), ("upgrade", "WebSocket"), ("connection", "upgrade")];
        headers.extend(origin.map(|origin| ("origin", origin)));
        headers.extend(site.map(|site| ("sec-fetch-site", site)));
        assert_eq!(status(CsrfLayer::new(), "GET", "/", &headers).await, expected, "{origin:?} {site:?}");
    }
    // A client that offers HTTP/2 opens no such channel.
    assert_eq!(status(CsrfLayer::new(), "GET", "/", &[("host", HOST), ("upgrade", "h2c")]).await, StatusCode::OK);
}

#[tokio::test]
async fn headers_that_contradict_each_other_are_refused() {
    let own = ("origin", "https://example.com");
    for headers in [
        // Twice, as no browser sends it.
        &[("host", HOST), own, own][..],
        &[("host", HOST), ("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
        // Two hosts, of which one is the origin's.
        &[("host", HOST), ("host", "evil.example"), own],
        &[own],
        &[("host", HOST), ("origin", "example.com")],
    ] {
        assert_eq!(status(CsrfLayer::new(), "POST", "/", headers).await, StatusCode::FORBIDDEN, "{headers:?}");
    }
    // HTTP/2 names the host in the URI.
    for (uri, expected) in [("https://example.com/", StatusCode::OK), ("https://evil.example/", StatusCode::FORBIDDEN)] {
        assert_eq!(status(CsrfLayer::new(), "POST", uri, &[own]).await, expected);
        assert_eq!(status(CsrfLayer::new(), "POST", uri, &[("host", HOST), own]).await, expected);
    }
}

#[tokio::test]
async fn an_origin_and_a_host_are_compared_as_browsers_read_them() {
    for (origin, host, expected) in [
        // The scheme's default port is the same as none.
        ("https://example.com", "example.com:443", true),
        ("https://example.com:443", "example.com", true),
        ("http://example.com", "example.com:80", true),
        ("https://example.com", "example.com:80", false),
        ("http://example.com", "example.com:443", false),
        ("https://example.com:8443", "example.com:8443", true),
        ("https://example.com:8443", "example.com", false),
        ("tauri://example.com", "example.com", true),
        ("tauri://example.com", "example.com:443", false),
        // One name, one address.
        ("https://example.com", "EXAMPLE.com", true),
        ("HTTPS://Example.COM", "example.com", true),
        ("https://example.com.", "example.com.", true),
        ("https://example.com.", "example.com", true),
        ("https://example.com", "example.com.:443", true),
        ("https://example.com", "example.com..", false),
        ("https://ai.", "ai", false),
        ("http://[::1]:3000", "[0:0:0:0:0:0:0:1]:3000", true),
        ("http://[::1]:3000", "[::2]:3000", false),
        ("http://127.0.0.1:3000", "127.1:3000", true),
        // Neither is a host.
        ("https://user@example.com", "example.com", false),
        ("https://example.com", "user@example.com", false),
        ("https://example.com/", "example.com", false),
        ("https://example.com", "example.com:", false),
        ("https://example.com", "example.com:0443", false),
        ("https://example.com", "example.com:+443", false),
        ("https://", "", false),
        ("null", "null", false),
        ("null", "", false),
    ] {
        let found = status(CsrfLayer::new(), "POST", "/", &[("host", host), ("origin", origin)]).await;
        assert_eq!(found == StatusCode::OK, expected, "{origin} asks {host}");
    }
}

#[tokio::test]
async fn an_origin_that_only_begins_like_a_named_one_is_refused() {
    let named = "https://example.com";
    for layer in [CsrfLayer::new().trust(named).unwrap(), CsrfLayer::new().for_origin(named).unwrap()] {
        for (origin, expected) in [
            (named, true),
            ("https://EXAMPLE.com:443", true),
            ("https://example.com.", true),
            ("https://example.com.evil.test", false),
            ("https://example.community", false),
            ("https://example.com:8443", false),
            ("https://example.com@evil.test", false),
            ("https://example.com/", false),
            ("https://example.com evil.test", false),
            ("https://evil.test/https://example.com", false),
            ("https://xexample.com", false),
            ("https://sub.example.com", false),
            ("https://example.co", false),
            ("http://example.com", false),
            ("wss://example.com", false),
            ("https://", false),
            ("null", false),
            ("", false),
        ] {
            let headers = [("host", "127.0.0.1:3000"), ("origin", origin)];
            for site in [None, Some("cross-site"), Some("same-site")] {
                let headers: Vec<_> = headers.into_iter().chain(site.map(|site| ("sec-fetch-site", site))).collect();
                let found = status(layer.clone(), "POST", "/", &headers).await;
                assert_eq!(found == StatusCode::OK, expected, "{origin}, {site:?}");
            }
        }
    }
}

#[tokio::test]
async fn behind_a_proxy_that_changes_the_host_the_applications_own_origins_count() {
    let layer = CsrfLayer::new().for_origin("https://app.example.com").unwrap().for_origin("https://example.com:8443").unwrap();
    // What nginx sends unless configured otherwise: the address of its upstream.
    let host = ("host", "127.0.0.1:3000");
    let (upgrade, connection) = (("upgrade", "websocket"), ("connection", "Upgrade"));
    for (origin, expected) in [
        ("https://app.example.com", true),
        ("https://example.com:8443", true),
        ("https://example.com", false),
        ("http://app.example.com", false),
        ("https://evil.example", false),
        // `Host` is ignored. So no other name for this address, and no page that knows the address, counts as the application.
        ("http://127.0.0.1:3000", false),
    ] {
        let origin = ("origin", origin);
        // Chromium's handshake of a WebSocket, and a form in a browser from before 2023: no `Sec-Fetch-Site`.
        for (method, headers) in [("GET", &[host, origin, upgrade, connection][..]), ("POST", &[host, origin])] {
            let found = status(layer.clone(), method, "/", headers).await;
            assert_eq!(found == StatusCode::OK, expected, "{method} {origin:?}");
        }
        let found = status(layer.clone(), "POST", "http://127.0.0.1:3000/", &[origin]).await;
        assert_eq!(found == StatusCode::OK, expected, "HTTP/2 {origin:?}");
    }
    // A browser's `Sec-Fetch-Site` is trusted, and a client that is no browser is still refused.
    for (site, expected) in [("same-origin", StatusCode::OK), ("cross-site", StatusCode::FORBIDDEN)] {
        assert_eq!(status(layer.clone(), "POST", "/", &[host, ("sec-fetch-site", site)]).await, expected);
    }
    assert_eq!(status(layer.clone(), "POST", "/", &[host]).await, StatusCode::FORBIDDEN);
    assert_eq!(status(layer.allow_without_origin(), "POST", "/", &[host]).await, StatusCode::OK);
    // Without it, the same requests are refused, because nothing shows which host the visitor requested.
    let headers = [host, ("origin", "https://app.example.com"), upgrade, connection];
    assert_eq!(status(CsrfLayer::new(), "GET", "/", &headers).await, StatusCode::FORBIDDEN);
    for bad in ["", "null", "*", "app.example.com", "https://app.example.com/", "https://*.example.com"] {
        let error = CsrfLayer::new().for_origin(bad).unwrap_err();
        assert_eq!(error, CsrfError::NotAnOrigin { found: bad.to_owned() });
    }
}

#[tokio::test]
async fn a_refusal_says_what_was_compared_and_what_to_do() {
    let own = || CsrfLayer::new().for_origin("https://app.example.com").unwrap();
    let also = own().for_origin("https://example.com:8443").unwrap();
    let host = ("host", "127.0.0.1:3000");
    let app = ("origin", "https://app.example.com");
    let cases: [(CsrfLayer, Headers<'_>, &[&str]); 9] = [
        (CsrfLayer::new(), &[host, app], &["`https://app.example.com`", "`Host` `127.0.0.1:3000`", "for_origin", "trust"]),
        (CsrfLayer::new(), &[app], &["`https://app.example.com`", "no `Host`", "for_origin"]),
        (
            CsrfLayer::new(),
            &[host, app, ("sec-fetch-site", "same-site")],
            &["`https://app.example.com`", "`same-site`", "trust"],
        ),
        (
            also,
            &[host, ("origin", "https://x.example")],
            &["`https://x.example`", "`https://app.example.com` or `https://example.com:8443`"],
        ),
        (own(), &[host, ("origin", "null")], &["`null`", "Referrer-Policy"]),
        (CsrfLayer::new(), &[host, ("sec-fetch-site", "cross-site")], &["`cross-site`", "`same-origin`"]),
        (CsrfLayer::new(), &[host], &["neither `Origin` nor `Sec-Fetch-Site`", "allow_without_origin"]),
        (CsrfLayer::new(), &[host, app, app], &["`origin` twice"]),
        // Values of the request are made visible, and cut.
        (CsrfLayer::new(), &[host, ("origin", "https://\u{a0}é\t<b>")], &[r"`https://\xc2\xa0\xc3\xa9\t<b>`"]),
    ];
    for (layer, headers, expected) in cases {
        let refused = answer(layer, "POST", "/", headers).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
        assert_eq!(refused.header(header::CONTENT_TYPE), Some("text/plain; charset=utf-8"));
        assert_eq!(refused.header(header::CACHE_CONTROL), Some("no-store"));
        for expected in expected {
            assert!(refused.body.contains(expected), "{expected} is not in {}", refused.body);
        }
        assert_eq!(refused.body.find(char::is_control), Some(refused.body.len() - 1), "{}", refused.body);
    }
    let long = format!("https://{}.example", "x".repeat(5000));
    assert!(answer(CsrfLayer::new(), "POST", "/", &[host, ("origin", &long)]).await.body.len() < 700);
}

#[tokio::test]
async fn a_refused_request_does_not_reach_the_session() {
    let disk = OnDisk::new();
    let (_, token) = saved(&disk.store, 1);
    let end = async |session: Session| session.destroy();
    for inside in [true, false] {
        let app: Router = Router::new().fallback(any(end));
        let sessions = SessionLayer::new(disk.store.clone());
        let csrf = CsrfLayer::new();
        let app = if inside { app.layer(csrf).layer(sessions) } else { app.layer(sessions).layer(csrf) };
        let request = Request::post("/")
            .header("host", HOST)
            .header("origin", "https://evil.example")
            .header("cookie", format!("__Host-id={}", token.expose()));
        let response = app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert!(!response.headers().contains_key("set-cookie") && !response.headers().contains_key("vary"));
        assert_eq!(crate::support::n_of(&disk.store, &token), Some(1));
    }
}

#[test]
fn a_forms_token_belongs_to_its_session() {
    let mut disk = OnDisk::new();
    let (session, token) = saved(&disk.store, 1);
    let (one, two) = (session.csrf_token().unwrap(), session.csrf_token().unwrap());
    assert_ne!(one, two, "each has another mask, so that compression reveals nothing");
    assert_eq!(one.len(), 64);
    session.save().wait().unwrap();
    let other = saved(&disk.store, 2).0;
    let foreign = other.csrf_token().unwrap();
    disk.reopen();
    let session = disk.store.session(Some(&token)).unwrap();
    for good in [&one, &two, &one.to_uppercase()] {
        assert!(session.is_csrf_token(good));
    }
    for bad in
        [&foreign, "", &one[1..], &format!("{one}0"), &"0".repeat(64), &one.replace(|_: char| true, "é"), &"g".repeat(64)]
    {
        assert!(!session.is_csrf_token(bad), "{bad}");
    }
    for at in 0..64 {
        let mut changed = one.clone().into_bytes();
        changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
        assert!(!session.is_csrf_token(std::str::from_utf8(&changed).unwrap()), "{at}");
    }
    assert!(!sessile::testing::session().is_csrf_token(&one));
}

#[test]
fn two_pages_opened_at_once_both_have_good_forms() {
    let disk = OnDisk::new();
    let (_, token) = saved(&disk.store, 1);
    let pages = [(); 2].map(|()| disk.store.session(Some(&token)).unwrap());
    let fields = [0, 1].map(|at| pages[at].csrf_token().unwrap());
    for page in &pages {
        page.save().wait().unwrap();
    }
    let session = disk.store.session(Some(&token)).unwrap();
    assert!(fields.iter().all(|field| session.is_csrf_token(field)));
}

#[test]
fn a_forms_token_does_not_outlive_a_login() {
    let disk = OnDisk::new();
    let (planted, token) = saved(&disk.store, 1);
    let known = planted.csrf_token().unwrap();
    planted.save().wait().unwrap();
    let login = disk.store.session(Some(&token)).unwrap();
    // The attacker who planted the session requests a form at the same moment.
    let meanwhile = disk.store.session(Some(&token)).unwrap();
    let also_known = meanwhile.csrf_token().unwrap();
    meanwhile.save().wait().unwrap();
    login.rotate();
    let fresh = login.csrf_token().unwrap();
    login.save().wait().unwrap();
    let session = disk.store.session(login.token().as_ref()).unwrap();
    assert!(session.is_csrf_token(&fresh));
    assert!(!session.is_csrf_token(&known) && !session.is_csrf_token(&also_known));
    session.rotate();
    session.save().wait().unwrap();
    assert!(!session.is_csrf_token(&fresh), "and so at every rotation");
}

/// A service that is ready at the second call, or reports that it is broken.
#[derive(Clone)]
struct Slow {
    asked: u8,
    is_broken: bool,
}

impl Service<Request<Body>> for Slow {
    type Response = Response<Body>;
    type Error = &'static str;
    type Future = Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.asked += 1;
        match self.asked {
            1 => Poll::Pending,
            _ => Poll::Ready(if self.is_broken { Err("broken") } else { Ok(()) }),
        }
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        ready(Ok(Response::new(Body::empty())))
    }
}

#[test]
fn layers_are_ready_when_what_they_are_around_is() {
    fn readiness(mut service: impl Service<Request<Body>, Error = &'static str>) -> Vec<Poll<Result<(), &'static str>>> {
        (0..2).map(|_| service.poll_ready(&mut Context::from_waker(Waker::noop()))).collect()
    }
    let sessions = SessionLayer::new(OnDisk::new().store.clone());
    for (is_broken, second) in [(false, Ok(())), (true, Err("broken"))] {
        let slow = Slow { asked: 0, is_broken };
        let expected = [Poll::Pending, Poll::Ready(second)];
        assert_eq!(readiness(CsrfLayer::new().layer(slow.clone())), expected);
        assert_eq!(readiness(sessions.layer(slow)), expected);
    }
}

#[test]
fn an_answer_under_way_shows_nothing_of_the_request() {
    let mut service = CsrfLayer::new().layer(Slow { asked: 0, is_broken: false });
    let request = Request::get("/").header("cookie", "__Host-id=secret").body(Body::empty()).unwrap();
    assert_eq!(format!("{:?}", service.call(request)), "CsrfFuture { .. }");
}
