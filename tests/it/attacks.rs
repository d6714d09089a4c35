//! Attacks by name. Each of these tests fails on an obvious implementation.

use std::{
    collections::HashMap,
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use axum::{
    Router,
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::map_response,
    response::Response,
    routing::get,
};
use sessile::{
    Cookie, Keys, Level, Session, SessionLayer, Stats, Store, Token,
    web::{CookieError, Transport},
};

use crate::support::{Answer, OnDisk, ask, ask_with, n_of, saved};

/// A small application in which a visitor signs in and out.
fn app(store: &Store) -> Router {
    let login = async |session: Session| {
        session.rotate();
        session.insert("user", "victim").unwrap();
        session.sign_in("victim").unwrap();
    };
    Router::new()
        .route("/", get(async |session: Session| session.insert("n", 1_u64).unwrap()))
        .route("/who", get(async |session: Session| session.get::<String>("user").unwrap().unwrap_or_default()))
        .route("/login", get(login))
        .route("/logout", get(async |session: Session| session.destroy()))
        .layer(SessionLayer::new(store.clone()))
}

#[tokio::test]
async fn fixation_a_planted_session_is_not_signed_in_by_its_victim() {
    let disk = OnDisk::new();
    let app = app(&disk.store);
    let planted = ask(&app, "/", &[]).await.cookie();
    let signed_in = ask_with(&app, "/login", &planted).await.cookie();
    assert_ne!(planted, signed_in);
    assert_eq!(ask_with(&app, "/who", &signed_in).await.body, "victim");
    let attacker = ask_with(&app, "/who", &planted).await;
    assert_eq!((attacker.body.as_str(), attacker.set_cookies().len()), ("", 0), "nothing, and above all not the new token");
    // Nor by signing in with a token that was never issued.
    for invented in ["A".repeat(32), "admin".into(), String::new()] {
        let cookie = ask_with(&app, "/login", &format!("__Host-id={invented}")).await.cookie();
        assert_ne!(cookie, format!("__Host-id={invented}"));
    }
}

#[test]
fn fixation_no_race_with_a_login_reaches_what_it_sets() {
    let disk = OnDisk::with(|builder| builder.durability(sessile::Durability::Relaxed));
    for _ in 0..1000 {
        let (_, planted) = saved_relaxed(&disk.store);
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let attacker = disk.store.session(Some(&planted)).unwrap();
                    assert_eq!(attacker.get::<String>("user").unwrap(), None);
                    if attacker.token().is_some() {
                        attacker.insert("x", 1).unwrap();
                        drop(attacker.save());
                        assert_eq!(attacker.get::<String>("user").unwrap(), None, "not by a merge either");
                    }
                }
            });
            let victim = disk.store.session(Some(&planted)).unwrap();
            victim.rotate();
            victim.insert("user", "victim").unwrap();
            drop(victim.save());
            assert!(victim.token().is_some_and(|token| token != planted));
            done.store(true, Ordering::Relaxed);
        });
        assert_eq!(disk.store.session(Some(&planted)).unwrap().token(), None);
    }
}

fn saved_relaxed(store: &Store) -> (Session, Token) {
    let session = store.session(None).unwrap();
    session.insert("n", 1_u64).unwrap();
    drop(session.save());
    let token = session.token().unwrap();
    (session, token)
}

#[tokio::test]
async fn replay_after_logout_finds_nothing() {
    let mut disk = OnDisk::new();
    let app = app(&disk.store);
    let first = ask(&app, "/login", &[]).await.cookie();
    let second = ask_with(&app, "/login", &first).await.cookie();
    let out = ask_with(&app, "/logout", &second).await;
    assert!(out.set_cookies()[0].starts_with("__Host-id=; "), "{:?}", out.set_cookies());
    let replay = async |app: &Router| {
        for cookie in [&first, &second] {
            assert_eq!(ask_with(app, "/who", cookie).await.body, "");
            assert_ne!(ask_with(app, "/", cookie).await.cookie(), *cookie, "it does not come back by being used");
            assert_eq!(ask_with(app, "/who", cookie).await.body, "");
        }
    };
    replay(&app).await;
    drop(app);
    disk.reopen();
    replay(&self::app(&disk.store)).await;
    assert!(disk.store.sessions_of("victim").unwrap().is_empty());
}

/// A shared cache, as in a proxy: it keeps what it may, and serves it to requests that match.
#[derive(Default)]
struct SharedCache {
    kept: HashMap<String, Vec<Kept>>,
    hits: u32,
}

/// An answer that may be served to requests with the same values in these headers.
struct Kept {
    vary: Vec<(String, Vec<u8>)>,
    body: String,
    tokens: Vec<String>,
}

impl SharedCache {
    /// Returns the body and the tokens of the answer to `path`, from the cache if allowed.
    async fn ask(&mut self, app: &Router, path: &str, headers: &[(&str, &[u8])]) -> (String, Vec<String>) {
        let sent = |name: &str| {
            let found = headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
            found.map_or(Vec::new(), |(_, value)| value.to_vec())
        };
        let kept = self.kept.entry(path.to_owned()).or_default();
        let fits = |kept: &&Kept| kept.vary.iter().all(|(name, value)| sent(name) == *value);
        if let Some(Kept { body, tokens, .. }) = kept.iter().find(fits) {
            self.hits += 1;
            return (body.clone(), tokens.clone());
        }
        let answer = ask(app, path, headers).await;
        let tokens = [header::SET_COOKIE, HeaderName::from_static("session-token")];
        let tokens =
            tokens.iter().flat_map(|name| answer.headers.get_all(name)).map(|value| value.to_str().unwrap().to_owned());
        let (tokens, body) = (tokens.collect::<Vec<_>>(), answer.body.clone());
        if !forbids_sharing(&answer) {
            let vary = answer.headers.get_all(header::VARY).iter().flat_map(|value| value.to_str().unwrap().split(','));
            let vary = vary.map(|name| (name.trim().to_owned(), sent(name.trim()))).collect();
            kept.push(Kept { vary, body: body.clone(), tokens: tokens.clone() });
        }
        (body, tokens)
    }
}

fn forbids_sharing(answer: &Answer) -> bool {
    let values = answer.headers.get_all(header::CACHE_CONTROL).iter().map(|value| value.to_str().unwrap());
    values.flat_map(|value| value.split(',')).any(|directive| ["no-store", "private"].contains(&directive.trim()))
}

/// Every kind of answer, from an application that allows everything to be cached.
fn cacheable(layer: SessionLayer) -> Router {
    let n = |session: &Session| session.get::<u64>("n").unwrap().unwrap_or(0).to_string();
    let write = async move |session: Session| {
        session.update("writes", |n: Option<u64>| n.unwrap_or(0) + 1).unwrap();
        n(&session)
    };
    Router::new()
        .route("/static", get(async || "for everybody"))
        .route("/read", get(async move |session: Session| n(&session)))
        .route("/optional", get(async move |session: Option<Session>| session.as_ref().map_or("0".to_owned(), n)))
        .route("/fail", get(async move |session: Session| (StatusCode::NOT_FOUND, n(&session))))
        .route("/write", get(write))
        .route("/rotate", get(async |session: Session| session.rotate()))
        .route("/end", get(async |session: Session| session.destroy()))
        .layer(map_response(async |mut response: Response| {
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
            response
        }))
        .layer(layer)
}

#[tokio::test]
async fn session_confusion_no_shared_cache_gives_one_visitor_what_is_anothers() {
    for transport in [Transport::Cookie, Transport::Bearer] {
        let disk = OnDisk::new();
        let app = cacheable(SessionLayer::new(disk.store.clone()).transport(transport.clone()).unwrap());
        let mut cache = SharedCache::default();
        let mut seen: HashMap<String, u64> = HashMap::new();
        let presents = |token: &str| match transport {
            Transport::Cookie => ("cookie", format!("__Host-id={token}")),
            _ => ("authorization", format!("Bearer {token}")),
        };
        for visitor in 1..=20_u64 {
            let mut token = saved(&disk.store, visitor).1.expose();
            seen.insert(token.clone(), visitor);
            // The cookie's date is now renewed.
            disk.clock.advance(5 * crate::support::DAY);
            for path in ["/write", "/read", "/optional", "/fail", "/static", "/rotate", "/read", "/read", "/end", "/read"] {
                let (name, value) = presents(&token);
                let (body, tokens) = cache.ask(&app, path, &[(name, value.as_bytes())]).await;
                if let Ok(number) = body.parse::<u64>() {
                    assert!(number == visitor || number == 0, "visitor {visitor} got {number} at {path}");
                }
                for told in &tokens {
                    let told = told.trim_start_matches("__Host-id=").split(';').next().unwrap();
                    if !told.is_empty() {
                        assert_eq!(
                            *seen.entry(told.to_owned()).or_insert(visitor),
                            visitor,
                            "a token went to another at {path}"
                        );
                        told.clone_into(&mut token);
                    }
                }
            }
            // And a visitor without a token.
            for path in ["/write", "/read", "/optional", "/fail", "/rotate", "/end"] {
                let (body, tokens) = cache.ask(&app, path, &[]).await;
                assert!(body.parse::<u64>().is_ok_and(|number| number == 0) || body.is_empty(), "{path}: {body}");
                for told in tokens.iter().map(|told| told.trim_start_matches("__Host-id=").split(';').next().unwrap()) {
                    assert!(told.is_empty() || seen.insert(told.to_owned(), 1000 + visitor).is_none(), "{path}: a token twice");
                }
            }
        }
        assert!(cache.hits >= 39, "the cache works: {} hits", cache.hits);
    }
}

#[tokio::test]
async fn oversized_cookies_hide_nothing_and_cost_nothing_but_their_reading() {
    let disk = OnDisk::new();
    let (_, token) = saved(&disk.store, 42);
    let show = async |session: Session| session.get::<u64>("n").unwrap().map_or("none".to_owned(), |n| n.to_string());
    let app = Router::new().route("/", get(show)).layer(SessionLayer::new(disk.store.clone()));
    let good = format!("__Host-id={}", token.expose());
    let big = format!("x={}", "y".repeat(400_000));
    let many = "a=b; ".repeat(50_000);
    let headers: Vec<Vec<(&str, String)>> = vec![
        vec![("cookie", format!("{big}; {good}"))],
        vec![("cookie", format!("{good}; {big}"))],
        vec![("cookie", format!("{many}{good}"))],
        (0..99).map(|n| ("cookie", format!("c{n}=v"))).chain([("cookie", good.clone())]).collect(),
    ];
    let before = disk.store.stats();
    for headers in &headers {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        assert_eq!(ask(&app, "/", &headers).await.body, "42");
    }
    for hostile in [&format!("__Host-id={}", "A".repeat(400_000)), &format!("{big}; __Host-id"), &many] {
        assert_eq!(ask_with(&app, "/", hostile).await.body, "none");
    }
    let after = disk.store.stats();
    assert_eq!((after.memory_hits - before.memory_hits, after.disk_hits, after.forged, after.misses), (4, 0, 0, 0));
}

#[tokio::test]
async fn duplicate_cookies_of_whatever_order_choose_no_session() {
    let disk = OnDisk::new();
    let show = async |session: Session| session.get::<u64>("n").unwrap().map_or("none".to_owned(), |n| n.to_string());
    let app = Router::new().route("/", get(show)).layer(SessionLayer::new(disk.store.clone()));
    let pair = |token: &Token| format!("__Host-id={}", token.expose());
    let (mine, planted) = (saved(&disk.store, 1).1, saved(&disk.store, 2).1);
    let forged = sessile::testing::store().session(None).unwrap();
    forged.insert("n", 3).unwrap();
    forged.save().wait().unwrap();
    let forged = forged.token().unwrap();
    for (cookies, expected, ambiguous) in [
        (vec![pair(&mine), pair(&planted)], "none", 1),
        (vec![pair(&planted), pair(&mine)], "none", 1),
        (vec![pair(&mine), pair(&mine), pair(&planted)], "none", 1),
        (vec![pair(&forged), pair(&mine), pair(&planted)], "none", 1),
        (vec![pair(&mine), pair(&mine)], "1", 0),
        // Cookies of other origins do no harm, up to the eighth.
        (vec![pair(&forged), pair(&mine)], "1", 0),
        ([vec![pair(&forged); 7], vec![pair(&mine)]].concat(), "1", 0),
        ([vec![pair(&forged); 8], vec![pair(&mine)]].concat(), "none", 0),
    ] {
        let before = disk.store.stats().ambiguous;
        // In one header, and in one header each.
        assert_eq!(ask_with(&app, "/", &cookies.join("; ")).await.body, expected, "{cookies:?}");
        let headers: Vec<_> = cookies.iter().map(|cookie| ("cookie", cookie.as_bytes())).collect();
        assert_eq!(ask(&app, "/", &headers).await.body, expected, "{cookies:?}");
        assert_eq!(disk.store.stats().ambiguous - before, 2 * ambiguous, "{cookies:?}");
    }
}

#[tokio::test]
async fn header_injection_by_names_and_values_adds_no_header() {
    let store = sessile::testing::store();
    let injected = "x\r\nSet-Cookie: evil=1\r\n\r\n<script>";
    let layer = || SessionLayer::new(store.clone());
    assert!(matches!(layer().cookie(Cookie::new().name(injected)), Err(CookieError::NameCharacter { found: '\r' })));
    assert!(matches!(layer().cookie(Cookie::new().domain(injected)), Err(CookieError::NotADomain { .. })));
    assert!(matches!(
        layer().cookie(Cookie::new().path(format!("/{injected}"))),
        Err(CookieError::PathCharacter { found: '\r' })
    ));
    assert!(matches!(layer().cookie(Cookie::new().name("id; Domain=evil.example")), Err(CookieError::NameCharacter { .. })));
    assert!(HeaderName::from_bytes(injected.as_bytes()).is_err(), "so no transport goes by such a name");

    let set = async move |session: Session| {
        session.insert(injected, injected).unwrap();
        session.flash(Level::Error, injected).unwrap();
        session.set_label(injected).unwrap();
        session.sign_in(injected).unwrap();
    };
    let app = Router::new().route("/", get(set)).layer(layer());
    let clean = ask(&app, "/", &[]).await;
    let hostile = ask_with(&app, "/", "__Host-id=x%0d%0aSet-Cookie:%20evil=1; \"=%0d%0a").await;
    for answer in [clean, hostile] {
        let [cookie] = answer.set_cookies()[..] else { panic!("{:?}", answer.headers) };
        let names: Vec<_> = answer.headers.keys().map(HeaderName::as_str).collect();
        assert!(names.iter().all(|name| ["set-cookie", "vary", "cache-control", "content-length"].contains(name)), "{names:?}");
        assert!(!cookie.contains("evil") && cookie.matches(';').count() == 5, "{cookie}");
    }
}

#[test]
fn downgrade_no_tag_of_one_key_passes_for_anothers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sessions.redb");
    let (old, new) = ([1; 32], [2; 32]);
    let by = |keys: Keys| {
        let store = Store::builder().memory_budget(0).keys(keys).open(&path).unwrap();
        let token = saved(&store, 1).1.expose();
        store.close().unwrap();
        token
    };
    let (by_old, by_new) = (by(Keys::from(old)), by(Keys::from(new)));
    let store = Store::builder().memory_budget(0).keys(Keys::from(new).accept(old)).open(&path).unwrap();
    // A token is 128 random bits, 56 of MAC and 8 of key id: the last 10 characters and 4 bits before them are the tag's.
    let spliced = |random: &str, tag: &str| format!("{}{}", &random[..22], &tag[22..]);
    let id = |token: &str, id: &str| format!("{}{}", &token[..30], &id[30..]);
    for forged in [spliced(&by_old, &by_new), spliced(&by_new, &by_old), id(&by_old, &by_new), id(&by_new, &by_old)] {
        let before = store.stats();
        assert_eq!(n_of(&store, &Token::parse(forged.as_bytes()).unwrap()), None);
        assert_eq!(store.stats().forged, before.forged + 1);
    }
    for good in [by_old, by_new] {
        assert_eq!(n_of(&store, &Token::parse(good.as_bytes()).unwrap()), Some(1));
    }
}

/// Returns the work that was done, without the numbers that change by themselves.
fn work(before: &Stats, after: &Stats) -> [u64; 6] {
    let parts = |stats: &Stats| {
        [stats.memory_hits, stats.disk_hits, stats.misses, stats.forged, stats.commits + stats.syncs, stats.evictions]
    };
    let (before, after) = (parts(before), parts(after));
    std::array::from_fn(|at| after[at] - before[at])
}

#[test]
fn timing_an_id_costs_the_same_work_however_much_of_it_is_right() {
    let disk = OnDisk::with(|builder| builder.memory_budget(0));
    let live = saved(&disk.store, 1).1.expose();
    // Closed: every access to the disk is an error now.
    disk.store.close().unwrap();
    let wrong = |at: usize| if live.as_bytes()[at] == b'A' { "B" } else { "A" };
    for right in 0..32 {
        // The beginning is right, one character is wrong, and the rest is right or wrong.
        for rest in [live[right + 1..].to_owned(), "A".repeat(31 - right)] {
            let guess = format!("{}{}{rest}", &live[..right], wrong(right));
            let before = disk.store.stats();
            assert_eq!(n_of(&disk.store, &Token::parse(guess.as_bytes()).unwrap()), None);
            assert_eq!(work(&before, &disk.store.stats()), [0, 0, 0, 1, 0, 0], "{right} characters are right");
        }
    }
}

#[test]
fn guessing_ids_finds_no_session_and_does_no_work() {
    const GUESSES: u64 = 100_000;
    let disk = OnDisk::new();
    let tokens: Vec<_> = (0..100).map(|n| saved(&disk.store, n).1).collect();
    let file_bytes = disk.store.stats().file_bytes;
    let before = disk.store.stats();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut guess = [0_u8; 32];
    for _ in 0..GUESSES {
        for character in &mut guess {
            // Xorshift: any distribution will do, and a failure can be repeated.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *character = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[(state >> 58) as usize];
        }
        assert_eq!(disk.store.session(Token::parse(&guess).as_ref()).unwrap().token(), None);
    }
    let after = disk.store.stats();
    assert_eq!(work(&before, &after), [0, 0, 0, GUESSES, 0, 0]);
    assert_eq!((after.memory_sessions, after.file_bytes), (before.memory_sessions, file_bytes), "nothing is kept of a guess");

    // Neither does anything else that can be known of a session: the file's keys, and what pages show.
    disk.store.close().unwrap();
    let file = fs::read(disk.dir.path().join("sessions.redb")).unwrap();
    let store = Store::builder().clock(disk.clock.clone()).open(disk.dir.path().join("sessions.redb")).unwrap();
    let session = store.session(Some(&tokens[0])).unwrap();
    let handle = session.handle().unwrap().to_string();
    assert_eq!(Token::parse(handle.as_bytes()), None);
    assert_eq!(store.session(Token::parse(format!("{handle}{handle}").as_bytes()).as_ref()).unwrap().token(), None);
    let before = store.stats();
    let mut asked = 0;
    for window in file.windows(24).step_by(8) {
        let token = Token::parse(base64url(window).as_bytes()).unwrap();
        assert_eq!(store.session(Some(&token)).unwrap().token(), None);
        asked += 1;
    }
    assert_eq!(work(&before, &store.stats()), [0, 0, 0, asked, 0, 0], "a stolen file does not log an attacker in");
}

fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let characters = bytes.chunks(3).flat_map(|three| {
        let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        [18, 12, 6, 0].map(|shift| char::from(ALPHABET[(bits >> shift & 63) as usize]))
    });
    characters.collect()
}
