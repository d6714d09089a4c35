//! Looking a session up: memory first, then the disk, and what the disk has is brought into memory.
//!
//! Invariant: a token's MAC is checked before any I/O, and only when memory does not know the session.

use sessile_codec::Record;

use super::{Store, count};
use crate::{
    Error, Tier, Token,
    memory::{Base, Load, Lookup},
    token::Key,
};

/// A session that was found.
pub(crate) struct Found {
    pub(crate) key: Key,
    pub(crate) record: Record,
    /// When it was last used, this time included.
    pub(crate) seen_ms: u64,
    pub(crate) tier: Tier,
}

/// The record of a key now, and what a change of it is to be based on.
pub(super) struct Current<'a> {
    pub(super) record: Record,
    pub(super) load: Option<Load<'a>>,
}

impl Current<'_> {
    pub(super) fn base(&self) -> Base<'_> {
        self.load.as_ref().map_or(Base::Record(&self.record), Base::Load)
    }
}

impl Store {
    /// The session that the client presents by `tokens`, with its use noted. Two different tokens that both are ours are none:
    /// one of them was planted.
    pub(crate) fn find(&self, tokens: impl Iterator<Item = Token>) -> Result<Option<(Token, Found)>, Error> {
        let Some(token) = self.pick(tokens) else { return Ok(None) };
        let (key, now_ms) = (token.key(), self.now_ms());
        let found = match self.0.memory.get(&key, now_ms) {
            Lookup::Hit(record, seen_ms) => Some((record, seen_ms, Tier::Memory)),
            Lookup::Expired => self.note_expired(&key),
            Lookup::Dead => None,
            // Before any I/O: whoever guesses gets no further.
            Lookup::Miss if !self.0.ring.verify(&token) => {
                count(&self.0.counters.forged);
                return Ok(None);
            }
            Lookup::Miss => self.fetch(&key, now_ms)?,
        };
        if found.is_none() {
            count(&self.0.counters.misses);
        }
        Ok(found.map(|(record, seen_ms, tier)| (token, Found { key, record, seen_ms, tier })))
    }

    fn pick(&self, mut tokens: impl Iterator<Item = Token>) -> Option<Token> {
        let mut picked = tokens.next()?;
        let mut verified = false;
        for token in tokens.filter(|token| self.0.ring.verify(token)) {
            if token == picked {
                verified = true;
            } else if verified || self.0.ring.verify(&picked) {
                count(&self.0.counters.ambiguous);
                return None;
            } else {
                (picked, verified) = (token, true);
            }
        }
        Some(picked)
    }

    /// Brings a session from the disk into memory.
    fn fetch(&self, key: &Key, now_ms: u64) -> Result<Option<(Record, u64, Tier)>, Error> {
        loop {
            let Some(load) = self.0.memory.begin_load(key) else {
                match self.0.memory.get(key, now_ms) {
                    Lookup::Hit(record, seen_ms) => return Ok(Some((record, seen_ms, Tier::Memory))),
                    Lookup::Expired => return Ok(self.note_expired(key)),
                    Lookup::Dead => return Ok(None),
                    Lookup::Miss => continue,
                }
            };
            match self.read_disk(key, now_ms)? {
                Some(record) if self.0.memory.fill(&load, &record, now_ms) => {
                    count(&self.0.counters.disk_hits);
                    return Ok(Some((record, now_ms, Tier::Disk)));
                }
                None if self.0.memory.is_undisturbed(&load) => return Ok(None),
                _ => {}
            }
        }
    }

    /// The record on disk, if it is one and its session is alive.
    fn read_disk(&self, key: &Key, now_ms: u64) -> Result<Option<Record>, Error> {
        match self.0.disk.load(key)? {
            None => Ok(None),
            Some(Ok(record)) if record.meta().deadline_ms() <= now_ms => {
                count(&self.0.counters.expired);
                Ok(None)
            }
            Some(Ok(record)) => Ok(Some(record)),
            Some(Err(error)) => {
                count(&self.0.counters.corrupt);
                crate::event::corrupt_record(key, &error);
                Ok(None)
            }
        }
    }

    fn note_expired<T>(&self, key: &Key) -> Option<T> {
        count(&self.0.counters.expired);
        self.0.memory.forget(key);
        None
    }

    /// The record of `key` now, without noting a use.
    pub(super) fn current(&self, key: &Key) -> Result<Option<Current<'_>>, Error> {
        let now_ms = self.now_ms();
        loop {
            match self.0.memory.peek(key, now_ms) {
                Lookup::Hit(record, _) => return Ok(Some(Current { record, load: None })),
                Lookup::Expired => return Ok(self.note_expired(key)),
                Lookup::Dead => return Ok(None),
                Lookup::Miss => {}
            }
            if let Some(load) = self.0.memory.begin_load(key) {
                let record = self.read_disk(key, now_ms)?;
                return Ok(record.map(|record| Current { record, load: Some(load) }));
            }
        }
    }

    /// As [`current`](Self::current), for a look only: nothing changes in memory.
    pub(super) fn inspect(&self, key: &Key) -> Result<Option<(Record, u64)>, Error> {
        let now_ms = self.now_ms();
        match self.0.memory.peek(key, now_ms) {
            Lookup::Hit(record, seen_ms) => Ok(Some((record, seen_ms))),
            Lookup::Expired | Lookup::Dead => Ok(None),
            Lookup::Miss => Ok(self.read_disk(key, now_ms)?.map(|record| {
                let seen_ms = record.meta().last_seen_ms;
                (record, seen_ms)
            })),
        }
    }
}
