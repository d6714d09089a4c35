//! Counters and events that the store and its disk tier share.

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

use super::{EndReason, Event, SessionEnd, count, events::Broadcast, watch::Watchers};
use crate::{
    log,
    memory::Forgotten,
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
    pub(super) shape_changed: AtomicU64,
    pub(super) device_registrations: AtomicU64,
    pub(super) device_refreshes: AtomicU64,
    pub(super) device_refusals: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) limited: AtomicU64,
    pub(super) sealed: AtomicU64,
}

#[derive(Default)]
pub(super) struct Shared {
    pub(super) counters: Counters,
    /// The number of sessions, on disk or only in memory, including expired ones that are not swept yet. May briefly be
    /// negative: [`recount`](Self::recount) corrects what the journal assumed of the file while sessions already begin and end.
    sessions: AtomicI64,
    pub(super) events: Broadcast,
    pub(super) watchers: Arc<Watchers>,
    #[cfg(feature = "foreign")]
    pub(super) ended: super::ended::Ended,
}

impl Shared {
    pub(super) fn created(&self, handle: Handle) {
        self.recount(1);
        self.events.send(|| Event::Created { handle });
    }

    pub(super) fn rotated(&self, handle: Handle) {
        self.events.send(|| Event::Rotated { handle });
    }

    pub(super) fn destroyed(&self, key: &Key, handle: Handle, reason: EndReason) {
        self.recount(-1);
        if matches!(reason, EndReason::OwnerLimit | EndReason::StoreFull) {
            count(&self.counters.limited);
            log::evicted_session(handle, reason);
        }
        self.watchers.end(key, SessionEnd::Destroyed(reason));
        self.events.send(|| Event::Destroyed { handle, reason });
    }

    /// The session is over and its record was deleted from the file. Without a handle the record could not be read, and no
    /// event is sent.
    pub(super) fn expired(&self, key: &Key, handle: Option<Handle>) {
        self.recount(-1);
        self.watchers.end(key, SessionEnd::Expired);
        if let Some(handle) = handle {
            self.events.send(|| Event::Expired { handle });
        }
    }

    /// Memory found the session over. `forgotten`: what memory returned when it forgot the session.
    pub(super) fn expired_in_memory(&self, key: &Key, forgotten: Option<Forgotten>) {
        match forgotten {
            // The file has no record of it, so the sweeper will not find it.
            Some(Forgotten { is_unborn: true, handle }) => self.expired(key, Some(handle)),
            Some(Forgotten { is_unborn: false, .. }) | None => self.watchers.end(key, SessionEnd::Expired),
        }
    }

    /// Returns the number of sessions.
    pub(super) fn sessions(&self) -> u64 {
        u64::try_from(self.sessions.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Adds `difference` to the number of sessions.
    pub(super) fn recount(&self, difference: i64) {
        self.sessions.fetch_add(difference, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_that_deletes_what_the_file_has_not_is_corrected_later() {
        let shared = Shared::default();
        shared.recount(-1);
        assert_eq!(shared.sessions(), 0);
        shared.recount(2);
        shared.recount(1);
        assert_eq!(shared.sessions(), 2);
    }
}
