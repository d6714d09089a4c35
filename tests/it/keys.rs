//! MAC keys of the application: replaced without logging users out, withdrawn when they are dropped.

use std::path::Path;

use sessile::{Error, Keys, Store};

use crate::support::{n_of, saved};

const OLD: [u8; 32] = [1; 32];
const NEW: [u8; 32] = [2; 32];

fn open(path: &Path, keys: Option<Keys>) -> Store {
    let builder = Store::builder();
    keys.map_or(builder.clone(), |keys| builder.keys(keys)).open(path).unwrap()
}

#[test]
fn a_new_key_logs_nobody_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sessions.redb");
    let mut tokens = Vec::new();
    // The store's own key first, then one of the application's, then the next one.
    for keys in [None, Some(Keys::from(OLD)), Some(Keys::from(NEW).accept(OLD))] {
        let store = open(&path, keys);
        for (n, token) in tokens.iter().enumerate() {
            assert_eq!(n_of(&store, token), Some(n as u64));
        }
        assert_eq!(store.stats().disk_hits, tokens.len() as u64, "found by the MAC and on disk");
        tokens.push(saved(&store, tokens.len() as u64).1);
        store.close().unwrap();
    }
}

#[test]
fn a_key_that_is_no_longer_accepted_is_no_way_in() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sessions.redb");
    let store = open(&path, Some(Keys::from(OLD)));
    let token = saved(&store, 1).1;
    store.close().unwrap();
    let store = open(&path, Some(Keys::from(NEW)));
    assert_eq!(n_of(&store, &token), None);
    assert_eq!(store.stats().forged, 1, "it does not get as far as the disk");
    store.close().unwrap();
    assert_eq!(n_of(&open(&path, Some(Keys::from(NEW).accept(OLD))), &token), Some(1), "the session was there all the time");
}

#[test]
fn a_short_key_opens_no_store() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sessions.redb");
    for keys in [Keys::from("hunter2"), Keys::from(NEW).accept("hunter2")] {
        let error = Store::builder().keys(keys).open(&path).unwrap_err();
        assert!(matches!(error, Error::ShortKey { found_bytes: 7, least_bytes: 32 }), "{error}");
        assert!(!error.to_string().contains("hunter2"));
    }
    assert!(!path.exists());
}

#[test]
fn g8_no_print_and_no_file_holds_a_key_of_the_applications() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sessions.redb");
    let secret = "correct horse battery staple, and then some";
    let builder = Store::builder().keys(Keys::from(secret));
    assert!(!format!("{builder:?}").contains("correct"));
    let store = builder.open(&path).unwrap();
    saved(&store, 1);
    store.close().unwrap();
    let file = std::fs::read(&path).unwrap();
    assert!(!file.windows(7).any(|window| window == b"correct"));
}
