//! Ten million sessions in one store, beside a million and a hundred thousand: what an operation costs must grow no faster than the
//! depth of a tree does.
//!
//! It writes some 100 GB and keeps 16 of them, for up to an hour, so it runs only if `SESSILE_BENCH_TEN_MILLION=1` asks for it.

use std::{
    env, fs,
    path::Path,
    process::Command,
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

/// For sessions in memory.
const MEMORY_BYTES: usize = 16 << 20;
/// Names the directory of a store to a child of this program, which measures its own memory: this one had filled the store before.
const CHILD: &str = "SESSILE_BENCH_RESIDENT";
const SAMPLE: &str = "tokens";

fn main() {
    if env::var_os("SESSILE_BENCH_TEN_MILLION").is_none_or(|value| value == "0") {
        return println!("ten million sessions: not run; SESSILE_BENCH_TEN_MILLION=1 does, and takes 20 GB and up to an hour");
    }
    if let Some(path) = env::var_os(CHILD) {
        return resident(Path::new(&path));
    }
    let _others = Others::watch();
    // It moves only where a bench moves it: the uses of sessions that took long to fill in would be worth a write each.
    let clock = ManualClock::default();
    let costs = sized([100_000, 1_000_000, 10_000_000], [1_000, 3_000, 10_000]).map(|sessions| {
        println!("{sessions} sessions:");
        let dir = directory(env!("CARGO_TARGET_TMPDIR"));
        let tokens = fill(dir.path(), &clock, sessions);
        measure(dir.path(), &clock, &tokens)
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

fn fill(path: &Path, clock: &ManualClock, sessions: usize) -> Vec<Token> {
    let began = Instant::now();
    // Few, large checkpoints: of those that each rewrite most pages, few are enough.
    let builder = builder().clock(clock.clone()).journal_bytes(8 << 30).memory_budget(64 << 20);
    let puts = SessilePut::fill(builder.open(path.join(FILE)).expect("the disk works"), sessions);
    puts.close();
    let time = began.elapsed().as_secs_f64();
    row("filled and closed", &[(time, "s"), (sessions as f64 / time, "new sessions/s")]);
    row("files", &[(bytes_in(path) as f64 / 1e6, "MB"), (bytes_in(path) as f64 / sessions as f64, "bytes for each session")]);
    puts.tokens().to_vec()
}

fn measure(path: &Path, clock: &ManualClock, tokens: &[Token]) -> Costs {
    resident_in_a_child(path, tokens);
    let began = Instant::now();
    let store = builder()
        .clock(clock.clone())
        .memory_budget(sized(MEMORY_BYTES, 16 << 10))
        .open(path.join(FILE))
        .expect("it was closed");
    look(&store, &tokens[0]);
    let opened = began.elapsed();
    row("opened, and the first session read", &[(opened.as_secs_f64() * 1e3, "ms")]);

    let (mut random, mut misses) = (Random(1), Latencies::default());
    for _ in 0..sized(100_000, 100) {
        let start = Instant::now();
        if look(&store, &tokens[random.below(tokens.len())]) == Some(Tier::Disk) {
            misses.push(start.elapsed());
        }
    }
    let misses = misses.sorted();
    row("a miss", &misses.figures());

    let swept = sweep(&store, clock);
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

fn resident_in_a_child(path: &Path, tokens: &[Token]) {
    let mut random = Random(0);
    let sample: Vec<String> = (0..sized(100_000, 100)).map(|_| tokens[random.below(tokens.len())].expose()).collect();
    fs::write(path.join(SAMPLE), sample.join("\n")).expect("the disk works");
    let child = Command::new(env::current_exe().expect("this program has a file")).env(CHILD, path).status();
    assert!(child.expect("this program runs").success());
    fs::remove_file(path.join(SAMPLE)).expect("it was written");
}

/// Prints what a store takes that somebody else filled, when it is open and when a hundred thousand sessions were read.
fn resident(path: &Path) {
    let sample = fs::read_to_string(path.join(SAMPLE)).expect("it was written");
    let tokens: Vec<Token> = sample.lines().map(|text| Token::parse(text.as_bytes()).expect("it is a token")).collect();
    drop(sample);
    let before = resident_bytes();
    let store = builder().memory_budget(MEMORY_BYTES).open(path.join(FILE)).expect("it was closed");
    let opened = resident_bytes();
    for token in &tokens {
        look(&store, token);
    }
    let [opened, read] = [opened, resident_bytes()].map(|bytes| bytes.saturating_sub(before) as f64 / 1e6);
    let what = "resident memory, with 16 MiB of sessions and 16 of pages";
    row(what, &[(opened, "MB when open"), (read, "MB after reads")]);
}

fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).map_or(0, |kb: u64| kb * 1024)
}
