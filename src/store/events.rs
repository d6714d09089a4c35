//! Sends a store's events to its subscribers.
//!
//! Invariants: sending never waits for a subscriber. A subscriber that is too slow loses the oldest events and learns how many.
//! Without a subscriber, an event costs one relaxed load.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use crate::{
    token::Handle,
    wake::{Deferred, wake},
};

/// Something that happened to a session; from [`Store::subscribe`](crate::Store::subscribe).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A session was stored for the first time.
    Created {
        /// The session.
        handle: Handle,
    },
    /// A session got a new token, by [`Session::sign_in`](crate::Session::sign_in), [`rotate`](crate::Session::rotate) or
    /// [`rotate_with_grace`](crate::Session::rotate_with_grace).
    Rotated {
        /// The session.
        handle: Handle,
    },
    /// A session was ended.
    Destroyed {
        /// The session.
        handle: Handle,
        /// Why.
        reason: EndReason,
    },
    /// A session was bound to the device of its browser.
    #[cfg(feature = "device-bound")]
    DeviceBound {
        /// The session.
        handle: Handle,
    },
    /// A client that presented this session's token gave a proof of its device, or a key to register, that was refused.
    #[cfg(feature = "device-bound")]
    DeviceRefused {
        /// The session.
        handle: Handle,
        /// Why.
        refusal: crate::device::Refusal,
    },
    /// A session expired and was deleted. The store notices within [`Builder::sweep_interval`](crate::Builder::sweep_interval)
    /// plus one minute.
    Expired {
        /// The session.
        handle: Handle,
    },
    /// The subscriber was too slow and lost this many events before the next one.
    Missed {
        /// The number of lost events.
        count: u64,
    },
}

/// Why a session was ended before it expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndReason {
    /// [`Session::destroy`](crate::Session::destroy): its visitor signed out.
    Logout,
    /// [`Store::destroy_session_of`](crate::Store::destroy_session_of), [`destroy_sessions_of`](crate::Store::destroy_sessions_of) or
    /// [`destroy_other_sessions_of`](crate::Store::destroy_other_sessions_of).
    Revoked,
    /// Its owner began another session and has [as many as allowed](crate::Builder::sessions_per_owner).
    OwnerLimit,
    /// It had no owner, and the store [was full](crate::Builder::max_sessions).
    StoreFull,
}

/// Events that wait for a subscriber before it loses some: those of a busy second, in some tens of KiB.
const CAPACITY: usize = 1024;

/// The events of a store, from the call of [`Store::subscribe`](crate::Store::subscribe) on.
///
/// [`recv`](Self::recv) is a future, for any runtime or none; [`wait`](Self::wait) blocks the thread. At most 1,024 events are
/// kept. When there are more, the oldest are dropped and the next event is [`Event::Missed`].
#[derive(Debug)]
pub struct Events(Arc<Inbox>);

#[derive(Debug, Default)]
struct Inbox {
    state: Mutex<InboxState>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct InboxState {
    events: VecDeque<Event>,
    missed: u64,
    closed: bool,
    waker: Option<Waker>,
}

impl InboxState {
    fn pop(&mut self) -> Option<Event> {
        match std::mem::take(&mut self.missed) {
            0 => self.events.pop_front(),
            count => Some(Event::Missed { count }),
        }
    }
}

impl Events {
    /// Returns the next event; `None` once the store is closed and all events have been returned.
    pub fn recv(&mut self) -> impl Future<Output = Option<Event>> + Send + '_ {
        Next(&self.0)
    }

    /// Returns the next event if there is one already.
    pub fn try_next(&mut self) -> Option<Event> {
        self.0.state.lock().pop()
    }

    /// Blocks the thread until the next event, for at most `timeout`. Returns `None` if there was none, or if the store is
    /// closed and all events have been returned.
    pub fn wait(&mut self, timeout: Duration) -> Option<Event> {
        let until = Instant::now().checked_add(timeout);
        let mut state = self.0.state.lock();
        loop {
            if let Some(event) = state.pop() {
                return Some(event);
            }
            if state.closed {
                return None;
            }
            match until {
                None => self.0.arrived.wait(&mut state),
                Some(until) if self.0.arrived.wait_until(&mut state, until).timed_out() => return state.pop(),
                Some(_) => {}
            }
        }
    }
}

struct Next<'a>(&'a Inbox);

impl Future for Next<'_> {
    type Output = Option<Event>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.state.lock();
        match state.pop() {
            Some(event) => Poll::Ready(Some(event)),
            None if state.closed => Poll::Ready(None),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// Sends events to every subscriber.
#[derive(Default)]
pub(super) struct Broadcast {
    /// An upper bound of the number of subscribers, to see without a lock that there is none.
    count: AtomicUsize,
    inboxes: Mutex<Vec<Weak<Inbox>>>,
}

impl Broadcast {
    pub(super) fn subscribe(&self) -> Events {
        let inbox = Arc::new(Inbox::default());
        let mut inboxes = self.inboxes.lock();
        inboxes.push(Arc::downgrade(&inbox));
        self.count.store(inboxes.len(), Ordering::Relaxed);
        Events(inbox)
    }

    /// Sends the event that `event` returns to every subscriber.
    pub(super) fn send(&self, event: impl FnOnce() -> Event) {
        if self.count.load(Ordering::Relaxed) > 0 {
            let event = event();
            self.each(|state| {
                if state.events.len() == CAPACITY {
                    state.events.pop_front();
                    state.missed += 1;
                }
                state.events.push_back(event);
            });
        }
    }

    /// Marks the end of the events.
    pub(super) fn close(&self) {
        self.each(|state| state.closed = true);
    }

    fn each(&self, mut with: impl FnMut(&mut InboxState)) {
        let _deferred = Deferred::begin();
        let mut inboxes = self.inboxes.lock();
        inboxes.retain(|inbox| {
            let Some(inbox) = inbox.upgrade() else { return false };
            let mut state = inbox.state.lock();
            with(&mut state);
            let waker = state.waker.take();
            drop(state);
            inbox.arrived.notify_one();
            waker.into_iter().for_each(wake);
            true
        });
        self.count.store(inboxes.len(), Ordering::Relaxed);
    }
}
