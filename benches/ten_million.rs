//! Ten million sessions in one store, beside a million and a hundred thousand: what an operation costs must grow no faster than the
//! depth of a tree does.
//!
//! It writes some 100 GB and keeps 16 of them, for up to an hour, so it runs only if `SESSILE_BENCH_TEN_MILLION=1` asks for it.

use std::{
    env, fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use sessile::{Durability, Store, Tier, Token, testing::ManualClock};
use sessile_benches::{
    Others, Random, Target,
    disk::{Durable, FILE, Latencies, SessilePut, builder, bytes_in, closed_loop, directory, rest, runtime},
    report, row, sized,
};

/// What each operation costs in a store of some size, in microseconds.
struct Costs {
    sessions: usize,
    miss: f64,
    commit: f64,
    sweep: f64,
}

fn main() {
    if env::var_os("SESSILE_BENCH_TEN_MILLION").is_none_or(|value| value == "0") {
        return println!("ten million sessions: not run; SESSILE_BENCH_TEN_MILLION=1 does, and takes 20 GB and up to an hour");
    }
    let _others = Others::watch();
    let dir = directory(env!("CARGO_TARGET_TMPDIR"));
    let mut tokens = Vec::new();
    let costs = sized([100_000, 1_000_000, 10_000_000], [1_000, 3_000, 10_000]).map(|sessions| {
        println!("{sessions} sessions:");
        fill(dir.path(), &mut tokens, sessions);
        measure(dir.path(), &tokens)
    });
    let [small, _, large] = &costs;
    let allowed = (large.sessions as f64).ln() / (small.sessions as f64).ln();
    for (what, cost) in [
        ("a miss", (|costs| costs.miss) as fn(&Costs) -> f64),
        ("a durable commit, 64 writers", |costs| costs.commit),
        ("sweeping a session", |costs| costs.sweep),
    ] {
        let what = format!("{what}, {} sessions against {}", large.sessions, small.sessions);
        report("Growth", &what, cost(large) / cost(small), "x the cost", Target::AtMost(allowed));
    }
}

fn fill(path: &Path, tokens: &mut Vec<Token>, sessions: usize) {
    let began = Instant::now();
    let more = sessions - tokens.len();
    // Few, large checkpoints: of those that each rewrite most pages, few are enough.
    let builder = builder().journal_bytes(8 << 30).memory_budget(64 << 20);
    let puts = SessilePut::fill(builder.open(path.join(FILE)).expect("the disk works"), more);
    puts.close();
    tokens.extend_from_slice(puts.tokens());
    let time = began.elapsed().as_secs_f64();
    row("filled and closed", &[(time, "s"), (more as f64 / time, "new sessions/s")]);
    row("files", &[(bytes_in(path) as f64 / 1e6, "MB"), (bytes_in(path) as f64 / sessions as f64, "bytes for each session")]);
}

fn measure(path: &Path, tokens: &[Token]) -> Costs {
    let resident = resident_bytes();
    let clock = ManualClock::default();
    let began = Instant::now();
    let builder = builder().clock(clock.clone()).memory_budget(16 << 20);
    let store = builder.open(path.join(FILE)).expect("it was closed");
    look(&store, &tokens[0]);
    let opened = began.elapsed();
    row("opened, and the first session read", &[(opened.as_secs_f64() * 1e3, "ms")]);

    let mut random = Random(tokens.len() as u64);
    let mut misses = Latencies::default();
    for _ in 0..sized(100_000, 100) {
        let start = Instant::now();
        if look(&store, &tokens[random.below(tokens.len())]) == Some(Tier::Disk) {
            misses.push(start.elapsed());
        }
    }
    let misses = misses.sorted();
    row("a miss", &misses.figures());
    let grown = (resident_bytes() - resident) as f64 / 1e6;
    row("resident memory, with 16 MiB of sessions and 16 of pages", &[(grown, "MB more")]);

    let swept = sweep(&store, &clock);
    row("swept", &[(1e6 / swept, "sessions/s")]);

    let puts: Arc<dyn Durable> = Arc::new(SessilePut::of(store, tokens.to_vec()));
    let runtime = runtime();
    let time = sized(Duration::from_secs(10), Duration::from_millis(100));
    rest(path, sized(Duration::from_secs(10), Duration::ZERO));
    let measured = closed_loop(&runtime, &puts, 64, tokens.len(), time);
    let [p50, p99, max] = measured.latencies.sorted().figures();
    row("durable commits, 64 writers", &[(measured.per_second, "commits/s"), p50, p99, max]);
    Costs { sessions: tokens.len(), miss: misses.quantile_us(0.5), commit: 1e6 / measured.per_second, sweep: swept }
}

fn look(store: &Store, token: &Token) -> Option<Tier> {
    store.session(Some(token)).expect("the disk works").tier()
}

/// Lets a part of the sessions, new ones, expire, and gives the microseconds that each takes to delete.
fn sweep(store: &Store, clock: &ManualClock) -> f64 {
    let sessions = sized(50_000, 500);
    for _ in 0..sessions {
        let session = store.session(None).expect("a new session needs no I/O");
        session.set_idle_timeout(Duration::from_mins(1)).expect("it is long enough");
        session.insert("data", "").expect("it is short");
        session.save_with(Durability::Relaxed).wait().expect("the disk works");
    }
    store.flush().wait().expect("the disk works");
    // The first sweep moves the journal into the file, the second finds all of them there.
    store.sweep().wait().expect("the disk works");
    clock.advance(Duration::from_mins(3));
    let began = Instant::now();
    store.sweep().wait().expect("the disk works");
    let time = began.elapsed();
    assert_eq!(store.stats().swept, sessions);
    time.as_secs_f64() * 1e6 / sessions as f64
}

fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).map_or(0, |kb: u64| kb * 1024)
}
