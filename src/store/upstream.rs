//! What the two tiers ask and tell of each other.

use std::sync::Arc;

use sessile_codec::Record;

use super::{notes::Notes, revoked::Revoked, shared::Shared};
use crate::{
    disk::{Disk, Op, Upstream, Urgency},
    expiry,
    memory::{Lookup, Memory, Seq, WriteBack},
    timeline::Timeline,
    token::{Handle, Key},
};

/// What the disk tier may ask and tell.
pub(super) struct Above {
    pub(super) memory: Arc<Memory>,
    pub(super) timeline: Arc<Timeline>,
    pub(super) shared: Arc<Shared>,
    pub(super) revoked: Arc<Revoked>,
    pub(super) notes: Arc<Notes>,
}

impl Upstream for Above {
    fn durable(&self, key: &Key, seq: Seq) {
        self.memory.unpin(key, seq);
    }

    fn deadline_ms(&self, key: &Key) -> Option<u64> {
        // What asks would delete it, so it must be over for certain.
        match self.memory.peek(key, self.timeline.certain_ms()) {
            Lookup::Hit(record, seen_ms) => Some(expiry::deadline_ms(&record.meta(), seen_ms)),
            Lookup::Miss => self.revoked.deadline_ms(key),
            Lookup::Expired | Lookup::Dead | Lookup::Moved(_) => None,
        }
    }

    fn expired(&self, key: &Key, handle: Option<Handle>) {
        if self.notes.expire(key) || self.revoked.expire(key, self.timeline.certain_ms()) {
            return;
        }
        self.memory.forget(key);
        self.shared.expired(key, handle);
    }
}

impl WriteBack for Disk {
    fn write_back(&self, key: &Key, record: Record) -> Seq {
        self.enqueue(Op::Put { key: *key, record }, Urgency::Soon).0
    }
}
