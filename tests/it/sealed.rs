//! Sessions sealed in cookies: where they are, how they move and how they end.

mod attacks;
#[cfg(feature = "encryption")]
mod encrypted;
mod forgotten;
mod late;
mod parts;

use std::time::Duration;

use axum::{
    Router,
    extract::{Path, State},
    http::{StatusCode, header},
    routing::get,
};
use sessile::{Cookie, Error, Keys, OwnerLimit, Session, SessionLayer, Store};

use crate::support::{Answer, OnDisk, SECOND, ask, ask_with};

const THRESHOLD: usize = 1024;

fn keys() -> Keys {
    Keys::from([1; 32])
}

fn layer(store: &Store) -> SessionLayer {
    SessionLayer::new(store.clone()).sealed_cookies(&keys(), THRESHOLD).unwrap()
}

/// A layer whose sessions take two cookies and more.
fn large_layer(store: &Store) -> SessionLayer {
    SessionLayer::new(store.clone()).sealed_cookies(&keys(), 4096).unwrap().sealed_cookies_limit(7500)
}

/// An application that does to its session what the path names.
fn app_of(layer: SessionLayer) -> Router {
    let get_n = async |session: Session| session.get::<u64>("n").unwrap().map_or("none".to_owned(), |n| n.to_string());
    let grow = async |Path(bytes): Path<usize>, session: Session| session.insert("big", "x".repeat(bytes)).unwrap();
    let login = async |session: Session| {
        session.rotate();
        session.sign_in("ada").unwrap();
    };
    Router::new()
        .route("/", get(get_n))
        .route("/set/{n}", get(async |Path(n): Path<u64>, session: Session| session.insert("n", n).unwrap()))
        .route("/is_there", get(async |session: Option<Session>| session.is_some().to_string()))
        .route("/grow/{bytes}", get(grow))
        .route("/shrink", get(async |session: Session| session.remove("big").unwrap().to_string()))
        .route("/login", get(login))
        .route("/rotate", get(async |session: Session| session.rotate()))
        .route("/renew", get(async |session: Session| session.rotate_with_grace()))
        .route("/unbind", get(async |session: Session| session.unbind_owner()))
        .route("/clear", get(async |session: Session| session.clear()))
        .route("/clear_scope", get(async |session: Session| session.clear_scope("a")))
        .route("/longer", get(async |session: Session| session.set_idle_timeout(Duration::from_hours(1000)).unwrap()))
        .route("/logout", get(async |session: Session| session.destroy()))
        .route("/handle", get(async |session: Session| session.handle().map_or(String::new(), |handle| handle.to_string())))
        .layer(layer)
}

fn app(store: &Store) -> Router {
    app_of(layer(store))
}

/// Returns a browser's cookies after an answer.
#[track_caller]
fn after(before: &str, answer: &Answer) -> String {
    let mut jar: Vec<(String, String)> = Vec::new();
    let pairs = before.split("; ").filter(|pair| !pair.is_empty()).chain(answer.set_cookies());
    for cookie in pairs {
        let pair = cookie.split(';').next().unwrap();
        let (name, value) = pair.split_once('=').unwrap();
        jar.retain(|(other, _)| other != name);
        if !cookie.contains("Max-Age=0;") {
            jar.push((name.to_owned(), value.to_owned()));
        }
    }
    jar.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
}

/// Returns a browser's cookies after a request to `path`.
async fn visit(app: &Router, path: &str, cookies: &str) -> String {
    let answer = ask_with(app, path, cookies).await;
    assert_eq!(answer.status, StatusCode::OK, "{path}");
    after(cookies, &answer)
}

async fn body(app: &Router, cookies: &str) -> String {
    ask_with(app, "/", cookies).await.body
}

fn is_sealed(cookies: &str) -> bool {
    cookies.starts_with("__Host-id=~")
}

#[tokio::test]
async fn a_small_session_is_in_the_cookie_alone() {
    let mut disk = OnDisk::new();
    let app = app(&disk.store);
    disk.store.flush().wait().unwrap();
    let before = disk.store.stats();
    let answer = ask(&app, "/set/7", &[]).await;
    let told = (answer.header(header::CACHE_CONTROL), answer.header(header::VARY));
    assert_eq!(told, (Some("no-store"), Some("Cookie")), "no shared cache keeps it");
    let cookie = after("", &answer);
    assert!(is_sealed(&cookie) && cookie.len() < 400, "{cookie}");
    assert_eq!((body(&app, &cookie).await.as_str(), body(&app, "").await.as_str()), ("7", "none"));
    assert_eq!(ask_with(&app, "/is_there", &cookie).await.body, "true");
    // No cookie is set while nothing is due, and the next value is another cookie.
    assert_eq!(ask_with(&app, "/", &cookie).await.set_cookies().len(), 0);
    let next = visit(&app, "/set/8", &cookie).await;
    assert_ne!(next, cookie);
    disk.store.flush().wait().unwrap();
    let after = disk.store.stats();
    assert_eq!((after.sessions, after.disk_sessions, after.memory_sessions, after.commits), (0, 0, 0, 0));
    assert_eq!((after.syncs, after.sealed, after.revoked, after.forged), (before.syncs, 2, 0, 0));
    drop(app);
    disk.reopen();
    assert_eq!(body(&self::app(&disk.store), &next).await, "8", "the store needs to know nothing of it");
    assert_eq!(disk.store.stats().sessions, 0);
}

#[tokio::test]
async fn a_session_that_outgrows_the_cookie_moves_into_the_store_and_back() {
    let disk = OnDisk::new();
    let app = app_of(large_layer(&disk.store));
    let small = visit(&app, "/set/7", "").await;
    let parts = visit(&app, "/grow/3700", &small).await;
    assert_eq!((is_sealed(&parts), parts.matches("__Host-id").count()), (true, 2), "two cookies: {parts}");
    assert_eq!(body(&app, &parts).await, "7");

    let stored = visit(&app, "/grow/5000", &parts).await;
    assert_eq!(stored.len(), "__Host-id=".len() + 32, "the token alone, no part of what was sealed: {stored}");
    assert_eq!((body(&app, &stored).await.as_str(), disk.store.stats().sessions), ("7", 1));
    // Until the grace is over, requests in progress with the old cookie succeed, and their changes are not lost.
    assert_eq!(ask_with(&app, "/set/8", &parts).await.set_cookies().len(), 0);
    assert_eq!((body(&app, &stored).await.as_str(), body(&app, &parts).await.as_str()), ("8", "8"));
    disk.clock.advance(10 * SECOND);
    assert_eq!(body(&app, &parts).await, "none");

    // If one byte below the threshold were enough, it would move to and fro.
    let still = visit(&app, "/grow/3700", &stored).await;
    assert_eq!(still, stored);
    let sealed = visit(&app, "/shrink", &stored).await;
    assert!(is_sealed(&sealed) && sealed.matches("__Host-id").count() == 1, "{sealed}");
    // Again, requests in progress succeed. Their changes are dropped.
    assert_eq!((body(&app, &sealed).await.as_str(), body(&app, &stored).await.as_str()), ("8", "8"));
    assert_eq!(ask_with(&app, "/set/9", &stored).await.set_cookies().len(), 0);
    assert_eq!((body(&app, &sealed).await.as_str(), disk.store.stats().dropped_commits), ("8", 1));
    disk.clock.advance(10 * SECOND);
    assert_eq!((body(&app, &sealed).await.as_str(), body(&app, &stored).await.as_str()), ("8", "none"));
    disk.store.sweep().wait().unwrap();
    // The next one needs fewer cookies and deletes the rest.
    let fewer = ask_with(&app, "/shrink", &parts).await;
    assert_eq!(fewer.set_cookies().len(), 0, "it has ended");
    let parts = visit(&app, "/grow/3700", &sealed).await;
    let fewer = ask_with(&app, "/shrink", &parts).await;
    assert!(fewer.set_cookies().iter().any(|cookie| cookie.starts_with("__Host-id.1=;") && cookie.contains("Max-Age=0")));
    assert!(!after(&parts, &fewer).contains("__Host-id.1"));
}

#[tokio::test]
async fn a_token_is_no_forged_cookie_and_a_sealed_one_no_forged_token() {
    let store = sessile::testing::store();
    let app = app(&store);
    let sealed = visit(&app, "/set/7", "").await;
    let stored = visit(&app, &format!("/grow/{}", 2 * THRESHOLD), "").await;
    assert!(is_sealed(&sealed) && !is_sealed(&stored));
    for (cookie, n) in [(&sealed, "7"), (&stored, "none")] {
        assert_eq!((body(&app, cookie).await.as_str(), store.stats().forged), (n, 0), "{cookie}");
    }
    let other = if sealed.ends_with('A') { "B" } else { "A" };
    let altered = format!("{}{other}", &sealed[..sealed.len() - 1]);
    assert_eq!((body(&app, &altered).await.as_str(), store.stats().forged), ("none", 1));
}

#[tokio::test]
async fn a_value_too_large_for_every_cookie_is_stored_and_one_too_large_for_the_store_is_an_error() {
    let disk = OnDisk::with(|builder| builder.record_limit(8192));
    let session = async |session: Session| session.insert("big", "x".repeat(10_000)).unwrap_err().to_string();
    let app = app_of(layer(&disk.store)).merge(Router::new().route("/huge", get(session)).layer(layer(&disk.store)));
    assert!(!is_sealed(&visit(&app, "/grow/6000", "").await));
    assert!(ask(&app, "/huge", &[]).await.body.contains("8192"));
}

#[tokio::test]
async fn ending_all_sessions_of_an_owner_ends_the_sealed_ones() {
    let mut disk = OnDisk::new();
    let app = app(&disk.store);
    let [laptop, phone] = [visit(&app, "/login", "").await, visit(&app, "/login", &visit(&app, "/set/7", "").await).await];
    let stranger = visit(&app, "/set/1", "").await;
    let is_there = async |app: &Router, cookie: &str| ask_with(app, "/is_there", cookie).await.body == "true";
    assert!(is_there(&app, &laptop).await && is_there(&app, &phone).await);

    let kept: sessile::Handle = ask_with(&app, "/handle", &laptop).await.body.parse().unwrap();
    disk.store.destroy_other_sessions_of("ada", kept).wait().unwrap();
    assert!(is_there(&app, &laptop).await && !is_there(&app, &phone).await);
    let laptop_now = visit(&app, "/set/2", &laptop).await;
    disk.store.destroy_other_sessions_of("ada", kept).wait().unwrap();
    assert!(is_there(&app, &laptop).await && is_there(&app, &laptop_now).await, "it is kept again, its older cookies too");

    disk.store.destroy_sessions_of("ada").wait().unwrap();
    let later = visit(&app, "/login", "").await;
    let gone = [&laptop, &laptop_now, &phone];
    for _ in 0..2 {
        let app = self::app(&disk.store);
        for cookie in gone {
            assert!(!is_there(&app, cookie).await);
        }
        assert!(is_there(&app, &later).await && is_there(&app, &stranger).await);
        drop(app);
        disk.reopen();
    }
    // Also by a process that does not know that sessions were ever sealed, such as an administrator's tool.
    disk.store.destroy_sessions_of("ada").wait().unwrap();
    let (_dir, crashed) = disk.after_crash();
    let app = self::app(&crashed);
    assert!(!is_there(&app, &later).await && is_there(&app, &stranger).await);
    crashed.revoke_sealed().wait().unwrap();
    assert!(!is_there(&app, &stranger).await);
    assert!(is_there(&app, &visit(&app, "/set/3", "").await).await);
}

#[tokio::test]
async fn ending_the_session_in_the_store_ends_the_sealed_one_that_it_became() {
    for end_by_cookie in [true, false] {
        let disk = OnDisk::new();
        let app = app(&disk.store);
        let stored = visit(&app, "/grow/5000", &visit(&app, "/login", "").await).await;
        let sealed = visit(&app, "/shrink", &stored).await;
        assert!(is_sealed(&sealed) && !is_sealed(&stored));
        // By a request that was in progress when it moved.
        if end_by_cookie {
            visit(&app, "/logout", &stored).await;
        } else {
            disk.store.destroy_sessions_of("ada").wait().unwrap();
        }
        for cookie in [&sealed, &stored] {
            assert_eq!(ask_with(&app, "/is_there", cookie).await.body, "false");
        }
        assert_eq!(disk.store.stats().sessions, 0);
    }
}

#[tokio::test]
async fn a_late_answer_does_not_revive_a_session_that_was_signed_out_meanwhile() {
    let disk = OnDisk::new();
    let (store, outer) = (disk.store.clone(), app(&disk.store));
    for (path, is_lost) in [("/logout", true), ("/rotate", true), ("/grow/5000", true), ("/", false)] {
        let cookie = visit(&outer, "/set/7", "").await;
        let dropped = store.stats().dropped_commits;
        let (inner, sent) = (outer.clone(), cookie.clone());
        let slow = async move |session: Session| {
            session.insert("n", 8).unwrap();
            // In a separate task, or it would be this request's session.
            tokio::spawn(async move { visit(&inner, path, &sent).await }).await.unwrap();
        };
        let slow = Router::new().route("/slow", get(slow)).layer(layer(&store));
        let late = ask_with(&slow, "/slow", &cookie).await;
        let status = if is_lost { StatusCode::CONFLICT } else { StatusCode::OK };
        assert_eq!((late.status, late.set_cookies().is_empty()), (status, is_lost), "{path}");
        assert_eq!(store.stats().dropped_commits - dropped, u64::from(is_lost), "{path}");
    }
}

#[tokio::test]
async fn expiry_is_inside_and_to_the_millisecond() {
    const MINUTE: u64 = 60_000;
    let ms = Duration::from_millis;
    let fresh = || OnDisk::with(|builder| builder.idle_timeout(ms(60 * MINUTE)).absolute_timeout(ms(90 * MINUTE)));
    let disk = fresh();
    let app = app(&disk.store);
    let cookie = visit(&app, "/set/7", "").await;
    disk.clock.advance(ms(60 * MINUTE - 1));
    let answer = ask_with(&app, "/", &cookie).await;
    assert_eq!(answer.body, "7");
    // That use was worth sending: the same session in another cookie, for another hour, but not beyond the absolute deadline.
    let moved = after(&cookie, &answer);
    assert!(answer.set_cookies()[0].contains("; Max-Age=1801;"), "{:?}", answer.set_cookies());
    // A use within a tenth of the hour is in no cookie, so the one before lasts longer by that amount.
    disk.clock.advance(ms(6 * MINUTE));
    assert_eq!(body(&app, &cookie).await, "7");
    disk.clock.advance(ms(1));
    assert_eq!((body(&app, &cookie).await.as_str(), body(&app, &moved).await.as_str()), ("none", "7"));
    disk.clock.advance(ms(24 * MINUTE - 1));
    assert_eq!(body(&app, &moved).await, "7");
    disk.clock.advance(ms(1));
    assert_eq!(body(&app, &moved).await, "none");
    assert_eq!(disk.store.stats().expired, 2);

    // An early use is not sent: a tenth of the hour has not passed.
    let disk = fresh();
    let app = self::app(&disk.store);
    let cookie = visit(&app, "/set/7", "").await;
    disk.clock.advance(ms(6 * MINUTE - 1));
    assert_eq!(ask_with(&app, "/", &cookie).await.set_cookies().len(), 0);
    disk.clock.advance(ms(1));
    assert_eq!(ask_with(&app, "/", &cookie).await.set_cookies().len(), 1);

    // What has no timeout in the store lasts 400 days in a cookie.
    let disk = OnDisk::with(|builder| builder.idle_timeout(Duration::MAX).absolute_timeout(Duration::MAX));
    let app = self::app(&disk.store);
    let cookie = visit(&app, "/set/7", "").await;
    disk.clock.advance(ms(400 * 24 * 60 * MINUTE - 1));
    assert_eq!(body(&app, &cookie).await, "7");
    disk.clock.advance(ms(1));
    assert_eq!(body(&app, &cookie).await, "none");
}

#[tokio::test]
async fn no_cookie_is_longer_than_browsers_keep_and_all_than_servers_read() {
    let store = sessile::testing::store();
    let path = format!("/{}", "p".repeat(1000));
    let cookies = [
        Cookie::new(),
        Cookie::new().path(path.clone()).domain("example.com"),
        Cookie::new().name("n".repeat(3000)),
        Cookie::new().path(path).domain(format!("d{}", ".d".repeat(500))),
        Cookie::new().name("n".repeat(4000)),
    ];
    for (nth, cookie) in cookies.into_iter().enumerate() {
        let layers = [
            SessionLayer::new(store.clone()).cookie(cookie.clone()).unwrap().sealed_cookies(&keys(), 4096).unwrap(),
            SessionLayer::new(store.clone()).sealed_cookies(&keys(), 4096).unwrap().cookie(cookie).unwrap(),
        ];
        for app in layers.map(|layer| app_of(layer.sealed_cookies_limit(usize::MAX))) {
            let mut most = 0;
            for bytes in (0..4200).step_by(61) {
                let answer = ask(&app, &format!("/grow/{bytes}"), &[]).await;
                for cookie in answer.set_cookies() {
                    assert!(cookie.len() <= 4096, "{} bytes", cookie.len());
                    let pair = cookie.split(';').next().unwrap();
                    assert!(pair.bytes().all(|byte| byte.is_ascii_graphic() && !b"\",;\\".contains(&byte)), "{pair}");
                }
                let cookies = after("", &answer);
                if cookies.contains("=~") {
                    most = most.max(bytes);
                    assert!(cookies.split("; ").map(|pair| pair.split('=').nth(1).unwrap().len()).sum::<usize>() <= 6146);
                    assert_eq!(ask_with(&app, "/is_there", &cookies).await.body, "true");
                }
            }
            // Long names and attributes leave less room, so that more sessions stay in the store.
            assert!([(3900..4000), (3900..4000), (2700..3200), (3900..4000), (0..1)][nth].contains(&most), "{nth}: {most}");
        }
    }
}

/// Returns the bytes of the `Set-Cookie` lines of an answer over HTTP/1.
fn line_bytes(answer: &Answer) -> usize {
    answer.set_cookies().iter().map(|cookie| "set-cookie: ".len() + cookie.len() + "\r\n".len()).sum()
}

#[tokio::test]
async fn all_cookies_of_an_answer_fit_into_the_buffer_of_a_proxy() {
    let store = sessile::testing::store();
    let long = Cookie::new().name("n".repeat(200)).path(format!("/{}", "p".repeat(300))).domain("example.com");
    for (cookie, name) in [(Cookie::new(), "__Host-id".to_owned()), (long, format!("__Secure-{}", "n".repeat(200)))] {
        let layer = SessionLayer::new(store.clone()).cookie(cookie).unwrap();
        let sealed = |layer: SessionLayer| layer.sealed_cookies(&keys(), 4096).unwrap();
        // The limit is the layer's, before and after the keys.
        for (layer, most) in [
            (sealed(layer.clone()), 3500),
            (sealed(layer.clone()).sealed_cookies_limit(5500), 5500),
            (sealed(layer.clone().sealed_cookies_limit(1500)), 1500),
        ] {
            let app = app_of(layer);
            // With earlier cookies, which the answer deletes if it does not need them.
            for stale in [String::new(), format!("{name}.1=AAAA; {name}.3=AAAA")] {
                let (mut largest, mut fullest) = (None, 0);
                for bytes in (0..4080).step_by(240) {
                    let answer = ask_with(&app, &format!("/grow/{bytes}"), &stale).await;
                    let jar = after(&stale, &answer);
                    assert!(line_bytes(&answer) <= 3500.max(most));
                    if jar.contains("=~") {
                        assert!(line_bytes(&answer) <= most, "{most}: {} bytes of cookies", line_bytes(&answer));
                        assert!(largest.is_none_or(|largest| largest + 240 == bytes), "{bytes}, and not {largest:?}");
                        (largest, fullest) = (Some(bytes), line_bytes(&answer));
                        assert_eq!(ask_with(&app, "/is_there", &jar).await.body, "true");
                    } else {
                        assert!(jar.contains(&format!("{name}=")) && jar.len() == name.len() + 33, "the token alone: {jar}");
                    }
                }
                // No more than necessary goes to the store. With 1,500 bytes, long names and the deletions leave no room.
                assert!(most == 1500 || largest == Some(3840) || fullest + 64 + 320 + 1000 > most, "{most}: {fullest}");
            }
        }
    }
}

#[tokio::test]
async fn an_owner_whose_sessions_are_limited_has_them_counted() {
    let disk = OnDisk::with(|builder| builder.sessions_per_owner(1, OwnerLimit::Refuse));
    let app = app(&disk.store);
    let anonymous = visit(&app, "/set/7", "").await;
    assert!(is_sealed(&anonymous));
    let first = visit(&app, "/login", &anonymous).await;
    assert!(!is_sealed(&first));
    assert_eq!((body(&app, &first).await.as_str(), body(&app, &anonymous).await.as_str()), ("7", "none"));
    let refused = ask_with(&app, "/login", &visit(&app, "/set/8", "").await).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    let again = visit(&app, "/set/9", &first).await;
    assert_eq!(again, first, "small, and it stays");
    // What could not move is unchanged.
    let other = visit(&app, "/set/8", "").await;
    assert_eq!(ask_with(&app, "/login", &other).await.status, StatusCode::CONFLICT);
    assert_eq!(body(&app, &other).await, "8");
}

#[tokio::test]
async fn a_change_that_must_not_be_overtaken_moves_the_session_into_the_store() {
    let disk = OnDisk::new();
    let take = async |session: Session| -> Result<(), Error> {
        let seats = session.get::<u64>("n")?.unwrap();
        session.insert("n", seats - 1)?;
        session.save_if_unchanged().await
    };
    let app = app(&disk.store).merge(Router::new().route("/take", get(take)).layer(layer(&disk.store)));
    let cookie = visit(&app, "/set/1", "").await;
    let taken = visit(&app, "/take", &cookie).await;
    assert_eq!((body(&app, &taken).await.as_str(), is_sealed(&taken)), ("0", false));
    // The seat that is still in the old cookie is gone.
    disk.clock.advance(10 * SECOND);
    assert_eq!(body(&app, &cookie).await, "none");
}

#[tokio::test]
async fn nothing_is_changed_after_the_answer_has_left() {
    let disk = OnDisk::new();
    let kept = std::sync::Arc::new(std::sync::Mutex::new(None));
    let keep = async |State(kept): State<std::sync::Arc<std::sync::Mutex<Option<Session>>>>, session: Session| {
        session.insert("n", 1_u64).unwrap();
        *kept.lock().unwrap() = Some(session);
    };
    let app = Router::new().route("/", get(keep)).with_state(kept.clone()).layer(layer(&disk.store));
    let cookie = visit(&app, "/", "").await;
    let session = kept.lock().unwrap().take().unwrap();
    session.save().wait().unwrap();
    session.insert("n", 2_u64).unwrap();
    assert!(matches!(session.save().wait(), Err(Error::HeadersSent)));
    assert_eq!(body(&self::app(&disk.store), &cookie).await, "1");
    assert_eq!((session.token(), session.tier(), session.watch().unwrap().is_some()), (None, None, false));
    assert!(session.handle().is_some());
}

#[tokio::test]
async fn forms_of_two_pages_opened_at_once_are_both_good_and_of_nobody_else() {
    let disk = OnDisk::new();
    let check = async |Path(field): Path<String>, session: Session| session.is_csrf_token(&field).to_string();
    let forms = Router::new()
        .route("/form", get(async |session: Session| session.csrf_token().unwrap()))
        .route("/check/{field}", get(check))
        .layer(layer(&disk.store));
    let app = app(&disk.store).merge(forms);
    let [mine, other] = [visit(&app, "/set/1", "").await, visit(&app, "/set/2", "").await];
    let open = async |cookies: &str| {
        let answer = ask_with(&app, "/form", cookies).await;
        (answer.body.clone(), after(cookies, &answer))
    };
    let is_good = async |field: &str, cookies: &str| ask_with(&app, &format!("/check/{field}"), cookies).await.body == "true";
    let ((one, _), (two, now), (foreign, other)) = (open(&mine).await, open(&mine).await, open(&other).await);
    assert!(is_good(&one, &now).await && is_good(&two, &now).await, "whichever answer came last");
    assert!(!is_good(&foreign, &now).await && !is_good(&one, &other).await);

    // Nor is one created while the session moves into the store the same for all.
    let mut fields = Vec::new();
    for n in 3..5 {
        let sealed = visit(&app, &format!("/set/{n}"), "").await;
        let stored = visit(&app, "/grow/5000", &sealed).await;
        fields.push((open(&sealed).await.0, stored));
    }
    for (at, (field, _)) in fields.iter().enumerate() {
        for (other_at, (_, stored)) in fields.iter().enumerate() {
            assert_eq!(is_good(field, stored).await, at == other_at);
        }
    }
}

#[tokio::test]
async fn settings_that_cannot_be_meant_are_refused() {
    let store = sessile::testing::store();
    let layer = |keys: &Keys, threshold| SessionLayer::new(store.clone()).sealed_cookies(keys, threshold);
    assert!(matches!(layer(&Keys::from([7; 31]), 100), Err(Error::ShortKey { found_bytes: 31, .. })));
    assert!(matches!(layer(&keys().accept("short"), 100), Err(Error::ShortKey { found_bytes: 5, .. })));
    assert!(matches!(layer(&keys(), 4097), Err(Error::Config { .. })));
    assert!(!is_sealed(&visit(&app_of(layer(&keys(), 0).unwrap()), "/set/7", "").await), "nothing fits in 0 bytes");
    let header = layer(&keys(), 1024).unwrap().transport(sessile::web::Transport::Bearer).unwrap();
    assert_eq!(ask(&app_of(header), "/set/7", &[]).await.headers["session-token"].len(), 32);
    let (name, value) = sessile::testing::login_with(&layer(&keys(), 1024).unwrap(), "ada", |session| {
        session.insert("n", 5_u64).unwrap();
    });
    assert_eq!(name, "cookie");
    assert_eq!(body(&app_of(layer(&keys(), 1024).unwrap()), value.to_str().unwrap()).await, "5");
}
