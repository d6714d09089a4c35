//! What an operator does with a running store: [`Store::backup`](crate::Store::backup), and
//! [`Builder::restore`](crate::Builder::restore) of what it made.

use std::time::SystemTime;

/// A backup that was made, or a store that was restored from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backup {
    /// When the backup was begun: it has everything that was committed before, and may have what was committed in the next
    /// milliseconds. `None` for a store that was restored from the file of a closed store, which is no backup.
    pub moment: Option<SystemTime>,
    /// The number of sessions in it.
    pub sessions: u64,
    /// Records that are damaged. A backup has them in quarantine.
    pub damaged: u64,
    /// The length of its file.
    pub file_bytes: u64,
}

/// How far a backup is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Records that are copied.
    pub done: u64,
    /// All records. An estimate: some are counted twice.
    pub total: u64,
}
