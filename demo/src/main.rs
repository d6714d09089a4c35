//! Sign up, sign in, see and end your devices' sessions: an application of a few screens that shows what sessile does.
//!
//! ```text
//! cargo run --release -p sessile-demo
//! ```
//!
//! Then open <http://127.0.0.1:3000>. `--help` lists the options. Two redb files hold everything: `sessions.redb` is the store's,
//! `users.redb` the demo's own. Kill the program as you like: who was signed in still is when it runs again.
//!
//! This file has the routes, who may call them, and how they use the session; read [`home`] and [`begin`] first. Invariants:
//! a GET changes nothing but the count of pages viewed and the messages shown; a POST from another site changes nothing at all;
//! each change of who is signed in gives the session a new id.
//!
//! To serve others than this computer, put TLS in front and pass the address as `--origin`.

mod args;
mod pages;
mod server;
mod users;

use std::{net::SocketAddr, process::ExitCode};

use axum::{
    Form, Router,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware,
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use serde::Deserialize;
use sessile::{CsrfLayer, Handle, Model, Owner, Session, SessionLayer, Store, device::DeviceBound, web::CsrfError};

use crate::{
    args::Command,
    pages::{CredentialsForm, Figures, Home, Refused},
    users::{Refusal, User, Users},
};

/// What a session knows of its visitor. A later release that changes the fields raises the version, and every session is migrated.
#[derive(Default, Model)]
struct Visit {
    /// Empty until a user signs in.
    name: String,
    views: u64,
    views_since_login: u64,
}

/// The key of the session's [`Visit`].
const VISIT: &str = "visit";

#[derive(Clone)]
struct App {
    store: Store,
    users: Users,
}

/// The application. `address` is where it listens; `origin`: where its visitors find it, if that is not the same.
fn router(app: App, address: SocketAddr, origin: Option<&str>) -> Result<Router, CsrfError> {
    let sessions = SessionLayer::new(app.store.clone()).device_bound(DeviceBound::new());
    let (sessions, csrf) = match origin {
        Some(origin) => (sessions, CsrfLayer::new().for_origin(origin)?),
        None => (sessions.plain_http_on_loopback(), CsrfLayer::new()),
    };
    let router = Router::new()
        .route("/", get(home))
        .route("/sign-up", get(to_home).post(sign_up))
        .route("/sign-in", get(to_home).post(sign_in))
        .route("/sign-out", post(sign_out))
        .route("/signed-out", get(signed_out))
        .route("/devices/sign-out", post(sign_out_device))
        .route("/devices/sign-out-others", post(sign_out_others))
        .with_state(app)
        // A name and a password at their longest, each byte percent-encoded, take under 3 KiB.
        .layer(DefaultBodyLimit::max(4096))
        .layer(csrf)
        .layer(sessions)
        .layer(middleware::map_response(move |response| async move { show_errors(response, address) }))
        .layer(middleware::map_response(add_headers));
    Ok(router)
}

async fn home(State(app): State<App>, session: Session) -> Result<Html<String>, AppError> {
    let owner = session.owner();
    let since_login = u64::from(owner.is_some());
    // Two tabs that load at once are both counted.
    let visit = session.update_model(VISIT, move |visit: &mut Visit| {
        visit.views += 1;
        visit.views_since_login += since_login;
    })?;
    let flashes = session.take_flashes();
    let Some(owner) = owner else {
        return Ok(pages::front(visit.views, &flashes, None, &Figures::new(&app.store, Some(&session))));
    };
    let devices = app.store.sessions_of(&owner)?;
    let Visit { name, views, views_since_login } = visit;
    let page = Home { name, views, views_since_login, devices, here: session.handle(), device: session.device(), flashes };
    Ok(pages::home(&page, &Figures::new(&app.store, Some(&session))))
}

#[derive(Deserialize)]
struct Credentials {
    name: String,
    password: String,
}

/// The answer to a browser that asks for the address of a form, which it shows after a refusal.
async fn to_home() -> Redirect {
    Redirect::to("/")
}

async fn sign_up(
    State(app): State<App>,
    session: Session,
    headers: HeaderMap,
    Form(form): Form<Credentials>,
) -> Result<Response, AppError> {
    let outcome = app.users.sign_up(&form.name, form.password).await?;
    finish(&app, &session, &headers, CredentialsForm::SignUp, &form.name, outcome)
}

async fn sign_in(
    State(app): State<App>,
    session: Session,
    headers: HeaderMap,
    Form(form): Form<Credentials>,
) -> Result<Response, AppError> {
    let outcome = app.users.sign_in(&form.name, form.password).await?;
    finish(&app, &session, &headers, CredentialsForm::SignIn, &form.name, outcome)
}

/// Signs the user in, or shows the form again.
fn finish(
    app: &App,
    session: &Session,
    headers: &HeaderMap,
    form: CredentialsForm,
    name: &str,
    outcome: Result<User, Refusal>,
) -> Result<Response, AppError> {
    match outcome {
        Ok(user) => {
            begin(session, &user, headers)?;
            session.flash(form.welcome(), user.name)?;
            Ok(Redirect::to("/").into_response())
        }
        Err(refusal) => {
            // Nothing is stored: what was typed as a name may be a password.
            let views = session.view::<Visit>(VISIT)?.map_or(0, |visit| visit.views.to_native());
            let page =
                pages::front(views, &[], Some(&Refused { form, name, refusal }), &Figures::new(&app.store, Some(session)));
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
    }
}

/// Makes the visitor's session that of the user.
fn begin(session: &Session, user: &User, headers: &HeaderMap) -> Result<(), sessile::Error> {
    // A new token too: the old one may have been planted in this browser.
    session.sign_in(&user.id)?;
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    session.set_label(&pages::device_of(agent.unwrap_or_default()))?;
    let name = user.name.clone();
    session.update_model(VISIT, move |visit: &mut Visit| {
        visit.name.clone_from(&name);
        visit.views_since_login = 0;
    })?;
    Ok(())
}

async fn sign_out(session: Session) -> Redirect {
    session.sign_out();
    Redirect::to("/signed-out")
}

/// Takes no `Session`: a handler that does not ask for one pays nothing for it.
async fn signed_out(State(app): State<App>) -> Html<String> {
    pages::signed_out(&Figures::new(&app.store, None))
}

#[derive(Deserialize)]
struct Device {
    handle: String,
}

async fn sign_out_device(State(app): State<App>, session: Session, Form(device): Form<Device>) -> Result<Redirect, AppError> {
    let owner = signed_in(&session)?;
    // The store ends it only if it is this user's: a handle guessed or copied from elsewhere ends nobody else's.
    let ended = match device.handle.parse::<Handle>() {
        Ok(handle) => app.store.destroy_session_of(&owner, &handle).await?,
        Err(_) => false,
    };
    if ended {
        session.flash("ok", "That device is signed out.")?;
    } else {
        session.flash("error", "That device was signed out already.")?;
    }
    Ok(Redirect::to("/"))
}

async fn sign_out_others(State(app): State<App>, session: Session) -> Result<Redirect, AppError> {
    let owner = signed_in(&session)?;
    let here = session.handle().ok_or(AppError::NotSignedIn)?;
    let text = match app.store.destroy_other_sessions_of(&owner, here).await? {
        1 => "One other device is signed out.".to_owned(),
        count => format!("{count} other devices are signed out."),
    };
    session.flash("ok", text)?;
    Ok(Redirect::to("/"))
}

fn signed_in(session: &Session) -> Result<Owner, AppError> {
    session.owner().ok_or(AppError::NotSignedIn)
}

/// Replaces an error's text, or its empty body, by a page: axum, the two layers of sessile and [`AppError`] answer with no more.
fn show_errors(response: Response, address: SocketAddr) -> Response {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let is_page = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    if is_page || !is_error {
        return response;
    }
    let (mut parts, _) = response.into_parts();
    for of_body in [header::CONTENT_TYPE, header::CONTENT_LENGTH] {
        parts.headers.remove(of_body);
    }
    (parts, pages::problem(status, address)).into_response()
}

/// No script, no frame, and no copy kept: the "back" button must not show the account of somebody who has signed out.
async fn add_headers(mut response: Response) -> Response {
    const POLICY: &str =
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Not "no-referrer": with that, browsers send `Origin: null` from our own forms.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    response
}

/// Why a handler gave no page.
enum AppError {
    Session(sessile::Error),
    Users(users::Error),
    NotSignedIn,
}

impl From<sessile::Error> for AppError {
    fn from(source: sessile::Error) -> Self {
        Self::Session(source)
    }
}

impl From<users::Error> for AppError {
    fn from(source: users::Error) -> Self {
        Self::Users(source)
    }
}

impl IntoResponse for AppError {
    fn into_response(self) -> Response {
        match self {
            // The library knows which of its errors are worth another try, and answers accordingly.
            Self::Session(source) => {
                eprintln!("sessions.redb: {source}");
                source.into_response()
            }
            Self::Users(source) => {
                eprintln!("{source}");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
            Self::NotSignedIn => Redirect::to("/").into_response(),
        }
    }
}

fn main() -> ExitCode {
    let options = match args::from_env() {
        Ok(Command::Serve(options)) => options,
        Ok(Command::Help) => {
            println!("{}", args::HELP);
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    match server::run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
