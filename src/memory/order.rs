//! Who is evicted next: two lists of keys, newest first.
//!
//! New records enter *probation*, a tenth of the budget. The oldest of probation goes if it was not used since, else it moves
//! to *main*; the oldest of main gets a second chance if it was used. So a visitor who never comes back passes through
//! probation without displacing a regular.
//!
//! Invariant: only eviction and removal touch the lists; a hit never does.

use std::hash::{BuildHasherDefault, Hasher};

use lru::LruCache;

use super::index::hash;
use crate::token::Key;

type List = LruCache<KeyBits, usize, BuildHasherDefault<KeyHasher>>;

pub(super) struct Order {
    probation: List,
    probation_bytes: usize,
    main: List,
    main_bytes: usize,
}

impl Default for Order {
    fn default() -> Self {
        let list = || List::unbounded_with_hasher(BuildHasherDefault::default());
        Self { probation: list(), probation_bytes: 0, main: list(), main_bytes: 0 }
    }
}

impl Order {
    /// Adds a key as the newest of probation.
    pub(super) fn admit(&mut self, key: Key, cost_bytes: usize) {
        self.probation_bytes += cost_bytes;
        self.probation.put(KeyBits(key), cost_bytes);
    }

    /// Adds a key that was used as the newest of main.
    pub(super) fn keep(&mut self, key: Key, cost_bytes: usize) {
        self.main_bytes += cost_bytes;
        self.main.put(KeyBits(key), cost_bytes);
    }

    /// Takes out the key whose turn it is.
    pub(super) fn next(&mut self, budget_bytes: usize) -> Option<Key> {
        if (self.main.is_empty() || self.probation_bytes > budget_bytes / 10)
            && let Some((key, cost_bytes)) = self.probation.pop_lru()
        {
            self.probation_bytes -= cost_bytes;
            return Some(key.0);
        }
        let (key, cost_bytes) = self.main.pop_lru()?;
        self.main_bytes -= cost_bytes;
        Some(key.0)
    }

    /// The keys whose turn comes next, without taking them out.
    pub(super) fn next_ones(&self) -> impl Iterator<Item = &Key> {
        let (probation, main) = (self.probation.iter().rev(), self.main.iter().rev());
        probation.chain(main).map(|(key, _)| &key.0)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.probation.len() + self.main.len()
    }

    pub(super) fn remove(&mut self, key: &Key) {
        if let Some(cost_bytes) = self.probation.pop(&KeyBits(*key)) {
            self.probation_bytes -= cost_bytes;
        } else if let Some(cost_bytes) = self.main.pop(&KeyBits(*key)) {
            self.main_bytes -= cost_bytes;
        }
    }
}

/// A key that hashes to its own bits.
#[derive(PartialEq, Eq)]
struct KeyBits(Key);

impl std::hash::Hash for KeyBits {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(hash(&self.0));
    }
}

#[derive(Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("a key hashes as one integer");
    }

    fn write_u64(&mut self, bits: u64) {
        self.0 = bits;
    }
}
