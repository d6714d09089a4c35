//! What wears out flash memory: 20 updates a second over 100 sessions, for an hour, with `Builder::flash_friendly`.
//!
//! The hour is not waited for: the store is flushed at the end of each interval, as it does by itself. Counted are the bytes that the
//! store gives to writes, on a simulated disk, and those that reach the device, which are whole pages of the page cache.

use std::{collections::HashSet, thread, time::Duration};

use sessile::testing::ManualClock;
use sessile_benches::{
    Random, Target,
    disk::{DeviceBytes, FILE, RECORD_BYTES, SessilePut, builder, directory, rest},
    report, row, sized,
};
use sessile_fault_disk::FaultDisk;

const SESSIONS: usize = 100;
const PER_SECOND: usize = 20;
/// The interval of `flash_friendly`.
const INTERVAL_SECS: usize = 10;
/// Longer than the store waits before it marks its last write, when nothing comes after it.
const PAUSE: Duration = Duration::from_millis(15);

fn main() {
    let clock = ManualClock::default();
    let builder = builder().flash_friendly().clock(clock.clone());
    let disk = FaultDisk::new(0);
    let mut puts = SessilePut::fill(builder.clone().open_on(&disk).expect("it is new"), SESSIONS);
    let before = disk.counts().bytes_written;
    let changed = an_hour(&puts, &clock);
    puts.close();
    let written = disk.counts().bytes_written - before;
    let what = "bytes written by flash_friendly, 20 updates/s over 100 sessions";
    let ratio = |written: u64| written as f64 / changed as f64;
    report("Flash", what, ratio(written), "x what changed within each interval", Target::AtMost(2.5));

    let dir = directory(env!("CARGO_TARGET_TMPDIR"));
    let Some(device) = DeviceBytes::of(dir.path()) else { return };
    puts = SessilePut::fill(builder.open(dir.path().join(FILE)).expect("it is new"), SESSIONS);
    rest(dir.path(), sized(Duration::from_secs(5), Duration::ZERO));
    let before = device.now();
    an_hour(&puts, &clock);
    puts.close();
    let written = device.now() - before;
    row("at the device", &[(ratio(written), "x what changed within each interval")]);
}

/// Gives the bytes of the sessions that changed, each counted once for each interval in which it did.
fn an_hour(puts: &SessilePut, clock: &ManualClock) -> u64 {
    let mut random = Random(1);
    let mut changed = 0;
    for _ in 0..sized(3_600, 300) / INTERVAL_SECS {
        let sessions: HashSet<usize> = (0..PER_SECOND * INTERVAL_SECS)
            .map(|_| {
                let session = random.below(SESSIONS);
                drop(puts.save(session, random.next_u64()));
                session
            })
            .collect();
        changed += sessions.len() * RECORD_BYTES;
        clock.advance(Duration::from_secs(INTERVAL_SECS as u64));
        puts.store().flush().wait().expect("the disk works");
        thread::sleep(PAUSE);
    }
    changed as u64
}
