//! Service workers: scripts of the site through which every request of its pages goes.

use axum::{
    Router,
    http::{
        HeaderName, HeaderValue,
        header::{CONTENT_TYPE, LOCATION},
    },
    middleware::map_response,
    response::Response,
    routing::get,
};
use sessile::{CsrfLayer, SessionLayer, Store, testing};
use sessile_web_tests::{Browser, Page, Server, application, site};

const HOST: &str = "app.example.test";

/// Sends each request again, unchanged.
const REPEATS: &str = "onfetch = event => event.respondWith(fetch(event.request))";

/// Sends a new request for each page, with cookies.
const ASKS_ANEW: &str = "onfetch = event => event.respondWith(event.request.method === 'GET'
    ? fetch(event.request.url, { credentials: 'include' })
    : fetch(event.request))";

/// Keeps each page and shows what it has kept.
const KEEPS: &str = "onfetch = event => {
    if (event.request.method === 'GET') event.respondWith(answer(event.request));
};
async function answer(request) {
    const pages = await caches.open('pages'), kept = await pages.match(request.url);
    if (kept) return kept;
    const fresh = await fetch(request);
    if (fresh.ok) await pages.put(request.url, fresh.clone());
    return fresh;
}";

#[test]
fn a_service_worker_that_repeats_requests_keeps_the_session() {
    for worker in [REPEATS, ASKS_ANEW] {
        let store = testing::store();
        let server = Server::https(with_worker(&store, worker).layer(CsrfLayer::new()));
        let browser = Browser::start();
        let visitor = browser.page();
        visitor.go(&(server.origin(HOST) + "/visit"));
        install(&visitor);
        visitor.sign_in("ada");
        assert_eq!(visitor.user(), "ada");
        visitor.go(&(server.origin(HOST) + "/visit"));
        assert_eq!((visitor.user(), visitor.text("#visits")), ("ada".to_owned(), "3".to_owned()), "{worker}");
        assert_eq!(store.sessions_of("ada").unwrap().len(), 1);
        visitor.sign_out();
        assert_eq!(visitor.user(), "nobody");
        assert_eq!(store.sessions_of("ada").unwrap().len(), 0);
    }
}

#[test]
fn a_link_from_another_site_begins_the_session_of_a_visitor_whose_service_worker_repeats_requests() {
    let store = testing::store();
    let server = Server::https(with_worker(&store, REPEATS));
    let other = Server::https(site([("/", format!(r#"<a href="{}/visit">read on</a>"#, server.origin(HOST)))]));
    let browser = Browser::start();
    let visitor = browser.page();
    visitor.go(&(server.origin(HOST) + "/account"));
    install(&visitor);
    visitor.go(&other.origin("other.test"));
    visitor.follow("a");
    assert_eq!(visitor.text("#visits"), "1");
    visitor.go(&(server.origin(HOST) + "/visit"));
    assert_eq!(visitor.text("#visits"), "2");
}

#[test]
fn a_service_worker_shows_no_page_it_has_kept_after_a_sign_out_that_clears_what_the_site_stored() {
    let store = testing::store();
    let server = Server::https(with_worker(&store, KEEPS).layer(map_response(clear_at_sign_out)));
    let browser = Browser::start();
    let visitor = browser.page();
    visitor.go(&(server.origin(HOST) + "/account"));
    visitor.sign_in("ada");
    install(&visitor);
    assert_eq!(visitor.user(), "ada");
    assert_eq!(visitor.eval("caches.match('/account').then(kept => kept?.status)"), 200, "the worker has kept the page");

    visitor.sign_out();
    assert_eq!(visitor.user(), "nobody");
    visitor.go(&(server.origin(HOST) + "/account"));
    assert_eq!(visitor.user(), "nobody");
    assert_eq!(visitor.eval("caches.keys().then(kept => kept.length)"), 0);
}

/// Installs the worker and reloads the page through it.
#[track_caller]
fn install(page: &Page<'_>) {
    page.eval("navigator.serviceWorker.register('/worker.js').then(() => navigator.serviceWorker.ready).then(() => 0)");
    page.reload();
    assert_eq!(page.eval("navigator.serviceWorker.controller !== null"), true, "the worker has taken over");
}

fn with_worker(store: &Store, worker: &'static str) -> Router {
    let script = get(async move || ([(CONTENT_TYPE, "text/javascript")], worker));
    application(store, SessionLayer::new(store.clone()), "").route("/worker.js", script)
}

/// What an application with such a worker does at a sign-out.
async fn clear_at_sign_out(mut response: Response) -> Response {
    if response.headers().get(LOCATION).is_some_and(|to| to == "account?signed-out") {
        let header = HeaderName::from_static("clear-site-data");
        response.headers_mut().insert(header, HeaderValue::from_static("\"storage\""));
    }
    response
}
