//! Group commit for peers: one thread writes what came while its last write went on, and tells all who waited at once.
//!
//! It does no more than it must: a lock, a vector of records, a thread that is woken only when it sleeps, and the waiters' wakers.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    thread::{self, JoinHandle},
};

use super::{Durable, Put, RECORD_BYTES, key};

/// A key and its value.
pub type Record = ([u8; 16], [u8; RECORD_BYTES]);

/// What a group writes to.
pub trait Sink: Send + 'static {
    /// Makes `records` durable.
    fn commit(&mut self, records: &[Record]);
}

/// A peer behind a thread that commits in groups.
pub struct Group {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    records: Vec<Record>,
    wakers: Vec<Waker>,
    /// Of those who began to wait while their group was being written.
    late: Vec<Waker>,
    /// Of the groups up to this one all is durable.
    done: u64,
    /// The group that is joined now.
    group: u64,
    asleep: bool,
    closing: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, sink: &mut impl Sink) {
        let (mut records, mut wakers) = (Vec::new(), Vec::new());
        let mut state = self.lock();
        loop {
            while state.records.is_empty() {
                if state.closing {
                    return;
                }
                state.asleep = true;
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.asleep = false;
            mem::swap(&mut state.records, &mut records);
            mem::swap(&mut state.wakers, &mut wakers);
            state.group += 1;
            drop(state);
            sink.commit(&records);
            records.clear();
            state = self.lock();
            state.done += 1;
            wakers.append(&mut state.late);
            drop(state);
            wakers.drain(..).for_each(Waker::wake);
            state = self.lock();
        }
    }
}

impl Group {
    /// Commits to `sink` from now on.
    ///
    /// # Panics
    /// If the operating system gives no thread.
    #[must_use]
    pub fn new(mut sink: impl Sink) -> Self {
        let shared = Arc::new(Shared::default());
        let at_thread = shared.clone();
        Self { shared, thread: Some(thread::spawn(move || at_thread.run(&mut sink))) }
    }

    /// Puts the sessions below `sessions`, and comes back when they are durable.
    pub fn fill(&self, sessions: usize) {
        let mut last = Put::Done;
        for n in 0..sessions {
            last = self.put(n, 0);
            if n % 10_000 == 0 {
                crate::block_on(mem::replace(&mut last, Put::Done));
            }
        }
        crate::block_on(last);
    }
}

impl Durable for Group {
    fn put(&self, n: usize, news: u64) -> Put<'_> {
        let mut value = [0x5a; RECORD_BYTES];
        value[..8].copy_from_slice(&news.to_le_bytes());
        let key = key(n);
        let mut state = self.shared.lock();
        state.records.push((key, value));
        if mem::take(&mut state.asleep) {
            self.shared.work.notify_one();
        }
        Put::Group(Joined { shared: &self.shared, group: state.group + 1 })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.work.notify_one();
        // It ends with its sink: nothing of the peer goes on afterwards.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// A put that waits for its group.
pub struct Joined<'a> {
    shared: &'a Shared,
    group: u64,
}

impl Future for Joined<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.shared.lock();
        if state.done >= self.group {
            return Poll::Ready(());
        }
        let waiting = if self.group > state.group { &mut state.wakers } else { &mut state.late };
        waiting.push(context.waker().clone());
        Poll::Pending
    }
}

impl fmt::Debug for Joined<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Joined").field("group", &self.group).finish_non_exhaustive()
    }
}
