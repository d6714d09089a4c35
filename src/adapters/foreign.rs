//! A session of another crate, which is a map and a moment when it ends, as a record of ours.
//!
//! Each key of the map is an entry of the record: what did not change is copied as bytes, and what several requests changed can be
//! merged. Invariants: entries under reserved names are ours, and a foreign key is never stored under one; a foreign session ends at
//! its absolute deadline, which only a save moves, and has no idle one.

use std::{borrow::Cow, cmp::Ordering, collections::HashMap};

use serde_core::{Serialize, de::DeserializeOwned};
use sessile_codec::{Entry, EntryRef, Limits, Meta, Patch, Record};

use crate::{
    Ack, CodecError, Error, Store, expiry,
    owner::{NOBODY, OwnerHash},
    store::{Change, ForeignKind, Placed},
    token::{Handle, Key},
};

/// The sessions of one other crate.
#[derive(Clone, Debug)]
pub(crate) struct Foreign {
    store: Store,
    kind: ForeignKind,
    /// Whether the application says whose a session is.
    knows_owners: bool,
}

/// What a session is to become.
pub(crate) struct New<'a> {
    /// All of its values.
    pub(crate) values: &'a Patch,
    pub(crate) ends_ms: u64,
    /// Whose it is; all zero for nobody's, `None` for whose it was.
    pub(crate) owner: Option<OwnerHash>,
}

/// What a save came to.
pub(crate) enum Saved {
    Done(Ack),
    /// The session has ended, and what was saved is nowhere.
    Ended,
}

/// What becomes of the record that is current.
struct Plan {
    patch: Patch,
    ends_ms: u64,
}

/// Names that begin so are this crate's.
const RESERVED: &str = "sessile.";
/// Stands before a foreign key that is empty, reserved, or begins with it.
const ESCAPE: char = '\0';
/// How long a name may be, [`Foreign::check_keys`] says.
const ANY_NAME: Limits = Limits { key_bytes: usize::MAX, ..Limits::UNLIMITED };

impl Foreign {
    pub(crate) fn new(store: Store, kind: ForeignKind) -> Self {
        store.use_foreign(kind);
        Self { store, kind, knows_owners: false }
    }

    /// The same for an application that says whose a session is.
    pub(crate) fn with_owners(self) -> Self {
        Self { knows_owners: true, ..self }
    }

    /// Does `work`, which stores a session.
    fn storing<T>(&self, work: impl FnOnce() -> T) -> T {
        if self.knows_owners {
            return work();
        }
        // Before the session can be on disk; and again, if all sessions began to be gone through before this one was there.
        self.store.forget_owners(self.kind);
        let done = work();
        self.store.forget_owners(self.kind);
        done
    }

    /// Sets the owner of every session to what `owner_of` says of its record, unless that was done for `version` before. Returns how
    /// many had another one.
    pub(crate) fn index_owners(&self, version: u32, owner_of: impl Fn(&Record) -> Option<OwnerHash>) -> Result<u64, Error> {
        if !self.knows_owners {
            let detail = "`index_owners` needs a function that says whose a session is; give one with `owned_by` before";
            return Err(Error::Config { detail: detail.to_owned() });
        }
        if self.store.has_owners(self.kind, version) {
            return Ok(0);
        }
        self.store.begin_owners(self.kind, version);
        let mut set = 0;
        self.store.scan(|key, record, _| {
            if self.kind.is_of(record.meta().flags) {
                set += u64::from(self.store.set_foreign_owner(key, &owner_of)?.is_some());
            }
            Ok(())
        })?;
        self.store.end_owners(self.kind, version)?.wait()?;
        Ok(set)
    }

    /// The record that was loaded from `key`, with its owner, if that was missing.
    pub(crate) fn with_owner(&self, key: &Key, record: Record, owner: Option<OwnerHash>) -> Record {
        let is_missing = record.meta().owner == NOBODY && owner.is_some_and(|owner| owner != NOBODY);
        if !is_missing {
            return record;
        }
        // If another request was faster, it did the same; and if the disk refuses, the next load tries again.
        let set = self.store.set_foreign_owner(key, |current| owner.filter(|_| current.is_same(&record)));
        set.ok().flatten().unwrap_or(record)
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.store.now_ms()
    }

    pub(crate) fn key(&self, id: &[u8]) -> Key {
        self.kind.key(id)
    }

    /// What `pairs` are as the values of a session. The lengths of their keys are checked where a value is set, so that a session
    /// stored under a higher limit can still be changed.
    pub(crate) fn values<'a, T: Serialize + 'a>(
        &self,
        pairs: impl IntoIterator<Item = (&'a String, &'a T)>,
    ) -> Result<Patch, Error> {
        let (mut values, limits) = (Patch::new(), self.store.foreign_limits());
        for (key, value) in pairs {
            values.set(&stored_name(key), Entry::serde(value, limits)?, &ANY_NAME)?;
        }
        Ok(values)
    }

    /// Refuses `patch` if it sets a key that is longer than allowed.
    pub(crate) fn check_keys(&self, patch: &Patch) -> Result<(), Error> {
        let limit_bytes = self.store.foreign_limits().key_bytes;
        sets(patch).try_for_each(|(name, _)| check_key(key_of(name), limit_bytes))
    }

    /// The record under `key`, which was used now.
    pub(crate) fn load(&self, key: &Key) -> Result<Option<Record>, Error> {
        self.store.find_foreign(key)
    }

    /// Makes a session under `key`. `None`: there is or was one.
    pub(crate) fn create(&self, key: &Key, new: &New<'_>) -> Result<Option<Ack>, Error> {
        let create = || self.store.create_foreign(key, |revision| self.record(key, new, revision), self.store.durability());
        let ticket = self.storing(create)?;
        Ok(ticket.map(|ticket| Ack::new(ticket, ())))
    }

    /// What `new` says as the record of a session that begins now.
    fn record(&self, key: &Key, new: &New<'_>, revision: u64) -> Result<Record, Error> {
        self.check_keys(new.values)?;
        Ok(new.values.apply(None, key, &Meta { revision, ..self.meta(key, new) }, self.store.foreign_limits())?)
    }

    /// What `new` says as the meta data of a session that begins now.
    pub(crate) fn meta(&self, key: &Key, new: &New<'_>) -> Meta {
        let now_ms = self.store.now_ms();
        Meta {
            revision: 1,
            created_ms: now_ms,
            last_seen_ms: now_ms,
            idle_deadline_ms: u64::MAX,
            // At the time 0, which a look at whatever is there has, it must not be over.
            absolute_deadline_ms: new.ends_ms.max(1),
            owner: new.owner.unwrap_or(NOBODY),
            handle: Handle::first(key).bits(),
            authenticated_ms: if new.owner.is_some_and(|owner| owner != NOBODY) { now_ms } else { 0 },
            flags: self.kind.mark(0),
            ..Meta::default()
        }
    }

    /// Makes the session under `key` what `new` says; what has the same value as in `base` is left as others made it since.
    pub(crate) fn save(&self, key: &Key, new: &New<'_>, base: Option<&Base>) -> Result<Saved, Error> {
        let plan = |current: &Record| Ok(Plan { patch: changes(new.values, base, current)?, ends_ms: new.ends_ms });
        self.storing(|| self.commit(key, new.owner, plan))
    }

    /// As [`save`](Self::save) or, if no session is under `key` and none was ended there lately, as [`create`](Self::create): for
    /// traits that have one call for both. A session whose time is over is replaced.
    pub(crate) fn put(&self, key: &Key, new: &New<'_>) -> Result<Saved, Error> {
        loop {
            let put = || self.store.put_foreign(key, |revision| self.record(key, new, revision), self.store.durability());
            match self.storing(put)? {
                Placed::Done(ticket) => return Ok(Saved::Done(Ack::new(ticket, ()))),
                Placed::Ended => return Ok(Saved::Ended),
                Placed::Taken => {}
            }
            // It was there a moment ago. If it is no more, why decides whether another may begin.
            if let Saved::Done(ack) = self.save(key, new, None)? {
                return Ok(Saved::Done(ack));
            }
        }
    }

    /// Moves the end of the session under `key`.
    pub(crate) fn touch(&self, key: &Key, ends_ms: u64) -> Result<Saved, Error> {
        self.commit(key, None, |_| Ok(Plan { patch: Patch::new(), ends_ms }))
    }

    /// Ends the session under `key`, durably. `false`: it was over before.
    pub(crate) fn delete(&self, key: &Key) -> Ack<bool> {
        // Whether or not a session is there: the request that creates it may be late.
        self.store.note_foreign_end(key);
        match self.store.destroy(key) {
            Ok(Some(ticket)) => Ack::new(ticket, true),
            Ok(None) => Ack::settled(Ok(false)),
            Err(error) => Ack::settled(Err(error)),
        }
    }

    fn commit(
        &self,
        key: &Key,
        owner: Option<OwnerHash>,
        plan: impl Fn(&Record) -> Result<Plan, Error>,
    ) -> Result<Saved, Error> {
        let now_ms = self.store.now_ms();
        let committed = self.store.change_foreign(key, |current| {
            let Plan { patch, ends_ms } = plan(current)?;
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

    /// The change of a session whose end alone moves, to what `meta` says.
    fn moved(&self, key: &Key, current: &Record, meta: &Meta, now_ms: u64) -> Change {
        let before = current.meta();
        let (ends_ms, unwritten_ms) = (meta.absolute_deadline_ms, now_ms.saturating_sub(before.last_seen_ms));
        let is_due = unwritten_ms >= (ends_ms.saturating_sub(now_ms) / 10).max(1);
        match ends_ms.cmp(&before.absolute_deadline_ms) {
            Ordering::Equal => Change::Nothing,
            // It is a decision, not a use: a crash must not undo it.
            Ordering::Less => {
                let record = current.with_meta(key, &expiry::touched(meta, now_ms));
                Change::Commit { record, durability: self.store.durability() }
            }
            Ordering::Greater => Change::Touch {
                // With the last use as the file knows it, so that the next touch is due in time.
                record: current.with_meta(key, meta),
                due: is_due.then(|| current.with_meta(key, &expiry::touched(meta, now_ms))),
            },
        }
    }
}

/// What makes `current` the same as `values`, but for what a request that began with `base` did not change.
fn changes(values: &Patch, base: Option<&Base>, current: &Record) -> Result<Patch, Error> {
    let mut patch = Patch::new();
    for (name, value) in sets(values) {
        let is_theirs = base.is_some_and(|base| same(base.get(name), Some(value.as_ref())));
        if !is_theirs && !same(current.get(name), Some(value.as_ref())) {
            patch.set(name, value.clone(), &ANY_NAME)?;
        }
    }
    let mut remove = |name: &str| {
        if values.get(name).is_none() && current.contains_key(name) {
            patch.remove(name);
        }
    };
    match base {
        Some(base) => base.names().for_each(&mut remove),
        None => current.iter().map(|(name, _)| name).filter(|name| !name.starts_with(RESERVED)).for_each(&mut remove),
    }
    Ok(patch)
}

/// What a session was when a request got to know it.
#[derive(Debug)]
pub(crate) enum Base {
    /// This record, which was loaded.
    Record(Record),
    /// What the request itself stored.
    Stored { values: Patch, owner: OwnerHash },
}

impl Base {
    pub(crate) fn owner(&self) -> OwnerHash {
        match self {
            Self::Record(record) => record.meta().owner,
            Self::Stored { owner, .. } => *owner,
        }
    }

    pub(crate) fn len_bytes(&self) -> usize {
        match self {
            Self::Record(record) => record.bytes().len(),
            Self::Stored { values, .. } => sets(values).map(|(name, value)| name.len() + value.as_ref().bytes().len()).sum(),
        }
    }

    fn get(&self, name: &str) -> Option<EntryRef<'_>> {
        match self {
            Self::Record(record) => record.get(name),
            Self::Stored { values, .. } => values.get(name)?.map(Entry::as_ref),
        }
    }

    /// Whether `new` is the same: then a save of it has nothing to store.
    pub(crate) fn is_same(&self, new: &New<'_>) -> bool {
        let mut values = sets(new.values);
        self.names().count() == new.values.keys().count()
            && new.owner.is_none_or(|owner| owner == self.owner())
            && values.all(|(name, value)| same(self.get(name), Some(value.as_ref())))
    }

    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match self {
            Self::Record(record) => Box::new(record.iter().map(|(name, _)| name).filter(|name| !name.starts_with(RESERVED))),
            Self::Stored { values, .. } => Box::new(values.keys().map(|(name, _)| name)),
        }
    }
}

/// The values in `record`, with their keys.
pub(crate) fn decode<T: DeserializeOwned>(record: &Record) -> impl Iterator<Item = Result<(String, T), Error>> {
    let foreign = record.iter().filter(|(name, _)| !name.starts_with(RESERVED));
    foreign.map(|(name, value)| Ok((key_of(name).to_owned(), value.get()?)))
}

/// The same as a map, which has its room from the beginning: as it grew, all that is in it would be hashed anew several times.
pub(crate) fn decode_map<T: DeserializeOwned>(record: &Record) -> Result<HashMap<String, T>, Error> {
    let mut values = HashMap::with_capacity(record.len());
    for value in decode(record) {
        let (key, value) = value?;
        values.insert(key, value);
    }
    Ok(values)
}

/// The moment at which the session of `record` ends.
pub(crate) fn ends_ms(record: &Record) -> u64 {
    record.meta().absolute_deadline_ms
}

/// A length of time as milliseconds; a negative one is none.
pub(crate) fn lifetime_ms(ms: i128) -> u64 {
    u64::try_from(ms.max(0)).unwrap_or(u64::MAX)
}

/// The name of the entry for a key of the other crate.
fn stored_name(key: &str) -> Cow<'_, str> {
    if key.is_empty() || key.starts_with(ESCAPE) || key.starts_with(RESERVED) {
        Cow::Owned(format!("{ESCAPE}{key}"))
    } else {
        Cow::Borrowed(key)
    }
}

/// The key of the other crate that is stored under `name`.
pub(crate) fn key_of(name: &str) -> &str {
    name.strip_prefix(ESCAPE).unwrap_or(name)
}

pub(crate) fn check_key(key: &str, limit_bytes: usize) -> Result<(), Error> {
    if key.len() > limit_bytes {
        return Err(CodecError::BadKey { found_bytes: key.len(), limit_bytes }.into());
    }
    Ok(())
}

fn sets(values: &Patch) -> impl Iterator<Item = (&str, &Entry)> {
    values.keys().filter_map(|(name, _)| Some((name, values.get(name)??)))
}

fn same(one: Option<EntryRef<'_>>, other: Option<EntryRef<'_>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.lane() == other.lane() && one.bytes() == other.bytes(),
        (one, other) => one.is_none() && other.is_none(),
    }
}

#[cfg(all(test, feature = "test-util"))]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_another_thread_is_about_to_end_is_not_made_by_a_late_save() {
        let sessions = Foreign::new(crate::testing::store(), ForeignKind::Poem);
        let (key, values) = (sessions.key(b"id"), Patch::new());
        let new = New { values: &values, ends_ms: u64::MAX, owner: None };
        // What `delete` does first; of the session nothing is left in memory or on disk.
        sessions.store.note_foreign_end(&key);
        assert!(matches!(sessions.put(&key, &new), Ok(Saved::Ended)));
        assert!(sessions.load(&key).unwrap().is_none());
        assert_eq!(sessions.store().stats().dropped_commits, 1);
        let other = sessions.key(b"another id");
        assert!(matches!(sessions.put(&other, &new), Ok(Saved::Done(_))));
    }
}
