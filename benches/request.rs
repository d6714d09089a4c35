//! T2, T3, T4: what sessions add to a request through axum, beside tower-sessions with its MemoryStore.
//!
//! Added is the time with sessions less the time of the same application without. Allocations are counted in the bench
//! `allocations`, apart from this, because a counter makes each of them slower.

use axum::http::HeaderValue;
use sessile::Store;
use sessile_benches::{
    App, Target, Work, bare_app, call, calling, compare, no_op_app, report, row, sessile_app, sessile_around, sessile_store,
    sized, tower_app, tower_around, tower_store,
};
use tower_sessions::MemoryStore;

/// Sessions that come in any order: some that are all in the processor's caches, and more than those hold, as T1 has them.
const SESSIONS: [usize; 2] = [1_000, 100_000];
/// Requests in a round: few, so that on a busy machine most rounds are over before another process gets its turn.
const CALLS: usize = 50;

fn main() {
    for (nth, sessions) in sized(SESSIONS, [1_000, 2_000]).into_iter().enumerate() {
        let bench = Bench::new(sessions);
        if nth == 0 {
            bench.untouched();
        }
        bench.with_session(Work::Read, "T3", "request that reads one key");
        bench.with_session(Work::Write, "T4", "request that reads and writes, relaxed");
    }
}

struct Bench {
    sessions: usize,
    store: Store,
    tower: MemoryStore,
    cookies: Vec<HeaderValue>,
    tower_cookies: Vec<HeaderValue>,
}

impl Bench {
    fn new(sessions: usize) -> Self {
        let (store, tokens) = sessile_store(sessions as u64);
        let (tower, ids) = tower_store(sessions as u64);
        Self {
            sessions,
            store,
            tower: (*tower).clone(),
            cookies: tokens.iter().map(|token| cookie("__Host-id", &token.expose())).collect(),
            tower_cookies: ids.iter().map(|id| cookie("id", id)).collect(),
        }
    }

    fn untouched(&self) {
        let [bare, around, layer, no_op, tower] = compare(
            sized(15_000, 200),
            CALLS,
            [
                &mut calling(bare_app(), &self.cookies),
                &mut calling(sessile_around(&self.store, Work::Nothing), &self.cookies),
                &mut calling(sessile_app(&self.store, Work::Nothing), &self.cookies),
                &mut calling(no_op_app(), &self.cookies),
                &mut calling(tower_app(&self.tower, Work::Nothing), &self.tower_cookies),
            ],
        );
        report("T2", "untouched request, added around the application", around - bare, "ns", Target::AtMost(40.0));
        added("axum alone", bare, bare);
        added("sessile, around the application", around, bare);
        added("sessile, as axum's layer", layer, bare);
        added("a layer that does nothing", no_op, bare);
        added("tower-sessions", tower, bare);
    }

    fn with_session(&self, work: Work, id: &str, what: &str) {
        self.check(work);
        let [bare, around, layer, tower, tower_layer] = compare(
            sized(5_000, 100),
            CALLS,
            [
                &mut calling(bare_app(), &self.cookies),
                &mut calling(sessile_around(&self.store, work), &self.cookies),
                &mut calling(sessile_app(&self.store, work), &self.cookies),
                &mut calling(tower_around(&self.tower, work), &self.tower_cookies),
                &mut calling(tower_app(&self.tower, work), &self.tower_cookies),
            ],
        );
        let less = (tower - bare) / (around - bare);
        let what = format!("{what}, of {} sessions, added around the application", self.sessions);
        report(id, &what, less, "x less than tower-sessions", Target::AtLeast(10.0));
        added("axum alone", bare, bare);
        added("sessile, around the application", around, bare);
        added("sessile, as axum's layer", layer, bare);
        added("tower-sessions, around the application", tower, bare);
        added("tower-sessions, as axum's layer", tower_layer, bare);
    }

    /// Every contestant finds its sessions.
    fn check(&self, work: Work) {
        let found = |app: &mut dyn FnMut(&HeaderValue) -> usize, cookies: &[HeaderValue]| {
            assert!(cookies.iter().all(|cookie| app(cookie) == "found".len()));
        };
        let (mut layer, mut around) = (sessile_app(&self.store, work), sessile_around(&self.store, work));
        let mut tower = tower_app(&self.tower, work);
        found(&mut |cookie| len(&mut layer, cookie), &self.cookies);
        found(&mut |cookie| len(&mut around, cookie), &self.cookies);
        found(&mut |cookie| len(&mut tower, cookie), &self.tower_cookies);
    }
}

fn len(app: &mut impl App, cookie: &HeaderValue) -> usize {
    use axum::body::HttpBody;

    let size = call(app, cookie).body().size_hint().exact();
    usize::try_from(size.expect("a text has a length")).expect("it is short")
}

fn added(name: &str, time: f64, bare: f64) {
    row(name, &[(time, "ns"), (time - bare, "ns added")]);
}

fn cookie(name: &str, value: &str) -> HeaderValue {
    HeaderValue::try_from(format!("theme=dark; {name}={value}")).expect("it is ASCII")
}
