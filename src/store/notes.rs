//! The store's own notes: what was imported, and which crates' sessions all have their owners.
//!
//! A note is a record of an owner that no application has. So it is journaled, moved to redb, encrypted and swept like a
//! session's record.
//!
//! Invariants: a note is never served, counted, listed or exported as a session. Notes are told apart from sessions by their
//! keys alone; one hash in 2^56 looks like such a key. Only the number of notes is in memory.

#[cfg(feature = "foreign")]
mod imported;
#[cfg(feature = "foreign")]
mod indexed;

use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(feature = "foreign")]
use parking_lot::Mutex;
#[cfg(feature = "foreign")]
use sessile_codec::{Limits, Meta, Patch};

#[cfg(feature = "foreign")]
pub use self::imported::Came;
#[cfg(feature = "foreign")]
pub(crate) use self::imported::{Import, Incoming, Source};
#[cfg(feature = "foreign")]
use super::Store;
#[cfg(feature = "foreign")]
use crate::disk::Op;
use crate::{
    Error,
    disk::{Disk, NOTES},
    token::Key,
};

#[derive(Default)]
pub(super) struct Notes {
    count: AtomicU64,
    #[cfg(feature = "foreign")]
    indexed: indexed::Indexed,
    /// Held by the import that runs.
    #[cfg(feature = "foreign")]
    importing: Mutex<()>,
}

impl Notes {
    /// Counts the file's notes.
    pub(super) fn load(&self, disk: &Disk) -> Result<(), Error> {
        let count = disk.of_owner(&NOTES)?.len() as u64;
        self.count.store(count, Ordering::Relaxed);
        #[cfg(feature = "foreign")]
        if count > 0 {
            self.indexed.load(disk);
        }
        Ok(())
    }

    /// The number of records in the file that are notes.
    pub(super) fn len(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// The file has deleted the record under `key` because it expired. Returns false if that was no note.
    pub(super) fn expire(&self, key: &Key) -> bool {
        let is_note = crate::disk::is_note(key);
        if is_note {
            self.one_less();
        }
        is_note
    }

    fn one_less(&self) {
        // Not below zero: a note may have been lost to damage.
        let _ = self.count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| count.checked_sub(1));
    }
}

#[cfg(feature = "foreign")]
impl Store {
    /// Returns the operation that writes a note which expires at `until_ms`. `is_new`: the file has none under this key.
    fn note(&self, key: Key, until_ms: u64, is_new: bool, values: &Patch) -> Result<Op, Error> {
        let now_ms = self.now_ms();
        let meta = Meta {
            revision: if is_new { 1 } else { 2 },
            created_ms: now_ms,
            last_seen_ms: now_ms,
            idle_deadline_ms: until_ms,
            absolute_deadline_ms: until_ms,
            owner: NOTES,
            ..Meta::default()
        };
        let record = values.apply(None, &key, &meta, &Limits::UNLIMITED)?;
        if is_new {
            self.0.notes.count.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Op::Put { key, record })
    }

    /// Returns the operation that deletes a note.
    fn no_note(&self, key: Key) -> Op {
        self.0.notes.one_less();
        Op::Delete { key }
    }
}
