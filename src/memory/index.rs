//! A hash table from record key to slot.
//!
//! Invariant: the hash is the key's first eight bytes unchanged. Keys are hashes of tokens, and clients cannot choose one.

use hashbrown::{HashTable, hash_table::Entry};
use sessile_codec::Record;

use super::{Before, Grace, Seq, order::Turn};
use crate::{expiry, token::Key};

/// What a shard knows of one key: 48 bytes, because the table has a slot for each session, and up to twice the room.
pub(super) struct Slot {
    pub(super) key: Key,
    pub(super) content: Content,
    pinned: u64,
    seen: Seen,
    pub(super) turn: Turn,
    pub(super) saved: Saved,
}

const _: () = assert!(size_of::<Slot>() <= 48);

/// Bytes that a record costs beyond its own, on average while the tables grow: slot, place in the order, ghost, allocation
/// headers. While there is room for all, each record is in probation and costs 149; later most are in main, where a place costs
/// 8 instead of 66.
const OVERHEAD_BYTES: usize = 152;

/// Used as the number of a write: not pinned.
const FREE: Seq = Seq::MAX;

/// Milliseconds since the Unix epoch, in six bytes: enough until the year 10889.
#[derive(Clone, Copy)]
struct Seen([u8; 6]);

impl Seen {
    fn new(ms: u64) -> Self {
        let bytes = ms.min((1 << 48) - 1).to_le_bytes();
        Self(*bytes.first_chunk().expect("six bytes are less than eight"))
    }

    fn ms(self) -> u64 {
        let mut bytes = [0; 8];
        bytes[..6].copy_from_slice(&self.0);
        u64::from_le_bytes(bytes)
    }
}

/// How much of a slot was handed to the disk.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Saved {
    /// Everything.
    All,
    /// An older state.
    Older,
    /// Nothing, ever.
    Nothing,
    /// Everything, and the slot was evicted: it is removed once that is durable.
    Leaving,
}

/// What is under a key. Everything except a record is rare, and boxed: it would make every slot larger.
pub(super) enum Content {
    Live(Record),
    Other(Box<Other>),
}

/// What is under a key that has no record in memory.
pub(super) enum Other {
    /// The session was destroyed.
    Dead,
    /// A reader is reading from the disk; the number identifies the load.
    Loading(u64),
    /// The session was rotated: it is found under the key `to` until the grace is over.
    Moved { to: Key, grace: Grace },
}

impl From<Other> for Content {
    fn from(other: Other) -> Self {
        Self::Other(Box::new(other))
    }
}

impl Content {
    pub(super) fn cost_bytes(&self) -> usize {
        match self {
            Self::Live(record) => record.memory_bytes() + OVERHEAD_BYTES,
            Self::Other(_) => 0,
        }
    }

    /// Returns what is there instead of a record.
    pub(super) fn other(&self) -> Option<&Other> {
        match self {
            Self::Live(_) => None,
            Self::Other(other) => Some(other),
        }
    }
}

impl Slot {
    pub(super) fn new(key: Key, content: impl Into<Content>, seen_ms: u64) -> Self {
        let (turn, saved) = (Turn::default(), Saved::All);
        Self { key, content: content.into(), pinned: FREE, seen: Seen::new(seen_ms), turn, saved }
    }

    /// Returns when the session was last used, which its record may not contain yet.
    #[inline]
    pub(super) fn seen_ms(&self) -> u64 {
        self.seen.ms()
    }

    #[inline]
    pub(super) fn note_use(&mut self, now_ms: u64) {
        self.seen = Seen::new(expiry::seen(self.seen_ms(), now_ms));
    }

    pub(super) fn note_seen(&mut self, ms: u64) {
        self.seen = Seen::new(ms.max(self.seen_ms()));
    }

    /// Returns the write that must be durable before this slot may be removed.
    pub(super) fn pinned(&self) -> Option<Seq> {
        (self.pinned != FREE).then_some(self.pinned)
    }

    /// Returns what was handed to the disk of this slot.
    pub(super) fn before(&self) -> Before {
        Before { seq: self.pinned(), is_unborn: self.saved == Saved::Nothing }
    }

    pub(super) fn pin(&mut self, seq: Seq) {
        self.pinned = seq;
    }

    pub(super) fn unpin(&mut self) {
        self.pinned = FREE;
    }

    /// Whether it has quick changes.
    pub(super) fn is_dirty(&self) -> bool {
        matches!(self.saved, Saved::Older | Saved::Nothing)
    }

    /// Returns the record that must be handed to the disk before this slot may be removed: one with changes that the disk does
    /// not have, or with a last use that is worth keeping.
    pub(super) fn unsaved(&self) -> Option<Record> {
        let Content::Live(record) = &self.content else { return None };
        let meta = record.meta();
        if expiry::use_is_worth_keeping(&meta, self.seen_ms()) {
            return Some(record.with_meta(&self.key, &expiry::touched(&meta, self.seen_ms())));
        }
        self.is_dirty().then(|| record.clone())
    }
}

#[derive(Default)]
pub(super) struct Index(HashTable<Slot>);

impl Index {
    #[inline]
    pub(super) fn get(&self, key: &Key) -> Option<&Slot> {
        self.0.find(hash(key), |slot| slot.key == *key)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, key: &Key) -> Option<&mut Slot> {
        self.0.find_mut(hash(key), |slot| slot.key == *key)
    }

    /// Returns the slot whose key has this [`hash`].
    pub(super) fn named(&self, hash: u64) -> Option<&Slot> {
        self.0.find(hash, |slot| self::hash(&slot.key) == hash)
    }

    pub(super) fn named_mut(&mut self, hash: u64) -> Option<&mut Slot> {
        self.0.find_mut(hash, |slot| self::hash(&slot.key) == hash)
    }

    /// Adds a slot, or replaces the one with the same key.
    pub(super) fn insert(&mut self, slot: Slot) -> &mut Slot {
        match self.0.entry(hash(&slot.key), |other| other.key == slot.key, |other| hash(&other.key)) {
            Entry::Occupied(entry) => {
                let place = entry.into_mut();
                *place = slot;
                place
            }
            Entry::Vacant(entry) => entry.insert(slot).into_mut(),
        }
    }

    pub(super) fn remove(&mut self, key: &Key) -> Option<Slot> {
        let entry = self.0.find_entry(hash(key), |slot| slot.key == *key).ok()?;
        Some(entry.remove().0)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.0.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.0.iter_mut()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the number of sessions.
    pub(super) fn live(&self) -> usize {
        self.0.iter().filter(|slot| matches!(slot.content, Content::Live(_))).count()
    }
}

/// Returns the hash of a key, for tables: the key is already one.
#[inline]
pub(super) fn hash(key: &Key) -> u64 {
    u64::from_le_bytes(*key.first_chunk().expect("a key has 16 bytes"))
}
