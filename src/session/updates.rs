//! Updates: changes that depend on the previous value, and are recomputed if another request has written it.
//!
//! Invariants: an update runs while neither the session nor the store is locked. On one record each update runs at most once,
//! in the order in which they were made. An update whose key was set or removed later is dropped.

use std::mem;

use sessile_codec::{Entry, Limits, Patch, Record};

use super::{merge::is_over, state::is_same};
use crate::Error;

/// Recomputes the value from the current one (`None` = absent).
pub(super) type Recompute = Box<dyn FnMut(Option<&Entry>) -> Result<Option<Entry>, Error> + Send>;

/// The updates of one request, in order.
#[derive(Default)]
pub(super) struct Updates {
    list: Vec<Update>,
    next_id: u32,
    /// Few requests have any.
    results: Option<Box<Results>>,
}

struct Update {
    id: u32,
    key: Box<str>,
    /// `None` while it runs.
    again: Option<Recompute>,
}

/// The results of the updates on another record than the loaded one.
struct Results {
    /// `None`: on no record.
    on: Option<Record>,
    values: Vec<(Box<str>, Option<Entry>)>,
    /// The first update that has not run yet.
    next_id: u32,
}

/// Updates that must run on another record, taken out of their session.
pub(super) struct Rerun {
    loaded: Option<Record>,
    results: Box<Results>,
    taken: Vec<(u32, Box<str>, Recompute)>,
}

impl Updates {
    pub(super) fn push(&mut self, key: &str, again: Recompute) {
        self.list.push(Update { id: self.next_id, key: key.into(), again: Some(again) });
        self.next_id += 1;
    }

    /// Whether the value under `key` depends on the previous one.
    pub(super) fn has(&self, key: &str) -> bool {
        self.list.iter().any(|update| *update.key == *key)
    }

    /// Returns an empty list that continues the numbering.
    pub(super) fn emptied(&self) -> Self {
        Self { next_id: self.next_id, ..Self::default() }
    }

    /// Drops the updates of these keys.
    pub(super) fn forget(&mut self, keys: impl Fn(&str) -> bool) {
        self.list.retain(|update| !keys(&update.key));
    }

    /// Whether all of them have run on `record`, or there are none.
    pub(super) fn are_done_on(&self, record: Option<&Record>) -> bool {
        let Some(last) = self.list.last() else { return true };
        self.results.as_ref().is_some_and(|results| results.is_on(record) && results.next_id > last.id)
    }

    /// Returns `patch` with the recomputed values, if there are any.
    pub(super) fn applied_to(&self, patch: &Patch, limits: &Limits) -> Result<Option<Patch>, Error> {
        let values = self.results.iter().flat_map(|results| &results.values);
        let mut applied = None;
        for (key, value) in values.filter(|(key, _)| self.has(key)) {
            let applied = applied.get_or_insert_with(|| patch.clone());
            match value {
                Some(entry) => applied.set(key, entry.clone(), limits)?,
                None => applied.remove(key),
            }
        }
        Ok(applied)
    }

    /// Takes out those that have not run on `current`. `loaded`: the record as it was loaded.
    pub(super) fn take_for(&mut self, current: Option<Record>, loaded: Option<Record>) -> Rerun {
        let results = self.results.take().filter(|results| results.is_on(current.as_ref()));
        let mut results = results.unwrap_or_else(|| Box::new(Results { on: current, values: Vec::new(), next_id: 0 }));
        let due = self.list.iter_mut().filter(|update| update.id >= results.next_id);
        let taken = due.filter_map(|update| Some((update.id, update.key.clone(), update.again.take()?))).collect();
        results.next_id = self.next_id;
        Rerun { loaded, results, taken }
    }

    /// Puts back what [`take_for`](Self::take_for) returned, after it [ran](Rerun::run) or failed.
    pub(super) fn put_back(&mut self, rerun: Rerun, is_done: bool) {
        for (id, _, again) in rerun.taken {
            if let Some(update) = self.list.iter_mut().find(|update| update.id == id) {
                update.again = Some(again);
            }
        }
        self.results = Some(rerun.results).filter(|_| is_done);
    }
}

impl Results {
    fn is_on(&self, record: Option<&Record>) -> bool {
        match (&self.on, record) {
            // A record that was evicted and read again from disk is the same to the updates.
            (Some(on), Some(record)) => on.is_same(record) || on.bytes() == record.bytes(),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}

impl Rerun {
    /// Runs the application's closures. Those whose value no other request wrote are skipped.
    pub(super) fn run(&mut self, now_ms: u64) -> Result<(), Error> {
        let Results { on, values, .. } = &mut *self.results;
        for (_, key, again) in &mut self.taken {
            let at = match values.iter().position(|(known, _)| known == key) {
                Some(at) => at,
                None if is_unchanged(self.loaded.as_ref(), on.as_ref(), key) => continue,
                None => {
                    let current = on.as_ref().and_then(|record| record.entry(key));
                    values.push((key.clone(), current.filter(|entry| !is_over(entry.as_ref(), now_ms))));
                    values.len() - 1
                }
            };
            let before = mem::take(&mut values[at].1);
            values[at].1 = again(before.as_ref())?;
        }
        Ok(())
    }
}

/// Whether `key` is unchanged in between. Without a record, every update runs again.
fn is_unchanged(loaded: Option<&Record>, current: Option<&Record>, key: &str) -> bool {
    let (Some(loaded), Some(current)) = (loaded, current) else { return false };
    same_entry(loaded, current, key)
}

/// Whether the two records have the same value under `key`.
pub(super) fn same_entry(loaded: &Record, current: &Record, key: &str) -> bool {
    match (loaded.get(key), current.get(key)) {
        (Some(old), Some(new)) => is_same(old, new),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}
