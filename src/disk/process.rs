//! Which process has a store open.
//!
//! After a fork, the child has a copy of memory without the store's threads: nobody would write its commits, memory would go on serving
//! sessions that the parent ends, and to close its files would let go of the parent's lock. So each call is an error in the child, before
//! it takes a lock that a thread of the parent may have held.
//!
//! The check is one load from memory: the system's C library counts the forks, in the child. A child that was made without it, by the system
//! call itself, is not noticed.

use std::io;

use forkguard::Guard;

use crate::Error;

#[derive(Clone, Debug)]
pub(super) struct Process {
    id: u32,
    guard: Guard,
}

impl Process {
    /// The process that runs this.
    ///
    /// # Errors
    /// The system has no memory left for one more function to call after a fork.
    pub(super) fn this() -> io::Result<Self> {
        let guard = Guard::try_new().map_err(io::Error::other)?;
        Ok(Self { id: std::process::id(), guard })
    }

    /// Whether this is still the same process.
    pub(super) fn check(&self) -> Result<(), Error> {
        // A guard answers once. This one is asked many times.
        if self.guard.clone().detected_fork() { Err(Error::Forked { opened_by: self.id }) } else { Ok(()) }
    }
}
