//! A shared cache in front: nginx keeps what it may for a minute, as set up by operators who do not know about sessions.

use axum::{
    Router,
    http::{HeaderValue, header::VARY},
    middleware::map_response,
    response::Response,
    routing::get,
};
use sessile::{SessionLayer, testing};
use sessile_web_tests::{Browser, Front, Page, Server, application};

const CACHE: &str = "proxy_cache pages; proxy_cache_valid 200 1m; add_header x-cache $upstream_cache_status;";

#[test]
fn a_cache_shows_no_visitor_the_page_of_another() {
    no_visitor_sees_the_page_of_another(|application| application);
}

#[test]
fn a_cache_shows_no_visitor_the_page_of_another_where_a_layer_outside_adds_a_vary_line() {
    no_visitor_sees_the_page_of_another(|application| application.layer(map_response(vary_on_encoding)));
}

/// Like layers that compress, or that answer other origins.
async fn vary_on_encoding(mut response: Response) -> Response {
    response.headers_mut().append(VARY, HeaderValue::from_static("accept-encoding"));
    response
}

#[track_caller]
fn no_visitor_sees_the_page_of_another(with: impl FnOnce(Router) -> Router) {
    let store = testing::store();
    let pages = application(&store, SessionLayer::new(store.clone()), "").route("/public", get(async || "for everybody"));
    let server = Server::http(with(pages));
    let proxy = Front::bind().nginx(server.port(), CACHE);
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
