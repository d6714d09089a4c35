//! The thread that writes: groups of commits, sweeps, and a new try after a failure.
//!
//! Invariants: nothing but a successful sync resolves a group with success; a failed group tells everyone who waits for it, and its
//! operations are tried again; neither an error nor a panic of the database ends the thread.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    Upstream,
    file::StoreFile,
    queue::{Batch, Queue},
    sweep, tables,
};
use crate::{
    Error,
    clock::{Clock, to_ms},
    event,
};

pub(super) struct Writer {
    file: Arc<StoreFile>,
    queue: Arc<Queue>,
    upstream: Arc<dyn Upstream>,
    clock: Arc<dyn Clock>,
    sweep_interval: Duration,
    syncs: AtomicU64,
    swept: AtomicU64,
    degraded: AtomicBool,
}

/// What the writer has done so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WriterStats {
    pub(crate) syncs: u64,
    pub(crate) swept: u64,
    pub(crate) degraded: bool,
}

/// The pause after a failure doubles from the first to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

impl Writer {
    pub(super) fn new(
        file: Arc<StoreFile>,
        queue: Arc<Queue>,
        upstream: Arc<dyn Upstream>,
        clock: Arc<dyn Clock>,
        sweep_interval: Duration,
    ) -> Self {
        let (syncs, swept, degraded) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
        Self { file, queue, upstream, clock, sweep_interval, syncs, swept, degraded }
    }

    pub(super) fn stats(&self) -> WriterStats {
        WriterStats {
            syncs: self.syncs.load(Ordering::Relaxed),
            swept: self.swept.load(Ordering::Relaxed),
            degraded: self.degraded.load(Ordering::Relaxed),
        }
    }

    /// Works until the queue is closed. Gives how the last write and the closing of the file went.
    pub(super) fn run(&self) -> Result<(), Error> {
        let mut sweep_at = self.next_sweep();
        let mut pause = PAUSE.0;
        loop {
            let batch = self.queue.take(sweep_at);
            let written = self.write(&batch);
            match &written {
                Ok(()) => pause = PAUSE.0,
                Err(_) if batch.closing => {}
                Err(_) => {
                    self.queue.give_back(&batch, pause);
                    pause = (pause * 2).min(PAUSE.1);
                }
            }
            if self.degraded.swap(written.is_err(), Ordering::Relaxed) != written.is_err() {
                event::degraded(written.as_ref().err());
            }
            if written.is_ok() && !batch.closing {
                sweep_at = self.sweep(batch.sweep, sweep_at);
            }
            batch.group.resolve(written.clone());
            if batch.closing {
                return written.and(self.file.close());
            }
        }
    }

    fn next_sweep(&self) -> Instant {
        let now = Instant::now();
        // A century stands for never where the platform's clock cannot represent the interval.
        now.checked_add(self.sweep_interval).unwrap_or(now + Duration::from_hours(876_600))
    }

    fn write(&self, batch: &Batch) -> Result<(), Error> {
        if self.file.has_failed() {
            self.file.reopen()?;
        }
        if !batch.ops.is_empty() {
            let changes = || batch.ops.iter().flat_map(|(_, op)| op.changes());
            self.file.with(|db| tables::write(db, |tables| tables.apply(changes())))?;
            self.syncs.fetch_add(1, Ordering::Relaxed);
        }
        self.queue.written();
        for (seq, op) in batch.ops.iter() {
            for (key, _) in op.changes() {
                self.upstream.durable(key, *seq);
            }
        }
        Ok(())
    }

    /// Sweeps, all of what is expired if somebody waits for it, else one batch if it is time, so that commits come in between. Gives
    /// when to sweep next. A failure here is not that of the commits before it: the next run tries again.
    fn sweep(&self, all: bool, sweep_at: Instant) -> Instant {
        if !all && Instant::now() < sweep_at {
            return sweep_at;
        }
        let now_ms = to_ms(self.clock.now());
        loop {
            let Ok(swept) = self.file.with(|db| sweep::batch(db, now_ms, &*self.upstream)) else {
                return self.next_sweep();
            };
            self.swept.fetch_add(swept.deleted, Ordering::Relaxed);
            match (swept.more, all) {
                (false, _) => return self.next_sweep(),
                (true, false) => return Instant::now(),
                (true, true) => {}
            }
        }
    }
}
