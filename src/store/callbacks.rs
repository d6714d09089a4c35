//! What each tier calls in the other.

use std::sync::Arc;

use sessile_codec::Record;

use super::{Revoked, counters::Shared, notes::Notes};
use crate::{
    disk::{Disk, Op, Upstream, Urgency},
    expiry,
    memory::{Before, Claim, Lookup, Memory, Seq, WriteBack},
    timeline::Timeline,
    token::{Handle, Key},
};

/// What the disk tier calls: memory and the store's shared state.
pub(super) struct StoreCallbacks {
    pub(super) memory: Arc<Memory>,
    pub(super) timeline: Arc<Timeline>,
    pub(super) shared: Arc<Shared>,
    pub(super) revoked: Arc<Revoked>,
    pub(super) notes: Arc<Notes>,
}

impl Upstream for StoreCallbacks {
    fn durable(&self, key: &Key, seq: Seq) {
        self.memory.unpin(key, seq);
    }

    fn deadline_ms(&self, key: &Key) -> Option<u64> {
        // The caller deletes expired sessions, so this one must be certainly over.
        match self.memory.peek(key, self.timeline.certain_ms()) {
            Lookup::Hit(record, seen_ms) => Some(expiry::deadline_ms(&record.meta(), seen_ms)),
            Lookup::Miss => self.revoked.deadline_ms(key),
            Lookup::Expired | Lookup::Dead | Lookup::Moved(_) => None,
        }
    }

    fn claim(&self, key: &Key, now_ms: u64) -> Claim {
        match (self.memory.claim(key, now_ms), self.revoked.deadline_ms(key)) {
            (Claim::Claimed, Some(deadline_ms)) if deadline_ms > now_ms => {
                self.memory.release(key);
                Claim::Alive(deadline_ms)
            }
            (claim, _) => claim,
        }
    }

    fn release(&self, key: &Key) {
        self.memory.release(key);
    }

    fn expire(&self, key: &Key, now_ms: u64, disk_says_over: &dyn Fn() -> bool, enqueue: &dyn Fn(Before) -> Seq) -> bool {
        self.memory.expire(key, now_ms, disk_says_over, enqueue)
    }

    fn expire_unsaved(&self, now_ms: u64, enqueue: Option<&dyn Fn(&Key) -> Seq>) {
        for (key, handle) in self.memory.expire_unsaved(now_ms, enqueue) {
            self.shared.expired(&key, Some(handle));
        }
    }

    fn recounted(&self, difference: i64) {
        self.shared.recount(difference);
    }

    fn expired(&self, key: &Key, handle: Option<Handle>) {
        if !self.notes.expire(key) && !self.revoked.expire(key, self.timeline.certain_ms()) {
            self.shared.expired(key, handle);
        }
    }
}

impl WriteBack for Disk {
    fn write_back(&self, key: &Key, record: Record, is_unborn: bool) -> Seq {
        self.enqueue_after(Op::Put { key: *key, record }, Urgency::Soon, Before { seq: None, is_unborn }).0
    }
}
