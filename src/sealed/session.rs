//! A session that is sealed in its client's cookie, and how it moves into and out of the store.
//!
//! Invariants: the store has nothing of a sealed session except, once it has ended, its revocation. Under one id, only its
//! values and its last use change. A new token, owner or timeout, and the removal of all values, create a new id; what was
//! sealed under the old one is refused from then on. The session's size at commit decides whether it is sealed, in one place
//! for each direction.

use sessile_codec::{Meta, Record};

use super::{
    Session, SessionKind,
    commit::{CommitStop, SaveOptions, is_left},
    cookie_update::CookieUpdate,
    state::{Changes, Location, OwnerChange, Phase, Rival, State, Stored},
};
use crate::{
    Durability, Error, Handle, Store, Tier, Token,
    disk::Ticket,
    expiry::{self, cookie_lasts, renew_cookie},
    store::{self, Found, NewKey, Presented, SealedId},
    token::{Key, RANDOM, TAG, random_bytes},
};

/// A session that was sealed and whose seal has been checked, or one that is to be sealed.
#[derive(Clone, Debug)]
pub(crate) struct SealedSession {
    /// Names it. Not a secret: it leads nowhere.
    pub(crate) key: Key,
    pub(crate) epoch: u64,
    pub(crate) record: Record,
}

impl SealedSession {
    fn id(&self) -> SealedId {
        let meta = self.record.meta();
        SealedId { key: self.key, handle: Handle::of(&meta), owner: meta.owner, epoch: self.epoch }
    }

    /// Ends it, wherever it is now. `None`: it was over before.
    pub(super) fn end(&self, store: &Store) -> Result<Option<store::SealedEnd>, Error> {
        store.end_sealed(&self.id(), &self.record.meta())
    }
}

/// A live session that a client presents.
pub(crate) enum Live {
    Sealed(SealedSession),
    Stored(Token, Found),
}

impl Live {
    /// Returns the session that came sealed, if it is alive.
    fn of_sealed(store: &Store, kind: SessionKind, sealed: SealedSession) -> Result<Option<Self>, Error> {
        Ok(match store.find_sealed(&sealed.id(), &sealed.record.meta())? {
            store::Opened::Alive => Some(Self::Sealed(sealed)),
            // The request has no token of the session. This one leads nowhere, and with `is_old` is never sent. It is random,
            // as anything derived from it must be.
            store::Opened::InStore(found) => {
                Some(Self::Stored(Token::new(&random_bytes::<RANDOM>()?, [0; TAG]).with_name(kind.name), found))
            }
            store::Opened::Ended => None,
        })
    }

    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Sealed(one), Self::Sealed(other)) => one.key == other.key,
            (Self::Stored(_, one), Self::Stored(_, other)) => one.key == other.key,
            (Self::Sealed(_), Self::Stored(..)) | (Self::Stored(..), Self::Sealed(_)) => false,
        }
    }

    fn into_rival(self) -> Rival {
        match self {
            Self::Sealed(sealed) => Rival::Sealed(sealed),
            Self::Stored(_, found) => Rival::Stored(found.key),
        }
    }
}

impl Session {
    /// Loads the session of one of these, or a new one. Several live ones are ambiguous: then none of them is loaded.
    pub(crate) fn load_among(
        store: &Store,
        kind: SessionKind,
        sealed: Vec<SealedSession>,
        tokens: impl Iterator<Item = Token>,
        is_withheld: impl FnOnce() -> bool,
        admit: impl FnOnce(&Store, &mut State),
    ) -> Result<Self, Error> {
        let mut live: Vec<Live> = Vec::new();
        let mut add = |one: Live| {
            if !live.iter().any(|other| other.is_same(&one)) {
                live.push(one);
            }
        };
        for sealed in sealed {
            Live::of_sealed(store, kind, sealed)?.into_iter().for_each(&mut add);
        }
        match store.find_all(tokens.map(|token| token.with_name(kind.name)))? {
            Presented::None => {}
            Presented::One(token, found) => add(Live::Stored(token, found)),
            Presented::Several(several) => several.into_iter().for_each(|(token, found)| add(Live::Stored(token, found))),
        }
        let mut state = match live.len() {
            0 | 1 => match live.pop() {
                None => State::without(kind, is_withheld()),
                Some(Live::Stored(token, found)) => State::new(kind, Some((token, found))),
                Some(Live::Sealed(sealed)) => {
                    let mut state = State::new(kind, None);
                    state.tier = Some(Tier::Cookie);
                    state.phase = Phase::Live(Location::Cookie(sealed));
                    state
                }
            },
            _ => {
                store.note_ambiguous();
                State::among(kind, None, live.into_iter().map(Live::into_rival).collect())
            }
        };
        admit(store, &mut state);
        Ok(Self::of_state(store, state))
    }
}

impl Changes {
    /// Whether everything sealed before must be refused.
    fn need_new_id(&self) -> bool {
        let ends_privilege = self.owner != OwnerChange::Keep || self.patch.is_cleared() || !self.cleared.is_empty();
        ends_privilege || self.new_key != NewKey::Keep || self.idle.is_some() || self.absolute.is_some()
    }
}

/// Whether `record` may be sealed.
fn fits(store: &Store, record: &Record, limit_bytes: usize) -> bool {
    record.bytes().len() <= limit_bytes && store.may_seal(&record.meta().owner)
}

impl State {
    /// Creates a session in the cookie, if it is small enough.
    pub(super) fn create_sealed(&mut self, store: &Store, meta: &Meta, deadline_ms: Option<u64>) -> Result<bool, Error> {
        if self.kind.seal_bytes == 0 {
            return Ok(false);
        }
        let (key, epoch) = (random_bytes()?, store.sealing_epoch());
        let meta = Meta { handle: Handle::first(&key).bits(), ..*meta };
        let record = self.changes.patch.apply(None, &key, &meta, store.limits())?;
        if !fits(store, &record, self.kind.seal_bytes) {
            return Ok(false);
        }
        self.seal(store, SealedSession { key, epoch, record }, deadline_ms);
        Ok(true)
    }

    fn seal(&mut self, store: &Store, sealed: SealedSession, deadline_ms: Option<u64>) {
        store.note_sealed();
        self.update = CookieUpdate::Sealed { sealed: Box::new(sealed.clone()), deadline_ms };
        self.phase = Phase::Live(Location::Cookie(sealed));
    }

    /// Commits a session that came sealed, or was sealed earlier in this request.
    pub(super) fn commit_sealed(&mut self, store: &Store, how: SaveOptions) -> Result<Ticket, CommitStop> {
        let Some(now) = self.record().map(Record::meta) else { return Ok(Ticket::done()) };
        self.changes.lasts = self.changes.lasts.filter(|wanted| *wanted != cookie_lasts(&now));
        let (now_ms, is_touch) = (store.now_ms(), self.changes.are_none());
        let is_due = expiry::touch_is_due(&now, now_ms) && !self.answered;
        if is_touch && !is_due && !how.strict {
            return Ok(Ticket::done());
        }
        let mut meta = self.changes.meta(store, &now, Durability::Durable, now_ms);
        let deadline_ms = renew_cookie(&mut meta, self.changes.lasts.unwrap_or(cookie_lasts(&now)));
        let Some(SealedSession { key: old_key, record, .. }) = self.sealed() else { return Ok(Ticket::done()) };
        let patch = self.changes.merged(record, record, store.limits())?;
        let patch = patch.as_ref().unwrap_or(&self.changes.patch);
        // Sealed while the clock was ahead: that is valid for longer than what is sealed now, and a revocation of this id would
        // be forgotten too early.
        let from_ahead = expiry::is_from_ahead(now.last_seen_ms, now_ms);
        let key = if from_ahead || self.changes.need_new_id() { random_bytes()? } else { *old_key };
        let changed = patch.apply(Some(record), &key, &meta, store.limits())?;
        #[cfg(feature = "device-bound")]
        let binds = self.binds();
        #[cfg(not(feature = "device-bound"))]
        let binds = false;
        // Only the store knows whether another request was faster. There, copies of the cookie from before it was bound lead to the
        // bound session, and soon to none.
        if how.strict || binds || !fits(store, &changed, self.kind.seal_bytes) {
            return match self.move_into_store(store, how, &changed, deadline_ms) {
                // There was no change: the session stays valid until it is used again.
                Err(CommitStop::Failed(_)) if is_touch && !how.strict => Ok(Ticket::done()),
                moved => moved,
            };
        }
        let Some(sealed) = self.sealed() else { return Ok(Ticket::done()) };
        let (again, ticket) = if key == sealed.key {
            (store.sealed_again(&sealed.id()), Ticket::done())
        } else {
            match store.revoke(&sealed.id(), &now) {
                Some((epoch, ticket)) => (Some(epoch), ticket),
                None => (None, Ticket::done()),
            }
        };
        match again {
            Some(epoch) => self.seal(store, SealedSession { key, epoch, record: changed }, deadline_ms),
            None => return self.ended(store, how),
        }
        Ok(ticket)
    }

    /// Moves the session into the store, as `changed`: it has outgrown the cookie.
    fn move_into_store(
        &mut self,
        store: &Store,
        how: SaveOptions,
        changed: &Record,
        deadline_ms: Option<u64>,
    ) -> Result<Ticket, CommitStop> {
        let Some(sealed) = self.sealed() else { return Ok(Ticket::done()) };
        let (before, meta) = (sealed.record.meta(), changed.meta());
        // If the old cookie must lead nowhere, it gets no grace either.
        let has_grace = !self.changes.need_new_id();
        let make = |key: &Key| Ok(changed.with_meta(key, &Meta { revision: 1, ..meta }));
        let Some(committed) = store.take_in(&sealed.id(), &before, has_grace, self.kind.name, &meta, make)? else {
            return self.ended(store, how);
        };
        let token = committed.token.expect("a session that is new in the store has a new token");
        self.update = CookieUpdate::Token { token, deadline_ms, renewed: false };
        Ok(self.committed(token, false, committed))
    }

    /// Seals the session, which was just committed, into the cookie if it is small enough now: half of the limit, so that it
    /// does not move to and fro. If anything prevents that, even briefly, the session stays in the store.
    pub(super) fn move_out_of_store(&mut self, store: &Store, ticket: Ticket) -> Ticket {
        let Some(Stored { key, record, is_old: false, .. }) = self.stored() else { return ticket };
        if self.answered || !fits(store, record, self.kind.seal_bytes / 2) {
            return ticket;
        }
        let Ok(to) = random_bytes() else { return ticket };
        let Ok(Some((epoch, ticket))) = store.let_go(self.kind.name, key, record, &to) else { return ticket };
        // A cookie that holds its session needs no confirmation: if it does not come back, there is no session.
        let mut meta = store.timeouts().confirmed(&record.meta());
        let lasts = cookie_lasts(&meta);
        let deadline_ms = renew_cookie(&mut meta, lasts);
        let record = record.with_meta(&to, &meta);
        self.seal(store, SealedSession { key: to, epoch, record }, deadline_ms);
        ticket
    }

    /// Whether the session was in the store and has been sealed: changes of this request would be lost.
    pub(super) fn has_left(&self) -> bool {
        self.stored().is_some_and(|stored| is_left(&stored.record))
    }
}
