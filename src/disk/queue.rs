//! What waits for the disk: operations in the order in which they were accepted, and those who wait for them.
//!
//! Invariants:
//! - Operations reach the file in the order of their numbers; a failed group goes back to the front of the queue, so whoever
//!   waits for a later group waits for it too.
//! - An operation is in `queued` or in `writing` until it is durable: nothing falls between.
//! - A group is resolved once, whatever happens to those who wait; a dropped future takes no operation with it.
//!
//! Knows nothing of redb.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use sessile_codec::Record;

use crate::{Error, memory::Seq, token::Key};

/// One change that the file must take over.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// `record` is what is under `key` now.
    Put { key: Key, record: Record },
    /// Nothing is under `key` any more.
    Delete { key: Key },
    /// Both in one: nothing is under `key`, and `record` is under `new_key`.
    Rekey { key: Key, new_key: Key, record: Record },
}

impl Op {
    /// What each key that the operation speaks of becomes.
    pub(super) fn changes(&self) -> impl Iterator<Item = (&Key, Option<&Record>)> {
        let (first, second) = match self {
            Self::Put { key, record } => ((key, Some(record)), None),
            Self::Delete { key } => ((key, None), None),
            Self::Rekey { key, new_key, record } => ((key, None), Some((new_key, Some(record)))),
        };
        std::iter::once(first).chain(second)
    }

    fn cost_bytes(&self) -> usize {
        let record_bytes = self.changes().filter_map(|(_, record)| record).map(|record| record.bytes().len()).sum::<usize>();
        size_of::<Self>() + record_bytes
    }
}

/// How soon an operation must be on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Somebody waits for it.
    Now,
    /// Within the flush interval.
    Soon,
}

pub(super) struct Queue {
    state: Mutex<State>,
    work: Condvar,
    flush_interval: Duration,
}

struct State {
    queued: VecDeque<(Seq, Op)>,
    queued_bytes: usize,
    writing: Arc<Vec<(Seq, Op)>>,
    next_seq: Seq,
    group: Arc<Group>,
    /// When the writer must begin, at the latest.
    due: Option<Instant>,
    sweep: bool,
    closing: bool,
}

/// Above this, a commit waits for the disk even if its class does not ask for it, so that what is pinned in memory stays bounded.
const HIGH_WATER_BYTES: usize = 16 << 20;
/// Above this, commits are refused: the disk has not worked for a while.
const FULL_BYTES: usize = 64 << 20;

/// What the writer does next.
pub(super) struct Batch {
    pub(super) ops: Arc<Vec<(Seq, Op)>>,
    pub(super) group: Arc<Group>,
    pub(super) sweep: bool,
    pub(super) closing: bool,
}

impl Queue {
    pub(super) fn new(flush_interval: Duration) -> Self {
        let state = State {
            queued: VecDeque::new(),
            queued_bytes: 0,
            writing: Arc::default(),
            next_seq: 1,
            group: Arc::default(),
            due: None,
            sweep: false,
            closing: false,
        };
        Self { state: Mutex::new(state), work: Condvar::new(), flush_interval }
    }

    /// Whether another operation may come.
    pub(super) fn has_room(&self) -> bool {
        self.state.lock().queued_bytes < FULL_BYTES
    }

    pub(super) fn push(&self, op: Op, urgency: Urgency) -> (Seq, Ticket) {
        let mut state = self.state.lock();
        let seq = state.next_seq;
        state.next_seq += 1;
        if state.closing {
            return (seq, Ticket::failed(Error::Closed));
        }
        state.queued_bytes += op.cost_bytes();
        state.queued.push_back((seq, op));
        let urgency = if state.queued_bytes > HIGH_WATER_BYTES { Urgency::Now } else { urgency };
        let ticket = match urgency {
            Urgency::Now => Ticket::waiting(&state.group),
            Urgency::Soon => Ticket::done(),
        };
        let due = Instant::now() + if urgency == Urgency::Now { Duration::ZERO } else { self.flush_interval };
        if state.due.is_none_or(|earlier| due < earlier) {
            state.due = Some(due);
            self.work.notify_one();
        }
        (seq, ticket)
    }

    /// A ticket for everything that was queued so far.
    pub(super) fn flush(&self) -> Ticket {
        let mut state = self.state.lock();
        if state.closing {
            return Ticket::failed(Error::Closed);
        }
        // With nothing queued a group may still be in the middle of its write; the next one, empty, comes after it.
        self.wake(&mut state);
        Ticket::waiting(&state.group)
    }

    /// A ticket for a sweep from now on.
    pub(super) fn sweep(&self) -> Ticket {
        let mut state = self.state.lock();
        if state.closing {
            return Ticket::failed(Error::Closed);
        }
        state.sweep = true;
        self.wake(&mut state);
        Ticket::waiting(&state.group)
    }

    /// No operation after this.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closing = true;
        self.wake(&mut state);
    }

    /// Lets the writer look at the file now, unless it is to come back to it anyway.
    pub(super) fn nudge(&self) {
        let mut state = self.state.lock();
        if state.due.is_none() {
            self.wake(&mut state);
        }
    }

    fn wake(&self, state: &mut State) {
        state.due = Some(Instant::now());
        self.work.notify_one();
    }

    /// Waits until something is due or `until` has come, and takes what there is. For the writer alone.
    pub(super) fn take(&self, until: Instant) -> Batch {
        let mut state = self.state.lock();
        loop {
            let wake_at = state.due.map_or(until, |due| due.min(until));
            if Instant::now() >= wake_at {
                break;
            }
            self.work.wait_until(&mut state, wake_at);
        }
        state.due = None;
        state.queued_bytes = 0;
        state.writing = Arc::new(state.queued.drain(..).collect());
        Batch {
            ops: state.writing.clone(),
            group: std::mem::take(&mut state.group),
            sweep: std::mem::take(&mut state.sweep),
            closing: state.closing,
        }
    }

    /// What `take` gave is durable.
    pub(super) fn written(&self) {
        self.state.lock().writing = Arc::default();
    }

    /// What `take` gave is not durable: it comes again, before everything else, no sooner than after `pause`.
    pub(super) fn give_back(&self, batch: &Batch, pause: Duration) {
        let mut state = self.state.lock();
        for (seq, op) in batch.ops.iter().rev() {
            state.queued_bytes += op.cost_bytes();
            state.queued.push_front((*seq, op.clone()));
        }
        state.writing = Arc::default();
        state.sweep |= batch.sweep;
        state.due = Some(Instant::now() + pause);
    }

    /// Every record that is on its way to the file, oldest first, as long as `visit` wants to see more.
    pub(super) fn pending(&self, mut visit: impl FnMut(&Key, &Record)) {
        let state = self.state.lock();
        for (_, op) in state.writing.iter().chain(&state.queued) {
            for (key, record) in op.changes() {
                if let Some(record) = record {
                    visit(key, record);
                }
            }
        }
    }
}

/// Those who wait for the same write.
#[derive(Debug, Default)]
pub(super) struct Group {
    state: Mutex<GroupState>,
    resolved: Condvar,
}

#[derive(Debug, Default)]
struct GroupState {
    result: Option<Result<(), Error>>,
    wakers: Vec<Waker>,
}

impl Group {
    pub(super) fn resolve(&self, result: Result<(), Error>) {
        let mut state = self.state.lock();
        state.result = Some(result);
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.resolved.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// A promise that an operation will be durable, to wait for or to drop.
#[derive(Debug)]
pub(crate) struct Ticket(Wait);

#[derive(Debug)]
enum Wait {
    Done(Result<(), Error>),
    For(Arc<Group>),
}

impl Ticket {
    pub(crate) fn done() -> Self {
        Self(Wait::Done(Ok(())))
    }

    pub(crate) fn failed(error: Error) -> Self {
        Self(Wait::Done(Err(error)))
    }

    fn waiting(group: &Arc<Group>) -> Self {
        Self(Wait::For(group.clone()))
    }

    /// Blocks the thread until the group is resolved.
    pub(crate) fn wait(&self) -> Result<(), Error> {
        match &self.0 {
            Wait::Done(result) => result.clone(),
            Wait::For(group) => {
                let mut state = group.state.lock();
                loop {
                    if let Some(result) = &state.result {
                        return result.clone();
                    }
                    group.resolved.wait(&mut state);
                }
            }
        }
    }

    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match &self.0 {
            Wait::Done(result) => Poll::Ready(result.clone()),
            Wait::For(group) => {
                let mut state = group.state.lock();
                if let Some(result) = &state.result {
                    return Poll::Ready(result.clone());
                }
                // A future that is polled again has one waker here, not one for each time.
                if !state.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                    state.wakers.push(context.waker().clone());
                }
                Poll::Pending
            }
        }
    }
}
