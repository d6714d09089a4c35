//! Signing in and out: what one call guarantees, whatever happens before it and in between.

use axum::{Router, extract::Path, http::StatusCode, routing::get};
use sessile::{Durability, Error, Session, SessionLayer, Store};

use crate::support::{DAY, OnDisk, SECOND, ask, ask_with, n_of, saved};

const HOUR: std::time::Duration = std::time::Duration::from_hours(1);

#[test]
fn a_sign_in_alone_is_a_new_token_and_the_old_one_leads_nowhere() {
    let disk = OnDisk::new();
    let (session, planted) = saved(&disk.store, 1);
    // Neither a grace from an earlier call nor one in the same commit keeps the old token alive.
    session.rotate_with_grace();
    session.save().wait().unwrap();
    let renewed = session.token().unwrap();
    session.rotate_with_grace();
    session.sign_in("ada").unwrap();
    session.save().wait().unwrap();
    let (_dir, crashed) = disk.after_crash();
    for store in [&disk.store, &crashed] {
        assert_eq!((n_of(store, &planted), n_of(store, &renewed)), (None, None));
        assert_eq!(n_of(store, &session.token().unwrap()), Some(1));
    }
}

#[test]
fn a_sign_in_begins_a_new_life() {
    let mut disk = OnDisk::with(|builder| builder.idle_timeout(10 * DAY).absolute_timeout(30 * DAY));
    let (_, mut token) = saved(&disk.store, 1);
    let created = disk.store.session(Some(&token)).unwrap().created();
    // A visitor with a cart, who comes every day and signs in on day 29.
    for _ in 0..29 {
        disk.clock.advance(DAY);
        disk.store.session(Some(&token)).unwrap().save().wait().unwrap();
    }
    let session = disk.store.session(Some(&token)).unwrap();
    assert_eq!(session.authenticated_at(), None);
    session.sign_in("ada").unwrap();
    session.save().wait().unwrap();
    let signed_in = disk.store.now();
    assert_eq!((session.created(), session.authenticated_at()), (created, Some(signed_in)));
    token = session.token().unwrap();
    disk.reopen();
    let listed = &disk.store.sessions_of("ada").unwrap()[0];
    assert_eq!((Some(listed.created), listed.authenticated_at), (created, Some(signed_in)));
    assert_eq!(listed.absolute_deadline, Some(signed_in + 30 * DAY));
    // In the second store, which has the default timeouts: what is recorded counts.
    for _ in 0..29 {
        disk.clock.advance(DAY);
        disk.store.session(Some(&token)).unwrap().save().wait().unwrap();
        assert_eq!(n_of(&disk.store, &token), Some(1));
    }
    disk.clock.advance(DAY);
    assert_eq!(n_of(&disk.store, &token), None, "30 days after the sign-in");
}

#[test]
fn timeouts_of_its_own_begin_anew_with_a_sign_in() {
    let disk = OnDisk::new();
    let (session, _) = saved(&disk.store, 1);
    session.set_idle_timeout(40 * DAY).unwrap();
    session.set_absolute_timeout(90 * DAY).unwrap();
    session.save().wait().unwrap();
    disk.clock.advance(20 * DAY);
    session.sign_in("ada").unwrap();
    session.save().wait().unwrap();
    let now = disk.store.now();
    let listed = &disk.store.sessions_of("ada").unwrap()[0];
    assert_eq!((listed.idle_deadline, listed.absolute_deadline), (Some(now + 40 * DAY), Some(now + 90 * DAY)));
    // Timeouts set by the commit that signs in count from the sign-in, too.
    disk.clock.advance(DAY);
    session.sign_in("ada").unwrap();
    session.set_absolute_timeout(2 * DAY).unwrap();
    session.save().wait().unwrap();
    assert_eq!(disk.store.sessions_of("ada").unwrap()[0].absolute_deadline, Some(now + 3 * DAY));
    // And without an owner it is like any other again.
    session.unbind_owner();
    session.save().wait().unwrap();
    let token = session.token().unwrap();
    disk.clock.advance(7 * DAY);
    assert_eq!(n_of(&disk.store, &token), None);
}

#[test]
fn a_sign_in_is_durable_in_every_class() {
    for class in [Durability::Quick, Durability::Relaxed, Durability::Durable] {
        let disk = OnDisk::with(|builder| builder.durability(class).flush_interval(HOUR));
        let first = disk.store.session(None).unwrap();
        first.sign_in("ada").unwrap();
        first.insert("n", 1_u64).unwrap();
        first.save_with(class).wait().unwrap();
        let (later, _) = saved(&disk.store, 2);
        disk.clock.advance(HOUR);
        later.set_durability(class);
        later.sign_in("ben").unwrap();
        later.save().wait().unwrap();
        assert_eq!(later.authenticated_at(), Some(disk.store.now()), "{class:?}");
        let (_dir, crashed) = disk.after_crash();
        for (session, owner, n) in [(first, "ada", 1), (later, "ben", 2)] {
            assert_eq!(n_of(&crashed, &session.token().unwrap()), Some(n), "{class:?}");
            assert_eq!(crashed.sessions_of(owner).unwrap().len(), 1, "{class:?}");
        }
    }
}

#[test]
fn a_handle_names_a_session_over_every_change_of_its_token() {
    let disk = OnDisk::new();
    let (phone, _) = saved(&disk.store, 1);
    phone.sign_in("ada").unwrap();
    phone.save().wait().unwrap();
    let listed = disk.store.sessions_of("ada").unwrap()[0].handle;
    assert_eq!(phone.handle(), Some(listed));
    for change in [Session::rotate, Session::rotate_with_grace, |phone: &Session| phone.sign_in("ada").unwrap()] {
        change(&phone);
        phone.save().wait().unwrap();
        assert_eq!(phone.handle(), Some(listed));
    }
    // The list was shown, the phone has rotated its token since, and now the user presses the button.
    let (_dir, crashed) = disk.after_crash();
    for store in [&crashed, &disk.store] {
        assert!(store.destroy_session_of("ada", &listed).wait().unwrap());
        assert_eq!(n_of(store, &phone.token().unwrap()), None);
    }
}

#[test]
fn signing_out_everywhere_else_keeps_the_session_that_renews_beside_it() {
    let disk = OnDisk::new();
    let (laptop, _) = saved(&disk.store, 1);
    laptop.sign_in("ada").unwrap();
    laptop.save().wait().unwrap();
    let page = disk.store.session(laptop.token().as_ref()).unwrap();
    let handle = page.handle().unwrap();
    laptop.rotate();
    laptop.save().wait().unwrap();
    assert_eq!(disk.store.destroy_other_sessions_of("ada", handle).wait().unwrap(), 0);
    assert_eq!(disk.store.destroy_other_sessions_of("ada", &page).wait().unwrap(), 0);
    assert_eq!(n_of(&disk.store, &laptop.token().unwrap()), Some(1));
    // A session that is not stored keeps none.
    assert_eq!(disk.store.destroy_other_sessions_of("ada", &disk.store.session(None).unwrap()).wait().unwrap(), 1);
}

#[test]
fn deadlines_that_are_never_are_none() {
    let disk = OnDisk::with(|builder| {
        builder.idle_timeout(std::time::Duration::MAX).absolute_timeout(std::time::Duration::from_secs(1 << 40))
    });
    let (session, _) = saved(&disk.store, 1);
    session.sign_in("ada").unwrap();
    session.save().wait().unwrap();
    let listed = &disk.store.sessions_of("ada").unwrap()[0];
    assert_eq!((listed.idle_deadline, listed.absolute_deadline), (None, None), "30,000 years are never");
    session.set_absolute_timeout(7000 * 365 * DAY).unwrap();
    session.save().wait().unwrap();
    assert!(disk.store.sessions_of("ada").unwrap()[0].absolute_deadline.is_some(), "the year 9021 can be written");
}

async fn act(Path(what): Path<String>, session: Session) -> Result<StatusCode, Error> {
    let mut status = StatusCode::OK;
    for word in what.split('-') {
        match word {
            "in" => session.sign_in("ada")?,
            "out" => session.sign_out(),
            "set" => session.insert("n", 2_u64)?,
            "quick" => session.insert_quick("quick", 1)?,
            "remove" => drop(session.remove("n")?),
            "flash" => session.flash("info", "done")?,
            "rotate" => session.rotate(),
            "form" => drop(session.csrf_token()?),
            "save" => drop(session.save().await),
            "fail" => status = StatusCode::INTERNAL_SERVER_ERROR,
            _ => {}
        }
    }
    Ok(status)
}

fn app(layer: SessionLayer) -> Router {
    Router::new().route("/{what}", get(act)).layer(layer)
}

fn fresh() -> (Store, Router) {
    let store = sessile::testing::store();
    (store.clone(), app(SessionLayer::new(store)))
}

#[tokio::test]
async fn a_sign_out_holds_whatever_the_response() {
    for path in ["/out", "/out-fail", "/out-set-fail", "/set-out-fail"] {
        let (store, app) = fresh();
        let cookie = ask(&app, "/in", &[]).await.cookie();
        let answer = ask_with(&app, path, &cookie).await;
        assert_eq!(answer.status == StatusCode::OK, path == "/out");
        assert_eq!(answer.cookie(), "__Host-id=", "{path}: the cookie goes");
        assert!(store.sessions_of("ada").unwrap().is_empty(), "{path}");
        assert_eq!(store.stats().memory_sessions, 0, "{path}: what a failed handler set afterwards begins no session");
    }
    // A sign-in does not: the handler failed halfway.
    let (store, app) = fresh();
    assert!(ask(&app, "/in-fail", &[]).await.set_cookies().is_empty());
    assert!(store.sessions_of("ada").unwrap().is_empty());
}

/// Returns the status of a request whose session another one ends while it runs.
async fn ended_meanwhile(layer: SessionLayer, store: &Store, what: &'static str) -> StatusCode {
    let (session, token) = saved(store, 1);
    let end = move || {
        session.destroy();
        session.save().wait().unwrap();
    };
    let end = std::sync::Arc::new(std::sync::Mutex::new(Some(end)));
    let slow = async move |session: Session| {
        session.get::<u64>("n")?;
        end.lock().unwrap().take().expect("one request")();
        act(Path(what.to_owned()), session).await
    };
    let app = Router::new().route("/", get(slow)).layer(layer);
    let answer = ask_with(&app, "/", &format!("__Host-id={}", token.expose())).await;
    assert_eq!(n_of(store, &token), None);
    answer.status
}

#[tokio::test]
async fn values_that_were_dropped_are_a_409_and_nothing_else_is() {
    for (what, status) in [
        ("nothing", StatusCode::OK),
        ("set", StatusCode::CONFLICT),
        ("set-quick", StatusCode::CONFLICT),
        ("set-rotate", StatusCode::CONFLICT),
        ("quick", StatusCode::OK),
        ("rotate", StatusCode::OK),
        ("remove", StatusCode::OK),
        ("flash", StatusCode::OK),
        ("form", StatusCode::OK),
        ("out", StatusCode::OK),
        // It is in a new session.
        ("set-in", StatusCode::OK),
        // The handler got the error.
        ("set-save", StatusCode::OK),
    ] {
        let store = sessile::testing::store();
        assert_eq!(ended_meanwhile(SessionLayer::new(store.clone()), &store, what).await, status, "{what}");
        let lenient = SessionLayer::new(store.clone()).allow_dropped_values();
        assert_eq!(ended_meanwhile(lenient, &store, what).await, StatusCode::OK, "{what}, allowed");
    }
}

#[test]
fn a_value_that_is_set_after_the_response_and_never_saved_is_counted() {
    let store = sessile::testing::store();
    let kept: std::sync::Arc<std::sync::Mutex<Option<Session>>> = std::sync::Arc::default();
    let keep = kept.clone();
    let app = Router::new().route(
        "/",
        get(async move |session: Session| {
            session.insert("n", 1).unwrap();
            *keep.lock().unwrap() = Some(session);
        }),
    );
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let answer = runtime.block_on(ask(&app.layer(SessionLayer::new(store.clone())), "/", &[]));
    assert_eq!(answer.set_cookies().len(), 1);
    let session = kept.lock().unwrap().take().unwrap();
    session.insert("n", 2).unwrap();
    assert_eq!(store.stats().dropped_commits, 0);
    drop(session.clone());
    assert_eq!(store.stats().dropped_commits, 0, "another clone may save it");
    drop(session);
    assert_eq!(store.stats().dropped_commits, 1);
}

#[test]
fn a_value_that_is_none_is_no_value() {
    let session = sessile::testing::session();
    session.insert("k", None::<u64>).unwrap();
    assert_eq!((session.get::<u64>("k").unwrap(), session.get::<Option<u64>>("k").unwrap()), (None, Some(None)));
    assert_eq!(session.update("k", |n: Option<u64>| n.unwrap_or(41) + 1).unwrap(), 42);
    session.insert("k", "text").unwrap();
    assert!(session.get::<u64>("k").is_err(), "a text is not a number");
    session.insert("k", Some(None::<u64>)).unwrap();
    assert!(session.get::<u64>("k").is_err(), "neither is an option that holds one without a value");
}

#[test]
fn a_value_for_a_time_is_gone_after_it() {
    let disk = OnDisk::new();
    let (session, token) = saved(&disk.store, 1);
    let until = HOUR;
    session.insert_for("sudo", 7_u64, until).unwrap();
    session.save().wait().unwrap();
    let late = disk.store.session(Some(&token)).unwrap();
    for (session, _) in [(&session, 0), (&late, 0)] {
        assert_eq!((session.get::<u64>("sudo").unwrap(), session.contains_key("sudo")), (Some(7), true));
    }
    assert!(disk.store.entry(&token, "sudo").unwrap().is_some());
    // Another request adds to it meanwhile; when this one commits, it has expired.
    late.update("sudo", |n: Option<u64>| n.unwrap_or(0) + 1).unwrap();
    session.insert_for("sudo", 8_u64, until).unwrap();
    session.save().wait().unwrap();
    disk.clock.advance(until.checked_sub(SECOND).unwrap());
    assert_eq!(session.get::<u64>("sudo").unwrap(), Some(8));
    disk.clock.advance(SECOND);
    let (_dir, crashed) = disk.after_crash();
    for session in [&session, &disk.store.session(Some(&token)).unwrap(), &crashed.session(Some(&token)).unwrap()] {
        assert_eq!((session.get::<u64>("sudo").unwrap(), session.keys()), (None, vec!["n".to_owned()]));
        assert!(!session.contains_key("sudo") && session.entry("sudo").is_none() && !session.remove("sudo").unwrap());
    }
    assert!(disk.store.entry(&token, "sudo").unwrap().is_none());
    late.save().wait().unwrap();
    assert_eq!(n_of(&disk.store, &token), Some(1));
    assert_eq!(disk.store.session(Some(&token)).unwrap().get::<u64>("sudo").unwrap(), Some(1), "from nothing");
}

#[test]
fn keys_of_two_scopes_are_two_keys() {
    let session = sessile::testing::session();
    let (auth, user) = (session.scope("auth"), session.scope("auth").scope("user"));
    auth.insert("user:role", "of auth").unwrap();
    user.insert("role", "of user").unwrap();
    auth.insert("50%3A", 1).unwrap();
    assert_eq!(auth.get::<String>("user:role").unwrap().as_deref(), Some("of auth"));
    assert_eq!(session.scope("auth:user").get::<String>("role").unwrap().as_deref(), Some("of user"));
    assert_eq!(session.keys(), ["auth:50%253A", "auth:user%3Arole", "auth:user:role"]);
    assert_eq!(
        (auth.keys(), user.keys()),
        (["50%3A", "user:role", "user:role"].map(str::to_owned).to_vec(), vec!["role".to_owned()])
    );
    session.clear_scope("auth:user");
    assert_eq!(auth.keys(), ["50%3A", "user:role"]);
}

#[test]
fn a_label_that_does_not_fit_is_refused_where_it_is_set() {
    let store = Store::builder().record_limit(1024).open_in_memory().unwrap();
    let session = store.session(None).unwrap();
    session.insert("filler", "x".repeat(700)).unwrap();
    assert!(matches!(session.set_label(&"l".repeat(250)), Err(Error::Codec(_))));
    session.save().wait().unwrap();
    assert!(matches!(session.sign_in("o".repeat(900)), Err(Error::Codec(_))));
    session.save().wait().expect("each commit is as good as before");
    assert_eq!(session.owner(), None);
}
