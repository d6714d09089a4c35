//! The sessions of another crate: each is a map and a time when it ends, and a record of ours.
//!
//! Each key of the map is an entry of the record, so that unchanged entries are copied as bytes, and changes of concurrent
//! requests can be merged. Invariants: entries under reserved names are ours, and a foreign key is never stored under one; a
//! foreign session ends at its absolute deadline, which only a save moves, and has no idle one.

use std::{cmp::Ordering, fmt};

use serde_core::Serialize;
use sessile_codec::{Entry, Meta, Patch, Record};

use super::{
    OwnerId,
    base::{Base, changes},
    values::{ANY_NAME, GROUP, Loaded, Values, check_key, key_of, sets, stored_name},
};
use crate::{
    Ack, Error, Store, expiry,
    owner::{NOBODY, OwnerHash},
    store::{Change, ForeignKind, Placed},
    token::{Handle, Key},
};

/// The sessions of one other crate in a store. Clones are the same sessions.
///
/// See the [module](super) for the guarantees and an example.
#[derive(Clone, Debug)]
pub struct Sessions {
    store: Store,
    kind: ForeignKind,
    /// Whether the application sets the owners.
    knows_owners: bool,
}

/// A session's key: a hash of its id and of the name of its crate. The id cannot be computed from it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionKey(pub(super) Key);

impl SessionKey {
    /// Returns the hash, for an export.
    ///
    /// # Examples
    /// ```
    /// use sessile::foreign::{ForeignKind, SessionKey, Sessions};
    ///
    /// let sessions = Sessions::new(sessile::testing::store(), ForeignKind::Poem);
    /// let key = sessions.key(b"an id");
    /// assert_eq!(SessionKey::from_bytes(key.to_bytes()), key);
    /// ```
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// Returns the key with this hash, from [`to_bytes`](Self::to_bytes).
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(..)")
    }
}

/// The new content of a session.
#[derive(Clone, Copy, Debug)]
pub struct New<'a> {
    /// All of its values.
    pub values: &'a Values,
    /// When it ends, in milliseconds since 1970.
    pub ends_ms: u64,
    /// The session's owner; `None` keeps the current one.
    pub owner: Option<OwnerId>,
}

impl New<'_> {
    pub(crate) fn owner(&self) -> Option<OwnerHash> {
        self.owner.map(|owner| owner.0)
    }
}

/// The result of a save.
#[derive(Debug)]
pub enum Saved {
    /// The session is stored: once this is ready, as durably as the store promises.
    Done(Ack),
    /// The session has ended, and nothing was saved.
    Ended,
}

/// The change to apply to the current record.
struct SavePlan {
    patch: Patch,
    ends_ms: u64,
}

impl Sessions {
    /// Returns the sessions of the crate `kind` in `store`.
    #[must_use]
    pub fn new(store: Store, kind: ForeignKind) -> Self {
        store.use_foreign(kind);
        Self { store, kind, knows_owners: false }
    }

    /// Returns the sessions for an application that sets owners, so that the owner in each [`New`] is known from now on.
    #[must_use]
    pub fn with_owners(self) -> Self {
        Self { knows_owners: true, ..self }
    }

    /// Runs `work`, which stores a session.
    fn storing<T>(&self, work: impl FnOnce() -> T) -> T {
        if self.knows_owners {
            return work();
        }
        // Before the session can be on disk; and again, in case an indexing of all sessions began before this one was stored.
        self.store.forget_owners(self.kind);
        let done = work();
        self.store.forget_owners(self.kind);
        done
    }

    /// Sets the owner of every session to the result of `owner_of`, unless that was done for `version` before. Returns the
    /// number of sessions whose owner changed. Blocks the thread, and reads every session.
    ///
    /// # Errors
    /// [`Error::Config`] without [`with_owners`](Self::with_owners); [`Error::Degraded`] and the like if the disk refuses.
    pub fn index_owners(&self, version: u32, owner_of: impl Fn(&Loaded) -> Option<OwnerId>) -> Result<u64, Error> {
        if !self.knows_owners {
            let detail = "`index_owners` needs a function that says whose a session is; give one with `owned_by` before";
            return Err(Error::Config { detail: detail.to_owned() });
        }
        if self.store.has_owners(self.kind, version) {
            return Ok(0);
        }
        self.store.begin_owners(self.kind, version);
        let owner_of = |record: &Record| owner_of(&Loaded(record.clone())).map(|owner| owner.0);
        let mut set = 0;
        self.store.scan(|key, record, _| -> Result<(), Error> {
            if self.kind.is_of(record.meta().flags) {
                set += u64::from(self.store.set_foreign_owner(key, owner_of)?.is_some());
            }
            Ok(())
        })?;
        self.store.end_owners(self.kind, version)?.wait()?;
        Ok(set)
    }

    /// Sets a missing owner of the session that was loaded from `key`, and returns the session.
    pub fn with_owner(&self, key: &SessionKey, loaded: Loaded, owner: Option<OwnerId>) -> Loaded {
        let owner = owner.map(|owner| owner.0).filter(|owner| *owner != NOBODY);
        if owner.is_none() || loaded.0.meta().owner != NOBODY {
            return loaded;
        }
        // If another request was faster, it did the same; and if the disk refuses, the next load tries again.
        let set = self.store.set_foreign_owner(&key.0, |current| owner.filter(|_| current.is_same(&loaded.0)));
        set.ok().flatten().map_or(loaded, Loaded)
    }

    /// Returns the store of these sessions.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Returns the time by which sessions end, in milliseconds since 1970: that of [`Store::now`].
    pub fn now_ms(&self) -> u64 {
        self.store.now_ms()
    }

    /// Returns the default lifetime of a session: [`Builder::idle_timeout`](crate::Builder::idle_timeout).
    pub fn default_life(&self) -> std::time::Duration {
        self.store.timeouts().idle
    }

    /// Returns the key of the session with the id `id`.
    pub fn key(&self, id: &[u8]) -> SessionKey {
        SessionKey(self.kind.key(id))
    }

    /// Converts `pairs` into the values of a session. The lengths of their keys are checked only where a value is set, so that
    /// a session stored under a higher limit can still be changed.
    ///
    /// # Errors
    /// [`Error::Codec`] if a value cannot be stored.
    pub fn values<'a, T: Serialize + ?Sized + 'a>(
        &self,
        pairs: impl IntoIterator<Item = (&'a str, &'a T)>,
    ) -> Result<Values, Error> {
        let (mut values, limits) = (Patch::new(), self.store.foreign_limits());
        for (key, value) in pairs {
            values.set(&stored_name(key), Entry::serde(value, limits)?, &ANY_NAME)?;
        }
        Ok(Values(values))
    }

    /// Returns the keys of the sessions that were stored [in `group`](Values::in_group). Reads every session.
    ///
    /// # Errors
    /// [`Error::Degraded`] and the like if the disk refuses.
    pub fn keys_in_group(&self, group: &str) -> Result<Vec<SessionKey>, Error> {
        let mut keys = Vec::new();
        self.store.scan(|key, record, _| -> Result<(), Error> {
            let is_in = record.get(GROUP).is_some_and(|name| name.get::<&str>().is_ok_and(|name| name == group));
            if is_in && self.kind.is_of(record.meta().flags) {
                keys.push(SessionKey(*key));
            }
            Ok(())
        })?;
        Ok(keys)
    }

    /// Returns an error if `patch` sets a key that is longer than allowed.
    pub(super) fn check_keys(&self, patch: &Patch) -> Result<(), Error> {
        let limit_bytes = self.store.foreign_limits().key_bytes;
        sets(patch).try_for_each(|(name, _)| check_key(key_of(name), limit_bytes))
    }

    /// Returns the session under `key`, and counts as a use of it; `None` if there is none, or it has expired.
    ///
    /// # Errors
    /// [`Error::Degraded`] and the like if the disk must be read and refuses.
    pub fn load(&self, key: &SessionKey) -> Result<Option<Loaded>, Error> {
        Ok(self.store.find_foreign(&key.0)?.map(Loaded))
    }

    /// Creates a session under `key`. `None`: there is one, or was one a moment ago; choose another id.
    ///
    /// # Errors
    /// [`Error::Codec`] for a value or key over a limit; [`Error::OwnerLimit`], [`Error::StoreFull`], [`Error::Degraded`] and
    /// the like.
    pub fn create(&self, key: &SessionKey, new: &New<'_>) -> Result<Option<Ack>, Error> {
        let key = &key.0;
        let create = || self.store.create_foreign(key, |revision| self.record(key, new, revision), self.store.durability());
        let ticket = self.storing(create)?;
        Ok(ticket.map(|ticket| Ack::new(ticket, ())))
    }

    /// Returns the record of `new` as a session that begins now.
    fn record(&self, key: &Key, new: &New<'_>, revision: u64) -> Result<Record, Error> {
        self.check_keys(&new.values.0)?;
        Ok(new.values.0.apply(None, key, &Meta { revision, ..self.meta(key, new) }, self.store.foreign_limits())?)
    }

    /// Returns the metadata of `new` as a session that begins now.
    pub(super) fn meta(&self, key: &Key, new: &New<'_>) -> Meta {
        let now_ms = self.store.now_ms();
        Meta {
            revision: 1,
            created_ms: now_ms,
            last_seen_ms: now_ms,
            idle_deadline_ms: u64::MAX,
            // Never 0: a lookup at the time 0 finds any session, expired or not.
            absolute_deadline_ms: new.ends_ms.max(1),
            owner: new.owner().unwrap_or(NOBODY),
            handle: Handle::first(key).bits(),
            authenticated_ms: if new.owner().is_some_and(|owner| owner != NOBODY) { now_ms } else { 0 },
            flags: self.kind.mark(0),
            ..Meta::default()
        }
    }

    /// Saves `new` under `key`. Values that are the same in `base` and `new` keep what others stored since. Without a base, the
    /// session becomes exactly `new`.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn save(&self, key: &SessionKey, new: &New<'_>, base: Option<&Base>) -> Result<Saved, Error> {
        let plan = |current: &Record| Ok(SavePlan { patch: changes(&new.values.0, base, current)?, ends_ms: new.ends_ms });
        self.storing(|| self.commit(&key.0, new.owner(), plan))
    }

    /// Saves as [`save`](Self::save) or, if no session is under `key` and none was ended there lately, creates as
    /// [`create`](Self::create): for traits with one call for both. An expired session is replaced.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn put(&self, key: &SessionKey, new: &New<'_>) -> Result<Saved, Error> {
        loop {
            let record = |revision| self.record(&key.0, new, revision);
            let put = || self.store.put_foreign(&key.0, record, self.store.durability());
            match self.storing(put)? {
                Placed::Done(ticket) => return Ok(Saved::Done(Ack::new(ticket, ()))),
                Placed::Ended => return Ok(Saved::Ended),
                Placed::Taken => {}
            }
            // It was there a moment ago. If it is gone, the reason decides whether another may begin.
            if let Saved::Done(ack) = self.save(key, new, None)? {
                return Ok(Saved::Done(ack));
            }
        }
    }

    /// Moves the end of the session under `key`, to a time in milliseconds since 1970. A later end is written when a tenth of
    /// the session's time has passed since the last write.
    ///
    /// # Errors
    /// [`Error::Degraded`] and the like, for an earlier end.
    pub fn touch(&self, key: &SessionKey, ends_ms: u64) -> Result<Saved, Error> {
        self.commit(&key.0, None, |_| Ok(SavePlan { patch: Patch::new(), ends_ms }))
    }

    /// Ends the session under `key`, durably. `false`: it was over before.
    pub fn delete(&self, key: &SessionKey) -> Ack<bool> {
        // Whether or not a session is there: the request that creates it may be late.
        self.store.note_foreign_end(&key.0);
        match self.store.destroy(&key.0) {
            Ok(Some(ticket)) => Ack::new(ticket, true),
            Ok(None) => Ack::settled(Ok(false)),
            Err(error) => Ack::settled(Err(error)),
        }
    }

    fn commit(
        &self,
        key: &Key,
        owner: Option<OwnerHash>,
        plan: impl Fn(&Record) -> Result<SavePlan, Error>,
    ) -> Result<Saved, Error> {
        let now_ms = self.store.now_ms();
        let committed = self.store.change_foreign(key, |current| {
            let SavePlan { patch, ends_ms } = plan(current)?;
            let before = current.meta();
            let mut meta = Meta { absolute_deadline_ms: ends_ms.max(1), flags: self.kind.mark(before.flags), ..before };
            if patch.is_empty() && owner.is_none_or(|owner| owner == before.owner) {
                return Ok(self.moved(key, current, &meta, now_ms));
            }
            self.check_keys(&patch)?;
            meta = expiry::touched(&meta, now_ms);
            if let Some(owner) = owner.filter(|owner| *owner != meta.owner) {
                meta.owner = owner;
                meta.authenticated_ms = if owner == NOBODY { 0 } else { now_ms };
            }
            meta.revision += 1;
            let record = patch.apply(Some(current), key, &meta, self.store.foreign_limits())?;
            Ok(Change::Commit { record, durability: self.store.durability() })
        })?;
        Ok(committed.map_or(Saved::Ended, |ticket| Saved::Done(Ack::new(ticket, ()))))
    }

    /// Returns the change for a session of which only the end moves, to `meta`.
    fn moved(&self, key: &Key, current: &Record, meta: &Meta, now_ms: u64) -> Change {
        let before = current.meta();
        let (ends_ms, unwritten_ms) = (meta.absolute_deadline_ms, now_ms.saturating_sub(before.last_seen_ms));
        let is_due = unwritten_ms >= (ends_ms.saturating_sub(now_ms) / 10).max(1);
        match ends_ms.cmp(&before.absolute_deadline_ms) {
            Ordering::Equal => Change::Nothing,
            // An earlier end is a decision, not a use: a crash must not undo it.
            Ordering::Less => {
                let record = current.with_meta(key, &expiry::touched(meta, now_ms));
                Change::Commit { record, durability: self.store.durability() }
            }
            Ordering::Greater => Change::Touch {
                // With the last use from the file, so that the next touch is due in time.
                record: current.with_meta(key, meta),
                due: is_due.then(|| current.with_meta(key, &expiry::touched(meta, now_ms))),
            },
        }
    }
}

#[cfg(all(test, feature = "test-util"))]
mod tests;
