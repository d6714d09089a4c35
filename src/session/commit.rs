//! Commits one request's changes, and decides what its client is sent.
//!
//! Invariants: changes are merged onto the record that is current, or refused if that is asked for; a commit that stores nothing of what it
//! should is an error; what the client is sent is one value, decided here alone; if the request's token has been replaced since, its
//! response sets no cookie, unless this request created the new token.

use sessile_codec::{Entry, EntryRef, Limits, Meta, Patch, Record};

#[cfg(feature = "sealed")]
use super::SealedSession;
use super::{
    binding,
    state::{Changes, OwnerChange, Phase, Rival, State, Stored, Update},
};
#[cfg(feature = "sealed")]
use crate::store::SealedEnd;
use crate::{
    Durability, Error, Handle, Store, Token,
    disk::Ticket,
    expiry::{self, cookie_lasts, renew_cookie},
    owner::NOBODY,
    store::{CommitOptions, Committed, Loaded, MergeInput, NewKey},
};

/// What the client must be told of its token.
#[derive(Clone, Debug, Default)]
#[cfg_attr(not(feature = "tower"), expect(dead_code, reason = "only the layer tells clients"))]
pub(crate) enum CookieUpdate {
    /// Nothing: what it has is right, or is not ours to judge.
    #[default]
    Nothing,
    /// The token is this one from now on, until `deadline_ms`, or until the browser closes. `renewed`: it is the same, with another
    /// end.
    Token { token: Token, deadline_ms: Option<u64>, renewed: bool },
    /// The session itself, to be sealed, until `deadline_ms`, or until the browser closes.
    #[cfg(feature = "sealed")]
    Sealed { sealed: Box<SealedSession>, deadline_ms: Option<u64> },
    /// Its session has ended.
    Forget,
}

/// How a request ends.
#[cfg_attr(not(feature = "tower"), expect(dead_code, reason = "only the layer finishes requests"))]
pub(crate) struct Finish {
    /// Of the last commit. If that failed, the client must be told all the same of what was saved before.
    pub(crate) ticket: Result<Ticket, Error>,
    /// Whether the response must not claim success if the disk refuses the commit.
    pub(crate) is_vital: bool,
    pub(crate) told: CookieUpdate,
    /// Which cookies behind the first the client has.
    pub(crate) parts: u8,
}

/// How the layer ends a request.
#[cfg(feature = "tower")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending {
    /// Whether the changes are committed. Without it they are dropped, except the end of a session.
    pub(crate) commits: bool,
    /// Whether the response goes out as it is when its values were dropped because the session had ended.
    pub(crate) allows_dropped_values: bool,
}

/// How a commit is to be made.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SaveOptions {
    /// Its class, if it is neither the request's nor the store's.
    pub(super) durability: Option<Durability>,
    /// Only if nobody changed the session since it was loaded.
    pub(super) strict: bool,
}

impl State {
    /// Ends the request. Returns `None` if there is nothing to wait for and nothing to send to the client.
    #[cfg(feature = "tower")]
    pub(super) fn finish(&mut self, store: &Store, ending: Ending) -> Option<Finish> {
        if !ending.commits {
            self.changes = Changes::default();
        }
        // A handler that fails after it has ended the session has ended it all the same.
        let is_untouched = self.is_untouched() || !(ending.commits || self.ends_sessions());
        if is_untouched && matches!(self.told, CookieUpdate::Nothing) {
            self.answered = true;
            return None;
        }
        let is_vital = self.ends_sessions() || !(self.changes.are_none() || self.changes.are_quick());
        let set_values = self.changes.set_values() && !ending.allows_dropped_values;
        let ticket = if is_untouched { Ok(Ticket::done()) } else { self.commit(store, SaveOptions::default()) };
        self.answered = true;
        let ticket = ticket.or_else(|error| match error {
            Error::CookieWithheld => Ok(Ticket::done()),
            Error::SessionEnded if !set_values => Ok(Ticket::done()),
            // The use was noted in memory when the session was loaded.
            _ if !is_vital => Ok(Ticket::done()),
            error => Err(error),
        });
        Some(Finish { ticket, is_vital, told: std::mem::take(&mut self.told), parts: self.kind.parts })
    }

    /// Whether the next commit ends a session that is in the store, or in the cookie.
    #[cfg(feature = "tower")]
    fn ends_sessions(&self) -> bool {
        match self.phase {
            Phase::Doomed(_) => true,
            #[cfg(feature = "sealed")]
            Phase::DoomedSealed(_) => true,
            #[cfg(feature = "sealed")]
            Phase::Sealed(_) => self.ends_rivals,
            Phase::New | Phase::Stored(_) | Phase::Ended(_) => self.ends_rivals,
        }
    }

    /// Whether the request has only read, and its use of the session, which was noted when it was loaded, is worth no write. Without
    /// another look at the clock.
    #[cfg(feature = "tower")]
    fn is_untouched(&self) -> bool {
        match &self.phase {
            Phase::New => !self.changes.have_content() && !self.ends_rivals,
            Phase::Stored(stored) => self.changes.are_none() && !expiry::use_is_due(&stored.record.meta(), stored.seen_ms),
            _ => false,
        }
    }

    /// Hands everything that changed to the store.
    pub(super) fn commit(&mut self, store: &Store, how: SaveOptions) -> Result<Ticket, Error> {
        self.ends_rivals |= self.changes.sign_in() && !self.rivals.is_empty();
        let mut committed = self.commit_phase(store, how);
        if committed.as_ref().err().is_none_or(Error::gives_up_changes) {
            self.changes = Changes::default();
        }
        if self.ends_rivals && committed.is_ok() {
            committed = self.end_rivals(store, committed);
        }
        committed
    }

    /// Ends what the client presented beside this session.
    fn end_rivals(&mut self, store: &Store, committed: Result<Ticket, Error>) -> Result<Ticket, Error> {
        let mut last = committed;
        for rival in &self.rivals {
            let ended = match rival {
                Rival::Stored(key) => store.destroy(key)?,
                #[cfg(feature = "sealed")]
                Rival::Sealed(sealed) => sealed.end(store)?.map(SealedEnd::into_ticket),
            };
            // Groups become durable in their order, so the last one speaks for all.
            last = ended.map_or(last, Ok);
        }
        self.rivals = Box::default();
        self.ends_rivals = false;
        if matches!(self.told, CookieUpdate::Nothing) && matches!(self.phase, Phase::New) {
            self.told = CookieUpdate::Forget;
        }
        last
    }

    /// Whether the next commit gives the session a token that the client does not have.
    fn needs_new_token(&self) -> bool {
        match &self.phase {
            Phase::New | Phase::Doomed(_) => self.changes.have_content(),
            Phase::Stored(_) => self.changes.new_key != NewKey::Keep,
            #[cfg(feature = "sealed")]
            Phase::DoomedSealed(_) => self.changes.have_content(),
            // It has no other place than the client's cookie.
            #[cfg(feature = "sealed")]
            Phase::Sealed(_) => !self.changes.are_none(),
            Phase::Ended(_) => self.changes.sign_in(),
        }
    }

    fn commit_phase(&mut self, store: &Store, how: SaveOptions) -> Result<Ticket, Error> {
        if self.answered && self.needs_new_token() {
            return Err(Error::HeadersSent);
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
            Phase::Doomed(stored) => {
                let ended = store.destroy(&stored.key)?;
                // Otherwise it was over before, and the client may hold a newer token by now; as it may if it came with a replaced one.
                if ended.is_some() && !stored.is_old {
                    self.told = CookieUpdate::Forget;
                }
                self.phase = Phase::New;
                self.create(store, how, ended)
            }
            Phase::Stored(stored) => match self.changes.commit(store, stored, self.durability, how)? {
                Change::None { told } => {
                    self.told = told.unwrap_or(std::mem::take(&mut self.told));
                    Ok(Ticket::done())
                }
                Change::Done { token, is_old, committed, told } => {
                    if let Some(told) = told {
                        self.told = told;
                    }
                    let ticket = self.committed(token, is_old, committed);
                    #[cfg(feature = "sealed")]
                    if self.kind.seal_bytes > 0 && !how.strict && !self.changes.is_empty() {
                        return Ok(self.move_out_of_store(store, ticket));
                    }
                    Ok(ticket)
                }
                Change::Dropped => self.ended(store, how),
                Change::Conflict { now } => {
                    let (found, expected) = (now.meta().revision, stored.record.meta().revision);
                    if let Phase::Stored(stored) = &mut self.phase {
                        stored.record = now;
                    }
                    Err(Error::Conflict { found, expected })
                }
            },
            #[cfg(feature = "sealed")]
            Phase::Sealed(_) => self.commit_sealed(store, how),
            #[cfg(feature = "sealed")]
            Phase::DoomedSealed(sealed) => {
                let ended = sealed.end(store)?;
                // If it had moved, the answer to the request that moved it tells the client of its token.
                if matches!(ended, Some(SealedEnd::Sealed(_))) {
                    self.told = CookieUpdate::Forget;
                }
                self.phase = Phase::New;
                self.create(store, how, ended.map(SealedEnd::into_ticket))
            }
            Phase::Ended(_) => self.ended(store, how),
        }
    }

    /// The session has ended, or is under a token that this request does not know: only a sign-in stores anything, in a new session. The
    /// client is sent nothing otherwise: it may hold a newer token.
    pub(super) fn ended(&mut self, store: &Store, how: SaveOptions) -> Result<Ticket, Error> {
        if self.changes.sign_in() {
            self.changes.rebase_on_nothing(store.limits())?;
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
        if stores_nothing { Err(Error::SessionEnded) } else { Ok(Ticket::done()) }
    }

    fn ended_handle(&self) -> Option<Handle> {
        match self.phase {
            Phase::Ended(handle) => Some(handle),
            _ => self.handle(),
        }
    }

    /// Makes a session if there is something to put into it. `ended`: in place of one that this commit ended.
    fn create(&mut self, store: &Store, how: SaveOptions, ended: Option<Ticket>) -> Result<Ticket, Error> {
        if !self.changes.have_content() {
            return Ok(ended.unwrap_or_else(Ticket::done));
        }
        if self.is_withheld && !self.changes.sign_in() {
            crate::event::withheld_cookie();
            return Err(Error::CookieWithheld);
        }
        let Changes { owner, lasts, idle, absolute, .. } = &self.changes;
        let mut meta = store.timeouts().begin(store.now_ms());
        if let OwnerChange::SignIn(owner) = *owner {
            meta = store.timeouts().signed_in(&Meta { owner, ..meta });
        }
        meta = expiry::with_timeouts(&meta, *idle, *absolute);
        meta.revision = 1;
        // The client may keep the cookie for a whole life: the first, short one is ours to know of.
        let deadline_ms = renew_cookie(&mut meta, lasts.unwrap_or(!self.kind.ends_with_browser));
        #[cfg(feature = "sealed")]
        if self.create_sealed(store, &meta, deadline_ms)? {
            return Ok(ended.unwrap_or_else(Ticket::done));
        }
        let Changes { patch, idle, .. } = &self.changes;
        if meta.owner == NOBODY && idle.is_none() {
            meta = store.timeouts().unconfirmed(&meta);
        }
        // Its ticket stands for the end before it too, which is durable in every class.
        let class = || self.changes.class(store, self.durability, how);
        let durability = if ended.is_some() { Durability::Durable } else { class() };
        let make = |key: &_| {
            let meta = Meta { handle: Handle::first(key).bits(), ..meta };
            Ok(patch.apply(None, key, &meta, store.limits())?)
        };
        let committed = store.create(self.kind.name, durability, &meta, make)?;
        let token = committed.token.expect("a session that is new has a token that is new");
        self.told = CookieUpdate::Token { token, deadline_ms, renewed: false };
        Ok(self.committed(token, false, committed))
    }

    pub(super) fn committed(&mut self, token: Token, is_old: bool, committed: Committed) -> Ticket {
        let Committed { key, record, ticket, .. } = committed;
        let before_ms = self.stored().map_or(0, |stored| stored.seen_ms);
        let seen_ms = before_ms.max(record.meta().last_seen_ms);
        self.phase = Phase::Stored(Stored { token, key, record, seen_ms, is_old });
        ticket
    }
}

/// What became of a session that was stored before.
enum Change {
    /// There was nothing to store, or nothing but a use, which the disk does not take for now.
    None {
        told: Option<CookieUpdate>,
    },
    Done {
        token: Token,
        is_old: bool,
        committed: Committed,
        told: Option<CookieUpdate>,
    },
    Dropped,
    Conflict {
        now: Record,
    },
}

impl Changes {
    /// The class that they are committed in; `asked` is what the request asks for.
    fn class(&self, store: &Store, asked: Option<Durability>, how: SaveOptions) -> Durability {
        let unasked = || if self.are_quick() { Durability::Quick } else { asked.unwrap_or(store.durability()) };
        match self.owner {
            OwnerChange::Keep => how.durability.unwrap_or_else(unasked),
            OwnerChange::SignIn(_) | OwnerChange::Unbind => Durability::Durable,
        }
    }

    fn commit(&mut self, store: &Store, stored: &Stored, asked: Option<Durability>, how: SaveOptions) -> Result<Change, Error> {
        self.lasts = self.lasts.filter(|wanted| *wanted != cookie_lasts(&stored.record.meta()));
        let (now_ms, is_touch) = (store.now_ms(), self.is_empty());
        let is_due = expiry::use_is_due(&stored.record.meta(), expiry::seen(stored.seen_ms, now_ms));
        if self.are_none() && !how.strict {
            if !is_due {
                return Ok(Change::None { told: None });
            }
            if !store.takes_writes() {
                return Ok(Change::None { told: stored.later_cookie(now_ms) });
            }
        }
        let durability = match self.class(store, asked, how) {
            // Nobody waits for a touch.
            _ if is_touch => Durability::Relaxed,
            Durability::Quick if is_due => Durability::Relaxed,
            class => class,
        };
        let (mut cookie, mut conflict, mut has_left) = (None, None, false);
        let (owner, new_key, may_end) = (self.owner.asked(), self.new_key, true);
        let asked = CommitOptions { name: stored.token.name(), durability, owner, new_key, may_end };
        let known = Loaded { key: &stored.key, record: &stored.record, seen_ms: stored.seen_ms, now_ms };
        let committed = store.commit(&known, asked, |onto| {
            let MergeInput { current, key, is_new_key } = onto;
            if is_left(current) {
                has_left = true;
                return Ok(None);
            }
            if how.strict && current.meta().revision != stored.record.meta().revision {
                conflict = Some(current.clone());
                return Ok(None);
            }
            let mut meta = self.meta(store, &current.meta(), durability, now_ms);
            let is_ours = !stored.is_old && *key == stored.key;
            let is_due = durability != Durability::Quick && expiry::cookie_is_due(&meta);
            let tells = is_new_key || (is_ours && (is_due || self.lasts.is_some()));
            let lasts = self.lasts.unwrap_or(cookie_lasts(&meta));
            cookie = tells.then(|| renew_cookie(&mut meta, lasts));
            if is_touch {
                return Ok(Some(current.with_meta(key, &meta)));
            }
            let patch = self.merged(&stored.record, current, now_ms, store.limits())?;
            Ok(Some(patch.as_ref().unwrap_or(&self.patch).apply(Some(current), key, &meta, store.limits())?))
        })?;
        if let Some(now) = conflict {
            return Ok(Change::Conflict { now });
        }
        let Some(committed) = committed else { return Ok(Change::Dropped) };
        let (token, is_new) = committed.token.map_or((stored.token, false), |token| (token, true));
        // Moved by another request in the meantime: the answer to that one tells the client.
        let is_old = !is_new && (stored.is_old || committed.key != stored.key);
        let told = cookie.map(|deadline_ms| CookieUpdate::Token { token, deadline_ms, renewed: !is_new });
        Ok(Change::Done { token, is_old, committed, told })
    }

    /// The meta data after these changes of a session that has `now`.
    pub(super) fn meta(&self, store: &Store, now: &Meta, durability: Durability, now_ms: u64) -> Meta {
        // A quick commit leaves the last use as the file knows it, so that a tenth of the idle timeout still makes a touch due.
        let mut meta = if durability == Durability::Quick { *now } else { expiry::touched(now, now_ms) };
        meta = match self.owner {
            OwnerChange::Keep => meta,
            OwnerChange::SignIn(owner) => store.timeouts().signed_in(&Meta { owner, ..meta }),
            OwnerChange::Unbind => store.timeouts().signed_out(&Meta { owner: NOBODY, ..meta }),
        };
        if meta.owner != NOBODY {
            meta = store.timeouts().confirmed(&meta);
        }
        meta.revision += u64::from(!self.is_empty());
        expiry::with_timeouts(&meta, self.idle, self.absolute)
    }

    /// The patch as it is on top of `current`, if that is another than what it was made for.
    pub(super) fn merged(
        &mut self,
        loaded: &Record,
        current: &Record,
        now_ms: u64,
        limits: &Limits,
    ) -> Result<Option<Patch>, Error> {
        let mut merged = rerun(&self.patch, &mut self.updates, loaded, current, now_ms, limits)?;
        for (key, entry) in &self.migrated {
            // Migrated is what was there when it was read, and only that.
            if self.patch.get(key).is_none() && same_entry(loaded, current, key) {
                merged.get_or_insert_with(|| self.patch.clone()).set(key, entry.clone(), &Limits::UNLIMITED)?;
            }
        }
        if !self.cleared.is_empty() && !current.is_same(loaded) {
            for (key, _) in current.iter().filter(|(key, _)| self.is_cleared(key) && self.patch.get(key).is_none()) {
                merged.get_or_insert_with(|| self.patch.clone()).remove(key);
            }
        }
        Ok(merged)
    }

    /// Recomputes what depends on a session that is gone, as in a session without values.
    fn rebase_on_nothing(&mut self, limits: &Limits) -> Result<(), Error> {
        let mut begun: Vec<(&str, Option<Entry>)> = Vec::new();
        for Update { key, again } in &mut self.updates {
            let at = begun.iter().position(|(known, _)| **known == **key).unwrap_or_else(|| {
                begun.push((key, None));
                begun.len() - 1
            });
            begun[at].1 = again(begun[at].1.as_ref())?;
        }
        for (key, value) in begun {
            match value {
                Some(entry) => self.patch.set(key, entry, limits)?,
                None => self.patch.remove(key),
            }
        }
        Ok(())
    }
}

impl Stored {
    /// A later end of the client's cookie, if one is due: for a use that is not written.
    fn later_cookie(&self, now_ms: u64) -> Option<CookieUpdate> {
        let mut meta = expiry::touched(&self.record.meta(), now_ms);
        let is_due = !self.is_old && expiry::cookie_is_due(&meta);
        is_due.then(|| CookieUpdate::Token { token: self.token, deadline_ms: renew_cookie(&mut meta, true), renewed: true })
    }
}

/// `patch` as it is on top of `current`, if another request wrote a value that an update depends on.
fn rerun(
    patch: &Patch,
    updates: &mut [Update],
    loaded: &Record,
    current: &Record,
    now_ms: u64,
    limits: &Limits,
) -> Result<Option<Patch>, Error> {
    let mut merged = None;
    if current.is_same(loaded) {
        return Ok(merged);
    }
    let mut begun: Vec<(&str, Option<Entry>)> = Vec::new();
    for Update { key, again } in updates {
        let at = match begun.iter().position(|(known, _)| **known == **key) {
            Some(at) => at,
            None if same_entry(loaded, current, key) => continue,
            None => {
                begun.push((key, current.entry(key).filter(|entry| !is_over(entry.as_ref(), now_ms))));
                begun.len() - 1
            }
        };
        begun[at].1 = again(begun[at].1.as_ref())?;
    }
    for (key, value) in begun {
        let merged = merged.get_or_insert_with(|| patch.clone());
        match value {
            Some(entry) => merged.set(key, entry, limits)?,
            None => merged.remove(key),
        }
    }
    Ok(merged)
}

/// Whether the session of `record` went on in the cookie.
#[cfg(feature = "sealed")]
pub(super) fn is_left(record: &Record) -> bool {
    crate::store::has_left(record)
}

#[cfg(not(feature = "sealed"))]
fn is_left(_: &Record) -> bool {
    false
}

/// Whether nobody wrote `key` between.
fn same_entry(loaded: &Record, current: &Record, key: &str) -> bool {
    match (loaded.get(key), current.get(key)) {
        (Some(old), Some(new)) => (old.lane(), old.until_ms()) == (new.lane(), new.until_ms()) && old.bytes() == new.bytes(),
        (old, new) => old.is_none() && new.is_none(),
    }
}

/// Whether the value's time is over.
pub(super) fn is_over(entry: EntryRef<'_>, now_ms: u64) -> bool {
    entry.until_ms() != 0 && entry.until_ms() <= now_ms
}
