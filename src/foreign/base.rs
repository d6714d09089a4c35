//! Three-way merge: finds what a request changed in a session, compared with what it had loaded.

use sessile_codec::{Entry, EntryRef, Patch, Record};

use super::{
    New, OwnerId,
    values::{ANY_NAME, Loaded, RESERVED, Values, sets},
};
use crate::Error;

/// Returns the patch that turns `current` into `values`, except for what a request that began with `base` did not change.
pub(super) fn changes(values: &Patch, base: Option<&Base>, current: &Record) -> Result<Patch, Error> {
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

/// A session as a request first saw it. What the request did not change keeps the value that others stored since.
#[derive(Debug)]
pub enum Base {
    /// This session, which was loaded.
    Loaded(Loaded),
    /// The values that the request itself stored.
    Stored {
        /// All values.
        values: Values,
        /// The session's owner.
        owner: OwnerId,
    },
}

impl Base {
    /// Returns the session's owner.
    pub fn owner(&self) -> OwnerId {
        match self {
            Self::Loaded(Loaded(record)) => OwnerId(record.meta().owner),
            Self::Stored { owner, .. } => *owner,
        }
    }

    /// Returns about how many bytes it takes in memory.
    pub fn len_bytes(&self) -> usize {
        match self {
            Self::Loaded(Loaded(record)) => record.bytes().len(),
            Self::Stored { values: Values(values), .. } => {
                sets(values).map(|(name, value)| name.len() + value.as_ref().bytes().len()).sum()
            }
        }
    }

    fn get(&self, name: &str) -> Option<EntryRef<'_>> {
        match self {
            Self::Loaded(Loaded(record)) => record.get(name),
            Self::Stored { values: Values(values), .. } => values.get(name)?.map(Entry::as_ref),
        }
    }

    /// Whether `new` is the same: then a save of it has nothing to store.
    pub fn is_same(&self, new: &New<'_>) -> bool {
        let mut values = sets(&new.values.0);
        self.names().count() == new.values.0.keys().count()
            && new.owner.is_none_or(|owner| owner == self.owner())
            && values.all(|(name, value)| same(self.get(name), Some(value.as_ref())))
    }

    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match self {
            Self::Loaded(Loaded(record)) => {
                Box::new(record.iter().map(|(name, _)| name).filter(|name| !name.starts_with(RESERVED)))
            }
            Self::Stored { values: Values(values), .. } => Box::new(values.keys().map(|(name, _)| name)),
        }
    }
}

fn same(one: Option<EntryRef<'_>>, other: Option<EntryRef<'_>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.lane() == other.lane() && one.bytes() == other.bytes(),
        (one, other) => one.is_none() && other.is_none(),
    }
}
