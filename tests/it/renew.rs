//! A token rotated with a grace: the old one leads to the session during the grace, and to nothing after it.

use axum::{Router, extract::Path, routing::get};
use sessile::{Error, Session, SessionLayer, Token};

use crate::support::{DAY, OnDisk, SECOND, ask_with, n_of, saved};

/// A session rotated with a grace, and its old token.
fn renewed(disk: &OnDisk) -> (Session, Token) {
    let (session, old) = saved(&disk.store, 1);
    session.rotate_with_grace();
    session.save().wait().unwrap();
    assert_ne!(session.token(), Some(old));
    (session, old)
}

#[test]
fn the_old_token_leads_to_the_session_during_the_grace() {
    let disk = OnDisk::new();
    let (session, old) = renewed(&disk);
    let new = session.token().unwrap();
    for (wait, found) in [(0, Some(1)), (9, Some(1)), (1, None), (60, None)] {
        disk.clock.advance(wait * SECOND);
        assert_eq!(n_of(&disk.store, &old), found);
        assert_eq!(n_of(&disk.store, &new), Some(1));
    }
}

#[test]
fn a_grace_outlasts_a_rush_of_other_sessions() {
    let disk = OnDisk::with(|builder| builder.memory_budget(64 << 10));
    let tokens: Vec<_> = (0..20).map(|_| renewed(&disk).1).collect();
    for n in 0..500 {
        saved(&disk.store, n);
    }
    assert!(disk.store.stats().evictions > 300, "{:?}", disk.store.stats());
    assert!(tokens.iter().all(|old| n_of(&disk.store, old) == Some(1)));
}

#[test]
fn g9_a_clock_that_goes_back_does_not_bring_a_grace_back() {
    let disk = OnDisk::new();
    let (_, old) = renewed(&disk);
    let now = sessile::Clock::now(&disk.clock);
    disk.clock.advance(10 * SECOND);
    assert_eq!(n_of(&disk.store, &old), None);
    disk.clock.set(now);
    assert_eq!(n_of(&disk.store, &old), None);
}

#[test]
fn a_request_that_came_with_the_old_token_is_merged_under_the_new_one() {
    let disk = OnDisk::new();
    let (_, old) = saved(&disk.store, 1);
    let before = disk.store.session(Some(&old)).unwrap();
    let renewing = disk.store.session(Some(&old)).unwrap();
    renewing.insert("m", 2_u64).unwrap();
    renewing.rotate_with_grace();
    renewing.save().wait().unwrap();
    let new = renewing.token().unwrap();
    before.update("n", |n: Option<u64>| n.unwrap() + 1).unwrap();
    before.save().wait().unwrap();
    let within = disk.store.session(Some(&old)).unwrap();
    within.insert("k", 3_u64).unwrap();
    within.save().wait().unwrap();
    assert_eq!(disk.store.session(Some(&new)).unwrap().keys(), ["k", "m", "n"]);
    assert_eq!(n_of(&disk.store, &new), Some(2));
    assert_eq!(disk.store.stats().dropped_commits, 0);
    assert_eq!(disk.store.stats().sessions, 1);
}

#[test]
fn of_requests_that_renew_at_once_one_does() {
    let disk = OnDisk::new();
    let (_, old) = saved(&disk.store, 1);
    let requests: Vec<_> = (0..4).map(|_| disk.store.session(Some(&old)).unwrap()).collect();
    for request in &requests {
        request.rotate_with_grace();
        request.save().wait().unwrap();
    }
    let late = disk.store.session(Some(&old)).unwrap();
    late.rotate_with_grace();
    late.save().wait().unwrap();
    let new = requests[0].token().unwrap();
    assert_ne!(new, old);
    assert!(requests[1..].iter().chain([&late]).all(|request| request.token() == Some(old)));
    assert!(requests[1..].iter().all(|request| request.handle() == requests[0].handle()));
    disk.clock.advance(60 * SECOND);
    assert_eq!(n_of(&disk.store, &new), Some(1), "it was not moved again");
}

#[test]
fn a_chain_of_renewals_is_followed_to_its_end() {
    let disk = OnDisk::new();
    let (session, first) = saved(&disk.store, 1);
    for _ in 0..5 {
        session.rotate_with_grace();
        session.save().wait().unwrap();
        disk.clock.advance(SECOND);
    }
    assert_eq!(n_of(&disk.store, &first), Some(1));
    disk.clock.advance(5 * SECOND);
    assert_eq!(n_of(&disk.store, &first), None, "ten seconds after the first renewal");
    assert_eq!(n_of(&disk.store, &session.token().unwrap()), Some(1));
}

#[test]
fn g3_rotate_and_destroy_end_the_grace() {
    let disk = OnDisk::new();
    let (session, old) = renewed(&disk);
    session.rotate();
    session.save().wait().unwrap();
    assert_eq!(n_of(&disk.store, &old), None);
    assert_eq!(n_of(&disk.store, &session.token().unwrap()), Some(1));

    let (session, old) = renewed(&disk);
    session.destroy();
    session.save().wait().unwrap();
    assert_eq!(n_of(&disk.store, &old), None);

    // With the old token too: a logout in a page that does not know of the rotation.
    let (session, old) = renewed(&disk);
    let page = disk.store.session(Some(&old)).unwrap();
    page.destroy();
    page.save().wait().unwrap();
    assert_eq!((n_of(&disk.store, &old), n_of(&disk.store, &session.token().unwrap())), (None, None));
}

#[test]
fn g3_a_logout_that_was_under_way_ends_the_renewed_session() {
    let disk = OnDisk::new();
    let (session, old) = saved(&disk.store, 1);
    let logout = disk.store.session(Some(&old)).unwrap();
    logout.destroy();
    session.rotate_with_grace();
    session.save().wait().unwrap();
    logout.save().wait().unwrap();
    assert_eq!((n_of(&disk.store, &old), n_of(&disk.store, &session.token().unwrap())), (None, None));
}

#[test]
fn g3_a_login_by_way_of_the_old_token_leaves_only_its_own() {
    let disk = OnDisk::new();
    let (session, old) = renewed(&disk);
    let login = disk.store.session(Some(&old)).unwrap();
    login.rotate();
    login.save().wait().unwrap();
    assert_eq!((n_of(&disk.store, &old), n_of(&disk.store, &session.token().unwrap())), (None, None));
    assert_eq!(n_of(&disk.store, &login.token().unwrap()), Some(1));
}

#[test]
fn g2_a_crash_leaves_exactly_one_of_the_two() {
    let disk = OnDisk::new();
    let (session, old) = saved(&disk.store, 1);
    let (_dir, before) = disk.after_crash();
    session.rotate_with_grace();
    let renewed = session.save();
    let new = session.token().unwrap();
    let (_dir2, between) = disk.after_crash();
    renewed.wait().unwrap();
    let (_dir3, after) = disk.after_crash();
    for (store, is_after) in [(before, Some(false)), (between, None), (after, Some(true))] {
        let found = (n_of(&store, &old).is_some(), n_of(&store, &new).is_some());
        assert_ne!(found.0, found.1, "one of the two");
        assert!(is_after.is_none_or(|is_after| found.1 == is_after));
        assert_eq!(store.stats().disk_sessions, 1);
    }
}

#[test]
fn the_owner_sees_one_session_and_can_keep_it() -> Result<(), Error> {
    let disk = OnDisk::new();
    let (session, _) = saved(&disk.store, 1);
    session.sign_in("ada").unwrap();
    session.save().wait()?;
    session.rotate_with_grace();
    drop(session.save());
    let listed = disk.store.sessions_of("ada")?;
    assert_eq!(listed.len(), 1);
    assert_eq!(Some(listed[0].handle), session.handle());
    // The old key may still be queued for the file as this owner's: it must not count as the new one.
    assert_eq!(disk.store.destroy_other_sessions_of("ada", listed[0].handle).wait()?, 0);
    assert_eq!(n_of(&disk.store, &session.token().unwrap()), Some(1));
    assert_eq!(disk.store.destroy_sessions_of("ada").wait()?, 1);
    assert_eq!(n_of(&disk.store, &session.token().unwrap()), None);
    Ok(())
}

#[test]
fn g5_what_is_left_of_renewals_goes_with_the_next_ones() {
    let disk = OnDisk::new();
    let (session, _) = saved(&disk.store, 1);
    for _ in 0..500 {
        session.rotate_with_grace();
        drop(session.save());
        disk.clock.advance(SECOND);
    }
    disk.store.flush().wait().unwrap();
    assert_eq!(disk.store.stats().memory_sessions, 1);
    assert_eq!(disk.store.stats().sessions, 1);
}

/// An application that does what the path names.
fn app(disk: &OnDisk) -> Router {
    async fn act(Path(what): Path<String>, session: Session) -> Result<String, Error> {
        match what.as_str() {
            "write" => session.insert("n", 2_u64)?,
            "renew" => session.rotate_with_grace(),
            "rotate" => session.rotate(),
            "destroy" => session.destroy(),
            _ => {}
        }
        Ok(session.get::<u64>("n")?.map_or_else(String::new, |n| n.to_string()))
    }
    Router::new().route("/{what}", get(act)).layer(SessionLayer::new(disk.store.clone()))
}

fn cookie_of(token: &Token) -> String {
    format!("__Host-id={}", token.expose())
}

#[tokio::test]
async fn the_answer_that_renews_tells_the_new_token_and_late_ones_tell_nothing() {
    // A grace so long that the cookie's half-life passes within it.
    let disk = OnDisk::with(|builder| builder.rotation_grace(10 * DAY));
    let app = app(&disk);
    let (_, token) = saved(&disk.store, 1);
    let old = cookie_of(&token);
    let answer = ask_with(&app, "/renew", &old).await;
    let new = answer.cookie();
    assert_ne!(new, old);
    for what in ["/read", "/write", "/renew"] {
        let late = ask_with(&app, what, &old).await;
        assert_eq!((late.set_cookies().len(), late.body.is_empty()), (0, false), "{what}");
    }
    disk.clock.advance(4 * DAY);
    for what in ["/read", "/write", "/renew"] {
        let late = ask_with(&app, what, &old).await;
        assert_eq!((late.set_cookies().len(), &*late.body), (0, "2"), "{what}: only a client with the new one gets the date");
    }
    assert_eq!(ask_with(&app, "/write", &new).await.cookie(), new, "with a later date");
}

#[tokio::test]
async fn a_late_logout_ends_the_session_and_deletes_no_cookie() {
    let disk = OnDisk::new();
    let app = app(&disk);
    let (session, old) = renewed(&disk);
    let logout = ask_with(&app, "/destroy", &cookie_of(&old)).await;
    assert_eq!(logout.set_cookies().len(), 0);
    assert_eq!(n_of(&disk.store, &session.token().unwrap()), None);
}

#[tokio::test]
async fn a_late_login_tells_its_own_token() {
    let disk = OnDisk::new();
    let app = app(&disk);
    let (_, old) = renewed(&disk);
    let login = ask_with(&app, "/rotate", &cookie_of(&old)).await;
    assert_eq!(ask_with(&app, "/read", &login.cookie()).await.body, "1");
}
