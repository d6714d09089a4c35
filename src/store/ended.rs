//! The record keys of foreign sessions that ended last in this process.
//!
//! Some session crates create and change sessions with the same call. A request that is still running when its session ends
//! would recreate the session with that call. So the store remembers the keys that ended last, and refuses such a call for
//! them. A restart may forget them: the requests that could recreate a session end with the process.
//!
//! Invariants: a key is noted before its deletion is queued, so a caller that finds the session gone finds its key here. At
//! most [`MOST`] keys are kept; the oldest are dropped first. A store without such a crate keeps none.

use std::{
    collections::{HashSet, VecDeque},
    sync::atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;

use crate::token::Key;

/// More sessions than end while one request runs; 3 MiB.
const MOST: usize = 1 << 16;

#[derive(Debug, Default)]
pub(super) struct Ended {
    is_used: AtomicBool,
    keys: Mutex<Keys>,
}

#[derive(Debug, Default)]
struct Keys {
    all: HashSet<Key>,
    oldest_first: VecDeque<Key>,
}

impl Ended {
    /// Remembers ends from now on.
    pub(super) fn begin(&self) {
        self.is_used.store(true, Ordering::Relaxed);
    }

    pub(super) fn note(&self, key: &Key) {
        if !self.is_used.load(Ordering::Relaxed) {
            return;
        }
        let mut keys = self.keys.lock();
        if keys.all.insert(*key) {
            keys.oldest_first.push_back(*key);
        }
        if keys.oldest_first.len() > MOST
            && let Some(oldest) = keys.oldest_first.pop_front()
        {
            keys.all.remove(&oldest);
        }
    }

    pub(super) fn contains(&self, key: &Key) -> bool {
        self.is_used.load(Ordering::Relaxed) && self.keys.lock().all.contains(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: usize) -> Key {
        (n as u128).to_le_bytes()
    }

    #[test]
    fn the_last_ends_are_remembered_and_no_more_than_fit() {
        let ended = Ended::default();
        ended.note(&key(0));
        assert!(!ended.contains(&key(0)), "it was not asked to remember");
        ended.begin();
        for n in 0..MOST + 10 {
            ended.note(&key(n));
            // A key that ends twice is kept once.
            ended.note(&key(n));
        }
        let remembered = (0..MOST + 10).filter(|n| ended.contains(&key(*n))).count();
        assert_eq!((remembered, ended.keys.lock().oldest_first.len()), (MOST, MOST));
        assert!(!ended.contains(&key(9)) && ended.contains(&key(10)) && ended.contains(&key(MOST + 9)));
    }
}
