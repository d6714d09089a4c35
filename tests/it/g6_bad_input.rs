//! G6: no bytes make it panic or serve the wrong session.

use std::{collections::BTreeMap, fs, time::Duration};

use proptest::{collection::vec, prelude::*};
use sessile::{Error, Store, Token, error::CodecError};

use crate::support::{OnDisk, ask, n_of, saved};

#[test]
fn g6_values_that_cannot_be_stored_are_errors_at_insert() {
    let session = sessile::testing::session();
    session.insert("n", 1).unwrap();
    let big = "x".repeat(2 << 20);
    assert!(matches!(session.insert("n", &big), Err(Error::Codec(CodecError::ValueTooLarge { .. }))));
    let half = "x".repeat(600 << 10);
    session.insert("half", &half).unwrap();
    let error = session.insert("other half", &half).unwrap_err();
    assert!(matches!(error, Error::Codec(CodecError::RecordTooLarge { .. })), "{error}");
    assert!(matches!(session.insert("", 1), Err(Error::Codec(CodecError::BadKey { .. }))));
    assert!(matches!(session.insert(&"k".repeat(256), 1), Err(Error::Codec(CodecError::BadKey { .. }))));
    assert!(matches!(session.insert("sessile.label", 1), Err(Error::ReservedKey)));
    assert!(matches!(session.get::<String>("n"), Err(Error::Codec(CodecError::WrongType { .. }))));
    assert_eq!(session.get("n").unwrap(), Some(1));
    session.save().wait().unwrap();
    assert_eq!(session.keys(), ["half", "n"]);
}

#[tokio::test]
async fn g6_cookies_of_every_kind_get_a_page() {
    use axum::{Router, routing::get};
    use sessile::{Session, SessionLayer};

    let store = sessile::testing::store();
    let (_, token) = saved(&store, 42);
    let show = async |session: Session| session.get::<u64>("n").unwrap().map_or("none".into(), |n| n.to_string());
    let app = Router::new().route("/", get(show)).layer(SessionLayer::new(store.clone()));
    let good = format!("__Host-id={}", token.expose());
    let text = |cookie: String| vec![cookie.into_bytes()];
    let cases: Vec<(Vec<Vec<u8>>, &str)> = vec![
        (text(good.clone()), "42"),
        (vec![b"a=b".to_vec(), good.clone().into_bytes()], "42"),
        (vec![b"\xff\xfe=\x80; =x; y".to_vec(), good.clone().into_bytes()], "42"),
        (text(format!("a=b;{good};c=d")), "42"),
        (text(format!("{good}; __Host-id=forged")), "42"),
        (text(format!("__Host-id={}; {good}", "A".repeat(32))), "42"),
        (text(format!("{good}; {good}")), "42"),
        (text(format!("={good}")), "none"),
        (text(format!("\u{a0}{good}")), "none"),
        (text(good.to_ascii_lowercase()), "none"),
        (text("__Host-id=".to_owned()), "none"),
        (text("__Host-id".to_owned()), "none"),
        (text(format!("__Host-id=\"{}\"", token.expose())), "none"),
        (text(";".repeat(60_000)), "none"),
        (text(format!("__Host-id={}", "A".repeat(60_000))), "none"),
    ];
    for (cookies, expected) in &cases {
        let headers: Vec<_> = cookies.iter().map(|cookie| ("cookie", cookie.as_slice())).collect();
        let answer = ask(&app, "/", &headers).await;
        assert_eq!(answer.body, *expected, "{cookies:?}");
    }
}

#[test]
fn g6_two_different_tokens_of_ours_are_no_session() {
    let disk = OnDisk::new();
    let (one, two) = (saved(&disk.store, 1).1, saved(&disk.store, 2).1);
    assert_ne!(one, two);
    let header = format!("__Host-id={}; __Host-id={}", one.expose(), two.expose());
    assert_eq!(through_layer(&disk.store, &header), "none");
    assert_eq!(disk.store.stats().ambiguous, 1);
}

#[tokio::main(flavor = "current_thread")]
async fn through_layer(store: &Store, cookie: &str) -> String {
    use axum::{Router, routing::get};
    use sessile::{Session, SessionLayer};

    let show = async |session: Session| session.get::<u64>("n").unwrap().map_or("none".into(), |n| n.to_string());
    let app = Router::new().route("/", get(show)).layer(SessionLayer::new(store.clone()));
    ask(&app, "/", &[("cookie", cookie.as_bytes())]).await.body
}

/// Every bit of a region with records, flipped one at a time in a copy of the file: the sessions are right or absent.
#[test]
fn g6_a_flipped_bit_in_the_file_never_gives_a_wrong_session() {
    let disk = OnDisk::new();
    let sessions: BTreeMap<u64, Token> = (0..40).map(|n| (n, saved(&disk.store, n).1)).collect();
    disk.store.close().unwrap();
    let original = fs::read(disk.dir.path().join("sessions.redb")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (mut absent, mut refused) = (0, 0);
    for round in 0..200_usize {
        let mut bytes = original.clone();
        // A fixed distribution over the whole file.
        let bit = round.wrapping_mul(0x9e37_79b9) % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let path = dir.path().join(format!("{round}.redb"));
        fs::write(&path, bytes).unwrap();
        let Ok(store) = Store::builder().clock(disk.clock.clone()).sweep_interval(Duration::MAX).open(&path) else {
            refused += 1;
            continue;
        };
        for (n, token) in &sessions {
            match store.session(Some(token)).map(|session| session.get::<u64>("n")) {
                Ok(Ok(Some(found))) => assert_eq!(found, *n, "bit {bit}"),
                Ok(Ok(None)) => absent += 1,
                Ok(Err(error)) => panic!("bit {bit}: {error}"),
                Err(error) => {
                    assert!(error.is_transient(), "bit {bit}: {error}");
                    refused += 1;
                }
            }
        }
        drop(store);
        fs::remove_file(path).unwrap();
    }
    // Most of a young file is empty. If no flip hit anything, this test would prove nothing.
    assert!(absent + refused > 0, "no flip hit anything");
}

#[test]
fn g6_a_record_under_another_key_is_not_served() {
    let disk = OnDisk::new();
    let (_, mine) = saved(&disk.store, 1);
    let (_, other) = saved(&disk.store, 2);
    disk.store.close().unwrap();
    let path = disk.dir.path().join("sessions.redb");
    {
        // What a misplaced page would look like.
        let table = redb::TableDefinition::<&[u8; 16], &[u8]>::new("records");
        let db = redb::Database::open(&path).unwrap();
        let write = db.begin_write().unwrap();
        {
            let mut records = write.open_table(table).unwrap();
            let all: Vec<([u8; 16], Vec<u8>)> = redb::ReadableTable::iter(&records)
                .unwrap()
                .map(|entry| entry.map(|(key, value)| (*key.value(), value.value().to_vec())).unwrap())
                .collect();
            records.insert(&all[0].0, all[1].1.as_slice()).unwrap();
            records.insert(&all[1].0, all[0].1.as_slice()).unwrap();
        }
        write.commit().unwrap();
    }
    let store = Store::builder().clock(disk.clock.clone()).open(&path).unwrap();
    assert_eq!(n_of(&store, &mine), None);
    assert_eq!(n_of(&store, &other), None);
    assert_eq!(store.stats().corrupt, 2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn g6_no_text_but_a_token_is_one(bytes in vec(any::<u8>(), 0..64)) {
        if let Some(token) = Token::parse(&bytes) {
            prop_assert_eq!(token.expose().into_bytes(), bytes);
        }
    }
}
