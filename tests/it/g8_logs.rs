//! G8: nothing that is logged, at any level, contains a usable token.

use std::{
    fmt::Write,
    sync::{Mutex, PoisonError},
};

use axum::{Router, http::StatusCode, routing::get};
use sessile::{
    CsrfLayer, Session, SessionLayer,
    web::{Binding, OnChange, Transport},
};
use tracing::{
    Event, Id, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Record},
};

use crate::support::{OnDisk, SECOND, ask, saved};

static LOG: Mutex<String> = Mutex::new(String::new());

fn write(text: std::fmt::Arguments<'_>) {
    LOG.lock().unwrap_or_else(PoisonError::into_inner).write_fmt(text).unwrap();
}

/// Keeps every field of every event and span, of every crate and level.
struct Everything;

struct Fields;

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write(format_args!("{field}={value:?} "));
    }
}

impl Subscriber for Everything {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut Fields);
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut Fields);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        write(format_args!("{} {} ", event.metadata().level(), event.metadata().target()));
        event.record(&mut Fields);
        write(format_args!("\n"));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Returns the token in four spellings.
fn spellings(token: &str) -> Vec<String> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits = token.chars().map(|c| format!("{:06b}", ALPHABET.find(c).unwrap())).collect::<Vec<_>>().concat();
    let bytes: Vec<u8> = (0..24).map(|at| u8::from_str_radix(&bits[at * 8..at * 8 + 8], 2).unwrap()).collect();
    // The random part would be enough for a request.
    let hex = bytes[..16].iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    let list = format!("{:?}", &bytes[..16]);
    vec![token[..21].to_owned(), token[..21].replace('-', "+").replace('_', "/"), hex, list.trim_matches(['[', ']']).to_owned()]
}

#[tokio::test]
async fn g8_no_log_at_any_level_holds_a_token() {
    // For the whole process: the disk's thread logs too, and so do the other tests.
    tracing::subscriber::set_global_default(Everything).unwrap();
    let disk = OnDisk::new();
    let binding = Binding::new().user_agent().on_change(OnChange::Report);
    let routes = || {
        Router::new()
            .route("/", get(async |session: Session| session.insert("n", 1).unwrap()))
            .route("/login", get(async |session: Session| session.rotate()))
            .route("/fail", get(async |_: Session| StatusCode::INTERNAL_SERVER_ERROR))
            .route("/end", get(async |session: Session| session.destroy()))
    };
    let by_cookie = routes().layer(CsrfLayer::new()).layer(SessionLayer::new(disk.store.clone()).binding(binding));
    let by_header = routes().layer(SessionLayer::new(disk.store.clone()).transport(Transport::Bearer).unwrap());
    let mut tokens: Vec<String> = (0..4).map(|n| saved(&disk.store, n).1.expose()).collect();
    let forged = "f".repeat(32);
    let pairs = [
        format!("__Host-id={}", tokens[0]),
        format!("__Host-id={}; __Host-id={}", tokens[1], tokens[2]),
        format!("__Host-id={forged}"),
    ];
    for cookie in &pairs {
        for (path, agent) in [("/", "a"), ("/login", "b"), ("/fail", "c")] {
            let headers = [("cookie", cookie.as_bytes()), ("user-agent", agent.as_bytes()), ("upgrade", b"websocket")];
            let answer = ask(&by_cookie, path, &headers[..2]).await;
            tokens.extend(answer.set_cookies().iter().map(|cookie| cookie[10..42].to_owned()));
            assert_eq!(ask(&by_cookie, path, &headers).await.status, StatusCode::FORBIDDEN);
        }
    }
    let bearer = format!("Bearer {}", tokens[3]);
    for path in ["/", "/login", "/end"] {
        let answer = ask(&by_header, path, &[("authorization", bearer.as_bytes())]).await;
        tokens.extend(answer.headers.get("session-token").map(|value| value.to_str().unwrap().to_owned()));
    }
    // A late commit, expiry, and a disk that is gone.
    let (late, token) = saved(&disk.store, 5);
    let end = disk.store.session(Some(&token)).unwrap();
    end.destroy();
    end.save().wait().unwrap();
    late.insert("n", 2).unwrap();
    assert!(late.save().wait().is_err());
    tokens.push(token.expose());
    disk.clock.advance(SECOND * 86_400 * 40);
    ask(&by_cookie, "/", &[("cookie", pairs[0].as_bytes())]).await;
    disk.store.sweep().wait().unwrap();
    disk.store.close().unwrap();
    let failed = ask(&by_cookie, "/", &[]).await;
    assert!(failed.status.is_server_error());

    let log = LOG.lock().unwrap().clone();
    for expected in
        ["presents several sessions", "refused a request", "client that has changed", "dropped a commit", "could not be stored"]
    {
        assert!(log.contains(expected), "the search works: {expected} in\n{log}");
    }
    assert!(tokens.len() > 7, "{} tokens", tokens.len());
    tokens.push(forged);
    for token in tokens.iter().filter(|token| token.len() == 32) {
        for spelling in spellings(token) {
            assert!(!log.contains(&spelling), "{spelling}");
        }
    }
}
