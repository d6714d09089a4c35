//! T17: backups of a store that is in use: how long durable commits take meanwhile, and how fast the copy is beside `cp`.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use sessile_benches::{
    Others, Target,
    disk::{Durable, FILE, Measured, SessilePut, builder, closed_loop, directory, open_loop, rest, runtime},
    report, row, sized,
};

const WRITERS: usize = 64;

fn main() {
    let _others = Others::watch();
    let sessions = sized(300_000, 2_000);
    let runtime = runtime();
    let dir = directory(env!("CARGO_TARGET_TMPDIR"));
    let put = Arc::new(SessilePut::new(builder().memory_budget(usize::MAX), dir.path(), sessions));
    let durable: Arc<dyn Durable> = put.clone();
    let time = sized(Duration::from_secs(10), Duration::from_millis(300));
    let patience = sized(Duration::from_secs(5), Duration::ZERO);
    rest(dir.path(), patience);
    let saturated = closed_loop(&runtime, &durable, WRITERS, sessions, time);
    let offered = saturated.per_second / 4.0;

    // In turn, so that neither has the better time of the disk.
    let (mut without, mut with) = (Vec::new(), Vec::new());
    let (copied_bytes, copying_us) = (AtomicU64::new(0), AtomicU64::new(0));
    for _ in 0..sized(3, 1) {
        rest(dir.path(), patience);
        without.push(p99(&open_loop(&runtime, &durable, WRITERS, sessions, offered, time)));
        rest(dir.path(), patience);
        let stop = AtomicBool::new(false);
        let measured = thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let (took, bytes) = back_up(&put, dir.path());
                    copied_bytes.fetch_add(bytes, Ordering::Relaxed);
                    copying_us.fetch_add(u64::try_from(took.as_micros()).expect("it is short"), Ordering::Relaxed);
                }
            });
            let measured = open_loop(&runtime, &durable, WRITERS, sessions, offered, time);
            stop.store(true, Ordering::Relaxed);
            measured
        });
        with.push(p99(&measured));
    }
    let [without, with] = [median(without), median(with)];
    let what = "p99 of durable commits while backups are made one after the other, 64 writers, a quarter of saturation";
    report("T17", what, with / without, "x p99 without", Target::AtMost(2.0));
    row("p99 of commits without", &[(without, "us")]);
    row("p99 of commits while backups are made", &[(with, "us")]);
    let busy = megabytes(copied_bytes.into_inner(), Duration::from_micros(copying_us.into_inner()));
    row("backup, read back, beside commits", &[(busy, "MB/s")]);

    rest(dir.path(), patience);
    let (took, bytes) = back_up(&put, dir.path());
    let file = dir.path().join(FILE);
    let began = Instant::now();
    let copy = dir.path().join("cp.redb");
    fs::copy(&file, &copy).and_then(|_| fs::File::open(&copy)?.sync_all()).expect("the disk works");
    let of_cp = (began.elapsed(), copy.metadata().expect("it is there").len());
    row("backup, read back, of an idle store", &[(megabytes(bytes, took), "MB/s"), (bytes as f64 / 1e6, "MB")]);
    row("cp of its file, and a sync", &[(megabytes(of_cp.1, of_cp.0), "MB/s"), (of_cp.1 as f64 / 1e6, "MB")]);
}

/// Makes a backup and removes it. Returns how long it took, and its bytes.
fn back_up(put: &SessilePut, directory: &Path) -> (Duration, u64) {
    let to = directory.join("backup.redb");
    let began = Instant::now();
    let backup = put.store().backup(&to).expect("the disk works");
    let took = began.elapsed();
    fs::remove_file(&to).expect("it was just made");
    (took, backup.file_bytes)
}

fn p99(measured: &Measured) -> f64 {
    measured.latencies.clone().sorted().quantile_us(0.99)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn megabytes(bytes: u64, took: Duration) -> f64 {
    bytes as f64 / 1e6 / took.as_secs_f64()
}
