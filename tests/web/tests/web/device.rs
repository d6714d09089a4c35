//! Sessions that are bound to their browser's device. Chromium makes the keys and gives the proofs by itself.
//!
//! Measured with Chromium 156. It proves before a request if the short cookie is missing, and beside a request if the cookie has
//! less than two minutes left. It signs at most six times in nine minutes for a site, and says so in `Secure-Session-Skipped`;
//! with a cookie of less than about four minutes, a busy visitor runs out.

use std::{
    net::TcpListener,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::Path,
    process::{Child, Command},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderMap, StatusCode},
    middleware::map_request,
    routing::post,
};
use sessile::{
    SessionLayer, Store,
    device::{DeviceBound, RequireDevice},
    testing::{self, ManualClock},
};
use sessile_web_tests::{Browser, Front, Page, Server, application};
use tower::ServiceExt as _;

const HOST: &str = "app.example.test";
const LONG: &str = "__Host-id";
const SHORT: &str = "__Host-id-device";
const PROOF: &str = "secure-session-response";
const REFRESH: &str = "/.well-known/sessile/device/refresh";
const TEN_MINUTES: Duration = Duration::from_mins(10);

/// A store whose time the test sets.
struct Site {
    clock: ManualClock,
    store: Store,
    server: Server,
}

impl Site {
    fn new() -> Self {
        let clock = ManualClock::default();
        let store = Store::builder().clock(clock.clone()).open_in_memory().unwrap();
        let server = Server::https(bound(&store));
        Self { clock, store, server }
    }

    fn at(&self, path: &str) -> String {
        self.server.origin(HOST) + path
    }

    fn refreshes(&self) -> u64 {
        self.store.stats().device_refreshes
    }

    /// Lets the life of the short cookie end, in the store and in the browser, whose clock cannot be set.
    fn let_proof_end(&self, visitor: &Page<'_>) {
        self.clock.advance(TEN_MINUTES);
        visitor.delete_cookie(SHORT);
    }
}

fn bound(store: &Store) -> Router {
    application(store, SessionLayer::new(store.clone()).device_bound(DeviceBound::new()), "")
}

fn device(visitor: &Page<'_>) -> String {
    visitor.eval("fetch('device').then(answer => answer.text())").as_str().unwrap().to_owned()
}

/// Signs in. Returns when the browser has registered a key.
fn sign_in<'a>(browser: &'a Browser, site: &Site, user: &str) -> Page<'a> {
    let visitor = browser.page();
    visitor.go(&site.at("/account"));
    visitor.sign_in(user);
    becomes_bound(&visitor);
    visitor
}

/// Calls `is_so` until it is.
fn patiently(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_mins(1), "{what} never came");
    }
}

/// Waits until the session is bound: the browser registers beside what its visitor does.
fn becomes_bound(visitor: &Page<'_>) {
    visitor.eval("(async () => { while (await (await fetch('device')).text() !== 'Bound'); })()");
    // The store may know it a moment before the browser.
    patiently("the short cookie", || !visitor.cookies(SHORT).is_empty());
}

#[test]
fn a_browser_registers_at_the_sign_in_and_proves_over_many_lives_of_the_short_cookie() {
    let site = Site::new();
    let browser = Browser::with_device_keys();
    let visitor = sign_in(&browser, &site, "ada");
    for life in 1..=20 {
        site.let_proof_end(&visitor);
        visitor.go(&site.at("/visit"));
        assert_eq!((visitor.user(), visitor.text("#visits")), ("ada".to_owned(), life.to_string()));
        assert_eq!((device(&visitor), site.refreshes()), ("Bound".to_owned(), life));
    }
    let stats = site.store.stats();
    assert_eq!((stats.device_registrations, stats.device_refusals), (1, 0));
}

#[test]
fn two_tabs_with_twelve_requests_at_once_prove_once() {
    let site = Site::new();
    let browser = Browser::with_device_keys();
    let (first, second) = (sign_in(&browser, &site, "ada"), browser.page());
    second.go(&site.at("/account"));
    for life in 1..=5 {
        site.let_proof_end(&first);
        first
            .eval("void (window.answers = Promise.all(Array.from({ length: 12 }, () => fetch('device').then(a => a.text()))))");
        second.go(&site.at("/account"));
        assert_eq!(second.user(), "ada");
        assert_eq!(first.eval("answers.then(answers => answers.join())"), ["Bound"; 12].join(","));
        assert_eq!(site.refreshes(), life);
    }
    assert_eq!(site.store.stats().device_refusals, 0);
}

#[test]
fn a_copied_cookie_jar_is_worth_as_long_as_the_short_cookie() {
    let site = Site::new();
    let (browser, elsewhere) = (Browser::with_device_keys(), Browser::with_device_keys());
    let visitor = sign_in(&browser, &site, "ada");
    let thief = elsewhere.page();
    for cookie in [LONG, SHORT] {
        thief.set_cookie(&visitor.cookie(cookie));
    }
    thief.go(&site.at("/account"));
    assert_eq!(thief.user(), "ada", "for ten minutes");
    site.clock.advance(TEN_MINUTES);
    thief.go(&site.at("/account"));
    assert_eq!((thief.user(), device(&thief)), ("nobody".to_owned(), "Unproved".to_owned()));
    // What the thief does then changes nothing.
    thief.sign_out();
    thief.go(&site.at("/account"));
    assert_eq!(thief.user(), "nobody");

    visitor.delete_cookie(SHORT);
    visitor.go(&site.at("/account"));
    assert_eq!((visitor.user(), device(&visitor)), ("ada".to_owned(), "Bound".to_owned()));
}

#[test]
fn a_deploy_asks_for_a_proof_at_most() {
    let site = Site::new();
    let browser = Browser::with_device_keys();
    let visitor = sign_in(&browser, &site, "ada");
    site.server.deploy(bound(&site.store));
    visitor.go(&site.at("/account"));
    assert_eq!((visitor.user(), site.refreshes()), ("ada".to_owned(), 0), "the short cookie is still good");
    site.let_proof_end(&visitor);
    site.server.deploy(bound(&site.store));
    visitor.go(&site.at("/account"));
    assert_eq!((visitor.user(), site.refreshes()), ("ada".to_owned(), 1));
}

#[test]
fn a_sign_out_ends_the_browsers_side_and_the_next_sign_in_registers_another_key() {
    let site = Site::new();
    let browser = Browser::with_device_keys();
    let visitor = sign_in(&browser, &site, "ada");
    visitor.go(&site.at("/account"));
    visitor.sign_out();
    assert_eq!(visitor.cookies(LONG).len() + visitor.cookies(SHORT).len(), 0);
    visitor.go(&site.at("/account"));
    assert_eq!((visitor.user(), device(&visitor)), ("nobody".to_owned(), "Unbound".to_owned()));
    visitor.sign_in("bob");
    becomes_bound(&visitor);
    // The browser also forgets its key when the application ends the session.
    site.store.destroy_sessions_of("bob").wait().unwrap();
    visitor.go(&site.at("/account"));
    assert_eq!((visitor.user(), device(&visitor)), ("nobody".to_owned(), "Unbound".to_owned()));
    visitor.sign_in("ada");
    becomes_bound(&visitor);
    assert_eq!((site.store.stats().device_registrations, site.store.stats().device_refusals), (3, 0));
}

#[test]
fn a_browser_without_support_notices_nothing() {
    let site = Site::new();
    let browser = Browser::start();
    let visitor = browser.page();
    visitor.go(&site.at("/account"));
    visitor.sign_in("ada");
    site.clock.advance(TEN_MINUTES);
    visitor.go(&site.at("/visit"));
    assert_eq!((visitor.user(), visitor.text("#visits"), device(&visitor)), ("ada".into(), "1".into(), "Unbound".into()));
    assert_eq!(visitor.cookies(SHORT).len(), 0);
}

/// Requests that browsers sent.
type Recorded = Arc<Mutex<Vec<HeaderMap>>>;

/// Records what is sent to the path of refreshes with a proof.
fn recording(application: Router, recorded: &Recorded) -> Router {
    let recorded = recorded.clone();
    application.layer(map_request(move |request: Request| {
        if request.uri().path() == REFRESH && request.headers().contains_key(PROOF) {
            recorded.lock().unwrap().push(request.headers().clone());
        }
        std::future::ready(request)
    }))
}

/// Sends a refresh with these headers, and returns why it is refused.
fn refusal(application: &Router, headers: HeaderMap) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut request = Request::post(REFRESH).body(Body::empty()).unwrap();
        *request.headers_mut() = headers;
        let response = application.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        String::from_utf8(to_bytes(response.into_body(), 1 << 16).await.unwrap().to_vec()).unwrap()
    })
}

#[test]
fn a_proof_of_a_browser_is_refused_again_for_another_session_and_by_another_key() {
    let (store, recorded) = (testing::store(), Recorded::default());
    let application = bound(&store);
    let server = Server::https(recording(application.clone(), &recorded));
    let at = server.origin(HOST) + "/account";
    for user in ["ada", "bob"] {
        let browser = Browser::with_device_keys();
        let visitor = browser.page();
        visitor.go(&at);
        visitor.sign_in(user);
        becomes_bound(&visitor);
        visitor.delete_cookie(SHORT);
        visitor.go(&at);
        assert_eq!(visitor.user(), user);
    }
    let [of_ada, of_bob] = <[HeaderMap; 2]>::try_from(recorded.lock().unwrap().clone()).unwrap();
    assert!(refusal(&application, of_ada.clone()).contains("used before"));
    let mut foreign = of_bob.clone();
    foreign.insert(PROOF, of_ada[PROOF].clone());
    assert!(refusal(&application, foreign).contains("not one of this process for this session"));
    // A signature by another key, over a challenge of the session.
    let signed = |headers: &HeaderMap| {
        headers[PROOF].to_str().unwrap().rsplit_once('.').map(|(a, b)| [a.to_owned(), b.to_owned()]).unwrap()
    };
    let ([text, _], [_, signature]) = (signed(&of_ada), signed(&of_bob));
    let mut forged = of_ada;
    forged.insert(PROOF, format!("{text}.{signature}").try_into().unwrap());
    assert!(refusal(&application, forged).contains("does not fit the key"));
    assert_eq!(store.stats().device_refusals, 3);
}

#[test]
fn a_payment_waits_for_a_device_and_a_fresh_proof() {
    let site = Site::new();
    let layer = SessionLayer::new(site.store.clone()).device_bound(DeviceBound::new());
    let pay = Router::new().route("/pay", post(async || "paid")).layer(RequireDevice::new().fresh(Duration::from_mins(1)));
    site.server.deploy(application(&site.store, layer.clone(), "").merge(pay.layer(layer)));
    let browser = Browser::with_device_keys();
    let visitor = sign_in(&browser, &site, "ada");
    let pay = || visitor.eval("fetch('pay', { method: 'POST' }).then(answer => answer.status)");
    assert_eq!(pay(), 200);
    site.clock.advance(Duration::from_mins(2));
    assert_eq!((pay(), site.refreshes()), (403.into(), 0));
    assert_eq!((pay(), site.refreshes()), (200.into(), 1), "the browser proved before it asked again");
}

#[test]
fn a_browser_behind_a_proxy_with_its_default_settings_registers_and_proves() {
    let store = testing::store();
    let server = Server::http(bound(&store));
    let proxy = Front::bind().nginx(server.port(), "");
    let browser = Browser::with_device_keys();
    let visitor = browser.page();
    visitor.go(&(proxy.origin(HOST) + "/account"));
    visitor.sign_in("ada");
    becomes_bound(&visitor);
    visitor.delete_cookie(SHORT);
    visitor.reload();
    assert_eq!((visitor.user(), store.stats().device_refreshes), ("ada".to_owned(), 1));
}

#[test]
fn a_binding_outlives_a_server_that_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let start = || Killable::start(&listener, directory.path());
    let mut server = start();
    let proxy = Front::bind().nginx(listener.local_addr().unwrap().port(), "");
    let browser = Browser::with_device_keys();
    let visitor = browser.page();
    visitor.go(&(proxy.origin(HOST) + "/account"));
    visitor.sign_in("ada");
    becomes_bound(&visitor);
    for visits in 1..=4 {
        visitor.go(&(proxy.origin(HOST) + "/visit"));
        server.kill();
        server = start();
        if visits % 2 == 0 {
            visitor.delete_cookie(SHORT);
        }
        visitor.go(&(proxy.origin(HOST) + "/account"));
        assert_eq!(
            (visitor.user(), visitor.text("#visits"), device(&visitor)),
            ("ada".into(), visits.to_string(), "Bound".into())
        );
    }
}

/// A server in a process of its own. It ends when this is dropped.
struct Killable {
    process: Child,
    _lifeline: UnixStream,
}

impl Killable {
    /// Starts a server of the store in `directory`, that accepts the connections of `listener`.
    fn start(listener: &TcpListener, directory: &Path) -> Self {
        let (lifeline, its_end) = UnixStream::pair().unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_bound-server"))
            .arg(directory.join("sessions.redb"))
            .stdin(OwnedFd::from(listener.try_clone().unwrap()))
            .stdout(OwnedFd::from(its_end))
            .spawn()
            .unwrap();
        Self { process, _lifeline: lifeline }
    }

    /// Kills the process with the signal that it cannot handle.
    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Killable {
    fn drop(&mut self) {
        // It fails only if the process has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
