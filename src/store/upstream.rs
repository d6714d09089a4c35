//! What the disk tier asks and tells of memory.

use std::sync::Arc;

use crate::{
    clock::{Clock, to_ms},
    disk::Upstream,
    expiry,
    memory::{Lookup, Memory, Seq},
    token::Key,
};

/// What the disk tier may ask and tell.
pub(super) struct Above {
    pub(super) memory: Arc<Memory>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Upstream for Above {
    fn durable(&self, key: &Key, seq: Seq) {
        self.memory.unpin(key, seq);
    }

    fn deadline_ms(&self, key: &Key) -> Option<u64> {
        match self.memory.peek(key, to_ms(self.clock.now())) {
            Lookup::Hit(record, seen_ms) => Some(expiry::deadline_ms(&record.meta(), seen_ms)),
            Lookup::Expired | Lookup::Dead | Lookup::Miss => None,
        }
    }

    fn expired(&self, key: &Key) {
        self.memory.forget(key);
    }
}
