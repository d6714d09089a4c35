//! Pages that the browser fetches before its visitor requests them, as it does for text typed into the address bar. The visitor
//! may see that answer later, so its changes must be stored.

use std::{
    future::ready,
    sync::mpsc::{self, Sender},
};

use axum::{
    Form, Router,
    extract::Request,
    middleware::map_request,
    response::Html,
    routing::{MethodRouter, get},
};
use serde::Deserialize;
use sessile::{Error, Session, SessionLayer, testing};
use sessile_web_tests::{Browser, Server};

const START: &str = r#"<!doctype html>
<title>start</title>
<a href="/form">to the form</a>
<script type="speculationrules">{ "prefetch": [{ "urls": ["/form"], "eagerness": "immediate" }] }</script>
"#;

#[test]
fn a_form_of_a_page_that_was_fetched_ahead_is_accepted() {
    let (sender, fetched) = mpsc::channel();
    let reported = move |request: Request| {
        report(&request, &sender);
        ready(request)
    };
    let pages = Router::new()
        .route("/form", form_and_answer().layer(map_request(reported)))
        .layer(SessionLayer::new(testing::store()))
        .route("/", get(async || Html(START)));
    let server = Server::https(pages);
    let browser = Browser::start();
    let visitor = browser.page();
    visitor.go(&server.origin("app.example.test"));
    assert_eq!(fetched.recv().unwrap(), "GET prefetch");
    visitor.follow("a");
    visitor.submit("form", &[]);
    assert_eq!(fetched.recv().unwrap(), "POST ", "the page was not asked for again");
    assert_eq!(visitor.text("#accepted"), "true");
}

/// Reports the method and purpose of a request.
fn report(request: &Request, sender: &Sender<String>) {
    let purpose = request.headers().get("sec-purpose").and_then(|purpose| purpose.to_str().ok()).unwrap_or_default();
    // It fails only if the test has ended.
    let _ = sender.send(format!("{} {purpose}", request.method()));
}

#[derive(Deserialize)]
struct Sent {
    csrf: String,
}

fn form_and_answer() -> MethodRouter {
    let form = async |session: Session| {
        let csrf = session.csrf_token()?;
        Ok::<_, Error>(Html(format!(r#"<!doctype html><form method="post"><input name="csrf" value="{csrf}"></form>"#)))
    };
    let answer = async |session: Session, Form(sent): Form<Sent>| {
        Html(format!(r#"<!doctype html><p id="accepted">{}</p>"#, session.is_csrf_token(&sent.csrf)))
    };
    get(form).post(answer)
}
