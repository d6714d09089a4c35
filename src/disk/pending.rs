//! The records of the journal that redb does not have yet: the newest state of each key, for reads and for the next checkpoint.
//!
//! Invariants: an entry appears only after its frame was synced, and is removed only after redb has it durably; only the last
//! frame of a key counts, and its entry has that frame's generation.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound,
};

use sessile_codec::Record;

use super::op::Op;
use crate::{
    owner::NOBODY,
    token::{Key, KeyState},
};

#[derive(Debug)]
pub(super) struct Pending {
    entries: HashMap<Key, Entry, KeyState>,
    /// The keys that each generation has frames of.
    generations: BTreeMap<u64, Vec<Key>>,
    owners: BTreeSet<([u8; 16], Key)>,
    /// The number of records in redb.
    in_file: u64,
    version: u64,
    /// The number of records beyond those in redb; negative if there are fewer.
    extra: i64,
    /// Whether sessions without an owner are listed, under [`NOBODY`].
    lists_anonymous: bool,
    /// No record here expires before this time, in milliseconds since 1970.
    earliest_ms: u64,
}

impl Default for Pending {
    fn default() -> Self {
        let (entries, generations, owners) = (HashMap::default(), BTreeMap::new(), BTreeSet::new());
        Self { entries, generations, owners, in_file: 0, version: 0, extra: 0, lists_anonymous: false, earliest_ms: u64::MAX }
    }
}

#[derive(Debug)]
pub(super) struct Entry {
    /// `None`: nothing is under the key any more.
    pub(super) record: Option<Record>,
    generation: u64,
    /// Whether redb has a record under the key.
    in_file: bool,
}

impl Entry {
    fn extra(&self) -> i64 {
        i64::from(self.record.is_some()) - i64::from(self.in_file)
    }
}

/// One key's state on its way to redb.
pub(super) type Change = (Key, Option<Record>);

impl Pending {
    /// Applies a synced frame of `generation`. `fresh`: neither redb nor this has a record under the key of `op`.
    pub(super) fn apply(&mut self, op: &Op, fresh: bool, generation: u64) {
        for (nth, (key, record)) in op.changes().enumerate() {
            // The second key of a rotation is always a new one.
            let before = self.entries.get(key);
            let in_file = before.map_or(!fresh && nth == 0, |entry| entry.in_file);
            if before.is_none_or(|entry| entry.generation != generation) {
                self.generations.entry(generation).or_default().push(*key);
            }
            if let Some(record) = record {
                self.earliest_ms = self.earliest_ms.min(record.meta().deadline_ms());
            }
            self.set(key, Some(Entry { record: record.cloned(), generation, in_file }));
        }
    }

    /// Returns the state of `key`, if redb may have another.
    pub(super) fn get(&self, key: &Key) -> Option<&Entry> {
        self.entries.get(key)
    }

    pub(super) fn of_owner(&self, owner: &[u8; 16]) -> impl Iterator<Item = Key> {
        self.owners.range((*owner, [0; 16])..=(*owner, [0xff; 16])).map(|(_, key)| *key)
    }

    /// Lists sessions without an owner from now on, for [`anonymous`](Self::anonymous).
    pub(super) fn list_anonymous(&mut self) {
        self.lists_anonymous = true;
        let records = self.entries.iter().filter_map(|(key, entry)| Some((key, entry.record.as_ref()?)));
        let anonymous = records.filter(|(_, record)| record.meta().owner == NOBODY);
        self.owners.extend(anonymous.map(|(key, _)| (NOBODY, *key)));
    }

    /// Returns up to `most` sessions without an owner, in the order of their keys, after `after`.
    pub(super) fn anonymous(&self, after: Option<&Key>, most: usize) -> Vec<Key> {
        let from = after.map_or(Bound::Included((NOBODY, [0; 16])), |after| Bound::Excluded((NOBODY, *after)));
        self.owners.range((from, Bound::Included((NOBODY, [0xff; 16])))).take(most).map(|(_, key)| *key).collect()
    }

    /// Returns the states of all keys that redb does not have yet.
    pub(super) fn all(&self) -> Vec<Change> {
        self.entries.iter().map(|(key, entry)| (*key, entry.record.clone())).collect()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = Key> {
        self.entries.keys().copied()
    }

    /// Returns the number of records in redb and here. Too low, even negative, until redb has been [asked](Self::compare) for
    /// the keys of replayed frames.
    pub(super) fn records(&self) -> i64 {
        self.in_file.cast_signed() + self.extra
    }

    /// Sets the number of records in redb. Called after each transaction.
    pub(super) fn set_in_file(&mut self, records: u64) {
        self.in_file = records;
        self.version += 1;
    }

    /// Returns a number that differs after each change of redb.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Corrects which of `keys` redb has, from `in_file`. Returns the change in the number of records.
    pub(super) fn compare(&mut self, keys: &[Key], in_file: &[bool]) -> i64 {
        let before = self.extra;
        for (key, &in_file) in keys.iter().zip(in_file) {
            if let Some(entry) = self.entries.get(key).filter(|entry| entry.in_file != in_file) {
                let corrected = Entry { record: entry.record.clone(), in_file, ..*entry };
                self.set(key, Some(corrected));
            }
        }
        self.extra - before
    }

    /// Returns the keys of all records that may be over at `now_ms`, in parts to process one at a time. Before the next call,
    /// the caller [notes](Self::note_deadline) the deadlines of those that are not.
    pub(super) fn take_due(&mut self, now_ms: u64) -> Vec<Vec<Key>> {
        if self.earliest_ms > now_ms {
            return Vec::new();
        }
        self.earliest_ms = u64::MAX;
        self.generations.values().cloned().collect()
    }

    /// Notes that a record here ends at this time.
    pub(super) fn note_deadline(&mut self, ms: u64) {
        self.earliest_ms = self.earliest_ms.min(ms);
    }

    /// Returns the keys that `generation` has frames of.
    pub(super) fn keys_of(&self, generation: u64) -> Vec<Key> {
        self.generations.get(&generation).cloned().unwrap_or_default()
    }

    /// Whether the newest frame of `key` is in `generation`.
    pub(super) fn is_of(&self, key: &Key, generation: u64) -> bool {
        self.entries.get(key).is_some_and(|entry| entry.generation == generation)
    }

    /// Called when redb has all of `generation`.
    pub(super) fn forget(&mut self, generation: u64) {
        self.generations.remove(&generation);
    }

    /// Returns the states of those `keys` that nothing newer than `generation` has changed.
    pub(super) fn changes(&self, keys: &[Key], generation: u64) -> Vec<Change> {
        keys.iter()
            .filter_map(|key| {
                let entry = self.entries.get(key).filter(|entry| entry.generation == generation)?;
                Some((*key, entry.record.clone()))
            })
            .collect()
    }

    /// Called when `changes` of `generation` are durable in redb, which now has `records` records.
    pub(super) fn settle(&mut self, changes: &[Change], generation: u64, records: u64) {
        self.set_in_file(records);
        for (key, written) in changes {
            match self.entries.get(key) {
                Some(entry) if entry.generation == generation => self.set(key, None),
                Some(entry) => {
                    let newer = Entry { record: entry.record.clone(), in_file: written.is_some(), ..*entry };
                    self.set(key, Some(newer));
                }
                None => {}
            }
        }
    }

    fn set(&mut self, key: &Key, entry: Option<Entry>) {
        let lists_anonymous = self.lists_anonymous;
        let owner = |entry: &Entry| {
            let owner = entry.record.as_ref()?.meta().owner;
            (lists_anonymous || owner != NOBODY).then_some(owner)
        };
        if let Some(entry) = &entry {
            self.extra += entry.extra();
            if let Some(owner) = owner(entry) {
                self.owners.insert((owner, *key));
            }
        }
        let owner_now = entry.as_ref().and_then(owner);
        let before = match entry {
            Some(entry) => self.entries.insert(*key, entry),
            None => self.entries.remove(key),
        };
        if let Some(before) = before {
            self.extra -= before.extra();
            if let Some(owner) = owner(&before).filter(|owner| Some(*owner) != owner_now) {
                self.owners.remove(&(owner, *key));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sessile_codec::{Limits, Meta, Patch};

    use super::*;

    const ADA: [u8; 16] = [1; 16];
    const BOB: [u8; 16] = [2; 16];

    fn record(key: u8, owner: [u8; 16]) -> Record {
        let meta = Meta { owner, ..Meta::default() };
        Patch::new().apply(None, &[key; 16], &meta, &Limits::default()).unwrap()
    }

    fn put(key: u8, owner: [u8; 16]) -> Op {
        Op::Put { key: [key; 16], record: record(key, owner) }
    }

    #[test]
    fn the_index_of_owners_has_the_records_that_are_here_and_no_others() {
        for lists_anonymous in [false, true] {
            let mut pending = Pending::default();
            if lists_anonymous {
                pending.list_anonymous();
            }
            let ops = [
                (put(1, ADA), vec![(ADA, 1)]),
                (put(1, ADA), vec![(ADA, 1)]),
                (put(2, NOBODY), vec![(ADA, 1), (NOBODY, 2)]),
                // An owner that changes, and one that is taken away.
                (put(1, BOB), vec![(BOB, 1), (NOBODY, 2)]),
                (put(3, ADA), vec![(BOB, 1), (NOBODY, 2), (ADA, 3)]),
                (put(3, NOBODY), vec![(BOB, 1), (NOBODY, 2), (NOBODY, 3)]),
                (Op::Delete { key: [3; 16] }, vec![(BOB, 1), (NOBODY, 2)]),
                (Op::Rekey { key: [1; 16], new_key: [4; 16], record: record(4, BOB) }, vec![(BOB, 4), (NOBODY, 2)]),
                (Op::Rekey { key: [2; 16], new_key: [5; 16], record: record(5, ADA) }, vec![(BOB, 4), (ADA, 5)]),
                (put(6, ADA), vec![(BOB, 4), (ADA, 5), (ADA, 6)]),
                (Op::Delete { key: [4; 16] }, vec![(ADA, 5), (ADA, 6)]),
            ];
            for (nth, (op, expected)) in ops.into_iter().enumerate() {
                pending.apply(&op, false, 1 + nth as u64 / 6);
                let expected = expected.into_iter().filter(|(owner, _)| lists_anonymous || *owner != NOBODY);
                let expected: BTreeSet<_> = expected.map(|(owner, key)| (owner, [key; 16])).collect();
                assert_eq!(pending.owners, expected, "after {nth}");
            }
            // Entries that redb has are removed.
            for generation in [1, 2] {
                let keys = pending.keys_of(generation);
                let changes = pending.changes(&keys, generation);
                pending.settle(&changes, generation, 2);
                pending.forget(generation);
            }
            assert!(pending.owners.is_empty() && pending.entries.is_empty() && pending.generations.is_empty());
        }
    }
}
