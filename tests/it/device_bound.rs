//! Sessions that are bound to their browser's device, with a client that speaks the protocol as Chromium does.

mod client;

use std::time::Duration;

use axum::{
    Router,
    http::{StatusCode, header},
    routing::{get, post},
};
use serde_json::{Value, json};
use sessile::{
    Error, Session, SessionLayer, SessionName,
    device::{Device, DeviceBound, Refusal, RequireDevice},
    events::Event,
};

use tower::{Layer, Service};

use self::client::{Browser, Key};
use crate::support::OnDisk;

const REGISTER: &str = "/.well-known/sessile/device/register";
const REFRESH: &str = "/.well-known/sessile/device/refresh";
const COOKIE: &str = "__Host-id";
const SHORT: &str = "__Host-id-device";
const MINUTE: Duration = Duration::from_mins(1);

async fn sign_in(session: Session) -> Result<(), Error> {
    session.insert("cart", 7)?;
    session.sign_in("ada")
}

async fn page(session: Session) -> Result<String, Error> {
    let owner = session.owner().map_or("nobody".to_owned(), |owner| owner.to_string());
    Ok(format!("{owner} {:?} {:?}", session.get::<u32>("cart")?, session.device()))
}

async fn sign_out(session: Session) {
    session.sign_out();
}

/// Pages of which one demands a device.
fn pages() -> Router {
    let pay = Router::new().route("/pay", post(async || "paid")).layer(RequireDevice::new());
    Router::new().route("/", get(page)).route("/sign-in", post(sign_in)).merge(pay)
}

fn app(disk: &OnDisk) -> Router {
    Router::new()
        .route("/pay", post(async || "paid"))
        .layer(RequireDevice::new())
        .route("/", get(page))
        .route("/sign-in", post(sign_in))
        .route("/again", post(async |session: Session| session.rotate()))
        .route("/sign-out", post(sign_out))
        .route("/write", post(async |session: Session| session.insert("visits", 1)))
        .merge(Router::new().route("/password", post(async || "changed")).layer(RequireDevice::new().fresh(MINUTE)))
        .layer(SessionLayer::new(disk.store.clone()).device_bound(DeviceBound::new()))
}

/// A signed-in browser whose session is bound.
async fn bound(app: &Router) -> Browser {
    bound_with(app, Key::p256(7)).await
}

async fn bound_with(app: &Router, key: Key) -> Browser {
    let mut browser = Browser::with(key);
    let answer = browser.send(app, "POST", "/sign-in", &[]).await;
    assert_eq!(browser.register(app, &answer).await.status, StatusCode::OK);
    browser
}

#[tokio::test]
async fn a_session_is_bound_at_the_sign_in_and_proved_for_ten_minutes() {
    let disk = OnDisk::new();
    let app = app(&disk);
    let mut browser = Browser::new(7);
    let answer = browser.send(&app, "POST", "/write", &[]).await;
    assert!(answer.challenge("secure-session-registration").is_none(), "nobody has signed in");
    let answer = browser.send(&app, "POST", "/sign-in", &[]).await;
    assert_eq!(browser.page(&app).await, "ada Some(7) Unbound", "a browser without support goes on");
    let registered = browser.register(&app, &answer).await;
    assert_eq!(registered.status, StatusCode::OK);
    let session = browser.session.clone().unwrap();
    assert_eq!(session["refresh_url"], REFRESH);
    assert_eq!(session["scope"], json!({ "include_site": false, "scope_specification": [] }), "the origin of the request");
    assert_eq!(session["credentials"][0]["name"], SHORT);
    assert_eq!(session["credentials"][0]["attributes"], "Path=/; Secure; HttpOnly; SameSite=Lax");
    assert_eq!(registered.headers[header::CONTENT_TYPE], "application/json");
    assert!(registered.headers[header::CACHE_CONTROL].to_str().unwrap().contains("no-store"));
    let set = registered.headers[header::SET_COOKIE].to_str().unwrap();
    assert!(set.starts_with(&format!("{SHORT}=")) && set.contains("Max-Age=600; Secure; HttpOnly"), "{set}");

    assert_eq!(browser.page(&app).await, "ada Some(7) Bound");
    disk.clock.advance(Duration::from_secs(599));
    assert_eq!(browser.page(&app).await, "ada Some(7) Bound");
    disk.clock.advance(Duration::from_secs(1));
    let unproved = browser.send(&app, "GET", "/", &[]).await;
    assert_eq!(unproved.body, "nobody None Unproved");
    assert!(unproved.challenge("secure-session-challenge").is_some());
    // The short one is deleted: while a browser has one, it does not prove.
    let [set] = unproved.headers.get_all(header::SET_COOKIE).iter().collect::<Vec<_>>()[..] else { panic!("one cookie") };
    assert!(set.to_str().unwrap().starts_with(&format!("{SHORT}=; ")), "{set:?}");
    assert!(!browser.send(&app, "GET", "/", &[]).await.headers.contains_key(header::SET_COOKIE));
    assert_eq!(browser.refresh(&app).await.status, StatusCode::OK);
    assert_eq!(browser.page(&app).await, "ada Some(7) Bound");
    let stats = disk.store.stats();
    assert_eq!((stats.device_registrations, stats.device_refreshes, stats.device_refusals), (1, 1, 0));
}

#[tokio::test]
async fn a_copied_jar_is_worth_as_long_as_the_short_cookie() {
    let disk = OnDisk::new();
    let app = app(&disk);
    let mut browser = bound(&app).await;
    let mut thief = Browser { key: Key::p256(9), ..browser.clone() };
    assert_eq!(thief.page(&app).await, "ada Some(7) Bound", "for minutes");
    disk.clock.advance(10 * MINUTE);
    assert_eq!(thief.page(&app).await, "nobody None Unproved");
    assert_eq!(thief.refresh(&app).await.status, StatusCode::FORBIDDEN, "another key");
    // What the thief writes goes nowhere, and does not end the session.
    assert_eq!(thief.send(&app, "POST", "/write", &[]).await.status, StatusCode::OK);
    assert_eq!(thief.send(&app, "POST", "/again", &[]).await.headers.get(header::SET_COOKIE), None);
    assert_eq!(thief.send(&app, "POST", "/sign-out", &[]).await.headers.get(header::SET_COOKIE), None);
    assert_eq!(thief.page(&app).await, "nobody None Unproved");
    assert_eq!(browser.refresh(&app).await.status, StatusCode::OK);
    assert_eq!(browser.page(&app).await, "ada Some(7) Bound");
    assert_eq!(disk.store.sessions_of("ada").unwrap().len(), 1);
    // A short cookie of another session does not help.
    let mut other = Browser::new(9);
    let answer = other.send(&app, "POST", "/sign-in", &[]).await;
    other.register(&app, &answer).await;
    thief.cookies.insert(SHORT.to_owned(), other.cookies[SHORT].clone());
    assert_eq!(thief.page(&app).await, "nobody None Unproved");
}

#[tokio::test]
async fn a_proof_is_used_once_and_for_its_own_session() {
    let disk = OnDisk::new();
    let app = app(&disk);
    let (mut browser, mut other) = (bound(&app).await, bound(&app).await);
    let identifier = browser.identifier();
    let asked = browser.send(&app, "POST", REFRESH, &[("sec-secure-session-id", &identifier)]).await;
    let challenge = asked.challenge("secure-session-challenge").unwrap();
    let proof = browser.proof(&challenge, false);
    let headers = [("sec-secure-session-id", &*identifier), ("secure-session-response", &proof)];

    // The other session has the same key, and not the challenge.
    let own = other.identifier();
    let foreign = [("sec-secure-session-id", &*own), ("secure-session-response", &proof)];
    assert_eq!(other.send(&app, "POST", REFRESH, &foreign).await.status, StatusCode::FORBIDDEN);
    let answer = other.send(&app, "POST", REFRESH, &headers).await;
    assert!(
        answer.status == StatusCode::OK && answer.body.contains(r#""continue":false"#),
        "of another session: {}",
        answer.body
    );
    assert!(!answer.headers.contains_key(header::SET_COOKIE));

    assert_eq!(browser.send(&app, "POST", REFRESH, &headers).await.status, StatusCode::OK);
    let replayed = browser.send(&app, "POST", REFRESH, &headers).await;
    assert_eq!((replayed.status, replayed.body.contains("used before")), (StatusCode::FORBIDDEN, true));
    disk.clock.advance(Duration::from_secs(10));
    // A challenge that came with a page works, and one that is five minutes old does not.
    let [page, later] = [browser.unproved(&app).await, browser.unproved(&app).await];
    let proof = browser.proof(&page, false);
    let headers = [("sec-secure-session-id", &*identifier), ("secure-session-response", &proof)];
    assert_eq!(browser.send(&app, "POST", REFRESH, &headers).await.status, StatusCode::OK);
    let ahead = later;
    let proof = browser.proof(&ahead, false);
    let headers = [("sec-secure-session-id", &*identifier), ("secure-session-response", &proof)];
    disk.clock.advance(5 * MINUTE + Duration::from_millis(1));
    let stale = browser.send(&app, "POST", REFRESH, &headers).await;
    assert_eq!((stale.status, stale.body.contains("five minutes")), (StatusCode::FORBIDDEN, true));
    assert!(stale.challenge("secure-session-challenge").is_some(), "with another challenge");
    // A proof is for the session that it names.
    let ahead = stale.challenge("secure-session-challenge").unwrap();
    let proof = browser.proof(&ahead, false);
    for another in ["", "x"] {
        let headers = [("sec-secure-session-id", another), ("secure-session-response", &proof)];
        assert_eq!(browser.send(&app, "POST", REFRESH, &headers).await.status, StatusCode::FORBIDDEN, "{another}");
    }
    // Nor one for a registration.
    let answer = Browser::new(5).send(&app, "POST", "/sign-in", &[]).await;
    let proof = browser.proof(&answer.challenge("secure-session-registration").unwrap(), false);
    let headers = [("sec-secure-session-id", &*identifier), ("secure-session-response", &proof)];
    assert_eq!(browser.send(&app, "POST", REFRESH, &headers).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_page_that_was_asked_for_before_the_browser_had_its_short_cookie_is_answered() {
    let disk = OnDisk::new();
    let app = app(&disk);
    let mut browser = bound(&app).await;
    browser.cookies.remove(SHORT);
    disk.clock.advance(Duration::from_millis(9_999));
    assert_eq!(browser.page(&app).await, "ada Some(7) Bound");
    disk.clock.advance(Duration::from_millis(1));
    assert_eq!(browser.page(&app).await, "nobody None Unproved");
}

#[tokio::test]
async fn of_two_registrations_at_the_same_time_one_binds_the_session() {
    let disk = OnDisk::new();
    let layer = SessionLayer::new(disk.store.clone()).device_bound(DeviceBound::new());
    let (app, mut service) = (pages().layer(layer.clone()), layer.layer(pages()));
    let mut browser = Browser::new(7);
    let asked = browser.send(&app, "POST", "/sign-in", &[]).await;
    let asked_again = browser.send(&app, "POST", "/pay", &[]).await;
    let thief = Browser { key: Key::p256(9), ..browser.clone() };
    // Both are called before either is polled, and so before either commits.
    let first = service.call(browser.registration(&asked));
    let second = service.call(thief.registration(&asked_again));
    let first = first.await.unwrap();
    let second = second.await.unwrap();
    assert_eq!((first.status(), second.status()), (StatusCode::OK, StatusCode::CONFLICT));
    assert!(!second.headers().contains_key(header::SET_COOKIE));
    assert_eq!(disk.store.stats().device_registrations, 1);
}

#[tokio::test]
async fn a_registration_is_for_the_one_who_signed_in_and_once() {
    let disk = OnDisk::new();
    let app = app(&disk);
    let mut browser = Browser::new(7);
    let answer = browser.send(&app, "POST", "/sign-in", &[]).await;
    let challenge = answer.challenge("secure-session-registration").unwrap();
    let second = browser.send(&app, "POST", "/pay", &[]).await;
    // Without the cookie, without a key, without a proof.
    assert_eq!(Browser::new(7).register(&app, &answer).await.status, StatusCode::FORBIDDEN);
    let proof = browser.proof(&challenge, false);
    assert_eq!(
        browser.send(&app, "POST", REGISTER, &[("secure-session-response", &proof)]).await.status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(browser.send(&app, "POST", REGISTER, &[]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(browser.page(&app).await, "ada Some(7) Unbound");
    assert_eq!(browser.register(&app, &answer).await.status, StatusCode::OK);
    // A thief of the long cookie cannot bind the session to another key.
    let mut thief = Browser { key: Key::p256(9), ..browser.clone() };
    assert_eq!(thief.register(&app, &answer).await.status, StatusCode::FORBIDDEN, "the challenge was used");
    assert_eq!(thief.register(&app, &second).await.status, StatusCode::FORBIDDEN, "the session is bound");
    assert_eq!(browser.refresh(&app).await.status, StatusCode::OK);
    // Other methods and paths reach the application.
    assert_eq!(browser.send(&app, "GET", REGISTER, &[]).await.status, StatusCode::NOT_FOUND);
    assert_eq!(browser.send(&app, "POST", "/.well-known/sessile/device", &[]).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_binding_survives_a_rotation_and_a_restart_and_ends_with_the_session() {
    let mut disk = OnDisk::new();
    let mut browser = bound(&app(&disk)).await;
    let before = browser.cookies[COOKIE].clone();
    let answer = browser.send(&app(&disk), "POST", "/again", &[]).await;
    assert!(answer.challenge("secure-session-registration").is_none(), "it is bound already");
    assert_ne!(browser.cookies[COOKIE], before);
    assert_eq!(browser.page(&app(&disk)).await, "ada Some(7) Bound");
    disk.reopen();
    let app = app(&disk);
    assert_eq!(browser.page(&app).await, "ada Some(7) Bound", "the short cookie, too");
    disk.clock.advance(10 * MINUTE);
    assert_eq!(browser.page(&app).await, "nobody None Unproved");
    assert_eq!(browser.refresh(&app).await.status, StatusCode::OK);
    assert_eq!(browser.page(&app).await, "ada Some(7) Bound");

    let answer = browser.send(&app, "POST", "/sign-out", &[]).await;
    assert_eq!(answer.headers.get_all(header::SET_COOKIE).iter().count(), 2, "both cookies go");
    assert!(browser.cookies.is_empty());
    let answer = browser.refresh(&app).await;
    let told: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((answer.status, &told["continue"]), (StatusCode::OK, &json!(false)), "the browser forgets its key");
    assert_eq!(told["session_identifier"], browser.identifier());
}

#[tokio::test]
async fn a_sign_in_takes_the_binding_away_and_asks_again() {
    let disk = OnDisk::new();
    let app = app(&disk);
    // An attacker signs in, binds the session to his key, and plants it in another browser.
    let attacker = bound(&app).await;
    let mut victim = Browser { key: Key::p256(9), ..attacker.clone() };
    let answer = victim.send(&app, "POST", "/sign-in", &[]).await;
    assert_eq!(victim.page(&app).await, "ada Some(7) Unbound");
    assert_eq!(victim.register(&app, &answer).await.status, StatusCode::OK);
    assert_eq!(victim.page(&app).await, "ada Some(7) Bound");
}

#[tokio::test]
async fn a_route_can_demand_a_device_and_a_fresh_proof() {
    let disk = OnDisk::new();
    let app = app(&disk);
    let mut browser = Browser::new(7);
    let answer = browser.send(&app, "POST", "/pay", &[]).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.challenge("secure-session-registration").is_none(), "nobody has signed in");
    browser.send(&app, "POST", "/sign-in", &[]).await;
    let answer = browser.send(&app, "POST", "/pay", &[]).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(browser.register(&app, &answer).await.status, StatusCode::OK, "it asks for a key");
    assert_eq!(browser.send(&app, "POST", "/pay", &[]).await.body, "paid");
    assert_eq!(browser.send(&app, "POST", "/password", &[]).await.body, "changed");
    disk.clock.advance(2 * MINUTE);
    assert_eq!(browser.send(&app, "POST", "/pay", &[]).await.body, "paid");
    assert_eq!(browser.send(&app, "POST", "/password", &[]).await.status, StatusCode::FORBIDDEN);
    assert!(!browser.cookies.contains_key(SHORT), "so the browser proves before its next request");
    assert_eq!(browser.refresh(&app).await.status, StatusCode::OK);
    assert_eq!(browser.send(&app, "POST", "/password", &[]).await.body, "changed");
    disk.clock.advance(10 * MINUTE);
    let answer = browser.send(&app, "POST", "/pay", &[]).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.challenge("secure-session-challenge").is_some());
}

struct Admin;

impl SessionName for Admin {
    const NAME: &'static str = "admin";
}

#[tokio::test]
async fn a_demand_is_made_of_the_layer_whose_session_it_is_about() {
    let disk = OnDisk::new();
    // Another layer, with sessions of its own, is between the route and the layer that binds.
    let app = Router::new()
        .route("/pay", post(async || "paid"))
        .layer(RequireDevice::new())
        .layer(SessionLayer::new(disk.store.clone()).named::<Admin>())
        .route("/sign-in", post(sign_in))
        .layer(SessionLayer::new(disk.store.clone()).device_bound(DeviceBound::new()));
    let mut browser = Browser::new(7);
    browser.send(&app, "POST", "/sign-in", &[]).await;
    let answer = browser.send(&app, "POST", "/pay", &[]).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(browser.register(&app, &answer).await.status, StatusCode::OK);
    assert_eq!(browser.send(&app, "POST", "/pay", &[]).await.body, "paid");
}

#[tokio::test]
async fn a_flood_of_refreshes_writes_and_reads_nothing() {
    let disk = OnDisk::new();
    let app = app(&disk);
    let mut browser = bound(&app).await;
    disk.store.flush().wait().unwrap();
    let before = disk.store.stats();
    for _ in 0..50 {
        assert_eq!(browser.refresh(&app).await.status, StatusCode::OK);
        let answer = Browser::new(1).send(&app, "POST", REFRESH, &[("secure-session-response", &"a".repeat(9000))]).await;
        assert_eq!(answer.status, StatusCode::OK);
        let headers = [("sec-secure-session-id", "x"), ("secure-session-response", &*"a".repeat(9000))];
        assert_eq!(browser.clone().send(&app, "POST", REFRESH, &headers).await.status, StatusCode::FORBIDDEN);
    }
    disk.store.flush().wait().unwrap();
    let after = disk.store.stats();
    assert_eq!((before.commits, before.syncs, before.disk_hits), (after.commits, after.syncs, after.disk_hits));
}

#[tokio::test]
async fn a_session_that_is_cleared_stays_bound() {
    let disk = OnDisk::new();
    let app = Router::new()
        .route("/clear", post(async |session: Session| session.clear()))
        .route("/", get(page))
        .route("/sign-in", post(sign_in))
        .layer(SessionLayer::new(disk.store.clone()).device_bound(DeviceBound::new()));
    let mut browser = bound(&app).await;
    browser.send(&app, "POST", "/clear", &[]).await;
    assert_eq!(browser.page(&app).await, "ada None Bound");
    assert_eq!(disk.store.stats().device_registrations, 1);
    browser.cookies.remove(SHORT);
    disk.clock.advance(Duration::from_secs(10));
    assert_eq!(browser.page(&app).await, "nobody None Unproved");
    assert_eq!(disk.store.session(None).unwrap().device(), Device::Unbound);
}

#[tokio::test]
async fn the_owner_and_subscribers_see_which_sessions_are_bound() {
    let disk = OnDisk::new();
    let app = app(&disk);
    let mut events = disk.store.subscribe();
    let is_bound = || disk.store.sessions_of("ada").unwrap().iter().map(|info| info.is_device_bound).collect::<Vec<_>>();
    let mut browser = Browser::new(7);
    let answer = browser.send(&app, "POST", "/sign-in", &[]).await;
    let handle = disk.store.sessions_of("ada").unwrap()[0].handle;
    assert_eq!((is_bound(), events.try_next()), (vec![false], Some(Event::Created { handle })));
    browser.register(&app, &answer).await;
    assert_eq!((is_bound(), events.try_next()), (vec![true], Some(Event::DeviceBound { handle })));
    browser.refresh(&app).await;
    let identifier = browser.identifier();
    let headers = [("sec-secure-session-id", &*identifier), ("secure-session-response", "x")];
    browser.send(&app, "POST", REFRESH, &headers).await;
    let refused = Event::DeviceRefused { handle, refusal: Refusal::Malformed };
    assert_eq!((events.try_next(), events.try_next()), (Some(refused), None), "a refresh is no event");
    // Another user signs in to the session: it is not bound to their device.
    browser.send(&app, "POST", "/sign-in", &[]).await;
    assert_eq!(is_bound(), [false]);
}

#[cfg(feature = "device-bound-rs256")]
#[tokio::test]
async fn a_device_with_rsa_only_registers_and_proves() {
    let mut disk = OnDisk::new();
    let mut browser = bound_with(&app(&disk), Key::Rsa).await;
    disk.reopen();
    let app = app(&disk);
    assert_eq!(browser.page(&app).await, "ada Some(7) Bound");
    disk.clock.advance(10 * MINUTE);
    assert_eq!(browser.page(&app).await, "nobody None Unproved");
    let mut thief = Browser { key: Key::p256(9), ..browser.clone() };
    assert_eq!(thief.refresh(&app).await.status, StatusCode::FORBIDDEN, "another algorithm");
    assert_eq!(browser.refresh(&app).await.status, StatusCode::OK);
    assert_eq!(browser.page(&app).await, "ada Some(7) Bound");
}

#[cfg(not(feature = "device-bound-rs256"))]
#[tokio::test]
async fn a_build_without_rsa_refuses_its_keys() {
    let disk = OnDisk::new();
    let mut browser = Browser::with(Key::Rsa);
    let answer = browser.send(&app(&disk), "POST", "/sign-in", &[]).await;
    assert_eq!(browser.register(&app(&disk), &answer).await.status, StatusCode::FORBIDDEN);
}

#[cfg(feature = "sealed")]
#[tokio::test]
async fn a_sealed_session_is_bound_and_stays_bound_when_it_moves() {
    let disk = OnDisk::new();
    let app = Router::new()
        .route("/", get(page))
        .route("/sign-in", post(sign_in))
        .route("/grow", post(async |session: Session| session.insert("value", "v".repeat(3000))))
        .route("/shrink", post(async |session: Session| session.remove("value").map(drop)))
        .layer(
            SessionLayer::new(disk.store.clone())
                .sealed_cookies(&sessile::Keys::from([7; 32]), 1500)
                .unwrap()
                .device_bound(DeviceBound::new()),
        );
    for key in [
        Key::p256(7),
        #[cfg(feature = "device-bound-rs256")]
        Key::Rsa,
    ] {
        let mut browser = bound_with(&app, key).await;
        let mut places = Vec::new();
        for path in ["/grow", "/shrink"] {
            places.push(browser.cookies[COOKIE].starts_with('~'));
            assert_eq!(browser.page(&app).await, "ada Some(7) Bound");
            disk.clock.advance(10 * MINUTE);
            assert_eq!(browser.page(&app).await, "nobody None Unproved");
            let mut thief = Browser { key: Key::p256(9), ..browser.clone() };
            assert_eq!(thief.refresh(&app).await.status, StatusCode::FORBIDDEN);
            assert_eq!(browser.refresh(&app).await.status, StatusCode::OK);
            assert_eq!(browser.send(&app, "POST", path, &[]).await.status, StatusCode::OK);
        }
        places.push(browser.cookies[COOKIE].starts_with('~'));
        assert_eq!(browser.page(&app).await, "ada Some(7) Bound");
        assert_eq!(places, [false, false, true], "it moves into the store when it is bound");
    }
}

#[cfg(feature = "sealed")]
#[tokio::test]
async fn a_sealed_cookie_from_before_the_registration_binds_no_other_key() {
    let disk = OnDisk::new();
    let layer = SessionLayer::new(disk.store.clone())
        .sealed_cookies(&sessile::Keys::from([7; 32]), 1500)
        .unwrap()
        .device_bound(DeviceBound::new());
    let (app, mut service) = (pages().layer(layer.clone()), layer.layer(pages()));
    let mut browser = Browser::new(7);
    let asked = browser.send(&app, "POST", "/sign-in", &[]).await;
    let mut thief = Browser { key: Key::p256(9), ..browser.clone() };
    let asked_again = thief.send(&app, "POST", "/pay", &[]).await;
    assert!(thief.cookies[COOKIE].starts_with('~'));
    let second = service.call(thief.registration(&asked_again));
    assert_eq!(browser.register(&app, &asked).await.status, StatusCode::OK);
    assert_eq!(second.await.unwrap().status(), StatusCode::CONFLICT, "it was loaded before the other was committed");
    assert_eq!(thief.register(&app, &asked_again).await.status, StatusCode::FORBIDDEN);
    disk.clock.advance(10 * MINUTE);
    assert_ne!(thief.page(&app).await, "ada Some(7) Bound");
    assert_eq!(thief.send(&app, "POST", "/pay", &[]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(browser.refresh(&app).await.status, StatusCode::OK);
    assert_eq!(browser.page(&app).await, "ada Some(7) Bound");
}

#[tokio::test]
async fn a_session_that_goes_on_without_its_owner_is_not_bound() {
    let disk = OnDisk::new();
    let app = Router::new()
        .route("/", get(page))
        .route("/sign-in", post(sign_in))
        .route("/unbind", post(async |session: Session| session.unbind_owner()))
        .layer(SessionLayer::new(disk.store.clone()).device_bound(DeviceBound::new()));
    let mut browser = bound(&app).await;
    browser.send(&app, "POST", "/unbind", &[]).await;
    disk.clock.advance(10 * MINUTE);
    assert_eq!(browser.page(&app).await, "nobody Some(7) Unbound");
}

#[cfg(feature = "foreign")]
#[tokio::test]
async fn an_imported_session_is_bound_as_it_was() {
    use sessile::{
        Keys,
        foreign::import::{Exported, Import, export},
        model::Entry,
    };

    type Values = Vec<(String, Entry)>;

    let mut sessions: Vec<(Exported, Values)> = Vec::new();
    let disk = OnDisk::with(|builder| builder.keys(Keys::from([7; 32])));
    let mut browser = bound(&app(&disk)).await;
    export(&disk.store, |session, values| {
        let copy = |entry: sessile::model::EntryRef<'_>| {
            Entry::from_parts(entry.lane(), entry.bytes(), &sessile::model::Limits::UNLIMITED)
        };
        let values = values.map(|(name, value)| Ok((name.to_owned(), copy(value)?))).collect::<Result<_, Error>>()?;
        sessions.push((session.clone(), values));
        Ok::<(), Error>(())
    })
    .unwrap();
    let import = |session: &Exported, values: &Values| {
        let other = OnDisk::with(|builder| builder.keys(Keys::from([7; 32])));
        let values = values.iter().map(|(name, value)| (&**name, value.clone()));
        Import::begin(&other.store, None).unwrap().take_exported(session, values).unwrap();
        other
    };
    let [(session, values)] = &mut sessions[..] else { panic!("{} sessions", sessions.len()) };
    // Flags and values of a file that was edited may differ: the values count.
    for flags in [session.meta.flags, 0] {
        session.meta.flags = flags;
        let other = import(session, values);
        assert!(other.store.sessions_of("ada").unwrap()[0].is_device_bound);
        assert_eq!(browser.page(&app(&other)).await, "ada Some(7) Bound");
        browser.cookies.remove(SHORT);
        other.clock.advance(Duration::from_secs(10));
        assert_eq!(browser.page(&app(&other)).await, "nobody None Unproved");
        let app = app(&other);
        assert_eq!(browser.refresh(&app).await.status, StatusCode::OK);
        assert_eq!(browser.page(&app).await, "ada Some(7) Bound");
    }
    session.meta.flags = !0xf00;
    values.retain(|(name, _)| name == "cart");
    let other = import(session, values);
    assert!(!other.store.sessions_of("ada").unwrap()[0].is_device_bound);
}
