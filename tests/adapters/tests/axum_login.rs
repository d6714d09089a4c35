//! axum-login 0.18 on our store, as in its own examples: sign in, a protected page, permissions, sign out.

use std::{collections::HashSet, convert::Infallible, fmt};

use axum::{
    Router,
    body::Body,
    extract::Path,
    http::{Request, Response, StatusCode, header},
    routing::{get, post},
};
use axum_login::{
    AuthManagerLayerBuilder, AuthSession, AuthUser, AuthnBackend, AuthzBackend, login_required, permission_required,
    tower_sessions::{Expiry, Session, SessionManagerLayer},
};
use sessile::{Durability, Store};
use sessile_tower_sessions::TowerSessions;
use tower::ServiceExt;

#[derive(Clone, Debug)]
struct User {
    id: i64,
    password: String,
}

impl AuthUser for User {
    type Id = i64;

    fn id(&self) -> i64 {
        self.id
    }

    fn session_auth_hash(&self) -> &[u8] {
        self.password.as_bytes()
    }
}

#[derive(Clone)]
struct Users;

#[derive(Debug)]
struct Never(Infallible);

impl fmt::Display for Never {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {}
    }
}

impl std::error::Error for Never {}

impl AuthnBackend for Users {
    type User = User;
    type Credentials = (i64, String);
    type Error = Never;

    async fn authenticate(&self, (id, password): (i64, String)) -> Result<Option<User>, Never> {
        Ok(self.get_user(&id).await?.filter(|user| user.password == password))
    }

    async fn get_user(&self, id: &i64) -> Result<Option<User>, Never> {
        Ok((1..=2).contains(id).then(|| User { id: *id, password: format!("secret{id}") }))
    }
}

impl AuthzBackend for Users {
    type Permission = &'static str;

    async fn get_user_permissions(&self, user: &User) -> Result<HashSet<&'static str>, Never> {
        Ok(if user.id == 1 { HashSet::from(["admin"]) } else { HashSet::new() })
    }
}

async fn sign_in(Path((id, password)): Path<(i64, String)>, mut auth: AuthSession<Users>) -> StatusCode {
    match auth.authenticate((id, password)).await.unwrap() {
        Some(user) => {
            auth.login(&user).await.unwrap();
            StatusCode::OK
        }
        None => StatusCode::UNAUTHORIZED,
    }
}

async fn sign_out(mut auth: AuthSession<Users>) {
    auth.logout().await.unwrap();
}

async fn who(auth: AuthSession<Users>) -> String {
    auth.user.map_or("nobody".to_owned(), |user| user.id.to_string())
}

async fn count(session: Session) -> String {
    let visits = session.get::<u32>("visits").await.unwrap().unwrap_or(0) + 1;
    session.insert("visits", visits).await.unwrap();
    visits.to_string()
}

fn app(store: &Store) -> Router {
    let of_user = |data: &std::collections::HashMap<String, serde_json::Value>| {
        Some(data.get("axum-login.data")?.get("user_id")?.as_i64()?.to_string())
    };
    let sessions = SessionManagerLayer::new(TowerSessions::new(store.clone()).owned_by(of_user))
        .with_expiry(Expiry::OnInactivity(time::Duration::days(1)));
    Router::new()
        .route("/admin", get(|| async { "the safe" }).route_layer(permission_required!(Users, "admin")))
        .route("/page", get(|| async { "for members" }).route_layer(login_required!(Users, login_url = "/login")))
        .route("/who", get(who))
        .route("/count", get(count))
        .route("/in/{id}/{password}", post(sign_in))
        .route("/out", post(sign_out))
        .layer(AuthManagerLayerBuilder::new(Users, sessions).build())
}

/// A browser with one cookie.
struct Browser {
    app: Router,
    cookie: Option<String>,
}

impl Browser {
    fn new(store: &Store) -> Self {
        Self { app: app(store), cookie: None }
    }

    async fn ask(&mut self, method: &str, path: &str) -> (StatusCode, String) {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(cookie) = &self.cookie {
            request = request.header(header::COOKIE, cookie);
        }
        let response: Response<Body> = self.app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        if let Some(set) = response.headers().get(header::SET_COOKIE) {
            let set = set.to_str().unwrap();
            let pair = set.split(';').next().unwrap().to_owned();
            self.cookie = (!set.contains("Max-Age=0")).then_some(pair);
        }
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn get(&mut self, path: &str) -> (StatusCode, String) {
        self.ask("GET", path).await
    }

    async fn post(&mut self, path: &str) -> StatusCode {
        self.ask("POST", path).await.0
    }
}

fn says(text: &str) -> (StatusCode, String) {
    (StatusCode::OK, text.to_owned())
}

fn store_in(directory: &std::path::Path) -> Store {
    Store::builder().durability(Durability::Relaxed).open(directory.join("sessions.redb")).unwrap()
}

#[tokio::test]
async fn signing_in_opens_pages_and_signing_out_closes_them() {
    let directory = tempfile::tempdir().unwrap();
    let store = store_in(directory.path());
    let mut browser = Browser::new(&store);

    let (status, _) = browser.get("/page").await;
    assert_eq!(status, StatusCode::TEMPORARY_REDIRECT, "to the login");
    assert_eq!(browser.get("/admin").await.0, StatusCode::FORBIDDEN);
    assert_eq!(browser.post("/in/1/wrong").await, StatusCode::UNAUTHORIZED);
    assert_eq!(
        (browser.cookie.as_deref(), store.stats().sessions),
        (None, 0),
        "nothing is stored for a visitor without values"
    );

    assert_eq!(browser.post("/in/1/secret1").await, StatusCode::OK);
    assert_eq!(browser.get("/who").await, says("1"));
    assert_eq!(browser.get("/page").await, says("for members"));
    assert_eq!(browser.get("/admin").await, says("the safe"));
    let signed_in = browser.cookie.clone();

    assert_eq!(browser.post("/out").await, StatusCode::OK);
    assert_eq!(browser.cookie, None);
    browser.cookie = signed_in;
    assert_eq!(browser.get("/who").await, says("nobody"), "the old cookie opens nothing");
    assert_eq!(browser.get("/page").await.0, StatusCode::TEMPORARY_REDIRECT);
}

#[tokio::test]
async fn a_permission_is_one_users_and_not_anothers() {
    let directory = tempfile::tempdir().unwrap();
    let store = store_in(directory.path());
    let mut browser = Browser::new(&store);
    assert_eq!(browser.post("/in/2/secret2").await, StatusCode::OK);
    assert_eq!(browser.get("/page").await, says("for members"));
    assert_eq!(browser.get("/admin").await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn signing_in_changes_the_id_and_keeps_the_values() {
    let directory = tempfile::tempdir().unwrap();
    let store = store_in(directory.path());
    let mut browser = Browser::new(&store);
    assert_eq!(browser.get("/count").await, says("1"));
    let planted = browser.cookie.clone().unwrap();
    assert_eq!(browser.post("/in/1/secret1").await, StatusCode::OK);
    assert_ne!(browser.cookie.as_ref(), Some(&planted));
    assert_eq!(browser.get("/count").await, says("2"));
    browser.cookie = Some(planted);
    assert_eq!(browser.get("/who").await, says("nobody"), "the attacker who planted the id is not signed in");
}

#[tokio::test]
async fn who_is_signed_in_still_is_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let store = store_in(directory.path());
    let mut browser = Browser::new(&store);
    assert_eq!(browser.post("/in/2/secret2").await, StatusCode::OK);
    let cookie = browser.cookie.take();
    drop(browser);
    store.close().unwrap();
    drop(store);

    let mut browser = Browser { cookie, ..Browser::new(&store_in(directory.path())) };
    assert_eq!(browser.get("/who").await, says("2"));
    assert_eq!(browser.get("/page").await, says("for members"));
}

#[tokio::test]
async fn a_user_is_signed_out_on_every_device_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let store = store_in(directory.path());
    let (mut laptop, mut phone, mut other) = (Browser::new(&store), Browser::new(&store), Browser::new(&store));
    assert_eq!(laptop.post("/in/1/secret1").await, StatusCode::OK);
    assert_eq!(phone.post("/in/1/secret1").await, StatusCode::OK);
    assert_eq!(other.post("/in/2/secret2").await, StatusCode::OK);
    assert_eq!(store.destroy_sessions_of("1").await.unwrap(), 2);
    assert_eq!(laptop.get("/who").await, says("nobody"));
    assert_eq!(phone.get("/who").await, says("nobody"));
    assert_eq!(other.get("/who").await, says("2"));
}
