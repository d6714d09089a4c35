//! Commits one request's changes.
//!
//! Invariants: changes are merged onto the current record, or refused if the caller asked for that. A commit that stores none
//! of its changes is an error. The application's closures run while neither the session nor the store is locked.

use std::{panic, thread};

use parking_lot::MutexGuard;
use sessile_codec::{Meta, Record};

#[cfg(feature = "device-bound")]
use super::reserved::device;
use super::{
    Session,
    cookie_update::{CookieEnd, CookieUpdate},
    merge::CommitPlan,
    reserved::binding,
    state::{Changes, Location, OwnerChange, Phase, Rival, State, Stored},
};
#[cfg(feature = "device-bound")]
use crate::proof;
#[cfg(feature = "sealed")]
use crate::store::SealedEnd;
use crate::{
    Durability, Error, Handle, Store, Token,
    disk::Ticket,
    expiry::{self, renew_cookie},
    owner::NOBODY,
    store::{CommitOptions, Committed, LoadedRecord, NewKey, Put},
};

/// The options of a commit.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SaveOptions {
    /// The commit's durability, if not the request's or the store's.
    pub(super) durability: Option<Durability>,
    /// Commit only if the session has not changed since it was loaded.
    pub(super) strict: bool,
}

/// Why a commit stopped.
pub(super) enum CommitStop {
    Failed(Error),
    /// Another request changed or ended the session. The updates must run on this record first, or on none. Nothing is
    /// committed yet.
    Recompute(Option<Record>),
}

impl From<Error> for CommitStop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<sessile_codec::Error> for CommitStop {
    fn from(error: sessile_codec::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl Session {
    /// Commits all changes to the store. Unlocks `state` while updates run again.
    pub(super) fn commit(&self, state: &mut MutexGuard<'_, State>, how: SaveOptions) -> Result<Ticket, Error> {
        while let Some(other) = state.recomputed_by {
            if other == thread::current().id() {
                return Err(Error::NestedSave);
            }
            self.0.recomputed.wait(state);
        }
        loop {
            match state.commit(self.store(), how) {
                Ok(ticket) => return Ok(ticket),
                Err(CommitStop::Failed(error)) => return Err(error),
                Err(CommitStop::Recompute(current)) => self.recompute(state, current)?,
            }
        }
    }

    /// Runs the updates on `current`. Meanwhile, another thread's commit of this session waits; its other calls do not.
    fn recompute(&self, state: &mut MutexGuard<'_, State>, current: Option<Record>) -> Result<(), Error> {
        let (loaded, now_ms) = (state.record().cloned(), self.store().now_ms());
        let mut rerun = state.changes.updates.take_for(current, loaded);
        state.recomputed_by = Some(thread::current().id());
        let result = MutexGuard::unlocked(state, || panic::catch_unwind(panic::AssertUnwindSafe(|| rerun.run(now_ms))));
        state.recomputed_by = None;
        state.changes.updates.put_back(rerun, matches!(result, Ok(Ok(()))));
        self.0.recomputed.notify_all();
        let result = result.unwrap_or_else(|panic| panic::resume_unwind(panic));
        result.inspect_err(|error| state.after_failure(error))
    }
}

impl State {
    fn commit(&mut self, store: &Store, how: SaveOptions) -> Result<Ticket, CommitStop> {
        self.ends_rivals |= self.changes.sign_in() && !self.rivals.is_empty();
        #[cfg(feature = "device-bound")]
        let binds = self.binds();
        let committed = self.commit_phase(store, how);
        match &committed {
            Ok(_) => {
                #[cfg(feature = "device-bound")]
                if let Some(handle) = self.handle().filter(|_| binds) {
                    store.note_bound(handle);
                }
                self.changes.give_up();
            }
            Err(CommitStop::Failed(error)) => self.after_failure(error),
            Err(CommitStop::Recompute(_)) => {}
        }
        let committed = committed?;
        Ok(if self.ends_rivals { self.end_rivals(store, committed)? } else { committed })
    }

    fn after_failure(&mut self, error: &Error) {
        if error.gives_up_changes() {
            self.changes.give_up();
        }
    }

    /// Ends the sessions that the client presented beside this one.
    fn end_rivals(&mut self, store: &Store, committed: Ticket) -> Result<Ticket, Error> {
        let mut last = committed;
        for rival in &self.rivals {
            let ended = match rival {
                Rival::Stored(key) => store.destroy(key)?,
                #[cfg(feature = "sealed")]
                Rival::Sealed(sealed) => sealed.end(store)?.map(SealedEnd::into_ticket),
            };
            // Groups become durable in order, so the last ticket stands for all.
            last = ended.unwrap_or(last);
        }
        self.rivals = Box::default();
        self.ends_rivals = false;
        if matches!(self.update, CookieUpdate::Nothing) && matches!(self.phase, Phase::New) {
            self.update = CookieUpdate::Forget;
        }
        Ok(last)
    }

    /// Whether the next commit creates a token that the client does not have.
    fn needs_new_token(&self) -> bool {
        match &self.phase {
            Phase::New | Phase::Doomed(_) => self.changes.have_content(),
            Phase::Live(Location::Store(_)) => self.changes.new_key != NewKey::Keep,
            // Its only place is the client's cookie.
            #[cfg(feature = "sealed")]
            Phase::Live(Location::Cookie(_)) => !self.changes.are_none(),
            Phase::Ended(_) => self.changes.sign_in(),
        }
    }

    fn commit_phase(&mut self, store: &Store, how: SaveOptions) -> Result<Ticket, CommitStop> {
        if self.answered && self.needs_new_token() {
            return Err(Error::HeadersSent.into());
        }
        if self.needs_new_token() || (self.token().is_some() && !self.changes.patch.is_empty()) {
            binding::keep(self, store.limits());
        }
        #[cfg(feature = "sealed")]
        if !self.changes.are_none() && self.has_left() {
            return self.ended(store, how);
        }
        match &self.phase {
            Phase::New => self.create(store, how, None),
            Phase::Live(Location::Store(_)) => self.commit_stored(store, how),
            Phase::Doomed(Location::Store(stored)) => {
                let ended = store.destroy(&stored.key)?;
                // Otherwise it was over before, and the client may hold a newer token. The same is true if the request came
                // with a replaced token.
                if ended.is_some() && !stored.is_old {
                    self.update = CookieUpdate::Forget;
                }
                self.phase = Phase::New;
                self.create(store, how, ended)
            }
            #[cfg(feature = "sealed")]
            Phase::Live(Location::Cookie(_)) => self.commit_sealed(store, how),
            #[cfg(feature = "sealed")]
            Phase::Doomed(Location::Cookie(sealed)) => {
                let ended = sealed.end(store)?;
                // If it had moved, the response to the request that moved it sends the client its token.
                if matches!(ended, Some(SealedEnd::Sealed(_))) {
                    self.update = CookieUpdate::Forget;
                }
                self.phase = Phase::New;
                self.create(store, how, ended.map(SealedEnd::into_ticket))
            }
            Phase::Ended(_) => self.ended(store, how),
        }
    }

    /// Compare-and-swap loop: makes a new record from the current one and stores it, retrying if another commit won.
    fn commit_stored(&mut self, store: &Store, how: SaveOptions) -> Result<Ticket, CommitStop> {
        let Phase::Live(Location::Store(stored)) = &self.phase else { return Ok(Ticket::done()) };
        let Some(plan) = self.changes.plan(store, stored, self.durability, how) else { return Ok(Ticket::done()) };
        if self.changes.are_none() && !how.strict && !store.takes_writes() {
            if let Some(later) = stored.later_cookie(plan.now_ms) {
                self.update = later;
            }
            return Ok(Ticket::done());
        }
        let CommitPlan { now_ms, durability, .. } = plan;
        let (name, owner, new_key) = (stored.token.name(), self.changes.owner.asked(), self.changes.new_key);
        let loaded = LoadedRecord { key: &stored.key, record: &stored.record, seen_ms: stored.seen_ms, now_ms };
        let mut txn = store.begin(&loaded, CommitOptions { name, durability, owner, new_key })?;
        let (committed, cookie) = loop {
            let Some(onto) = txn.current()?.filter(|onto| !is_left(onto.current)) else { return self.ended(store, how) };
            #[cfg(feature = "device-bound")]
            // Another request was faster: there is one key for each sign-in.
            if proof::is_bound(&onto.current.meta()) && self.binds() {
                let now = onto.current.clone();
                return Err(self.conflict(now).into());
            }
            if how.strict && onto.current.meta().revision != stored.record.meta().revision {
                let now = onto.current.clone();
                return Err(self.conflict(now).into());
            }
            if !onto.current.is_same(&stored.record) && !self.changes.updates.are_done_on(Some(onto.current)) {
                return Err(CommitStop::Recompute(Some(onto.current.clone())));
            }
            let (record, cookie) = self.changes.merge(store, stored, &onto, plan)?;
            match txn.put(record)? {
                Put::Done(committed) => break (committed, cookie),
                Put::Changed => {}
                Put::Ended => return self.ended(store, how),
            }
        };
        let (token, is_new) = committed.token.map_or((stored.token, false), |token| (token, true));
        // Another request moved it in the meantime, and that request's response sends the cookie.
        let is_old = !is_new && (stored.is_old || committed.key != stored.key);
        if let Some(CookieEnd { deadline_ms }) = cookie {
            self.update = CookieUpdate::Token { token, deadline_ms, renewed: !is_new };
        }
        let ticket = self.committed(token, is_old, committed);
        #[cfg(feature = "sealed")]
        if self.kind.seal_bytes > 0 && !how.strict && !self.changes.is_empty() {
            return Ok(self.move_out_of_store(store, ticket));
        }
        Ok(ticket)
    }

    /// The session has changed since it was loaded. From now on it shows the record `now`.
    fn conflict(&mut self, now: Record) -> Error {
        let found = now.meta().revision;
        let expected = match &mut self.phase {
            Phase::Live(Location::Store(stored)) => std::mem::replace(&mut stored.record, now).meta().revision,
            #[cfg(feature = "sealed")]
            Phase::Live(Location::Cookie(_)) => found,
            Phase::New | Phase::Doomed(_) | Phase::Ended(_) => found,
        };
        Error::Conflict { found, expected }
    }

    /// The session has ended, or has a token that this request does not know. Only a sign-in stores anything, in a new session.
    /// Otherwise the response sets no cookie: the client may hold a newer token.
    pub(super) fn ended(&mut self, store: &Store, how: SaveOptions) -> Result<Ticket, CommitStop> {
        if self.changes.sign_in() {
            if !self.changes.updates.are_done_on(None) {
                return Err(CommitStop::Recompute(None));
            }
            if let Some(patch) = self.changes.updates.applied_to(&self.changes.patch, store.limits())? {
                self.changes.patch = patch;
            }
            self.phase = Phase::New;
            return self.create(store, how, None);
        }
        let handle = self.ended_handle();
        let stores_nothing = !self.changes.are_none() || how.strict;
        if stores_nothing {
            store.drop_commit(handle);
        }
        if let Some(handle) = handle {
            self.phase = Phase::Ended(handle);
        }
        if stores_nothing { Err(Error::SessionEnded.into()) } else { Ok(Ticket::done()) }
    }

    fn ended_handle(&self) -> Option<Handle> {
        match self.phase {
            Phase::Ended(handle) => Some(handle),
            Phase::New | Phase::Live(_) | Phase::Doomed(_) => self.handle(),
        }
    }

    /// Creates a session if there is something to store. `ended`: the ticket of a session that this commit ended.
    fn create(&mut self, store: &Store, how: SaveOptions, ended: Option<Ticket>) -> Result<Ticket, CommitStop> {
        if !self.changes.have_content() {
            return Ok(ended.unwrap_or_else(Ticket::done));
        }
        if self.is_withheld && !self.changes.sign_in() {
            crate::log::withheld_cookie();
            return Err(Error::CookieWithheld.into());
        }
        let Changes { owner, lasts, idle, absolute, .. } = &self.changes;
        let mut meta = store.timeouts().begin(store.now_ms());
        if let OwnerChange::SignIn(owner) = *owner {
            meta = store.timeouts().signed_in(&Meta { owner, ..meta });
        }
        meta = expiry::with_timeouts(&meta, *idle, *absolute);
        meta.revision = 1;
        #[cfg(feature = "device-bound")]
        {
            meta = device::marked(meta, &self.changes.patch);
        }
        // The client may keep the cookie for the whole idle timeout. The short unconfirmed timeout matters only to the store.
        let deadline_ms = renew_cookie(&mut meta, lasts.unwrap_or(!self.kind.ends_with_browser));
        #[cfg(feature = "sealed")]
        if self.create_sealed(store, &meta, deadline_ms)? {
            return Ok(ended.unwrap_or_else(Ticket::done));
        }
        let Changes { patch, idle, .. } = &self.changes;
        if meta.owner == NOBODY && idle.is_none() {
            meta = store.timeouts().unconfirmed(&meta);
        }
        // The ticket also covers the end of the session before, which is always durable.
        let class = || self.changes.class(store, self.durability, how);
        let durability = if ended.is_some() { Durability::Durable } else { class() };
        let make = |key: &_| {
            let meta = Meta { handle: Handle::first(key).bits(), ..meta };
            Ok(patch.apply(None, key, &meta, store.limits())?)
        };
        let committed = store.create(self.kind.name, durability, &meta, make)?;
        let token = committed.token.expect("a session that is new has a token that is new");
        self.update = CookieUpdate::Token { token, deadline_ms, renewed: false };
        Ok(self.committed(token, false, committed))
    }

    pub(super) fn committed(&mut self, token: Token, is_old: bool, committed: Committed) -> Ticket {
        let Committed { key, record, ticket, .. } = committed;
        let before_ms = self.stored().map_or(0, |stored| stored.seen_ms);
        let seen_ms = before_ms.max(record.meta().last_seen_ms);
        self.phase = Phase::Live(Location::Store(Stored { token, key, record, seen_ms, is_old }));
        ticket
    }
}

/// Whether the session of `record` was sealed into the cookie.
#[cfg(feature = "sealed")]
pub(super) fn is_left(record: &Record) -> bool {
    crate::store::has_left(record)
}

#[cfg(not(feature = "sealed"))]
fn is_left(_: &Record) -> bool {
    false
}
