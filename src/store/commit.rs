//! Changing a session: every change is made on the record that is current, or not at all.
//!
//! Invariants: a change of a session that is over is dropped and counted, never stored; a session gets its owner, and a session with an
//! owner its new key, under that owner's lock; the end of a session, a new key and a change of owner are durable whatever the class.

use sessile_codec::{Meta, Record};

use super::{EndReason, SessionEnd, Store, count, find::Current};
use crate::{
    Durability, Error, Token,
    clock::duration_ms,
    disk::{Op, Ticket, Urgency},
    expiry,
    memory::{Before, Grace, Rekey, Seq, Swap},
    owner::{NOBODY, OwnerHash},
    store::Found,
    token::{Handle, Key, NameHash},
};

/// A commit that was made.
pub(crate) struct Committed {
    /// Where the session is now.
    pub(crate) key: Key,
    pub(crate) record: Record,
    pub(crate) ticket: Ticket,
    /// The token for `key`, if the client does not have it yet.
    pub(crate) token: Option<Token>,
}

/// What a commit asks of the store, apart from the record that it makes.
#[derive(Clone, Copy)]
pub(crate) struct CommitOptions {
    /// The kind of session that it is.
    pub(crate) name: NameHash,
    pub(crate) durability: Durability,
    /// The owner that the session gets, or [`NOBODY`].
    pub(crate) owner: Option<OwnerHash>,
    pub(crate) new_key: NewKey,
    /// Whether the caller goes on if the session has ended. Otherwise the commit is counted as dropped.
    pub(crate) may_end: bool,
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
    fn current<'m>(&self) -> Option<Current<'m>> {
        let is_alive = expiry::deadline_ms(&self.record.meta(), self.seen_ms) > self.now_ms;
        is_alive.then(|| Current::of(*self.key, self.record.clone()))
    }
}

/// What a commit is merged onto.
pub(crate) struct MergeInput<'a> {
    pub(crate) current: &'a Record,
    /// The key that the new record is for.
    pub(crate) key: &'a Key,
    /// Whether that is one that the session did not have before.
    pub(crate) is_new_key: bool,
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

impl Store {
    /// Makes a session, of the kind `name`, of what `make` writes for its record key.
    pub(crate) fn create(
        &self,
        name: NameHash,
        durability: Durability,
        meta: &Meta,
        make: impl FnOnce(&Key) -> Result<Record, Error>,
    ) -> Result<Committed, Error> {
        self.admit(durability)?;
        self.make_room(meta.owner != NOBODY)?;
        let token = self.0.ring.issue()?.with_name(name);
        let key = token.key();
        let record = make(&key)?;
        let _locks = self.lock_owners([meta.owner, NOBODY]);
        let evicted = self.limit_owner(&meta.owner, &key)?;
        let durability = at_least(durability, meta.owner != NOBODY || evicted);
        let unborn = Before { seq: None, is_unborn: true };
        let put = || self.queue(Op::Put { key, record: record.clone() }, durability, unborn);
        let ticket = self.0.memory.insert(&key, &record, &self.0.disk, put);
        count(&self.0.shared.counters.commits);
        self.0.shared.created(Handle::of(&record.meta()));
        Ok(Committed { key, record, ticket, token: Some(token) })
    }

    /// Compare-and-swap loop: applies `merge` to the current record and stores the result, retrying if another commit won. Returns `None`
    /// if `merge` declined or the session has ended.
    pub(crate) fn commit(
        &self,
        known: &Loaded<'_>,
        asked: CommitOptions,
        mut merge: impl FnMut(MergeInput<'_>) -> Result<Option<Record>, Error>,
    ) -> Result<Option<Committed>, Error> {
        self.admit(asked.durability)?;
        let token = if asked.new_key == NewKey::Keep { None } else { Some(self.0.ring.issue()?.with_name(asked.name)) };
        let key = known.key;
        // Mostly nobody changed the session since it was loaded; if somebody did, the swap says so, and the next look is a real one.
        let mut guess = known.current();
        while let Some(current) = guess.take().map_or_else(|| self.current(key), |guess| Ok(Some(guess)))? {
            // Another request renewed the session while this one ran: once is enough.
            let renewed = asked.new_key == NewKey::RotateWithGrace && current.key != *key;
            match self.attempt(&current, asked, token.filter(|_| !renewed), &mut merge)? {
                None => return Ok(None),
                Some(Swap::Done(committed)) => {
                    count(&self.0.shared.counters.commits);
                    return Ok(Some(committed));
                }
                Some(Swap::Changed) => {}
                Some(Swap::Dead) => break,
            }
        }
        if !asked.may_end {
            self.drop_commit(Some(Handle::of(&known.record.meta())));
        }
        Ok(None)
    }

    /// Whether a commit of this class may begin. A quick one needs no disk, only room in memory.
    fn admit(&self, durability: Durability) -> Result<(), Error> {
        if self.is_closed() {
            return Err(Error::Closed);
        }
        if durability == Durability::Quick { self.0.disk.admit_to_memory() } else { self.0.disk.admit() }
    }

    /// Whether a commit that nobody waits for can be written.
    pub(crate) fn takes_writes(&self) -> bool {
        !self.is_closed() && self.0.disk.admit().is_ok()
    }

    /// Counts a commit that came after its session had ended.
    pub(crate) fn drop_commit(&self, handle: Option<Handle>) {
        count(&self.0.shared.counters.dropped_commits);
        crate::event::dropped_commit(handle);
    }

    fn attempt(
        &self,
        current: &Current<'_>,
        asked: CommitOptions,
        token: Option<Token>,
        merge: &mut impl FnMut(MergeInput<'_>) -> Result<Option<Record>, Error>,
    ) -> Result<Option<Swap<Committed>>, Error> {
        let before = current.record.meta().owner;
        let owner = asked.owner.unwrap_or(before);
        // An owner's list must not miss a session that moves while it is read; that `before` is still so, the swap checks.
        let _locks = (owner != before || token.is_some()).then(|| self.lock_owners([before, owner]));
        let key = token.map_or(current.key, |token| token.key());
        let onto = MergeInput { current: &current.record, key: &key, is_new_key: token.is_some() };
        let Some(record) = merge(onto)? else { return Ok(None) };
        let evicted = if owner == before { false } else { self.limit_owner(&owner, &current.key)? };
        let durability = at_least(asked.durability, owner != before || evicted);
        let swap = if token.is_some() {
            self.rekey(current, asked.new_key, &key, &record)
        } else {
            let put = |before| self.queue(Op::Put { key, record: record.clone() }, durability, before);
            self.0.memory.swap(&key, current.base(), &record, &self.0.disk, put)
        };
        Ok(Some(swap.map(|ticket| {
            if token.is_some() {
                self.0.shared.rotated(Handle::of(&record.meta()));
            }
            Committed { key, record, ticket, token }
        })))
    }

    /// Moves the session to `new_key`. Durable whatever the class: the old token must not come back.
    fn rekey(&self, current: &Current<'_>, new_key: NewKey, to: &Key, record: &Record) -> Swap<Ticket> {
        let now_ms = self.now_ms();
        let until_ms = now_ms.saturating_add(duration_ms(self.0.settings.rotation_grace));
        let grace = (new_key == NewKey::RotateWithGrace).then_some(Grace { now_ms, until_ms });
        let swap =
            self.0.memory.rekey(&current.key, current.base(), &Rekey { key: to, record, grace }, &self.0.disk, |before| {
                if grace.is_some() {
                    // Before another thread can see the new key, and end the session under it.
                    self.0.shared.watchers.follow(&current.key, to);
                }
                let op = Op::Rekey { key: current.key, new_key: *to, record: record.clone() };
                self.0.disk.enqueue_after(op, Urgency::Now, before)
            });
        if grace.is_none() && matches!(swap, Swap::Done(_)) {
            self.0.shared.watchers.end(&current.key, SessionEnd::Rotated);
        }
        swap
    }

    /// Ends the session, under a new key too if it was renewed. `None`: it was over before.
    pub(crate) fn destroy(&self, key: &Key) -> Result<Option<Ticket>, Error> {
        let ended = self.destroy_if(key, EndReason::Logout, |_| true)?;
        #[cfg(feature = "sealed")]
        if ended.is_none() && self.0.revoked.is_in_use() {
            return self.end_left_long_ago(key);
        }
        Ok(ended)
    }

    /// Ends the session if `is_meant` says so of what it is now. `None`: it was over before, or not meant.
    pub(super) fn destroy_if(
        &self,
        key: &Key,
        reason: EndReason,
        is_meant: impl Fn(&Current<'_>) -> bool,
    ) -> Result<Option<Ticket>, Error> {
        self.0.disk.check_process()?;
        let urgency = if reason == EndReason::StoreFull { Urgency::Soon } else { Urgency::Now };
        while let Some(current) = self.current_to_end(key)?.filter(|current| is_meant(current)) {
            let enqueue = |before| {
                // Its client may come back with the same id when it was only evicted.
                #[cfg(feature = "adapters")]
                if reason != EndReason::StoreFull {
                    self.0.shared.ended.note(&current.key);
                }
                self.0.disk.enqueue_after(Op::Delete { key: current.key }, urgency, before)
            };
            match self.0.memory.kill(&current.key, current.base(), enqueue) {
                Swap::Done(ticket) => {
                    self.0.shared.destroyed(&current.key, Handle::of(&current.record.meta()), reason);
                    #[cfg(feature = "sealed")]
                    if self.0.revoked.is_in_use()
                        && let Some(later) = self.end_left(&current.record)?
                    {
                        return Ok(Some(later));
                    }
                    return Ok(Some(ticket));
                }
                Swap::Changed => {}
                Swap::Dead => break,
            }
        }
        Ok(None)
    }

    /// The client sent the cookie back: the session is confirmed, and the idle timeout applies from now on.
    pub(super) fn confirm(&self, found: &mut Found, now_ms: u64) -> Result<(), Error> {
        let Some(current) = self.current(&found.key)?.filter(|current| expiry::is_unconfirmed(&current.record.meta())) else {
            return Ok(());
        };
        let meta = self.0.settings.timeouts.confirmed(&expiry::touched(&current.record.meta(), now_ms));
        let record = current.record.with_meta(&current.key, &meta);
        let put = |before| self.queue(Op::Put { key: current.key, record: record.clone() }, Durability::Relaxed, before);
        // If another request was faster, it did the same or the next one does.
        if let Swap::Done(_) = self.0.memory.swap(&current.key, current.base(), &record, &self.0.disk, put) {
            found.record = record;
        }
        Ok(())
    }

    /// Hands `op` to the disk, unless it is quick and stays in memory for now.
    pub(super) fn queue(&self, op: Op, durability: Durability, before: Before) -> (Option<Seq>, Ticket) {
        let urgency = match durability {
            // Under the shard's lock: whoever comes after `close` went through the shard sees that the store is closed.
            Durability::Quick if self.is_closed() => return (None, Ticket::failed(Error::Closed)),
            Durability::Quick => return (None, Ticket::done()),
            Durability::Relaxed => Urgency::Soon,
            Durability::Durable => Urgency::Now,
        };
        let (seq, ticket) = self.0.disk.enqueue_after(op, urgency, before);
        (Some(seq), ticket)
    }
}

/// The class of a commit. One that changes the owner, or evicts sessions of the owner, is durable: a sign-in that was acknowledged is not
/// undone by a crash.
pub(super) fn at_least(durability: Durability, owner_changes_or_evicts: bool) -> Durability {
    if owner_changes_or_evicts { Durability::Durable } else { durability }
}
