//! What one request knows of its session, and has changed.
//!
//! Invariants: `patch` holds the result of every change to the record that was loaded. `updates` holds how to recompute it for
//! another record. One value says where the session is.

use std::{mem, thread::ThreadId, time::Duration};

use sessile_codec::{Entry, EntryRef, Limits, Meta, Patch, Record};

#[cfg(feature = "sealed")]
use super::SealedSession;
use super::{
    Bound, SessionKind,
    cookie_update::CookieUpdate,
    updates::{Recompute, Updates},
};
use crate::{
    Durability, Error, Handle, Owner, Tier, Token,
    owner::{self, NOBODY, OwnerHash},
    store::{Found, NewKey},
    token::Key,
};

/// The most bytes that an entry adds to a record beyond its key and value: 28 for its row, 15 to align the value, 8 for a model's
/// fingerprint, and some spare.
const MOST_ENTRY_OVERHEAD_BYTES: usize = 64;
/// The most bytes of a record without entries: its header of 96, and an empty list.
const MOST_EMPTY_BYTES: usize = 128;

/// One request's state.
pub(crate) struct State {
    pub(super) kind: SessionKind,
    pub(super) phase: Phase,
    pub(super) tier: Option<Tier>,
    pub(super) changes: Changes,
    /// The durability of this request's commits, if it is not the store's.
    pub(super) durability: Option<Durability>,
    pub(super) update: CookieUpdate,
    /// The thread that runs updates again for a commit: see [`Session::commit`](super::Session::commit).
    pub(super) recomputed_by: Option<ThreadId>,
    /// The response's headers were sent: a client that does not have the token yet never gets it.
    pub(super) answered: bool,
    /// The live sessions that an ambiguous request presents. It uses none of them.
    pub(super) rivals: Box<[Rival]>,
    /// Whether the next commit ends them.
    pub(super) ends_rivals: bool,
    /// Whether the browser may have withheld the cookie of a session unknown to this request.
    pub(super) is_withheld: bool,
    /// The session that the request presents without a proof of its device, and may not use.
    #[cfg(feature = "device-bound")]
    pub(super) unproved: Option<Handle>,
    /// How long ago the client proved that it has the device's key, in seconds, when the request came.
    #[cfg(feature = "device-bound")]
    pub(super) proof_age_s: Option<u32>,
}

/// A live session that the client presents beside others.
pub(crate) enum Rival {
    Stored(Key),
    #[cfg(feature = "sealed")]
    Sealed(SealedSession),
}

/// What a request knows of its session.
pub(super) enum Phase {
    /// There is none. The first value creates one.
    New,
    Live(Location),
    /// This request ends it at commit. Later values are for a new session.
    Doomed(Location),
    /// It ended while this request ran. This request's values are dropped: the cookie of a new session could replace the token
    /// of a visitor who has just signed in.
    Ended(Handle),
}

/// Where a session is.
pub(super) enum Location {
    Store(Stored),
    /// Sealed in the client's cookie, and not in the store.
    #[cfg(feature = "sealed")]
    Cookie(SealedSession),
}

impl Location {
    fn record(&self) -> &Record {
        match self {
            Self::Store(stored) => &stored.record,
            #[cfg(feature = "sealed")]
            Self::Cookie(sealed) => &sealed.record,
        }
    }
}

/// A session in the store.
pub(super) struct Stored {
    pub(super) token: Token,
    pub(super) key: Key,
    pub(super) record: Record,
    pub(super) seen_ms: u64,
    /// Whether `token` has been replaced since the client got it. The response to the request that replaced it sends the new
    /// one.
    pub(super) is_old: bool,
}

/// What the next commit changes.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) patch: Patch,
    pub(super) updates: Updates,
    /// Prefixes of keys: every value under them that this request did not set itself is removed, whichever request set it.
    pub(super) cleared: Vec<Box<str>>,
    /// Whether any of the changes is not quick.
    pub(super) beyond_quick: bool,
    pub(super) new_key: NewKey,
    pub(super) owner: OwnerChange,
    /// Whether the cookie is to outlast the browser, if this request sets it.
    pub(super) lasts: Option<bool>,
    pub(super) idle: Option<Duration>,
    pub(super) absolute: Option<Duration>,
    /// Models of older versions that were read, in this build's version. Stored with any change, but not a change themselves.
    pub(super) migrated: Vec<(Box<str>, Entry)>,
}

/// The change of a session's owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum OwnerChange {
    #[default]
    Keep,
    /// This owner signs in.
    SignIn(OwnerHash),
    /// The session continues without an owner.
    Unbind,
}

impl OwnerChange {
    /// The owner that a commit sets.
    pub(super) fn asked(self) -> Option<OwnerHash> {
        match self {
            Self::Keep => None,
            Self::SignIn(owner) => Some(owner),
            Self::Unbind => Some(NOBODY),
        }
    }
}

impl Changes {
    /// Drops all changes.
    pub(super) fn give_up(&mut self) {
        *self = Self { updates: self.updates.emptied(), ..Self::default() };
    }

    /// Whether nothing changes, except perhaps the token.
    pub(super) fn is_empty(&self) -> bool {
        let is_patch_empty = self.patch.is_empty() && self.cleared.is_empty();
        is_patch_empty && self.meta_is_kept()
    }

    /// Whether the values that other requests set under `key` are removed.
    pub(super) fn is_cleared(&self, key: &str) -> bool {
        self.cleared.iter().any(|prefix| key.starts_with(&**prefix))
    }

    /// Whether there is nothing to commit.
    pub(super) fn are_none(&self) -> bool {
        self.is_empty() && self.new_key == NewKey::Keep
    }

    /// Whether there is something for which a session is created.
    pub(super) fn have_content(&self) -> bool {
        self.patch.keys().any(|(_, is_set)| is_set) || self.sign_in()
    }

    /// Whether an owner signs in: then, if this session has ended, the commit succeeds in a new one.
    pub(super) fn sign_in(&self) -> bool {
        matches!(self.owner, OwnerChange::SignIn(_))
    }

    /// Whether the application set a value that a crash may not undo.
    pub(super) fn set_values(&self) -> bool {
        self.beyond_quick && self.patch.keys().any(|(key, is_set)| is_set && super::check_key(key).is_ok())
    }

    /// Whether a crash may undo all changes.
    pub(super) fn are_quick(&self) -> bool {
        !self.beyond_quick && self.meta_is_kept()
    }

    /// Whether the metadata stays as it is.
    fn meta_is_kept(&self) -> bool {
        self.owner == OwnerChange::Keep && self.lasts.is_none() && self.idle.is_none() && self.absolute.is_none()
    }
}

impl State {
    pub(super) fn new(kind: SessionKind, found: Option<(Token, Found)>) -> Self {
        Self::among(kind, found, Box::default())
    }

    /// Returns the state of a request that presents no session.
    pub(super) fn without(kind: SessionKind, is_withheld: bool) -> Self {
        Self { is_withheld, ..Self::new(kind, None) }
    }

    /// Returns the state of an ambiguous request, which presents `rivals`, or of any other, which has none.
    pub(super) fn among(kind: SessionKind, found: Option<(Token, Found)>, rivals: Box<[Rival]>) -> Self {
        let tier = found.as_ref().map(|(_, found)| found.tier);
        let phase = found.map_or(Phase::New, |(token, Found { key, record, seen_ms, is_old, .. })| {
            Phase::Live(Location::Store(Stored { token, key, record, seen_ms, is_old }))
        });
        Self {
            kind,
            phase,
            tier,
            changes: Changes::default(),
            durability: None,
            update: CookieUpdate::Nothing,
            recomputed_by: None,
            answered: false,
            rivals,
            ends_rivals: false,
            is_withheld: false,
            #[cfg(feature = "device-bound")]
            unproved: None,
            #[cfg(feature = "device-bound")]
            proof_age_s: None,
        }
    }

    /// Returns the value under `key`, borrowed, for immediate use.
    pub(super) fn get_ref(&self, key: &str) -> Option<EntryRef<'_>> {
        match self.changes.patch.get(key) {
            Some(changed) => changed.map(Entry::as_ref),
            None => self.record()?.get(key),
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<Entry> {
        match self.changes.patch.get(key) {
            Some(changed) => changed.cloned(),
            None => self.record()?.entry(key),
        }
    }

    /// Returns what the value under `key`, a model of an older version, was migrated to in this request.
    pub(super) fn migrated(&self, key: &str) -> Option<Entry> {
        let is_unchanged = self.changes.patch.get(key).is_none();
        self.changes.migrated.iter().find(|(known, _)| is_unchanged && **known == *key).map(|(_, migrated)| migrated.clone())
    }

    /// Returns the session's record, if it has the current value under `key`.
    pub(super) fn unchanged(&self, key: &str) -> Option<Record> {
        self.changes.patch.get(key).is_none().then(|| self.record().cloned()).flatten()
    }

    pub(super) fn keys(&self) -> Vec<String> {
        let untouched = self.record().into_iter().flat_map(Record::iter).map(|(key, _)| key);
        let untouched = untouched.filter(|key| self.changes.patch.get(key).is_none());
        let set = self.changes.patch.keys().filter(|(_, is_set)| *is_set).map(|(key, _)| key);
        let mut keys: Vec<_> = untouched.chain(set).map(str::to_owned).collect();
        keys.sort_unstable();
        keys
    }

    /// Keeps `migrated`, made from `read`, a model of an older version under `key`, unless the value has changed since.
    pub(super) fn note_migrated(&mut self, key: &str, read: &Entry, migrated: Entry) {
        let is_current = self.get_ref(key).is_some_and(|entry| is_same(entry, read.as_ref()));
        if is_current && self.changes.migrated.iter().all(|(known, _)| **known != *key) {
            self.changes.migrated.push((key.into(), migrated));
        }
    }

    pub(super) fn set(&mut self, key: &str, entry: Entry, limits: &Limits) -> Result<(), Error> {
        self.set_quick(key, entry, limits)?;
        self.changes.beyond_quick = true;
        Ok(())
    }

    pub(super) fn set_quick(&mut self, key: &str, entry: Entry, limits: &Limits) -> Result<(), Error> {
        self.check_room(key, &entry, limits)?;
        self.changes.patch.set(key, entry, limits)?;
        self.changes.updates.forget(|updated| updated == key);
        Ok(())
    }

    pub(super) fn remove(&mut self, key: &str) -> bool {
        self.changes.beyond_quick = true;
        self.remove_quick(key)
    }

    pub(super) fn remove_quick(&mut self, key: &str) -> bool {
        let was_there = self.get_ref(key).is_some();
        // Even if there is none: another request may be about to set it, and this one removes it.
        self.changes.patch.remove(key);
        self.changes.updates.forget(|updated| updated == key);
        was_there
    }

    pub(super) fn clear(&mut self) {
        // The session keeps its owner, the label that its owner knows, and the device that it is bound to.
        let kept = [
            crate::label::KEY,
            owner::KEY,
            #[cfg(feature = "device-bound")]
            super::reserved::device::KEY,
        ];
        let kept = kept.map(|key| (key, self.get(key)));
        self.changes.patch.clear();
        self.changes.updates.forget(|_| true);
        self.changes.cleared.clear();
        self.changes.beyond_quick = true;
        for (key, entry) in kept {
            if let Some(entry) = entry {
                self.changes.patch.set(key, entry, &Limits::UNLIMITED).expect("the key is within every limit");
            }
        }
    }

    /// Removes every value whose key begins with `prefix`.
    pub(super) fn clear_prefix(&mut self, prefix: &str) {
        for key in self.keys().iter().filter(|key| key.starts_with(prefix)) {
            self.changes.patch.remove(key);
        }
        self.changes.updates.forget(|updated| updated.starts_with(prefix));
        self.changes.beyond_quick = true;
        if !self.changes.patch.is_cleared() && !self.changes.is_cleared(prefix) {
            self.changes.cleared.push(prefix.into());
        }
    }

    /// Sets `new`, which `again` computed from the previous value. Keeps `again` for a value that another request may write.
    pub(super) fn update(&mut self, key: &str, new: Option<Entry>, again: Recompute, limits: &Limits) -> Result<(), Error> {
        // A value that this request set by itself does not depend on other requests' values.
        let depends = (self.changes.patch.get(key).is_none() && !self.changes.is_cleared(key)) || self.changes.updates.has(key);
        match new {
            Some(entry) => {
                self.check_room(key, &entry, limits)?;
                self.changes.patch.set(key, entry, limits)?;
            }
            None => self.changes.patch.remove(key),
        }
        self.changes.beyond_quick = true;
        if depends {
            self.changes.updates.push(key, again);
        }
        Ok(())
    }

    /// Whether the record stays within its limits. Checked here so that the handler gets the error, not the layer at each later
    /// commit.
    fn check_room(&self, key: &str, entry: &Entry, limits: &Limits) -> Result<(), Error> {
        // First an upper bound: the record is only built near a limit.
        let len = |key: &str, entry: &Entry| key.len() + entry.as_ref().bytes().len() + MOST_ENTRY_OVERHEAD_BYTES;
        let others = self.changes.patch.keys().filter(|(other, _)| *other != key);
        let others_bytes: usize = others.filter_map(|(key, _)| Some(len(key, self.changes.patch.get(key)??))).sum();
        let loaded_bytes = self.record().map_or(MOST_EMPTY_BYTES, |record| record.bytes().len());
        let most_bytes = loaded_bytes + others_bytes + len(key, entry);
        let most_keys = self.record().map_or(0, Record::len) + self.changes.patch.keys().count() + 1;
        if most_bytes <= limits.record_bytes && most_keys <= limits.keys {
            return Ok(());
        }
        let mut trial = self.changes.patch.clone();
        trial.set(key, entry.clone(), limits)?;
        trial.apply(self.record(), &[0; 16], &Meta::default(), limits)?;
        Ok(())
    }

    pub(super) fn rotate(&mut self) {
        self.changes.new_key = NewKey::Rotate;
    }

    pub(super) fn rotate_with_grace(&mut self) {
        // A sealed session cannot be found by its old cookie for a grace only: the cookie is the session.
        #[cfg(feature = "sealed")]
        if self.sealed().is_some() {
            return self.rotate();
        }
        // If the request's token has been replaced, the client gets a new one already. A session that is being rotated needs no
        // more.
        if self.changes.new_key == NewKey::Keep && self.stored().is_some_and(|stored| !stored.is_old) {
            self.changes.new_key = NewKey::RotateWithGrace;
        }
    }

    pub(super) fn client(&self) -> Bound {
        self.kind.client
    }

    pub(super) fn will_rotate(&self) -> bool {
        self.changes.new_key == NewKey::Rotate
    }

    pub(super) fn destroy(&mut self) {
        self.phase = match mem::replace(&mut self.phase, Phase::New) {
            Phase::Live(place) | Phase::Doomed(place) => Phase::Doomed(place),
            other @ (Phase::New | Phase::Ended(_)) => other,
        };
        self.changes.give_up();
        self.ends_rivals = !self.rivals.is_empty();
    }

    /// The session belongs to `owner` from the next commit on, under a new token.
    pub(super) fn sign_in(&mut self, owner: &Owner, limits: &Limits) -> Result<(), Error> {
        self.set(owner::KEY, owner.entry(limits)?, limits)?;
        self.changes.owner = OwnerChange::SignIn(owner.hash());
        self.rotate();
        Ok(())
    }

    /// The session has no owner from the next commit on, and gets a new token.
    pub(super) fn unbind_owner(&mut self) {
        self.remove(owner::KEY);
        self.changes.owner = OwnerChange::Unbind;
        self.rotate();
    }

    /// Returns the session's owner, changes of this request included.
    pub(super) fn owner(&self) -> Option<Owner> {
        Owner::of_entry(&self.get(owner::KEY)?)
    }

    pub(super) fn set_idle_timeout(&mut self, timeout: Duration) {
        self.changes.idle = Some(timeout);
    }

    pub(super) fn set_absolute_timeout(&mut self, timeout: Duration) {
        self.changes.absolute = Some(timeout);
    }

    pub(super) fn set_durability(&mut self, durability: Durability) {
        self.durability = Some(durability);
    }

    pub(super) fn key(&self) -> Option<Key> {
        self.stored().map(|stored| stored.key)
    }

    pub(super) fn remember(&mut self, lasts: bool) {
        self.changes.lasts = Some(lasts);
    }

    pub(super) fn token(&self) -> Option<Token> {
        self.stored().map(|stored| stored.token)
    }

    /// Returns random bytes that belong to this session, and that only its holder knows.
    pub(super) fn seed(&self) -> Option<[u8; 16]> {
        #[cfg(feature = "sealed")]
        if let Some(sealed) = self.sealed() {
            return Some(sealed.key);
        }
        self.token().map(|token| *token.random())
    }

    pub(super) fn handle(&self) -> Option<Handle> {
        self.record().map(|record| Handle::of(&record.meta()))
    }

    pub(super) fn tier(&self) -> Option<Tier> {
        self.tier
    }

    /// Returns the session as it was loaded or last saved; `None` if this request ends it.
    pub(super) fn record(&self) -> Option<&Record> {
        match &self.phase {
            Phase::Live(place) => Some(place.record()),
            Phase::New | Phase::Doomed(_) | Phase::Ended(_) => None,
        }
    }

    pub(super) fn stored(&self) -> Option<&Stored> {
        match &self.phase {
            Phase::Live(Location::Store(stored)) => Some(stored),
            #[cfg(feature = "sealed")]
            Phase::Live(Location::Cookie(_)) => None,
            Phase::New | Phase::Doomed(_) | Phase::Ended(_) => None,
        }
    }

    #[cfg(feature = "sealed")]
    pub(super) fn sealed(&self) -> Option<&SealedSession> {
        match &self.phase {
            Phase::Live(Location::Cookie(sealed)) => Some(sealed),
            Phase::New | Phase::Live(Location::Store(_)) | Phase::Doomed(_) | Phase::Ended(_) => None,
        }
    }
}

/// Whether two entries have the same value and the same end.
pub(super) fn is_same(one: EntryRef<'_>, other: EntryRef<'_>) -> bool {
    (one.lane(), one.until_ms()) == (other.lane(), other.until_ms()) && one.bytes() == other.bytes()
}
