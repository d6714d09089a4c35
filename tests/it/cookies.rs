//! When the session's cookie is set, and for how long.

use std::time::Duration;

use axum::{Router, routing::get};
use sessile::{
    Cookie, Named, Session, SessionLayer, Store,
    web::{CookieError, SameSite},
};

use crate::support::{Answer, DAY, OnDisk, SECOND, ask, ask_with};

fn app(store: &Store, cookie: Cookie) -> Router {
    let remember = |lasts: bool| {
        get(async move |session: Session| {
            session.insert("user", 7).unwrap();
            session.remember(lasts);
            session.rotate();
        })
    };
    Router::new()
        .route("/", get(async |session: Session| session.insert("n", 5_u64).unwrap()))
        .route("/read", get(async |session: Session| session.get::<u64>("n").unwrap().unwrap_or(0).to_string()))
        .route("/remember", remember(true))
        .route("/forget", remember(false))
        .route("/renew", get(async |session: Session| session.rotate_with_grace()))
        .route("/now/remember", get(async |session: Session| session.remember(true)))
        .route("/now/forget", get(async |session: Session| session.remember(false)))
        .layer(SessionLayer::new(store.clone()).cookie(cookie).unwrap())
}

/// The age of the one cookie that is set.
#[track_caller]
fn max_age(answer: &Answer) -> Option<u64> {
    let [cookie] = answer.set_cookies()[..] else { panic!("expected one Set-Cookie, found {:?}", answer.set_cookies()) };
    cookie.split("; ").find_map(|attribute| attribute.strip_prefix("Max-Age=")).map(|age| age.parse().unwrap())
}

/// A week, the idle timeout, and a quarter of it: the server decides when a session ends, so its cookie lasts longer.
const WEEK: u64 = 604_800 + 604_800 / 4;

#[tokio::test]
async fn the_date_of_a_cookie_moves_with_each_tenth_of_the_idle_time() {
    let disk = OnDisk::new();
    let app = app(&disk.store, Cookie::new());
    let first = ask(&app, "/", &[]).await;
    assert_eq!(max_age(&first), Some(WEEK));
    let cookie = first.cookie();
    let mut set_at = Vec::new();
    for hour in 1..=7 * 24 {
        disk.clock.advance(3600 * SECOND);
        let answer = ask_with(&app, if hour % 2 == 0 { "/read" } else { "/" }, &cookie).await;
        if !answer.set_cookies().is_empty() {
            assert_eq!((answer.cookie(), max_age(&answer)), (cookie.clone(), Some(WEEK)));
            set_at.push(hour);
        }
    }
    // A tenth is 16.8 hours, and there is a write at each odd hour.
    assert_eq!(set_at, (17..=7 * 24).step_by(18).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_visitor_gets_the_whole_idle_timeout_however_the_visits_fall() {
    let (idle, minute) = (1800, 60);
    for interval in [59, 61, 170, 179, 180, 181, 350, 900, 1799] {
        let disk = OnDisk::with(|builder| builder.idle_timeout(idle * SECOND).absolute_timeout(7 * DAY));
        let app = app(&disk.store, Cookie::new());
        let first = ask(&app, "/", &[]).await;
        let (mut now, mut cookie_ends) = (0, max_age(&first).unwrap());
        for visit in 0..200 {
            disk.clock.advance(u32::try_from(interval).unwrap() * SECOND);
            now += interval;
            assert!(cookie_ends > now, "the browser has forgotten the cookie at visit {visit} each {interval} s");
            let answer = ask_with(&app, if visit % 3 == 0 { "/" } else { "/read" }, &first.cookie()).await;
            assert_ne!(answer.body, "0", "the store has forgotten the session at visit {visit} each {interval} s");
            if !answer.set_cookies().is_empty() {
                cookie_ends = now + max_age(&answer).unwrap();
            }
            let session_ends = now + u64::from(idle);
            assert!(cookie_ends >= session_ends + minute, "{cookie_ends} after {now} s: less than the idle timeout");
        }
    }
}

#[tokio::test]
async fn a_session_for_ever_outlives_its_first_cookie_if_its_visitor_comes_back() {
    let disk = OnDisk::with(|builder| builder.idle_timeout(Duration::MAX).absolute_timeout(Duration::MAX));
    let app = app(&disk.store, Cookie::new());
    let first = ask(&app, "/", &[]).await;
    let longest = 400 * 86_400;
    assert_eq!(max_age(&first), Some(longest), "as long as browsers keep one");
    let mut set_at = Vec::new();
    for day in 1..=1000 {
        disk.clock.advance(DAY);
        // It only reads, and no use is ever due.
        let answer = ask_with(&app, "/read", &first.cookie()).await;
        assert_eq!(answer.body, "5");
        if !answer.set_cookies().is_empty() {
            assert_eq!(max_age(&answer), Some(longest));
            set_at.push(day);
        }
    }
    assert_eq!(set_at, [241, 482, 723, 964], "past 60 % of 400 days");
}

#[tokio::test]
async fn the_date_never_goes_beyond_the_absolute_timeout() {
    let disk = OnDisk::with(|builder| builder.absolute_timeout(9 * DAY));
    let app = app(&disk.store, Cookie::new());
    let cookie = ask(&app, "/", &[]).await.cookie();
    disk.clock.advance(6 * DAY);
    assert_eq!(max_age(&ask_with(&app, "/", &cookie).await), Some(3 * 86_400));
    disk.clock.advance(2 * DAY);
    assert_eq!(ask_with(&app, "/", &cookie).await.set_cookies(), [""; 0], "there is no later date");
}

#[tokio::test]
async fn a_layer_whose_cookies_end_with_the_browser() {
    let disk = OnDisk::new();
    let app = app(&disk.store, Cookie::new().browser_session());
    let first = ask(&app, "/", &[]).await;
    assert_eq!(max_age(&first), None);
    for _ in 0..6 {
        disk.clock.advance(DAY);
        assert_eq!(ask_with(&app, "/", &first.cookie()).await.set_cookies(), [""; 0], "there is no date to move");
    }
    // The session itself ends as usual.
    disk.clock.advance(7 * DAY);
    assert_eq!(ask_with(&app, "/read", &first.cookie()).await.body, "0");
}

#[tokio::test]
async fn a_session_says_by_itself_whether_it_is_remembered() {
    for (cookie, default) in [(Cookie::new(), Some(WEEK)), (Cookie::new().browser_session(), None)] {
        let disk = OnDisk::new();
        let app = app(&disk.store, cookie);
        let visitor = ask(&app, "/", &[]).await;
        assert_eq!(max_age(&visitor), default);
        let forgotten = ask_with(&app, "/forget", &visitor.cookie()).await;
        assert_eq!(max_age(&forgotten), None);
        disk.clock.advance(4 * DAY);
        assert_eq!(ask_with(&app, "/", &forgotten.cookie()).await.set_cookies(), [""; 0]);

        let remembered = ask_with(&app, "/remember", &forgotten.cookie()).await;
        assert_eq!(max_age(&remembered), Some(WEEK));
        disk.clock.advance(4 * DAY);
        assert_eq!(max_age(&ask_with(&app, "/", &remembered.cookie()).await), Some(WEEK), "and its date moves");
    }
}

#[tokio::test]
async fn to_be_remembered_needs_no_new_token() {
    let mut disk = OnDisk::new();
    let app = app(&disk.store, Cookie::new());
    let cookie = ask(&app, "/", &[]).await.cookie();
    for (path, expected) in [("/now/forget", None), ("/now/remember", Some(WEEK))] {
        let answer = ask_with(&app, path, &cookie).await;
        assert_eq!((answer.cookie(), max_age(&answer)), (cookie.clone(), expected));
        let commits = disk.store.stats().commits;
        assert_eq!(ask_with(&app, path, &cookie).await.set_cookies(), [""; 0], "it is so already");
        assert_eq!(disk.store.stats().commits, commits);
    }
    ask_with(&app, "/now/forget", &cookie).await;
    disk.reopen();
    let app = self::app(&disk.store, Cookie::new());
    disk.clock.advance(5 * DAY);
    assert_eq!(ask_with(&app, "/", &cookie).await.set_cookies(), [""; 0], "the file knows");
    let renewed = ask_with(&app, "/renew", &cookie).await;
    assert_eq!(max_age(&renewed), None, "a renewed session is remembered as before");
    assert_ne!(renewed.cookie(), cookie);
    let no_session = ask(&app, "/now/remember", &[]).await;
    assert_eq!(no_session.set_cookies(), [""; 0], "it makes no session");
}

/// Whether browsers accept the cookie, checked by the rules and not by how ours are written.
#[track_caller]
fn browsers_accept(header: &str, plain_http: bool) {
    let mut parts = header.split("; ");
    let (name, value) = parts.next().unwrap().split_once('=').unwrap();
    let attributes: Vec<&str> = parts.collect();
    let has = |wanted: &str| attributes.iter().filter(|attribute| attribute.eq_ignore_ascii_case(wanted)).count() == 1;
    let begins = |wanted: &str| attributes.iter().any(|attribute| attribute.starts_with(wanted));
    assert!(name.len() + value.len() <= 4096 && value.len() == 32, "{header}");
    assert!(has("HttpOnly"), "{header}");
    assert_ne!(has("Secure"), plain_http, "{header}");
    if name.starts_with("__Host-") {
        assert!(has("Secure") && has("Path=/") && !begins("Domain="), "{header}");
    }
    if name.starts_with("__Secure-") || has("SameSite=None") || has("Partitioned") {
        assert!(has("Secure"), "{header}");
    }
    let same_site = ["SameSite=Strict", "SameSite=Lax", "SameSite=None"].into_iter().filter(|wanted| has(wanted)).count();
    assert_eq!(same_site, 1, "{header}");
    // Each attribute once: a browser uses the last one.
    for attribute in &attributes {
        let key = attribute.split('=').next().unwrap();
        assert_eq!(attributes.iter().filter(|other| other.split('=').next() == Some(key)).count(), 1, "{header}");
    }
}

#[tokio::test]
async fn every_combination_is_safe_or_does_not_build() {
    let store = sessile::testing::store();
    let (mut built, mut refused) = (0, 0);
    for bits in 0..64_u32 {
        let is = |bit: u32| bits >> bit & 1 == 1;
        for same_site in [SameSite::Strict, SameSite::Lax, SameSite::None] {
            let mut cookie = Cookie::new().same_site(same_site);
            for (bit, change) in [
                |cookie: Cookie| cookie.name("sid"),
                |cookie: Cookie| cookie.domain("example.com"),
                |cookie: Cookie| cookie.path("/app"),
                |cookie: Cookie| cookie.partitioned(),
                |cookie: Cookie| cookie.browser_session(),
            ]
            .into_iter()
            .enumerate()
            {
                cookie = if is(u32::try_from(bit).unwrap()) { change(cookie) } else { cookie };
            }
            let plain_http = is(5);
            let layer = SessionLayer::new(store.clone());
            let layer = if plain_http { layer.plain_http_on_loopback() } else { layer };
            match layer.cookie(cookie) {
                Ok(layer) => {
                    let set = async |session: Session| session.insert("n", 1).unwrap();
                    let app = Router::new().route("/", get(set)).layer(layer);
                    let answer = ask(&app, "/", &[("host", b"localhost")]).await;
                    browsers_accept(answer.set_cookies()[0], plain_http);
                    built += 1;
                }
                Err(rule) => {
                    let needs_https = [CookieError::SameSiteNoneNeedsHttps, CookieError::PartitionedNeedsHttps];
                    assert!(plain_http && needs_https.contains(&rule), "{rule}");
                    refused += 1;
                }
            }
        }
    }
    // Over plain http, SameSite=None (32 combinations) and Partitioned on the other two (32).
    assert_eq!((built, refused), (128, 64));
}

/// Returns the name of the one cookie that an application under plain http sets.
async fn name_over_plain_http(layer: SessionLayer) -> String {
    let set = async |session: Session| session.insert("n", 1).unwrap();
    let answer = ask(&Router::new().route("/", get(set)).layer(layer), "/", &[("host", b"localhost:3000")]).await;
    answer.cookie().split('=').next().unwrap().to_owned()
}

struct Admin;

impl sessile::SessionName for Admin {
    const NAME: &str = "admin";
}

#[tokio::test]
async fn two_applications_on_this_computer_have_cookies_of_their_own() {
    let (mut one, other) = (OnDisk::new(), OnDisk::new());
    let layer = |disk: &OnDisk| SessionLayer::new(disk.store.clone()).plain_http_on_loopback();
    let name = name_over_plain_http(layer(&one)).await;
    let digits = name.strip_prefix("id-").unwrap_or_else(|| panic!("{name}"));
    assert!(digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)), "{name}");
    // A browser sends the cookies of localhost to every port.
    assert_ne!(name_over_plain_http(layer(&other)).await, name);
    assert_eq!(name_over_plain_http(layer(&one)).await, name, "layers of one store share it");
    let bound = SessionLayer::new(one.store.clone()).plain_http_on(([127, 0, 0, 1], 3000).into()).unwrap();
    assert_eq!(name_over_plain_http(bound).await, name);
    let of_browser = layer(&one).cookie(Cookie::new().browser_session()).unwrap();
    assert_eq!(name_over_plain_http(of_browser).await, name);
    // A name set by the application is used.
    for own in ["id", "sid"] {
        let before = SessionLayer::new(one.store.clone()).cookie(Cookie::new().name(own)).unwrap().plain_http_on_loopback();
        let after = layer(&one).cookie(Cookie::new().name(own)).unwrap();
        assert_eq!([name_over_plain_http(before).await, name_over_plain_http(after).await], [own; 2]);
    }
    // Signed-in users stay so when the application is restarted.
    one.reopen();
    assert_eq!(name_over_plain_http(layer(&one)).await, name);

    let named = [layer(&one).named::<Admin>(), SessionLayer::new(one.store.clone()).named::<Admin>().plain_http_on_loopback()];
    for layer in named {
        let set = async |session: Named<Admin>| session.insert("n", 1).unwrap();
        let answer = ask(&Router::new().route("/", get(set)).layer(layer), "/", &[("host", b"localhost:3000")]).await;
        assert!(answer.cookie().starts_with(&format!("admin-{digits}=")), "{:?}", answer.set_cookies());
    }
    let set = async |session: Session| session.insert("n", 1).unwrap();
    let https = Router::new().route("/", get(set)).layer(SessionLayer::new(one.store.clone()));
    assert!(ask(&https, "/", &[]).await.cookie().starts_with("__Host-id="), "other hosts share no cookies");
}

#[test]
fn plain_http_is_for_loopback_alone() {
    let layer = || SessionLayer::new(sessile::testing::store());
    for good in ["127.0.0.1:80", "127.9.9.9:3000", "[::1]:3000", "[::ffff:127.0.0.1]:80"] {
        assert!(layer().plain_http_on(good.parse().unwrap()).is_ok(), "{good}");
    }
    for bad in ["0.0.0.0:80", "[::]:80", "192.168.0.7:80", "10.0.0.1:3000", "203.0.113.5:80", "[2001:db8::1]:80"] {
        let found = bad.parse().unwrap();
        let error = layer().plain_http_on(found).unwrap_err();
        assert_eq!(error, CookieError::PlainHttpOnPublicAddress { found });
        assert!(error.to_string().contains(bad) && error.to_string().contains("RFC 6265bis section 4.1.2.5"), "{error}");
    }
    let embedded = layer().cookie(Cookie::new().same_site(SameSite::None)).unwrap();
    let error = embedded.plain_http_on("127.0.0.1:80".parse().unwrap()).unwrap_err();
    assert_eq!(error, CookieError::SameSiteNoneNeedsHttps);
}

#[test]
#[should_panic(expected = "RFC 6265bis section 5.7")]
fn a_cookie_that_needs_https_names_its_rule() {
    let embedded = SessionLayer::new(sessile::testing::store()).cookie(Cookie::new().same_site(SameSite::None)).unwrap();
    drop(embedded.plain_http_on_loopback());
}

#[test]
fn a_host_cookie_cannot_be_asked_for_with_a_domain() {
    for cookie in [Cookie::new().name("__Host-id").domain("example.com"), Cookie::new().name("__host-id").path("/app")] {
        let error = SessionLayer::new(sessile::testing::store()).cookie(cookie).unwrap_err();
        assert_eq!(error, CookieError::NamePrefix { found: "__Host-" });
        assert!(error.to_string().contains("RFC 6265bis section 4.1.3"), "{error}");
    }
}
