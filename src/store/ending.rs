//! Which sessions of an owner are being ended, so that none of them rotates away meanwhile.
//!
//! Invariant: from the moment that [`Endings::begin`] returns, no session that is meant gets a new record key; one that got it
//! before is queued for the disk by then, so that the list of its owner's sessions, read after that, has it.

use parking_lot::RwLock;

use crate::{
    memory::Swap,
    token::{Handle, Key},
};

/// Which of an owner's sessions are to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meant {
    One(Handle),
    All,
    AllBut(Handle),
}

impl Meant {
    pub(super) fn covers(self, key: &Key) -> bool {
        match self {
            Self::One(handle) => Handle::of(key) == handle,
            Self::All => true,
            Self::AllBut(handle) => Handle::of(key) != handle,
        }
    }
}

type Owner = [u8; 16];

/// All that are under way. Nearly always none is.
#[derive(Default)]
pub(super) struct Endings(RwLock<Vec<(Owner, Meant)>>);

/// One that is under way until this is dropped.
pub(super) struct Ending<'a> {
    all: &'a Endings,
    this: (Owner, Meant),
}

impl Endings {
    pub(super) fn begin(&self, owner: Owner, meant: Meant) -> Ending<'_> {
        self.0.write().push((owner, meant));
        Ending { all: self, this: (owner, meant) }
    }

    /// Moves the session of `owner` away from `key`, unless it is meant to end: then it is over as if it had ended already.
    pub(super) fn rekey<T>(&self, owner: Owner, key: &Key, rekey: impl FnOnce() -> Swap<T>) -> Swap<T> {
        // Held until the move is queued: `begin` waits for it.
        let endings = self.0.read();
        if endings.iter().any(|(ending, meant)| *ending == owner && meant.covers(key)) { Swap::Dead } else { rekey() }
    }
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let mut endings = self.all.0.write();
        if let Some(at) = endings.iter().position(|ending| *ending == self.this) {
            endings.swap_remove(at);
        }
    }
}
