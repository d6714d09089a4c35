//! Damaged files: flipped bits, pages that are cut off, zeroed or swapped. A store may refuse them by a typed error or miss what was
//! damaged; it never serves a wrong session or panics.
//!
//! Nor does it end the process, but in one case that is redb's: if the damage is in its lists of free pages, it panics in a commit and
//! then once more while it unwinds, which nobody can catch (some 1 in 8,000 flipped bits). Those are counted apart, must be rare, and
//! must be found by `Builder::verify_on_open`.
//!
//! The cases run in child processes. `SESSILE_DAMAGE_FLIPS=N` sets how many bits are flipped in all, one at a time. A failure prints a
//! case and where the store is kept that was damaged: `SESSILE_DAMAGE_SAMPLE=directory SESSILE_DAMAGE_CASE=kind:number` runs that one.

mod children;
mod sample;

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
};

use children::{Counts, Job, watch};
use sample::{KINDS, Sample};

/// Bits unless told otherwise.
const FLIPS: u64 = 500;
/// Cases of each other kind.
const OTHERS: u64 = 40;

fn main() -> ExitCode {
    if let Ok(range) = env::var("SESSILE_DAMAGE_CHILD") {
        children::run_cases(&range);
        return ExitCode::SUCCESS;
    }
    if !is_asked_for() {
        return ExitCode::SUCCESS;
    }
    let dir = tempfile::tempdir().expect("there is room for a store");
    let kept = env::var_os("SESSILE_DAMAGE_SAMPLE").map(PathBuf::from);
    let sample = kept.as_deref().unwrap_or(dir.path());
    if kept.is_none() {
        Sample::make().save(sample);
    }
    let totals = run_all(sample);
    let total = |name: &str| totals.get(name).copied().unwrap_or(0);
    println!(
        "damaged stores: {}, harmless {}, refused {}, sessions absent in {}, aborts in redb {}; wrong sessions or panics {}, \
         other aborts {}",
        total("cases"),
        total("harmless"),
        total("refused"),
        total("absent"),
        total("redb"),
        total("failed"),
        total("aborted"),
    );
    let is_rare = total("redb") <= 2 + total("cases") / 1000;
    if total("failed") + total("aborted") == 0 && total("cases") > 0 && is_rare {
        return ExitCode::SUCCESS;
    }
    if kept.is_none() {
        println!("SESSILE_DAMAGE_SAMPLE={}", dir.keep().display());
    }
    ExitCode::FAILURE
}

fn run_all(sample: &Path) -> Counts {
    let jobs = match env::var("SESSILE_DAMAGE_CASE") {
        Ok(case) => vec![Job::one(&case)],
        Err(_) => jobs(),
    };
    let mut totals = BTreeMap::new();
    thread::scope(|scope| {
        let threads: Vec<_> = jobs.into_iter().map(|job| scope.spawn(|| watch(job, sample))).collect();
        for (name, count) in threads.into_iter().flat_map(|thread| thread.join().expect("it only counts")) {
            *totals.entry(name).or_default() += count;
        }
    });
    totals
}

/// Ranges of cases, each for one child.
fn jobs() -> Vec<Job> {
    let flips = env::var("SESSILE_DAMAGE_FLIPS").map_or(FLIPS, |text| text.parse().expect("SESSILE_DAMAGE_FLIPS is a number"));
    let children = thread::available_parallelism().map_or(1, usize::from) as u64;
    let part = |nth: u64| flips * nth / children;
    let flips = (0..children).map(|nth| Job { kind: "flip".to_owned(), from: part(nth), to: part(nth + 1) });
    let others = KINDS[1..].iter().map(|(name, _)| Job { kind: (*name).to_owned(), from: 0, to: OTHERS });
    flips.chain(others).collect()
}

/// Whether the arguments of `cargo test` mean this target: none, its name, or options alone.
fn is_asked_for() -> bool {
    let mut names = env::args().skip(1).filter(|arg| !arg.starts_with('-')).peekable();
    let listing = env::args().any(|arg| arg == "--list");
    !listing && (names.peek().is_none() || names.any(|name| "damage".contains(&name)))
}
