//! A session that is not in memory is read from the file on the thread that asks. This measures that choice against a pool for
//! blocking work (tokio's `spawn_blocking`), with the file in the page cache and without.
//!
//! On a runtime of as many threads as there are cores, 64 tasks look up sessions of which none is in memory, while another task
//! wants to run every millisecond: how late it comes is what a blocking read costs the neighbours.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use sessile::{Store, Tier, Token};
use sessile_benches::{
    Others, Random,
    disk::{FILE, Latencies, SessilePut, builder, directory, forget_cached, runtime},
    row, sized,
};
use tokio::{runtime::Runtime, time::MissedTickBehavior};

const TASKS: usize = 64;

#[derive(Clone, Copy)]
enum Where {
    Inline,
    Pool,
}

fn main() {
    let _others = Others::watch();
    let sessions = sized(200_000, 2_000);
    let dir = directory(env!("CARGO_TARGET_TMPDIR"));
    let tokens: Arc<[Token]> = {
        let puts = SessilePut::new(builder(), dir.path(), sessions);
        puts.close();
        puts.tokens().into()
    };
    let runtime = runtime();
    for (cache, is_cold) in [("page cache hot", false), ("page cache cold", true)] {
        for (name, place) in [("on the task's own thread", Where::Inline), ("on tokio's blocking pool", Where::Pool)] {
            let run = look_up(&runtime, dir.path(), &tokens, place, is_cold);
            let [p50, p99, max] = run.lookups.figures();
            let late = (run.lateness.quantile_us(0.99), "us p99 of a neighbour");
            row(&format!("{name}, {cache}"), &[(run.per_second, "misses/s"), p50, p99, max, late]);
        }
    }
}

struct Run {
    per_second: f64,
    lookups: Latencies,
    /// How much later than it wanted to the neighbour ran.
    lateness: Latencies,
}

fn look_up(runtime: &Runtime, path: &Path, tokens: &Arc<[Token]>, place: Where, is_cold: bool) -> Run {
    if is_cold {
        forget_cached(path);
    }
    // Memory for no session, and no cache of pages in this process: what is measured is the way to the file.
    let store = builder().memory_budget(0).disk_cache(0).open(path.join(FILE)).expect("it was closed");
    let stop = Arc::new(AtomicBool::new(false));
    let neighbour = runtime.spawn(neighbour(stop.clone()));
    let began = Instant::now();
    let tasks: Vec<_> = (0..TASKS as u64)
        .map(|task| {
            let (store, tokens) = (store.clone(), tokens.clone());
            runtime.spawn(async move {
                let mut random = Random(task << 32 | u64::from(is_cold));
                let mut lookups = Latencies::default();
                for _ in 0..sized(4_000, 20) / if is_cold { 8 } else { 1 } {
                    let token = tokens[random.below(tokens.len())];
                    let start = Instant::now();
                    let tier = match place {
                        Where::Inline => look(&store, &token),
                        Where::Pool => {
                            let store = store.clone();
                            let read = tokio::task::spawn_blocking(move || look(&store, &token));
                            read.await.expect("it does not panic")
                        }
                    };
                    // Two may want the same session at once: then one of them finds it in memory.
                    if tier == Tier::Disk {
                        lookups.push(start.elapsed());
                    }
                    tokio::task::yield_now().await;
                }
                lookups
            })
        })
        .collect();
    let mut lookups = Latencies::default();
    for task in tasks {
        lookups.extend(runtime.block_on(task).expect("it does not panic"));
    }
    let per_second = lookups.len() as f64 / began.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    let lateness = runtime.block_on(neighbour).expect("it does not panic").sorted();
    store.close().expect("the disk works");
    Run { per_second, lookups: lookups.sorted(), lateness }
}

fn look(store: &Store, token: &Token) -> Tier {
    let session = store.session(Some(token)).expect("the disk works");
    session.tier().expect("the session is there")
}

async fn neighbour(stop: Arc<AtomicBool>) -> Latencies {
    let mut lateness = Latencies::default();
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !stop.load(Ordering::Relaxed) {
        let wanted = ticks.tick().await;
        lateness.push(wanted.elapsed());
    }
    lateness
}
