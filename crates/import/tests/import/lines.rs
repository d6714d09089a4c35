//! Malformed lines of JSON, and a store's own export imported again.

use std::{collections::HashMap, time::Duration};

use serde_json::{Value, json};
use sessile::{
    Session, Store,
    testing::{self, ManualClock},
};
use sessile_import::{Import, Imported, Outcome, export_json_lines};
use sessile_tower_sessions::TowerSessions;
use time::OffsetDateTime;
use tower_sessions_core::{
    SessionStore as _,
    session::{Id, Record},
};

fn lines(store: &Store, lines: &[u8]) -> Imported {
    Import::into(store).json_lines(lines).unwrap()
}

fn poem(id: &str) -> String {
    json!({"kind": "poem", "id": id, "ends_ms": 4_000_000_000_000_u64, "data": {"a": 1}}).to_string()
}

fn export(store: &Store) -> Vec<u8> {
    let mut lines = Vec::new();
    export_json_lines(store, &mut lines).unwrap();
    lines
}

#[test]
fn a_line_that_is_no_utf_8_is_refused_and_the_rest_comes_over() {
    let store = testing::store();
    let text =
        [poem("a").as_bytes(), b"\n\xff\xfe{}\n\n", poem("b").as_bytes(), b"\n{\"kind\":\"poem\",\"id\":\"\xc3\"}"].concat();
    let mut refused = Vec::new();
    let import = Import::into(&store).each(|session| {
        if matches!(session.outcome, Outcome::Refused { .. }) {
            refused.push(session.position);
        }
    });
    let imported = import.json_lines(&text[..]).unwrap();
    assert_eq!((imported.created, imported.refused), (2, 2), "{:?}", imported.reasons);
    assert_eq!(refused, [Some(2), Some(5)], "blank lines count");
    assert!(imported.reasons[0].starts_with("line 2: ") && imported.reasons[1].starts_with("line 5: "));
}

#[test]
fn a_byte_order_mark_is_skipped_at_the_beginning_alone() {
    let store = testing::store();
    let text = format!("\u{feff}{}\r\n\r\n{}\r\n\u{feff}{}", poem("a"), poem("b"), poem("c"));
    let imported = lines(&store, text.as_bytes());
    assert_eq!((imported.created, imported.refused), (2, 1), "{:?}", imported.reasons);
    assert!(imported.reasons[0].starts_with("line 4: "));
    assert_eq!(lines(&store, "\u{feff}".as_bytes()), Imported::default());
}

#[test]
fn a_line_that_is_too_long_is_refused_and_not_kept() {
    /// A line of `left` bytes, and another after it, that is never in memory as a whole.
    struct Long {
        left: usize,
        rest: Vec<u8>,
    }

    impl std::io::Read for Long {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let len = if self.left > 0 { self.left.min(into.len()) } else { self.rest.len().min(into.len()) };
            if self.left > 0 {
                into[..len].fill(b' ');
                self.left -= len;
            } else {
                into[..len].copy_from_slice(&self.rest[..len]);
                self.rest.drain(..len);
            }
            Ok(len)
        }
    }

    let store = Store::builder().record_limit(1000).open_in_memory().unwrap();
    let rest = format!("{}\n{}", poem("a"), poem("b")).into_bytes();
    let (mut imported, mut peak) = (Imported::default(), 0);
    let info = allocation_counter::measure(|| {
        imported = Import::into(&store).json_lines(std::io::BufReader::new(Long { left: 100 << 20, rest })).unwrap();
    });
    peak = peak.max(info.bytes_max);
    assert_eq!((imported.created, imported.refused), (1, 1), "{:?}", imported.reasons);
    assert!(imported.reasons[0].starts_with("line 1: it is longer than 73536 bytes"), "{:?}", imported.reasons);
    assert!(peak < 4 << 20, "{peak} bytes for a line of 100 MiB");
    let just = format!("{}{}", " ".repeat(73536 - poem("c").len()), poem("c"));
    assert_eq!(lines(&store, just.as_bytes()).created, 1);
    assert_eq!(lines(&store, format!(" {just}").as_bytes()).refused, 1);
}

#[test]
fn an_end_is_milliseconds_and_within_the_year_9999() {
    let store = testing::store();
    let with = |ends: &str| format!(r#"{{"kind":"poem","id":"a","ends_ms":{ends},"data":{{}}}}"#);
    for ends in ["0", "1", "1000000000000"] {
        let imported = lines(&store, with(ends).as_bytes());
        assert_eq!((imported.expired, imported.created), (1, 0), "{ends}");
    }
    for ends in ["-1", "4e12", "4000000000000.5", "null", "\"4000000000000\"", "true", "1e400", "99999999999999999999"] {
        let imported = lines(&store, with(ends).as_bytes());
        assert_eq!((imported.refused, imported.created), (1, 0), "{ends}");
    }
    for ends in ["253402300800000", "18446744073709551615", "4000000000000000"] {
        let imported = lines(&store, with(ends).as_bytes());
        assert!(imported.refused == 1 && imported.reasons[0].contains("9999"), "{ends} {:?}", imported.reasons);
    }
    assert_eq!(lines(&store, with("253402300799999").as_bytes()).created, 1);
}

#[tokio::test]
async fn a_value_of_actix_session_is_a_text_that_holds_json_or_is_refused() {
    use actix_session::storage::{SessionKey, SessionStore};
    use sessile_actix_session::ActixSessions;

    let store = testing::store();
    let with =
        |id: &str, data: Value| json!({"kind": "actix-session", "id": id, "ends_ms": 4_000_000_000_000_u64, "data": data});
    let good = with("good", json!({"name": "\"Ada\"", "visits": "3", "none": "null", "cart": "[1, {\"a\": 2}]"}));
    let bad = [json!({"name": "Ada"}), json!({"visits": 3}), json!({"a": {"b": 1}}), json!({"a": ""}), json!({"a": null})];
    let text: Vec<String> = bad.into_iter().map(|data| with("bad", data).to_string()).chain([good.to_string()]).collect();
    let imported = lines(&store, text.join("\n").as_bytes());
    assert_eq!((imported.created, imported.refused), (1, 5), "{:?}", imported.reasons);
    assert!(imported.reasons.iter().all(|why| why.contains("JSON") && !why.contains("Ada")));
    let loaded = ActixSessions::new(store).load(&SessionKey::try_from("good".to_owned()).unwrap()).await.unwrap().unwrap();
    assert_eq!((loaded["name"].as_str(), loaded["visits"].as_str()), ("\"Ada\"", "3"));
}

#[test]
fn an_id_has_one_spelling_and_the_last_line_of_an_id_counts() {
    let store = testing::store();
    let tower = |id: &str, n: u32| {
        json!({"kind": "tower-sessions", "id": id, "ends_ms": 4_000_000_000_000_u64, "data": {"n": n}}).to_string()
    };
    let id = "AAECAwQFBgcICQoLDA0ODw";
    // Unused bits, padding, the other alphabet, spaces.
    for other in ["AAECAwQFBgcICQoLDA0ODx", "AAECAwQFBgcICQoLDA0ODw==", " AAECAwQFBgcICQoLDA0ODw", "AAECAwQFBgcICQoLDA0OD+"] {
        assert_eq!(lines(&store, tower(other, 1).as_bytes()).refused, 1, "{other}");
    }
    let text = [tower(id, 1), tower(id, 1), tower(id, 2)].join("\n");
    let imported = lines(&store, text.as_bytes());
    assert_eq!((imported.created, imported.unchanged, imported.updated), (1, 1, 1), "{:?}", imported.reasons);
    let exported: Value = serde_json::from_slice(&export(&store)).unwrap();
    assert_eq!(exported["data"], json!({"n": 2}));
    for id in ["", &"a".repeat(4065)] {
        let line = json!({"kind": "actix-session", "id": id, "ends_ms": 4_000_000_000_000_u64, "data": {}});
        assert_eq!(lines(&store, line.to_string().as_bytes()).refused, 1, "{} bytes", id.len());
    }
}

fn own(store: &Store, n: u32) -> Session {
    let session = store.session(None).unwrap();
    session.insert("n", n).unwrap();
    session.save().wait().unwrap();
    session
}

#[test]
fn a_stores_own_export_brings_back_nothing_that_has_ended_and_undoes_no_change() {
    let store = testing::store();
    let (ended, changed, rotated, left) = (own(&store, 1), own(&store, 2), own(&store, 3), own(&store, 4));
    let exported = export(&store);
    ended.destroy();
    changed.insert("n", 20).unwrap();
    rotated.rotate();
    for session in [&ended, &changed, &rotated] {
        session.save().wait().unwrap();
    }
    for _ in 0..2 {
        let imported = lines(&store, &exported);
        assert_eq!((imported.ended_here, imported.kept, imported.unchanged), (2, 1, 1), "{:?}", imported.reasons);
        assert_eq!(imported.refused + imported.created, 0);
    }
    assert_eq!(store.stats().sessions, 3);
    let n = |session: &Session| store.session(session.token().as_ref()).unwrap().get::<u32>("n").unwrap();
    assert_eq!((n(&changed), n(&rotated), n(&left)), (Some(20), Some(3), Some(4)));
}

#[test]
fn in_another_store_with_the_same_keys_an_export_is_like_any_source() {
    let clock = ManualClock::default();
    let open = || Store::builder().clock(clock.clone()).keys([7; 32]).open_in_memory().unwrap();
    let (old, new) = (open(), open());
    let sessions: Vec<_> = (0..4).map(|n| own(&old, n)).collect();
    let first = export(&old);
    let import = |text: &[u8]| Import::into(&new).source("old").json_lines(text).unwrap();
    assert_eq!(import(&first).created, 4);
    let here = |nth: usize| new.session(sessions[nth].token().as_ref()).unwrap();
    // The first signs out here, the second gets a new token here, the third is changed there, the fourth ends there.
    let (out, rotated) = (here(0), here(1));
    out.destroy();
    rotated.rotate();
    out.save().wait().unwrap();
    rotated.save().wait().unwrap();
    sessions[2].insert("n", 20_u32).unwrap();
    sessions[3].destroy();
    sessions[2].save().wait().unwrap();
    sessions[3].save().wait().unwrap();
    let imported = import(&export(&old));
    assert_eq!((imported.ended_here, imported.updated, imported.gone), (2, 1, 1), "{:?}", imported.reasons);
    assert!([0, 1, 3].iter().all(|nth| here(*nth).token().is_none()));
    assert_eq!(here(2).get::<u32>("n").unwrap(), Some(20));
    // A session of an older export is older.
    assert_eq!(import(&first).kept, 1);
    assert_eq!(here(2).get::<u32>("n").unwrap(), Some(20));
}

#[test]
fn an_export_has_the_last_use_that_only_memory_knows() {
    let start = std::time::UNIX_EPOCH + Duration::from_hours(500_000);
    let clock = ManualClock::at(start);
    let store = Store::builder().clock(clock.clone()).open_in_memory().unwrap();
    let session = own(&store, 1);
    // The first use is written, because it confirms the session; the second stays in memory.
    for uses in [Duration::from_mins(2), Duration::from_mins(3)] {
        clock.advance(uses);
        let used = store.session(session.token().as_ref()).unwrap();
        assert_eq!(used.get::<u32>("n").unwrap(), Some(1));
        used.save().wait().unwrap();
        store.flush().wait().unwrap();
    }
    let exported: Value = serde_json::from_slice(&export(&store)).unwrap();
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap();
    let used = Duration::from_hours(500_000) + Duration::from_mins(5);
    assert_eq!(exported["last_seen_ms"], json!(ms(used)));
    assert!(exported["idle_deadline_ms"].as_u64().unwrap() > ms(used));
}

#[tokio::test]
async fn an_export_has_the_end_that_only_memory_knows() {
    let now = Duration::from_hours(500_000);
    let clock = ManualClock::at(std::time::UNIX_EPOCH + now);
    let store = Store::builder().clock(clock.clone()).open_in_memory().unwrap();
    let sessions = TowerSessions::new(store.clone());
    let ends = |after: Duration| OffsetDateTime::from(std::time::UNIX_EPOCH + now + after);
    let mut record = Record { id: Id(1), data: HashMap::new(), expiry_date: ends(Duration::from_hours(1)) };
    sessions.create(&mut record).await.unwrap();
    // An extension by less than a tenth of the time is not written.
    clock.advance(Duration::from_mins(5));
    record.expiry_date = ends(Duration::from_mins(65));
    sessions.save(&record).await.unwrap();
    let exported: Value = serde_json::from_slice(&export(&store)).unwrap();
    let ms = u64::try_from((now + Duration::from_mins(65)).as_millis()).unwrap();
    assert_eq!(exported["absolute_deadline_ms"], json!(ms));
}

#[test]
fn a_line_that_is_over_is_expired_to_the_millisecond() {
    let clock = ManualClock::at(std::time::UNIX_EPOCH + Duration::from_secs(2_000_000_000));
    let store = Store::builder().clock(clock.clone()).open_in_memory().unwrap();
    let with = |id: &str, ends: u64| json!({"kind": "poem", "id": id, "ends_ms": ends, "data": {}}).to_string();
    let text = [with("a", 2_000_000_000_000), with("b", 2_000_000_000_001), with("c", 1_999_999_999_999)].join("\n");
    let imported = lines(&store, text.as_bytes());
    assert_eq!((imported.expired, imported.created), (2, 1));
    // The same for the lines of an export.
    let session = own(&store, 1);
    session.set_idle_timeout(Duration::from_mins(1)).unwrap();
    session.save().wait().unwrap();
    let exported = export(&store);
    clock.advance(Duration::from_mins(1));
    let other = Store::builder().clock(clock).open_in_memory().unwrap();
    let imported = lines(&other, &exported);
    assert_eq!((imported.expired, imported.created), (2, 0), "{:?}", imported.reasons);
}

#[test]
fn another_crates_keys_have_the_limit_that_the_application_set_on_every_way_in() {
    let clock = ManualClock::default();
    let open = || Store::builder().clock(clock.clone()).key_limit(100).open_in_memory().unwrap();
    let with = |key: &str| json!({"kind": "poem", "id": key, "ends_ms": 4_000_000_000_000_u64, "data": {key: 1}}).to_string();
    let long = |begin: &str, bytes: usize| format!("{begin}{}", "k".repeat(bytes - begin.len()));
    let store = open();
    for begin in ["", "\0", "sessile."] {
        let text = [with(&long(begin, 100)), with(&long(begin, 101))].join("\n");
        let imported = lines(&store, text.as_bytes());
        assert_eq!((imported.created, imported.refused), (1, 1), "{:?}", imported.reasons);
        assert!(imported.reasons[0].contains("a key has 101 bytes, 1 to 100 are allowed"), "{:?}", imported.reasons);
    }
    let exported = export(&store);
    let other = open();
    let imported = lines(&other, &exported);
    assert_eq!((imported.created, imported.refused), (3, 0), "{:?}", imported.reasons);
    let data = |exported: &[u8]| {
        let lines = std::str::from_utf8(exported).unwrap().lines();
        let mut data: Vec<_> = lines.map(|line| serde_json::from_str::<Value>(line).unwrap()["data"].to_string()).collect();
        data.sort_unstable();
        data
    };
    assert_eq!(data(&export(&other)), data(&exported));
    let longer = String::from_utf8(exported).unwrap().replace("kkk\":1", "kkkk\":1");
    let imported = lines(&open(), longer.as_bytes());
    assert_eq!((imported.created, imported.refused), (0, 3), "{:?}", imported.reasons);
}

#[test]
fn a_key_is_hexadecimal_digits_and_no_sign() {
    let store = testing::store();
    own(&store, 1);
    let exported = String::from_utf8(export(&store)).unwrap();
    let mut line: Value = serde_json::from_str(&exported).unwrap();
    line["key"] = json!(format!("+{}", "0".repeat(31)));
    let other = testing::store();
    let imported = lines(&other, line.to_string().as_bytes());
    assert!(imported.refused == 1 && imported.reasons[0].contains("32 hexadecimal digits"), "{:?}", imported.reasons);
}

#[test]
fn a_line_cannot_write_the_stores_own_notes() {
    let store = testing::store();
    own(&store, 1);
    let line: Value = serde_json::from_slice(&export(&store)).unwrap();
    let hex = |bytes: &[u8; 16]| format!("{:032x}", u128::from_be_bytes(*bytes));
    let notes = [
        ("key", b"12345678sessile\x01"),
        ("key", b"12345678sessile\x02"),
        ("owner", b"sessile notes\0\0\0"),
        ("owner", b"sessile revoked\0"),
    ];
    for (name, bytes) in notes {
        let (other, mut line) = (testing::store(), line.clone());
        line[name] = json!(hex(bytes));
        let imported = lines(&other, line.to_string().as_bytes());
        assert!(imported.refused == 1 && imported.reasons[0].contains("its own notes"), "{name}: {imported:?}");
        assert_eq!(other.stats().sessions, 0);
    }
}

#[test]
fn a_handle_has_one_spelling() {
    let store = testing::store();
    own(&store, 1);
    let line: Value = serde_json::from_slice(&export(&store)).unwrap();
    for handle in ["", "1", "+00000000000000a", "00000000000000AB", "00000000000000001", "000000000000000g"] {
        let mut line = line.clone();
        line["handle"] = json!(handle);
        let imported = lines(&testing::store(), line.to_string().as_bytes());
        assert!(imported.refused == 1 && imported.reasons[0].contains("`handle`"), "{handle}: {imported:?}");
    }
}

#[test]
fn an_export_without_an_owner_leaves_another_crates_session_its_owner() {
    let clock = ManualClock::default();
    let open = || Store::builder().clock(clock.clone()).open_in_memory().unwrap();
    let (old, new) = (open(), open());
    let with = |n: u32| json!({"kind": "poem", "id": "a", "ends_ms": 4_000_000_000_000_u64, "data": {"n": n}}).to_string();
    Import::into(&new).owned_by(|_| Some("ada")).json_lines(with(1).as_bytes()).unwrap();
    assert_eq!(new.sessions_of("ada").unwrap().len(), 1);
    assert_eq!(lines(&old, with(2).as_bytes()).created, 1);
    assert_eq!(lines(&new, &export(&old)).updated, 1);
    assert_eq!(new.sessions_of("ada").unwrap().len(), 1);
}
