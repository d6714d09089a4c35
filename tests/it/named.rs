//! A visitor's and an administrator's session in one application.

use axum::{Router, routing::get};
use sessile::{Cookie, Error, Named, Session, SessionLayer, SessionName, Store, Token, web::SameSite};

use crate::support::{ask, ask_with, saved};

struct Admin;

impl SessionName for Admin {
    const NAME: &str = "admin";
}

struct Partner;

impl SessionName for Partner {
    const NAME: &str = "partner";
}

async fn visit(session: Session) -> String {
    session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1).unwrap().to_string()
}

async fn rule(session: Named<Admin>) -> String {
    session.update("n", |n: Option<u64>| n.unwrap_or(100) + 1).unwrap().to_string()
}

async fn both(visitor: Session, admin: Named<Admin>) -> String {
    format!("{:?} {:?}", visitor.get::<u64>("n").unwrap(), admin.get::<u64>("n").unwrap())
}

async fn leave(admin: Named<Admin>) {
    admin.destroy();
}

fn app(visitors: &Store, admins: &Store) -> Router {
    Router::new()
        .route("/", get(visit))
        .route("/admin", get(rule))
        .route("/both", get(both))
        .route("/leave", get(leave))
        .layer(SessionLayer::new(admins.clone()).named::<Admin>())
        .layer(SessionLayer::new(visitors.clone()))
}

/// What both ways of keeping them have in common: two stores, or one.
async fn two_sessions_live_side_by_side(visitors: &Store, admins: &Store) {
    let app = app(visitors, admins);
    let visitor = ask(&app, "/", &[]).await.cookie();
    let admin = ask(&app, "/admin", &[]).await.cookie();
    assert!(visitor.starts_with("__Host-id="), "{visitor}");
    assert!(admin.starts_with("__Host-admin="), "{admin}");
    let cookies = format!("{visitor}; {admin}");
    assert_eq!(ask_with(&app, "/both", &cookies).await.body, "Some(1) Some(101)");
    assert_eq!(ask_with(&app, "/both", &visitor).await.body, "Some(1) None");
    assert_eq!(ask_with(&app, "/both", &admin).await.body, "None Some(101)");

    // A token under the other name is not a session: renaming a cookie makes no administrator.
    let value = |cookie: &str| cookie.split_once('=').unwrap().1.to_owned();
    let swapped = format!("__Host-admin={}; __Host-id={}", value(&visitor), value(&admin));
    assert_eq!(ask_with(&app, "/both", &swapped).await.body, "None None");

    // Each ends alone.
    let left = ask_with(&app, "/leave", &cookies).await;
    assert!(left.cookie().starts_with("__Host-admin="), "{:?}", left.set_cookies());
    assert_eq!(ask_with(&app, "/both", &cookies).await.body, "Some(1) None");
}

#[tokio::test]
async fn visitors_and_admins_with_a_store_each() {
    two_sessions_live_side_by_side(&sessile::testing::store(), &sessile::testing::store()).await;
}

#[tokio::test]
async fn visitors_and_admins_in_one_store() {
    let store = sessile::testing::store();
    two_sessions_live_side_by_side(&store, &store).await;
}

#[tokio::test]
async fn one_response_sets_both_cookies() {
    let store = sessile::testing::store();
    let set = async |visitor: Session, admin: Named<Admin>| {
        visitor.insert("n", 1).unwrap();
        admin.insert("n", 2).unwrap();
    };
    let app = Router::new()
        .route("/", get(set))
        .layer(SessionLayer::new(store.clone()))
        .layer(SessionLayer::new(store).named::<Admin>());
    let answer = ask(&app, "/", &[]).await;
    let mut names: Vec<_> = answer.set_cookies().iter().map(|cookie| cookie.split('=').next().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["__Host-admin", "__Host-id"]);
}

#[tokio::test]
async fn a_named_session_needs_its_own_layer() {
    let store = sessile::testing::store();
    let missing = async |named: Result<Named<Partner>, Error>| named.unwrap_err().to_string();
    let unnamed = async |session: Result<Session, Error>| session.unwrap_err().to_string();
    let app =
        Router::new().route("/", get(missing)).route("/unnamed", get(unnamed)).layer(SessionLayer::new(store).named::<Admin>());
    let body = ask(&app, "/", &[]).await.body;
    assert!(body.contains("`partner`"), "{body}");
    assert_eq!(ask(&app, "/unnamed", &[]).await.body, Error::NoLayer.to_string());
}

#[tokio::test]
async fn a_named_sessions_cookie_keeps_its_name_whatever_else_it_is() {
    let store = sessile::testing::store();
    let strict = Cookie::new().same_site(SameSite::Strict);
    let layers = [
        SessionLayer::new(store.clone()).named::<Admin>().cookie(strict.clone()).unwrap(),
        SessionLayer::new(store.clone()).cookie(strict.clone()).unwrap().named::<Admin>(),
    ];
    for layer in layers {
        let answer = ask(&Router::new().route("/", get(rule)).layer(layer), "/", &[]).await;
        let cookie = answer.set_cookies()[0];
        assert!(cookie.starts_with("__Host-admin=") && cookie.ends_with("SameSite=Strict"), "{cookie}");
    }
    let own = SessionLayer::new(store).named::<Admin>().cookie(strict.name("boss")).unwrap();
    assert!(ask(&Router::new().route("/", get(rule)).layer(own), "/", &[]).await.cookie().starts_with("__Host-boss="));
}

#[tokio::test]
async fn a_named_session_stays_one_through_rotation_and_without_a_layer() {
    let store = sessile::testing::store();
    let login = async |admin: Named<Admin>| {
        admin.insert("n", 7).unwrap();
        admin.rotate();
    };
    let app = app(&store, &store).route("/login", get(login).layer(SessionLayer::new(store.clone()).named::<Admin>()));
    let before = ask(&app, "/login", &[]).await.cookie();
    let after = ask_with(&app, "/login", &before).await.cookie();
    assert_ne!(before, after);
    assert_eq!(ask_with(&app, "/both", &before).await.body, "None None");
    assert_eq!(ask_with(&app, "/both", &after).await.body, "None Some(7)");

    let token = Token::parse(after.split_once('=').unwrap().1.as_bytes()).unwrap();
    assert_eq!(store.session(Some(&token)).unwrap().token(), None);
    let session = store.session(Some(&token.named("admin"))).unwrap();
    assert_eq!(session.get("n").unwrap(), Some(7));
    assert_eq!(saved(&store, 1).1.named("admin").expose().len(), 32);
}

#[tokio::test]
async fn a_renewed_named_session_stays_one_and_so_does_its_old_token() {
    let store = sessile::testing::store();
    let app = app(&store, &store);
    let renew =
        get(async |admin: Named<Admin>| admin.rotate_with_grace()).layer(SessionLayer::new(store.clone()).named::<Admin>());
    let app = app.route("/renew", renew);
    let old = ask(&app, "/admin", &[]).await.cookie();
    let new = ask_with(&app, "/renew", &old).await.cookie();
    assert_ne!(old, new);
    for cookie in [&old, &new] {
        assert_eq!(ask_with(&app, "/both", cookie).await.body, "None Some(101)");
        let renamed = cookie.replace("__Host-admin", "__Host-id");
        assert_eq!(ask_with(&app, "/both", &renamed).await.body, "None None");
    }
}
