//! What a store's front and its disk tier both count and tell.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{Ended, Event, Why, count, events::Broadcast, watch::Watchers};
use crate::{
    event,
    token::{Handle, Key},
};

/// What is counted outside the tiers.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) disk_hits: AtomicU64,
    pub(super) misses: AtomicU64,
    pub(super) forged: AtomicU64,
    pub(super) ambiguous: AtomicU64,
    pub(super) commits: AtomicU64,
    pub(super) dropped_commits: AtomicU64,
    pub(super) expired: AtomicU64,
    pub(super) corrupt: AtomicU64,
    pub(super) unreadable: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) limited: AtomicU64,
    pub(super) sealed: AtomicU64,
}

#[derive(Default)]
pub(super) struct Shared {
    pub(super) counters: Counters,
    /// How many sessions there are, on disk or only in memory, expired ones that were not swept yet among them.
    pub(super) sessions: AtomicU64,
    pub(super) events: Broadcast,
    pub(super) watchers: Arc<Watchers>,
}

impl Shared {
    pub(super) fn created(&self, key: &Key) {
        self.sessions.fetch_add(1, Ordering::Relaxed);
        self.events.tell(|| Event::Created { handle: Handle::of(key) });
    }

    pub(super) fn rotated(&self, from: &Key, to: &Key) {
        self.events.tell(|| Event::Rotated { from: Handle::of(from), to: Handle::of(to) });
    }

    pub(super) fn destroyed(&self, key: &Key, why: Why) {
        self.one_less();
        if matches!(why, Why::OwnerLimit | Why::StoreFull) {
            count(&self.counters.limited);
            event::evicted_session(key, why);
        }
        self.watchers.end(key, Ended::Destroyed(why));
        self.events.tell(|| Event::Destroyed { handle: Handle::of(key), why });
    }

    /// The record was deleted from the file, because the session is over.
    pub(super) fn expired(&self, key: &Key) {
        self.one_less();
        self.watchers.end(key, Ended::Expired);
        self.events.tell(|| Event::Expired { handle: Handle::of(key) });
    }

    /// Memory found the session over. `forgotten`: what it says of having let it go.
    pub(super) fn expired_in_memory(&self, key: &Key, forgotten: Option<bool>) {
        match forgotten {
            // The file has nothing to delete, so the sweeper will not come by.
            Some(true) => self.expired(key),
            Some(false) | None => self.watchers.end(key, Ended::Expired),
        }
    }

    fn one_less(&self) {
        // Not below zero: a file may lose records to damage that were counted when it was opened.
        let _ = self.sessions.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |sessions| sessions.checked_sub(1));
    }
}
