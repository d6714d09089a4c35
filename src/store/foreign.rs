//! Sessions under ids that another session crate issues.
//!
//! Invariants: a session is created only where none is and none has just ended. Otherwise, a client that holds the old id would
//! find another visitor's session. A touch is never refused, since its request changed nothing. Such an id carries no MAC of
//! ours, so an unknown one costs a read from disk.

use std::{
    thread,
    time::{Duration, Instant},
};

use sessile_codec::{Limits, Meta, Record};
use sha2::{Digest, Sha256};

use super::{Store, commit::at_least, count, find::Current, find::Fetched};
use crate::{
    Durability, Error,
    disk::{Op, Ticket, Unreadable, Urgency},
    expiry,
    memory::{Base, Load, Lookup, Swap},
    owner::{NOBODY, OwnerHash},
    token::{Handle, Key},
};

/// The crate that issued a session's id. Its number is in the record's flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForeignKind {
    /// tower-sessions, of any version.
    TowerSessions = 1,
    /// actix-session.
    ActixSession = 2,
    /// `axum_session`.
    AxumSession = 3,
    /// poem.
    Poem = 4,
}

/// The interval at which a key is polled that the sweeper is deleting from the file, and the limit: one transaction takes some
/// milliseconds.
const CLAIM_POLL: Duration = Duration::from_micros(200);
const CLAIM_TIMEOUT: Duration = Duration::from_secs(1);

/// The position of the [`ForeignKind`]'s number in a record's flags; 0 for a session of this crate.
const KIND_SHIFT: u32 = 8;
const KIND_BITS: u16 = 0xf << KIND_SHIFT;

impl ForeignKind {
    pub(super) const ALL: [Self; 4] = [Self::TowerSessions, Self::ActixSession, Self::AxumSession, Self::Poem];

    fn name(self) -> &'static str {
        match self {
            Self::TowerSessions => "tower-sessions",
            Self::ActixSession => "actix-session",
            Self::AxumSession => "axum_session",
            Self::Poem => "poem",
        }
    }

    /// Whether the crate's trait creates and changes sessions with the same call.
    fn puts(self) -> bool {
        matches!(self, Self::AxumSession | Self::Poem)
    }

    /// Returns the record key for the session id `id`. No token of ours has the same key.
    pub(crate) fn key(self, id: &[u8]) -> Key {
        let hash = Sha256::new_with_prefix(b"sessile foreign\0");
        let hash = hash.chain_update(self.name()).chain_update([0]).chain_update(id).finalize();
        *hash.first_chunk().expect("a SHA-256 has 32 bytes")
    }

    /// Whether these flags are those of a session of this kind.
    pub(crate) fn is_of(self, flags: u16) -> bool {
        self.mark(flags) == flags
    }

    /// The crate of a session with these flags; `None` for one of ours.
    pub(crate) fn of(flags: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.is_of(flags))
    }

    /// Returns `flags` with this kind's number.
    pub(crate) fn mark(self, flags: u16) -> u16 {
        flags & !KIND_BITS | (self as u16) << KIND_SHIFT
    }
}

/// What a change does to the current record.
pub(crate) enum Change {
    Nothing,
    /// Only moves the session's deadline to a later time. `due`: the record to write, if the move is worth a write.
    Touch {
        record: Record,
        due: Option<Record>,
    },
    Commit {
        record: Record,
        durability: Durability,
    },
}

/// The outcome of putting a session under a key.
pub(crate) enum Placed {
    Done(Ticket),
    /// There is a session.
    Taken,
    /// A session has ended there.
    Ended,
}

/// What is under a key, expired or not.
pub(super) enum Occupant<'m> {
    Nothing(Load<'m>),
    Record {
        record: Record,
        seen_ms: u64,
        load: Option<Load<'m>>,
    },
    Unreadable(Load<'m>, Unreadable),
    /// A session that ended a moment ago.
    Ending,
}

impl Store {
    /// Limits of sessions of other crates: those that the application set, and by default only the record's.
    pub(crate) fn foreign_limits(&self) -> &Limits {
        &self.0.settings.foreign_limits
    }

    /// Prepares for sessions of `kind`.
    pub(crate) fn use_foreign(&self, kind: ForeignKind) {
        if kind.puts() {
            self.0.shared.ended.begin();
        }
    }

    /// Notes that the session under `key` is to end, so that no late request recreates it.
    pub(crate) fn note_foreign_end(&self, key: &Key) {
        self.0.shared.ended.note(key);
    }

    /// Finds the session under `key` and notes its use.
    pub(crate) fn find_foreign(&self, key: &Key) -> Result<Option<Record>, Error> {
        let now_ms = self.now_ms();
        let found = loop {
            match self.0.memory.get(key, now_ms) {
                Lookup::Hit(record, _) => break Some(record),
                Lookup::Expired => break self.note_expired(key),
                // A foreign session is never rotated, so nothing leads to another key.
                Lookup::Dead | Lookup::Moved(_) => break None,
                Lookup::Miss => match self.fetch(key, now_ms)? {
                    Fetched::Record(record) => break Some(record),
                    Fetched::Nothing => break None,
                    Fetched::LookAgain => {}
                },
            }
        };
        if found.is_none() {
            count(&self.0.shared.counters.misses);
        }
        Ok(found)
    }

    /// Compare-and-swap loop: applies `change` to the current record and stores the result, retrying if another commit won.
    /// Returns `None` if the session has ended; the commit is then counted as dropped.
    pub(crate) fn change_foreign(
        &self,
        key: &Key,
        mut change: impl FnMut(&Record) -> Result<Change, Error>,
    ) -> Result<Option<Ticket>, Error> {
        while let Some(current) = self.current(key)? {
            let swap = match change(&current.record)? {
                Change::Nothing => return Ok(Some(Ticket::done())),
                Change::Touch { record, due } => self.touch_foreign(&current, &record, due.as_ref()),
                Change::Commit { record, durability } => self.commit_foreign(&current, &record, durability)?,
            };
            match swap {
                Swap::Done(ticket) => return Ok(Some(ticket)),
                Swap::Changed => {}
                Swap::Dead => break,
            }
        }
        self.drop_commit(None);
        Ok(None)
    }

    /// If the disk takes no writes, the touch stays in memory. Its request loses nothing, and the next one tries again.
    fn touch_foreign(&self, current: &Current<'_>, record: &Record, due: Option<&Record>) -> Swap<Ticket> {
        if self.is_closed() {
            return Swap::Done(Ticket::done());
        }
        let (record, durability) = match due.filter(|_| self.takes_writes()) {
            Some(due) => (due, Durability::Relaxed),
            None => (record, Durability::Quick),
        };
        self.exchange(&current.key, current.base(), record, durability, None).map(|_| Ticket::done())
    }

    fn commit_foreign(&self, current: &Current<'_>, record: &Record, durability: Durability) -> Result<Swap<Ticket>, Error> {
        self.0.disk.admit()?;
        let (before, owner) = (current.record.meta().owner, record.meta().owner);
        // A session must not change owners while an owner's list is read. The swap checks that `before` is still right.
        let _locks = (owner != before).then(|| self.lock_owners([before, owner]));
        if owner != before {
            self.limit_owner(&owner, &current.key)?;
        }
        let durability = at_least(durability, owner != before);
        Ok(self.exchange(&current.key, current.base(), record, durability, None))
    }

    /// Sets the owner of the session under `key` to what `owner_of` returns for its record; `None` keeps the owner. Returns the
    /// record if the owner changed. The limit of sessions per owner ends none here: it applies when the owner's next session
    /// begins.
    pub(crate) fn set_foreign_owner(
        &self,
        key: &Key,
        owner_of: impl Fn(&Record) -> Option<OwnerHash>,
    ) -> Result<Option<Record>, Error> {
        while let Some(current) = self.current(key)? {
            let meta = current.record.meta();
            let Some(owner) = owner_of(&current.record).filter(|owner| *owner != meta.owner) else { return Ok(None) };
            self.0.disk.admit()?;
            let _locks = self.lock_owners([meta.owner, owner]);
            // When the owner signed in is not known; the session existed then.
            let authenticated_ms = if owner == NOBODY { 0 } else { meta.created_ms };
            let meta = Meta { owner, authenticated_ms, revision: meta.revision.saturating_add(1), ..meta };
            let record = current.record.with_meta(key, &meta);
            match self.exchange(key, current.base(), &record, Durability::Relaxed, None) {
                Swap::Done(_) => return Ok(Some(record)),
                Swap::Changed => {}
                Swap::Dead => break,
            }
        }
        Ok(None)
    }

    /// Creates a session under `key`. Returns `None` if there is one already, even if it has expired or cannot be read: a
    /// client that still has its id must not find another visitor's session.
    pub(crate) fn create_foreign(
        &self,
        key: &Key,
        make: impl Fn(u64) -> Result<Record, Error>,
        durability: Durability,
    ) -> Result<Option<Ticket>, Error> {
        loop {
            let Occupant::Nothing(load) = self.occupant(key)? else { return Ok(None) };
            if let Some(ticket) = self.begin_foreign(key, Base::Nothing(&load), &make(1)?, durability, false)? {
                return Ok(Some(ticket));
            }
        }
    }

    /// Puts a session under `key`, for clients that keep their id after the session is over. Replaces one that has expired or
    /// is damaged. `make` gets the revision that the record must have.
    pub(crate) fn put_foreign(
        &self,
        key: &Key,
        make: impl Fn(u64) -> Result<Record, Error>,
        durability: Durability,
    ) -> Result<Placed, Error> {
        loop {
            let occupant = self.occupant(key)?;
            // From here on, the swap sees an end. An earlier end is known here.
            if self.0.shared.ended.contains(key) {
                self.drop_commit(None);
                return Ok(Placed::Ended);
            }
            let put = match &occupant {
                Occupant::Nothing(load) => self.begin_foreign(key, Base::Nothing(load), &make(1)?, durability, false)?,
                Occupant::Record { record, seen_ms, load } => {
                    let deadline_ms = expiry::deadline_ms(&record.meta(), *seen_ms);
                    if deadline_ms > self.now_ms() {
                        return Ok(Placed::Taken);
                    }
                    if deadline_ms > self.0.timeline.certain_ms() {
                        // The clock may be wrong, and a replaced session does not come back when the clock is corrected.
                        self.drop_commit(None);
                        return Ok(Placed::Ended);
                    }
                    let base = load.as_ref().map_or(Base::Record(record), Base::Load);
                    self.begin_foreign(key, base, &make(record.meta().revision.saturating_add(1))?, durability, true)?
                }
                Occupant::Unreadable(load, error) if error.is_damage() => {
                    self.begin_foreign(key, Base::Load(load), &make(2)?, durability, true)?
                }
                // Another release wrote it, and can still read it.
                Occupant::Unreadable(_, error) => return Err(error.clone().into_error()),
                Occupant::Ending => {
                    self.drop_commit(None);
                    return Ok(Placed::Ended);
                }
            };
            if let Some(ticket) = put {
                return Ok(Placed::Done(ticket));
            }
        }
    }

    /// Stores a new session under `key`, in place of `base`. `replaces`: `base` is an expired session. Returns `None` if `base`
    /// has changed: look again.
    fn begin_foreign(
        &self,
        key: &Key,
        base: Base<'_>,
        record: &Record,
        durability: Durability,
        replaces: bool,
    ) -> Result<Option<Ticket>, Error> {
        let owner = record.meta().owner;
        self.0.disk.admit()?;
        if !replaces {
            self.make_room(owner != NOBODY)?;
        }
        let _locks = self.lock_owners([owner, NOBODY]);
        self.limit_owner(&owner, key)?;
        let durability = at_least(durability, owner != NOBODY);
        let Swap::Done(ticket) = self.exchange(key, base, record, durability, None) else { return Ok(None) };
        if replaces {
            // With foreign ids, each session has the first handle of its key.
            self.0.shared.expired(key, Some(Handle::first(key)));
        }
        self.0.shared.created(Handle::of(&record.meta()));
        Ok(Some(ticket))
    }

    /// Replaces `base` with `record`. `note` is queued right after it, before any later change of `key`.
    pub(super) fn exchange(
        &self,
        key: &Key,
        base: Base<'_>,
        record: &Record,
        durability: Durability,
        note: Option<Op>,
    ) -> Swap<Ticket> {
        let put = |before| {
            let queued = self.queue(Op::Put { key: *key, record: record.clone() }, durability, before);
            if let Some(note) = note {
                self.0.disk.enqueue(note, Urgency::Soon);
            }
            queued
        };
        let swap = self.0.memory.swap(key, base, record, &self.0.disk, put);
        if matches!(swap, Swap::Done(_)) {
            count(&self.0.shared.counters.commits);
        }
        swap
    }

    /// Returns what is under `key`, in memory or on disk. Waits while the sweeper deletes the old record from the file: a new
    /// session may have the same id.
    pub(super) fn occupant(&self, key: &Key) -> Result<Occupant<'_>, Error> {
        let began = Instant::now();
        loop {
            // Read with the time 0, at which nothing has expired.
            match self.0.memory.peek_unclaimed(key, 0) {
                Some(Lookup::Hit(record, seen_ms)) => return Ok(Occupant::Record { record, seen_ms, load: None }),
                Some(Lookup::Dead | Lookup::Moved(_) | Lookup::Expired) => return Ok(Occupant::Ending),
                Some(Lookup::Miss) => {}
                None if began.elapsed() > CLAIM_TIMEOUT => return Err(Error::TimedOut { after: CLAIM_TIMEOUT }),
                None => {
                    thread::sleep(CLAIM_POLL);
                    continue;
                }
            }
            let Some(load) = self.0.memory.begin_load(key) else { continue };
            return Ok(match self.0.disk.load(key)? {
                None => Occupant::Nothing(load),
                Some(Ok(record)) => Occupant::Record { seen_ms: record.meta().last_seen_ms, record, load: Some(load) },
                Some(Err(error)) => {
                    count(&self.0.shared.counters.corrupt);
                    crate::log::corrupt_record(key, &error);
                    Occupant::Unreadable(load, error)
                }
            });
        }
    }
}

#[cfg(all(test, feature = "test-util"))]
mod tests;
