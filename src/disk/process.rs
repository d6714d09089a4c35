//! Which process has a store open.
//!
//! After a fork, the child has a copy of memory without the store's threads: its commits would never be written, its memory
//! would serve sessions that the parent ends, and closing its files would release the parent's lock. So each call is an error
//! in the child, before it takes a lock that a thread of the parent may have held.
//!
//! The check is one load from memory: the system's C library counts the forks, in the child. A child made by the system call
//! itself, without the C library, is not noticed.

use std::io;

use forkguard::Guard;

use crate::Error;

#[derive(Clone, Debug)]
pub(super) struct Process {
    id: u32,
    guard: Guard,
}

impl Process {
    /// Returns the current process.
    ///
    /// # Errors
    /// The system has no memory left for another function to call after a fork.
    pub(super) fn this() -> io::Result<Self> {
        let guard = Guard::try_new().map_err(io::Error::other)?;
        Ok(Self { id: std::process::id(), guard })
    }

    /// Returns an error if this is another process.
    pub(super) fn check(&self) -> Result<(), Error> {
        // A guard reports a fork once, and this one is checked many times.
        if self.guard.clone().detected_fork() { Err(Error::Forked { opened_by: self.id }) } else { Ok(()) }
    }
}
