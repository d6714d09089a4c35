//! The Back button after a sign-out. Browsers keep a page as it was, including scripts, and show it again without a request to
//! the server.
//!
//! Measured with Chromium 148. A page with `Cache-Control: no-store` is kept too, until an `HttpOnly` cookie of its site
//! changes; but the page to which the sign-in itself redirects stays over one such change. So a page that must never be seen
//! again must also check whether it is shown again. `private` and `no-cache` on the page change nothing. Neither does
//! `Clear-Site-Data` on the answer to the sign-out: the page that it leaves is kept after that.

use axum::{
    Router,
    http::{HeaderValue, header::CACHE_CONTROL},
    middleware::map_response,
    response::{Html, Redirect, Response},
    routing::{get, post},
};
use sessile::{Error, Session, SessionLayer, testing};
use sessile_web_tests::{Browser, Server, application, user_of};

const HOST: &str = "app.example.test";

#[test]
fn back_shows_no_page_with_no_store_again_after_a_sign_out() {
    let server = Server::https(application_without_storing());
    let (browser, account) = (Browser::start(), server.origin(HOST) + "/account");
    let visitor = browser.page();
    visitor.go(&account);
    visitor.sign_in("ada");
    // The browser notices a changed cookie a little later, and the first page may be loaded before that.
    let is_kept = (0..5).any(|attempt| {
        visitor.go(&format!("{account}?first={attempt}"));
        visitor.go(&format!("{account}?second={attempt}"));
        visitor.back()
    });
    assert!(is_kept, "the browser keeps pages, or this test shows nothing");
    assert_eq!(visitor.user(), "ada");

    visitor.sign_out();
    assert_eq!(visitor.user(), "nobody");
    assert!(!visitor.back());
    assert_eq!(visitor.user(), "nobody");
}

#[test]
fn back_shows_no_page_with_no_store_again_after_a_sign_out_in_another_tab() {
    let server = Server::https(application_without_storing());
    let (browser, account) = (Browser::start(), server.origin(HOST) + "/account");
    let (visitor, other_tab) = (browser.page(), browser.page());
    visitor.go(&account);
    visitor.sign_in("ada");
    visitor.go(&format!("{account}?first"));
    visitor.go(&format!("{account}?second"));
    other_tab.go(&account);
    other_tab.sign_out();
    assert!(!visitor.back());
    assert_eq!(visitor.user(), "nobody");
}

#[test]
fn back_shows_no_page_again_after_a_sign_out_that_loads_anew_when_it_is_shown_again() {
    let server = Server::https(application_without_storing());
    let browser = Browser::start();
    let visitor = browser.page();
    visitor.go(&(server.origin(HOST) + "/private"));
    visitor.submit("#enter", &[]);
    assert_eq!(visitor.user(), "ada");
    visitor.sign_out();
    assert_eq!(visitor.user(), "nobody");
    if visitor.back() {
        visitor.loaded();
    }
    assert_eq!(visitor.user(), "nobody");
}

/// An application that follows the guide: its pages have `no-store`, and a private one reloads when it is shown again.
fn application_without_storing() -> Router {
    let store = testing::store();
    let forbid = |mut response: Response| {
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        std::future::ready(response)
    };
    let sessions = SessionLayer::new(store.clone());
    let private = Router::new().route("/private", get(private)).route("/enter", post(enter)).layer(sessions.clone());
    application(&store, sessions, "").merge(private).layer(map_response(forbid))
}

async fn enter(session: Session) -> Result<Redirect, Error> {
    session.sign_in("ada")?;
    Ok(Redirect::to("private"))
}

async fn private(session: Session) -> Html<String> {
    let user = user_of(&session);
    Html(format!(
        r#"<!doctype html>
<title>private</title>
<p id="user">{user}</p>
<form id="enter" method="post" action="enter"></form>
<form id="sign-out" method="post" action="sign-out"></form>
<script>addEventListener("pageshow", event => {{ if (event.persisted) location.reload(); }})</script>
"#
    ))
}
