//! Waits for the end of one session.
//!
//! Invariants: a watch that began before its session ends is notified of the end. It follows its session to a new token that
//! has a grace, and ends when a token is replaced without one. Without a watch, the end of a session costs one extra load.

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use super::EndReason;
use crate::{
    token::Key,
    wake::{Deferred, wake},
};

/// How a session that was [watched](crate::Session::watch) ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionEnd {
    /// It was destroyed.
    Destroyed(EndReason),
    /// It expired.
    Expired,
    /// It continues under a new token, after [`Session::rotate`](crate::Session::rotate) or
    /// [`sign_in`](crate::Session::sign_in). What was opened with the old token must end.
    Rotated,
    /// It was over already when the watch began.
    Before,
    /// It may continue, but the store is closed.
    StoreClosed,
}

/// Waits for the end of a session; from [`Session::watch`](crate::Session::watch).
///
/// `.await` it in async code, on any runtime or none, or call [`wait`](Self::wait) in sync code. Dropping it ends the watch.
#[must_use = "a watch reports nothing until it is awaited"]
pub struct Watch {
    watchers: Arc<Watchers>,
    watcher: Arc<Watcher>,
}

#[derive(Default)]
struct Watcher {
    state: Mutex<WatcherState>,
    changed: Condvar,
}

#[derive(Default)]
struct WatcherState {
    /// The session's key now; `None` once it has ended.
    key: Option<Key>,
    ended: Option<SessionEnd>,
    waker: Option<Waker>,
}

impl Watcher {
    fn end(&self, how: SessionEnd) {
        let mut state = self.state.lock();
        state.ended.get_or_insert(how);
        state.key = None;
        let waker = state.waker.take();
        drop(state);
        self.changed.notify_all();
        waker.into_iter().for_each(wake);
    }
}

impl Watch {
    /// Returns how the session ended, if it has.
    pub fn ended(&self) -> Option<SessionEnd> {
        self.watcher.state.lock().ended
    }

    /// Blocks the thread until the session ends, for at most `timeout`. Returns `None` if it has not ended by then.
    pub fn wait(&self, timeout: Duration) -> Option<SessionEnd> {
        let until = Instant::now().checked_add(timeout);
        let mut state = self.watcher.state.lock();
        while state.ended.is_none() {
            match until {
                None => self.watcher.changed.wait(&mut state),
                Some(until) if self.watcher.changed.wait_until(&mut state, until).timed_out() => break,
                Some(_) => {}
            }
        }
        state.ended
    }
}

impl Future for Watch {
    type Output = SessionEnd;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<SessionEnd> {
        let mut state = self.watcher.state.lock();
        if let Some(how) = state.ended {
            return Poll::Ready(how);
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.watchers.remove(&self.watcher);
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("ended", &self.ended()).finish_non_exhaustive()
    }
}

/// All watches of a store.
#[derive(Default)]
pub(super) struct Watchers {
    /// The number of watched sessions, to see without a lock that there is none.
    count: AtomicUsize,
    by_key: Mutex<HashMap<Key, Vec<Arc<Watcher>>>>,
}

impl Watchers {
    pub(super) fn add(self: &Arc<Self>, key: &Key) -> Watch {
        let watcher = Arc::new(Watcher::default());
        watcher.state.lock().key = Some(*key);
        let mut by_key = self.by_key.lock();
        by_key.entry(*key).or_default().push(watcher.clone());
        self.count.store(by_key.len(), Ordering::SeqCst);
        Watch { watchers: self.clone(), watcher }
    }

    fn remove(&self, watcher: &Arc<Watcher>) {
        let mut by_key = self.by_key.lock();
        // Under the lock: a watcher's key changes only with it.
        let Some(key) = watcher.state.lock().key else { return };
        if let Some(watchers) = by_key.get_mut(&key) {
            watchers.retain(|other| !Arc::ptr_eq(other, watcher));
            if watchers.is_empty() {
                by_key.remove(&key);
            }
        }
        self.count.store(by_key.len(), Ordering::SeqCst);
    }

    /// The session under `key` has ended.
    pub(super) fn end(&self, key: &Key, how: SessionEnd) {
        if self.count.load(Ordering::SeqCst) > 0 {
            let _deferred = Deferred::begin();
            let mut by_key = self.by_key.lock();
            let watchers = by_key.remove(key).unwrap_or_default();
            self.count.store(by_key.len(), Ordering::SeqCst);
            for watcher in &watchers {
                watcher.end(how);
            }
        }
    }

    /// The session under `from` is under `to` from now on.
    pub(super) fn follow(&self, from: &Key, to: &Key) {
        if self.count.load(Ordering::SeqCst) > 0 {
            let mut by_key = self.by_key.lock();
            for watcher in by_key.remove(from).unwrap_or_default() {
                watcher.state.lock().key = Some(*to);
                by_key.entry(*to).or_default().push(watcher);
            }
        }
    }

    /// The store is closed: no end of a session is seen any more.
    pub(super) fn close(&self) {
        let _deferred = Deferred::begin();
        let mut by_key = self.by_key.lock();
        for watcher in by_key.drain().flat_map(|(_, watchers)| watchers) {
            watcher.end(SessionEnd::StoreClosed);
        }
        self.count.store(0, Ordering::SeqCst);
    }
}
