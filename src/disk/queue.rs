//! The operations that wait for the disk, in the order in which they were accepted, and the callers that wait for them.
//!
//! Invariants:
//! - Operations of one key reach the journal in the order of their numbers; what could not be written returns to the front.
//! - An operation is in `queued` or in `writing` until the journal has it: none is ever in neither.
//! - Ends of sessions have their own group: they are acknowledged even when nothing else can be.
//!
//! Knows nothing of files.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex, MutexGuard};
use sessile_codec::Record;

use super::{
    op::{Op, Queued, coalesce, extract_ends},
    process::Process,
    ticket::{Group, Ticket},
};
use crate::{
    Error,
    memory::{Before, Seq},
    token::Key,
};

/// How soon an operation must be on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// A caller waits for it.
    Now,
    /// Within the flush interval.
    Soon,
}

pub(super) struct Queue {
    /// The process whose threads resolve the tickets.
    process: Process,
    state: Mutex<State>,
    /// Bytes of the queued operations. Changed under the lock, and read without it to check for room.
    queued_bytes: AtomicUsize,
    work: Condvar,
    flush_interval: Duration,
    commit_timeout: Duration,
    watch: Condvar,
}

struct State {
    queued: VecDeque<Queued>,
    /// The flusher's current batch, and the callers that wait for it.
    writing: Arc<Vec<Queued>>,
    in_flight: Option<Waiters>,
    next_seq: Seq,
    waiters: Waiters,
    /// When the flusher must begin, at the latest.
    due: Option<Instant>,
    sweep: Option<Arc<Group>>,
    closing: bool,
    finished: bool,
    /// Whether the watchdog sleeps until a caller waits.
    watchdog_parked: bool,
}

/// The callers that wait for the same batch.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiters {
    /// For any operation in it.
    pub(super) all: Arc<Group>,
    /// For the end of a session in it.
    pub(super) ends: Arc<Group>,
    /// For everything before it.
    others: Vec<Arc<Group>>,
    since: Option<Instant>,
}

impl Waiters {
    pub(super) fn resolve(&self, result: &Result<(), Error>) {
        self.ends.resolve(result.clone());
        self.all.resolve(result.clone());
        self.others.iter().for_each(|group| group.resolve(result.clone()));
    }
}

/// Above this, a commit waits for the disk whatever its durability, so that the changes pinned in memory stay bounded. Some
/// 16,000 typical records, which a working disk writes in less than a second.
const HIGH_WATER_BYTES: usize = 16 << 20;
/// A century means never, in case the platform's clock cannot represent the configured time.
const FOREVER: Duration = Duration::from_hours(876_600);
/// Above this, commits are refused: the disk has not worked for a while. Four times [`HIGH_WATER_BYTES`], above which every
/// commit waits: only thousands of concurrent requests fill the queue this far.
const FULL_BYTES: usize = 64 << 20;

/// The flusher's next work.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) ops: Arc<Vec<Queued>>,
    pub(super) waiters: Waiters,
    pub(super) sweep: Option<Arc<Group>>,
    pub(super) closing: bool,
}

impl Queue {
    pub(super) fn new(process: Process, flush_interval: Duration, commit_timeout: Duration) -> Self {
        let state = State {
            queued: VecDeque::new(),
            writing: Arc::default(),
            in_flight: None,
            next_seq: 1,
            waiters: Waiters::default(),
            due: None,
            sweep: None,
            closing: false,
            finished: false,
            watchdog_parked: false,
        };
        let (work, watch) = (Condvar::new(), Condvar::new());
        let (flush_interval, commit_timeout) = (flush_interval.min(FOREVER), commit_timeout.min(FOREVER));
        Self {
            process,
            state: Mutex::new(state),
            queued_bytes: AtomicUsize::new(0),
            work,
            flush_interval,
            commit_timeout,
            watch,
        }
    }

    /// Whether the queue takes another operation.
    pub(super) fn has_room(&self) -> bool {
        self.queued_bytes.load(Ordering::Relaxed) < FULL_BYTES
    }

    fn change_queued_bytes(&self, more: usize, less: usize) -> usize {
        let bytes = self.queued_bytes.load(Ordering::Relaxed) + more - less;
        self.queued_bytes.store(bytes, Ordering::Relaxed);
        bytes
    }

    /// Queues `op`. If no caller waits for it, and the last write of the same key is still queued, `op` replaces that write.
    pub(super) fn push(&self, op: Op, urgency: Urgency, before: Before) -> (Seq, Ticket) {
        let mut state = self.state.lock();
        if state.closing {
            return (state.number(), Ticket::failed(Error::Closed));
        }
        let (op_bytes, is_end) = (op.cost_bytes(), op.is_end());
        // A caller may wait because of something queued in between, such as an eviction: that must not be written later.
        let (seq, replaced_bytes) = state.place(op, before, urgency == Urgency::Soon);
        let queued_bytes = self.change_queued_bytes(op_bytes, replaced_bytes);
        let urgency = if queued_bytes > HIGH_WATER_BYTES { Urgency::Now } else { urgency };
        let ticket = match urgency {
            Urgency::Now => self.wait_for(&mut state, is_end),
            Urgency::Soon => Ticket::done(),
        };
        // If a time is set already, a write that may wait is written then, and the clock is not read.
        if urgency == Urgency::Now || state.due.is_none() {
            let due = Instant::now() + if urgency == Urgency::Now { Duration::ZERO } else { self.flush_interval };
            if state.due.is_none_or(|earlier| due < earlier) {
                state.due = Some(due);
                self.work.notify_one();
            }
        }
        (seq, ticket)
    }

    /// Notes that a caller waits for the next batch.
    fn begin_wait(&self, state: &mut State) {
        if state.waiters.since.is_none() {
            state.waiters.since = Some(Instant::now());
            if state.watchdog_parked {
                self.watch.notify_one();
            }
        }
    }

    fn wait_for(&self, state: &mut State, end: bool) -> Ticket {
        self.begin_wait(state);
        Ticket::waiting(if end { &state.waiters.ends } else { &state.waiters.all }, &self.process)
    }

    /// Returns a ticket for everything queued so far.
    pub(super) fn flush(&self) -> Ticket {
        let mut state = self.state.lock();
        if state.closing {
            return Ticket::failed(Error::Closed);
        }
        // With nothing queued, a batch may still be in the middle of its write; the next, empty one comes after it.
        self.wake(&mut state);
        self.wait_for(&mut state, false)
    }

    /// Returns a ticket for a sweep that starts from now on.
    pub(super) fn sweep(&self) -> Ticket {
        let mut state = self.state.lock();
        if state.closing {
            return Ticket::failed(Error::Closed);
        }
        self.wake(&mut state);
        Ticket::waiting(state.sweep.get_or_insert_default(), &self.process)
    }

    /// Resolves `groups`: with the error, or when everything queued so far is durable.
    pub(super) fn answer(&self, groups: Vec<Arc<Group>>, error: Option<&Error>) {
        if groups.is_empty() {
            return;
        }
        let mut state = self.state.lock();
        let refused = error.cloned().or_else(|| state.closing.then_some(Error::Closed));
        if let Some(error) = refused {
            for group in &groups {
                group.resolve(Err(error.clone()));
            }
            return;
        }
        self.wake(&mut state);
        self.begin_wait(&mut state);
        state.waiters.others.extend(groups);
    }

    /// Refuses operations from now on.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closing = true;
        self.wake(&mut state);
    }

    fn wake(&self, state: &mut State) {
        state.due = Some(Instant::now());
        self.work.notify_one();
    }

    /// Waits until something is due, or `until`, and takes everything queued. Only the flusher calls this.
    pub(super) fn take(&self, until: Option<Instant>) -> Batch {
        let mut state = self.state.lock();
        loop {
            let wake_at = [state.due, until].into_iter().flatten().min();
            match wake_at {
                Some(at) if Instant::now() >= at => break,
                Some(at) => drop(self.work.wait_until(&mut state, at)),
                None => self.work.wait(&mut state),
            }
        }
        if state.due.is_some_and(|due| due > Instant::now()) {
            // Nothing is due: `until` has come.
            return Batch { ops: Arc::default(), waiters: Waiters::default(), sweep: None, closing: false };
        }
        self.queued_bytes.store(0, Ordering::Relaxed);
        let ops = coalesce(state.queued.drain(..).collect());
        state.due = None;
        Self::hand_out(&mut state, ops)
    }

    /// Takes only the ends of sessions, and drops what they make void: for a disk that has room for nothing else. Waits for
    /// one, but no longer than `until`. When the queue is closed it takes everything, because nothing is taken after that.
    pub(super) fn take_ends(&self, until: Instant) -> Batch {
        let mut state = self.state.lock();
        while !state.closing && !state.queued.iter().any(|queued| queued.op.is_end()) {
            if self.work.wait_until(&mut state, until).timed_out() {
                break;
            }
        }
        let queued = state.queued.drain(..).collect();
        if state.closing {
            self.queued_bytes.store(0, Ordering::Relaxed);
            return Self::hand_out(&mut state, coalesce(queued));
        }
        let (ends, rest) = extract_ends(queued);
        self.queued_bytes.store(rest.iter().map(|queued| queued.op.cost_bytes()).sum(), Ordering::Relaxed);
        state.queued = rest.into();
        // A caller that waits for anything else gets an error at once, and retries.
        Self::hand_out(&mut state, ends)
    }

    fn hand_out(state: &mut MutexGuard<'_, State>, ops: Vec<Queued>) -> Batch {
        state.writing = Arc::new(ops);
        let waiters = std::mem::take(&mut state.waiters);
        state.in_flight = Some(waiters.clone());
        Batch { ops: state.writing.clone(), waiters, sweep: state.sweep.take(), closing: state.closing }
    }

    /// Called when the journal has the batch that `take` returned.
    pub(super) fn written(&self) {
        let mut state = self.state.lock();
        (state.writing, state.in_flight) = (Arc::default(), None);
    }

    /// Returns `rest` of the batch, which is not durable, to the front of the queue, to be written after `pause`.
    pub(super) fn give_back(&self, rest: &[Queued], pause: Duration) {
        let mut state = self.state.lock();
        for queued in rest.iter().rev() {
            self.change_queued_bytes(queued.op.cost_bytes(), 0);
            state.queued.push_front(queued.clone());
        }
        (state.writing, state.in_flight) = (Arc::default(), None);
        state.due = Some(Instant::now() + pause);
    }

    /// Calls `visit` with every record that is on its way to the journal, oldest first.
    pub(super) fn pending(&self, mut visit: impl FnMut(&Key, &Record)) {
        let state = self.state.lock();
        for queued in state.writing.iter().chain(&state.queued) {
            for (key, record) in queued.op.changes() {
                if let Some(record) = record {
                    visit(key, record);
                }
            }
        }
    }

    /// Called when the flusher has ended.
    pub(super) fn finish(&self) {
        let mut state = self.state.lock();
        state.finished = true;
        // There are no more writes: the remaining callers must not wait forever.
        std::mem::take(&mut state.waiters).resolve(&Err(Error::Closed));
        if let Some(group) = state.sweep.take() {
            group.resolve(Err(Error::Closed));
        }
        self.watch.notify_one();
    }

    /// Fails the callers that have waited too long, until the flusher has ended. Wakes only now and then, so that a batch
    /// without delay costs nothing here.
    pub(super) fn watch(&self) {
        let mut state = self.state.lock();
        let mut idle = false;
        while !state.finished {
            let now = Instant::now();
            let oldest = state.in_flight.iter().chain([&state.waiters]).filter_map(|waiters| waiters.since).min();
            match oldest.map(|since| since + self.commit_timeout) {
                None if idle => {
                    state.watchdog_parked = true;
                    self.watch.wait(&mut state);
                    state.watchdog_parked = false;
                    idle = false;
                }
                None => {
                    idle = true;
                    self.watch.wait_for(&mut state, self.commit_timeout);
                }
                Some(at) if now < at => drop(self.watch.wait_until(&mut state, at)),
                Some(_) => {
                    idle = false;
                    self.time_out(&mut state, now);
                }
            }
        }
    }

    fn time_out(&self, state: &mut State, now: Instant) {
        let late = |waiters: &Waiters| waiters.since.is_some_and(|since| since + self.commit_timeout <= now);
        let answer = Err(Error::TimedOut { after: self.commit_timeout });
        if let Some(waiters) = state.in_flight.as_mut().filter(|waiters| late(waiters)) {
            waiters.since = None;
            waiters.resolve(&answer);
        }
        if late(&state.waiters) {
            // A caller that comes now has not waited yet.
            std::mem::take(&mut state.waiters).resolve(&answer);
        }
    }
}

impl State {
    fn number(&mut self) -> Seq {
        self.next_seq += 1;
        self.next_seq - 1
    }

    /// Replaces the key's last write with `op` if `may_replace` and that write is still queued. Otherwise appends `op`. Returns the number of
    /// the write, and the bytes that the replaced one took.
    fn place(&mut self, op: Op, Before { seq: before, is_unborn }: Before, may_replace: bool) -> (Seq, usize) {
        let first = self.queued.front().map_or(Seq::MAX, |queued| queued.seq);
        // Mostly the numbers have no gaps. Where they have, nothing is found, and the earlier write is left out later.
        let at = before.filter(|_| may_replace).and_then(|seq| usize::try_from(seq.checked_sub(first)?).ok());
        if let Some(queued) = at.and_then(|at| self.queued.get_mut(at))
            && Some(queued.seq) == before
            && matches!((&queued.op, &op), (Op::Put { key: older, .. }, Op::Put { key, .. }) if older == key)
        {
            let replaced_bytes = queued.op.cost_bytes();
            queued.op = op;
            return (queued.seq, replaced_bytes);
        }
        let seq = self.number();
        self.queued.push_back(Queued { seq, op, fresh: is_unborn });
        (seq, 0)
    }
}

#[cfg(test)]
mod tests;
