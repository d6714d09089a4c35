//! One locked part of the memory tier: its index and its order together, the bytes they use, and the choice of what is evicted.
//!
//! Invariants: `used_bytes` is the cost of all slots. A slot in an eviction queue was clean when it was queued; if it is dirty
//! or pinned when its turn comes, it is handed over or skipped. Changes that the disk does not have are handed to it before
//! they leave.

use std::collections::VecDeque;

use sessile_codec::Record;

use super::{
    Base, Before, Counts, Grace, Seq, Swap, WriteBack,
    anonymous::Anonymous,
    index::{Content, Index, Other, Saved, Slot, hash},
    order::{Order, Place},
};
use crate::token::Key;

/// The fields of a hit are first, in the cache line of the lock: a second line would pass from core to core with it at each
/// hit.
#[derive(Default)]
#[repr(C)]
pub(super) struct Shard {
    pub(super) index: Index,
    pub(super) counts: Counts,
    pub(super) order: Order,
    pub(super) anonymous: Anonymous,
    pub(super) budget_bytes: usize,
    pub(super) used_bytes: usize,
    /// The used bytes that are freed as soon as they are durable.
    pub(super) leaving_bytes: usize,
    /// The number of dirty slots.
    pub(super) dirty: usize,
    /// The keys of sessions that were rotated with a grace, and when they cease to lead anywhere, oldest first.
    pub(super) moved: VecDeque<(Grace, Key)>,
    pub(super) loads: u64,
}

impl Shard {
    /// Checks that `key` has not changed since `base`. Returns what was handed to the disk of it.
    pub(super) fn compare(&self, key: &Key, base: Base<'_>) -> Swap<Before> {
        let Some(slot) = self.index.get(key) else { return Swap::Changed };
        match (&slot.content, base) {
            (Content::Live(record), Base::Record(base)) if record.is_same(base) => Swap::Done(slot.before()),
            (Content::Other(other), base) => match (&**other, base) {
                (Other::Loading(id), Base::Load(load)) if *id == load.id => Swap::Done(Before::default()),
                #[cfg(feature = "foreign")]
                (Other::Loading(id), Base::Nothing(load)) if *id == load.id => {
                    Swap::Done(Before { seq: None, is_unborn: true })
                }
                (Other::Dead, _) => Swap::Dead,
                _ => Swap::Changed,
            },
            _ => Swap::Changed,
        }
    }

    pub(super) fn is_loading(&self, key: &Key, id: u64) -> bool {
        let other = self.index.get(key).and_then(|slot| slot.content.other());
        matches!(other, Some(Other::Loading(found)) if *found == id)
    }

    /// Sets the content of `key`: pinned until `seq` is durable, or dirty if there is no `seq`.
    pub(super) fn set(&mut self, key: &Key, content: Content, seen_ms: u64, seq: Option<Seq>, before: Before) {
        let cost = content.cost_bytes();
        let slot = if let Some(slot) = self.index.get_mut(key) {
            self.leaving_bytes -= slot.stay();
            self.used_bytes -= slot.content.cost_bytes();
            self.order.left(slot.turn.place(), slot.content.cost_bytes());
            self.dirty -= usize::from(slot.is_dirty());
            slot.content = content;
            slot.note_seen(seen_ms);
            slot
        } else {
            self.index.insert(Slot::new(*key, content, seen_ms))
        };
        self.used_bytes += cost;
        self.order.costs(slot.turn.place(), cost);
        slot.saved = match seq {
            Some(_) => Saved::All,
            None if before.is_unborn => Saved::Nothing,
            None => Saved::Older,
        };
        self.dirty += usize::from(slot.is_dirty());
        if let Some(seq) = seq {
            slot.pin(seq);
        }
        if slot.pinned().is_none() {
            self.list(key);
        }
        self.list_anonymous(key);
    }

    /// Adds a clean slot.
    pub(super) fn admit(&mut self, slot: Slot) {
        let key = slot.key;
        self.used_bytes += slot.content.cost_bytes();
        self.index.insert(slot);
        self.list(&key);
        self.list_anonymous(&key);
    }

    /// Makes a clean slot evictable, unless it is already.
    pub(super) fn list(&mut self, key: &Key) {
        if let Some(slot) = self.index.get_mut(key).filter(|slot| slot.turn.place().is_none()) {
            slot.turn.set_place(Some(self.order.admit(hash(key), slot.content.cost_bytes())));
        }
    }

    pub(super) fn remove(&mut self, key: &Key) {
        let Some(mut slot) = self.index.remove(key) else { return };
        self.leaving_bytes -= slot.stay();
        self.used_bytes -= slot.content.cost_bytes();
        self.dirty -= usize::from(slot.is_dirty());
        if let Some(place) = slot.turn.place() {
            self.order.left(Some(place), slot.content.cost_bytes());
            self.order.remove(hash(key), place);
            if self.order.is_stale() {
                self.order.sweep(|name| self.index.named(name).and_then(|slot| slot.turn.place()));
            }
        }
    }

    /// Evicts until the shard is within its budget, once what leaves is durable, or until everything left is pinned. Without a
    /// `disk`, it stops at the first record that must be handed over.
    pub(super) fn evict<D: WriteBack>(&mut self, disk: Option<&D>) {
        while self.used_bytes - self.leaving_bytes > self.budget_bytes {
            let Some((name, place)) = self.order.next(self.budget_bytes) else { return };
            if !self.take_turn(name, place, disk) {
                return;
            }
        }
    }

    /// Evicts the slot `name` of `place`, or gives it another chance. Returns false if that needs a disk.
    fn take_turn<D: WriteBack>(&mut self, name: u64, place: Place, disk: Option<&D>) -> bool {
        let Some(slot) = self.index.named_mut(name).filter(|slot| slot.turn.place() == Some(place)) else {
            self.order.drop_stale();
            return true;
        };
        self.order.left(Some(place), slot.content.cost_bytes());
        slot.turn.set_place(None);
        if slot.pinned().is_some() || slot.content.other().is_some() {
            // Queues may contain slots that were pinned or rotated since: dropping them here is cheaper than at every write.
            return true;
        }
        if slot.turn.is_used() {
            match place {
                // The uses move it to main, and do not count there.
                Place::Probation => slot.turn.forget_uses(),
                Place::Main => slot.turn.use_up(),
            }
            slot.turn.set_place(Some(Place::Main));
            self.order.keep(name);
            return true;
        }
        match (slot.unsaved(), disk) {
            (Some(_), None) => {
                slot.turn.set_place(Some(place));
                self.order.put_back(name, place, slot.content.cost_bytes());
                return false;
            }
            (Some(record), Some(disk)) => {
                self.dirty -= usize::from(slot.is_dirty());
                slot.hand_over(record, disk);
                slot.saved = Saved::Leaving;
                self.leaving_bytes += slot.content.cost_bytes();
            }
            (None, _) => {
                let key = slot.key;
                self.remove(&key);
                self.counts.evictions += 1;
            }
        }
        if place == Place::Probation {
            self.order.note_ghost(name);
        }
        true
    }

    /// Returns the content that leads from `key` to `new_key` until the grace is over.
    pub(super) fn begin_grace(&mut self, key: &Key, new_key: &Key, grace: Grace) -> Other {
        while let Some((_, ended)) = self.moved.pop_front_if(|(begun, _)| begun.is_over(grace.now_ms)) {
            self.end_grace(&ended);
        }
        self.moved.push_back((grace, *key));
        Other::Moved { to: *new_key, grace }
    }

    /// From now on `key` leads nowhere, even if the clock goes back.
    pub(super) fn end_grace(&mut self, key: &Key) {
        let Some(slot) = self.index.get_mut(key) else { return };
        if !matches!(slot.content.other(), Some(Other::Moved { .. })) {
            return;
        }
        slot.content = Other::Dead.into();
        if slot.pinned().is_none() {
            self.remove(key);
        }
    }
}

impl Slot {
    /// Hands `record` to the disk as the state of this slot. The caller updates the count of dirty slots.
    pub(super) fn hand_over(&mut self, record: Record, disk: &impl WriteBack) {
        self.pin(disk.write_back(&self.key, record.clone(), self.saved == Saved::Nothing));
        self.content = Content::Live(record);
        if self.is_dirty() {
            self.saved = Saved::All;
        }
    }

    /// Cancels the slot's leaving. Returns the bytes that were counted as leaving.
    pub(super) fn stay(&mut self) -> usize {
        if self.saved != Saved::Leaving {
            return 0;
        }
        self.saved = Saved::All;
        self.content.cost_bytes()
    }
}

/// No disk.
pub(super) enum NoWriteBack {}

impl WriteBack for NoWriteBack {
    fn write_back(&self, _: &Key, _: Record, _: bool) -> Seq {
        match *self {}
    }
}
