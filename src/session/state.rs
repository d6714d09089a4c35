//! What one request knows and has changed, and how that becomes a commit.
//!
//! Invariants: `patch` holds the result of every change on top of the record that was loaded; `updates` holds how to come to it again
//! on top of another record; where the session stands is one value, and so is what the client must be told: both are decided in
//! [`State::commit`] alone. A commit that fails leaves everything as it was, to be tried again.

use std::mem;

use sessile_codec::{Entry, Limits, Meta, Patch, Record};

use super::flash;
use crate::{
    Error, Handle, Store, Tier, Token,
    disk::Ticket,
    expiry,
    store::{Committed, Found},
    token::Key,
};

/// One request's state.
pub(crate) struct State {
    phase: Phase,
    tier: Option<Tier>,
    changes: Changes,
    told: Told,
}

/// Where the session stands.
enum Phase {
    /// It is not in the store, and gets there with the first value.
    New,
    /// It is in the store.
    Stored(Stored),
    /// It is in the store, and this request ends it at commit. Values that are set from then on are for a new session.
    Doomed(Stored),
    /// It ended while this request ran. What this request sets is dropped: a new session in its place would push the token of a
    /// visitor who has just signed in out of the browser.
    Ended(Key),
}

/// What the next commit brings.
#[derive(Default)]
struct Changes {
    rotate: bool,
    owner: Option<[u8; 16]>,
    patch: Patch,
    updates: Vec<Update>,
}

/// A session that is in the store.
struct Stored {
    token: Token,
    key: Key,
    record: Record,
    seen_ms: u64,
}

/// A change that depends on the value before it.
struct Update {
    key: Box<str>,
    again: Again,
}

/// Makes the new value of the one before; `None` stands for no value.
pub(super) type Again = Box<dyn FnMut(Option<&Entry>) -> Result<Option<Entry>, Error> + Send>;

/// What the client must be told of its token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Told {
    /// Nothing: what it has is right, or is not ours to judge.
    #[default]
    Nothing,
    /// The token is this one from now on, until `deadline_ms`. `renewed`: it is the same, with a later deadline.
    Token { token: Token, deadline_ms: u64, renewed: bool },
    /// Its session has ended.
    Forget,
}

/// How a request ends.
#[cfg_attr(not(feature = "tower"), expect(dead_code, reason = "only the layer finishes requests"))]
pub(crate) struct Finish {
    pub(crate) ticket: Ticket,
    pub(crate) told: Told,
}

/// Browsers keep no cookie for longer than 400 days (RFC 6265bis, 5.5).
const LONGEST_COOKIE_MS: u64 = 400 * 86_400_000;

impl State {
    pub(super) fn new(found: Option<(Token, Found)>) -> Self {
        let tier = found.as_ref().map(|(_, found)| found.tier);
        let phase = found.map_or(Phase::New, |(token, Found { key, record, seen_ms, .. })| {
            Phase::Stored(Stored { token, key, record, seen_ms })
        });
        Self { phase, tier, changes: Changes::default(), told: Told::Nothing }
    }

    pub(super) fn get(&self, key: &str) -> Option<Entry> {
        match self.changes.patch.get(key) {
            Some(changed) => changed.cloned(),
            None => self.record()?.entry(key),
        }
    }

    pub(super) fn keys(&self) -> Vec<String> {
        let untouched = self.record().into_iter().flat_map(Record::iter).map(|(key, _)| key);
        let untouched = untouched.filter(|key| self.changes.patch.get(key).is_none());
        let set = self.changes.patch.keys().filter(|(_, is_set)| *is_set).map(|(key, _)| key);
        let mut keys: Vec<_> = untouched.chain(set).map(str::to_owned).collect();
        keys.sort_unstable();
        keys
    }

    pub(super) fn set(&mut self, key: &str, entry: Entry, limits: &Limits) -> Result<(), Error> {
        self.check_room(key, &entry, limits)?;
        self.changes.patch.set(key, entry, limits)?;
        self.changes.updates.retain(|update| *update.key != *key);
        Ok(())
    }

    pub(super) fn remove(&mut self, key: &str) -> bool {
        let was_there = self.get(key).is_some();
        // Also where there is none: another request may be about to set it, and this one said that it goes.
        self.changes.patch.remove(key);
        self.changes.updates.retain(|update| *update.key != *key);
        was_there
    }

    pub(super) fn clear(&mut self) {
        let label = flash::label_entry(self);
        self.changes.patch.clear();
        self.changes.updates.clear();
        if let Some(label) = label {
            flash::put_label_entry(self, label);
        }
    }

    /// Sets what `again` made of the value before, and keeps `again` for a value that another request may write.
    pub(super) fn update(&mut self, key: &str, new: Option<Entry>, again: Again, limits: &Limits) -> Result<(), Error> {
        // A value that this request set by itself does not depend on what others write.
        let depends = self.changes.patch.get(key).is_none() || self.changes.updates.iter().any(|update| *update.key == *key);
        match new {
            Some(entry) => {
                self.check_room(key, &entry, limits)?;
                self.changes.patch.set(key, entry, limits)?;
            }
            None => self.changes.patch.remove(key),
        }
        if depends {
            self.changes.updates.push(Update { key: key.into(), again });
        }
        Ok(())
    }

    /// Whether the record stays within its limit, so that a handler hears of it and not the layer after it.
    fn check_room(&self, key: &str, entry: &Entry, limits: &Limits) -> Result<(), Error> {
        let base = if self.changes.patch.is_cleared() { 0 } else { self.record().map_or(0, |record| record.bytes().len()) };
        let len = |entry: &Entry| entry.as_ref().bytes().len();
        let replaced =
            if self.changes.patch.get(key).is_none() { self.get(key).as_ref().map_or(0, len) } else { Default::default() };
        let others = self.changes.patch.keys().filter(|(other, _)| *other != key);
        let changed: usize = others.filter_map(|(other, _)| self.changes.patch.get(other).flatten()).map(len).sum();
        let found_bytes = (base + changed + len(entry)).saturating_sub(replaced);
        if found_bytes > limits.record_bytes {
            return Err(sessile_codec::Error::RecordTooLarge { found_bytes, limit_bytes: limits.record_bytes }.into());
        }
        Ok(())
    }

    pub(super) fn rotate(&mut self) {
        self.changes.rotate = true;
    }

    pub(super) fn destroy(&mut self) {
        self.phase = match mem::replace(&mut self.phase, Phase::New) {
            Phase::Stored(stored) | Phase::Doomed(stored) => Phase::Doomed(stored),
            other @ (Phase::New | Phase::Ended(_)) => other,
        };
        self.changes = Changes::default();
    }

    pub(super) fn bind_owner(&mut self, owner: [u8; 16]) {
        self.changes.owner = Some(owner);
    }

    pub(super) fn token(&self) -> Option<Token> {
        self.stored().map(|stored| stored.token)
    }

    pub(super) fn handle(&self) -> Option<Handle> {
        self.stored().map(|stored| Handle::of(&stored.key))
    }

    pub(super) fn tier(&self) -> Option<Tier> {
        self.tier
    }

    pub(super) fn record(&self) -> Option<&Record> {
        self.stored().map(|stored| &stored.record)
    }

    fn stored(&self) -> Option<&Stored> {
        match &self.phase {
            Phase::Stored(stored) => Some(stored),
            Phase::New | Phase::Doomed(_) | Phase::Ended(_) => None,
        }
    }

    /// Ends the request. Without `commit` the changes are dropped, and the client is told only what was saved before.
    #[cfg(feature = "tower")]
    pub(super) fn finish(&mut self, store: &Store, commit: bool) -> Result<Finish, Error> {
        let ticket = if commit {
            self.commit(store)?
        } else {
            self.phase = match mem::replace(&mut self.phase, Phase::New) {
                Phase::Doomed(stored) => Phase::Stored(stored),
                other => other,
            };
            self.changes = Changes::default();
            Ticket::done()
        };
        Ok(Finish { ticket, told: mem::take(&mut self.told) })
    }

    /// Hands everything that changed to the store.
    pub(super) fn commit(&mut self, store: &Store) -> Result<Ticket, Error> {
        let ticket = match &self.phase {
            Phase::New => self.create(store, None)?,
            Phase::Doomed(stored) => {
                let ended = store.destroy(&stored.key, |_| true)?;
                if ended.is_some() {
                    // Otherwise it was over before, and the client may hold a newer token by now.
                    self.told = Told::Forget;
                }
                self.phase = Phase::New;
                self.create(store, ended)?
            }
            Phase::Stored(stored) => match self.changes.commit(store, stored)? {
                Change::None => Ticket::done(),
                Change::Done { token, committed, told } => {
                    self.told = told.unwrap_or(self.told);
                    self.committed(store, token, committed)
                }
                // The client is told nothing, for the same reason.
                Change::Dropped => {
                    self.phase = Phase::Ended(stored.key);
                    Ticket::done()
                }
            },
            Phase::Ended(key) => {
                if !self.changes.are_none() {
                    store.drop_commit(key);
                }
                Ticket::done()
            }
        };
        self.changes = Changes::default();
        Ok(ticket)
    }

    /// Makes a session if there is something to put into it. `ended`: in place of one that this commit ended.
    fn create(&mut self, store: &Store, ended: Option<Ticket>) -> Result<Ticket, Error> {
        if !self.changes.have_content() {
            return Ok(ended.unwrap_or_else(Ticket::done));
        }
        let Changes { patch, owner, .. } = &self.changes;
        let mut meta = store.timeouts().begin(store.now_ms());
        meta.revision = 1;
        meta.owner = owner.unwrap_or_default();
        let deadline_ms = renew_cookie(&mut meta);
        // Its ticket stands for the end before it too, which is durable in every class.
        let is_urgent = ended.is_some();
        let (token, committed) = store.create(is_urgent, |key| Ok(patch.apply(None, key, &meta, store.limits())?))?;
        self.told = Told::Token { token, deadline_ms, renewed: false };
        Ok(self.committed(store, token, committed))
    }

    fn committed(&mut self, store: &Store, token: Token, committed: Committed) -> Ticket {
        let Committed { record, ticket } = committed;
        self.phase = Phase::Stored(Stored { token, key: token.key(), record, seen_ms: store.now_ms() });
        ticket
    }
}

impl Changes {
    fn are_none(&self) -> bool {
        self.patch.is_empty() && self.owner.is_none() && !self.rotate
    }

    /// Whether there is something that makes a session where there was none.
    fn have_content(&self) -> bool {
        self.patch.keys().any(|(_, is_set)| is_set) || self.owner.is_some_and(|owner| owner != [0; 16])
    }

    fn commit(&mut self, store: &Store, stored: &Stored) -> Result<Change, Error> {
        let now_ms = store.now_ms();
        let is_touch = self.patch.is_empty() && self.owner.is_none();
        let is_due = expiry::touch_is_due(&stored.record.meta(), stored.seen_ms.max(now_ms));
        let mut told = None;
        let mut merge = |current: &Record, key: &Key, is_new_key: bool| {
            let mut meta = expiry::touched(&current.meta(), now_ms);
            meta.revision += 1;
            meta.owner = self.owner.unwrap_or(meta.owner);
            told = (is_new_key || cookie_is_due(&meta, now_ms)).then(|| renew_cookie(&mut meta));
            if is_touch {
                return Ok(current.with_meta(key, &meta));
            }
            let patch = merged(&self.patch, &mut self.updates, &stored.record, current, store.limits())?;
            Ok(patch.as_ref().unwrap_or(&self.patch).apply(Some(current), key, &meta, store.limits())?)
        };
        let done = if self.rotate {
            store.rotate(&stored.key, |current, key| merge(current, key, true))?
        } else if !is_touch || is_due {
            let committed = store.commit(&stored.key, is_touch, |current| merge(current, &stored.key, false))?;
            committed.map(|committed| (stored.token, committed))
        } else {
            return Ok(Change::None);
        };
        let Some((token, committed)) = done else { return Ok(Change::Dropped) };
        let told = told.map(|deadline_ms| Told::Token { token, deadline_ms, renewed: !self.rotate });
        Ok(Change::Done { token, committed, told })
    }
}

/// What became of a session that was stored before.
enum Change {
    None,
    Done { token: Token, committed: Committed, told: Option<Told> },
    Dropped,
}

/// `patch` as it is on top of `current`, if another request wrote a value that an update depends on.
fn merged(
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

/// Notes that the client is told today's deadline, and gives it.
fn renew_cookie(meta: &mut Meta) -> u64 {
    meta.cookie_deadline_ms = meta.deadline_ms().min(meta.last_seen_ms.saturating_add(LONGEST_COOKIE_MS));
    meta.cookie_deadline_ms
}
