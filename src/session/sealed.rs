//! A session that travels sealed in its client's cookie, and how it gets into the store and out of it.
//!
//! Invariants: nothing of a sealed session is in the store but, once it has ended, its revocation; under one id only its values and
//! its last use change: a new token, owner or timeout, and the removal of all values, are a new id, and what was sealed under the old
//! one is refused from then on; whether a session is sealed is decided by its size at commit, and in one place each way.

use std::sync::Arc;

use parking_lot::Mutex;
use sessile_codec::{Meta, Record};

use super::{
    Inner, Kind, Session,
    commit::{How, Told, is_left, lasts, renew_cookie},
    state::{Changes, Phase, State, Stored},
};
use crate::{
    Durability, Error, Store, Tier, Token,
    disk::Ticket,
    expiry,
    store::{self, NewKey, SealedId},
    token::{Key, RANDOM, TAG, random_bytes},
};

/// A session as it was sealed, whose seal has been checked, or as it is to be.
#[derive(Clone, Debug)]
pub(crate) struct Sealed {
    /// Names it, and is no secret: it leads nowhere.
    pub(crate) key: Key,
    pub(crate) epoch: u64,
    pub(crate) record: Record,
}

impl Sealed {
    fn id(&self) -> SealedId {
        SealedId { key: self.key, owner: self.record.meta().owner, epoch: self.epoch }
    }

    /// Ends it, wherever it is by now. `None`: it was over before.
    pub(super) fn end(&self, store: &Store) -> Result<Option<store::End>, Error> {
        store.end_sealed(&self.id(), &self.record.meta())
    }
}

impl Session {
    /// The session that came sealed, or a new one if it has ended.
    pub(crate) fn load_sealed(store: &Store, kind: Kind, sealed: Sealed) -> Result<Self, Error> {
        let state = match store.find_sealed(&sealed.id(), &sealed.record.meta())? {
            store::Opened::Alive => {
                let mut state = State::new(kind, None);
                state.tier = Some(Tier::Cookie);
                state.phase = Phase::Sealed(sealed);
                state
            }
            // No token led here; this one leads nowhere, and an old one is told to nobody. Random, as whatever follows from it must be.
            store::Opened::InStore(found) => {
                let token = Token::new(&random_bytes::<RANDOM>()?, [0; TAG]).with_name(kind.name);
                State::new(kind, Some((token, found)))
            }
            store::Opened::Ended => State::new(kind, None),
        };
        Ok(Self(Arc::new(Inner { store: store.lease(), state: Mutex::new(state) })))
    }
}

impl Changes {
    /// Whether what was sealed before must not be believed any more.
    fn need_new_id(&self) -> bool {
        let ends_privilege = self.owner.is_some() || self.patch.is_cleared() || !self.cleared.is_empty();
        ends_privilege || self.new_key != NewKey::Keep || self.idle.is_some() || self.absolute.is_some()
    }
}

/// Whether `record` may be sealed.
fn fits(store: &Store, record: &Record, limit_bytes: usize) -> bool {
    record.bytes().len() <= limit_bytes && store.may_seal(&record.meta().owner)
}

impl State {
    /// Begins a session in the cookie, if it is small enough.
    pub(super) fn create_sealed(&mut self, store: &Store, meta: &Meta, deadline_ms: Option<u64>) -> Result<bool, Error> {
        if self.kind.seal_bytes == 0 {
            return Ok(false);
        }
        let (key, epoch) = (random_bytes()?, store.sealing_epoch());
        let record = self.changes.patch.apply(None, &key, meta, store.limits())?;
        if !fits(store, &record, self.kind.seal_bytes) {
            return Ok(false);
        }
        self.seal(store, Sealed { key, epoch, record }, deadline_ms);
        Ok(true)
    }

    fn seal(&mut self, store: &Store, sealed: Sealed, deadline_ms: Option<u64>) {
        store.note_sealed();
        self.told = Told::Sealed { sealed: Box::new(sealed.clone()), deadline_ms };
        self.phase = Phase::Sealed(sealed);
    }

    /// Commits a session that came sealed, or was sealed before in this request.
    pub(super) fn commit_sealed(&mut self, store: &Store, how: How) -> Result<Ticket, Error> {
        let Phase::Sealed(Sealed { record, .. }) = &self.phase else { return Ok(Ticket::done()) };
        let now = record.meta();
        self.changes.lasts = self.changes.lasts.filter(|wanted| *wanted != lasts(&now));
        let (now_ms, is_touch) = (store.now_ms(), self.changes.are_none());
        let is_due = expiry::touch_is_due(&now, now_ms) && !self.answered;
        if is_touch && !is_due && !how.strict {
            return Ok(Ticket::done());
        }
        let mut meta = self.changes.meta(store, &now, Durability::Durable, now_ms);
        let deadline_ms = renew_cookie(&mut meta, self.changes.lasts.unwrap_or(lasts(&now)));
        let patch = self.changes.merged(record, record, store.limits())?;
        let patch = patch.as_ref().unwrap_or(&self.changes.patch);
        let Phase::Sealed(Sealed { key: old_key, record, .. }) = &self.phase else { return Ok(Ticket::done()) };
        // Sealed while the clock was ahead: that is valid for longer than what is sealed now, and an end under this id would be forgotten
        // before it.
        let from_ahead = expiry::is_from_ahead(now.last_seen_ms, now_ms);
        let key = if from_ahead || self.changes.need_new_id() { random_bytes()? } else { *old_key };
        let changed = patch.apply(Some(record), &key, &meta, store.limits())?;
        // Only the store can tell whether somebody else was faster.
        if how.strict || !fits(store, &changed, self.kind.seal_bytes) {
            return match self.move_into_store(store, how, &changed, deadline_ms) {
                // Nothing was to change: the session is as good as it was, until it is used again.
                Err(error) if is_touch && !how.strict && error.gives_up_changes() => Ok(Ticket::done()),
                moved => moved,
            };
        }
        let Phase::Sealed(sealed) = &self.phase else { return Ok(Ticket::done()) };
        let (again, ticket) = if key == sealed.key {
            (store.sealed_again(&sealed.id()), Ticket::done())
        } else {
            match store.revoke(&sealed.id(), &now) {
                Some((epoch, ticket)) => (Some(epoch), ticket),
                None => (None, Ticket::done()),
            }
        };
        match again {
            Some(epoch) => self.seal(store, Sealed { key, epoch, record: changed }, deadline_ms),
            None => self.drop_sealed(store),
        }
        Ok(ticket)
    }

    /// The session has ended, or become another, while this request ran. The client is told nothing: it may hold a newer one.
    fn drop_sealed(&mut self, store: &Store) {
        if let Phase::Sealed(Sealed { key, .. }) = &self.phase {
            let key = *key;
            if !self.changes.are_none() {
                store.drop_commit(&key);
            }
            self.phase = Phase::Ended(key);
        }
    }

    /// Takes the session into the store, as `changed`: it has outgrown the cookie.
    fn move_into_store(
        &mut self,
        store: &Store,
        how: How,
        changed: &Record,
        deadline_ms: Option<u64>,
    ) -> Result<Ticket, Error> {
        let Phase::Sealed(sealed) = &self.phase else { return Ok(Ticket::done()) };
        let (before, meta) = (sealed.record.meta(), changed.meta());
        // Where the old cookie must not lead any more, it does not for a moment either.
        let has_grace = !self.changes.need_new_id();
        let make = |key: &Key| Ok(changed.with_meta(key, &Meta { revision: 1, ..meta }));
        let Some(committed) = store.take_in(&sealed.id(), &before, has_grace, self.kind.name, &meta, make)? else {
            self.drop_sealed(store);
            let expected = before.revision;
            return if how.strict { Err(Error::Conflict { found: None, expected }) } else { Ok(Ticket::done()) };
        };
        let token = committed.token.expect("a session that is new in the store has a new token");
        self.told = Told::Token { token, deadline_ms, renewed: false };
        Ok(self.committed(token, false, committed))
    }

    /// Lets the session, which was just committed, go on in the cookie if it is small enough by now. Half of what would fit: or it
    /// would move to and fro. What stands in its way, if only for now, leaves it in the store.
    pub(super) fn move_out_of_store(&mut self, store: &Store, ticket: Ticket) -> Ticket {
        let Phase::Stored(Stored { key, record, is_old: false, .. }) = &self.phase else { return ticket };
        if self.answered || !fits(store, record, self.kind.seal_bytes / 2) {
            return ticket;
        }
        let Ok(to) = random_bytes() else { return ticket };
        let Ok(Some((epoch, ticket))) = store.let_go(self.kind.name, key, record, &to) else { return ticket };
        // Nobody looks whether a cookie that holds its session comes back: it does, or there is no session.
        let mut meta = store.timeouts().proven(&record.meta());
        let lasts = lasts(&meta);
        let deadline_ms = renew_cookie(&mut meta, lasts);
        let record = record.with_meta(&to, &meta);
        self.seal(store, Sealed { key: to, epoch, record }, deadline_ms);
        ticket
    }

    /// Whether the session, which is in the store, went on in the cookie: what this request would change would be lost.
    pub(super) fn has_left(&self) -> bool {
        matches!(&self.phase, Phase::Stored(stored) if is_left(&stored.record))
    }
}
