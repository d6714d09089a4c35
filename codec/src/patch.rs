//! A patch: the keys that one request set and removed, applied to the current record at commit.
//!
//! Invariants: changes are sorted by key, one for each key. Applying copies the bytes of untouched entries and decodes nothing.

use crate::{Encoder, Entry, Error, Key, Limits, Meta, Record, stored::NewEntry};

/// Changes to a session that are not in its record yet.
#[derive(Clone, Debug, Default)]
pub struct Patch {
    cleared: bool,
    changes: Vec<(Box<str>, Option<Entry>)>,
}

impl Patch {
    /// Returns an empty patch.
    #[must_use]
    pub const fn new() -> Self {
        Self { cleared: false, changes: Vec::new() }
    }

    /// Whether applying the patch would change nothing.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        !self.cleared && self.changes.is_empty()
    }

    /// Sets the value under `key`.
    ///
    /// # Errors
    /// [`Error::BadKey`] if the key is empty or too long.
    pub fn set(&mut self, key: &str, entry: Entry, limits: &Limits) -> Result<(), Error> {
        limits.check_key(key)?;
        self.change(key, Some(entry));
        Ok(())
    }

    /// Removes the value under `key`, whether or not there is one.
    pub fn remove(&mut self, key: &str) {
        self.change(key, None);
    }

    /// Removes every value, including those that other patches set before this one is applied.
    pub fn clear(&mut self) {
        self.cleared = true;
        self.changes.clear();
    }

    /// Returns the change of `key`: `None` leaves it alone, `Some(None)` removes it.
    #[must_use]
    #[inline]
    pub fn get(&self, key: &str) -> Option<Option<&Entry>> {
        match self.position(key) {
            Ok(at) => Some(self.changes[at].1.as_ref()),
            Err(_) => self.cleared.then_some(None),
        }
    }

    /// Whether the patch removes every value that it does not set.
    #[must_use]
    pub fn is_cleared(&self) -> bool {
        self.cleared
    }

    /// Returns the keys that the patch sets (`true`) and removes (`false`), in order.
    pub fn keys(&self) -> impl Iterator<Item = (&str, bool)> {
        self.changes.iter().map(|(key, entry)| (&**key, entry.is_some()))
    }

    /// Applies the patch to `base`, and returns the new record for `key`.
    ///
    /// # Errors
    /// [`Error::TooManyKeys`] or [`Error::RecordTooLarge`].
    pub fn apply(&self, base: Option<&Record>, key: &Key, meta: &Meta, limits: &Limits) -> Result<Record, Error> {
        let base = base.filter(|_| !self.cleared);
        if let Some(record) = base.and_then(|base| self.overwrite(base, key, meta, limits)) {
            return Ok(record);
        }
        let mut entries = Vec::with_capacity(base.map_or(0, Record::len) + self.changes.len());
        let mut changes = self.changes.iter().peekable();
        for (name, entry) in base.iter().flat_map(|record| record.iter()) {
            while let Some((changed, value)) = changes.next_if(|(changed, _)| **changed < *name) {
                entries.extend(value.as_ref().map(|entry| NewEntry::new(changed, entry.as_ref())));
            }
            match changes.next_if(|(changed, _)| **changed == *name) {
                Some((_, value)) => entries.extend(value.as_ref().map(|entry| NewEntry::new(name, entry.as_ref()))),
                None => entries.push(NewEntry::new(name, entry)),
            }
        }
        for (changed, value) in changes {
            entries.extend(value.as_ref().map(|entry| NewEntry::new(changed, entry.as_ref())));
        }
        Encoder::with(|encoder| encoder.record(key, meta, &entries, limits))
    }

    /// Returns the new record if this patch only sets values of the same length as before: a counter, a time, a flag.
    fn overwrite(&self, base: &Record, key: &Key, meta: &Meta, limits: &Limits) -> Option<Record> {
        if base.len() > limits.keys || base.bytes().len() > limits.record_bytes {
            // It was written under other limits: the encoder checks it.
            return None;
        }
        if self.changes.iter().any(|(_, entry)| entry.is_none()) {
            return None;
        }
        let set = self.changes.iter().filter_map(|(name, entry)| Some((&**name, entry.as_ref()?.as_ref())));
        base.overwritten(key, meta, set)
    }

    fn change(&mut self, key: &str, entry: Option<Entry>) {
        match self.position(key) {
            Ok(at) => self.changes[at].1 = entry,
            Err(at) => self.changes.insert(at, (key.into(), entry)),
        }
    }

    fn position(&self, key: &str) -> Result<usize, usize> {
        self.changes.binary_search_by(|(changed, _)| (**changed).cmp(key))
    }
}
