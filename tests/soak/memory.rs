//! How much memory the process takes.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// Measures the resident set while the load goes on.
pub(crate) struct Resident(JoinHandle<Vec<u64>>);

/// By how much the last quarter of the time may be above the second: allocators and the pages of two tiers settle in the first.
const GROWTH_KIB: u64 = 12 << 10;

impl Resident {
    pub(crate) fn watch(lasts: Duration, stop: Arc<AtomicBool>) -> Self {
        let pause = (lasts / 200).max(Duration::from_millis(20));
        Self(thread::spawn(move || {
            let mut samples = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                samples.extend(resident_kib());
                thread::sleep(pause);
            }
            samples
        }))
    }

    /// Whether it stayed within bounds.
    pub(crate) fn verdict(self) -> crate::Result<()> {
        let samples = self.0.join().map_err(|_| "the thread that measures memory panicked")?;
        let quarters: Vec<u64> = samples
            .chunks_exact((samples.len() / 4).max(1))
            .take(4)
            .map(|quarter| quarter.iter().sum::<u64>() / quarter.len() as u64)
            .collect();
        let [first, second, third, fourth] = quarters[..] else {
            println!("resident set: not known on this platform");
            return Ok(());
        };
        let most = samples.iter().max().copied().unwrap_or_default();
        println!("resident set, mean of each quarter: {first}, {second}, {third}, {fourth} KiB; at most {most} KiB");
        if fourth > second + GROWTH_KIB {
            return Err(format!(
                "the resident set grows, from {second} to {fourth} KiB; at most {GROWTH_KIB} KiB are expected"
            )
            .into());
        }
        Ok(())
    }
}

/// The resident set, where the system tells it.
fn resident_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}
