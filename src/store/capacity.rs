//! Limits how much a store holds, and chooses which session is evicted.
//!
//! Invariants: a session with an owner is never evicted for another. A session is refused only if every other one has an owner
//! and none was over when the last minute began.
//!
//! Facts: a redb file does not shrink by itself; its free pages are reused. So once the file has reached its largest size, the
//! number of sessions at that moment replaces the size as the limit.

use std::sync::OnceLock;

use super::{EndReason, Store, count};
use crate::{
    Error,
    disk::{Op, Urgency},
    error::Capacity,
    expiry,
    memory::Swap,
    owner::NOBODY,
    token::{Handle, Key},
};

/// The number of sessions that filled the file.
#[derive(Default)]
pub(super) struct FullAt(OnceLock<u64>);

/// Sessions of memory that are tried before the disk is searched. A try fails only if another thread ends the session or sets
/// its owner at that moment. 64 is one try for each shard.
const TRIES: usize = 64;
/// Used as the average while memory has no records.
const TYPICAL_RECORD_BYTES: u64 = 1024;

impl Store {
    /// Makes room for one more session, or refuses it.
    pub(super) fn make_room(&self, has_owner: bool) -> Result<(), Error> {
        let Some(full) = self.full(has_owner) else { return Ok(()) };
        if self.end_one()? {
            return Ok(());
        }
        count(&self.0.shared.counters.refused);
        Err(full)
    }

    /// Ends a session that has no owner or is over. `false`: there is none.
    fn end_one(&self) -> Result<bool, Error> {
        for _ in 0..TRIES {
            let Some(key) = self.0.memory.anonymous() else { break };
            if self.end_expendable(&key)? {
                return Ok(true);
            }
        }
        self.0.disk.end_one(self.0.timeline.certain_ms(), |key| self.end_expendable(key))
    }

    fn end_expendable(&self, key: &Key) -> Result<bool, Error> {
        let evicted = self.destroy_if(key, EndReason::StoreFull, |current| current.record.meta().owner == NOBODY)?;
        Ok(evicted.is_some() || self.end_if_over(key)?)
    }

    /// Ends the session under `key` if it is certainly over.
    fn end_if_over(&self, key: &Key) -> Result<bool, Error> {
        // Read with the time 0, at which nothing has expired.
        while let Some(current) = self.current_at(key, 0)? {
            let meta = current.record.meta();
            if expiry::deadline_ms(&meta, current.seen_ms) > self.0.timeline.certain_ms() {
                return Ok(false);
            }
            let enqueue = |before| self.0.disk.enqueue_after(Op::Delete { key: current.key }, Urgency::Soon, before);
            match self.0.memory.kill(&current.key, current.base(), enqueue) {
                Swap::Done(_) => {
                    self.0.shared.expired(&current.key, Some(Handle::of(&meta)));
                    return Ok(true);
                }
                Swap::Changed => {}
                Swap::Dead => break,
            }
        }
        Ok(false)
    }

    /// Returns the error for one session too many, if the store is full. The last tenth is reserved for sessions with an owner.
    fn full(&self, has_owner: bool) -> Option<Error> {
        let sessions = self.0.shared.sessions();
        let share = |limit: u64| if has_owner { limit } else { limit - limit / 10 };
        if let Some(limit) = self.0.settings.max_sessions.filter(|limit| sessions >= share(*limit)) {
            return Some(Error::StoreFull { capacity: Capacity::Sessions, found: sessions, limit });
        }
        let limit = self.0.settings.max_disk_bytes?;
        let found = self.0.disk.stats().file_bytes;
        if found < share(limit) {
            return None;
        }
        let full_at = self.0.full_at.0.get_or_init(|| sessions.max(self.sessions_in(share(limit))));
        (sessions >= *full_at).then_some(Error::StoreFull { capacity: Capacity::DiskBytes, found, limit })
    }

    /// The number of sessions that a file of `bytes` certainly holds: pages are at least half full. Needed after a restart,
    /// when the file may be large and nearly empty.
    fn sessions_in(&self, bytes: u64) -> u64 {
        let memory = self.0.memory.counts();
        let record_bytes = memory.bytes.checked_div(memory.sessions).unwrap_or(TYPICAL_RECORD_BYTES).max(1);
        bytes / (2 * record_bytes)
    }
}
