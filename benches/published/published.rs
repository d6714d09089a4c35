//! tower-sessions on the stores that its users have, each as it is published, and on sessile.
//!
//! What a request adds to an application, and what the store alone takes to load a session. Our own layer stands beside them: what
//! there is to gain by more than one line. Redis is compared if `redis-server` or `valkey-server` is there.

#[path = "../src/random.rs"]
#[expect(dead_code, reason = "one needs a part of it")]
mod random;
mod server;
#[path = "../src/timing.rs"]
#[expect(dead_code, reason = "one needs a part of it")]
mod timing;
#[path = "../src/typical.rs"]
mod typical;

use std::{path::Path, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderValue, header::COOKIE},
    response::Response,
    routing::get,
};
use sessile::{Durability, SessionLayer, Store};
use sessile_tower_sessions::TowerSessions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tower::{Layer, Service, ServiceExt};
use tower_sessions::{CachingSessionStore, MemoryStore, Session, SessionManagerLayer, SessionStore, session::Id};
use tower_sessions_moka_store::MokaStore;
use tower_sessions_sqlx_store::SqliteStore;

use self::{
    random::Random,
    server::Server,
    timing::{Contestant, Target, compare, report, row, sized},
    typical::{USER_ID, typical},
};

/// Sessions that take turns.
const SESSIONS: usize = 1000;
const CALLS: usize = 100;

fn main() {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("there are threads");
    let dir = TempDir::new().expect("there is a temporary directory");
    let server = Server::start(dir.path());
    let store = Store::builder().durability(Durability::Relaxed).open(dir.path().join("sessile")).expect("it is new");
    let stores = Stores {
        ours: Filled::new(&runtime, TowerSessions::new(store.clone())),
        memory: Filled::new(&runtime, MemoryStore::default()),
        moka: Filled::new(&runtime, MokaStore::new(None)),
        sqlite: Filled::new(&runtime, runtime.block_on(sqlite(&dir.path().join("alone.sqlite")))),
        cached: Filled::new(
            &runtime,
            CachingSessionStore::new(MokaStore::new(None), runtime.block_on(sqlite(&dir.path().join("cached.sqlite")))),
        ),
        redis: server.as_ref().map(|server| Filled::new(&runtime, runtime.block_on(server.store()))),
    };
    let layered = Layered::new(&runtime, &store);
    for (work, what) in [(Work::Read, "reads one key"), (Work::Write, "reads and writes")] {
        let mut bare = requesting(&runtime, bare_app(), vec![HeaderValue::from_static("theme=dark")]);
        let mut layer = requesting(&runtime, layered.app(work), layered.cookies.clone());
        let [bare, layer, times @ ..] = race(&mut bare, &mut layer, &mut stores.requesting(&runtime, work));
        print(&format!("tower-sessions, request that {what}, added"), work == Work::Read, times.map(|time| time - bare));
        row("without tower-sessions: sessile's own layer", &[(layer - bare, "ns")]);
    }
    let [_, _, times @ ..] = race(&mut |_| {}, &mut |_| {}, &mut stores.loading(&runtime));
    print("tower-sessions, load by the store alone", true, times);
}

type Round<'a> = Box<dyn FnMut(usize) + 'a>;

/// The median times of nothing, of our layer and of the six stores.
fn race(bare: Contestant<'_>, layer: Contestant<'_>, stores: &mut [Round<'_>; 6]) -> [f64; 8] {
    let [ours, memory, moka, sqlite, cached, redis] = stores;
    compare(sized(200, 2), CALLS, [bare, layer, ours, memory, moka, sqlite, cached, redis])
}

/// Prints what each took; against its targets if it is a read.
fn print(what: &str, is_read: bool, [ours, memory, moka, sqlite, cached, redis]: [f64; 6]) {
    if is_read {
        report("adapter", what, memory / ours, "x less than MemoryStore", Target::AtLeast(2.0));
        report("adapter", what, moka / ours, "x less than MokaStore", Target::AtLeast(2.0));
        report("adapter", what, sqlite / ours, "x less than SqliteStore", Target::AtLeast(20.0));
    } else {
        println!("{what}:");
    }
    let rows = [
        ("sessile", ours),
        ("MemoryStore", memory),
        ("MokaStore", moka),
        ("SqliteStore, WAL, NORMAL", sqlite),
        ("MokaStore before SqliteStore", cached),
        ("RedisStore, on this machine", redis),
    ];
    // What was not there took no time.
    for (name, time) in rows.into_iter().filter(|(_, time)| *time > 100.0) {
        row(name, &[(time, "ns"), (time / ours, "x sessile")]);
    }
}

/// The stores, each with its sessions.
struct Stores {
    ours: Filled<TowerSessions>,
    memory: Filled<MemoryStore>,
    moka: Filled<MokaStore>,
    sqlite: Filled<SqliteStore>,
    cached: Filled<CachingSessionStore<MokaStore, SqliteStore>>,
    redis: Option<Filled<server::Redis>>,
}

impl Stores {
    fn requesting<'a>(&'a self, runtime: &'a Runtime, work: Work) -> [Round<'a>; 6] {
        [
            self.ours.requesting(runtime, work),
            self.memory.requesting(runtime, work),
            self.moka.requesting(runtime, work),
            self.sqlite.requesting(runtime, work),
            self.cached.requesting(runtime, work),
            self.redis.as_ref().map_or_else(|| Box::new(|_| {}) as _, |redis| redis.requesting(runtime, work)),
        ]
    }

    fn loading<'a>(&'a self, runtime: &'a Runtime) -> [Round<'a>; 6] {
        [
            self.ours.loading(runtime),
            self.memory.loading(runtime),
            self.moka.loading(runtime),
            self.sqlite.loading(runtime),
            self.cached.loading(runtime),
            self.redis.as_ref().map_or_else(|| Box::new(|_| {}) as _, |redis| redis.loading(runtime)),
        ]
    }
}

/// As its documentation has it, but with a write-ahead log and durable from time to time: what our relaxed class promises.
async fn sqlite(path: &Path) -> SqliteStore {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Normal);
    let pool = SqlitePoolOptions::new().connect_with(options).await.expect("the directory is new");
    let store = SqliteStore::new(pool);
    store.migrate().await.expect("the file is new");
    store
}

/// A store of tower-sessions and the ids of the sessions in it.
struct Filled<S> {
    store: Arc<S>,
    ids: Vec<Id>,
}

impl<S: SessionStore + Clone> Filled<S> {
    fn new(runtime: &Runtime, store: S) -> Self {
        let store = Arc::new(store);
        let fill = async |user_id| {
            let session = Session::new(None, store.clone(), None);
            for (key, value) in typical(user_id) {
                session.insert(key, value).await.expect("the store works");
            }
            session.save().await.expect("the store works");
            session.id().expect("it was saved")
        };
        let ids = (0..SESSIONS as u64).map(|user_id| runtime.block_on(fill(user_id))).collect();
        Self { store, ids }
    }

    /// Loads one session after the other.
    fn loading<'a>(&'a self, runtime: &'a Runtime) -> Round<'a> {
        let mut ids = self.ids.iter().cycle();
        Box::new(move |calls| {
            runtime.block_on(async {
                for id in ids.by_ref().take(calls) {
                    assert!(self.store.load(id).await.expect("the store works").is_some());
                }
            });
        })
    }

    /// Requests of one visitor after the other.
    fn requesting<'a>(&'a self, runtime: &'a Runtime, work: Work) -> Round<'a> {
        let handler = if work == Work::Read { get(read) } else { get(write) };
        let app = SessionManagerLayer::new((*self.store).clone()).layer(Router::new().route("/", handler).with_state(()));
        let cookies = self.ids.iter().map(|id| cookie(&format!("id={id}"))).collect();
        requesting(runtime, app, cookies)
    }
}

/// Sessions in our own layer.
struct Layered {
    store: Store,
    cookies: Vec<HeaderValue>,
}

impl Layered {
    fn new(runtime: &Runtime, store: &Store) -> Self {
        let fill = async |user_id| {
            let session = store.session(None).expect("a new session needs no I/O");
            for (key, value) in typical(user_id) {
                session.insert(key, value).expect("the values are small");
            }
            session.save().await.expect("the disk works");
            cookie(&format!("__Host-id={}", session.token().expect("it was saved").expose()))
        };
        let cookies = (0..SESSIONS as u64).map(|user_id| runtime.block_on(fill(user_id))).collect();
        Self { store: store.clone(), cookies }
    }

    fn app(&self, work: Work) -> impl Service<Request, Response = Response, Error: std::fmt::Debug, Future: Send> + use<> {
        let handler = if work == Work::Read { get(own_read) } else { get(own_write) };
        SessionLayer::new(self.store.clone()).layer(Router::new().route("/", handler).with_state(()))
    }
}

/// What a handler does with its session.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    Read,
    Write,
}

fn bare_app() -> Router {
    Router::new().route("/", get(async || "found")).with_state(())
}

async fn read(session: Session) -> &'static str {
    text(session.get::<u64>(USER_ID).await.expect("it is a number"))
}

async fn write(session: Session) -> &'static str {
    let visits = session.get::<u64>("visits").await.expect("it is a number");
    session.insert("visits", visits.unwrap_or(0) + 1).await.expect("the store works");
    text(visits)
}

async fn own_read(session: sessile::Session) -> &'static str {
    text(session.get::<u64>(USER_ID).expect("it is a number"))
}

async fn own_write(session: sessile::Session) -> &'static str {
    let visits = session.get::<u64>("visits").expect("it is a number");
    session.insert("visits", visits.unwrap_or(0) + 1).expect("it is small");
    text(visits)
}

/// An answer that shows whether the session was found, and costs nothing to make.
fn text(value: Option<u64>) -> &'static str {
    if value.is_some() { "found" } else { "none" }
}

fn cookie(text: &str) -> HeaderValue {
    HeaderValue::try_from(text).expect("it is ASCII")
}

/// Calls `app` with one cookie after the other.
fn requesting<'a>(
    runtime: &'a Runtime,
    mut app: impl Service<Request, Response = Response, Error: std::fmt::Debug> + 'a,
    cookies: Vec<HeaderValue>,
) -> Round<'a> {
    use axum::body::HttpBody;

    let mut next = 0;
    Box::new(move |calls| {
        runtime.block_on(async {
            for _ in 0..calls {
                let mut request = Request::new(Body::empty());
                let cookie = HeaderValue::from_bytes(cookies[next % cookies.len()].as_bytes()).expect("it was a value before");
                request.headers_mut().insert(COOKIE, cookie);
                next += 1;
                let response = app.ready().await.expect("it is always").call(request).await.expect("applications answer");
                assert_eq!(response.body().size_hint().exact(), Some("found".len() as u64));
            }
        });
    })
}
