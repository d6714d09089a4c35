//! Where a record is found: a hash table from record key to slot.
//!
//! Invariant: the hash is the key's first eight bytes as they are. Keys are hashes of tokens, and clients cannot choose one.

use hashbrown::{HashTable, hash_table::Entry};
use sessile_codec::Record;

use super::{OVERHEAD_BYTES, Seq};
use crate::{expiry, token::Key};

/// What a shard knows of one key.
pub(super) struct Slot {
    pub(super) key: Key,
    pub(super) content: Content,
    /// When the session was last used, which its record may not know yet.
    pub(super) seen_ms: u64,
    /// The write that must be durable before this slot may go.
    pub(super) pinned: Option<Seq>,
    /// Whether it was used since eviction last looked at it.
    pub(super) visited: bool,
    /// Whether the order knows it.
    pub(super) listed: bool,
    pub(super) saved: Saved,
}

/// What the disk was handed of a slot.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Saved {
    /// Everything.
    All,
    /// An older state.
    Older,
    /// Nothing, ever.
    Nothing,
    /// Everything, and the slot was evicted: it goes as soon as that is durable.
    Leaving,
}

pub(super) enum Content {
    Live(Record),
    /// Destroyed.
    Dead,
    /// A reader is on its way to the disk; the number tells it from another.
    Loading(u64),
    /// Renewed: found under another key for a while. Boxed, because it is rare and would make every slot larger.
    Moved(Box<Moved>),
}

/// Where a renewed session is now.
pub(super) struct Moved {
    pub(super) to: Key,
    /// When the old key ceases to lead there.
    pub(super) until_ms: u64,
}

impl Content {
    pub(super) fn cost_bytes(&self) -> usize {
        match self {
            Self::Live(record) => record.bytes().len().next_multiple_of(16) + OVERHEAD_BYTES,
            Self::Dead | Self::Loading(_) | Self::Moved(_) => 0,
        }
    }
}

impl Slot {
    pub(super) fn new(key: Key, content: Content, seen_ms: u64) -> Self {
        Self { key, content, seen_ms, pinned: None, visited: false, listed: false, saved: Saved::All }
    }

    /// Whether it has quick changes.
    pub(super) fn is_dirty(&self) -> bool {
        matches!(self.saved, Saved::Older | Saved::Nothing)
    }

    /// The record that the disk has to be handed before this slot may go: with changes that it does not know, or a last use that is
    /// worth knowing.
    pub(super) fn unsaved(&self) -> Option<Record> {
        let Content::Live(record) = &self.content else { return None };
        let meta = record.meta();
        if expiry::use_is_worth_keeping(&meta, self.seen_ms) {
            return Some(record.with_meta(&self.key, &expiry::touched(&meta, self.seen_ms)));
        }
        self.is_dirty().then(|| record.clone())
    }
}

#[derive(Default)]
pub(super) struct Index(HashTable<Slot>);

impl Index {
    pub(super) fn get(&self, key: &Key) -> Option<&Slot> {
        self.0.find(hash(key), |slot| slot.key == *key)
    }

    pub(super) fn get_mut(&mut self, key: &Key) -> Option<&mut Slot> {
        self.0.find_mut(hash(key), |slot| slot.key == *key)
    }

    /// Adds a slot, or replaces the one of the same key.
    pub(super) fn insert(&mut self, slot: Slot) {
        match self.0.entry(hash(&slot.key), |other| other.key == slot.key, |other| hash(&other.key)) {
            Entry::Occupied(mut entry) => *entry.get_mut() = slot,
            Entry::Vacant(entry) => {
                entry.insert(slot);
            }
        }
    }

    pub(super) fn remove(&mut self, key: &Key) -> Option<Slot> {
        let entry = self.0.find_entry(hash(key), |slot| slot.key == *key).ok()?;
        Some(entry.remove().0)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.0.iter_mut()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// How many sessions there are.
    pub(super) fn live(&self) -> usize {
        self.0.iter().filter(|slot| matches!(slot.content, Content::Live(_))).count()
    }
}

/// The hash of a key, for tables: the key is one already.
pub(super) fn hash(key: &Key) -> u64 {
    u64::from_le_bytes(*key.first_chunk().expect("a key has 16 bytes"))
}
