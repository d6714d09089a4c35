//! A small application: a page with the signed-in user, a counter of visits, a note.
//!
//! All of its addresses are relative, so that it works below any path.

use axum::{
    Form, Router,
    extract::State,
    response::{Html, Redirect},
    routing::{get, post},
};
use serde::Deserialize;
use sessile::{Error, Session, SessionLayer, Store};

/// The application below `path`, such as `/app`, or an empty text for the root.
///
/// `GET account` reads the session; `GET visit` and `POST note` change it. `POST sign-in` and `POST sign-out` are forms, `POST token` and
/// `DELETE token` the same for programs. `GET devices` counts the sessions of the user, `GET device` returns whether this one is bound.
pub fn application(store: &Store, sessions: SessionLayer, path: &str) -> Router {
    let at = |name: &str| format!("{path}/{name}");
    Router::new()
        .route(&at("account"), get(account))
        .route(&at("visit"), get(visit))
        .route(&at("note"), post(note))
        .route(&at("sign-in"), post(sign_in_form))
        .route(&at("sign-out"), post(sign_out_form))
        .route(&at("token"), post(take_token).delete(give_token_back))
        .route(&at("devices"), get(devices))
        .route(&at("device"), get(device))
        .layer(sessions)
        .with_state(store.clone())
}

/// A site of pages without sessions: each has an address and a body.
pub fn site<const N: usize>(pages: [(&str, String); N]) -> Router {
    pages.into_iter().fold(Router::new(), |site, (address, body)| {
        let page = Html(format!("<!doctype html>\n<title>site</title>\n{body}\n"));
        site.route(address, get(async move || page.clone()))
    })
}

/// Returns the signed-in user, or `nobody`.
pub fn user_of(session: &Session) -> String {
    session.owner().map_or_else(|| "nobody".to_owned(), |owner| owner.as_str().to_owned())
}

async fn account(session: Session) -> Result<Html<String>, Error> {
    page(&session)
}

async fn visit(session: Session) -> Result<Html<String>, Error> {
    session.update("visits", |visits: Option<u32>| visits.unwrap_or(0) + 1)?;
    page(&session)
}

async fn note(session: Session) -> Result<Redirect, Error> {
    session.insert("note", "written")?;
    Ok(Redirect::to("account"))
}

#[derive(Deserialize)]
struct SignIn {
    user: String,
}

async fn sign_in_form(session: Session, Form(form): Form<SignIn>) -> Result<Redirect, Error> {
    session.sign_in(form.user)?;
    Ok(Redirect::to("account"))
}

async fn sign_out_form(session: Session) -> Redirect {
    session.sign_out();
    Redirect::to("account?signed-out")
}

async fn take_token(session: Session, user: String) -> Result<(), Error> {
    session.sign_in(user)
}

async fn give_token_back(session: Session) {
    session.sign_out();
}

async fn devices(State(store): State<Store>, session: Session) -> Result<String, Error> {
    Ok(store.sessions_of(user_of(&session))?.len().to_string())
}

async fn device(session: Session) -> String {
    format!("{:?}", session.device())
}

fn page(session: &Session) -> Result<Html<String>, Error> {
    let (user, visits) = (user_of(session), session.get::<u32>("visits")?.unwrap_or(0));
    let note: String = session.get("note")?.unwrap_or_default();
    Ok(Html(format!(
        r#"<!doctype html>
<title>application</title>
<p id="user">{user}</p><p id="visits">{visits}</p><p id="note">{note}</p>
<form id="sign-in" method="post" action="sign-in"><input name="user"></form>
<form id="sign-out" method="post" action="sign-out"></form>
<form id="write" method="post" action="note"></form>
"#
    )))
}
