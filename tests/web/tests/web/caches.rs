//! A shared cache in front: nginx keeps what it may for a minute, as operators set it up who know nothing of sessions.

use axum::routing::get;
use sessile::{SessionLayer, testing};
use sessile_web_tests::{Browser, Front, Page, Server, application};

const CACHE: &str = "proxy_cache pages; proxy_cache_valid 200 1m; add_header x-cache $upstream_cache_status;";

#[test]
fn a_cache_shows_no_visitor_the_page_of_another() {
    let store = testing::store();
    let pages = application(&store, SessionLayer::new(store.clone()), "").route("/public", get(async || "for everybody"));
    let server = Server::http(pages);
    let proxy = Front::bind().nginx(&server, CACHE);
    let (browser, at) = (Browser::start(), |path: &str| proxy.origin("app.example.test") + path);
    let (ada, bob, nobody) = (browser.page(), browser.somebody_else(), browser.somebody_else());
    for (visitor, user) in [(&ada, "ada"), (&bob, "bob")] {
        visitor.go(&at("/account"));
        visitor.sign_in(user);
    }
    for _ in 0..2 {
        for (visitor, user) in [(&nobody, "nobody"), (&ada, "ada"), (&bob, "bob"), (&nobody, "nobody")] {
            visitor.go(&at("/account"));
            assert_eq!(visitor.user(), user);
        }
    }
    ada.sign_out();
    ada.go(&at("/account"));
    assert_eq!(ada.user(), "nobody");

    let status = |page: &Page<'_>| page.eval("fetch('/public').then(answer => answer.headers.get('x-cache'))");
    assert_eq!(status(&ada), "MISS");
    assert_eq!(status(&bob), "HIT", "the cache does keep what it may");
}
