//! Saving before the response and after it: streams, WebSockets, and handlers that fail halfway.

use axum::{
    Router,
    http::StatusCode,
    routing::{get, post},
};
use sessile::{Error, Session, SessionLayer, Store, Token};
use tokio::sync::mpsc;

use crate::support::{ask, ask_with, n_of, saved};

/// The token in a `name=value`.
fn token_of(cookie: &str) -> Token {
    Token::parse(cookie.split_once('=').unwrap().1.as_bytes()).unwrap()
}

fn app(store: &Store, handlers: Router) -> Router {
    handlers.layer(SessionLayer::new(store.clone()))
}

#[tokio::test]
async fn what_was_saved_before_the_response_gets_its_cookie() {
    let store = sessile::testing::store();
    let handler = async |session: Session| {
        session.insert("n", 1_u64).unwrap();
        session.save().await.unwrap();
        let token = session.token().expect("it is stored by now");
        session.insert("n", 2_u64).unwrap();
        token.expose()
    };
    let answer = ask(&app(&store, Router::new().route("/", get(handler))), "/", &[]).await;
    let token = token_of(&answer.cookie());
    assert_eq!(token.expose(), answer.body);
    assert_eq!(n_of(&store, &token), Some(2), "what was set after the save is committed too");
}

#[tokio::test]
async fn a_login_that_was_saved_is_told_even_if_the_handler_fails_after_it() {
    let store = sessile::testing::store();
    let (_, old) = saved(&store, 1);
    let handler = async |session: Session| {
        session.rotate();
        session.save().await.unwrap();
        session.insert("n", 9_u64).unwrap();
        StatusCode::INTERNAL_SERVER_ERROR
    };
    let app = app(&store, Router::new().route("/", get(handler)));
    let answer = ask_with(&app, "/", &format!("__Host-id={}", old.expose())).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    let new = token_of(&answer.cookie());
    assert_ne!(new, old);
    assert_eq!(n_of(&store, &old), None);
    assert_eq!(n_of(&store, &new), Some(1), "the change after the save failed with the handler");
}

#[tokio::test]
async fn a_logout_that_was_saved_takes_the_cookie() {
    let store = sessile::testing::store();
    let (_, token) = saved(&store, 1);
    let handler = async |session: Session| {
        session.insert("n", 5_u64).unwrap();
        session.save().await.unwrap();
        session.destroy();
        session.save().await.unwrap();
    };
    let app = app(&store, Router::new().route("/", post(handler).get(handler)));
    let answer = ask_with(&app, "/", &format!("__Host-id={}", token.expose())).await;
    assert!(answer.set_cookies()[0].starts_with("__Host-id=; "), "{:?}", answer.set_cookies());
    assert_eq!(n_of(&store, &token), None);
}

/// A WebSocket's task keeps the session beyond the response.
#[tokio::test]
async fn a_task_that_outlives_the_response_can_save_but_not_ask_for_a_new_token() {
    let store = sessile::testing::store();
    let (send, mut sessions) = mpsc::unbounded_channel::<Session>();
    let handler = async move |session: Session| {
        if session.token().is_some() {
            session.insert("n", 1_u64).unwrap();
        }
        send.send(session).unwrap();
    };
    let app = app(&store, Router::new().route("/", get(handler)));

    let (_, token) = saved(&store, 0);
    let answer = ask_with(&app, "/", &format!("__Host-id={}", token.expose())).await;
    assert_eq!(answer.set_cookies(), [""; 0]);
    let session = sessions.recv().await.unwrap();
    session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1).unwrap();
    session.save().await.unwrap();
    assert_eq!(n_of(&store, &token), Some(2));
    for new_token in [Session::rotate_with_grace, Session::rotate] {
        new_token(&session);
        assert!(matches!(session.save().await, Err(Error::HeadersSent)));
        assert_eq!(n_of(&store, &token), Some(2), "the visitor is still signed in");
    }

    ask(&app, "/", &[]).await;
    let session = sessions.recv().await.unwrap();
    session.insert("n", 7_u64).unwrap();
    let commits = store.stats().commits;
    let error = session.save().await.unwrap_err();
    assert!(matches!(error, Error::HeadersSent), "{error}");
    assert_eq!((store.stats().commits, session.token()), (commits, None), "no session without a client that has its token");
    session.destroy();
    session.save().await.unwrap();
}
