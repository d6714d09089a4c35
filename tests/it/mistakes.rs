//! Mistakes in an application: its developer reads what is wrong in the answer and in the log, and its visitors see no value.

use axum::{
    Router,
    http::{StatusCode, header},
    routing::get,
};
use sessile::{Error, Named, Session, SessionLayer, SessionName};

use crate::support::{Answer, ask, ask_with};

struct Admin;

impl SessionName for Admin {
    const NAME: &str = "admin";
}

/// An application that makes the mistake named by the path.
fn app() -> Router {
    async fn set(session: Session) -> Result<(), Error> {
        session.insert("n", "a secret of the visitor")
    }
    async fn other_type(session: Session) -> Result<String, Error> {
        Ok(session.get::<Vec<u32>>("n")?.unwrap_or_default().len().to_string())
    }
    async fn reserved(session: Session) -> Result<(), Error> {
        session.insert("sessile.x", 1)
    }
    async fn empty_key(session: Session) -> Result<(), Error> {
        session.insert("", 1)
    }
    async fn too_large(session: Session) -> Result<(), Error> {
        session.insert("big", "x".repeat(2_000_000))
    }
    async fn bad_owner(session: Session) -> Result<(), Error> {
        session.sign_in("")
    }
    // Like the answer of an identity provider that a form of its page posts here.
    async fn withheld(session: Session) -> Result<(), Error> {
        session.insert("n", 1)?;
        session.save().await
    }
    let layer = || SessionLayer::new(sessile::testing::store());
    let within = Router::new()
        .route("/set", get(set))
        .route("/other_type", get(other_type))
        .route("/reserved", get(reserved))
        .route("/empty_key", get(empty_key))
        .route("/too_large", get(too_large))
        .route("/bad_owner", get(bad_owner))
        .route("/withheld", get(withheld))
        .route("/no_named_layer", get(async |_: Named<Admin>| "named"))
        .layer(layer());
    let outside = Router::new()
        .route("/no_layer", get(async |_: Session| "session"))
        .route("/no_layer_optional", get(async |session: Option<Session>| session.is_some().to_string()));
    within.merge(outside)
}

/// Returns the answer, and what was logged meanwhile.
async fn logged(path: &str, headers: &[(&str, &[u8])]) -> (Answer, String) {
    #[cfg(feature = "tracing")]
    let (log, _guard) = log::begin();
    let answer = ask(&app(), path, headers).await;
    #[cfg(feature = "tracing")]
    return (answer, log.lock().unwrap().clone());
    #[cfg(not(feature = "tracing"))]
    (answer, String::new())
}

#[tokio::test]
async fn the_answer_and_the_log_name_the_remedy() {
    let app = app();
    let cookie = ask(&app, "/set", &[]).await.cookie();
    let remedies = [
        ("/no_layer", "add `.layer(SessionLayer::new(store))`"),
        ("/no_layer_optional", "add `.layer(SessionLayer::new(store))`"),
        ("/no_named_layer", "no `SessionLayer` of that name runs around this handler"),
        ("/reserved", "choose another key"),
        ("/empty_key", "choose another key"),
        ("/too_large", "raise the record limit"),
        ("/bad_owner", "use the id of a user"),
        ("/withheld", "in a named session with `SameSite::None`"),
    ];
    for (path, remedy) in remedies {
        let from_elsewhere: [(&str, &[u8]); 1] = [("sec-fetch-site", b"cross-site")];
        let with_cookie: [(&str, &[u8]); 1] = [("cookie", cookie.as_bytes())];
        let is_withheld = path == "/withheld";
        let (answer, log) = logged(path, if is_withheld { &from_elsewhere } else { &with_cookie }).await;
        let status = if is_withheld { StatusCode::CONFLICT } else { StatusCode::INTERNAL_SERVER_ERROR };
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header(header::CONTENT_TYPE), Some("text/plain; charset=utf-8"), "{path}");
        assert_eq!(answer.header(header::CACHE_CONTROL), Some("no-store"), "{path}");
        assert!(answer.body.contains(remedy) && answer.body.ends_with('\n'), "{path}: {}", answer.body);
        let is_logged = log.matches("ERROR").count() == 1 && log.contains(answer.body.trim_end());
        assert!(is_logged || cfg!(not(feature = "tracing")), "{path}: {log}");
    }
    // A value that is read as another type: the text does not contain its content.
    #[cfg(feature = "tracing")]
    let (log, _guard) = log::begin();
    let answer = ask_with(&app, "/other_type", &cookie).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(answer.body.contains("read it as the type that was stored"), "{}", answer.body);
    #[cfg(feature = "tracing")]
    assert!(log.lock().unwrap().contains(answer.body.trim_end()));
    #[cfg(feature = "tracing")]
    assert!(!log.lock().unwrap().contains("a secret"));
    assert!(!answer.body.contains("a secret"), "{}", answer.body);
}

#[tokio::test]
async fn a_page_asked_for_by_another_host_says_what_plain_http_is_for() {
    let layer = SessionLayer::new(sessile::testing::store()).plain_http_on_loopback();
    let app = Router::new().route("/", get(async |_: Session| "session")).layer(layer);
    #[cfg(feature = "tracing")]
    let (log, _guard) = log::begin();
    let refused = ask(&app, "/", &[("host", b"demo.example:3000")]).await;
    assert_eq!(refused.status, StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(refused.header(header::CONTENT_TYPE), Some("text/plain; charset=utf-8"));
    for part in ["`demo.example:3000`", "plain_http_on_loopback", "http://localhost"] {
        assert!(refused.body.contains(part), "{}", refused.body);
    }
    #[cfg(feature = "tracing")]
    assert!(log.lock().unwrap().contains(refused.body.trim_end()));
}

#[tokio::test]
async fn a_failure_of_the_store_tells_the_client_nothing_and_the_log_everything() {
    let store = sessile::testing::store();
    let app = Router::new()
        .route(
            "/save",
            get(async |session: Session| {
                session.insert("n", 1)?;
                session.save().await
            }),
        )
        .layer(SessionLayer::new(store.clone()));
    store.close().unwrap();
    #[cfg(feature = "tracing")]
    let (log, _guard) = log::begin();
    let answer = ask(&app, "/save", &[]).await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"));
    #[cfg(feature = "tracing")]
    assert!(log.lock().unwrap().contains("the store is closed"));
}

#[cfg(feature = "tracing")]
mod log {
    use std::{
        fmt::Write,
        sync::{Arc, Mutex},
    };

    use tracing::{
        Event, Id, Metadata, Subscriber,
        field::{Field, Visit},
        span::{Attributes, Record},
        subscriber::DefaultGuard,
    };

    /// Keeps the events of this thread until the guard is dropped.
    pub(super) fn begin() -> (Arc<Mutex<String>>, DefaultGuard) {
        let log = Log::default();
        (log.0.clone(), tracing::subscriber::set_default(log))
    }

    #[derive(Default)]
    struct Log(Arc<Mutex<String>>);

    struct Fields<'a>(&'a mut String);

    impl Visit for Fields<'_> {
        fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
            write!(self.0, " {field}={value:?}").unwrap();
        }
    }

    impl Subscriber for Log {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &Event<'_>) {
            let mut log = self.0.lock().unwrap();
            log.push_str(event.metadata().level().as_str());
            event.record(&mut Fields(&mut log));
            log.push('\n');
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }
}
