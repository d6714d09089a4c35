//! Sessions that are used by another client than the one that got them.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex},
};

use axum::{
    Extension, Router,
    http::{Extensions, HeaderMap, StatusCode},
    routing::get,
};
use sessile::{
    Session, SessionLayer, Store,
    web::{Binding, BindingChange, OnChange},
};

use crate::support::{Answer, OnDisk, ask};

type Changes = Arc<Mutex<Vec<(bool, bool)>>>;

/// Returns the address that our own proxy reports.
fn forwarded(headers: &HeaderMap, _: &Extensions) -> Option<IpAddr> {
    headers.get("x-real-ip")?.to_str().ok()?.parse().ok()
}

fn app(store: &Store, binding: Binding) -> (Router, Changes) {
    let changes = Changes::default();
    let seen = changes.clone();
    let binding = binding.observe(move |change: &BindingChange| {
        assert_eq!(change.handle.to_string().len(), 16);
        seen.lock().unwrap().push((change.user_agent, change.address));
    });
    let app = Router::new()
        .route("/", get(async |session: Session| session.insert("n", 5_u64).unwrap()))
        .route("/read", get(async |session: Session| session.get::<u64>("n").unwrap().unwrap_or(0).to_string()))
        .route("/login", get(async |session: Session| session.rotate()))
        .route("/remove", get(async |session: Session| session.remove("x").unwrap().to_string()))
        .route("/fail", get(async |_: Session| StatusCode::INTERNAL_SERVER_ERROR))
        .layer(SessionLayer::new(store.clone()).binding(binding));
    (app, changes)
}

async fn ask_as(app: &Router, path: &str, cookie: &str, user_agent: &str, address: &str) -> Answer {
    let headers = [("cookie", cookie), ("user-agent", user_agent), ("x-real-ip", address)];
    let headers = headers.map(|(name, value)| (name, value.as_bytes()));
    // No header at all for empty values.
    let headers: Vec<_> = headers.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    ask(app, path, &headers).await
}

const HERE: &str = "198.51.100.7";

#[tokio::test]
async fn by_default_a_session_is_bound_to_nothing() {
    let store = sessile::testing::store();
    let (app, changes) = app(&store, Binding::new());
    let cookie = ask_as(&app, "/", "", "Firefox", HERE).await.cookie();
    assert_eq!(ask_as(&app, "/read", &cookie, "Chrome", "203.0.113.5").await.body, "5");
    assert!(changes.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_change_is_reported_once_and_the_session_goes_on() {
    let mut disk = OnDisk::new();
    let binding = || Binding::new().user_agent().address(forwarded);
    let (first, changes) = app(&disk.store, binding());
    let cookie = ask_as(&first, "/", "", "Firefox", HERE).await.cookie();
    for (user_agent, address, expected) in [
        ("Firefox", HERE, vec![]),
        ("Firefox", "", vec![]),
        ("Chrome", HERE, vec![(true, false)]),
        ("Chrome", HERE, vec![]),
        ("Chrome", "203.0.113.5", vec![(false, true)]),
        ("", "203.0.113.5", vec![(true, false)]),
        ("", "::ffff:203.0.113.5", vec![]),
        ("Firefox", HERE, vec![(true, true)]),
    ] {
        let answer = ask_as(&first, "/read", &cookie, user_agent, address).await;
        assert_eq!(answer.body, "5");
        assert_eq!(*changes.lock().unwrap(), expected, "{user_agent} {address}");
        changes.lock().unwrap().clear();
    }
    disk.reopen();
    let (second, changes) = app(&disk.store, binding());
    assert_eq!(ask_as(&second, "/read", &cookie, "Firefox", HERE).await.body, "5");
    assert!(changes.lock().unwrap().is_empty(), "the file knows");
    let file = std::fs::read(disk.dir.path().join("sessions.redb")).unwrap();
    assert!(!file.windows(7).any(|window| window == b"Firefox"), "hashes are kept, no clear text");
}

#[tokio::test]
async fn a_refused_change_leaves_the_session_to_its_client() {
    let store = sessile::testing::store();
    let (app, changes) = app(&store, Binding::new().user_agent().on_change(OnChange::Refuse));
    let cookie = ask_as(&app, "/", "", "Firefox", HERE).await.cookie();
    let thief = ask_as(&app, "/read", &cookie, "Chrome", HERE).await;
    assert_eq!((thief.body.as_str(), thief.set_cookies().len()), ("0", 0));
    assert_eq!(*changes.lock().unwrap(), [(true, false)]);
    // The other client's value is in a separate session.
    let other = ask_as(&app, "/", &cookie, "Chrome", HERE).await.cookie();
    assert_ne!(other, cookie);
    assert_eq!(ask_as(&app, "/read", &cookie, "Firefox", HERE).await.body, "5");
    assert_eq!(ask_as(&app, "/read", &other, "Chrome", HERE).await.body, "5");
}

#[tokio::test]
async fn a_change_can_end_the_session_even_if_the_handler_fails() {
    for path in ["/read", "/fail"] {
        let store = sessile::testing::store();
        let (app, _) = app(&store, Binding::new().user_agent().on_change(OnChange::End));
        let cookie = ask_as(&app, "/", "", "Firefox", HERE).await.cookie();
        let thief = ask_as(&app, path, &cookie, "Chrome", HERE).await;
        assert!(thief.set_cookies()[0].starts_with("__Host-id=;"), "{:?}", thief.set_cookies());
        assert_eq!(ask_as(&app, "/read", &cookie, "Firefox", HERE).await.body, "0");
    }
}

#[tokio::test]
async fn a_login_binds_anew_and_so_does_an_older_session() {
    let store = sessile::testing::store();
    let (unbound, _) = app(&store, Binding::new());
    let old = ask_as(&unbound, "/", "", "Firefox", HERE).await.cookie();
    let (app, changes) = app(&store, Binding::new().user_agent().address(forwarded).on_change(OnChange::Refuse));
    assert_eq!(ask_as(&app, "/read", &old, "Chrome", HERE).await.body, "5", "it is bound to nothing yet");
    ask_as(&app, "/", &old, "Safari", HERE).await;
    assert_eq!(ask_as(&app, "/read", &old, "Chrome", HERE).await.body, "0", "it is now");
    let new = ask_as(&app, "/login", &old, "Safari", HERE).await.cookie();
    assert_eq!(ask_as(&app, "/read", &new, "Safari", HERE).await.body, "5");
    assert_eq!(ask_as(&app, "/read", &new, "Safari", "203.0.113.5").await.body, "0");
    assert_eq!(changes.lock().unwrap().len(), 2);
    // Binding alone creates no session.
    for path in ["/read", "/login", "/remove"] {
        assert_eq!(ask_as(&app, path, "", "Safari", HERE).await.set_cookies(), [""; 0], "{path}");
    }
}

#[tokio::test]
async fn the_address_can_come_from_an_extension() {
    let store = sessile::testing::store();
    let read = |_: &HeaderMap, extensions: &Extensions| extensions.get::<IpAddr>().copied();
    let (app, changes) = app(&store, Binding::new().address(read).on_change(OnChange::Refuse));
    let from = |last: u8| app.clone().layer(Extension(IpAddr::V4(Ipv4Addr::new(198, 51, 100, last))));
    let cookie = ask_as(&from(7), "/", "", "", "").await.cookie();
    assert_eq!(ask_as(&from(7), "/read", &cookie, "", "").await.body, "5");
    assert_eq!(ask_as(&from(8), "/read", &cookie, "", "").await.body, "0");
    assert_eq!(*changes.lock().unwrap(), [(false, true)]);
}
