//! The thread behind the commit path: it moves closed segments into redb, prepares segments, sweeps, quarantines damaged
//! records and reopens redb after a failure.
//!
//! Facts behind it: with 64 writers and one transaction for a whole 32 MiB segment, p99 of commits was ten times p50. In slices
//! that wait for one another it was five times. A bare log with nothing but commits has twelve to fifty on a virtual machine's
//! disk. Sorted by key, neighbours share pages; of the frames of one key only the last is written.
//!
//! Invariants: no record is moved to a file that has lost its name, and no segment is removed because of one; a segment's last
//! slice and its mark are one transaction; a slice is removed from the journal's memory only after its transaction is durable;
//! a failed job is retried after a pause that doubles.

mod expire;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{
    Upstream,
    database::Database,
    journal::{Job, Journal},
    meta::JournalMark,
    queue::Queue,
    segment::Label,
    tables::{self, Tables},
};
use crate::{
    Error,
    clock::duration_ms,
    error::Cause,
    log,
    timeline::{Mark, Timeline},
    token::Key,
};

pub(super) struct Checkpointer {
    journal: Arc<Journal>,
    database: Arc<Database>,
    queue: Arc<Queue>,
    upstream: Arc<dyn Upstream>,
    timeline: Arc<Timeline>,
    /// The time stored in the file.
    marked: Mutex<Mark>,
    sweep_interval: Duration,
    swept: AtomicU64,
    quarantined: AtomicU64,
    degraded: AtomicBool,
}

/// Records per transaction: `.0`, plus one for every `.1` bytes of the database's file. With quick-repair a transaction writes
/// a map of the whole file, some 170 KB for each gigabyte. That is at most 1,400 bytes for each record; and commits during a
/// transaction's sync wait for its pages too.
const SLICE: (usize, u64) = (100, 8 << 20);
/// The same for expired records, which no caller waits for: fewer transactions, and commits never wait long behind one.
const SWEPT: (usize, u64) = (500, 4 << 20);
/// How long a slice waits for commits to catch up, and how long all slices of a checkpoint wait at most.
const PACE: (Duration, Duration) = (Duration::from_millis(3), Duration::from_secs(2));
/// How old the time in the file may get while nothing else is written: one transaction an hour does not wear out flash.
const MARK_AGE: Duration = Duration::from_hours(1);
/// The pause after a failure doubles from the first to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

impl Checkpointer {
    pub(super) fn new(
        journal: Arc<Journal>,
        database: Arc<Database>,
        queue: Arc<Queue>,
        upstream: Arc<dyn Upstream>,
        timeline: Arc<Timeline>,
        sweep_interval: Duration,
    ) -> Self {
        let (swept, quarantined) = (AtomicU64::new(0), AtomicU64::new(0));
        let (marked, degraded) = (Mutex::default(), AtomicBool::new(false));
        Self { journal, database, queue, upstream, timeline, marked, sweep_interval, swept, quarantined, degraded }
    }

    /// Sets the time that the file contains when the store is opened.
    pub(super) fn since(self, marked: Option<Mark>) -> Self {
        Self { marked: Mutex::new(marked.unwrap_or_default()), ..self }
    }

    /// Returns the time that a transaction would store now, and the time itself in milliseconds since 1970.
    pub(super) fn clock(&self) -> (Mark, u64) {
        (self.timeline.mark(), self.timeline.now_ms())
    }

    pub(super) fn swept(&self) -> u64 {
        self.swept.load(Ordering::Relaxed)
    }

    pub(super) fn quarantined(&self) -> u64 {
        self.quarantined.load(Ordering::Relaxed)
    }

    pub(super) fn is_degraded(&self) -> bool {
        self.degraded.load(Ordering::Relaxed)
    }

    /// Runs jobs until the journal is closed. Returns the result of the last checkpoint and of closing the database.
    pub(super) fn run(&self) -> Result<(), Error> {
        let _answer = AnswerPanic(&self.journal);
        let result = self.work();
        self.journal.ended(result.clone());
        result
    }

    fn work(&self) -> Result<(), Error> {
        let mut sweep_at = self.next_sweep();
        let (mut pause, mut retry_at) = (PAUSE.0, None);
        let mut has_another_try = true;
        loop {
            let job = self.journal.job(sweep_at, retry_at, || self.database.has_failed());
            let is_checkpoint = matches!(job, Job::Checkpoint(_));
            let done = match job {
                Job::Reopen => self.database.reopen(),
                Job::Prepare => self.journal.prepare(),
                Job::Checkpoint(label) => self.checkpoint(&label),
                Job::Recount(keys) => self.recount(&keys),
                Job::Quarantine(keys) => self.quarantine(&keys),
                Job::Sweep(groups) => {
                    let swept = self.database.check_name().and_then(|()| self.sweep(!groups.is_empty()));
                    sweep_at = if matches!(swept, Ok(true)) { Instant::now() } else { self.next_sweep() };
                    // Before the waiters are answered: a caller that gets the error finds `Stats::degraded` set.
                    if let Err(error) = &swept {
                        self.note(Some(error.clone()));
                    }
                    self.queue.answer(groups, swept.as_ref().err());
                    swept.map(drop)
                }
                Job::Probe => self.transact_and_mark(|_| Ok(())),
                Job::Close => return self.close(),
            };
            match done {
                Ok(()) => {
                    (pause, retry_at) = (PAUSE.0, None);
                    // A job that does not use the file succeeds although the file has lost its name.
                    let has_name = !self.is_degraded() || self.database.check_name().is_ok();
                    if has_name && (is_checkpoint || !self.journal.has_due()) {
                        self.note(None);
                    }
                }
                // The failure may have begun before the store was closed, and before the disk worked again.
                Err(_) if self.journal.is_closing() && has_another_try => has_another_try = false,
                Err(error) if self.journal.is_closing() => {
                    // The journal stays as it is, and the next open takes it over.
                    let _ = self.database.close();
                    self.give_up(&error);
                    return Err(error);
                }
                Err(error) => {
                    self.note(Some(error.clone()));
                    self.give_up(&error);
                    retry_at = Some(Instant::now() + pause);
                    pause = (pause * 2).min(PAUSE.1);
                }
            }
        }
    }

    fn next_sweep(&self) -> Instant {
        let now = Instant::now();
        // A century means never, in case the platform's clock cannot represent the interval.
        now.checked_add(self.sweep_interval).unwrap_or(now + Duration::from_hours(876_600))
    }

    fn note(&self, error: Option<Error>) {
        if self.degraded.swap(error.is_some(), Ordering::Relaxed) != error.is_some() {
            log::degraded(error.as_ref());
        }
        self.journal.set_trouble(error);
    }

    fn give_up(&self, error: &Error) {
        for group in self.journal.take_sweeps() {
            group.resolve(Err(error.clone()));
        }
    }

    /// Writes the pending records of a generation to redb. The last transaction also writes the generation's mark.
    fn checkpoint(&self, label: &Label) -> Result<(), Error> {
        let keys = self.keys_of(label.generation);
        let give_up = Instant::now() + PACE.1;
        let len = self.in_transaction(SLICE);
        let (slices, last) = keys.split_at(keys.len().saturating_sub(1) / len * len);
        for (nth, slice) in slices.chunks(len).enumerate() {
            while self.journal.is_ahead(nth * len, keys.len()) && Instant::now() < give_up {
                thread::sleep(PACE.0);
            }
            self.write_slice(label.generation, slice, None)?;
        }
        self.journal.pass(label, |mark| self.write_slice(label.generation, last, Some(mark)))?;
        // If the file has lost its name, its contents are lost when the process ends: keep the segment, and move it again.
        self.database.check_name()?;
        self.journal.pending().write().forget(label.generation);
        self.journal.checkpointed();
        Ok(())
    }

    /// Returns the number of changes per transaction: `least`, plus one for every `bytes` bytes of the file.
    fn in_transaction(&self, (least, bytes): (usize, u64)) -> usize {
        least + usize::try_from(self.database.len_bytes() / bytes).unwrap_or(usize::MAX >> 1)
    }

    /// Returns the keys whose newest frame is in `generation`, in redb's order.
    fn keys_of(&self, generation: u64) -> Vec<Key> {
        let mut keys = self.journal.pending().read().keys_of(generation);
        keys.sort_unstable();
        let mut kept = Vec::with_capacity(keys.len());
        // In small parts: otherwise the flusher, and every waiting commit, would wait until all have been looked up.
        for some in keys.chunks(SLICE.0) {
            let pending = self.journal.pending().read();
            kept.extend(some.iter().filter(|key| pending.is_of(key, generation)));
        }
        kept
    }

    /// Asks redb which of the replayed `keys` it has, and corrects the count. A frame contains what redb had when the frame was
    /// written, before older segments were moved. Asking for all of them at open can take seconds if a large file is not in the
    /// page cache.
    fn recount(&self, keys: &[Key]) -> Result<(), Error> {
        if keys.is_empty() {
            return Ok(());
        }
        let in_file = self.database.with(|redb| tables::which(redb, keys))?;
        let difference = self.journal.pending().write().compare(keys, &in_file);
        self.journal.is_sure(keys);
        self.upstream.recounted(difference);
        Ok(())
    }

    fn write_slice(&self, generation: u64, keys: &[Key], mark: Option<JournalMark>) -> Result<(), Error> {
        self.recount(&self.journal.unsure(keys))?;
        let changes = self.journal.pending().read().changes(keys, generation);
        if changes.is_empty() && mark.is_none() {
            return Ok(());
        }
        let clock = self.timeline.mark();
        let records = self.write(|tables| {
            tables.apply(&changes)?;
            // The page with the journal's mark is written anyway.
            let Some(mark) = mark else { return Ok(()) };
            tables.set_journal(mark)?;
            tables.set_clock(clock)
        })?;
        self.journal.pending().write().settle(&changes, generation, records);
        if mark.is_some() {
            *self.marked.lock() = clock;
        }
        Ok(())
    }

    fn transact(&self, work: impl FnOnce(&mut Tables<'_>) -> Result<(), redb::Error>) -> Result<(), Error> {
        let records = self.write(work)?;
        self.journal.pending().write().set_in_file(records);
        Ok(())
    }

    /// Runs `work` in one transaction. Returns the number of records after it.
    fn write(&self, work: impl FnOnce(&mut Tables<'_>) -> Result<(), redb::Error>) -> Result<u64, Error> {
        self.database.check_name()?;
        self.database.with(|redb| tables::write(redb, self.database.at_rest(), work))
    }

    /// Runs `work` in one transaction that also stores the time.
    fn transact_and_mark(&self, work: impl FnOnce(&mut Tables<'_>) -> Result<(), redb::Error>) -> Result<(), Error> {
        let clock = self.timeline.mark();
        self.transact(|tables| {
            work(tables)?;
            tables.set_clock(clock)
        })?;
        *self.marked.lock() = clock;
        Ok(())
    }

    /// Stores the time in its own transaction, if the stored one is `age` old.
    fn mark_time(&self, age: Duration) -> Result<(), Error> {
        let (clock, marked) = (self.timeline.mark(), *self.marked.lock());
        if clock == marked || clock.certain_ms < marked.certain_ms.saturating_add(duration_ms(age)) {
            return Ok(());
        }
        self.transact_and_mark(|_| Ok(()))
    }

    fn close(&self) -> Result<(), Error> {
        let mut is_marked = false;
        let ended = self.journal.end(|mark, left| {
            is_marked = true;
            self.transact_and_mark(|tables| {
                for (key, record) in left.iter().flat_map(|queued| queued.op.changes()) {
                    tables.change(key, record)?;
                }
                tables.set_journal(mark)
            })
        });
        let marked = ended.and_then(|()| if is_marked { Ok(()) } else { self.mark_time(Duration::ZERO) });
        let checked = marked.and_then(|()| self.database.check_name());
        checked.and_then(|()| self.journal.remove_all()).and(self.database.close())
    }
}

/// Returns an error to all callers that wait for the last checkpoint, if the thread panics.
struct AnswerPanic<'a>(&'a Journal);

impl Drop for AnswerPanic<'_> {
    fn drop(&mut self) {
        let error = Error::Degraded { source: Cause::text("the thread that writes the last checkpoint panicked") };
        // Without effect after a result: only the first one counts.
        self.0.ended(Err(error));
    }
}
