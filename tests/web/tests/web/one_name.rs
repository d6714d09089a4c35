//! Two cookies of one name: browsers keep both if domain, path or partition differ, and send both.

use axum::{Router, http::header::SET_COOKIE, routing::get};
use sessile::{Cookie, SessionLayer, Store, testing, web::SameSite};
use sessile_web_tests::{Browser, Page, Server, application};

const HOST: &str = "app.example.test";

#[test]
fn a_visitor_can_sign_in_and_out_after_a_release_that_partitions_the_cookie() {
    let for_frames = || Cookie::new().same_site(SameSite::None);
    a_visitor_can_sign_in_and_out_after_a_release(for_frames(), for_frames().partitioned(), "");
}

#[test]
fn a_visitor_can_sign_in_and_out_after_a_release_that_narrows_the_domain() {
    a_visitor_can_sign_in_and_out_after_a_release(for_all_hosts(), for_one_host(), "");
}

#[test]
fn a_visitor_can_sign_in_and_out_after_a_release_that_adds_a_path() {
    a_visitor_can_sign_in_and_out_after_a_release(for_all_hosts(), for_all_hosts().path("/app"), "/app");
}

#[track_caller]
fn a_visitor_can_sign_in_and_out_after_a_release(old: Cookie, new: Cookie, path: &str) {
    let store = testing::store();
    let server = Server::https(with_cookie(&store, old, path));
    let browser = Browser::start();
    let visitor = browser.page();
    visitor.go(&format!("{}{path}/account", server.origin(HOST)));
    visitor.sign_in("ada");
    assert_eq!(visitor.user(), "ada");

    server.deploy(with_cookie(&store, new, path));
    visitor.reload();
    assert_eq!(visitor.user(), "ada", "the release signs nobody out");
    for attempt in ["again", "after a sign-out"] {
        visitor.sign_in("ada");
        let cookies = [visitor.cookies("__Host-id"), visitor.cookies("__Secure-id")].concat();
        assert_eq!(cookies.len(), 2, "the browser keeps both: {cookies:?}");
        assert_eq!(visitor.user(), "ada", "the first page, {attempt}");
        visitor.reload();
        assert_eq!(visitor.user(), "ada", "the next page, {attempt}");
        assert_eq!(store.sessions_of("ada").unwrap().len(), 1);

        visitor.sign_out();
        assert_eq!(visitor.user(), "nobody");
        visitor.reload();
        assert_eq!(visitor.user(), "nobody");
        assert_eq!(store.sessions_of("ada").unwrap().len(), 0);
    }
}

#[test]
fn a_sign_out_ends_both_live_sessions_that_a_browser_presents() {
    let cookies = [for_all_hosts, for_one_host];
    for first in [0, 1] {
        let store = testing::store();
        let server = Server::https(with_cookie(&store, cookies[first](), ""));
        let browser = Browser::start();
        let visitor = browser.page();
        visitor.go(&(server.origin(HOST) + "/account"));
        visitor.sign_in("ada");
        let older = visitor.cookie("__Secure-id");
        visitor.clear_cookies();
        server.deploy(with_cookie(&store, cookies[1 - first](), ""));
        visitor.reload();
        visitor.sign_in("ada");
        let newer = visitor.cookie("__Secure-id");
        assert_eq!(store.sessions_of("ada").unwrap().len(), 2);

        // With one path, the cookie that was created first is sent first.
        visitor.clear_cookies();
        visitor.set_cookie(&older);
        visitor.set_cookie(&newer);
        visitor.reload();
        visitor.sign_out();
        assert_eq!(visitor.user(), "nobody");
        assert_eq!(store.sessions_of("ada").unwrap().len(), 0, "after {older} and {newer}");
    }
}

#[test]
fn a_cookie_that_a_sibling_host_planted_does_not_keep_a_visitor_from_signing_in() {
    planted_by_a_sibling_host(|visitor, plant| {
        visitor.go(plant);
    });
}

#[test]
fn a_cookie_that_a_sibling_host_plants_later_does_not_keep_a_visitor_from_signing_in() {
    planted_by_a_sibling_host(|visitor, plant| {
        visitor.sign_in("ada");
        assert_eq!(visitor.user(), "ada");
        visitor.go(plant);
    });
}

/// `plant` is called on the page of sign-in, with the address that plants the cookie.
#[track_caller]
fn planted_by_a_sibling_host(plant: impl FnOnce(&Page<'_>, &str)) {
    let store = testing::store();
    let server = Server::https(with_cookie(&store, for_one_host(), ""));
    let browser = Browser::start();
    let attacker = browser.somebody_else();
    attacker.go(&(server.origin(HOST) + "/account"));
    attacker.sign_in("mallory");
    let token = attacker.cookie("__Secure-id")["value"].as_str().unwrap().to_owned();

    let sibling = Server::https(planter(format!("__Secure-id={token}; Domain=example.test; Path=/; Secure")));
    let visitor = browser.page();
    visitor.go(&(server.origin(HOST) + "/account"));
    plant(&visitor, &sibling.origin("sibling.example.test"));
    assert!(visitor.cookies("__Secure-id").iter().any(|cookie| cookie["domain"] == ".example.test"), "it was planted");

    visitor.go(&(server.origin(HOST) + "/account"));
    assert_ne!(visitor.user(), "ada", "the page asks to sign in");
    visitor.sign_in("ada");
    assert_eq!(visitor.user(), "ada");
    visitor.reload();
    assert_eq!(visitor.user(), "ada");
    assert_eq!(store.sessions_of("ada").unwrap().len(), 1);
    attacker.reload();
    assert_eq!(attacker.user(), "nobody", "the planted session has ended");
    visitor.sign_out();
    assert_eq!(visitor.user(), "nobody");
    assert_eq!(store.sessions_of("ada").unwrap().len(), 0);
}

#[test]
fn a_sibling_host_cannot_plant_the_cookie_that_is_the_default() {
    let store = testing::store();
    let server = Server::https(application(&store, SessionLayer::new(store.clone()), ""));
    let browser = Browser::start();
    let attacker = browser.somebody_else();
    attacker.go(&(server.origin(HOST) + "/visit"));
    let token = attacker.cookie("__Host-id")["value"].as_str().unwrap().to_owned();

    let sibling = Server::https(planter(format!("__Host-id={token}; Domain=example.test; Path=/; Secure")));
    let visitor = browser.page();
    visitor.go(&sibling.origin("sibling.example.test"));
    assert!(visitor.cookies("__Host-id").is_empty(), "the browser refuses it");
    visitor.go(&(server.origin(HOST) + "/visit"));
    assert_eq!(visitor.text("#visits"), "1");
}

fn for_all_hosts() -> Cookie {
    Cookie::new().domain("example.test")
}

fn for_one_host() -> Cookie {
    Cookie::new().domain(HOST)
}

fn with_cookie(store: &Store, cookie: Cookie, path: &str) -> Router {
    application(store, SessionLayer::new(store.clone()).cookie(cookie).unwrap(), path)
}

/// A site that sets this cookie.
fn planter(cookie: String) -> Router {
    Router::new().route("/", get(async move || ([(SET_COOKIE, cookie.clone())], "a harmless page")))
}
