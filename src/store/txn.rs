//! One commit to a session: a transaction that stores a record only in the place of the one that it was made from.
//!
//! Invariants: a change of a session that is over is never stored; no lock of the store is held while the caller makes the record; a session
//! gets its owner, and a session with an owner its new key, under that owner's lock; a new key and a change of owner are durable whatever the
//! class.

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

/// What a commit asks of the store, apart from the record that it makes.
#[derive(Clone, Copy)]
pub(crate) struct CommitOptions {
    /// The kind of session that it is.
    pub(crate) name: NameHash,
    pub(crate) durability: Durability,
    /// The owner that the session gets, or [`NOBODY`](crate::owner::NOBODY). `None`: it keeps the one that it has.
    pub(crate) owner: Option<OwnerHash>,
    pub(crate) new_key: NewKey,
}

/// Whether a commit moves the session to a new key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum NewKey {
    #[default]
    Keep,
    /// The old one finds nothing from then on.
    Rotate,
    /// The old one goes on leading to the session for the grace.
    RotateWithGrace,
}

/// What a request knows of the session that it commits to.
pub(crate) struct Loaded<'a> {
    pub(crate) key: &'a Key,
    pub(crate) record: &'a Record,
    /// When the session was last used, at least.
    pub(crate) seen_ms: u64,
    pub(crate) now_ms: u64,
}

impl Loaded<'_> {
    /// The record as the current one, unless its time may be over.
    fn current<'s>(&self) -> Option<Current<'s>> {
        let is_alive = expiry::deadline_ms(&self.record.meta(), self.seen_ms) > self.now_ms;
        is_alive.then(|| Current::of(*self.key, self.record.clone()))
    }
}

/// What a commit is merged onto.
pub(crate) struct MergeInput<'a> {
    pub(crate) current: &'a Record,
    /// The key that the new record is for.
    pub(crate) key: Key,
    /// Whether that is one that the session did not have before.
    pub(crate) is_new_key: bool,
}

/// A commit that was made.
pub(crate) struct Committed {
    /// Where the session is now.
    pub(crate) key: Key,
    pub(crate) record: Record,
    pub(crate) ticket: Ticket,
    /// The token for `key`, if the client does not have it yet.
    pub(crate) token: Option<Token>,
}

/// What became of a record that was put.
pub(crate) enum Put {
    Done(Committed),
    /// Another commit was first: make the record again, from what is [current](Txn::current) now.
    Changed,
    /// The session has ended.
    Ended,
}

/// One commit under way. It changes nothing until a [`put`](Self::put) is done.
pub(crate) struct Txn<'s> {
    store: &'s Store,
    options: CommitOptions,
    /// Where the session was when it was loaded.
    loaded: Key,
    token: Option<Token>,
    /// What the next record is made from.
    current: Option<Current<'s>>,
}

impl Store {
    /// Begins a commit to a session. Refuses it if the disk takes no commits of this class now.
    pub(crate) fn begin(&self, loaded: &Loaded<'_>, options: CommitOptions) -> Result<Txn<'_>, Error> {
        self.admit(options.durability)?;
        let token = match options.new_key {
            NewKey::Keep => None,
            NewKey::Rotate | NewKey::RotateWithGrace => Some(self.0.ring.issue()?.with_name(options.name)),
        };
        // Mostly nobody changed the session since it was loaded; if somebody did, the swap says so, and the next look is a real one.
        Ok(Txn { store: self, options, loaded: *loaded.key, token, current: loaded.current() })
    }
}

impl Txn<'_> {
    /// What the new record is to be made from: the session as it is now, or was when it was loaded. `None`: it has ended.
    pub(crate) fn current(&mut self) -> Result<Option<MergeInput<'_>>, Error> {
        if self.current.is_none() {
            self.current = self.store.current(&self.loaded)?;
        }
        let Some(current) = &self.current else { return Ok(None) };
        if self.options.new_key == NewKey::RotateWithGrace && current.key != self.loaded {
            // Another request renewed the session while this one ran: once is enough.
            self.token = None;
        }
        let key = self.token.map_or(current.key, |token| token.key());
        Ok(Some(MergeInput { current: &current.record, key, is_new_key: self.token.is_some() }))
    }

    /// Stores `record`, unless the session is not what it was made from any more.
    pub(crate) fn put(&mut self, record: Record) -> Result<Put, Error> {
        let Some(current) = self.current.take() else { return Ok(Put::Changed) };
        let (store, token) = (self.store, self.token);
        let before = current.record.meta().owner;
        let owner = self.options.owner.unwrap_or(before);
        // An owner's list must not miss a session that moves while it is read; that `before` is still so, the swap checks.
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

    /// Moves the session to key `to`. Durable whatever the class: the old token must not come back.
    fn rekey(&self, current: &Current<'_>, to: &Key, record: &Record) -> Swap<Ticket> {
        let store = &self.store.0;
        let now_ms = self.store.now_ms();
        let until_ms = now_ms.saturating_add(duration_ms(store.settings.rotation_grace));
        let grace = (self.options.new_key == NewKey::RotateWithGrace).then_some(Grace { now_ms, until_ms });
        let rekey = Rekey { key: to, record, grace };
        let swap = store.memory.rekey(&current.key, current.base(), &rekey, &store.disk, |before| {
            if grace.is_some() {
                // Before another thread can see the new key, and end the session under it.
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
