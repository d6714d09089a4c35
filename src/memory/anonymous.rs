//! The sessions without an owner, oldest first: the next one is evicted when the store is full.
//!
//! Invariants: every session of this shard without an owner is in the list, if one is kept. A name whose session has left or
//! has an owner is dropped when it is met; all such names are dropped once they are more than half.

use std::collections::VecDeque;

use super::{
    index::{Content, Index, hash},
    shard::Shard,
};
use crate::{owner::NOBODY, token::Key};

/// Their names, which are hashes of their keys. `None`: no list is kept.
#[derive(Default)]
pub(super) struct Anonymous(Option<VecDeque<u64>>);

/// Stale names that a shard may keep in addition to half of its list: 256 bytes, 16 KiB in all shards.
const SHORT: usize = 32;

impl Anonymous {
    pub(super) fn kept(is_kept: bool) -> Self {
        Self(is_kept.then(VecDeque::new))
    }
}

impl Shard {
    /// Lists the session under `key` if it has no owner.
    pub(super) fn list_anonymous(&mut self, key: &Key) {
        let Some(names) = &mut self.anonymous.0 else { return };
        let Some(slot) = self.index.get_mut(key) else { return };
        let Content::Live(record) = &slot.content else { return };
        if slot.turn.is_listed() || record.meta().owner != NOBODY {
            return;
        }
        slot.turn.set_listed(true);
        names.push_back(hash(key));
        if names.len() > SHORT + 2 * self.index.len() {
            drop_stale(names, &mut self.index);
        }
    }

    /// Returns the oldest session without an owner; if `unused`, of those that were not used recently. Checks at most `most` of
    /// them.
    pub(super) fn next_anonymous(&mut self, most: usize, unused: bool) -> Option<Key> {
        let names = self.anonymous.0.as_mut()?;
        let mut looked = 0;
        for _ in 0..names.len() {
            if looked == most {
                break;
            }
            let name = names.pop_front()?;
            let Some(slot) = self.index.named_mut(name).filter(|slot| slot.turn.is_listed()) else { continue };
            if !matches!(&slot.content, Content::Live(record) if record.meta().owner == NOBODY) {
                slot.turn.set_listed(false);
                continue;
            }
            // It leaves the list when it has left the shard.
            names.push_back(name);
            looked += 1;
            if !(unused && slot.turn.is_used()) {
                return Some(slot.key);
            }
        }
        None
    }

    #[cfg(test)]
    pub(super) fn listed(&self) -> usize {
        self.anonymous.0.as_ref().map_or(0, VecDeque::len)
    }
}

/// Drops names without a session, and duplicates.
fn drop_stale(names: &mut VecDeque<u64>, index: &mut Index) {
    names.retain(|name| match index.named_mut(*name).filter(|slot| slot.turn.is_listed()) {
        Some(slot) => {
            // Not again, if its name comes a second time.
            slot.turn.set_listed(false);
            true
        }
        None => false,
    });
    for name in names {
        if let Some(slot) = index.named_mut(*name) {
            slot.turn.set_listed(true);
        }
    }
}
