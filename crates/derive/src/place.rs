//! Puts what was removed back into its place among what is still there.

use syn::{Error, Result, ext::IdentExt};

use crate::{
    attributes::{Place, Removed, RemovedIn, RemovedVariant},
    input::{Field, Variant},
};

/// A field or a variant of an older version.
pub(crate) enum Slot<'a, K, R> {
    Kept(&'a K),
    Removed(&'a R),
}

/// What is still there.
pub(crate) trait Kept {
    /// Whether `name` means this one, which is the `at`th.
    fn is_called(&self, name: &str, at: usize) -> bool;
}

impl Kept for Field {
    fn is_called(&self, name: &str, at: usize) -> bool {
        self.name.as_ref().map_or_else(|| at.to_string() == name, |own| own.unraw() == name)
    }
}

impl Kept for Variant {
    fn is_called(&self, name: &str, _: usize) -> bool {
        self.name.unraw() == name
    }
}

/// What is gone.
pub(crate) trait Gone {
    fn name(&self) -> String;
    fn span(&self) -> &RemovedIn;
}

impl Gone for Removed {
    fn name(&self) -> String {
        self.name.unraw().to_string()
    }

    fn span(&self) -> &RemovedIn {
        &self.span
    }
}

impl Gone for RemovedVariant {
    fn name(&self) -> String {
        self.name.unraw().to_string()
    }

    fn span(&self) -> &RemovedIn {
        &self.span
    }
}

/// Returns what is there and what was removed, in the order of their places.
pub(crate) fn slots<'a, K: Kept, R: Gone>(kept: &'a [K], removed: &'a [R]) -> Result<Vec<Slot<'a, K, R>>> {
    let mut slots: Vec<_> = kept.iter().enumerate().map(|(at, kept)| (at, Slot::Kept(kept))).collect();
    for gone in removed {
        let Some(place) = &gone.span().place else {
            slots.push((usize::MAX, Slot::Removed(gone)));
            continue;
        };
        let (Place::Before(name) | Place::After(name)) = place;
        let is_meant = |(at, slot): &(usize, Slot<'_, K, R>)| match slot {
            Slot::Kept(kept) => kept.is_called(&name.value(), *at),
            Slot::Removed(other) => other.name() == name.value(),
        };
        let Some(at) = slots.iter().position(is_meant) else {
            return Err(Error::new(name.span(), "nothing has this name, and nothing that is removed before this one"));
        };
        let at = if matches!(place, Place::After(_)) { at + 1 } else { at };
        slots.insert(at, (usize::MAX, Slot::Removed(gone)));
    }
    Ok(slots.into_iter().map(|(_, slot)| slot).collect())
}
