//! How one request's changes become a commit, and what its client is told.
//!
//! Invariants: changes are merged onto the record that is current, or refused if that is asked for; what the client must be told is one
//! value, decided here alone; a request that came with a replaced token tells its client of no token but one that it made itself.

use sessile_codec::{Entry, Limits, Meta, Patch, Record};

#[cfg(feature = "sealed")]
use super::Sealed;
use super::{
    binding,
    state::{Changes, Phase, State, Stored, Update},
};
#[cfg(feature = "sealed")]
use crate::store::End;
use crate::{
    Durability, Error, Store, Token,
    disk::Ticket,
    expiry,
    store::{Asked, Committed, Known, NewKey, Onto},
};

/// What the client must be told of its token.
#[derive(Clone, Debug, Default)]
#[cfg_attr(not(feature = "tower"), expect(dead_code, reason = "only the layer tells clients"))]
pub(crate) enum Told {
    /// Nothing: what it has is right, or is not ours to judge.
    #[default]
    Nothing,
    /// The token is this one from now on, until `deadline_ms`, or until the browser closes. `renewed`: it is the same, with another
    /// end.
    Token { token: Token, deadline_ms: Option<u64>, renewed: bool },
    /// The session itself, to be sealed, until `deadline_ms`, or until the browser closes.
    #[cfg(feature = "sealed")]
    Sealed { sealed: Box<Sealed>, deadline_ms: Option<u64> },
    /// Its session has ended.
    Forget,
}

/// How a request ends.
#[cfg_attr(not(feature = "tower"), expect(dead_code, reason = "only the layer finishes requests"))]
pub(crate) struct Finish {
    /// Of the last commit. If that failed, the client must be told all the same of what was saved before.
    pub(crate) ticket: Result<Ticket, Error>,
    pub(crate) told: Told,
    /// Which cookies behind the first the client has.
    pub(crate) parts: u8,
}

/// How a commit is to be made.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct How {
    /// Its class, if it is neither the request's nor the store's.
    pub(super) durability: Option<Durability>,
    /// Only if nobody changed the session since it was loaded.
    pub(super) strict: bool,
}

/// Browsers keep no cookie for longer than 400 days (RFC 6265bis, 5.5).
const LONGEST_COOKIE_MS: u64 = 400 * 86_400_000;

impl State {
    /// Ends the request. Without `commit` the changes are dropped, and the client is told only what was saved before.
    #[cfg(feature = "tower")]
    pub(super) fn finish(&mut self, store: &Store, commit: bool) -> Finish {
        let ticket = if self.is_untouched() {
            Ok(Ticket::done())
        } else if commit {
            self.commit(store, How::default())
        } else {
            self.phase = match std::mem::replace(&mut self.phase, Phase::New) {
                Phase::Doomed(stored) => Phase::Stored(stored),
                #[cfg(feature = "sealed")]
                Phase::DoomedSealed(sealed) => Phase::Sealed(sealed),
                other => other,
            };
            self.changes = Changes::default();
            Ok(Ticket::done())
        };
        self.answered = true;
        Finish { ticket, told: std::mem::take(&mut self.told), parts: self.kind.parts }
    }

    /// Whether the request has only read, and its use of the session, which was noted when it was loaded, is worth no write. Without
    /// another look at the clock.
    #[cfg(feature = "tower")]
    fn is_untouched(&self) -> bool {
        match &self.phase {
            Phase::New => !self.changes.have_content(),
            Phase::Stored(stored) => self.changes.are_none() && !expiry::touch_is_due(&stored.record.meta(), stored.seen_ms),
            _ => false,
        }
    }

    /// Hands everything that changed to the store.
    pub(super) fn commit(&mut self, store: &Store, how: How) -> Result<Ticket, Error> {
        let committed = self.commit_phase(store, how);
        if committed.as_ref().err().is_none_or(Error::gives_up_changes) {
            self.changes = Changes::default();
        }
        committed
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
            Phase::Ended(_) => false,
        }
    }

    fn commit_phase(&mut self, store: &Store, how: How) -> Result<Ticket, Error> {
        if self.answered && self.needs_new_token() {
            return Err(Error::HeadersSent);
        }
        if self.needs_new_token() || (self.token().is_some() && !self.changes.patch.is_empty()) {
            binding::keep(self);
        }
        #[cfg(feature = "sealed")]
        if !self.changes.are_none() && self.has_left() {
            return self.give_up(store, how);
        }
        match &self.phase {
            Phase::New => self.create(store, how, None),
            Phase::Doomed(stored) => {
                let ended = store.destroy(&stored.key)?;
                // Otherwise it was over before, and the client may hold a newer token by now; as it may if it came with a replaced one.
                if ended.is_some() && !stored.is_old {
                    self.told = Told::Forget;
                }
                self.phase = Phase::New;
                self.create(store, how, ended)
            }
            Phase::Stored(stored) => match self.changes.commit(store, stored, self.durability, how) {
                Ok(Change::None) => Ok(Ticket::done()),
                Ok(Change::Done { token, is_old, committed, told }) => {
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
                // The client is told nothing, for the same reason.
                Ok(Change::Dropped) => {
                    let expected = stored.record.meta().revision;
                    self.phase = Phase::Ended(stored.key);
                    if how.strict { Err(Error::Conflict { found: None, expected }) } else { Ok(Ticket::done()) }
                }
                Ok(Change::Conflict { now }) => {
                    let (found, expected) = (Some(now.meta().revision), stored.record.meta().revision);
                    if let Phase::Stored(stored) = &mut self.phase {
                        stored.record = now;
                    }
                    Err(Error::Conflict { found, expected })
                }
                Err(error) => Err(error),
            },
            #[cfg(feature = "sealed")]
            Phase::Sealed(_) => self.commit_sealed(store, how),
            #[cfg(feature = "sealed")]
            Phase::DoomedSealed(sealed) => {
                let ended = sealed.end(store)?;
                // If it had moved, the answer to the request that moved it tells the client of its token.
                if matches!(ended, Some(End::Sealed(_))) {
                    self.told = Told::Forget;
                }
                self.phase = Phase::New;
                self.create(store, how, ended.map(End::into_ticket))
            }
            Phase::Ended(key) => {
                if !self.changes.are_none() {
                    store.drop_commit(key);
                }
                Ok(Ticket::done())
            }
        }
    }

    /// Gives up what this request would change, because its session went on in the cookie.
    #[cfg(feature = "sealed")]
    fn give_up(&mut self, store: &Store, how: How) -> Result<Ticket, Error> {
        let Phase::Stored(Stored { key, record, .. }) = &self.phase else { return Ok(Ticket::done()) };
        let (key, expected) = (*key, record.meta().revision);
        store.drop_commit(&key);
        self.phase = Phase::Ended(key);
        if how.strict { Err(Error::Conflict { found: None, expected }) } else { Ok(Ticket::done()) }
    }

    /// Makes a session if there is something to put into it. `ended`: in place of one that this commit ended.
    fn create(&mut self, store: &Store, how: How, ended: Option<Ticket>) -> Result<Ticket, Error> {
        if !self.changes.have_content() {
            return Ok(ended.unwrap_or_else(Ticket::done));
        }
        let Changes { owner, lasts, idle, absolute, .. } = &self.changes;
        let mut meta = expiry::with_timeouts(&store.timeouts().begin(store.now_ms()), *idle, *absolute);
        meta.revision = 1;
        meta.owner = owner.unwrap_or_default();
        // The client may keep the cookie for a whole life: the first, short one is ours to know of.
        let deadline_ms = renew_cookie(&mut meta, lasts.unwrap_or(!self.kind.ends_with_browser));
        #[cfg(feature = "sealed")]
        if self.create_sealed(store, &meta, deadline_ms)? {
            return Ok(ended.unwrap_or_else(Ticket::done));
        }
        let Changes { patch, idle, .. } = &self.changes;
        if meta.owner == [0; 16] && idle.is_none() {
            meta = store.timeouts().unproven(&meta);
        }
        // Its ticket stands for the end before it too, which is durable in every class.
        let class = || self.changes.class(store, self.durability, how);
        let durability = if ended.is_some() { Durability::Durable } else { class() };
        let committed =
            store.create(self.kind.name, durability, &meta, |key| Ok(patch.apply(None, key, &meta, store.limits())?))?;
        let token = committed.token.expect("a session that is new has a token that is new");
        self.told = Told::Token { token, deadline_ms, renewed: false };
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
    None,
    Done { token: Token, is_old: bool, committed: Committed, told: Option<Told> },
    Dropped,
    Conflict { now: Record },
}

impl Changes {
    /// The class that they are committed in; `asked` is what the request asks for.
    fn class(&self, store: &Store, asked: Option<Durability>, how: How) -> Durability {
        let unasked = || if self.are_quick() { Durability::Quick } else { asked.unwrap_or(store.durability()) };
        how.durability.unwrap_or_else(unasked)
    }

    fn commit(&mut self, store: &Store, stored: &Stored, asked: Option<Durability>, how: How) -> Result<Change, Error> {
        self.lasts = self.lasts.filter(|wanted| *wanted != lasts(&stored.record.meta()));
        let (now_ms, is_touch) = (store.now_ms(), self.is_empty());
        let is_due = expiry::touch_is_due(&stored.record.meta(), expiry::seen(stored.seen_ms, now_ms));
        if self.are_none() && !is_due && !how.strict {
            return Ok(Change::None);
        }
        let durability = match self.class(store, asked, how) {
            // Nobody waits for a touch.
            _ if is_touch => Durability::Relaxed,
            Durability::Quick if is_due => Durability::Relaxed,
            class => class,
        };
        let (mut cookie, mut conflict, mut has_left) = (None, None, false);
        let asked = Asked { name: stored.token.name(), durability, owner: self.owner, new_key: self.new_key };
        let known = Known { key: &stored.key, record: &stored.record, seen_ms: stored.seen_ms, now_ms };
        let committed = store.commit(&known, asked, |onto| {
            let Onto { current, key, is_new_key } = onto;
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
            let is_due = durability != Durability::Quick && cookie_is_due(&meta, now_ms);
            let tells = is_new_key || (is_ours && (is_due || self.lasts.is_some()));
            let lasts = self.lasts.unwrap_or(lasts(&meta));
            cookie = tells.then(|| renew_cookie(&mut meta, lasts));
            if is_touch {
                return Ok(Some(current.with_meta(key, &meta)));
            }
            let patch = self.merged(&stored.record, current, store.limits())?;
            Ok(Some(patch.as_ref().unwrap_or(&self.patch).apply(Some(current), key, &meta, store.limits())?))
        })?;
        if let Some(now) = conflict {
            return Ok(Change::Conflict { now });
        }
        if has_left && !self.are_none() {
            // What is left in the store ends soon, and a token of it would take the place of the cookie that holds the session.
            store.drop_commit(&stored.key);
        }
        let Some(committed) = committed else { return Ok(Change::Dropped) };
        let (token, is_new) = committed.token.map_or((stored.token, false), |token| (token, true));
        // Moved by another request in the meantime: the answer to that one tells the client.
        let is_old = !is_new && (stored.is_old || committed.key != stored.key);
        let told = cookie.map(|deadline_ms| Told::Token { token, deadline_ms, renewed: !is_new });
        Ok(Change::Done { token, is_old, committed, told })
    }

    /// The meta data after these changes of a session that has `now`.
    pub(super) fn meta(&self, store: &Store, now: &Meta, durability: Durability, now_ms: u64) -> Meta {
        // A quick commit leaves the last use as the file knows it, so that a tenth of the idle timeout still makes a touch due.
        let mut meta = if durability == Durability::Quick { *now } else { expiry::touched(now, now_ms) };
        meta.owner = self.owner.unwrap_or(now.owner);
        if meta.owner != [0; 16] {
            meta = store.timeouts().proven(&meta);
        }
        meta.revision += u64::from(!self.is_empty());
        expiry::with_timeouts(&meta, self.idle, self.absolute)
    }

    /// The patch as it is on top of `current`, if that is another than what it was made for.
    pub(super) fn merged(&mut self, loaded: &Record, current: &Record, limits: &Limits) -> Result<Option<Patch>, Error> {
        let mut merged = rerun(&self.patch, &mut self.updates, loaded, current, limits)?;
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
}

/// `patch` as it is on top of `current`, if another request wrote a value that an update depends on.
fn rerun(
    patch: &Patch,
    updates: &mut [Update],
    loaded: &Record,
    current: &Record,
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
                begun.push((key, current.entry(key)));
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
        (Some(old), Some(new)) => old.lane() == new.lane() && old.bytes() == new.bytes(),
        (old, new) => old.is_none() && new.is_none(),
    }
}

/// Whether half of the time has gone for which the client keeps the token, and a later deadline can be told.
fn cookie_is_due(meta: &Meta, now_ms: u64) -> bool {
    let deadline_ms = meta.deadline_ms().min(now_ms.saturating_add(LONGEST_COOKIE_MS));
    let full_ms = deadline_ms.saturating_sub(now_ms);
    let left_ms = meta.cookie_deadline_ms.saturating_sub(now_ms);
    deadline_ms > meta.cookie_deadline_ms && left_ms < full_ms / 2
}

/// Stands in a record for a cookie that ends with the browser: no date is later, so it is never due.
const ENDS_WITH_BROWSER: u64 = u64::MAX;

/// Whether the session's cookie outlasts the browser.
pub(super) fn lasts(meta: &Meta) -> bool {
    meta.cookie_deadline_ms != ENDS_WITH_BROWSER
}

/// Notes that the client is told today's deadline, and gives it; `None` if the cookie ends with the browser.
pub(super) fn renew_cookie(meta: &mut Meta, lasts: bool) -> Option<u64> {
    let deadline_ms = meta.deadline_ms().min(meta.last_seen_ms.saturating_add(LONGEST_COOKIE_MS));
    meta.cookie_deadline_ms = if lasts { deadline_ms } else { ENDS_WITH_BROWSER };
    lasts.then_some(deadline_ms)
}
