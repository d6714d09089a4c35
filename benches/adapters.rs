//! What a request costs in an application that keeps tower-sessions or actix-session, and only has another store.
//!
//! Measured twice: what a request adds through that crate, of which most is the crate's own work and the same for every store; and
//! what the store itself takes to load a session. The other stores that are published for tower-sessions are for its version 0.14,
//! and compared in `published`; for actix-session no SQLite store is published.

use std::{path::Path, sync::Arc};

use actix_http::Request;
use actix_session::{
    Session, SessionMiddleware,
    storage::{CookieSessionStore, SessionStore as ActixStore},
};
use actix_web::{
    App, Error,
    body::MessageBody,
    cookie::Key,
    dev::{Service, ServiceResponse},
    http::header::{COOKIE, SET_COOKIE},
    rt::{System, SystemRunner},
    test,
    web::get,
};
use axum::http::HeaderValue;
use sessile::{Durability, Store};
use sessile_actix_session::ActixSessions;
use sessile_benches::{
    Target, USER_ID, Work, bare_app, block_on, call, compare, report, row, sized, tower_around, tower_fill, typical,
};
use sessile_tower_sessions::TowerSessions;
use tempfile::TempDir;
use tower_sessions::{MemoryStore, SessionStore, session::Id};

/// Sessions that take turns.
const SESSIONS: u64 = 1000;
const CALLS: usize = 50;

fn main() {
    let dir = TempDir::new().expect("there is a temporary directory");
    tower(&open(dir.path(), "tower"));
    actix(&open(dir.path(), "actix"));
}

/// Relaxed, which is what SQLite's `NORMAL` promises.
fn open(directory: &Path, name: &str) -> Store {
    Store::builder().durability(Durability::Relaxed).open(directory.join(name)).expect("the directory is new")
}

/// A store of tower-sessions and the ids of the sessions in it.
struct Filled<S> {
    store: Arc<S>,
    ids: Vec<String>,
}

impl<S: SessionStore + Clone> Filled<S> {
    fn new(store: S) -> Self {
        let store = Arc::new(store);
        let ids = tower_fill(&store, SESSIONS);
        Self { store, ids }
    }

    /// Loads one session after the other.
    fn loading(&self) -> impl FnMut(usize) {
        let ids: Vec<Id> = self.ids.iter().map(|id| id.parse().expect("it was printed by the same type")).collect();
        let (store, mut next) = (self.store.clone(), 0);
        move |calls| {
            for _ in 0..calls {
                assert!(block_on(store.load(&ids[next % ids.len()])).expect("the store works").is_some());
                next += 1;
            }
        }
    }

    /// Requests of one visitor after the other.
    fn requesting(&self, work: Work) -> impl FnMut(usize) + use<S> {
        let cookies: Vec<_> = self.ids.iter().map(|id| cookie(&format!("id={id}"))).collect();
        let (mut app, mut next) = (tower_around(&*self.store, work), 0);
        move |calls| {
            for _ in 0..calls {
                let response = call(&mut app, &cookies[next % cookies.len()]);
                assert!(!response.headers().contains_key(SET_COOKIE.as_str()) || work == Work::Write, "the session was found");
                next += 1;
            }
        }
    }
}

fn cookie(text: &str) -> HeaderValue {
    HeaderValue::try_from(text).expect("it is ASCII")
}

fn tower(store: &Store) {
    let ours = Filled::new(TowerSessions::new(store.clone()));
    let memory = Filled::new(MemoryStore::default());
    for (work, what) in [(Work::Read, "reads one key"), (Work::Write, "reads and writes")] {
        let (mut app, any) = (bare_app(), cookie("theme=dark"));
        let bare = &mut |calls| (0..calls).for_each(|_| assert!(call(&mut app, &any).status().is_success()));
        let [bare, ours, memory] =
            compare(sized(2_000, 20), CALLS, [bare, &mut ours.requesting(work), &mut memory.requesting(work)]);
        print(
            &format!("tower-sessions, request that {what}, added"),
            work == Work::Read,
            ours - bare,
            "MemoryStore",
            memory - bare,
        );
    }
    let [ours, memory] = compare(sized(2_000, 20), CALLS, [&mut ours.loading(), &mut memory.loading()]);
    print("tower-sessions, load by the store alone", true, ours, "MemoryStore", memory);
}

/// Prints what each took; against its target if it is a read.
fn print(what: &str, is_read: bool, ours: f64, name: &str, other: f64) {
    if is_read {
        report("adapter", what, other / ours, &format!("x less than {name}"), Target::AtLeast(2.0));
    } else {
        println!("{what}:");
    }
    row("sessile", &[(ours, "ns")]);
    row(name, &[(other, "ns")]);
}

async fn fill(session: Session) -> Result<&'static str, Error> {
    for (key, value) in typical(1) {
        session.insert(key, value)?;
    }
    Ok("filled")
}

async fn read(session: Session) -> Result<&'static str, Error> {
    Ok(if session.get::<u64>(USER_ID)?.is_some() { "found" } else { "none" })
}

async fn write(session: Session) -> Result<&'static str, Error> {
    let visits = session.get::<u64>("visits")?.unwrap_or(0);
    session.insert("visits", visits + 1)?;
    read(session).await
}

/// The application, which gets its sessions from `store`.
async fn actix_app(
    store: impl ActixStore + 'static,
    key: Key,
) -> impl Service<Request, Response = ServiceResponse, Error = Error> {
    let app = App::new().wrap(SessionMiddleware::new(store, key)).route("/fill", get().to(fill));
    test::init_service(app.route("/read", get().to(read)).route("/write", get().to(write))).await
}

fn asked(path: &str, cookie: Option<&HeaderValue>) -> Request {
    let request = test::TestRequest::with_uri(path);
    match cookie {
        Some(cookie) => request.insert_header((COOKIE, cookie.as_bytes())).to_request(),
        None => request.to_request(),
    }
}

/// Requests to `app` at `path`, of one visitor after the other.
fn visiting<'a>(
    runner: &'a SystemRunner,
    app: &'a impl Service<Request, Response = ServiceResponse, Error = Error>,
    path: &'static str,
) -> impl FnMut(usize) + 'a {
    let cookies: Vec<_> = runner.block_on(async {
        let mut cookies = Vec::new();
        for _ in 0..SESSIONS {
            let response = test::call_service(app, asked("/fill", None)).await;
            let set = response.headers().get(SET_COOKIE).expect("a session was made").to_str().expect("it is ASCII");
            cookies.push(cookie(set.split(';').next().expect("there is always a first part")));
        }
        cookies
    });
    let mut next = 0;
    move |calls| {
        runner.block_on(async {
            for _ in 0..calls {
                let response = test::call_service(app, asked(path, Some(&cookies[next % cookies.len()]))).await;
                let body = response.into_body().try_into_bytes().expect("it is a text");
                assert_eq!(body, "found");
                next += 1;
            }
        });
    }
}

fn actix(store: &Store) {
    let (runner, key) = (System::new(), Key::generate());
    let bare = runner.block_on(test::init_service(App::new().route("/", get().to(async || "found"))));
    let ours = runner.block_on(actix_app(ActixSessions::new(store.clone()), key.clone()));
    let in_cookie = runner.block_on(actix_app(CookieSessionStore::default(), key));
    let any = cookie("theme=dark");
    for (path, what) in [("/read", "reads one key"), ("/write", "reads and writes")] {
        let bare = &mut |calls| {
            runner.block_on(async {
                for _ in 0..calls {
                    assert!(test::call_service(&bare, asked("/", Some(&any))).await.status().is_success());
                }
            });
        };
        let [bare, ours, in_cookie] = compare(
            sized(2_000, 20),
            CALLS,
            [bare, &mut visiting(&runner, &ours, path), &mut visiting(&runner, &in_cookie, path)],
        );
        let what = format!("actix-session, request that {what}, added");
        print(&what, path == "/read", ours - bare, "CookieSessionStore", in_cookie - bare);
    }
}
