//! G4: concurrent requests on one session lose no key and no update.

use std::thread;

use crate::support::{OnDisk, saved};

#[test]
fn g4_two_requests_that_set_different_keys_both_win() {
    let mut disk = OnDisk::new();
    let (_, token) = saved(&disk.store, 1);
    let (one, two) = (disk.store.session(Some(&token)).unwrap(), disk.store.session(Some(&token)).unwrap());
    one.insert("one", 1).unwrap();
    two.insert("two", 2).unwrap();
    one.save().wait().unwrap();
    two.save().wait().unwrap();
    for _ in 0..2 {
        assert_eq!(disk.store.session(Some(&token)).unwrap().keys(), ["n", "one", "two"]);
        disk.reopen();
    }
}

#[test]
fn g4_counters_lose_no_increment() {
    let disk = OnDisk::new();
    let (_, token) = saved(&disk.store, 0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let session = disk.store.session(Some(&token)).unwrap();
                    session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1).unwrap();
                    drop(session.save());
                }
            });
        }
    });
    assert_eq!(disk.store.session(Some(&token)).unwrap().get("n").unwrap(), Some(800_u64));
}

#[test]
fn g4_several_updates_of_one_request_all_run_again() {
    let disk = OnDisk::new();
    let (_, token) = saved(&disk.store, 1);
    let session = disk.store.session(Some(&token)).unwrap();
    session.update("n", |n: Option<u64>| n.unwrap() + 1).unwrap();
    assert_eq!(session.update("n", |n: Option<u64>| n.unwrap() * 10).unwrap(), 20);
    let other = disk.store.session(Some(&token)).unwrap();
    other.insert("n", 5_u64).unwrap();
    other.save().wait().unwrap();
    session.save().wait().unwrap();
    assert_eq!(session.get("n").unwrap(), Some(60_u64));
}

#[test]
fn g4_a_value_that_the_request_set_itself_is_not_based_on_others() {
    let disk = OnDisk::new();
    let (_, token) = saved(&disk.store, 1);
    let session = disk.store.session(Some(&token)).unwrap();
    session.insert("n", 100_u64).unwrap();
    session.update("n", |n: Option<u64>| n.unwrap() + 1).unwrap();
    let other = disk.store.session(Some(&token)).unwrap();
    other.insert("n", 5_u64).unwrap();
    other.save().wait().unwrap();
    session.save().wait().unwrap();
    assert_eq!(session.get("n").unwrap(), Some(101_u64));
}

#[test]
fn g4_messages_of_two_requests_are_both_shown_once() {
    let disk = OnDisk::new();
    let (_, token) = saved(&disk.store, 1);
    let request = || disk.store.session(Some(&token)).unwrap();
    let (one, two) = (request(), request());
    one.flash("info", "one").unwrap();
    two.flash("info", "two").unwrap();
    one.save().wait().unwrap();
    two.save().wait().unwrap();
    let (page, other) = (request(), request());
    assert_eq!(page.take_flashes().iter().map(|flash| flash.text.clone()).collect::<Vec<_>>(), ["one", "two"]);
    other.flash("info", "three").unwrap();
    other.save().wait().unwrap();
    page.save().wait().unwrap();
    assert_eq!(request().take_flashes().iter().map(|flash| flash.text.clone()).collect::<Vec<_>>(), ["three"]);
}

#[test]
fn g4_a_rotation_keeps_what_others_wrote() {
    let disk = OnDisk::new();
    let (_, token) = saved(&disk.store, 1);
    let (login, other) = (disk.store.session(Some(&token)).unwrap(), disk.store.session(Some(&token)).unwrap());
    login.rotate();
    login.insert("user", "ada").unwrap();
    other.insert("cart", 3).unwrap();
    other.save().wait().unwrap();
    login.save().wait().unwrap();
    let new = disk.store.session(Some(&login.token().unwrap())).unwrap();
    assert_eq!(new.keys(), ["cart", "n", "user"]);
}
