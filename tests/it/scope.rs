//! Scopes, which end separately from the rest of their session, and messages with levels.

use sessile::{Error, Level};

use crate::support::{OnDisk, saved};

#[test]
fn signing_out_of_a_scope_keeps_the_cart() {
    let mut disk = OnDisk::new();
    let (session, before) = saved(&disk.store, 1);
    let auth = session.scope("auth");
    auth.insert("user", "ada").unwrap();
    auth.insert("roles", ["admin"]).unwrap();
    session.insert("authority", "stays").unwrap();
    session.save().wait().unwrap();
    assert_eq!(auth.keys(), ["roles", "user"]);
    assert_eq!(session.keys(), ["auth:roles", "auth:user", "authority", "n"]);

    session.clear_scope("auth");
    session.rotate();
    session.save().wait().unwrap();
    let after = session.token().unwrap();
    disk.reopen();
    assert_eq!(disk.store.session(Some(&before)).unwrap().token(), None);
    assert_eq!(disk.store.session(Some(&after)).unwrap().keys(), ["authority", "n"]);
}

#[test]
fn a_scope_does_what_a_session_does() {
    let session = sessile::testing::session();
    let scope = session.scope("a").scope("b");
    scope.insert("n", 1).unwrap();
    assert_eq!(session.get("a:b:n").unwrap(), Some(1));
    assert_eq!(session.scope("a:b").get("n").unwrap(), Some(1));
    assert_eq!(scope.update("n", |n: Option<i32>| n.unwrap_or(0) + 1).unwrap(), 2);
    assert!(scope.contains_key("n"));
    assert_eq!(scope.entry("n").unwrap().get::<i32>().unwrap(), 2);
    assert!(scope.remove("n").unwrap());
    assert!(!scope.contains_key("n"));
    assert!(scope.keys().is_empty());
}

#[test]
fn a_scope_does_not_reach_what_is_reserved() {
    let session = sessile::testing::session();
    session.set_label("Firefox").unwrap();
    session.flash(Level::Info, "hello").unwrap();
    let reserved = session.scope("sessile.flashes");
    assert!(matches!(reserved.insert("n", 1), Err(Error::ReservedKey)));
    reserved.clear();
    session.clear_scope("sessile.");
    assert_eq!(session.take_flashes().len(), 1);
}

#[test]
fn g4_clearing_a_scope_takes_what_others_set_in_it_meanwhile() {
    let disk = OnDisk::new();
    let (session, token) = saved(&disk.store, 1);
    session.scope("auth").insert("user", 7).unwrap();
    session.save().wait().unwrap();

    let logout = disk.store.session(Some(&token)).unwrap();
    let other = disk.store.session(Some(&token)).unwrap();
    other.scope("auth").insert("sudo", true).unwrap();
    other.insert("cart", 3).unwrap();
    other.save().wait().unwrap();
    logout.clear_scope("auth");
    logout.scope("auth").insert("hint", "come back").unwrap();
    let count = logout.scope("auth").update("sudo", |n: Option<u8>| n.map_or(1, |_| 99)).unwrap();
    assert_eq!(count, 1, "the scope is empty for this request");
    logout.save().wait().unwrap();

    let now = disk.store.session(Some(&token)).unwrap();
    assert_eq!(now.keys(), ["auth:hint", "auth:sudo", "cart", "n"]);
    assert_eq!(now.scope("auth").get::<u8>("sudo").unwrap(), Some(1), "not what the other request set");

    // A scope that looks empty is still cleared.
    let logout = disk.store.session(Some(&token)).unwrap();
    let other = disk.store.session(Some(&token)).unwrap();
    other.scope("late").insert("n", 1).unwrap();
    other.save().wait().unwrap();
    logout.clear_scope("late");
    logout.save().wait().unwrap();
    assert_eq!(disk.store.session(Some(&token)).unwrap().scope("late").keys(), [""; 0]);
}

#[test]
fn messages_keep_their_level_and_their_order() {
    let mut disk = OnDisk::new();
    let (session, token) = saved(&disk.store, 1);
    session.flash(Level::Success, "Saved").unwrap();
    session.flash("teapot", "Short and stout").unwrap();
    session.flash(Level::Error, "Not sent").unwrap();
    session.save().wait().unwrap();
    disk.reopen();
    let session = disk.store.session(Some(&token)).unwrap();
    let flashes = session.take_flashes();
    let levels: Vec<_> = flashes.iter().map(sessile::Flash::level).collect();
    assert_eq!(levels, [Some(Level::Success), None, Some(Level::Error)]);
    assert_eq!(flashes[1].level, "teapot");
    assert!(session.take_flashes().is_empty());
    assert!(Level::Debug < Level::Info && Level::Warning < Level::Error);
    assert_eq!(format!("{:>8}", Level::Success), " success");
}

#[test]
fn a_quick_change_in_a_scope_stays_in_memory_and_its_end_does_not() {
    let mut disk = OnDisk::new();
    let (session, token) = saved(&disk.store, 1);
    let page = session.scope("page");
    page.insert_quick("last", "/news").unwrap();
    page.insert_quick("scroll", 7).unwrap();
    assert!(page.remove_quick("scroll").unwrap());
    let syncs = disk.store.stats().syncs;
    session.save().wait().unwrap();
    assert_eq!(disk.store.stats().syncs, syncs);
    assert_eq!(disk.after_crash().1.session(Some(&token)).unwrap().scope("page").keys(), [""; 0]);
    session.clear_scope("page");
    session.save().wait().unwrap();
    assert!(disk.store.stats().syncs > syncs);
    disk.reopen();
    assert_eq!(disk.store.session(Some(&token)).unwrap().keys(), ["n"]);
}
