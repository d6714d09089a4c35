//! How contestants are timed, and how a result is printed beside its target.

use std::{env, time::Instant};

use super::Random;

/// Whether this is a run that only shows that the benches work.
#[must_use]
pub fn is_quick() -> bool {
    env::var_os("SESSILE_BENCH_QUICK").is_some_and(|value| value != "0")
}

/// `full`, or `quick` in a quick run.
#[must_use]
pub fn sized<T>(full: T, quick: T) -> T {
    if is_quick() { quick } else { full }
}

/// Where a measured figure should lie.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// This or less.
    AtMost(f64),
    /// This or more.
    AtLeast(f64),
}

/// Prints a result beside its target: `T5 durable commits: 4.60 x redb group commit (target >= 4.00) ok`.
pub fn report(id: &str, what: &str, measured: f64, unit: &str, target: Target) {
    let (sign, bound, holds) = match target {
        Target::AtMost(bound) => ("<=", bound, measured <= bound),
        Target::AtLeast(bound) => (">=", bound, measured >= bound),
    };
    let verdict = if holds { "ok" } else { "MISS" };
    let run = if is_quick() { ", which a quick run cannot tell" } else { "" };
    println!("{id} {what}: {} {unit} (target {sign} {}) {verdict}{run}", figure(measured), figure(bound));
}

/// Prints one line of the numbers behind a result.
pub fn row(name: &str, figures: &[(f64, &str)]) {
    let figures: Vec<String> = figures.iter().map(|(value, unit)| format!("{:>9} {unit}", figure(*value))).collect();
    println!("    {name:<44} {}", figures.join("  "));
}

/// As many digits as mean something.
fn figure(value: f64) -> String {
    let digits =
        if value == 0.0 || value.abs() >= 100.0 { 0 } else { 3 - value.abs().log10().floor().clamp(0.0, 2.0) as usize };
    format!("{value:.*}", digits.min(2))
}

/// A contestant: does what is measured as often as it is told.
pub type Contestant<'a> = &'a mut dyn FnMut(usize);

/// Runs the contestants in turn, `rounds` times `calls` calls each, and gives each one's median time of a call in nanoseconds.
///
/// # Panics
/// If `rounds` is 0.
pub fn compare<const N: usize>(rounds: usize, calls: usize, contestants: [Contestant<'_>; N]) -> [f64; N] {
    let mut times: [Vec<f64>; N] = std::array::from_fn(|_| Vec::with_capacity(rounds));
    let (mut order, mut random): ([usize; N], _) = (std::array::from_fn(|which| which), Random(N as u64));
    // The first round warms up and is not counted. The turns are shuffled: nobody always runs after the same neighbour, who
    // leaves the caches full of what is wanted next, or of anything but that.
    for round in 0..=rounds {
        for last in (1..N).rev() {
            order.swap(last, random.below(last + 1));
        }
        for which in order {
            let start = Instant::now();
            contestants[which](calls);
            let elapsed = start.elapsed();
            if round > 0 {
                times[which].push(elapsed.as_secs_f64() * 1e9 / calls as f64);
            }
        }
    }
    times.map(median)
}

/// The value in the middle.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
