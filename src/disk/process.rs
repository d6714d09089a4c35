//! Which process has a store open.
//!
//! After a fork, the child has a copy of memory without the store's threads: nobody would write its commits, and to close its files would
//! let go of the parent's lock. So whatever goes to the disk, or waits for it, is an error in the child, before it takes a lock that a thread
//! of the parent may have held. What memory answers is not checked: the question costs a system call.

use crate::Error;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process(u32);

impl Process {
    /// The process that runs this.
    pub(super) fn this() -> Self {
        Self(std::process::id())
    }

    /// Whether this is still the same process.
    pub(super) fn check(self) -> Result<(), Error> {
        if Self::this() == self { Ok(()) } else { Err(Error::Forked { opened_by: self.0 }) }
    }
}
