//! The records that recently left probation without having been used, as 32 bits each.
//!
//! A record that is requested again soon after it left was worth keeping. Without ghosts, one that comes back less often than
//! probation lasts would never leave probation. Some bits of the hash select a ghost's place, and others identify it. A newer
//! ghost replaces an older one, so all of them disappear over time. A collision costs only a wrong guess.

#[derive(Default)]
pub(super) struct Ghost(Box<[u32]>);

impl Ghost {
    /// Notes that the record with `hash` left. There is room for `most` ghosts, or up to twice as many.
    pub(super) fn note(&mut self, hash: u64, most: usize) {
        if self.0.len() < most {
            self.0 = vec![0; most.next_power_of_two()].into();
        }
        if let Some(place) = self.place(hash) {
            *place = trace(hash);
        }
    }

    /// Whether the record with `hash` left recently. Removes the ghost.
    pub(super) fn take(&mut self, hash: u64) -> bool {
        let found = self.place(hash).filter(|found| **found == trace(hash));
        found.map(|found| *found = 0).is_some()
    }

    fn place(&mut self, hash: u64) -> Option<&mut u32> {
        // The length is a power of two.
        let mask = self.0.len().wrapping_sub(1);
        self.0.get_mut(usize::try_from(hash >> 32).unwrap_or_default() & mask)
    }
}

/// The bits that identify a ghost; never 0, which means none.
#[expect(clippy::cast_possible_truncation, reason = "only these bits are left")]
fn trace(hash: u64) -> u32 {
    (hash & u64::from(u32::MAX)) as u32 | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ghost_is_seen_once() {
        let mut ghost = Ghost::default();
        let hash = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        assert!(!ghost.take(hash(1)));
        ghost.note(hash(1), 100);
        assert!(!ghost.take(hash(2)));
        assert!(ghost.take(hash(1)));
        assert!(!ghost.take(hash(1)));
    }

    #[test]
    fn newer_ghosts_take_the_place_of_older_ones() {
        let mut ghost = Ghost::default();
        let hash = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for n in 0..1000 {
            ghost.note(hash(n), 128);
        }
        assert_eq!(ghost.0.len(), 128);
        assert!(ghost.take(hash(999)));
        assert!((0..100).all(|n| !ghost.take(hash(n))));
    }
}
