//! One commit to a session: a transaction that stores a record only if the record it was made from is still current.
//!
//! Invariants: a change to an ended session is never stored. No lock of the store is held while the caller makes the record. A
//! session gets its owner, and a session with an owner its new key, under that owner's lock. A new key and a change of owner
//! are always durable.

use sessile_codec::Record;

use super::{SessionEnd, Store, commit::at_least, count, find::Current};
use crate::{
    Durability, Error, Token,
    clock::duration_ms,
    disk::{Op, Ticket, Urgency},
    expiry,
    memory::{Grace, Rekey, Swap},
    owner::OwnerHash,
    token::{Handle, Key, NameHash},
};

/// The options of a commit, apart from the record.
#[derive(Clone, Copy)]
pub(crate) struct CommitOptions {
    /// The session's kind.
    pub(crate) name: NameHash,
    pub(crate) durability: Durability,
    /// The session's new owner, or [`NOBODY`](crate::owner::NOBODY) for none. `None`: the owner stays.
    pub(crate) owner: Option<OwnerHash>,
    pub(crate) new_key: NewKey,
}

/// Whether a commit moves the session to a new key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum NewKey {
    #[default]
    Keep,
    /// The old key finds nothing from then on.
    Rotate,
    /// The old key leads to the session until the grace is over.
    RotateWithGrace,
}

/// What a request knows of the session that it commits to.
pub(crate) struct LoadedRecord<'a> {
    pub(crate) key: &'a Key,
    pub(crate) record: &'a Record,
    /// A lower bound of when the session was last used.
    pub(crate) seen_ms: u64,
    pub(crate) now_ms: u64,
}

impl LoadedRecord<'_> {
    /// Returns the record as the current one, unless the session may have expired.
    fn current<'s>(&self) -> Option<Current<'s>> {
        let is_alive = expiry::deadline_ms(&self.record.meta(), self.seen_ms) > self.now_ms;
        is_alive.then(|| Current::of(*self.key, self.record.clone()))
    }
}

/// The record that a commit is merged onto.
pub(crate) struct MergeInput<'a> {
    pub(crate) current: &'a Record,
    /// The key of the new record.
    pub(crate) key: Key,
    /// Whether the session did not have `key` before.
    pub(crate) is_new_key: bool,
}

/// A commit that was stored.
pub(crate) struct Committed {
    /// The session's key from now on.
    pub(crate) key: Key,
    pub(crate) record: Record,
    pub(crate) ticket: Ticket,
    /// The token for `key`, if the client does not have it yet.
    pub(crate) token: Option<Token>,
}

/// The outcome of [`Txn::put`].
pub(crate) enum Put {
    Done(Committed),
    /// Another commit was first. Make the record again, from what is [current](Txn::current) now.
    Changed,
    /// The session has ended.
    Ended,
}

/// One commit in progress. Nothing changes until a [`put`](Self::put) returns `Done`.
pub(crate) struct Txn<'s> {
    store: &'s Store,
    options: CommitOptions,
    /// The session's key when it was loaded.
    loaded: Key,
    token: Option<Token>,
    /// The record that the next one is made from.
    current: Option<Current<'s>>,
}

impl Store {
    /// Begins a commit to a session. Refuses it if the disk takes no commits of this durability now.
    pub(crate) fn begin(&self, loaded: &LoadedRecord<'_>, options: CommitOptions) -> Result<Txn<'_>, Error> {
        self.admit(options.durability)?;
        let token = match options.new_key {
            NewKey::Keep => None,
            NewKey::Rotate | NewKey::RotateWithGrace => Some(self.0.ring.issue()?.with_name(options.name)),
        };
        // Usually the session has not changed since it was loaded. If it has, the swap fails, and the next `current` looks it
        // up.
        Ok(Txn { store: self, options, loaded: *loaded.key, token, current: loaded.current() })
    }
}

impl Txn<'_> {
    /// Returns the record to make the new one from: the session's now, or when it was loaded. `None`: the session has ended.
    pub(crate) fn current(&mut self) -> Result<Option<MergeInput<'_>>, Error> {
        if self.current.is_none() {
            self.current = self.store.current(&self.loaded)?;
        }
        let Some(current) = &self.current else { return Ok(None) };
        if self.options.new_key == NewKey::RotateWithGrace && current.key != self.loaded {
            // Another request rotated the session while this one ran: once is enough.
            self.token = None;
        }
        let key = self.token.map_or(current.key, |token| token.key());
        Ok(Some(MergeInput { current: &current.record, key, is_new_key: self.token.is_some() }))
    }

    /// Stores `record`, unless the session has changed since [`current`](Self::current).
    pub(crate) fn put(&mut self, record: Record) -> Result<Put, Error> {
        let Some(current) = self.current.take() else { return Ok(Put::Changed) };
        let (store, token) = (self.store, self.token);
        let before = current.record.meta().owner;
        let owner = self.options.owner.unwrap_or(before);
        // A session must not move between owners or keys while an owner's list is read. The swap checks that `before` is still
        // right.
        let _locks = (owner != before || token.is_some()).then(|| store.lock_owners([before, owner]));
        let evicted = if owner == before { false } else { store.limit_owner(&owner, &current.key)? };
        let key = token.map_or(current.key, |token| token.key());
        let swap = if token.is_some() {
            self.rekey(&current, &key, &record)
        } else {
            let durability = at_least(self.options.durability, owner != before || evicted);
            let put = |before| store.queue(Op::Put { key, record: record.clone() }, durability, before);
            store.0.memory.swap(&key, current.base(), &record, &store.0.disk, put)
        };
        Ok(match swap {
            Swap::Done(ticket) => {
                if token.is_some() {
                    store.0.shared.rotated(Handle::of(&record.meta()));
                }
                count(&store.0.shared.counters.commits);
                Put::Done(Committed { key, record, ticket, token })
            }
            Swap::Changed => Put::Changed,
            Swap::Dead => Put::Ended,
        })
    }

    /// Moves the session to key `to`. Always durable: the old token must not come back.
    fn rekey(&self, current: &Current<'_>, to: &Key, record: &Record) -> Swap<Ticket> {
        let store = &self.store.0;
        let now_ms = self.store.now_ms();
        let until_ms = now_ms.saturating_add(duration_ms(store.settings.rotation_grace));
        let grace = (self.options.new_key == NewKey::RotateWithGrace).then_some(Grace { now_ms, until_ms });
        let rekey = Rekey { key: to, record, grace };
        let swap = store.memory.rekey(&current.key, current.base(), &rekey, &store.disk, |before| {
            if grace.is_some() {
                // Before another thread can see the new key and end the session under it.
                store.shared.watchers.follow(&current.key, to);
            }
            let op = Op::Rekey { key: current.key, new_key: *to, record: record.clone() };
            store.disk.enqueue_after(op, Urgency::Now, before)
        });
        if grace.is_none() && matches!(swap, Swap::Done(_)) {
            store.shared.watchers.end(&current.key, SessionEnd::Rotated);
        }
        swap
    }
}
