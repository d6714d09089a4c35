//! T5, T6 and T8: how many commits a second are durable, how long each takes, and how many bytes reach the device for them.
//!
//! Everybody puts the same records into 100,000 sessions, in turns. After each turn the machine comes to rest, so that nobody works
//! while another is measured; turns are long enough for several of our checkpoints.

mod peers;

use std::{path::Path, sync::Arc, time::Duration};

use sessile_benches::{
    Others, Target,
    disk::{DeviceBytes, Durable, Group, Latencies, RECORD_BYTES, SessilePut, builder, closed_loop, directory, rest, runtime},
    median, report, row, sized,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use self::peers::{fjall, lmdb, log, redb, sqlite};

struct Contestant {
    name: &'static str,
    open: fn(&Path, usize) -> Arc<dyn Durable>,
}

const SESSILE: &str = "sessile";
const LOG: &str = "bare log, group commit";
const INLINE: &str = "bare log, no thread";
const REDB: &str = "redb, group commit";
const FJALL: &str = "fjall, group commit";
const SQLITE: &str = "SQLite FULL";

const CONTESTANTS: [Contestant; 8] = [
    Contestant {
        name: SESSILE,
        open: |path, sessions| Arc::new(SessilePut::new(builder().memory_budget(usize::MAX), path, sessions)),
    },
    Contestant { name: LOG, open: |path, _| Arc::new(log::grouped(path)) },
    Contestant { name: INLINE, open: |path, _| Arc::new(log::inline(path)) },
    Contestant { name: FJALL, open: |path, sessions| filled(fjall::open(path), sessions) },
    Contestant { name: REDB, open: |path, sessions| filled(redb::open(path), sessions) },
    Contestant { name: "LMDB, group commit", open: |path, sessions| filled(lmdb::open(path), sessions) },
    Contestant { name: SQLITE, open: |path, sessions| filled(sqlite::open(path), sessions) },
    Contestant { name: "SQLite FULL, group commit", open: |path, sessions| filled(sqlite::grouped(path), sessions) },
];

fn filled(group: Group, sessions: usize) -> Arc<dyn Durable> {
    group.fill(sessions);
    Arc::new(group)
}

/// What one contestant did with some number of writers.
struct Outcome {
    name: &'static str,
    per_second: f64,
}

fn main() {
    let _others = Others::watch();
    let sessions = sized(100_000, 2_000);
    let runtime = runtime();
    commits(&runtime, sessions);
    bytes(&runtime, sessions);
}

fn commits(runtime: &Runtime, sessions: usize) {
    let opened = CONTESTANTS.map(|contestant| {
        let dir = directory(env!("CARGO_TARGET_TMPDIR"));
        let store = (contestant.open)(dir.path(), sessions);
        (contestant.name, store, dir)
    });
    for writers in [1, 8, 64, 256] {
        // A writer by itself needs no thread's help; with more, one after the other is no contest.
        let opened: Vec<_> = opened.iter().filter(|(name, ..)| *name != INLINE || writers == 1).collect();
        let outcomes = race(runtime, &opened, writers, sessions);
        let ours = rate(&outcomes, SESSILE);
        let against = |id, what: &str, other, target| {
            let what = format!("durable commits, {what}");
            report(id, &what, ours / rate(&outcomes, other), &format!("x {other}"), Target::AtLeast(target));
        };
        match writers {
            1 => against("T6", "1 writer", LOG, 0.85),
            64 => {
                against("T5", "64 writers", LOG, 0.7);
                against("T5", "64 writers", FJALL, 1.5);
                against("T5", "64 writers", REDB, 4.0);
                against("T5", "64 writers", SQLITE, 15.0);
            }
            _ => {}
        }
    }
}

fn rate(outcomes: &[Outcome], name: &str) -> f64 {
    outcomes.iter().find(|outcome| outcome.name == name).expect("it took part").per_second
}

type Opened = (&'static str, Arc<dyn Durable>, TempDir);

/// Lets all of them commit in turn, several times, and prints what they did.
fn race(runtime: &Runtime, opened: &[&Opened], writers: usize, sessions: usize) -> Vec<Outcome> {
    let (rounds, time) = sized((5, Duration::from_millis(1_500)), (1, Duration::from_millis(50)));
    let mut rates = vec![Vec::new(); opened.len()];
    let mut latencies = vec![Latencies::default(); opened.len()];
    for round in 0..rounds {
        for turn in 0..opened.len() {
            let which = (turn + round) % opened.len();
            let (_, store, dir) = opened[which];
            rest(dir.path(), sized(Duration::from_secs(5), Duration::ZERO));
            let measured = closed_loop(runtime, store, writers, sessions, time);
            rates[which].push(measured.per_second);
            latencies[which].extend(measured.latencies);
        }
    }
    println!("{writers} writers:");
    let outcomes = opened.iter().zip(rates).zip(latencies).map(|(((name, ..), rates), latencies)| {
        let per_second = median(rates);
        let [p50, p99, max] = latencies.sorted().figures();
        row(name, &[(per_second, "commits/s"), p50, p99, max]);
        Outcome { name, per_second }
    });
    outcomes.collect()
}

/// Everything that each of them writes, from the first put to after it was closed.
fn bytes(runtime: &Runtime, sessions: usize) {
    const WRITERS: usize = 64;
    let time = sized(Duration::from_secs(10), Duration::from_millis(100));
    for Contestant { name, open } in CONTESTANTS.into_iter().filter(|contestant| contestant.name != INLINE) {
        let dir = directory(env!("CARGO_TARGET_TMPDIR"));
        let Some(device) = DeviceBytes::of(dir.path()) else {
            return println!("T8 bytes at the device: this one is not counted by the kernel, so they were not measured");
        };
        let store = open(dir.path(), sessions);
        rest(dir.path(), sized(Duration::from_secs(5), Duration::ZERO));
        let before = device.now();
        let measured = closed_loop(runtime, &store, WRITERS, sessions, time);
        drop(store);
        let per_put = (device.now() - before) as f64 / measured.puts as f64;
        if name == SESSILE {
            let what = "bytes at the device for a durable put, 64 writers";
            report("T8", what, per_put / RECORD_BYTES as f64, "x payload", Target::AtMost(2.5));
        }
        row(name, &[(per_put, "bytes for each put"), (measured.puts as f64, "puts")]);
    }
}
