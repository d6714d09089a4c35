//! The store's part in sealing and opening sessions.

#[cfg(all(test, feature = "test-util"))]
mod tests;

use sessile_codec::{Entry, Limits, Meta, Model, ModelPart, Patch, Record, Shape, Tag, rkyv, shape};

use super::{
    super::{CommitOptions, Committed, Found, LoadedRecord, NewKey, Put, Store, count},
    LONGEST_MS, Revocation, State, StoredRevocation,
};
use crate::{
    Durability, Error, Tier,
    clock::duration_ms,
    disk::{Op, Ticket, Urgency},
    expiry,
    owner::{NOBODY, OwnerHash},
    token::{Handle, Key, NameHash},
};

/// The most revocations of sessions without an owner. Anyone can begin and end such sessions, so they must not fill memory.
const MOST_OF_NOBODY: usize = 1 << 16;

/// In a record in the store: the sealed session that it became, which ends with it.
const LEFT_FOR: &str = "sessile.sealed";

#[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
#[rkyv(crate = sessile_codec::rkyv)]
struct LeftFor {
    key: [u8; 16],
    epoch: u64,
}

impl ModelPart for LeftFor {
    const SHAPE: &'static Shape = shape!(key: [u8; 16], epoch: u64);
}

impl Model for LeftFor {
    const TAG: Tag = Tag::new("sealed");
}

/// Whether the session of `record` was sealed a moment ago.
pub(crate) fn has_left(record: &Record) -> bool {
    record.contains_key(LEFT_FOR)
}

/// The sealed session that it became.
fn left_for(record: &Record) -> Option<SealedId> {
    let entry = record.entry(LEFT_FOR)?;
    let view = entry.view::<LeftFor>().ok()?;
    let meta = record.meta();
    Some(SealedId { key: view.key, handle: Handle::of(&meta), owner: meta.owner, epoch: view.epoch.to_native() })
}

/// The state of a sealed session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SealedStatus {
    Alive,
    /// It was moved into the store a moment ago, to this key.
    Moved(Key),
    Ended,
}

/// Identifies a sealed session for revocations.
#[derive(Clone, Copy)]
pub(crate) struct SealedId {
    pub(crate) key: Key,
    pub(crate) handle: Handle,
    pub(crate) owner: OwnerHash,
    /// The epoch that it was sealed in.
    pub(crate) epoch: u64,
}

impl State {
    /// Marks the session as over, if it is alive. Only the first caller succeeds, and may end it or move it into the store.
    fn claim(&mut self, id: &SealedId, is_moving: bool, now_ms: u64) -> bool {
        let is_alive = self.status(id, now_ms) == SealedStatus::Alive;
        if is_alive {
            self.insert(id.key, Revocation { moved: None, is_moving, of_nobody: id.owner == NOBODY });
        }
        is_alive
    }

    /// Whether it is being moved into the store and has not been ended meanwhile.
    fn is_moving(&self, key: &Key) -> bool {
        self.sessions.get(key).is_some_and(|gone| gone.is_moving)
    }

    fn status(&self, id: &SealedId, now_ms: u64) -> SealedStatus {
        match self.sessions.get(&id.key) {
            Some(Revocation { moved: Some((to, until_ms)), .. }) if now_ms < *until_ms => return SealedStatus::Moved(*to),
            Some(_) => return SealedStatus::Ended,
            None => {}
        }
        let is_cut = self.owners.get(&id.owner).is_some_and(|cut| {
            let is_kept = |(handle, least)| id.epoch >= least && id.handle == handle;
            id.epoch < cut.epoch && !cut.kept.is_some_and(is_kept)
        });
        if is_cut || id.epoch < self.least { SealedStatus::Ended } else { SealedStatus::Alive }
    }
}

/// How a sealed session was ended.
pub(crate) enum SealedEnd {
    /// While it was sealed.
    Sealed(Ticket),
    /// In the store, where it had moved.
    Moved(Ticket),
}

impl SealedEnd {
    pub(crate) fn into_ticket(self) -> Ticket {
        match self {
            Self::Sealed(ticket) | Self::Moved(ticket) => ticket,
        }
    }
}

/// The outcome of a lookup of a sealed session.
pub(crate) enum Opened {
    Alive,
    InStore(Found),
    Ended,
}

impl Store {
    /// Notes in the file that sessions of this store may be sealed. Returns the store's id.
    pub(crate) fn begin_sealing(&self) -> [u8; 16] {
        let cutting = self.0.revoked.cutting.lock();
        if !self.0.revoked.is_in_use() {
            // If sessions were sealed before, this file is an older backup, and does not know which of them have ended. So it
            // cuts off all before anything sealed can be presented, unless the disk refuses; then the write is retried like
            // every queued one.
            drop(self.cut_off_everybody(&cutting));
        }
        self.0.disk.store_id()
    }

    /// Whether the sessions of `owner` may be outside the store, where they are not counted.
    pub(crate) fn may_seal(&self, owner: &OwnerHash) -> bool {
        *owner == NOBODY || self.0.settings.owner_limit.is_none()
    }

    /// The epoch that a new session is sealed in.
    pub(crate) fn sealing_epoch(&self) -> u64 {
        self.0.revoked.state.read().epoch
    }

    /// Counts a session that was sealed.
    pub(crate) fn note_sealed(&self) {
        count(&self.0.shared.counters.sealed);
    }

    /// Looks up an opened session, with its `meta`.
    pub(crate) fn find_sealed(&self, id: &SealedId, meta: &Meta) -> Result<Opened, Error> {
        let now_ms = self.now_ms();
        if expiry::sealed_deadline_ms(meta).min(meta.last_seen_ms.saturating_add(LONGEST_MS)) <= now_ms {
            count(&self.0.shared.counters.expired);
            return Ok(Opened::Ended);
        }
        let standing = self.0.revoked.state.read().status(id, now_ms);
        let found = match standing {
            SealedStatus::Alive => return Ok(Opened::Alive),
            SealedStatus::Moved(to) => self.current(&to)?,
            SealedStatus::Ended => None,
        };
        let Some(current) = found else {
            count(&self.0.shared.counters.misses);
            return Ok(Opened::Ended);
        };
        let (key, record) = (current.key, current.record);
        Ok(Opened::InStore(Found { key, record, seen_ms: now_ms, tier: Tier::Memory, is_old: true }))
    }

    /// Counts a request with a sealed session that could not be opened.
    pub(crate) fn note_forged(&self) {
        count(&self.0.shared.counters.forged);
    }

    /// The epoch in which `id` may be sealed again with the same meta data except its last use; `None` if it has ended.
    pub(crate) fn sealed_again(&self, id: &SealedId) -> Option<u64> {
        let state = self.0.revoked.state.read();
        (state.status(id, self.now_ms()) == SealedStatus::Alive).then_some(state.epoch)
    }

    /// Ends what was sealed under this id. Returns `None` if it had ended before or is in the store; otherwise also the epoch
    /// in which the session may continue under another id.
    pub(crate) fn revoke(&self, id: &SealedId, meta: &Meta) -> Option<(u64, Ticket)> {
        let epoch = self.claim(id, false)?;
        Some((epoch, self.put_ended(id, meta)))
    }

    /// Ends a sealed session, also if another request has moved it into the store or is doing so. `None`: it had ended before.
    pub(crate) fn end_sealed(&self, id: &SealedId, meta: &Meta) -> Result<Option<SealedEnd>, Error> {
        let moved = {
            // Under one lock: a move that fails in between would find the session alive again.
            let mut state = self.0.revoked.state.write();
            let is_claimed = state.claim(id, false, self.now_ms());
            match state.sessions.get_mut(&id.key) {
                _ if is_claimed => None,
                // The request that moves it into the store ends it there.
                Some(gone) if gone.is_moving => {
                    gone.is_moving = false;
                    None
                }
                // After the grace too: the caller loaded it before.
                Some(Revocation { moved: Some((to, _)), .. }) => Some(*to),
                _ => return Ok(None),
            }
        };
        match moved {
            Some(to) => Ok(self.destroy(&to)?.map(SealedEnd::Moved)),
            None => Ok(Some(SealedEnd::Sealed(self.put_ended(id, meta)))),
        }
    }

    fn put_ended(&self, id: &SealedId, meta: &Meta) -> Ticket {
        let stored = StoredRevocation { of_nobody: id.owner == NOBODY, ..StoredRevocation::default() };
        let ticket = self.put_revocation(id.key, self.until_ms(meta), true, &stored);
        self.bound_those_of_nobody().unwrap_or(ticket)
    }

    /// Moves a sealed session into the store, where `make` writes it. Returns `None` if it had ended before. `has_grace`: its
    /// old cookie leads there until the grace is over.
    pub(crate) fn take_in(
        &self,
        id: &SealedId,
        before: &Meta,
        has_grace: bool,
        name: NameHash,
        meta: &Meta,
        make: impl FnOnce(&Key) -> Result<Record, Error>,
    ) -> Result<Option<Committed>, Error> {
        if self.claim(id, true).is_none() {
            return Ok(None);
        }
        let mut committed = match self.create(name, Durability::Durable, meta, make) {
            Ok(committed) => committed,
            Err(error) => {
                let mut state = self.0.revoked.state.write();
                // If it was ended meanwhile, it stays ended.
                if state.is_moving(&id.key) {
                    state.remove(&id.key);
                }
                return Err(error);
            }
        };
        let until_ms = self.now_ms().saturating_add(duration_ms(self.0.settings.rotation_grace));
        let moved = has_grace.then_some((committed.key, until_ms));
        let of_nobody = id.owner == NOBODY;
        let is_over = {
            let mut state = self.0.revoked.state.write();
            let was_ended = !state.is_moving(&id.key);
            if !was_ended {
                state.remove(&id.key);
            }
            // Its owner's sessions may have been ended meanwhile, before it could be seen in the store.
            let is_over = was_ended || state.status(id, until_ms) == SealedStatus::Ended;
            if !is_over {
                state.insert(id.key, Revocation { moved, is_moving: false, of_nobody });
            }
            is_over
        };
        if is_over {
            // No client has its token, and what was sealed is refused already.
            self.destroy(&committed.key)?;
            return Ok(None);
        }
        let stored =
            StoredRevocation { to: moved.map(|(to, _)| to), grace_ms: until_ms, of_nobody, ..StoredRevocation::default() };
        committed.ticket = self.put_revocation(id.key, self.until_ms(before), true, &stored);
        self.bound_those_of_nobody();
        Ok(Some(committed))
    }

    /// Seals the session under `key`, which is `record`, as `to`. Its record stays in the store until the grace is over, for
    /// requests in progress; their changes are lost. Returns `None` if another commit was first.
    pub(crate) fn let_go(&self, name: NameHash, key: &Key, record: &Record, to: &Key) -> Result<Option<(u64, Ticket)>, Error> {
        // Otherwise, all sessions of its owner could end in between, when it is neither sealed in that epoch nor in the store
        // any more.
        let _locks = self.lock_owners([record.meta().owner, NOBODY]);
        let epoch = self.sealing_epoch();
        let until_ms = self.now_ms().saturating_add(duration_ms(self.0.settings.rotation_grace));
        let options = CommitOptions { name, durability: Durability::Durable, owner: None, new_key: NewKey::Keep };
        let loaded = LoadedRecord { key, record, seen_ms: record.meta().last_seen_ms, now_ms: self.now_ms() };
        let mut txn = self.begin(&loaded, options)?;
        let Some(onto) = txn.current()?.filter(|onto| onto.current.is_same(record)) else { return Ok(None) };
        let (mut patch, limits) = (Patch::new(), Limits::UNLIMITED);
        patch.set(LEFT_FOR, Entry::model(&LeftFor { key: *to, epoch }, &limits)?, &limits)?;
        let mut meta = record.meta();
        meta.revision += 1;
        meta.absolute_deadline_ms = meta.absolute_deadline_ms.min(until_ms);
        let left = patch.apply(Some(record), &onto.key, &meta, &limits)?;
        Ok(match txn.put(left)? {
            Put::Done(committed) => Some((epoch, committed.ticket)),
            // Another request changed or ended it.
            Put::Changed | Put::Ended => None,
        })
    }

    /// The session of `record` has just ended in the store. If it was sealed, this ends the sealed session too.
    pub(in crate::store) fn end_left(&self, record: &Record) -> Result<Option<Ticket>, Error> {
        let Some(id) = left_for(record) else { return Ok(None) };
        // Its original deadline is not in the record that is left in the store.
        let ended = self.end_sealed(&id, &Meta { absolute_deadline_ms: u64::MAX, ..record.meta() })?;
        Ok(ended.map(SealedEnd::into_ticket))
    }

    /// Like `end_left`, for an expired record under `key`, if it is still there: the caller may have loaded the session before
    /// it was sealed.
    pub(in crate::store) fn end_left_long_ago(&self, key: &Key) -> Result<Option<Ticket>, Error> {
        match self.current_at(key, 0)? {
            Some(left) => self.end_left(&left.record),
            None => Ok(None),
        }
    }

    /// Marks the session as over, if it is alive. Returns the epoch of that moment.
    fn claim(&self, id: &SealedId, is_moving: bool) -> Option<u64> {
        let mut state = self.0.revoked.state.write();
        state.claim(id, is_moving, self.now_ms()).then_some(state.epoch)
    }

    /// Until when anything that was sealed under the id of a session with `meta` can be valid. Only use moves its deadlines.
    fn until_ms(&self, meta: &Meta) -> u64 {
        let idle_ms = expiry::sealed_idle_ms(meta).min(LONGEST_MS);
        // If the clock was set back since, what was sealed before is valid for longer.
        let now_ms = self.now_ms().max(meta.last_seen_ms);
        now_ms.saturating_add(idle_ms).min(meta.absolute_deadline_ms)
    }

    /// Cuts off all sessions without an owner when their revocations are too many to remember.
    fn bound_those_of_nobody(&self) -> Option<Ticket> {
        if self.0.revoked.state.read().of_nobody < MOST_OF_NOBODY {
            return None;
        }
        let (ticket, now_ms) = (self.cut_off(&NOBODY, None), self.now_ms());
        let mut state = self.0.revoked.state.write();
        let of_nobody = |wanted: &dyn Fn(&Revocation) -> bool| -> Vec<Key> {
            let found = state.sessions.iter().filter(|(_, gone)| gone.of_nobody && wanted(gone));
            found.map(|(key, _)| *key).collect()
        };
        // Keeps requests going that use the cookie of a session that has just moved, unless those alone are too many.
        let mut over = of_nobody(&|gone| gone.moved.is_none_or(|(_, until_ms)| until_ms <= now_ms));
        if state.of_nobody - over.len() > MOST_OF_NOBODY / 2 {
            over = of_nobody(&|_| true);
        }
        for key in over {
            state.remove(&key);
            // After the epoch, which covers it.
            self.0.disk.enqueue(Op::Delete { key }, Urgency::Soon);
        }
        ticket
    }
}
