//! The thread that writes the journal: one write and one sync for all commits that arrived during the previous one.
//!
//! Invariants: only a successful sync resolves a group with success; what could not be written is reported to all callers that
//! wait for it, and is retried in a fresh segment; no error ends the thread before the store is closed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    Upstream,
    database::Database,
    frame,
    journal::{Active, Journal, Next},
    op::Queued,
    queue::{Batch, Queue, Waiters},
    ticket::Group,
};
use crate::{Error, error::Cause, log};

pub(super) struct Flusher {
    journal: Arc<Journal>,
    database: Arc<Database>,
    queue: Arc<Queue>,
    upstream: Arc<dyn Upstream>,
    syncs: AtomicU64,
    degraded: AtomicBool,
}

/// The pause after a failure doubles from the first to the second: short enough that a store works again within half a second
/// of its disk, long enough that a disk that keeps failing is not kept busy.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));
/// How long the queue must be empty before the last write is marked as durable. Longer than the gaps of a store under load,
/// which then writes no marks: the next frame implies the same.
const IDLE: Duration = Duration::from_millis(10);
/// An eighth of a segment is kept for the ends of sessions when no other segment is ready: in the shortest, room for 170 frames of an end,
/// which take 48 bytes.
const RESERVE: u64 = 8;

/// Why a batch was not written completely.
enum Stop {
    /// There is no room, because redb does not take over closed segments.
    Full(Error),
    Failed(Error),
}

impl Flusher {
    pub(super) fn new(journal: Arc<Journal>, database: Arc<Database>, queue: Arc<Queue>, upstream: Arc<dyn Upstream>) -> Self {
        Self { journal, database, queue, upstream, syncs: AtomicU64::new(0), degraded: AtomicBool::new(false) }
    }

    pub(super) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    pub(super) fn is_degraded(&self) -> bool {
        self.degraded.load(Ordering::Relaxed)
    }

    /// Writes batches until the queue is closed. What it cannot write then is left to the last checkpoint.
    pub(super) fn run(&self) {
        let mut writer = WriterState::default();
        let mut pause = PAUSE.0;
        loop {
            let batch = self.next_batch(&mut writer);
            let (written, result) = self.write(&mut writer, &batch.ops);
            let rest = &batch.ops[written..];
            if batch.closing {
                return self.finish(writer, rest, &batch);
            }
            if result.is_ok() {
                pause = PAUSE.0;
                self.queue.written();
            } else {
                self.queue.give_back(rest, pause);
                pause = (pause * 2).min(PAUSE.1);
            }
            self.tell(&mut writer, &batch.waiters, result);
            if let Some(group) = batch.sweep {
                if let Some(active) = writer.active.take_if(|active| !active.segment.is_unused()) {
                    self.journal.close_segment(active, true);
                }
                self.journal.request_sweep(group);
            }
        }
    }

    fn next_batch(&self, writer: &mut WriterState) -> Batch {
        if self.journal.is_starved() {
            // A record that is too long for the remaining room must not delay the ends behind it.
            if std::mem::take(&mut writer.too_long) || !self.journal.has_ready() {
                return self.queue.take_ends(Instant::now() + PAUSE.0);
            }
            self.journal.set_starved(false);
        }
        let unmarked = writer.active.as_mut().filter(|active| !active.segment.is_marked());
        let Some(unmarked) = unmarked else { return self.queue.take(None) };
        let batch = self.queue.take(Some(Instant::now() + IDLE));
        // Not while there is work: the next write implies the same.
        if batch.ops.is_empty() && !batch.closing {
            // A failure shows at the next write, which a caller waits for.
            let _ = unmarked.segment.mark();
        }
        batch
    }

    /// Resolves the callers that wait for a batch.
    fn tell(&self, writer: &mut WriterState, waiters: &Waiters, result: Result<(), Stop>) {
        let was_starved = self.journal.is_starved();
        let result = match result {
            // The ends were written; there was no room for anything else.
            Ok(()) if was_starved => {
                writer.owed.drain(..).chain([waiters.ends.clone()]).for_each(|ends| ends.resolve(Ok(())));
                Err(self.journal.trouble().unwrap_or_else(full))
            }
            // The ends are back in the queue, and are written before anything else.
            Err(Stop::Full(error)) if !was_starved => {
                writer.owed.push(waiters.ends.clone());
                writer.too_long = self.journal.has_ready();
                self.journal.set_starved(true);
                self.note(Some(&error));
                return waiters.all.resolve(Err(error));
            }
            Ok(()) => Ok(()),
            Err(Stop::Full(error) | Stop::Failed(error)) => Err(error),
        };
        // Before the callers are resolved: a caller that is refused finds the store degraded.
        self.note(result.as_ref().err());
        writer.owed.drain(..).for_each(|ends| ends.resolve(result.clone()));
        waiters.resolve(&result);
    }

    fn note(&self, error: Option<&Error>) {
        if self.degraded.swap(error.is_some(), Ordering::Relaxed) != error.is_some() {
            log::degraded(error);
        }
    }

    /// Writes `ops` in order. Returns how many of them are durable.
    fn write(&self, writer: &mut WriterState, ops: &[Queued]) -> (usize, Result<(), Stop>) {
        let mut written = 0;
        while written < ops.len() {
            match self.write_some(writer, &ops[written..]) {
                Ok(count) => written += count,
                Err(stop) => return (written, Err(stop)),
            }
        }
        (written, Ok(()))
    }

    fn write_some(&self, writer: &mut WriterState, ops: &[Queued]) -> Result<usize, Stop> {
        // With the reserve added: a segment that only just held the frame would be full before its first write.
        let needed = frame::len_bytes(&ops[0].op, self.database.at_rest()) as u64;
        let needed = needed + needed.div_ceil(RESERVE - 1);
        let Some(active) = &mut writer.active else {
            let refused = |error| if self.journal.has_ready() { Stop::Full(error) } else { Stop::Failed(error) };
            if let Some(next) = self.journal.next(needed, true).map_err(refused)? {
                self.turn_to(writer, next);
            }
            return Ok(0);
        };
        if !writer.announced {
            // Only the checkpointer reopens redb.
            let generation = active.segment.label().generation;
            let announced = self.journal.announce(&self.database, generation, writer.named);
            announced.inspect_err(|_| self.journal.nudge()).map_err(Stop::Failed)?;
            writer.announced = true;
        }
        let only_ends = self.journal.is_starved();
        let reserve = if only_ends || self.journal.has_ready() { 0 } else { active.segment.capacity() / RESERVE };
        let frames = ops.iter().map(|queued| (&queued.op, queued.fresh));
        let count =
            active.segment.encode(&mut writer.buffer, frames, self.database.at_rest(), reserve).map_err(Stop::Failed)?;
        if count == 0 {
            if only_ends && !self.journal.has_ready() {
                return Err(Stop::Full(full()));
            }
            if let Some(next) = self.journal.next(needed, false).map_err(Stop::Full)? {
                self.turn_to(writer, next);
            }
            return Ok(0);
        }
        if let Err(error) = active.segment.append(&writer.buffer, count) {
            // The kernel may have marked pages clean that never reached the disk: this file is not written to again.
            if let Some(failed) = writer.active.take() {
                self.journal.close_segment(failed, false);
            }
            return Err(Stop::Failed(Error::Degraded { source: Cause::new(error) }));
        }
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.journal.appended(active, &ops[..count]);
        for queued in &ops[..count] {
            for (key, _) in queued.op.changes() {
                self.upstream.durable(key, queued.seq);
            }
        }
        Ok(count)
    }

    /// Continues in the next segment, and closes the ones before it in the order in which they were made. The last of them
    /// names the next.
    fn turn_to(&self, writer: &mut WriterState, next: Next) {
        let generation = next.active.segment.label().generation;
        (writer.announced, writer.named) = (false, false);
        for mut done in writer.active.replace(next.active).into_iter().chain(next.skipped) {
            // If this fails, the database names the next one, and this file is not written to again.
            writer.named = done.segment.go_on(generation).is_ok();
            self.journal.close_segment(done, writer.named);
        }
    }

    /// Leaves what could not be written to the last checkpoint, waits for it, and resolves all waiting callers with its result.
    fn finish(&self, writer: WriterState, rest: &[Queued], batch: &Batch) {
        self.journal.leave(rest);
        if let Some(active) = writer.active {
            self.journal.close_segment(active, true);
        }
        if let Some(group) = &batch.sweep {
            self.journal.request_sweep(group.clone());
        }
        self.journal.close();
        let result = if rest.is_empty() { Ok(()) } else { self.journal.wait_for_last_checkpoint() };
        writer.owed.iter().for_each(|ends| ends.resolve(result.clone()));
        batch.waiters.resolve(&result);
        self.queue.written();
        self.queue.finish();
    }
}

/// The flusher's state.
#[derive(Default)]
struct WriterState {
    active: Option<Active>,
    /// Whether the database's mark or the segment before names the active segment.
    announced: bool,
    /// Whether the segment before names it.
    named: bool,
    buffer: Vec<u8>,
    /// Whether there was no room because a record was too long.
    too_long: bool,
    /// Groups of ends that came when there was no room.
    owed: Vec<Arc<Group>>,
}

fn full() -> Error {
    Error::Degraded { source: Cause::text("the journal is full, and the database takes nothing over") }
}
