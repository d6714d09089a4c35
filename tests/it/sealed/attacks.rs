//! Attacks on sealed sessions, by name. Each of these tests fails on an obvious implementation.

use std::time::Duration;

use axum::{Router, http::StatusCode, routing::get};
use sessile::{Cookie, Keys, SessionLayer, SessionName, Stats};
use sha2::Digest;

use super::{THRESHOLD, app, app_of, body, is_sealed, keys, large_layer, layer, visit};
use crate::support::{DAY, OnDisk, ask, ask_with};

#[tokio::test]
async fn tampering_every_character_every_cut_and_every_part_is_refused() {
    let disk = OnDisk::new();
    let app = app_of(large_layer(&disk.store));
    let good = visit(&app, "/set/7", "").await;
    let value_at = "__Host-id=".len();
    for at in value_at..good.len() {
        let mut forged = good.clone().into_bytes();
        // Each bit of a character, and a character that is not base64url.
        for other in [b'A', b'B', b'C', b'E', b'I', b'Q', b'g', b'~', b'=', b'%'] {
            forged[at] = other;
            if forged != good.as_bytes() {
                let answer = ask(&app, "/", &[("cookie", &forged)]).await;
                assert_eq!((answer.body.as_str(), answer.set_cookies().len()), ("none", 0), "{other} at {at}");
            }
        }
        assert_eq!(body(&app, &good[..at]).await, "none", "cut at {at}");
    }
    for longer in ["A", "AA", "AAA", "AAAA", "~", "="] {
        assert_eq!(body(&app, &format!("{good}{longer}")).await, "none");
    }
    assert!(disk.store.stats().forged > 1000);

    let one = visit(&app, "/grow/3700", &good).await;
    let two = visit(&app, "/grow/3701", &good).await;
    let (one_first, one_second) = one.split_once("; ").unwrap();
    let (two_first, two_second) = two.split_once("; ").unwrap();
    for (cookies, expected) in [
        (format!("{one_first}; {one_second}"), "7"),
        (format!("{one_second}; x=y; {one_first}"), "7"),
        (format!("{one_first}; {two_second}"), "none"),
        (format!("{two_first}; {one_second}"), "none"),
        (one_first.to_owned(), "none"),
        (one_second.to_owned(), "none"),
        (format!("{one_first}; {one_second}; {two_second}"), "none"),
        (format!("{one_first}; {one_second}; {one_second}"), "7"),
        (one.replace("=~2", "=~1"), "none"),
        (one.replace("=~2", "=~3"), "none"),
        (one.replace("=~2", "=~0"), "none"),
        (one.replace("=~2", "=~"), "none"),
    ] {
        assert_eq!(body(&app, &cookies).await, expected, "{cookies}");
    }
}

#[tokio::test]
async fn no_other_decoder_is_tried_after_a_failed_check() {
    let disk = OnDisk::new();
    let app = app(&disk.store);
    let stored = {
        let session = disk.store.session(None).unwrap();
        session.insert("n", 7_u64).unwrap();
        session.save().wait().unwrap();
        session.token().unwrap().expose()
    };
    assert_eq!(body(&app, &format!("__Host-id={stored}")).await, "7", "a token is one");
    let record = "c2VzbAEIAAAAAAAA".repeat(8);
    for value in [format!("~{stored}"), format!("~1{stored}"), format!("{stored}~"), format!("~1{}", &stored[..28])] {
        assert_eq!(body(&app, &format!("__Host-id={value}")).await, "none", "{value}");
    }
    // Plain MessagePack, JSON, a record and nothing, as text and in base64.
    for value in ["~1gaFuBw", "~1eyJuIjo3fQAA", "{\"n\":7}", "~{\"n\":7}", "~1", "~", "~1AAAA", &format!("~1{record}")] {
        assert_eq!(body(&app, &format!("__Host-id={value}")).await, "none", "{value}");
    }
}

struct Admin;

impl SessionName for Admin {
    const NAME: &str = "admin";
}

#[tokio::test]
async fn confusion_another_name_another_store_another_key_open_nothing() {
    let (disk, other) = (OnDisk::new(), OnDisk::new());
    let cookie = visit(&app(&disk.store), "/set/7", "").await;
    let value = cookie.strip_prefix("__Host-id=").unwrap();
    assert_eq!(body(&app(&other.store), &cookie).await, "none", "another store");
    let other_name = app_of(layer(&disk.store).cookie(Cookie::new().name("other")).unwrap());
    assert_eq!(body(&other_name, &format!("__Host-other={value}")).await, "none", "another cookie");
    let same_name = SessionLayer::new(disk.store.clone()).cookie(Cookie::new().name("id")).unwrap();
    let named = same_name.named::<Admin>().sealed_cookies(&keys(), THRESHOLD).unwrap();
    let show = async |session: sessile::Named<Admin>| session.get::<u64>("n").unwrap().is_some().to_string();
    let named = Router::new().route("/", get(show)).layer(named);
    assert_eq!(body(&named, &cookie).await, "false", "other sessions under the same cookie");
    let with = |keys: Keys| app_of(SessionLayer::new(disk.store.clone()).sealed_cookies(&keys, THRESHOLD).unwrap());
    assert_eq!(body(&with(Keys::from([2; 32])), &cookie).await, "none", "another key");
    assert_eq!(disk.store.stats().forged, 3);

    // The old key opens, and the next change is sealed with the new one.
    let both = with(Keys::from([2; 32]).accept([1; 32]));
    assert_eq!(body(&both, &cookie).await, "7");
    let renewed = visit(&both, "/set/8", &cookie).await;
    assert_eq!(body(&with(Keys::from([2; 32])), &renewed).await, "8");
    assert_eq!(body(&app(&disk.store), &renewed).await, "none");
}

#[tokio::test]
async fn replay_after_logout_is_refused_now_and_after_a_restart_and_a_crash() {
    let mut disk = OnDisk::new();
    let app = app(&disk.store);
    let old = visit(&app, "/login", &visit(&app, "/set/7", "").await).await;
    let new = visit(&app, "/set/8", &old).await;
    assert_eq!(
        (body(&app, &old).await.as_str(), body(&app, &new).await.as_str()),
        ("7", "8"),
        "older cookies show older values"
    );
    let out = ask_with(&app, "/logout", &old).await;
    assert!(out.set_cookies()[0].starts_with("__Host-id=;"), "{:?}", out.set_cookies());
    let replay = async |app: &Router| {
        for cookie in [&old, &new] {
            assert_eq!(body(app, cookie).await, "none");
            // Nor does using it bring it back: a new value is in a new session.
            let fresh = visit(app, "/set/9", cookie).await;
            assert_eq!((body(app, &fresh).await.as_str(), body(app, cookie).await.as_str()), ("9", "none"));
            assert_eq!(ask_with(app, "/logout", cookie).await.set_cookies().len(), 0, "it was over before");
        }
    };
    replay(&app).await;
    let (_dir, crashed) = disk.after_crash();
    replay(&self::app(&crashed)).await;
    drop(app);
    disk.reopen();
    disk.clock.advance(Duration::from_secs(168 * 3600 - 1));
    disk.store.sweep().wait().unwrap();
    replay(&self::app(&disk.store)).await;
    // It is remembered for as long as it could be valid.
    let revoked = disk.store.stats().revoked;
    disk.clock.advance(Duration::from_hours(168) + Duration::from_mins(2));
    disk.store.sweep().wait().unwrap();
    assert_eq!(disk.store.stats().revoked, 0, "{revoked} were there");
    replay(&self::app(&disk.store)).await;
}

#[tokio::test]
async fn replay_of_the_newest_cookie_after_a_logout_by_an_older_one_is_refused_for_as_long_as_it_is_valid() {
    let mut disk = OnDisk::new();
    let begin = visit(&app(&disk.store), "/set/7", "").await;
    let twin = visit(&app(&disk.store), "/set/1", "").await;
    // The newest was sealed later, so it is valid for longer than the one that logs out. Its twin shows for how long.
    disk.clock.advance(6 * DAY);
    let newest = visit(&app(&disk.store), "/set/8", &begin).await;
    let twin = visit(&app(&disk.store), "/set/2", &twin).await;
    disk.clock.advance(DAY / 2);
    let out = ask_with(&app(&disk.store), "/logout", &begin).await;
    assert!(out.set_cookies()[0].starts_with("__Host-id=;"), "the older one is valid still: {:?}", out.set_cookies());
    let mut days = 0;
    loop {
        for restarts in [false, true] {
            if restarts {
                disk.reopen();
            }
            disk.store.sweep().wait().unwrap();
            let app = app(&disk.store);
            assert_eq!([body(&app, &begin).await, body(&app, &newest).await], ["none"; 2], "{days} half days later");
        }
        if body(&app(&disk.store), &twin).await == "none" {
            break;
        }
        days += 1;
        disk.clock.advance(DAY / 2);
    }
    assert!(days >= 10, "the older one would have ended after 1: {days}");
}

#[tokio::test]
async fn replay_of_a_session_without_timeouts_is_refused_for_all_400_days_of_its_cookie() {
    const MS: Duration = Duration::from_millis(1);
    const BUT_ONE_MS: Duration = Duration::from_millis(24 * 3_600_000 - 1);
    let mut disk = OnDisk::with(|builder| builder.idle_timeout(Duration::MAX).absolute_timeout(Duration::MAX));
    let begun = app(&disk.store);
    let [here, everywhere] = [visit(&begun, "/set/7", "").await, visit(&begun, "/login", "").await];
    let twin = visit(&begun, "/set/8", "").await;
    visit(&begun, "/logout", &here).await;
    disk.store.destroy_sessions_of("ada").wait().unwrap();
    drop(begun);
    // Its twin shows for how long a cookie of that moment is valid.
    for (wait, is_valid) in [(DAY, true), (398 * DAY, true), (BUT_ONE_MS, true), (MS, false)] {
        disk.clock.advance(wait);
        disk.store.sweep().wait().unwrap();
        disk.reopen();
        let app = app(&disk.store);
        assert_eq!(body(&app, &twin).await == "8", is_valid, "{wait:?}");
        for cookie in [&here, &everywhere] {
            assert_eq!(ask_with(&app, "/is_there", cookie).await.body, "false", "{wait:?}");
        }
    }
}

#[tokio::test]
async fn replay_from_before_any_change_of_privilege_is_refused() {
    for path in ["/rotate", "/renew", "/login", "/unbind", "/clear", "/clear_scope", "/longer"] {
        let disk = OnDisk::new();
        let app = app(&disk.store);
        let before = visit(&app, "/set/7", "").await;
        let now = visit(&app, path, &before).await;
        assert!(is_sealed(&now) && now != before, "{path}: {now}");
        assert_eq!(body(&app, &before).await, "none", "{path}");
        assert_eq!(body(&app, &now).await, if path == "/clear" { "none" } else { "7" }, "{path}");
        assert_eq!(ask_with(&app, "/is_there", &now).await.body, "true", "{path}");
        assert_eq!(disk.store.stats().revoked, 1);
    }
}

#[tokio::test]
async fn fixation_a_planted_sealed_session_is_not_signed_in_by_its_victim() {
    let disk = OnDisk::new();
    let app = app(&disk.store);
    let planted = visit(&app, "/set/7", "").await;
    let victim = visit(&app, "/login", &planted).await;
    assert_eq!(body(&app, &victim).await, "7");
    assert_eq!(ask_with(&app, "/is_there", &planted).await.body, "false");
    // Nor does it become one when the attacker's request was in progress.
    let attacker = visit(&app, "/set/8", &planted).await;
    let handle = async |cookie: &str| ask_with(&app, "/handle", cookie).await.body;
    assert_ne!(handle(&attacker).await, handle(&victim).await);
    assert_eq!((body(&app, &attacker).await.as_str(), body(&app, &victim).await.as_str()), ("8", "7"));
    // It has no owner.
    disk.store.destroy_sessions_of("ada").wait().unwrap();
    assert_eq!((body(&app, &attacker).await.as_str(), body(&app, &victim).await.as_str()), ("8", "none"));
}

#[tokio::test]
async fn duplicates_two_sessions_of_ours_are_none() {
    let disk = OnDisk::new();
    let app = app(&disk.store);
    let (one, two) = (visit(&app, "/set/1", "").await, visit(&app, "/set/2", "").await);
    let stored = visit(&app, "/grow/5000", &visit(&app, "/set/3", "").await).await;
    let elsewhere = visit(&self::app(&OnDisk::new().store), "/set/4", "").await;
    let token = format!("__Host-id={}", sessile::Token::parse(&[b'A'; 32]).unwrap().expose());
    for (cookies, expected, ambiguous) in [
        (vec![&one, &two], "none", 1),
        (vec![&two, &one], "none", 1),
        (vec![&one, &stored], "none", 1),
        (vec![&stored, &one], "none", 1),
        (vec![&one, &one], "1", 0),
        // Cookies of other origins do no harm.
        (vec![&elsewhere, &one], "1", 0),
        (vec![&one, &token], "1", 0),
        (vec![&elsewhere, &stored], "3", 0),
    ] {
        let before = disk.store.stats().ambiguous;
        let cookies: Vec<_> = cookies.iter().map(|cookie| ("cookie", cookie.as_bytes())).collect();
        assert_eq!(ask(&app, "/", &cookies).await.body, expected);
        assert_eq!(disk.store.stats().ambiguous - before, ambiguous);
    }
}

#[tokio::test]
async fn garbage_costs_no_io_and_no_session() {
    let disk = OnDisk::new();
    let app = app(&disk.store);
    let good = visit(&app, "/set/7", "").await;
    disk.store.close().unwrap();
    // The file is closed: any access to it is an error.
    let known = &good["__Host-id=~1".len()..][..40];
    for value in ["A".repeat(400_000), "A".repeat(6000), format!("{known}{}", "A".repeat(6000)), known.repeat(10)] {
        let answer = ask_with(&app, "/", &format!("__Host-id=~1{value}")).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "none"));
    }
    assert_eq!(body(&app, &good).await, "7", "a good one costs none either");
    let many = vec![format!("__Host-id=~1{}", "A".repeat(100)); 100].join("; ");
    let before = disk.store.stats().forged;
    assert_eq!(body(&app, &many).await, "none");
    assert_eq!(disk.store.stats().forged - before, 8, "no more are looked at");
}

/// Returns the bytes of a text in base64url.
fn decoded(text: &[u8]) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits = |four: &[u8]| {
        four.iter().fold(0_u32, |bits, byte| {
            bits << 6 | u32::try_from(ALPHABET.iter().position(|known| known == byte).unwrap()).unwrap()
        })
    };
    text.chunks_exact(4).flat_map(|four| bits(four).to_be_bytes()[1..].to_vec()).collect()
}

#[tokio::test]
async fn g8_neither_the_file_nor_a_print_holds_a_sealed_cookie_or_its_key() {
    let disk = OnDisk::new();
    let layer = layer(&disk.store);
    let app = app_of(layer.clone());
    let first = visit(&app, "/grow/300", "").await;
    let second = visit(&app, "/login", &first).await;
    visit(&app, "/logout", &second).await;
    disk.store.flush().wait().unwrap();
    let mut texts = vec![format!("{layer:?} {:?} {:?}", disk.store, keys()).into_bytes()];
    for entry in std::fs::read_dir(disk.dir.path()).unwrap() {
        texts.push(std::fs::read(entry.unwrap().path()).unwrap());
    }
    let contains = |text: &[u8], needle: &[u8]| text.windows(needle.len()).any(|window| window == needle);
    for text in &texts {
        for cookie in [&first, &second] {
            let value = &cookie.as_bytes()["__Host-id=~1".len() + 8..];
            // As it is sent, and as the bytes that are sealed.
            let sealed = decoded(value);
            assert!(sealed.len() > 300);
            for part in value.chunks_exact(16).chain(sealed.chunks_exact(16)) {
                assert!(!contains(text, part));
            }
        }
        // Its content, and its keys: the application's, and the one derived from it.
        let derived = sha2::Sha256::new_with_prefix(b"sessile seal key").chain_update([1; 32]).finalize();
        for secret in [&[b'x'; 16][..], &[1; 32], &derived] {
            assert!(!contains(text, secret));
        }
    }
    let Stats { revoked, sealed, .. } = disk.store.stats();
    assert_eq!((revoked, sealed), (2, 2));
}
