//! Records for which crates the owner of every session is known.
//!
//! An adapter gets a session's owner from a function of the application, which it calls whenever it stores a session. Sessions
//! that were stored before there was such a function have no owner until all of them are indexed once. A note records that this
//! was done, so that it need not be repeated at each start.
//!
//! Invariant: the note exists only while every session of the crate has been stored or indexed by an adapter with such a
//! function. An adapter without one deletes the note.

use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;
use sessile_codec::{Entry, Limits, Patch};

use super::super::{ForeignKind, Store};
use crate::{
    Ack, Error,
    disk::{Disk, Ticket, Urgency, note_key},
    token::Key,
};

#[derive(Default)]
pub(super) struct Indexed {
    /// A bit for each crate whose state is not [`State::Unknown`].
    known: AtomicU32,
    states: Mutex<[State; 5]>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Some session may not have its owner.
    #[default]
    Unknown,
    /// All sessions are being indexed with this version of the function.
    Indexing(u32),
    /// All were indexed, and the note is written.
    Noted(u32),
}

/// The kind of note for this.
const INDEXED: u8 = 3;
const VERSION: &str = "version";

fn key(kind: ForeignKind) -> Key {
    note_key((kind as u64).to_be_bytes(), INDEXED)
}

impl Indexed {
    pub(super) fn load(&self, disk: &Disk) {
        for kind in ForeignKind::ALL {
            // One that cannot be read counts as none, so that no key is needed for it: the sessions are indexed again.
            let found = disk.load_end(&key(kind)).ok().flatten().and_then(|found| found.record.ok());
            let version = found.and_then(|record| record.get(VERSION)?.get::<u32>().ok());
            if let Some(version) = version {
                self.set(kind, State::Noted(version));
            }
        }
    }

    /// Sets the state, and returns the previous one.
    fn set(&self, kind: ForeignKind, state: State) -> State {
        let mut states = self.states.lock();
        if state == State::Unknown {
            self.known.fetch_and(!(1 << kind as u32), Ordering::SeqCst);
        } else {
            self.known.fetch_or(1 << kind as u32, Ordering::SeqCst);
        }
        std::mem::replace(&mut states[kind as usize], state)
    }
}

impl Store {
    /// Whether the sessions of `kind` have their owners by this version of the function.
    pub(crate) fn has_owners(&self, kind: ForeignKind, version: u32) -> bool {
        self.0.notes.indexed.states.lock()[kind as usize] == State::Noted(version)
    }

    /// Begins to index the sessions of `kind`.
    pub(crate) fn begin_owners(&self, kind: ForeignKind, version: u32) {
        self.forget_owners(kind);
        self.0.notes.indexed.set(kind, State::Indexing(version));
    }

    /// Notes that all sessions of `kind` have their owners, unless an adapter without a function has stored one meanwhile.
    pub(crate) fn end_owners(&self, kind: ForeignKind, version: u32) -> Result<Ack, Error> {
        let mut values = Patch::new();
        values.set(VERSION, Entry::serde(&version, &Limits::UNLIMITED)?, &Limits::UNLIMITED)?;
        let mut states = self.0.notes.indexed.states.lock();
        let ticket = if states[kind as usize] == State::Indexing(version) {
            let note = self.note(key(kind), u64::MAX, true, &values)?;
            states[kind as usize] = State::Noted(version);
            self.0.disk.enqueue(note, Urgency::Now).1
        } else {
            Ticket::done()
        };
        Ok(Ack::new(ticket, ()))
    }

    /// An adapter that does not know the owner stores a session of `kind`.
    pub(crate) fn forget_owners(&self, kind: ForeignKind) {
        let indexed = &self.0.notes.indexed;
        if indexed.known.load(Ordering::SeqCst) & 1 << kind as u32 == 0 {
            return;
        }
        if let State::Noted(_) = indexed.set(kind, State::Unknown) {
            self.0.disk.enqueue(self.no_note(key(kind)), Urgency::Soon);
        }
    }
}
