//! What the store notes for itself beside the sessions: what was imported, and of which sessions the owners are known.
//!
//! A note is a record like a session's, of an owner that no application has, so it is journaled, moved to redb, sealed and swept as
//! sessions are.
//!
//! Invariants: a note is no session: it is never served, counted, listed or exported as one; notes are told from sessions by their keys
//! alone (one hash in 2^56 looks like such a key); nothing of the notes is in memory but how many there are.

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
    /// Held by the one import that runs.
    #[cfg(feature = "foreign")]
    importing: Mutex<()>,
}

impl Notes {
    /// Reads what the file has.
    pub(super) fn load(&self, disk: &Disk) -> Result<(), Error> {
        let count = disk.of_owner(&NOTES)?.len() as u64;
        self.count.store(count, Ordering::Relaxed);
        #[cfg(feature = "foreign")]
        if count > 0 {
            self.indexed.load(disk);
        }
        Ok(())
    }

    /// How many records of the file are notes.
    pub(super) fn len(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// The file has deleted what is under `key`, because its time is over. `false`: that was no note.
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
    /// The operation that writes a note until `until_ms`. `is_new`: the file has none under this key.
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

    /// The operation that deletes a note that the file has.
    fn no_note(&self, key: Key) -> Op {
        self.0.notes.one_less();
        Op::Delete { key }
    }
}
