//! Signs users in for tests of an application; shown as part of [`testing`](crate::testing).

use http::{HeaderName, HeaderValue, header::COOKIE};

use crate::{Owner, Session, SessionLayer};

/// Signs `owner` in to the sessions that `layer` carries, and returns the `Cookie` header for a request.
///
/// For tests of handlers behind a login, without the login. See [`login_with`] for sessions with values, and for layers that
/// carry tokens in another header.
///
/// # Panics
/// If the layer carries tokens in another header, or its store refuses.
///
/// # Examples
/// ```
/// # use axum::{Router, body::Body, http::{Request, StatusCode}, routing::get};
/// # use sessile::{Error, Session, SessionLayer};
/// # use tower::ServiceExt;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let layer = SessionLayer::new(sessile::testing::store());
/// let cookie = sessile::testing::login_cookie(&layer, "ada");
/// let devices = async |session: Option<Session>| if session.is_some() { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
/// let app: Router = Router::new().route("/devices", get(devices)).layer(layer);
///
/// let request = Request::get("/devices").header("cookie", cookie).body(Body::empty()).unwrap();
/// assert_eq!(app.oneshot(request).await.unwrap().status(), StatusCode::OK);
/// # }
/// ```
#[must_use]
pub fn login_cookie(layer: &SessionLayer, owner: impl Into<Owner>) -> String {
    let (name, value) = login_with(layer, owner, |_| {});
    assert_eq!(name, COOKIE, "this layer carries tokens in a header of its own; use `login_with`");
    value.to_str().expect("a cookie's name and a token are ASCII").to_owned()
}

/// Like [`login_cookie`], after `set` has put values into the session. Returns the header, of any name, and its value.
///
/// # Panics
/// If the store refuses.
///
/// # Examples
/// ```
/// # use sessile::{SessionLayer, web::Transport};
/// # let store = sessile::testing::store();
/// let layer = SessionLayer::new(store).transport(Transport::Bearer)?;
/// let (name, value) = sessile::testing::login_with(&layer, "ada", |session| session.insert("role", "admin").unwrap());
/// assert_eq!(name, "authorization");
/// # Ok::<(), sessile::web::TransportError>(())
/// ```
#[must_use]
pub fn login_with(layer: &SessionLayer, owner: impl Into<Owner>, set: impl FnOnce(&Session)) -> (HeaderName, HeaderValue) {
    let session = layer.new_session();
    set(&session);
    session.sign_in(owner).expect("an owner is a text of 1 to 1,024 bytes");
    session.save().wait().expect("the store takes a session");
    layer.presents(&session).expect("it was saved, and to seal it needs no I/O")
}
