//! The notes of imports: the sources, and each session's state at its import.
//!
//! For each session that an import finds in its source, the store notes the session's state there, until the session would have
//! ended there. So a session that has a note and is not in the store has ended here, for whatever reason. Nothing has to be
//! written when a session ends, and a store that never imported has no notes.
//!
//! Invariants: a note is queued with its session and under the lock of its shard, so no later end of the session is durable
//! without it; a session that has a note and is not in the store is not imported again; an import does not change a session
//! that differs from what the last import left.

use std::collections::{HashMap, HashSet};

use parking_lot::MutexGuard;
use sessile_codec::{Entry, EntryRef, Lane, Limits, Meta, Patch, Record};
use sha2::{Digest, Sha256};

use super::super::{EndReason, ForeignKind, Store, find::Current, foreign::Occupant};
use crate::{
    Durability, Error,
    disk::{NOTES, Op, Urgency, import_note, is_import_note, note_key},
    expiry,
    memory::{Base, Swap},
    owner::NOBODY,
    token::{Handle, Key},
};

/// A session in its source.
pub(crate) struct Incoming<'a> {
    pub(crate) key: Key,
    pub(crate) meta: Meta,
    pub(crate) values: &'a Patch,
    pub(crate) limits: &'a Limits,
    /// Whether the application sets the owner; otherwise an owner that the session has here stays.
    pub(crate) knows_owner: bool,
    /// Whether this store exported it: then the session here is newer, and a missing one has ended.
    pub(crate) is_ours: bool,
}

/// The result for a session in an import.
///
/// # Examples
/// ```
/// use sessile::foreign::{
///     ForeignKind, New, Sessions,
///     import::{Came, Import},
/// };
///
/// # let store = sessile::testing::store();
/// let sessions = Sessions::new(store.clone(), ForeignKind::Poem);
/// let key = sessions.key(b"id");
/// let take = |n: u32| {
///     let values = sessions.values([("n", &n)])?;
///     let new = New { values: &values, ends_ms: 4_000_000_000_000, owner: None };
///     Import::begin(&store, None)?.take(&sessions, &key, &new)
/// };
/// assert_eq!((take(1)?, take(1)?, take(2)?), (Came::Created, Came::Unchanged, Came::Updated));
///
/// // A visitor's request changes it here.
/// let values = sessions.values([("n", &3)])?;
/// sessions.save(&key, &New { values: &values, ends_ms: 4_000_000_000_000, owner: None }, None)?;
/// assert_eq!(take(4)?, Came::Kept);
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Came {
    /// It was not in the store, and is now.
    Created,
    /// It was as the import before had left it, and is now as in the source.
    Updated,
    /// It was already as in the source.
    Unchanged,
    /// It was changed here, and was not imported.
    Kept,
    /// It has ended here, and was not imported.
    EndedHere,
    /// It has expired in the source.
    Expired,
}

/// A source of imported sessions, and when it was imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// Empty for a source without a name.
    pub(crate) name: String,
    pub(crate) first_ms: u64,
    pub(crate) last_ms: u64,
    /// The number of sessions that the last import found there.
    pub(crate) sessions: u64,
}

/// A running import. There is one at a time.
pub(crate) struct Import<'s> {
    store: &'s Store,
    source: Source,
    /// Notes that may not be on disk yet.
    queued: HashMap<Key, Mark>,
    /// A hash of the source's name; 0 for one without.
    source_id: u64,
    /// The sessions that the source has, if the source has a name.
    seen: Option<HashSet<Key>>,
    _alone: MutexGuard<'s, ()>,
}

/// The note of a session.
#[derive(Clone, Copy, Debug)]
struct Mark {
    key: Key,
    /// A hash of the source's name.
    source: u64,
    /// The state in which an import left the session; see [`state_of`]. Zero if no import ever stored it.
    state: State,
    /// Until when the source's session may be valid.
    until_ms: u64,
}

/// The note in the file.
#[derive(Clone, Copy)]
enum Noted {
    Nothing,
    /// A note that cannot be read.
    Damaged,
    Mark(Mark),
}

impl Noted {
    fn mark(self) -> Option<Mark> {
        match self {
            Self::Mark(mark) => Some(mark),
            Self::Nothing | Self::Damaged => None,
        }
    }
}

type State = [u8; 16];

const NEVER: State = [0; 16];
/// The kind of note that describes a source.
const SOURCE: u8 = 2;
/// The name of the notes' values.
const VALUE: &str = "import";
/// Changes that wait for the disk at once: enough to share its syncs, and bounded.
const BATCH: usize = 1000;

impl Source {
    fn hash(name: &str) -> [u8; 8] {
        let hash = Sha256::new_with_prefix(b"sessile source\0").chain_update(name).finalize();
        *hash.first_chunk().expect("a SHA-256 has 32 bytes")
    }

    fn key(&self) -> Key {
        note_key(Self::hash(&self.name), SOURCE)
    }

    fn read(record: &Record) -> Option<Self> {
        let (name, first_ms, last_ms, sessions) = record.get(VALUE)?.get().ok()?;
        Some(Self { name, first_ms, last_ms, sessions })
    }
}

impl Mark {
    fn read(record: &Record) -> Option<Self> {
        let (source, key, state): (u64, (u64, u64), (u64, u64)) = record.get(VALUE)?.get().ok()?;
        let bytes = |(high, low): (u64, u64)| (u128::from(high) << 64 | u128::from(low)).to_be_bytes();
        Some(Self { key: bytes(key), source, state: bytes(state), until_ms: record.meta().deadline_ms() })
    }

    fn values(&self) -> Result<Patch, Error> {
        let words = |bytes: [u8; 16]| {
            let (high, low) = bytes.split_at(8);
            let word = |half: &[u8]| u64::from_be_bytes(half.try_into().expect("half of sixteen bytes is eight"));
            (word(high), word(low))
        };
        value(&(self.source, words(self.key), words(self.state)))
    }
}

fn value<T: serde_core::Serialize>(value: &T) -> Result<Patch, Error> {
    let mut values = Patch::new();
    values.set(VALUE, Entry::serde(value, &Limits::UNLIMITED)?, &Limits::UNLIMITED)?;
    Ok(values)
}

/// Returns a hash of a session's state: its values and its absolute deadline. For a session of this crate also its owner; for
/// another crate's, that follows from the values.
fn state_of(record: &Record) -> State {
    let meta = record.meta();
    let mut hash = Sha256::new();
    hash.update(meta.absolute_deadline_ms.to_le_bytes());
    if ForeignKind::of(meta.flags).is_none() {
        hash.update(meta.owner);
    }
    for (name, entry) in record.iter() {
        for part in [name.as_bytes(), &lane(entry), entry.bytes()] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
    }
    *hash.finalize().first_chunk().expect("a SHA-256 has 32 bytes")
}

fn lane(entry: EntryRef<'_>) -> Vec<u8> {
    match entry.lane() {
        Lane::Model { tag, version, fingerprint } => format!("{tag:?} {version} {fingerprint}").into_bytes(),
        other => format!("{other:?}").into_bytes(),
    }
}

impl Store {
    /// Begins an import from the source `name`. Waits for a running import.
    pub(crate) fn begin_import(&self, name: Option<&str>) -> Result<Import<'_>, Error> {
        let alone = self.0.notes.importing.lock();
        // Writes what an earlier import queued, because notes are read from disk.
        self.flush().wait()?;
        let now_ms = self.now_ms();
        let source = Source { name: name.unwrap_or_default().to_owned(), first_ms: now_ms, last_ms: now_ms, sessions: 0 };
        let source_id = name.map_or(0, |name| u64::from_be_bytes(Source::hash(name)));
        let (queued, seen) = (HashMap::new(), name.map(|_| HashSet::new()));
        Ok(Import { store: self, source, queued, source_id, seen, _alone: alone })
    }

    /// Returns the imported sources.
    pub(crate) fn sources(&self) -> Result<Vec<Source>, Error> {
        let mut sources = Vec::new();
        for key in self.0.disk.of_owner(&NOTES)?.into_iter().filter(|key| key[15] == SOURCE) {
            let found = self.0.disk.load_end(&key)?.and_then(|found| found.record.ok());
            sources.extend(found.as_ref().and_then(Source::read));
        }
        sources.sort_unstable_by_key(|source| source.first_ms);
        Ok(sources)
    }

    /// Returns the store's own id for its exports.
    pub(crate) fn export_id(&self) -> [u8; 16] {
        let hash = Sha256::new_with_prefix(b"sessile export\0").chain_update(self.0.disk.store_id()).finalize();
        *hash.first_chunk().expect("a SHA-256 has 32 bytes")
    }
}

impl Import<'_> {
    /// Notes that the source has the session under `key`, whether or not it can be read.
    pub(crate) fn see(&mut self, key: &Key) {
        self.source.sessions += 1;
        if let Some(seen) = &mut self.seen {
            seen.insert(*key);
        }
    }

    /// Imports the session, unless the one in the store takes precedence.
    pub(crate) fn take(&mut self, incoming: &Incoming<'_>) -> Result<Came, Error> {
        if incoming.meta.deadline_ms() <= self.store.now_ms() {
            let noted = self.noted(&incoming.key)?;
            self.end(&incoming.key, noted)?;
            return Ok(Came::Expired);
        }
        let record = incoming.values.apply(None, &incoming.key, &incoming.meta, incoming.limits)?;
        let state = state_of(&record);
        let came = loop {
            if let Some(came) = self.try_take(incoming, &record, state)? {
                break came;
            }
        };
        if matches!(came, Came::Created | Came::Updated)
            && !incoming.knows_owner
            && let Some(kind) = ForeignKind::of(incoming.meta.flags)
        {
            self.store.forget_owners(kind);
        }
        if self.queued.len() >= BATCH {
            self.flush()?;
        }
        Ok(came)
    }

    /// Tries once. `None`: the session has changed meanwhile; try again.
    fn try_take(&mut self, incoming: &Incoming<'_>, record: &Record, state: State) -> Result<Option<Came>, Error> {
        let (store, key) = (self.store, &incoming.key);
        let noted = self.noted(key)?;
        match store.current(key)?.filter(|current| current.key == *key) {
            Some(current) => self.take_onto(incoming, record, state, noted, &current),
            None if incoming.is_ours => Ok(Some(Came::EndedHere)),
            None if self.has_ended(noted) => {
                self.renew(incoming, noted)?;
                Ok(Some(Came::EndedHere))
            }
            None => self.take_new(incoming, record, state, noted),
        }
    }

    /// Ends the sessions that the source no longer has and that are as an import left them, calls `told` for each, and notes
    /// the import. `is_whole`: the whole source was read. If the source has no name or is empty, no session ends.
    pub(crate) fn finish(mut self, is_whole: bool, mut told: impl FnMut()) -> Result<(), Error> {
        self.flush()?;
        let seen = self.seen.take().filter(|seen| is_whole && !seen.is_empty());
        if let Some(seen) = seen {
            for note in self.store.0.disk.of_owner(&NOTES)?.into_iter().filter(is_import_note) {
                let noted = self.read(&note)?;
                let Some(mark) = noted.mark().filter(|mark| mark.source == self.source_id) else { continue };
                if !seen.contains(&mark.key) && self.end(&mark.key, noted)? {
                    // If the source has it again later, it may be imported again: it was not ended here.
                    self.store.0.disk.enqueue(self.store.no_note(note), Urgency::Soon);
                    told();
                }
            }
        }
        self.note_source()?;
        self.flush()
    }

    fn note_source(&mut self) -> Result<(), Error> {
        let key = self.source.key();
        let found = self.store.0.disk.load_end(&key)?;
        let before = found.as_ref().and_then(|found| Source::read(found.record.as_ref().ok()?));
        let Source { name, first_ms, last_ms, sessions } = &self.source;
        let first_ms = before.map_or(*first_ms, |before| before.first_ms);
        let op = self.store.note(key, u64::MAX, found.is_none(), &value(&(name, first_ms, last_ms, sessions))?)?;
        self.store.0.disk.enqueue(op, Urgency::Soon);
        Ok(())
    }

    /// Imports a session that is in the store. `None`: it has changed since; try again.
    fn take_onto(
        &mut self,
        incoming: &Incoming<'_>,
        record: &Record,
        state: State,
        noted: Noted,
        current: &Current<'_>,
    ) -> Result<Option<Came>, Error> {
        let (before, here) = (current.record.meta(), state_of(&current.record));
        if incoming.is_ours {
            return Ok(Some(if here == state { Came::Unchanged } else { Came::Kept }));
        }
        // `NOBODY` from the application's function may be an owner that the adapter's function knows.
        let is_known = incoming.knows_owner && (incoming.meta.owner != NOBODY || here != state);
        let owner = if is_known { incoming.meta.owner } else { before.owner };
        let is_untouched = here == state || noted.mark().is_some_and(|mark| mark.state == here);
        let is_newer = ForeignKind::of(incoming.meta.flags).is_some() || incoming.meta.revision > before.revision;
        if here == state && owner == before.owner {
            if !noted.mark().is_some_and(|mark| mark.state == here && mark.until_ms >= until_ms(incoming)) {
                let op = self.note(incoming, state, noted)?;
                self.store.0.disk.enqueue(op, Urgency::Soon);
            }
            return Ok(Some(Came::Unchanged));
        }
        if !is_untouched || !(is_newer || here == state) {
            self.renew(incoming, noted)?;
            return Ok(Some(Came::Kept));
        }
        let meta = Meta {
            revision: incoming.meta.revision.max(before.revision.saturating_add(1)),
            created_ms: before.created_ms.min(incoming.meta.created_ms),
            last_seen_ms: before.last_seen_ms.max(incoming.meta.last_seen_ms),
            cookie_deadline_ms: before.cookie_deadline_ms,
            handle: before.handle,
            owner,
            authenticated_ms: if owner == before.owner { before.authenticated_ms } else { incoming.meta.authenticated_ms },
            ..incoming.meta
        };
        let record = record.with_meta(&current.key, &meta);
        let note = self.note(incoming, state, noted)?;
        self.store.0.disk.admit()?;
        let _locks = self.store.lock_owners([before.owner, owner]);
        let swap = self.store.exchange(&current.key, current.base(), &record, Durability::Relaxed, Some(note));
        Ok(matches!(swap, Swap::Done(_)).then_some(Came::Updated))
    }

    /// Imports a session that is not in the store and never was imported. `None`: try again.
    fn take_new(
        &mut self,
        incoming: &Incoming<'_>,
        record: &Record,
        state: State,
        noted: Noted,
    ) -> Result<Option<Came>, Error> {
        let (store, key) = (self.store, &incoming.key);
        let occupant = store.occupant(key)?;
        let (base, revision) = match &occupant {
            Occupant::Nothing(load) => (Base::Load(load), None),
            Occupant::Record { record, seen_ms, load } => {
                let deadline_ms = expiry::deadline_ms(&record.meta(), *seen_ms);
                if deadline_ms > store.now_ms() {
                    return Ok(None);
                }
                if deadline_ms > store.0.timeline.certain_ms() {
                    // Only the clock's next steps will show whether it has expired.
                    return Ok(Some(Came::Kept));
                }
                (load.as_ref().map_or(Base::Record(record), Base::Load), Some(record.meta().revision))
            }
            Occupant::Unreadable(load, error) if error.is_damage() => (Base::Load(load), Some(1)),
            Occupant::Unreadable(_, error) => return Err(error.clone().into_error()),
            Occupant::Ending => return Ok(Some(Came::EndedHere)),
        };
        let owner = incoming.meta.owner;
        store.0.disk.admit()?;
        let mut meta = incoming.meta;
        if let Some(before) = revision {
            meta.revision = meta.revision.max(before.saturating_add(1));
        } else {
            store.make_room(owner != NOBODY)?;
        }
        let record = record.with_meta(key, &meta);
        let note = self.note(incoming, state, noted)?;
        // The limit of an owner's sessions ends none of them here: it applies when the next one begins.
        let _locks = store.lock_owners([owner, NOBODY]);
        let Swap::Done(_) = store.exchange(key, base, &record, Durability::Relaxed, Some(note)) else { return Ok(None) };
        if revision.is_some() {
            store.0.shared.expired(key, Some(Handle::of(&meta)));
        }
        store.0.shared.created(Handle::of(&meta));
        Ok(Some(Came::Created))
    }

    /// Ends the session under `key`, if it is as an import left it. `false`: it is not, or is not in the store.
    fn end(&mut self, key: &Key, noted: Noted) -> Result<bool, Error> {
        let Some(mark) = noted.mark() else { return Ok(false) };
        let is_untouched = |current: &Current<'_>| current.key == *key && state_of(&current.record) == mark.state;
        Ok(self.store.destroy_if(key, EndReason::Revoked, is_untouched)?.is_some())
    }

    /// Whether a session that is not in the store was imported and has ended here. An expired one has not.
    fn has_ended(&self, noted: Noted) -> bool {
        match noted {
            Noted::Nothing => false,
            // A user who has signed out must stay signed out.
            Noted::Damaged => true,
            Noted::Mark(mark) => mark.until_ms > self.store.0.timeline.certain_ms(),
        }
    }

    /// Keeps the note of a session that differs from what an import left, as long as the source's session may be valid.
    fn renew(&mut self, incoming: &Incoming<'_>, noted: Noted) -> Result<(), Error> {
        if noted.mark().is_some_and(|mark| mark.until_ms >= until_ms(incoming)) {
            return Ok(());
        }
        let state = noted.mark().map_or(NEVER, |mark| mark.state);
        let op = self.note(incoming, state, noted)?;
        self.store.0.disk.enqueue(op, Urgency::Soon);
        Ok(())
    }

    /// Returns the operation that notes that a session was imported, and its state.
    fn note(&mut self, incoming: &Incoming<'_>, state: State, noted: Noted) -> Result<Op, Error> {
        let key = incoming.key;
        let until_ms = until_ms(incoming).max(noted.mark().map_or(0, |mark| mark.until_ms));
        let mark = Mark { key, source: self.source_id, state, until_ms };
        let op = self.store.note(import_note(&key), until_ms, matches!(noted, Noted::Nothing), &mark.values()?)?;
        self.queued.insert(key, mark);
        Ok(op)
    }

    /// Returns the note of the session under `key`.
    fn noted(&self, key: &Key) -> Result<Noted, Error> {
        match self.queued.get(key) {
            Some(mark) => Ok(Noted::Mark(*mark)),
            None => self.read(&import_note(key)),
        }
    }

    fn read(&self, note: &Key) -> Result<Noted, Error> {
        let found = self.store.0.disk.load_end(note)?;
        Ok(found.map_or(Noted::Nothing, |found| {
            found.record.ok().as_ref().and_then(Mark::read).map_or(Noted::Damaged, Noted::Mark)
        }))
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.store.flush().wait()?;
        self.queued.clear();
        Ok(())
    }
}

/// Returns until when the source's session may be valid, however it is used there.
fn until_ms(incoming: &Incoming<'_>) -> u64 {
    incoming.meta.absolute_deadline_ms
}
