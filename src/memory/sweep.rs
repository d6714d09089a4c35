//! The sweeper's part of memory: whether a session that is over on disk is also over in memory, and which expired sessions only
//! memory has.
//!
//! Invariants: a session expires once, when its slot becomes a tombstone. At that moment no write of it is pending for the
//! disk, or its deletion is queued behind that.

use super::{
    Before, Memory, Seq,
    index::{Content, Other, Saved, Slot},
    shard::Shard,
};
use crate::{
    expiry,
    token::{Handle, Key},
};

/// Used as the number of a write: the sweeper is deleting the key from the file. No write has this number.
const SWEPT: Seq = 0;

/// What memory knows of a session that is over by the disk's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It was used since: it ends at this time, in milliseconds since 1970.
    Alive(u64),
    /// A write or a deletion of it is pending for the disk.
    Busy,
    /// No thread can use or change it until it is [released](Memory::release).
    Claimed,
}

impl Memory {
    /// Claims the session under `key`, which is over at `now_ms` by the file's record, in order to delete it from the file.
    pub(crate) fn claim(&self, key: &Key, now_ms: u64) -> Claim {
        let mut shard = self.shard(key);
        if let Some(slot) = shard.index.get(key) {
            if slot.pinned().is_some() {
                return Claim::Busy;
            }
            match &slot.content {
                Content::Live(record) => {
                    let deadline_ms = expiry::deadline_ms(&record.meta(), slot.seen_ms());
                    if deadline_ms > now_ms {
                        return Claim::Alive(deadline_ms);
                    }
                }
                Content::Other(other) if matches!(**other, Other::Loading(_)) => {}
                Content::Other(_) => return Claim::Busy,
            }
        }
        shard.set(key, Other::Dead.into(), 0, Some(SWEPT), Before::default());
        Claim::Claimed
    }

    /// Like [`peek`](Self::peek). Returns `None` if `key` is [claimed](Self::claim); it is free once the file has deleted it.
    #[cfg(feature = "foreign")]
    pub(crate) fn peek_unclaimed(&self, key: &Key, now_ms: u64) -> Option<super::Lookup> {
        let mut shard = self.shard(key);
        let is_claimed = shard.index.get(key).is_some_and(|slot| slot.pinned() == Some(SWEPT));
        (!is_claimed).then(|| super::look(&mut shard, key, now_ms, false))
    }

    /// Ends a [claim](Self::claim).
    pub(crate) fn release(&self, key: &Key) {
        self.unpin(key, SWEPT);
    }

    /// Ends the session under `key` if it is over at `now_ms`. If memory has no record of it, `disk_says_over` is called under
    /// the shard's lock. `enqueue` queues the deletion for the disk.
    pub(crate) fn expire(
        &self,
        key: &Key,
        now_ms: u64,
        disk_says_over: impl FnOnce() -> bool,
        enqueue: impl FnOnce(Before) -> Seq,
    ) -> bool {
        let mut shard = self.shard(key);
        let (is_over, before) = match shard.index.get(key) {
            None => (disk_says_over(), Before::default()),
            Some(slot) => match slot.content.other() {
                None => (slot.is_over(now_ms), slot.before()),
                Some(Other::Loading(_)) => (disk_says_over(), Before::default()),
                Some(_) => (false, Before::default()),
            },
        };
        if !is_over {
            return false;
        }
        let seq = enqueue(before);
        shard.set(key, Other::Dead.into(), 0, Some(seq), before);
        true
    }

    /// Ends and returns every session that is over at `now_ms` and has changes that were not handed to the disk. `enqueue`
    /// queues a deletion if the disk has anything of the session; without `enqueue`, those sessions stay.
    pub(crate) fn expire_unsaved(&self, now_ms: u64, enqueue: Option<&dyn Fn(&Key) -> Seq>) -> Vec<(Key, Handle)> {
        let mut ended = Vec::new();
        for shard in self.shards.iter() {
            let mut shard = shard.0.lock();
            if shard.dirty > 0 {
                shard.expire_unsaved(now_ms, enqueue, &mut ended);
            }
        }
        ended
    }
}

impl Shard {
    fn expire_unsaved(&mut self, now_ms: u64, enqueue: Option<&dyn Fn(&Key) -> Seq>, ended: &mut Vec<(Key, Handle)>) {
        let first = ended.len();
        let over = self.index.iter().filter(|slot| slot.is_dirty() && slot.is_over(now_ms));
        ended.extend(over.filter_map(|slot| {
            let Content::Live(record) = &slot.content else { return None };
            let may_end = slot.saved == Saved::Nothing || enqueue.is_some();
            may_end.then(|| (slot.key, Handle::of(&record.meta())))
        }));
        for (key, _) in &ended[first..] {
            match (self.index.get(key).map(|slot| slot.saved), enqueue) {
                (Some(Saved::Older), Some(enqueue)) => {
                    let seq = enqueue(key);
                    self.set(key, Other::Dead.into(), 0, Some(seq), Before::default());
                }
                _ => self.remove(key),
            }
        }
    }
}

impl Slot {
    fn is_over(&self, now_ms: u64) -> bool {
        let Content::Live(record) = &self.content else { return false };
        expiry::deadline_ms(&record.meta(), self.seen_ms()) <= now_ms
    }
}
