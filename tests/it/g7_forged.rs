//! G7: a forged id costs no I/O.

use sessile::{Store, Token};

use crate::support::{OnDisk, n_of, saved};

#[test]
fn g7_tokens_that_were_never_issued_end_before_the_disk() {
    let disk = OnDisk::with(|builder| builder.memory_budget(0));
    let (_, token) = saved(&disk.store, 1);
    disk.store.close().unwrap();
    // The file is closed: any access to it is an error.
    assert!(disk.store.session(Some(&token)).is_err(), "a token of ours does ask the disk");
    for n in 0..1000_u32 {
        let forged = Token::parse(format!("{n:032}").as_bytes()).unwrap();
        assert_eq!(n_of(&disk.store, &forged), None);
    }
    assert_eq!(disk.store.stats().forged, 1000);
}

#[test]
fn g7_one_changed_character_is_forged() {
    let disk = OnDisk::with(|builder| builder.memory_budget(0));
    let text = saved(&disk.store, 1).1.expose();
    disk.store.close().unwrap();
    for at in 0..32 {
        let mut forged = text.clone().into_bytes();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        assert_eq!(n_of(&disk.store, &Token::parse(&forged).unwrap()), None);
    }
    assert_eq!(disk.store.stats().forged, 32);
}

#[test]
fn g7_tokens_of_another_store_are_forged() {
    let (mine, theirs) = (sessile::testing::store(), sessile::testing::store());
    let (_, token) = saved(&theirs, 1);
    assert_eq!(n_of(&mine, &token), None);
    assert_eq!(mine.stats().forged, 1);
}

#[test]
fn an_unknown_token_is_never_adopted() {
    let store: Store = sessile::testing::store();
    let theirs = saved(&sessile::testing::store(), 1).1;
    let (ended, ended_token) = saved(&store, 1);
    ended.destroy();
    ended.save().wait().unwrap();
    for token in [theirs, ended_token] {
        let session = store.session(Some(&token)).unwrap();
        assert_eq!(session.token(), None);
        session.insert("n", 5_u64).unwrap();
        session.save().wait().unwrap();
        assert_ne!(session.token(), Some(token));
        assert_eq!(n_of(&store, &token), None);
    }
}
