//! What a client sees of its session: which headers an answer has, and which cookies of a request count.

use std::sync::Arc;

use axum::{
    Router,
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use sessile::{
    Cookie, Error, Session, SessionLayer, Store, Token, testing,
    web::{CookieError, SameSite},
};
use tokio::sync::Notify;

use crate::support::{Answer, DAY, OnDisk, ask, ask_with, n_of, saved};

/// An application that does what its paths name.
fn app(layer: SessionLayer) -> Router {
    async fn read(session: Session) -> Result<String, Error> {
        Ok(session.get::<u64>("n")?.map_or("nothing".to_owned(), |n| n.to_string()))
    }
    async fn count(session: Session) -> Result<String, Error> {
        Ok(session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1)?.to_string())
    }
    async fn same(session: Session) -> Result<(), Error> {
        if let Some(n) = session.get::<u64>("n")? {
            session.insert("n", n)?;
        }
        Ok(())
    }
    async fn teapot(session: Session) -> Result<StatusCode, Error> {
        count(session).await.map(|_| StatusCode::IM_A_TEAPOT)
    }
    async fn fail(session: Session) -> Result<StatusCode, Error> {
        count(session.clone()).await?;
        session.rotate();
        Ok(StatusCode::INTERNAL_SERVER_ERROR)
    }
    async fn fail_late(session: Session) -> Result<StatusCode, Error> {
        count(session.clone()).await?;
        session.save().await?;
        fail(session).await
    }
    async fn maybe(session: Option<Session>) -> &'static str {
        if session.is_some() { "some" } else { "none" }
    }
    async fn cached(session: Session) -> Result<impl IntoResponse, Error> {
        let text = count(session).await?;
        Ok(([(header::CACHE_CONTROL, "public, max-age=60"), (header::VARY, "Origin")], text))
    }
    async fn strict(session: Session) -> Result<impl IntoResponse, Error> {
        let text = count(session).await?;
        Ok(([(header::CACHE_CONTROL, "private, no-store, max-age=0"), (header::VARY, "cookie")], text))
    }
    Router::new()
        .route("/static", get(|| async { "static" }))
        .route("/read", get(read))
        .route("/count", get(count))
        .route("/same", get(same))
        .route("/teapot", get(teapot))
        .route("/fail", get(fail))
        .route("/fail-late", get(fail_late))
        .route("/maybe", get(maybe))
        .route("/cached", get(cached))
        .route("/strict", get(strict))
        .route("/rotate", get(|session: Session| async move { session.rotate() }))
        .route("/destroy", get(|session: Session| async move { session.destroy() }))
        .layer(layer)
}

fn https(store: &Store) -> Router {
    app(SessionLayer::new(store.clone()))
}

/// The token in the one cookie that is set.
#[track_caller]
fn token(answer: &Answer) -> Token {
    let cookie = answer.cookie();
    Token::parse(cookie.split_once('=').unwrap().1.as_bytes()).unwrap()
}

/// Checks an answer's headers for caches.
#[track_caller]
fn says(answer: &Answer, vary: Option<&str>, cache_control: Option<&str>) {
    assert_eq!((answer.header(header::VARY), answer.header(header::CACHE_CONTROL)), (vary, cache_control));
}

#[tokio::test]
async fn a_page_without_a_session_says_nothing_of_one() {
    let store = testing::store();
    let cookie = format!("__Host-id={}", saved(&store, 1).1.expose());
    for cookie in ["", &cookie] {
        let answer = ask_with(&https(&store), "/static", cookie).await;
        assert!(answer.set_cookies().is_empty());
        says(&answer, None, None);
    }
    assert_eq!(store.stats().memory_hits, 0, "no handler used it");
}

#[tokio::test]
async fn a_cookie_is_set_only_when_there_is_something_new_to_tell() {
    let store = testing::store();
    let app = https(&store);
    let none = ask(&app, "/read", &[]).await;
    assert!(none.set_cookies().is_empty(), "nothing is stored");
    says(&none, Some("Cookie"), Some("private"));

    let first = ask(&app, "/count", &[]).await;
    let [text] = first.set_cookies()[..] else { panic!("{:?}", first.set_cookies()) };
    let expected = format!("__Host-id={}; Path=/; Max-Age=756000; Secure; HttpOnly; SameSite=Lax", token(&first).expose());
    assert_eq!(text, expected);
    says(&first, Some("Cookie"), Some("no-store"));

    let cookie = first.cookie();
    for path in ["/read", "/count", "/same", "/maybe"] {
        let answer = ask_with(&app, path, &cookie).await;
        assert!(answer.set_cookies().is_empty(), "{path}: the client knows all that");
        says(&answer, Some("Cookie"), Some("private"));
    }

    let rotated = ask_with(&app, "/rotate", &cookie).await;
    assert_ne!(rotated.cookie(), cookie);
    says(&rotated, Some("Cookie"), Some("no-store"));

    let cookie = rotated.cookie();
    let ended = ask_with(&app, "/destroy", &cookie).await;
    assert_eq!(ended.cookie(), "__Host-id=");
    let deletion = "__Host-id=; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Secure; HttpOnly; SameSite=Lax";
    assert_eq!(ended.set_cookies(), [deletion]);
    says(&ended, Some("Cookie"), Some("no-store"));

    let again = ask_with(&app, "/destroy", &cookie).await;
    assert!(again.set_cookies().is_empty(), "that session was over; by now the client may hold another");
}

#[tokio::test]
async fn a_later_date_goes_out_with_each_use_that_is_written() {
    let disk = OnDisk::new();
    let app = https(&disk.store);
    let first = ask(&app, "/count", &[]).await;
    let cookie = first.cookie();
    disk.clock.advance(DAY / 2);
    assert!(ask_with(&app, "/read", &cookie).await.set_cookies().is_empty());
    disk.clock.advance(DAY / 2);
    let renewed = ask_with(&app, "/read", &cookie).await;
    assert_eq!(renewed.cookie(), cookie, "the same token");
    assert!(renewed.set_cookies()[0].contains("; Max-Age=756000;"));
    says(&renewed, Some("Cookie"), Some("no-store"));
    assert!(ask_with(&app, "/count", &cookie).await.set_cookies().is_empty(), "once is enough");
}

#[tokio::test]
async fn a_cookie_for_the_browser_session_is_never_renewed() {
    let disk = OnDisk::new();
    let app = app(SessionLayer::new(disk.store.clone()).cookie(Cookie::new().browser_session()).unwrap());
    let first = ask(&app, "/count", &[]).await;
    assert!(!first.set_cookies()[0].contains("Max-Age"));
    disk.clock.advance(4 * DAY);
    assert!(ask_with(&app, "/count", &first.cookie()).await.set_cookies().is_empty());
    assert_eq!(ask_with(&app, "/rotate", &first.cookie()).await.set_cookies().len(), 1);
}

#[tokio::test]
async fn what_the_application_says_of_caches_is_only_ever_made_stricter() {
    let store = testing::store();
    let app = https(&store);
    let first = ask(&app, "/cached", &[]).await;
    let vary: Vec<_> = first.headers.get_all(header::VARY).iter().collect();
    assert_eq!(vary, ["Origin, Cookie"], "one line: of several, some caches read the last one only");
    assert_eq!(first.header(header::CACHE_CONTROL), Some("no-store"));
    let second = ask_with(&app, "/cached", &first.cookie()).await;
    assert_eq!(second.header(header::CACHE_CONTROL), Some("public, max-age=60"), "no cookie, so it is not ours to say");
    assert_eq!(second.headers.get_all(header::VARY).iter().count(), 1);
    says(&ask(&app, "/strict", &[]).await, Some("cookie"), Some("private, no-store, max-age=0"));
}

#[tokio::test]
async fn a_shared_cache_that_misses_our_vary_keeps_no_page_of_a_session() {
    // As compression outside of the session layer does: its line is the last one, which is all that nginx before 1.23 reads.
    let compress = async |mut response: axum::response::Response| {
        response.headers_mut().append(header::VARY, header::HeaderValue::from_static("accept-encoding"));
        response
    };
    let store = testing::store();
    let app = https(&store).layer(axum::middleware::map_response(compress));
    let cookie = ask(&app, "/count", &[]).await.cookie();
    for path in ["/read", "/maybe", "/count", "/teapot", "/fail"] {
        let answer = ask_with(&app, path, &cookie).await;
        assert_eq!(answer.header(header::CACHE_CONTROL), Some("private"), "{path}");
        let vary: Vec<_> = answer.headers.get_all(header::VARY).iter().collect();
        assert_eq!(vary, ["Cookie", "accept-encoding"], "{path}");
    }
    assert_eq!(ask(&app, "/static", &[]).await.header(header::CACHE_CONTROL), None, "no session, so anybody may keep it");
}

#[tokio::test]
async fn a_server_error_commits_nothing_unless_asked() {
    let store = testing::store();
    let (_, token) = saved(&store, 1);
    let cookie = format!("__Host-id={}", token.expose());
    let answer = ask_with(&https(&store), "/fail", &cookie).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(answer.set_cookies().is_empty(), "the old token is still the right one");
    says(&answer, Some("Cookie"), Some("private"));
    assert_eq!(n_of(&store, &token), Some(1));

    assert!(ask(&https(&store), "/fail", &[]).await.set_cookies().is_empty());
    assert_eq!(store.stats().commits, 1);

    let asked = app(SessionLayer::new(store.clone()).commit_on_server_error());
    let answer = ask_with(&asked, "/fail", &cookie).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(n_of(&store, &self::token(&answer)), Some(2));
    assert_eq!(n_of(&store, &token), None);
}

#[tokio::test]
async fn what_was_saved_before_a_server_error_stays_and_is_told() {
    let store = testing::store();
    let answer = ask(&https(&store), "/fail-late", &[]).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(n_of(&store, &token(&answer)), Some(1));
    says(&answer, Some("Cookie"), Some("no-store"));
}

#[tokio::test]
async fn a_client_error_commits() {
    let store = testing::store();
    let answer = ask(&https(&store), "/teapot", &[]).await;
    assert_eq!(answer.status, StatusCode::IM_A_TEAPOT);
    assert_eq!(n_of(&store, &token(&answer)), Some(1));
}

#[tokio::test]
async fn a_session_that_cannot_be_read_or_stored_is_an_error_to_the_client() {
    // The records are in memory, so the commit fails.
    let store = testing::store();
    let app = https(&store);
    let requests = ["/count", "/rotate", "/destroy"].map(|path| (path, format!("__Host-id={}", saved(&store, 1).1.expose())));
    store.close().unwrap();
    for (path, cookie) in requests.into_iter().chain([("/count", String::new())]) {
        let answer = ask_with(&app, path, &cookie).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{path}");
        assert!(answer.set_cookies().is_empty(), "{path}: nothing happened, so nothing is told");
        assert_eq!(answer.body, "", "{path}: no page that claims success");
        says(&answer, Some("Cookie"), Some("no-store"));
    }

    // It is only on disk, so the read fails.
    let disk = OnDisk::with(|builder| builder.memory_budget(0));
    let cookie = format!("__Host-id={}", saved(&disk.store, 1).1.expose());
    disk.store.close().unwrap();
    for path in ["/read", "/maybe"] {
        let answer = ask_with(&https(&disk.store), path, &cookie).await;
        assert!(answer.status.is_server_error(), "{path}: {}, {}", answer.status, answer.body);
        assert!(answer.set_cookies().is_empty(), "{path}");
        says(&answer, Some("Cookie"), Some("private"));
    }
}

#[tokio::test]
async fn without_a_layer_the_extractor_says_so() {
    let app = Router::new().route("/", get(|_: Session| async { "session" }));
    assert_eq!(ask(&app, "/", &[]).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(matches!(Session::of_request(&HeaderMap::new()), Err(Error::NoLayer)));
}

#[tokio::test]
async fn an_optional_session_is_there_if_it_is_stored() {
    let store = testing::store();
    let app = https(&store);
    assert_eq!(ask(&app, "/maybe", &[]).await.body, "none");
    let cookie = ask(&app, "/count", &[]).await.cookie();
    assert_eq!(ask_with(&app, "/maybe", &cookie).await.body, "some");
    ask_with(&app, "/destroy", &cookie).await;
    assert_eq!(ask_with(&app, "/maybe", &cookie).await.body, "none");
}

/// An application with a handler that loads its session, waits, and writes.
fn with_slow(store: &Store) -> (Router, Arc<Notify>, Arc<Notify>) {
    let (loaded, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = {
        let (loaded, go) = (loaded.clone(), go.clone());
        move |session: Session| async move {
            loaded.notify_one();
            go.notified().await;
            session.insert("n", 99_u64)?;
            session.save().await?;
            session.insert("n", 100_u64)
        }
    };
    let app = app(SessionLayer::new(store.clone()));
    let layer = SessionLayer::new(store.clone());
    (app.route("/slow", get(slow).layer(layer)), loaded, go)
}

#[tokio::test]
async fn g3_a_slow_request_neither_revives_nor_replaces_what_ended_meanwhile() {
    for end in ["/destroy", "/rotate"] {
        let store = testing::store();
        let (app, loaded, go) = with_slow(&store);
        let first = ask(&app, "/count", &[]).await;
        let slow = tokio::spawn({
            let (app, cookie) = (app.clone(), first.cookie());
            async move { ask_with(&app, "/slow", &cookie).await }
        });
        loaded.notified().await;
        let ended = ask_with(&app, end, &first.cookie()).await;
        go.notify_one();
        let late = slow.await.unwrap();
        assert_eq!(late.status, StatusCode::CONFLICT, "{end}: the page claims to have stored a lost value");
        assert!(late.set_cookies().is_empty(), "{end}: the client keeps the newer token: {:?}", late.set_cookies());
        assert_eq!(store.stats().dropped_commits, 1, "{end}");
        assert_eq!(n_of(&store, &token(&first)), None, "{end}");
        if end == "/rotate" {
            assert_eq!(n_of(&store, &token(&ended)), Some(1));
        }
        assert_eq!(store.stats().memory_sessions, u64::from(end == "/rotate"));
    }
}

#[tokio::test]
async fn the_prefix_is_the_strictest_that_the_attributes_allow() {
    let store = testing::store();
    let names = [
        (Cookie::new(), "__Host-id="),
        (Cookie::new().name("s").same_site(SameSite::Strict), "__Host-s="),
        (Cookie::new().domain("example.com"), "__Secure-id="),
        (Cookie::new().path("/app"), "__Secure-id="),
    ];
    for (cookie, name) in names {
        let app = app(SessionLayer::new(store.clone()).cookie(cookie).unwrap());
        let first = ask(&app, "/count", &[]).await;
        assert!(first.cookie().starts_with(name), "{name}: {:?}", first.set_cookies());
        assert!(first.set_cookies()[0].contains("; Secure; HttpOnly"));
        assert_eq!(ask_with(&app, "/count", &first.cookie()).await.body, "2", "{name}");
    }
}

#[test]
fn a_cookie_that_browsers_would_drop_is_refused_when_it_is_configured() {
    let refused = |cookie| SessionLayer::new(testing::store()).cookie(cookie).unwrap_err();
    for name in ["__Host-id", "__host-id", "__SECURE-id", "__Http-id"] {
        assert!(matches!(refused(Cookie::new().name(name)), CookieError::NamePrefix { .. }), "{name}");
    }
    assert_eq!(refused(Cookie::new().name("a b")), CookieError::NameCharacter { found: ' ' });
    assert!(matches!(refused(Cookie::new().domain("10.0.0.1")), CookieError::NotADomain { .. }));
    // `__Host-`, the name and 32 characters of token are at most 4096 bytes.
    assert!(SessionLayer::new(testing::store()).cookie(Cookie::new().name("n".repeat(4057))).is_ok());
    let too_long = refused(Cookie::new().name("n".repeat(4058)));
    assert_eq!(too_long, CookieError::NameTooLong { found_bytes: 4097, limit_bytes: 4096 });
    let plain = SessionLayer::new(testing::store()).plain_http_on_loopback();
    assert_eq!(plain.cookie(Cookie::new().same_site(SameSite::None)).unwrap_err(), CookieError::SameSiteNoneNeedsHttps);
}

#[tokio::test]
async fn plain_http_is_for_loopback_alone() {
    let store = testing::store();
    let app = app(SessionLayer::new(store.clone()).plain_http_on_loopback());
    for host in ["localhost:3000", "127.0.0.1", "[::1]:8080", "app.localhost", "localhost.", "127.1:3000", "[::ffff:127.0.0.1]"]
    {
        let answer = ask(&app, "/count", &[("host", host.as_bytes())]).await;
        assert_eq!(answer.status, StatusCode::OK, "{host}");
        let [cookie] = answer.set_cookies()[..] else { panic!("{host}: {:?}", answer.set_cookies()) };
        assert!(cookie.starts_with("id-") && cookie.ends_with("; Path=/; Max-Age=756000; HttpOnly; SameSite=Lax"), "{cookie}");
    }
    let commits = store.stats().commits;
    let others: [&[(&str, &[u8])]; 7] = [
        &[],
        &[("host", b"example.com")],
        &[("host", b"192.168.1.7:3000")],
        &[("host", b"0.0.0.0")],
        &[("host", b"localhost.example.com")],
        &[("host", b"\xff")],
        &[("host", b"localhost"), ("host", b"example.com")],
    ];
    for headers in others {
        let answer = ask(&app, "/count", headers).await;
        assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST, "{headers:?}");
        assert!(answer.set_cookies().is_empty() && answer.body.contains("serves loopback only"), "{headers:?}");
    }
    let elsewhere = ask(&app, "http://example.com/count", &[("host", b"localhost")]).await;
    assert_eq!(elsewhere.status, StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(store.stats().commits, commits, "nothing was done");
}

/// A session with 7 in it, and an application that reads it; checks which `Cookie` headers lead to it.
struct Door {
    store: Store,
    app: Router,
    mine: String,
}

impl Door {
    fn new() -> Self {
        let store = testing::store();
        let mine = saved(&store, 7).1.expose();
        Self { app: https(&store), store, mine }
    }

    /// Returns what is found with these headers, in which `@` is replaced by the token.
    #[track_caller]
    fn asked(&self, headers: &[&[u8]]) -> impl Future<Output = Answer> {
        let (token, app) = (self.mine.clone(), self.app.clone());
        let replaced = headers.iter().map(|header| {
            let parts: Vec<_> = header.split(|byte| *byte == b'@').collect();
            ("cookie", parts.join(token.as_bytes()))
        });
        let headers: Vec<_> = replaced.collect();
        async move {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_slice())).collect();
            ask(&app, "/read", &headers).await
        }
    }

    async fn opens(&self, headers: &[&[u8]]) {
        let answer = self.asked(headers).await;
        assert_eq!(answer.body, "7", "{headers:?}");
    }

    async fn stays_shut(&self, headers: &[&[u8]]) {
        let answer = self.asked(headers).await;
        assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "nothing"), "{headers:?}");
        assert!(answer.set_cookies().is_empty(), "{headers:?}");
    }
}

#[tokio::test]
async fn the_cookie_is_found_wherever_it_stands() {
    let door = Door::new();
    door.opens(&[b"__Host-id=@"]).await;
    door.opens(&[b"a=1; __Host-id=@; b=2"]).await;
    door.opens(&[b"a=1", b"b=2;__Host-id=@", b"c=3"]).await;
    door.opens(&[b"\t __Host-id \t=\t @ \t;"]).await;
    door.opens(&[b";;=;;a;__Host-id=@"]).await;
    door.opens(&[b"a=\xff\xfe\x80; __Host-id=@", b"\xc3\x28=\xff"]).await;
    door.opens(&[b"\xff", b"__Host-id=@"]).await;
    // No quote and no `$Version` swallows what follows it.
    door.opens(&[b"$Version=1; a=\"; __Host-id=@; b=\""]).await;
}

#[tokio::test]
async fn no_other_name_or_value_stands_for_it() {
    let door = Door::new();
    let names: [&[u8]; 8] = [
        b"__host-id=@",
        b"%5F_Host-id=@",
        b"__Host_id=@",
        b"..Host-id=@",
        b"id=@",
        b"__Host-idx=@",
        b"x__Host-id=@",
        b"__Host-id @",
    ];
    let nameless: [&[u8]; 5] = [b"=__Host-id=@", b" =__Host-id=@", b"==@", b"@", b"__Host-id; =@"];
    let spaces =
        ["\u{a0}__Host-id=@", "\u{2000}__Host-id=@", "__Host-id\u{3000}=@", "__Host-id=\u{a0}@", "__Host-id=@\u{2003}"];
    let values: [&[u8]; 6] =
        [b"__Host-id=", b"__Host-id=\"@\"", b"__Host-id=@@", b"__Host-id=@=", b"__Host-id=x@", b"__Host-id=\xff@"];
    for header in names.into_iter().chain(nameless).chain(spaces.map(str::as_bytes)).chain(values) {
        door.stays_shut(&[header]).await;
    }
    assert_eq!(door.store.stats().ambiguous, 0);
}

#[tokio::test]
async fn a_token_elsewhere_than_in_the_cookie_is_ignored() {
    let door = Door::new();
    let answer = ask(&door.app, &format!("/read?__Host-id={0}&id={0}", door.mine), &[]).await;
    assert_eq!(answer.body, "nothing");
    let token = door.mine.as_bytes();
    let headers = [("authorization", token), ("x-session", token), ("set-cookie", token), ("__Host-id", token)];
    assert_eq!(ask(&door.app, "/read", &headers).await.body, "nothing");
}

#[tokio::test]
async fn of_several_cookies_the_one_that_is_ours_counts() {
    let door = Door::new();
    let forged = "A".repeat(32);
    let (before, after) = (format!("__Host-id={forged}; __Host-id=@"), format!("__Host-id=@; __Host-id={forged}"));
    door.opens(&[b"__Host-id=@; __Host-id=@"]).await;
    door.opens(&[b"__Host-id=@", b"__Host-id=@"]).await;
    door.opens(&[before.as_bytes()]).await;
    door.opens(&[after.as_bytes()]).await;
    door.opens(&[b"__Host-id=; __Host-id=garbage; __Host-id=@"]).await;
    assert_eq!(door.store.stats().ambiguous, 0);
}

#[tokio::test]
async fn two_tokens_of_ours_are_none_because_one_was_planted() {
    let door = Door::new();
    let other = saved(&door.store, 8).1.expose();
    let both = [format!("__Host-id=@; __Host-id={other}"), format!("__Host-id={other}; __Host-id=@")];
    for both in &both {
        door.stays_shut(&[both.as_bytes()]).await;
    }
    let other = format!("__Host-id={other}");
    door.stays_shut(&[b"__Host-id=@", other.as_bytes()]).await;
    door.stays_shut(&[b"__Host-id=@; __Host-id=@", other.as_bytes()]).await;
    assert_eq!(door.store.stats().ambiguous, 4);
}

#[tokio::test]
async fn garbage_in_any_amount_is_no_session_and_no_error() {
    let door = Door::new();
    let candidates = |n: usize| format!("{}__Host-id=@", "__Host-id=x; ".repeat(n));
    door.opens(&[candidates(7).as_bytes()]).await;
    door.stays_shut(&[candidates(8).as_bytes()]).await;
    door.opens(&[format!("a={}; __Host-id=@", "x".repeat(1 << 20)).as_bytes()]).await;
    door.opens(&[format!("{}__Host-id=@", ";".repeat(1 << 20)).as_bytes()]).await;
    door.stays_shut(&[format!("__Host-id=@{}", "x".repeat(1 << 20)).as_bytes()]).await;
    door.stays_shut(&[format!("__Host-id={}", "=".repeat(1 << 20)).as_bytes()]).await;
}

#[tokio::test]
async fn unknown_ids_and_their_logouts_store_nothing() {
    let disk = OnDisk::new();
    let app = https(&disk.store);
    for n in 0..300_u32 {
        let cookie = format!("__Host-id={n:032}");
        for path in ["/read", "/destroy", "/rotate", "/maybe"] {
            let answer = ask_with(&app, path, &cookie).await;
            assert_eq!((answer.status, answer.set_cookies().len()), (StatusCode::OK, 0), "{path}");
        }
    }
    let stats = disk.store.stats();
    assert_eq!((stats.commits, stats.memory_sessions, stats.disk_sessions), (0, 0, 0));
    let adopted = ask_with(&app, "/count", &format!("__Host-id={:032}", 7)).await;
    assert_ne!(adopted.cookie(), format!("__Host-id={:032}", 7), "an id that a client chose is never taken");
}
