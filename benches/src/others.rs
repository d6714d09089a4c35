//! Whether the machine was ours alone while something was measured.

use std::fs;

/// Watches what other programs do until it is dropped, and tells if it was much: on a busy machine a thread that was woken may wait
/// for its turn longer than for the disk.
#[derive(Debug)]
#[must_use = "it tells when it is dropped"]
pub struct Others(Option<Ticks>);

/// Processor time since the machine was started, in the kernel's ticks.
#[derive(Clone, Copy, Debug)]
struct Ticks {
    all: u64,
    busy: u64,
    /// Of this program, and of the children that have ended.
    own: u64,
}

/// A share that is no more than what systems do for themselves.
const LITTLE: f64 = 0.05;

impl Others {
    /// Begins to watch, where the kernel tells (Linux).
    pub fn watch() -> Self {
        Self(Ticks::now())
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        let (Some(before), Some(now)) = (self.0, Ticks::now()) else { return };
        let busy = (now.busy - before.busy).saturating_sub(now.own - before.own);
        let share = busy as f64 / (now.all - before.all).max(1) as f64;
        if share > LITTLE {
            println!("    other programs had {:.0} % of the processors meanwhile: run this on a quiet machine", share * 100.0);
        }
    }
}

impl Ticks {
    fn now() -> Option<Self> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        let number = |text: &str| text.parse::<i64>().map_or(0, i64::unsigned_abs);
        let numbers = |text: &str| text.split_whitespace().map(number).collect::<Vec<u64>>();
        // user, nice, system, idle, iowait, irq, softirq, steal
        let total = numbers(stat.lines().next()?.strip_prefix("cpu")?);
        let all = total.iter().take(8).sum();
        let idle = total.get(3)? + total.get(4)?;
        let own = fs::read_to_string("/proc/self/stat").ok()?;
        // Behind the program's name, which may have spaces: the state, and the numbers from the parent's on.
        let own = numbers(own.rsplit_once(") ")?.1.split_once(' ')?.1);
        let own = own.get(10..14)?.iter().sum();
        Some(Self { all, busy: all - idle, own })
    }
}
