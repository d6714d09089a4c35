//! What requests loaded, for merging what they save.
//!
//! The traits of other crates pass a session as a whole, and do not report what the request changed. But the `HashMap` that
//! they pass carries a mark: the two keys of its hasher, which are random for each map and stay with it and its clones,
//! whatever is inserted or removed. So the map in a save identifies its load, and the values of that load are the base of a
//! three-way merge. Invariants: an unknown mark is no base, and the whole map is saved, as with any other store. The bases use
//! at most their budget, and the oldest are removed first.

use std::{
    collections::{HashMap, VecDeque, hash_map::RandomState},
    hash::BuildHasher,
    sync::Arc,
};

use parking_lot::Mutex;

use sessile::foreign::{Base, SessionKey};

/// Identifies a map, and its session. Of 64 random bits, one in 10^13 pairs of a million maps is equal, and such a pair is
/// merged only if both are of the same session.
pub(super) type Mark = (SessionKey, u64);

pub(super) fn mark<V>(key: &SessionKey, map: &HashMap<String, V, RandomState>) -> Mark {
    (*key, map.hasher().hash_one(0_u8))
}

pub(super) struct Bases {
    shards: [Mutex<Shard>; SHARDS],
    budget_bytes: usize,
}

#[derive(Default)]
struct Shard {
    bases: HashMap<Mark, (Arc<Base>, usize)>,
    oldest_first: VecDeque<Mark>,
    used_bytes: usize,
}

/// Parts with one lock each: a lock is held for one access to a map, so few threads collide.
const SHARDS: usize = 16;
/// Bytes of a base beyond its values.
const OVERHEAD_BYTES: usize = 160;

impl Bases {
    pub(super) fn new(budget_bytes: usize) -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()), budget_bytes }
    }

    pub(super) fn get(&self, mark: &Mark) -> Option<Arc<Base>> {
        self.shard(mark).lock().bases.get(mark).map(|(base, _)| base.clone())
    }

    /// Notes what the request with this map knows now.
    pub(super) fn put(&self, mark: Mark, base: Base) {
        let bytes = base.len_bytes() + OVERHEAD_BYTES;
        let budget_bytes = self.budget_bytes / SHARDS;
        if bytes > budget_bytes {
            return;
        }
        let mut shard = self.shard(&mark).lock();
        match shard.bases.insert(mark, (Arc::new(base), bytes)) {
            Some((_, replaced)) => shard.used_bytes -= replaced,
            None => shard.oldest_first.push_back(mark),
        }
        shard.used_bytes += bytes;
        while shard.used_bytes > budget_bytes {
            let oldest = shard.oldest_first.pop_front().expect("what takes bytes is in the list");
            let (_, bytes) = shard.bases.remove(&oldest).expect("what is in the list is in the map");
            shard.used_bytes -= bytes;
        }
    }

    fn shard(&self, (_, map): &Mark) -> &Mutex<Shard> {
        // A hash with random keys: any part of it is evenly distributed.
        &self.shards[usize::try_from(*map).unwrap_or_default() % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use sessile::foreign::{ForeignKind, OwnerId, Sessions, Values};

    use super::*;

    fn key() -> SessionKey {
        Sessions::new(sessile::testing::store(), ForeignKind::TowerSessions).key(b"id")
    }

    fn base() -> Base {
        Base::Stored { values: Values::default(), owner: OwnerId::NOBODY }
    }

    #[test]
    fn a_map_and_its_clones_have_one_mark_and_no_other_map_has_it() {
        let key = key();
        let mut map: HashMap<String, u8> = HashMap::with_capacity(3);
        let before = mark(&key, &map);
        map.insert("a".to_owned(), 1);
        map.clear();
        map.shrink_to_fit();
        assert_eq!(mark(&key, &map), before);
        assert_eq!(mark(&key, &map.clone()), before);
        let others: std::collections::HashSet<Mark> = (0..10_000).map(|_| mark::<u8>(&key, &HashMap::new())).collect();
        assert_eq!(others.len(), 10_000);
        assert!(!others.contains(&before));
    }

    #[test]
    fn the_oldest_bases_go_when_the_budget_is_used_up() {
        let (key, bases) = (key(), Bases::new(SHARDS * 10 * OVERHEAD_BYTES));
        // All in one shard.
        let mark = |nth: u64| (key, nth * SHARDS as u64);
        for nth in 0..100 {
            bases.put(mark(nth), base());
        }
        let kept: Vec<u64> = (0..100).filter(|nth| bases.get(&mark(*nth)).is_some()).collect();
        assert_eq!(kept, (90..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_base_that_is_put_again_is_counted_once() {
        let (key, bases) = (key(), Bases::new(SHARDS * 2 * OVERHEAD_BYTES));
        for _ in 0..100 {
            bases.put((key, 0), base());
            bases.put((key, SHARDS as u64), base());
        }
        assert!(bases.get(&(key, 0)).is_some() && bases.get(&(key, SHARDS as u64)).is_some());
    }

    #[test]
    fn without_a_budget_nothing_is_kept() {
        let (key, bases) = (key(), Bases::new(0));
        bases.put((key, 1), base());
        assert!(bases.get(&(key, 1)).is_none());
    }
}
