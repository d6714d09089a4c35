//! The owners of another crate's sessions.
//!
//! Invariant: an adapter without a function leaves the owners of sessions as they are, and removes none.

use std::{fmt, sync::Arc};

use crate::owner::{NOBODY, Owner, OwnerHash};

/// A session's owner as the store has it: a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnerId(pub(crate) OwnerHash);

impl OwnerId {
    /// No owner.
    pub const NOBODY: Self = Self(NOBODY);
}

impl From<&Owner> for OwnerId {
    fn from(owner: &Owner) -> Self {
        Self(owner.hash())
    }
}

/// A function of the application that returns a session's owner from its values; none by default.
pub struct Owners<T: ?Sized>(Option<Arc<OwnerOf<T>>>);

type OwnerOf<T> = dyn Fn(&T) -> Option<Owner> + Send + Sync;

impl<T: ?Sized> Owners<T> {
    /// Uses this function.
    pub fn by<O: Into<Owner>>(owner: impl Fn(&T) -> Option<O> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(move |values| owner(values).map(Into::into))))
    }

    /// Returns the owner of a session with these values, or nobody; `None` if there is no function.
    pub fn of(&self, values: &T) -> Option<OwnerId> {
        let owner = self.0.as_ref()?;
        Some(owner(values).map_or(OwnerId::NOBODY, |owner| OwnerId::from(&owner)))
    }
}

impl<T: ?Sized> Clone for Owners<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: ?Sized> Default for Owners<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: ?Sized> fmt::Debug for Owners<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Owners").field(&self.0.is_some()).finish()
    }
}
