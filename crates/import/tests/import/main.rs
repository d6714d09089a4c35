//! Imports from the stores of tower-sessions and from JSON lines, and exports into JSON lines: no user is signed out.

mod again;
mod lines;
#[cfg(feature = "redis")]
mod redis_server;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::{collections::HashMap, time::Duration};

use serde_json::{Value, json};
use sessile::{
    Store,
    testing::{self, ManualClock},
};
use sessile_import::{Import, ImportError, Imported, export_json_lines};
use sessile_tower_sessions::TowerSessions;
use time::OffsetDateTime;
use tower_sessions_core::{
    SessionStore,
    session::{Id, Record},
};

/// Returns a session of the fixture. Its id, values and end follow from its number.
fn record(n: u32) -> Record {
    let id = Id(i128::from(n + 1).wrapping_mul(0x0123_4567_89ab_cdef_fedc_ba98_7654_3211));
    let data = HashMap::from([
        ("n".to_owned(), json!(n)),
        ("name".to_owned(), json!(format!("visitor {n} äß漢"))),
        ("axum-login.data".to_owned(), json!({"user_id": n % 5, "auth_hash": [1, 2, 255]})),
        ("cart".to_owned(), json!([{"id": n, "price": 0.5}, null, true, -1])),
        // From a few bytes to several overflow pages.
        ("text".to_owned(), json!("x".repeat(if n.is_multiple_of(5) { n as usize * 37 % 1500 } else { 20 }))),
    ]);
    let ends = if n % 10 == 9 { 1_000_000_000 } else { 4_000_000_000 + i64::from(n) };
    Record { id, data, expiry_date: OffsetDateTime::from_unix_timestamp(ends).unwrap() }
}

const RECORDS: u32 = 300;
const EXPIRED: u64 = 30;

async fn loaded(store: &Store, id: Id) -> Option<Record> {
    SessionStore::load(&TowerSessions::new(store.clone()), &id).await.unwrap()
}

async fn has_all(store: &Store) {
    for n in 0..RECORDS {
        let expected = (n % 10 != 9).then(|| record(n));
        assert_eq!(loaded(store, record(n).id).await, expected, "session {n}");
    }
}

#[test]
fn records_for_the_fixture() {
    for record in (0..RECORDS).map(record) {
        let bytes = rmp_serde::to_vec(&record).unwrap();
        let hex = bytes.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        println!("row {} {hex} {}", record.id, record.expiry_date.unix_timestamp());
        assert_eq!(rmp_serde::from_slice::<Record>(&bytes).unwrap(), record);
    }
}

#[tokio::test]
async fn redis_values_come_over_with_their_prefix() {
    let store = testing::store();
    let pairs = (0..RECORDS).map(|n| (format!("session:{}", record(n).id), rmp_serde::to_vec(&record(n)).unwrap()));
    let imported = Import::into(&store).tower_sessions_records(pairs).unwrap();
    assert_eq!((imported.created, imported.expired), (u64::from(RECORDS) - EXPIRED, EXPIRED));
    has_all(&store).await;
}

#[tokio::test]
async fn what_is_no_record_is_refused_and_the_rest_comes_over() {
    let store = testing::store();
    let mut good = rmp_serde::to_vec(&record(1)).unwrap();
    let deep = (0..100).fold(json!(1), |value, _| json!([value]));
    let mut nested = record(2);
    nested.data.insert("deep".to_owned(), deep);
    let pairs = vec![
        ("a".to_owned(), b"garbage".to_vec()),
        (record(2).id.to_string(), rmp_serde::to_vec(&nested).unwrap()),
        (record(3).id.to_string(), good.clone()),
        (record(1).id.to_string(), good.clone()),
        (record(1).id.to_string(), {
            good.truncate(40);
            good
        }),
    ];
    let imported = Import::into(&store).tower_sessions_records(pairs).unwrap();
    assert_eq!((imported.created, imported.refused), (1, 4), "{:?}", imported.reasons);
    assert!(imported.reasons[2].contains("session 3: its record names another id"));
    assert!(loaded(&store, record(1).id).await.is_some());
    assert!(loaded(&store, record(3).id).await.is_none(), "under the id that it names, and no other");
    assert!(imported.reasons.iter().all(|why| !why.contains("visitor")), "no value is told");
}

#[tokio::test]
async fn json_lines_come_over_and_out_again() {
    let clock = ManualClock::default();
    let open = || Store::builder().clock(clock.clone()).open_in_memory().unwrap();
    let store = open();
    let lines: Vec<String> = (0..20)
        .map(|n| {
            let Record { id, data, expiry_date } = record(n);
            let ends_ms = u64::try_from(expiry_date.unix_timestamp()).unwrap() * 1000;
            json!({"kind": "tower-sessions", "id": id.to_string(), "ends_ms": ends_ms, "data": data}).to_string()
        })
        .collect();
    let text = format!("{}\n\n", lines.join("\n"));
    let imported = Import::into(&store).json_lines(text.as_bytes()).unwrap();
    assert_eq!((imported.created, imported.expired, imported.refused), (18, 2, 0), "{:?}", imported.reasons);
    assert_eq!(loaded(&store, record(3).id).await, Some(record(3)));

    let mut exported = Vec::new();
    assert_eq!(export_json_lines(&store, &mut exported).unwrap(), 18);
    let other = open();
    let again = Import::into(&other).json_lines(&exported[..]).unwrap();
    assert_eq!((again.created, again.refused), (18, 0), "{:?}", again.reasons);
    for n in 0..20 {
        assert_eq!(loaded(&other, record(n).id).await, loaded(&store, record(n).id).await);
    }
    assert_eq!(sorted_lines(&other), sorted_lines(&store), "nothing is lost on the way");
}

#[test]
fn an_export_has_owners_ends_and_what_json_cannot_say() {
    let clock = ManualClock::at(std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    let open = || Store::builder().clock(clock.clone()).open_in_memory().unwrap();
    let store = open();
    let session = store.session(None).unwrap();
    session.insert("name", "Ada").unwrap();
    session.insert_for("code", 7, Duration::from_mins(5)).unwrap();
    session.insert("some", Some(None::<u8>)).unwrap();
    session.insert("map", HashMap::from([(1, 2)])).unwrap();
    session.set_label("laptop").unwrap();
    session.sign_in("ada").unwrap();
    session.save().wait().unwrap();
    let quick = store.session(None).unwrap();
    quick.insert_quick("page", 3).unwrap();
    quick.save().wait().unwrap();

    let mut exported = Vec::new();
    assert_eq!(export_json_lines(&store, &mut exported).unwrap(), 2, "what only memory has, too");
    let lines: Vec<Value> =
        exported.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    let (quick, ada) = if lines[0]["owner"].is_null() { (&lines[0], &lines[1]) } else { (&lines[1], &lines[0]) };
    assert_eq!(quick["data"], json!({"page": 3}));
    assert_eq!(ada["data"], json!({"name": "Ada"}));
    assert_eq!(ada["opaque"].as_object().unwrap().keys().collect::<Vec<_>>(), ["code", "map", "sessile.label", "some"]);
    assert_eq!(ada["opaque"]["sessile.label"]["version"], json!(1));
    assert_eq!(ada["created_ms"], json!(1_700_000_000_000_u64));
    assert_eq!(ada["idle_deadline_ms"], json!(1_700_000_000_000_u64 + 7 * 86_400_000));
    let token = session.token().unwrap().expose();
    assert!(!String::from_utf8(exported.clone()).unwrap().contains(&token));

    let other = open();
    let imported = Import::into(&other).json_lines(&exported[..]).unwrap();
    assert_eq!((imported.created, imported.refused), (2, 0), "{:?}", imported.reasons);
    assert_eq!(sorted_lines(&other), sorted_lines(&store));
    assert_eq!(other.sessions_of("ada").unwrap()[0].label.as_deref(), Some("laptop"));
}

#[test]
fn an_opaque_value_that_no_export_writes_is_refused() {
    let store = testing::store();
    let session = store.session(None).unwrap();
    session.set_label("laptop").unwrap();
    session.save().wait().unwrap();
    let mut exported = Vec::new();
    export_json_lines(&store, &mut exported).unwrap();
    let good: Value = serde_json::from_slice(&exported).unwrap();
    let import = |line: &Value| Import::into(&testing::store()).json_lines(line.to_string().as_bytes()).unwrap();
    assert_eq!(import(&good).created, 1);
    let label = &good["opaque"]["sessile.label"];
    for (member, bad) in [
        ("model", json!("a name that is too long")),
        ("version", json!(70_000)),
        ("shape", json!("x")),
        ("bytes", json!("0")),
        ("bytes", json!("+1")),
        ("bytes", Value::Null),
        ("until_ms", json!(-1)),
    ] {
        let (mut line, mut changed) = (good.clone(), label.clone());
        changed[member] = bad;
        line["opaque"]["sessile.label"] = changed;
        let imported = import(&line);
        assert_eq!((imported.created, imported.refused), (0, 1), "{line}");
        assert!(imported.reasons[0].contains("`sessile.label` in `opaque`"), "{:?}", imported.reasons);
    }
    // Bytes that are no such model come over, and are found damaged when they are read.
    let mut line = good.clone();
    line["opaque"]["sessile.label"]["bytes"] = "00".into();
    assert_eq!(import(&line).created, 1);
}

/// Returns the exported lines of a store, without its id.
fn sorted_lines(store: &Store) -> Vec<String> {
    let mut exported = Vec::new();
    export_json_lines(store, &mut exported).unwrap();
    let lines = std::str::from_utf8(&exported).unwrap().lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        assert!(line.as_object_mut().unwrap().remove("store").is_some());
        line.to_string()
    });
    let mut lines: Vec<_> = lines.collect();
    lines.sort_unstable();
    lines
}

#[test]
fn lines_that_are_none_are_refused_by_number() {
    let store = testing::store();
    let lines = [
        "no json",
        "{}",
        r#"{"kind":"tower-sessions","id":"short","ends_ms":4000000000000,"data":{}}"#,
        r#"{"kind":"other","id":"a","ends_ms":4000000000000,"data":{}}"#,
        r#"{"kind":"poem","id":"a","ends_ms":"soon","data":{}}"#,
        r#"{"key":"00","data":{}}"#,
        r#"{"kind":"poem","id":"a","ends_ms":4000000000000,"data":{"a":1}}"#,
    ];
    let imported = Import::into(&store).json_lines(lines.join("\n").as_bytes()).unwrap();
    assert_eq!((imported.created, imported.refused), (1, 6));
    for (nth, why) in imported.reasons.iter().enumerate() {
        assert!(why.starts_with(&format!("line {}: ", nth + 1)), "{why}");
    }
}

#[test]
fn a_stream_that_breaks_is_an_error() {
    struct Broken;

    impl std::io::Write for Broken {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("full"))
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let store = testing::store();
    let session = store.session(None).unwrap();
    session.insert("n", 1).unwrap();
    session.save().wait().unwrap();
    assert!(matches!(export_json_lines(&store, Broken), Err(ImportError::Io(_))));
    assert_eq!(Import::into(&store).json_lines(&b""[..]).unwrap(), Imported::default());
}
