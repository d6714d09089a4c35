//! Creates sessions, and does what every commit needs: checks that the disk takes it, and queues it.
//!
//! Invariant: a new session gets its owner under that owner's lock, and is then always durable.

use sessile_codec::{Meta, Record};

use super::{Store, count, txn::Committed};
use crate::{
    Durability, Error,
    disk::{Op, Ticket, Urgency},
    memory::{Before, Seq},
    owner::NOBODY,
    token::{Handle, Key, NameHash},
};

impl Store {
    /// Creates a session of the kind `name` from the record that `make` builds for its key.
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

    /// Whether a commit of this durability may begin. A quick one needs no disk, only room in memory.
    pub(super) fn admit(&self, durability: Durability) -> Result<(), Error> {
        if self.is_closed() {
            return Err(Error::Closed);
        }
        if durability == Durability::Quick { self.0.disk.admit_to_memory() } else { self.0.disk.admit() }
    }

    /// Whether a commit can be written that no caller waits for.
    pub(crate) fn takes_writes(&self) -> bool {
        !self.is_closed() && self.0.disk.admit().is_ok()
    }

    /// Counts a commit that came after its session had ended.
    pub(crate) fn drop_commit(&self, handle: Option<Handle>) {
        count(&self.0.shared.counters.dropped_commits);
        crate::log::dropped_commit(handle);
    }

    /// Queues `op` for the disk, unless it is quick and stays in memory for now.
    pub(super) fn queue(&self, op: Op, durability: Durability, before: Before) -> (Option<Seq>, Ticket) {
        let urgency = match durability {
            // Under the shard's lock: a commit after `close` has written this shard back sees that the store is closed.
            Durability::Quick if self.is_closed() => return (None, Ticket::failed(Error::Closed)),
            Durability::Quick => return (None, Ticket::done()),
            Durability::Relaxed => Urgency::Soon,
            Durability::Durable => Urgency::Now,
        };
        let (seq, ticket) = self.0.disk.enqueue_after(op, urgency, before);
        (Some(seq), ticket)
    }
}

/// The durability of a commit. One that changes the owner or evicts the owner's sessions is durable, so a crash cannot undo an
/// acknowledged sign-in.
pub(super) fn at_least(durability: Durability, owner_changes_or_evicts: bool) -> Durability {
    if owner_changes_or_evicts { Durability::Durable } else { durability }
}
