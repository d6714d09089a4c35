//! Sealed cookies at their largest, through proxies with their default buffers.

use axum::{
    Router,
    extract::Query,
    routing::{get, post},
};
use serde::Deserialize;
use sessile::{Error, Keys, Session, SessionLayer, testing};
use sessile_web_tests::{Browser, Front, Proxy, Server};

/// Bytes of the value. The largest sessions that may be sealed have 4,096 bytes with everything in them.
const SIZES: [usize; 10] = [100, 1000, 2000, 2400, 2800, 3000, 3200, 3500, 3800, 4000];

#[test]
fn sealed_sessions_of_every_size_pass_nginx() {
    sealed_sessions_of_every_size_pass(|front, server| front.nginx(server.port(), ""));
}

#[test]
fn sealed_sessions_of_every_size_pass_haproxy() {
    sealed_sessions_of_every_size_pass(|front, server| front.haproxy(server.port()));
}

#[track_caller]
fn sealed_sessions_of_every_size_pass(start: fn(Front, &Server) -> Proxy) {
    let sealed = SessionLayer::new(testing::store()).sealed_cookies(&Keys::from([7; 32]), 4096).unwrap();
    let pages = Router::new().route("/", get(async || "a page")).route("/value", post(write).get(read)).layer(sealed);
    let server = Server::http(pages);
    let proxy = start(Front::bind(), &server);
    let browser = Browser::start();
    let visitor = browser.page();
    visitor.go(&proxy.origin("app.example.test"));
    for bytes in SIZES {
        let written =
            visitor.eval(&format!("fetch('/value?bytes={bytes}', {{ method: 'POST' }}).then(answer => answer.status)"));
        assert_eq!(written, 200, "{bytes} bytes");
        assert_eq!(visitor.eval("fetch('/value').then(answer => answer.text())"), bytes.to_string());
        let value = visitor.cookie("__Host-id")["value"].as_str().unwrap().to_owned();
        assert!(bytes > 1000 || value.starts_with('~'), "{bytes} bytes travel sealed: {value}");
    }
}

#[derive(Deserialize)]
struct Size {
    bytes: usize,
}

async fn write(session: Session, Query(size): Query<Size>) -> Result<(), Error> {
    session.insert("value", "v".repeat(size.bytes))
}

async fn read(session: Session) -> Result<String, Error> {
    Ok(session.get::<String>("value")?.unwrap_or_default().len().to_string())
}
