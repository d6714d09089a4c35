//! T7: how long durable commits take while checkpoints run, with 64 writers that offer half of what saturates the store.
//!
//! An open loop: commits are due whether the store keeps up or not, and who had to wait for his turn counts that, too.
//! A bare log makes no checkpoints: what it has is what the disk and the system's scheduler allow.

#[path = "peers/fjall.rs"]
mod fjall;
#[path = "peers/log.rs"]
#[expect(dead_code, reason = "it is here as it is for many writers")]
mod log;

use std::{path::Path, sync::Arc, time::Duration};

use sessile_benches::{
    Others, Target,
    disk::{Durable, Measured, RECORD_BYTES, SessilePut, builder, closed_loop, directory, open_loop, rest, runtime},
    is_quick, report, row, sized,
};
use tokio::runtime::Runtime;

const WRITERS: usize = 64;

fn main() {
    let _others = Others::watch();
    let sessions = sized(100_000, 2_000);
    let runtime = runtime();
    let ours = measure("sessile", &runtime, sessions, |path| {
        Arc::new(SessilePut::new(builder().memory_budget(usize::MAX), path, sessions))
    });
    measure("bare log, group commit", &runtime, sessions, |path| Arc::new(log::grouped(path)));
    measure("fjall, group commit", &runtime, sessions, |path| {
        let group = fjall::open(path);
        group.fill(sessions);
        Arc::new(group)
    });
    // Or no checkpoint may have run: no journal holds so much.
    assert!(is_quick() || ours.puts * RECORD_BYTES > 256 << 20, "only {} puts were made", ours.puts);
    let [p50, p99] = [0.5, 0.99].map(|share| ours.latencies.quantile_us(share));
    let what = "p99 of durable commits while checkpoints run, 64 writers, half of saturation";
    report("T7", what, p99 / p50, "x p50", Target::AtMost(4.0));
}

/// Prints what saturates the store and how it does at half of that; gives the latter.
fn measure(name: &str, runtime: &Runtime, sessions: usize, open: impl FnOnce(&Path) -> Arc<dyn Durable>) -> Measured {
    let time = sized(Duration::from_secs(10), Duration::from_millis(200));
    let dir = directory(env!("CARGO_TARGET_TMPDIR"));
    let store = open(dir.path());
    let patience = sized(Duration::from_secs(5), Duration::ZERO);
    rest(dir.path(), patience);
    let saturated = print(&format!("{name}, saturated"), closed_loop(runtime, &store, WRITERS, sessions, time));
    rest(dir.path(), patience);
    let half = open_loop(runtime, &store, WRITERS, sessions, saturated.per_second / 2.0, time);
    print(&format!("{name}, at half of that"), half)
}

fn print(name: &str, measured: Measured) -> Measured {
    let measured = Measured { latencies: measured.latencies.sorted(), ..measured };
    let [p50, p99, max] = measured.latencies.figures();
    let ratio = (p99.0 / p50.0, "p99/p50");
    row(name, &[(measured.per_second, "commits/s"), p50, p99, max, ratio]);
    measured
}
