//! Writers, and how long each of their puts takes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::{
    runtime::Runtime,
    sync::mpsc::{self, UnboundedSender},
    task::JoinHandle,
};

use super::Durable;
use crate::Random;

/// How long puts took, each.
#[derive(Clone, Debug, Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    /// Adds one.
    pub fn push(&mut self, latency: Duration) {
        self.0.push(latency);
    }

    /// How many there are.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds those of another round.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Sorted, so that the other calls give what they say.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.0.sort_unstable();
        self
    }

    /// What `share` of the puts took at most, in microseconds.
    ///
    /// # Panics
    /// If there was no put.
    #[must_use]
    pub fn quantile_us(&self, share: f64) -> f64 {
        let last = self.0.len() - 1;
        self.0[((last as f64) * share).round() as usize].as_secs_f64() * 1e6
    }

    /// Median, 99th percentile and the longest, for [`row`](crate::row).
    #[must_use]
    pub fn figures(&self) -> [(f64, &'static str); 3] {
        [(self.quantile_us(0.5), "us p50"), (self.quantile_us(0.99), "p99"), (self.quantile_us(1.0), "max")]
    }
}

/// What writers did.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Puts.
    pub puts: usize,
    /// Of all of them together.
    pub per_second: f64,
    /// Each one's.
    pub latencies: Latencies,
}

/// What the writers run on: as many threads as there are cores.
///
/// # Panics
/// If the operating system gives no thread.
#[must_use]
pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_time().build().expect("there is a thread")
}

fn collect(runtime: &Runtime, writers: Vec<JoinHandle<Latencies>>, began: Instant) -> Measured {
    let mut latencies = Latencies::default();
    for writer in writers {
        latencies.extend(runtime.block_on(writer).expect("a writer does not panic"));
    }
    let puts = latencies.0.len();
    Measured { puts, per_second: puts as f64 / began.elapsed().as_secs_f64(), latencies }
}

/// `writers` writers put random ones of `sessions` sessions for as long as `time`, each as soon as its last put is durable.
///
/// # Panics
/// If a put fails.
#[must_use]
pub fn closed_loop(runtime: &Runtime, store: &Arc<dyn Durable>, writers: usize, sessions: usize, time: Duration) -> Measured {
    let stop = Arc::new(AtomicBool::new(false));
    let began = Instant::now();
    let tasks = (0..writers as u64).map(|writer| {
        let (store, stop) = (store.clone(), stop.clone());
        runtime.spawn(async move {
            let mut random = Random(began.elapsed().as_nanos() as u64 ^ writer << 48);
            let mut latencies = Latencies::default();
            while !stop.load(Ordering::Relaxed) {
                let start = Instant::now();
                store.put(random.below(sessions), random.next_u64()).await;
                latencies.0.push(start.elapsed());
            }
            latencies
        })
    });
    let tasks = tasks.collect();
    thread::sleep(time);
    stop.store(true, Ordering::Relaxed);
    collect(runtime, tasks, began)
}

/// Puts of an open loop are due in bursts, this long apart: no finer than a thread can be woken.
const TICK: Duration = Duration::from_micros(200);

/// `per_second` puts are due each second, evenly but for `TICK`, whatever the store does; `writers` writers make them in turn. How
/// long a put took counts from when it was due, so that a store that stands still is charged for all who wait.
///
/// # Panics
/// If a put fails.
#[must_use]
pub fn open_loop(
    runtime: &Runtime,
    store: &Arc<dyn Durable>,
    writers: usize,
    sessions: usize,
    per_second: f64,
    time: Duration,
) -> Measured {
    let began = Instant::now();
    let mut senders: Vec<UnboundedSender<Instant>> = Vec::new();
    let tasks = (0..writers as u64).map(|writer| {
        let store = store.clone();
        let (sender, mut due) = mpsc::unbounded_channel();
        senders.push(sender);
        runtime.spawn(async move {
            let mut random = Random(writer << 48);
            let mut latencies = Latencies::default();
            while let Some(due) = due.recv().await {
                store.put(random.below(sessions), random.next_u64()).await;
                latencies.0.push(Instant::now().duration_since(due));
            }
            latencies
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let (mut sent, mut due) = (0, Duration::ZERO);
    while due < time {
        due += TICK;
        thread::sleep(due.saturating_sub(began.elapsed()));
        let until = (due.as_secs_f64() * per_second) as usize;
        for nth in sent..until {
            senders[nth % writers].send(began + due).expect("the writer is there");
        }
        sent = until;
    }
    drop(senders);
    collect(runtime, tasks, began)
}
