//! Whose the sessions of another crate are.
//!
//! Invariant: an adapter without a function leaves the owners of sessions as they are, and takes none away.

use std::sync::Arc;

use crate::owner::{NOBODY, Owner, OwnerHash};

/// A function of the application that returns whose a session is, from its values; or none.
pub(crate) struct Owners<T: ?Sized>(Option<Arc<OwnerOf<T>>>);

type OwnerOf<T> = dyn Fn(&T) -> Option<Owner> + Send + Sync;

impl<T: ?Sized> Owners<T> {
    pub(crate) fn by<O: Into<Owner>>(owner: impl Fn(&T) -> Option<O> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(move |values| owner(values).map(Into::into))))
    }

    /// The owner of a session with these values, or nobody; `None` if there is no function.
    pub(crate) fn of(&self, values: &T) -> Option<OwnerHash> {
        let owner = self.0.as_ref()?;
        Some(owner(values).map_or(NOBODY, |owner| owner.hash()))
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
