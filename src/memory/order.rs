//! The order of eviction: two queues, oldest first, and each slot's place in them.
//!
//! New records enter *probation*, a twentieth of the budget. The oldest record of probation is evicted if it was not used
//! since; otherwise it moves to *main*. The oldest of main gets another chance for each of its last uses, at most three. So a
//! visitor who never comes back passes through probation without displacing a regular. One who comes back soon after that is
//! recognized by the record's *ghost* and enters main at once.
//!
//! Facts: probation is a list of the crate `lru`, from which a session that ends is removed at once: most sessions that end
//! early end there. Main is a queue of key hashes, which costs 8 bytes for each session instead of 66, and main has nineteen of
//! twenty. The shares are measured: at zipf 1.0, 10 k of 1 M sessions, 30 % one-shot ids, the hit ratio is 0.934 of the ideal
//! without ghosts, 0.967 with them and a tenth for probation, 0.970 with a twentieth. The ideas are those of S3-FIFO (SOSP
//! '23).
//!
//! Invariants: a hit touches neither queue. A name in main counts only if its slot's place is main: a removed slot leaves its
//! name behind, and [`Order::is_stale`] bounds the number of such names.

use std::collections::VecDeque;

use lru::LruCache;

use super::ghost::Ghost;
use crate::token::KeyState;

/// A queue of the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Probation,
    Main,
}

/// The divisor of the budget for probation, where new sessions must be used once more to stay. A small part, so that visitors
/// who never come back take little from those who do.
const PROBATION: usize = 20;

pub(super) struct Order {
    probation: LruCache<u64, (), KeyState>,
    main: VecDeque<u64>,
    /// The cost of the slots in probation.
    probation_bytes: usize,
    /// The number of names in main that have no slot there.
    stale: usize,
    ghost: Ghost,
}

impl Default for Order {
    fn default() -> Self {
        let probation = LruCache::unbounded_with_hasher(KeyState::default());
        Self { probation, main: VecDeque::new(), probation_bytes: 0, stale: 0, ghost: Ghost::default() }
    }
}

impl Order {
    /// Adds `hash` as the newest, and returns its queue. `cost_bytes` is the cost of its slot.
    pub(super) fn admit(&mut self, hash: u64, cost_bytes: usize) -> Place {
        if self.ghost.take(hash) {
            self.keep(hash);
            return Place::Main;
        }
        self.probation_bytes += cost_bytes;
        self.probation.push(hash, ());
        Place::Probation
    }

    /// Adds a used record as the newest of main.
    pub(super) fn keep(&mut self, hash: u64) {
        self.main.push_back(hash);
    }

    /// Removes the next name from its queue. If its slot's place is that queue, call [`left`](Self::left); otherwise the name
    /// [`was stale`](Self::drop_stale).
    pub(super) fn next(&mut self, budget_bytes: usize) -> Option<(u64, Place)> {
        if (self.main.is_empty() || self.probation_bytes > budget_bytes / PROBATION)
            && let Some((hash, ())) = self.probation.pop_lru()
        {
            return Some((hash, Place::Probation));
        }
        Some((self.main.pop_front()?, Place::Main))
    }

    /// Puts `hash` back as the next one of `place`. `cost_bytes` is the cost of its slot.
    pub(super) fn put_back(&mut self, hash: u64, place: Place, cost_bytes: usize) {
        match place {
            Place::Probation => {
                self.probation.push(hash, ());
                self.probation.demote(&hash);
            }
            Place::Main => self.main.push_front(hash),
        }
        self.costs(Some(place), cost_bytes);
    }

    /// `hash` left probation without having been used.
    pub(super) fn note_ghost(&mut self, hash: u64) {
        // As many as sessions in memory. With more, records that come back too rarely would enter main.
        self.ghost.note(hash, self.probation.len() + self.main.len());
    }

    /// A slot with this cost has left `place`.
    pub(super) fn left(&mut self, place: Option<Place>, cost_bytes: usize) {
        if place == Some(Place::Probation) {
            self.probation_bytes -= cost_bytes;
        }
    }

    /// A slot with this cost is in `place`.
    pub(super) fn costs(&mut self, place: Option<Place>, cost_bytes: usize) {
        if place == Some(Place::Probation) {
            self.probation_bytes += cost_bytes;
        }
    }

    /// The slot of `hash`, which was in `place`, is gone.
    pub(super) fn remove(&mut self, hash: u64, place: Place) {
        match place {
            Place::Probation => drop(self.probation.pop(&hash)),
            Place::Main => self.stale += 1,
        }
    }

    /// A name that was taken out had no slot.
    pub(super) fn drop_stale(&mut self) {
        self.stale = self.stale.saturating_sub(1);
    }

    /// Whether there are enough stale names that they should be [swept](Self::sweep).
    pub(super) fn is_stale(&self) -> bool {
        self.stale > 16 + self.main.len() / 2
    }

    /// Drops the names in main without a slot there. `place_of` returns the place of a name's slot.
    pub(super) fn sweep(&mut self, place_of: impl Fn(u64) -> Option<Place>) {
        self.main.retain(|hash| place_of(*hash) == Some(Place::Main));
        self.stale = 0;
    }

    #[cfg(test)]
    pub(super) fn names(&self) -> usize {
        self.probation.len() + self.main.len()
    }

    #[cfg(test)]
    pub(super) fn probation_bytes(&self) -> usize {
        self.probation_bytes
    }
}

/// A slot's place in the order, in one byte: its queue, how often it was used since eviction last checked it, and whether it is
/// listed as a session without an owner.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turn(u8);

/// The most uses that count, and the bits for them.
const USES: u8 = 3;
const IN_PROBATION: u8 = 4;
const IN_MAIN: u8 = 8;
const PLACES: u8 = IN_PROBATION | IN_MAIN;
/// The bit above those of the places.
const LISTED: u8 = 16;

impl Turn {
    pub(super) fn note_use(&mut self) {
        self.0 += u8::from(self.0 & USES < USES);
    }

    pub(super) fn is_used(self) -> bool {
        self.0 & USES > 0
    }

    /// Removes one use.
    pub(super) fn use_up(&mut self) {
        self.0 -= u8::from(self.is_used());
    }

    /// Removes all uses.
    pub(super) fn forget_uses(&mut self) {
        self.0 &= !USES;
    }

    pub(super) fn place(self) -> Option<Place> {
        match self.0 & PLACES {
            IN_PROBATION => Some(Place::Probation),
            IN_MAIN => Some(Place::Main),
            _ => None,
        }
    }

    pub(super) fn set_place(&mut self, place: Option<Place>) {
        let bits = match place {
            Some(Place::Probation) => IN_PROBATION,
            Some(Place::Main) => IN_MAIN,
            None => 0,
        };
        self.0 = self.0 & !PLACES | bits;
    }

    pub(super) fn is_listed(self) -> bool {
        self.0 & LISTED != 0
    }

    pub(super) fn set_listed(&mut self, is_listed: bool) {
        self.0 = self.0 & !LISTED | if is_listed { LISTED } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_keeps_place_and_uses_apart() {
        let mut turn = Turn::default();
        for place in [None, Some(Place::Probation), Some(Place::Main)] {
            turn.set_place(place);
            turn.set_listed(place.is_none());
            assert_eq!(turn.is_listed(), place.is_none());
            for _ in 0..5 {
                turn.note_use();
                assert_eq!((turn.place(), turn.is_used()), (place, true));
            }
            for left in [true, true, false, false] {
                turn.use_up();
                assert_eq!((turn.place(), turn.is_used()), (place, left));
            }
            turn.note_use();
            turn.forget_uses();
            assert_eq!((turn.place(), turn.is_used()), (place, false));
        }
    }
}
