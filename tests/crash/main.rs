//! Power cuts and killed processes at every point, against a model: no acknowledged commit is lost, no ended session comes
//! back, and every session found was once committed as a whole.
//!
//! First all short runs, with a crash at each change of the disk; then random points of long runs, some of them with another
//! crash during the recovery. `SESSILE_CRASH_POINTS=N` sets the number of random points. A failure prints a seed, and
//! `SESSILE_CRASH_SEED=seed` runs that life again until it fails. In between, lives on disks that fail and work again
//! (`SESSILE_FAULT_SEED`), and stores that are closed in any state of the disk (`SESSILE_CLOSE_SEED`; `SESSILE_CLOSE_WRITES=N`
//! runs only these). The disk is the same for the same seed, but the store's threads are not, so a failure may take a few
//! attempts.

mod closing;
mod life;
mod model;
mod ops;
mod rng;
mod short;

use std::{
    env,
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use model::{Kind, Violation};

/// Default number of random points: some 15 s in a debug build with two cores.
const POINTS: u64 = 1500;
/// How often a seed is retried before it counts as not failing.
const ATTEMPTS: u64 = 200;
/// No life takes this long, unless it waits forever.
const PATIENCE: Duration = Duration::from_mins(2);

/// The counts of all runs.
#[derive(Default)]
struct Tally {
    points: AtomicU64,
    lost: AtomicU64,
    resurrected: AtomicU64,
    mixed: AtomicU64,
    panics: AtomicU64,
}

impl Tally {
    fn count(&self, name: &str, Violation { kind, text }: &Violation) {
        let counter = match kind {
            Kind::Lost => &self.lost,
            Kind::Resurrected => &self.resurrected,
            Kind::Mixed => &self.mixed,
        };
        counter.fetch_add(1, Relaxed);
        // The long values are dots.
        let mut text: Vec<char> = text.chars().collect();
        text.dedup_by(|a, b| *a == '.' && *b == '.');
        println!("FAILED {name}: {kind:?}: {}", text.into_iter().collect::<String>());
    }

    fn failures(&self) -> u64 {
        [&self.lost, &self.resurrected, &self.mixed, &self.panics].iter().map(|counter| counter.load(Relaxed)).sum()
    }

    fn print(&self) {
        let [points, lost, resurrected, mixed, panics] =
            [&self.points, &self.lost, &self.resurrected, &self.mixed, &self.panics].map(|counter| counter.load(Relaxed));
        println!("crash points: {points}, lost {lost}, resurrected {resurrected}, mixed {mixed}, panics {panics}");
    }
}

static TALLY: Tally = Tally {
    points: AtomicU64::new(0),
    lost: AtomicU64::new(0),
    resurrected: AtomicU64::new(0),
    mixed: AtomicU64::new(0),
    panics: AtomicU64::new(0),
};

fn main() -> ExitCode {
    if !is_asked_for() {
        return ExitCode::SUCCESS;
    }
    // Otherwise a panic on one of the store's own threads would go unnoticed.
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        TALLY.panics.fetch_add(1, Relaxed);
        print(info);
    }));
    if let Some(seed) = number("SESSILE_CRASH_SEED") {
        replay(&format!("SESSILE_CRASH_SEED={seed}"), || life::live(seed));
    } else if let Some(seed) = number("SESSILE_FAULT_SEED") {
        replay(&format!("SESSILE_FAULT_SEED={seed}"), || life::suffer(seed));
    } else if let Some(seed) = number("SESSILE_CLOSE_SEED") {
        replay(&format!("SESSILE_CLOSE_SEED={seed}"), || closing::close_anyhow(seed));
    } else if let Some(writes) = number("SESSILE_CLOSE_WRITES") {
        close_anyhow(rng::first_seed(), writes);
    } else {
        let began = Instant::now();
        let short = short::runs(if cfg!(debug_assertions) { 3 } else { 4 });
        in_parallel(short.len() as u64, |nth| {
            let ops = &short[usize::try_from(nth).expect("it is an index")];
            let survived = attempt(&format!("short run {ops:?}"), || short::every_point(ops, ops.len() <= 2));
            TALLY.points.fetch_add(survived.unwrap_or(0), Relaxed);
        });
        println!(
            "{} short runs, a crash at each of {} points, {:.1?}",
            short.len(),
            TALLY.points.load(Relaxed),
            began.elapsed()
        );
        let first = rng::first_seed();
        let points = number("SESSILE_CRASH_POINTS").unwrap_or(POINTS);
        let began = Instant::now();
        let failures = until(points, |nth| {
            let seed = first.wrapping_add(nth);
            attempt(&format!("SESSILE_FAULT_SEED={seed}"), || life::suffer(seed)).unwrap_or(0)
        });
        println!("{failures} failures of the disk from seed {first}, {:.1?}", began.elapsed());
        close_anyhow(first, 10 * points);
        let began = Instant::now();
        until(points, |nth| {
            let seed = first.wrapping_add(nth);
            let survived = attempt(&format!("SESSILE_CRASH_SEED={seed}"), || life::live(seed)).unwrap_or(0);
            TALLY.points.fetch_add(survived, Relaxed);
            survived
        });
        println!("long runs from seed {first}, {:.1?}", began.elapsed());
    }
    TALLY.print();
    if TALLY.failures() > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Runs one life and counts its result; a life that hangs is reported, too.
fn attempt(name: &str, work: impl FnOnce() -> Result<u64, Violation>) -> Option<u64> {
    let watch = life::Watch::over(name, PATIENCE);
    // The hook has counted the panic.
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    drop(watch);
    match result {
        Ok(Ok(survived)) => return Some(survived),
        Ok(Err(violation)) => TALLY.count(name, &violation),
        Err(_) => println!("FAILED {name}: panicked"),
    }
    None
}

fn close_anyhow(first: u64, writes: u64) {
    let began = Instant::now();
    let writes = until(writes, |nth| {
        let seed = first.wrapping_add(nth);
        attempt(&format!("SESSILE_CLOSE_SEED={seed}"), || closing::close_anyhow(seed)).unwrap_or(0)
    });
    println!("{writes} writes to stores that were closed in any state from seed {first}, {:.1?}", began.elapsed());
}

fn replay(name: &str, work: impl Fn() -> Result<u64, Violation>) {
    for nth in 0..ATTEMPTS {
        attempt(&format!("{name}, attempt {nth}"), &work);
        if TALLY.failures() > 0 {
            break;
        }
    }
}

/// Runs one life after the other, until they have survived `goal` crashes in all or enough of them have failed. Returns the
/// number that they survived.
fn until(goal: u64, life: impl Fn(u64) -> u64 + Sync) -> u64 {
    let survived = AtomicU64::new(0);
    in_parallel(u64::MAX, |nth| {
        if survived.load(Relaxed) >= goal || TALLY.failures() >= 5 {
            STOP.store(1, Relaxed);
        } else {
            survived.fetch_add(life(nth), Relaxed);
        }
    });
    survived.into_inner()
}

static STOP: AtomicU64 = AtomicU64::new(0);

fn in_parallel(count: u64, work: impl Fn(u64) + Sync) {
    STOP.store(0, Relaxed);
    let next = AtomicU64::new(0);
    // The runs mostly wait for each other's threads instead of computing.
    let threads = 2 * thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while STOP.load(Relaxed) == 0 {
                    let nth = next.fetch_add(1, Relaxed);
                    if nth >= count {
                        return;
                    }
                    work(nth);
                }
            });
        }
    });
}

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}; set a number")))
}

/// Whether the arguments of `cargo test` select this target: none, its name, or only options.
fn is_asked_for() -> bool {
    let mut names = env::args().skip(1).filter(|arg| !arg.starts_with('-')).peekable();
    let listing = env::args().any(|arg| arg == "--list");
    !listing && (names.peek().is_none() || names.any(|name| "crash".contains(&name)))
}
