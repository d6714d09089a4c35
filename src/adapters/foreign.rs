//! A session of another crate, which is a map and a moment when it ends, as a record of ours.
//!
//! Each key of the map is an entry of the record: what did not change is copied as bytes, and what several requests changed can be
//! merged. Invariants: entries under reserved names are ours, and a foreign key is never stored under one; a foreign session ends at
//! its absolute deadline, which only a save moves, and has no idle one.

use std::{
    borrow::Cow,
    cmp::Ordering,
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;
use serde_core::{Serialize, de::DeserializeOwned};
use sessile_codec::{Entry, EntryRef, Meta, Patch, Record};

use crate::{
    Ack, Durability, Error, Store, expiry,
    owner::NOBODY,
    store::{Onto, foreign_key},
    token::{Handle, Key},
};

/// The sessions of one other crate.
#[derive(Clone, Debug)]
pub(crate) struct Foreign {
    store: Store,
    kind: Cow<'static, str>,
    ended: Arc<Ended>,
}

/// What a session is to become.
pub(crate) struct New<'a> {
    /// All of its values.
    pub(crate) values: &'a Patch,
    pub(crate) ends_ms: u64,
    /// Whose it is; all zero for nobody's, `None` for whose it was.
    pub(crate) owner: Option<[u8; 16]>,
}

/// What a save came to.
pub(crate) enum Saved {
    Done(Ack),
    /// There is no such session any more.
    Gone,
}

impl Saved {
    /// What to wait for. A save that was dropped has nothing.
    pub(crate) fn acknowledged(self) -> Ack {
        match self {
            Self::Done(ack) => ack,
            Self::Gone => Ack::settled(Ok(())),
        }
    }
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

impl Foreign {
    pub(crate) fn new(store: Store, kind: impl Into<Cow<'static, str>>) -> Self {
        Self { store, kind: kind.into(), ended: Arc::default() }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.store.now_ms()
    }

    pub(crate) fn key(&self, id: &[u8]) -> Key {
        foreign_key(&self.kind, id)
    }

    /// What `pairs` are as the values of a session.
    pub(crate) fn values<'a, T: Serialize + 'a>(
        &self,
        pairs: impl IntoIterator<Item = (&'a String, &'a T)>,
    ) -> Result<Patch, Error> {
        let (mut values, limits) = (Patch::new(), self.store.limits());
        for (key, value) in pairs {
            values.set(&stored_name(key), Entry::serde(value, limits)?, limits)?;
        }
        Ok(values)
    }

    /// The record under `key`, which was used now.
    pub(crate) fn load(&self, key: &Key) -> Result<Option<Record>, Error> {
        self.store.find_foreign(key)
    }

    /// Makes a session under `key`. `None`: there is or was one.
    pub(crate) fn create(&self, key: &Key, new: &New<'_>) -> Result<Option<Ack>, Error> {
        let now_ms = self.store.now_ms();
        let meta = Meta {
            revision: 1,
            created_ms: now_ms,
            last_seen_ms: now_ms,
            idle_deadline_ms: u64::MAX,
            absolute_deadline_ms: new.ends_ms,
            owner: new.owner.unwrap_or_default(),
            handle: Handle::first(key).bits(),
            authenticated_ms: if new.owner.is_some_and(|owner| owner != NOBODY) { now_ms } else { 0 },
            ..Meta::default()
        };
        let record = new.values.apply(None, key, &meta, self.store.limits())?;
        let ticket = self.store.create_foreign(key, &record, self.store.durability(), || self.ended.contains(key))?;
        Ok(ticket.map(|ticket| Ack::new(ticket, ())))
    }

    /// Makes the session under `key` what `new` says; what has the same value as in `base` is left as others made it since.
    pub(crate) fn save(&self, key: &Key, new: &New<'_>, base: Option<&Base>) -> Result<Saved, Error> {
        self.commit(key, new.owner, |current| {
            let mut patch = Patch::new();
            for (name, value) in sets(new.values) {
                let is_theirs = base.is_some_and(|base| same(base.get(name), Some(value.as_ref())));
                if !is_theirs && !same(current.get(name), Some(value.as_ref())) {
                    patch.set(name, value.clone(), self.store.limits())?;
                }
            }
            let mut remove = |name: &str| {
                if new.values.get(name).is_none() && current.contains_key(name) {
                    patch.remove(name);
                }
            };
            match base {
                Some(base) => base.names().for_each(&mut remove),
                None => current.iter().map(|(name, _)| name).filter(|name| !name.starts_with(RESERVED)).for_each(&mut remove),
            }
            Ok(Plan { patch, ends_ms: new.ends_ms })
        })
    }

    /// As [`save`](Self::save) or, if there is no session under `key` and none has ended there lately, as [`create`](Self::create): for
    /// traits that have one call for both.
    pub(crate) fn put(&self, key: &Key, new: &New<'_>) -> Result<Saved, Error> {
        // First, because a save that finds nothing counts as a dropped one.
        match self.create(key, new)? {
            Some(ack) => Ok(Saved::Done(ack)),
            None => self.save(key, new, None),
        }
    }

    /// Moves the end of the session under `key`.
    pub(crate) fn touch(&self, key: &Key, ends_ms: u64) -> Result<Saved, Error> {
        self.commit(key, None, |_| Ok(Plan { patch: Patch::new(), ends_ms }))
    }

    /// Ends the session under `key`, durably. `false`: it was over before.
    pub(crate) fn delete(&self, key: &Key) -> Ack<bool> {
        // Before it ends: a `put` that finds it gone must find it here.
        self.ended.add(key);
        match self.store.destroy(key) {
            Ok(Some(ticket)) => Ack::new(ticket, true),
            Ok(None) => Ack::settled(Ok(false)),
            Err(error) => Ack::settled(Err(error)),
        }
    }

    fn commit(
        &self,
        key: &Key,
        owner: Option<[u8; 16]>,
        mut plan: impl FnMut(&Record) -> Result<Plan, Error>,
    ) -> Result<Saved, Error> {
        let now_ms = self.store.now_ms();
        let mut durability = self.store.durability();
        loop {
            let mut needed = Some(durability);
            let committed = self.store.commit_foreign(key, durability, owner, |onto| {
                let Onto { current, key, .. } = onto;
                let Plan { patch, ends_ms } = plan(current)?;
                let is_touch = patch.is_empty() && owner.is_none_or(|owner| owner == current.meta().owner);
                needed = if is_touch {
                    self.touch_durability(&current.meta(), ends_ms, now_ms)
                } else {
                    Some(self.store.durability())
                };
                if needed != Some(durability) {
                    return Ok(None);
                }
                let mut meta = Meta { absolute_deadline_ms: ends_ms, ..current.meta() };
                // A quick commit leaves the last use as the file knows it, so that the next touch is due in time.
                if durability != Durability::Quick {
                    meta = expiry::touched(&meta, now_ms);
                }
                if is_touch {
                    return Ok(Some(current.with_meta(key, &meta)));
                }
                if let Some(owner) = owner.filter(|owner| *owner != meta.owner) {
                    meta.owner = owner;
                    meta.authenticated_ms = if owner == NOBODY { 0 } else { now_ms };
                }
                meta.revision += 1;
                Ok(Some(patch.apply(Some(current), key, &meta, self.store.limits())?))
            })?;
            match (committed, needed) {
                (Some(committed), _) => return Ok(Saved::Done(Ack::new(committed.ticket, ()))),
                (None, None) => return Ok(Saved::Done(Ack::settled(Ok(())))),
                (None, Some(needed)) if needed == durability => return Ok(Saved::Gone),
                // What is current now needs another class.
                (None, Some(needed)) => durability = needed,
            }
        }
    }

    /// How a change of nothing but the end is to be committed; `None`: not at all.
    fn touch_durability(&self, meta: &Meta, ends_ms: u64, now_ms: u64) -> Option<Durability> {
        let unwritten_ms = now_ms.saturating_sub(meta.last_seen_ms);
        match ends_ms.cmp(&meta.absolute_deadline_ms) {
            Ordering::Equal => None,
            // It is a decision, not a use: a crash must not undo it.
            Ordering::Less => Some(self.store.durability()),
            Ordering::Greater if unwritten_ms >= (ends_ms.saturating_sub(now_ms) / 10).max(1) => Some(Durability::Relaxed),
            Ordering::Greater => Some(Durability::Quick),
        }
    }
}

/// The sessions that ended last, so that none of them begins anew. A process that ends needs them no more: with it end the requests that
/// might bring one back.
#[derive(Debug, Default)]
struct Ended(Mutex<(HashSet<Key>, VecDeque<Key>)>);

/// As many as may end while one request runs, and more; 3 MiB.
const MOST_ENDED: usize = 1 << 16;

impl Ended {
    fn add(&self, key: &Key) {
        let mut ended = self.0.lock();
        if ended.0.insert(*key) {
            ended.1.push_back(*key);
        }
        if ended.1.len() > MOST_ENDED
            && let Some(oldest) = ended.1.pop_front()
        {
            ended.0.remove(&oldest);
        }
    }

    fn contains(&self, key: &Key) -> bool {
        self.0.lock().0.contains(key)
    }
}

/// What a session was when a request got to know it.
#[derive(Debug)]
pub(crate) enum Base {
    /// This record, which was loaded.
    Record(Record),
    /// What the request itself stored.
    Stored { values: Patch, owner: [u8; 16] },
}

impl Base {
    pub(crate) fn owner(&self) -> [u8; 16] {
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
    foreign.map(|(name, value)| Ok((name.strip_prefix(ESCAPE).unwrap_or(name).to_owned(), value.get()?)))
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
        let sessions = Foreign::new(crate::testing::store(), "test");
        let (key, values) = (sessions.key(b"id"), Patch::new());
        let new = New { values: &values, ends_ms: u64::MAX, owner: None };
        // What `delete` does first; of the session nothing is left in memory or on disk.
        sessions.ended.add(&key);
        assert!(matches!(sessions.put(&key, &new), Ok(Saved::Gone)));
        assert!(sessions.load(&key).unwrap().is_none());
        assert_eq!(sessions.store().stats().dropped_commits, 1);
        let other = sessions.key(b"another id");
        assert!(matches!(sessions.put(&other, &new), Ok(Saved::Done(_))));
    }
}
