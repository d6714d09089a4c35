//! Looks a session up: in memory first, then on disk. What is found on disk is loaded into memory.
//!
//! Invariants: a token's MAC is checked before any I/O, and only if memory does not know the session. A token that was replaced
//! with a grace leads to the session under its new key.

use sessile_codec::Record;

use super::{Store, count};
use crate::{
    Durability, Error, Tier, Token,
    disk::Op,
    expiry,
    memory::{Base, Load, Lookup, Swap},
    token::Key,
};

/// A session that was found.
pub(crate) struct Found {
    pub(crate) key: Key,
    pub(crate) record: Record,
    /// When it was last used, this time included.
    pub(crate) seen_ms: u64,
    pub(crate) tier: Tier,
    /// Whether the token that led here has been replaced since.
    pub(crate) is_old: bool,
}

/// The sessions of the tokens that a client sent.
pub(crate) enum Presented {
    None,
    One(Token, Found),
    Several(Vec<(Token, Found)>),
}

/// The current record of a key, and what a change to it is based on.
pub(super) struct Current<'a> {
    /// The record's key. Differs from the requested key if the session was rotated with a grace.
    pub(super) key: Key,
    pub(super) record: Record,
    /// When it was last used.
    pub(super) seen_ms: u64,
    load: Option<Load<'a>>,
}

impl Current<'_> {
    /// Wraps a record that memory has, or had a moment ago.
    pub(super) fn of(key: Key, record: Record) -> Self {
        Self { key, seen_ms: record.meta().last_seen_ms, record, load: None }
    }

    pub(super) fn base(&self) -> Base<'_> {
        self.load.as_ref().map_or(Base::Record(&self.record), Base::Load)
    }
}

/// The outcome of a read from disk.
pub(super) enum Fetched {
    Record(Record),
    Nothing,
    /// The key changed meanwhile.
    LookAgain,
}

impl Store {
    /// Finds the sessions of `tokens` and notes their use. Each session is returned once, with its newest token. More than one
    /// is ambiguous: the browser has several cookies of one name, and another host may have set all except one.
    pub(crate) fn find_all(&self, mut tokens: impl Iterator<Item = Token>) -> Result<Presented, Error> {
        let Some(first) = tokens.next() else { return Ok(Presented::None) };
        match tokens.find(|token| *token != first) {
            None => Ok(self.find(first)?.map_or(Presented::None, |found| Presented::One(first, found))),
            Some(second) => self.find_among([first, second].into_iter().chain(tokens)),
        }
    }

    /// Only a token that leads to a session is a candidate. When a release has changed the cookie's attributes, a browser keeps
    /// the cookie of an ended session beside the new one.
    #[cold]
    fn find_among(&self, tokens: impl Iterator<Item = Token>) -> Result<Presented, Error> {
        let mut live: Vec<(Token, Found)> = Vec::new();
        let mut tried: Vec<Token> = Vec::new();
        for token in tokens {
            if tried.contains(&token) {
                continue;
            }
            tried.push(token);
            let Some(found) = self.find(token)? else { continue };
            match live.iter_mut().find(|(_, other)| other.key == found.key) {
                Some(same) if same.1.is_old => *same = (token, found),
                Some(_) => {}
                None => live.push((token, found)),
            }
        }
        Ok(match live.len() {
            0 => Presented::None,
            1 => live.pop().map_or(Presented::None, |(token, found)| Presented::One(token, found)),
            _ => Presented::Several(live),
        })
    }

    /// Finds the session of `token` and notes its use.
    pub(crate) fn find(&self, token: Token) -> Result<Option<Found>, Error> {
        self.0.disk.check_process()?;
        let (mut key, now_ms) = (token.key(), self.now_ms());
        let mut is_old = false;
        let found = loop {
            match self.0.memory.get(&key, now_ms) {
                Lookup::Hit(record, seen_ms) => break Some((record, seen_ms, Tier::Memory)),
                Lookup::Expired => break self.note_expired(&key),
                Lookup::Dead => break None,
                Lookup::Moved(to) => (key, is_old) = (to, true),
                // Before any I/O, so that guessed tokens cost none.
                Lookup::Miss if !self.0.ring.verify(&token) => {
                    count(&self.0.shared.counters.forged);
                    return Ok(None);
                }
                Lookup::Miss => match self.fetch(&key, now_ms)? {
                    Fetched::Record(record) => break Some((record, now_ms, Tier::Disk)),
                    Fetched::Nothing => break None,
                    Fetched::LookAgain => {}
                },
            }
        };
        let Some((record, seen_ms, tier)) = found else {
            count(&self.0.shared.counters.misses);
            return Ok(None);
        };
        let mut found = Found { key, record, seen_ms, tier, is_old };
        if expiry::is_unconfirmed(&found.record.meta()) {
            self.confirm(&mut found, now_ms)?;
        }
        Ok(Some(found))
    }

    /// The client sent the cookie back: the session is confirmed, and the idle timeout applies from now on.
    fn confirm(&self, found: &mut Found, now_ms: u64) -> Result<(), Error> {
        let Some(current) = self.current(&found.key)?.filter(|current| expiry::is_unconfirmed(&current.record.meta())) else {
            return Ok(());
        };
        let meta = self.0.settings.timeouts.confirmed(&expiry::touched(&current.record.meta(), now_ms));
        let record = current.record.with_meta(&current.key, &meta);
        let put = |before| self.queue(Op::Put { key: current.key, record: record.clone() }, Durability::Relaxed, before);
        // If another request was faster, it either confirmed the session or the next one will.
        if let Swap::Done(_) = self.0.memory.swap(&current.key, current.base(), &record, &self.0.disk, put) {
            found.record = record;
        }
        Ok(())
    }

    /// Counts a request that sent the tokens of several sessions.
    pub(crate) fn note_ambiguous(&self) {
        count(&self.0.shared.counters.ambiguous);
        crate::log::ambiguous();
    }

    /// Counts and logs bytes that this store wrote and that are no valid record.
    #[cfg(feature = "sealed")]
    pub(crate) fn note_corrupt(&self, key: &Key, error: &sessile_codec::Error) {
        count(&self.0.shared.counters.corrupt);
        crate::log::corrupt_record(key, error);
    }

    /// Loads a session from the disk into memory.
    pub(super) fn fetch(&self, key: &Key, now_ms: u64) -> Result<Fetched, Error> {
        let Some(load) = self.0.memory.begin_load(key) else { return Ok(Fetched::LookAgain) };
        Ok(match self.read_disk(key, now_ms)? {
            Some(record) if self.0.memory.fill(&load, &record, now_ms, &self.0.disk) => {
                count(&self.0.shared.counters.disk_hits);
                Fetched::Record(record)
            }
            None if self.0.memory.is_undisturbed(&load) => Fetched::Nothing,
            _ => Fetched::LookAgain,
        })
    }

    /// Returns the record on disk if it is valid and its session is alive.
    fn read_disk(&self, key: &Key, now_ms: u64) -> Result<Option<Record>, Error> {
        match self.0.disk.load(key)? {
            None => Ok(None),
            Some(Ok(record)) if record.meta().deadline_ms() <= now_ms => {
                count(&self.0.shared.counters.expired);
                Ok(None)
            }
            Some(Ok(record)) => Ok(Some(record)),
            Some(Err(error)) => {
                count(&self.0.shared.counters.corrupt);
                crate::log::corrupt_record(key, &error);
                Ok(None)
            }
        }
    }

    pub(super) fn note_expired<T>(&self, key: &Key) -> Option<T> {
        count(&self.0.shared.counters.expired);
        // The clock may be wrong, so the session is not served, and is forgotten only once it is certainly over.
        if matches!(self.0.memory.peek(key, self.0.timeline.certain_ms()), Lookup::Expired) {
            self.0.shared.expired_in_memory(key, self.0.memory.forget(key));
        }
        None
    }

    /// Returns the current record of `key`, or of the key that it was rotated to, without noting a use.
    pub(super) fn current(&self, key: &Key) -> Result<Option<Current<'_>>, Error> {
        self.current_at(key, self.now_ms())
    }

    /// Like `current`, for a session that is to be ended. One that is over only by a clock that may be wrong must not come back
    /// when the clock is corrected.
    pub(super) fn current_to_end(&self, key: &Key) -> Result<Option<Current<'_>>, Error> {
        let (now_ms, certain_ms) = (self.now_ms(), self.0.timeline.certain_ms());
        match self.current_at(key, now_ms)? {
            None if certain_ms < now_ms => self.current_at(key, certain_ms),
            current => Ok(current),
        }
    }

    pub(super) fn current_at(&self, key: &Key, now_ms: u64) -> Result<Option<Current<'_>>, Error> {
        self.current_by(key, now_ms, |key| self.read_disk(key, now_ms))
    }

    /// Like `current_at`, with `read` in place of the disk.
    fn current_by(
        &self,
        key: &Key,
        now_ms: u64,
        mut read: impl FnMut(&Key) -> Result<Option<Record>, Error>,
    ) -> Result<Option<Current<'_>>, Error> {
        let mut key = *key;
        loop {
            match self.0.memory.peek(&key, now_ms) {
                Lookup::Hit(record, seen_ms) => return Ok(Some(Current { key, record, seen_ms, load: None })),
                Lookup::Expired => return Ok(self.note_expired(&key)),
                Lookup::Dead => return Ok(None),
                Lookup::Moved(to) => key = to,
                Lookup::Miss => {
                    let Some(load) = self.0.memory.begin_load(&key) else { continue };
                    match read(&key)? {
                        Some(record) => return Ok(Some(Current { load: Some(load), ..Current::of(key, record) })),
                        None if self.0.memory.is_undisturbed(&load) => return Ok(None),
                        // Another request gave the session a new key meanwhile, which is durable already. It has not ended.
                        None => {}
                    }
                }
            }
        }
    }

    /// Like [`current`](Self::current), for this key only and without any change in memory.
    pub(super) fn inspect(&self, key: &Key) -> Result<Option<(Record, u64)>, Error> {
        let now_ms = self.now_ms();
        match self.0.memory.peek(key, now_ms) {
            Lookup::Hit(record, seen_ms) => Ok(Some((record, seen_ms))),
            Lookup::Expired | Lookup::Dead | Lookup::Moved(_) => Ok(None),
            Lookup::Miss => Ok(self.read_disk(key, now_ms)?.map(|record| {
                let seen_ms = record.meta().last_seen_ms;
                (record, seen_ms)
            })),
        }
    }
}

#[cfg(all(test, feature = "test-util"))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Handle;

    #[test]
    fn a_session_that_gets_a_new_key_while_it_is_read_from_disk_has_not_ended() {
        let store = Store::builder().memory_budget(0).open_in_memory().unwrap();
        let session = store.session(None).unwrap();
        session.set_label("laptop").unwrap();
        session.flash("info", "saved").unwrap();
        session.save().wait().unwrap();
        let (token, key, now_ms) = (session.token().unwrap(), session.token().unwrap().key(), store.now_ms());
        let is_evicted = || matches!(store.0.memory.peek(&key, now_ms), Lookup::Miss);
        while !is_evicted() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut reads = 0;
        let current = store.current_by(&key, now_ms, |key| {
            reads += 1;
            if reads == 1 {
                let other = store.session(Some(&token)).unwrap();
                other.rotate_with_grace();
                other.save().wait().unwrap();
            }
            store.read_disk(key, now_ms)
        });
        let current = current.unwrap().expect("it has not ended");
        assert_ne!(current.key, key);
        assert_eq!(Handle::of(&current.record.meta()), session.handle().unwrap());
    }
}
