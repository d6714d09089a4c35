//! Sessions under ids that another session crate issues.
//!
//! Invariants: a session is made only where there is none, nor one that has just ended: whoever holds its id must not find another
//! visitor's. Such an id carries no MAC of ours, so one that leads nowhere costs a look at the disk.

use sessile_codec::Record;
use sha2::{Digest, Sha256};

use super::{
    Store,
    commit::{Asked, Committed, Known, NewKey, Onto, at_least},
    count,
    find::Fetched,
};
use crate::{
    Durability, Error,
    disk::{Op, Ticket},
    memory::{Base, Lookup, Swap},
    owner::NOBODY,
    token::{Handle, Key},
};

/// What a session is stored under whose id is `id` in the crate that `kind` names. No token of ours has the same one.
pub(crate) fn foreign_key(kind: &str, id: &[u8]) -> Key {
    let hash = Sha256::new_with_prefix(b"sessile foreign\0").chain_update(kind).chain_update([0]).chain_update(id).finalize();
    *hash.first_chunk().expect("a SHA-256 has 32 bytes")
}

impl Store {
    /// The session under `key`, with its use noted.
    pub(crate) fn find_foreign(&self, key: &Key) -> Result<Option<Record>, Error> {
        let now_ms = self.now_ms();
        let found = loop {
            match self.0.memory.get(key, now_ms) {
                Lookup::Hit(record, _) => break Some(record),
                Lookup::Expired => break self.note_expired(key),
                // A foreign session is never renewed, so nothing leads to another key.
                Lookup::Dead | Lookup::Moved(_) => break None,
                Lookup::Miss => match self.fetch(key, now_ms)? {
                    Fetched::Record(record) => break Some(record),
                    Fetched::Nothing => break None,
                    Fetched::LookAgain => {}
                },
            }
        };
        if found.is_none() {
            count(&self.0.shared.counters.misses);
        }
        Ok(found)
    }

    /// As [`commit`](Self::commit), by who knows nothing of the session but its key.
    pub(crate) fn commit_foreign(
        &self,
        key: &Key,
        durability: Durability,
        owner: Option<[u8; 16]>,
        merge: impl FnMut(Onto<'_>) -> Result<Option<Record>, Error>,
    ) -> Result<Option<Committed>, Error> {
        let Some(current) = self.current(key)? else {
            self.drop_commit(None);
            return Ok(None);
        };
        // Without a name, which would be for a new token of ours.
        let asked = Asked { name: 0, durability, owner, new_key: NewKey::Keep, may_end: false };
        let record = &current.record;
        let known = Known { key, record, seen_ms: record.meta().last_seen_ms, now_ms: self.now_ms() };
        self.commit(&known, asked, merge)
    }

    /// Makes `record` the session under `key`. `None`: there is one, or was one until a moment ago, or `is_over` says that there was.
    pub(crate) fn create_foreign(
        &self,
        key: &Key,
        record: &Record,
        durability: Durability,
        is_over: impl Fn() -> bool,
    ) -> Result<Option<Ticket>, Error> {
        let owner = record.meta().owner;
        loop {
            let Lookup::Miss = self.0.memory.peek(key, self.now_ms()) else { return Ok(None) };
            let Some(load) = self.0.memory.begin_load(key) else { continue };
            // From here on, an end is seen by the swap; one that was before is known to who asks.
            if is_over() {
                return Ok(None);
            }
            // An expired one counts, and one that cannot be read.
            if self.0.disk.load(key)?.is_some() {
                return Ok(None);
            }
            self.0.disk.admit()?;
            self.make_room(owner != NOBODY)?;
            let _locks = self.lock_owners([owner, NOBODY]);
            let evicted = self.limit_owner(&owner, key)?;
            let durability = at_least(durability, owner != NOBODY || evicted);
            let put = |before| self.queue(Op::Put { key: *key, record: record.clone() }, durability, before);
            match self.0.memory.swap(key, Base::Load(&load), record, &self.0.disk, put) {
                Swap::Done(ticket) => {
                    count(&self.0.shared.counters.commits);
                    self.0.shared.created(Handle::of(&record.meta()));
                    return Ok(Some(ticket));
                }
                Swap::Changed => {}
                Swap::Dead => return Ok(None),
            }
        }
    }
}
