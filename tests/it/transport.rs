//! What carries a token: only the cookie, a bearer header, or a header of the application's own.

use axum::{Router, http::HeaderName, routing::get};
use sessile::{Session, SessionLayer, Store, Token, web::Transport};

use crate::support::{Answer, OnDisk, ask, n_of, saved};

const X_SESSION: HeaderName = HeaderName::from_static("x-session");

async fn show(session: Session) -> String {
    session.get::<u64>("n").unwrap().map_or("none".to_owned(), |n| n.to_string())
}

fn app(store: &Store, transport: Transport) -> Router {
    Router::new()
        .route("/", get(show))
        .route("/set", get(async |session: Session| session.insert("n", 5_u64).unwrap()))
        .route("/rotate", get(async |session: Session| session.rotate()))
        .route("/end", get(async |session: Session| session.destroy()))
        .layer(SessionLayer::new(store.clone()).transport(transport).unwrap())
}

/// Returns the header that presents `token`.
fn presents(transport: &Transport, token: &str) -> (&'static str, Vec<u8>) {
    match transport {
        Transport::Cookie => ("cookie", format!("__Host-id={token}").into()),
        Transport::Bearer => ("authorization", format!("Bearer {token}").into()),
        _ => ("x-session", token.into()),
    }
}

async fn ask_by(app: &Router, path: &str, transport: &Transport, token: &str) -> Answer {
    let (name, value) = presents(transport, token);
    ask(app, path, &[(name, &value)]).await
}

fn all() -> [Transport; 3] {
    [Transport::Cookie, Transport::Bearer, Transport::Header(X_SESSION)]
}

#[tokio::test]
async fn a_header_carries_a_session_through_its_whole_life() {
    for (transport, answers, vary) in
        [(Transport::Bearer, "session-token", "authorization"), (Transport::Header(X_SESSION), "x-session", "x-session")]
    {
        let store = sessile::testing::store();
        let app = app(&store, transport.clone());
        let answers = HeaderName::from_static(answers);

        let untouched = ask(&app, "/", &[]).await;
        assert_eq!((untouched.body.as_str(), untouched.header(answers.clone())), ("none", None));
        let set = ask(&app, "/set", &[]).await;
        let first = set.header(answers.clone()).expect("a new token").to_owned();
        assert_eq!(set.set_cookies(), [""; 0]);
        assert_eq!(
            (set.header("vary".parse().unwrap()), set.header("cache-control".parse().unwrap())),
            (Some(vary), Some("no-store"))
        );
        let read = ask_by(&app, "/", &transport, &first).await;
        assert_eq!((read.body.as_str(), read.header(answers.clone())), ("5", None));

        let rotated = ask_by(&app, "/rotate", &transport, &first).await;
        let second = rotated.header(answers.clone()).expect("another token").to_owned();
        assert_eq!(ask_by(&app, "/", &transport, &first).await.body, "none");
        assert_eq!(ask_by(&app, "/", &transport, &second).await.body, "5");
        let ended = ask_by(&app, "/end", &transport, &second).await;
        assert_eq!(ended.header(answers.clone()), Some(""));
        assert_eq!(ask_by(&app, "/", &transport, &second).await.body, "none");
    }
}

#[tokio::test]
async fn a_token_that_arrives_in_another_way_is_ignored() {
    let store = sessile::testing::store();
    let token = saved(&store, 42).1.expose();
    for ours in all() {
        let app = app(&store, ours.clone());
        for way in all() {
            let expected = if way == ours { "42" } else { "none" };
            assert_eq!(ask_by(&app, "/", &way, &token).await.body, expected, "{way:?} to {ours:?}");
        }
        for path in
            [format!("/?id={token}"), format!("/?__Host-id={token}"), format!("/?x-session={token}&authorization={token}")]
        {
            assert_eq!(ask(&app, &path, &[]).await.body, "none", "{path}");
        }
        for name in ["x-session-id", "session-token", "proxy-authorization", "x-id", "id", "__host-id", "referer"] {
            assert_eq!(ask(&app, "/", &[(name, token.as_bytes())]).await.body, "none", "{name}");
        }
        // The right one is found beside all the wrong ones.
        let (name, value) = presents(&ours, &token);
        let other = saved(&store, 7).1.expose();
        let mut headers = vec![(name, value)];
        headers.extend(all().iter().filter(|way| **way != ours).map(|way| presents(way, &other)));
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_slice())).collect();
        assert_eq!(ask(&app, "/", &headers).await.body, "42", "{ours:?}");
    }
    assert_eq!(store.stats().ambiguous, 0);
}

#[tokio::test]
async fn two_different_valid_tokens_are_no_session_by_any_transport() {
    for transport in all() {
        let disk = OnDisk::new();
        let app = app(&disk.store, transport.clone());
        let (one, two) = (saved(&disk.store, 1).1, saved(&disk.store, 2).1);
        let ask_with_both = async |one: &Token, two: &Token| {
            let (name, first) = presents(&transport, &one.expose());
            let second = presents(&transport, &two.expose()).1;
            ask(&app, "/", &[(name, &first), (name, &second)]).await.body
        };
        assert_eq!(ask_with_both(&one, &two).await, "none");
        assert_eq!(disk.store.stats().ambiguous, 1);
        assert_eq!(ask_with_both(&one, &one).await, "1", "the same twice is one");
        let forged = Token::parse(&[b'A'; 32]).unwrap();
        assert_eq!(ask_with_both(&forged, &two).await, "2", "a forged one does no harm");
        assert_eq!(ask_with_both(&two, &forged).await, "2");
        assert_eq!(disk.store.stats().ambiguous, 1);
        assert_eq!((n_of(&disk.store, &one), n_of(&disk.store, &two)), (Some(1), Some(2)), "neither has ended");
    }
}

#[tokio::test]
async fn credentials_that_are_no_token_are_no_session() {
    let store = sessile::testing::store();
    let token = saved(&store, 42).1.expose();
    let app = app(&store, Transport::Bearer);
    for good in [format!("Bearer {token}"), format!("bearer   {token}")] {
        assert_eq!(ask(&app, "/", &[("authorization", good.as_bytes())]).await.body, "42", "{good}");
    }
    let hostile: [Vec<u8>; 8] = [
        token.clone().into(),
        format!("Basic {token}").into(),
        format!("Bearer{token}").into(),
        format!("Bearer {token}, Bearer {token}").into(),
        format!("Bearer \"{token}\"").into(),
        format!("Bearer {token}=").into(),
        b"Bearer \xff\xfe".to_vec(),
        vec![b'B'; 60_000],
    ];
    for bad in &hostile {
        assert_eq!(ask(&app, "/", &[("authorization", bad)]).await.body, "none", "{bad:?}");
    }
}
