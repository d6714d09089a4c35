//! Requests that another site makes the visitor's browser send: the cookie is withheld from some of them, so they must not replace it.

use std::sync::Arc;

use axum::{
    Form, Router,
    extract::State,
    response::{Html, Redirect},
    routing::{get, post},
};
use serde::Deserialize;
use sessile::{Cookie, Error, Named, Session, SessionLayer, SessionName, testing, web::SameSite};
use sessile_web_tests::{Browser, Server, application, site};

const HOST: &str = "app.example.test";

#[test]
fn a_link_from_another_site_does_not_sign_a_visitor_out_whose_cookie_is_strict() {
    let store = testing::store();
    let strict = SessionLayer::new(store.clone()).cookie(Cookie::new().same_site(SameSite::Strict)).unwrap();
    let server = Server::https(application(&store, strict, ""));
    let other = Server::https(site([("/", format!(r#"<a href="{}/visit">read on</a>"#, server.origin(HOST)))]));
    let browser = Browser::start();
    let visitor = browser.page();
    visitor.go(&(server.origin(HOST) + "/account"));
    visitor.sign_in("ada");
    let cookie = visitor.cookie("__Host-id");

    visitor.go(&other.origin("other.test"));
    visitor.follow("a");
    assert_eq!(visitor.user(), "nobody", "a strict cookie does not come with a link from another site");
    assert_eq!(visitor.cookie("__Host-id")["value"], cookie["value"], "the cookie was not replaced");
    visitor.go(&(server.origin(HOST) + "/visit"));
    assert_eq!(visitor.user(), "ada");
}

#[test]
fn a_form_from_another_site_does_not_sign_a_visitor_out() {
    let store = testing::store();
    let server = Server::https(application(&store, SessionLayer::new(store.clone()), ""));
    let form = format!(r#"<form method="post" action="{}/note"></form>"#, server.origin(HOST));
    let other = Server::https(site([("/", form)]));
    let browser = Browser::start();
    let visitor = browser.page();
    visitor.go(&(server.origin(HOST) + "/account"));
    visitor.sign_in("ada");
    let cookie = visitor.cookie("__Host-id");

    visitor.go(&other.origin("other.test"));
    visitor.submit("form", &[]);
    assert_eq!(visitor.cookie("__Host-id")["value"], cookie["value"], "the cookie was not replaced");
    visitor.go(&(server.origin(HOST) + "/account"));
    assert_eq!((visitor.user(), visitor.text("#note")), ("ada".to_owned(), String::new()));
}

#[test]
fn a_link_from_another_site_finds_a_visitor_signed_in() {
    let store = testing::store();
    let server = Server::https(application(&store, SessionLayer::new(store.clone()), ""));
    let other = Server::https(site([("/", format!(r#"<a href="{}/visit">read on</a>"#, server.origin(HOST)))]));
    let browser = Browser::start();
    let visitor = browser.page();
    visitor.go(&(server.origin(HOST) + "/account"));
    visitor.sign_in("ada");
    visitor.go(&other.origin("other.test"));
    visitor.follow("a");
    assert_eq!((visitor.user(), visitor.text("#visits")), ("ada".to_owned(), "1".to_owned()));
}

#[test]
fn a_sign_in_by_a_form_that_an_identity_provider_sends_works() {
    let store = testing::store();
    let server = Server::https(Router::new());
    let sent = format!(
        r#"<form method="post" action="{}/callback"><input name="state"><input name="user" value="ada"></form>
<script>document.forms[0].elements.state.value = new URLSearchParams(location.search).get("state")</script>"#,
        server.origin(HOST)
    );
    let provider = Server::https(site([("/authorize", sent)]));
    let authorize = Arc::new(provider.origin("provider.test") + "/authorize");
    let logins = Cookie::new().same_site(SameSite::None);
    let callbacks = Router::new()
        .route("/login", get(begin_login))
        .route("/callback", post(end_login))
        .with_state(authorize)
        .layer(SessionLayer::new(store.clone()).named::<Login>().cookie(logins).unwrap())
        .layer(SessionLayer::new(store.clone()));
    server.deploy(callbacks.merge(application(&store, SessionLayer::new(store.clone()), "")));

    let browser = Browser::start();
    let visitor = browser.page();
    visitor.go(&(server.origin(HOST) + "/visit"));
    visitor.go(&(server.origin(HOST) + "/login"));
    assert_eq!(visitor.eval("location.pathname"), "/authorize");
    visitor.submit("form", &[]);
    assert_eq!(visitor.text("#result"), "welcome");
    visitor.go(&(server.origin(HOST) + "/account"));
    assert_eq!(visitor.user(), "ada");
    assert_eq!(store.sessions_of("ada").unwrap().len(), 1);
}

/// What a form from another site must carry: only the state of a login in progress.
struct Login;

impl SessionName for Login {
    const NAME: &str = "login";
}

async fn begin_login(State(authorize): State<Arc<String>>, login: Named<Login>) -> Result<Redirect, Error> {
    let state = login.csrf_token()?;
    Ok(Redirect::to(&format!("{authorize}?state={state}")))
}

#[derive(Deserialize)]
struct Callback {
    state: String,
    user: String,
}

async fn end_login(login: Named<Login>, session: Session, Form(callback): Form<Callback>) -> Result<Html<&'static str>, Error> {
    if !login.is_csrf_token(&callback.state) {
        return Ok(Html(r#"<p id="result">a login that was not begun here</p>"#));
    }
    login.destroy();
    session.sign_in(callback.user)?;
    Ok(Html(r#"<p id="result">welcome</p>"#))
}
