//! Finds every acknowledged change that redb does not have yet in the journal, when a store is opened.
//!
//! Invariants: a segment of another store, a gap behind what redb has, or damage to synced frames is an error, never skipped; a
//! segment without a header was unfinished when the process ended, so nothing in it was acknowledged.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    io, mem,
    sync::mpsc,
    thread,
};

use super::{
    database::Database,
    form::AtRest,
    frame::{self, FrameEnd, Replayed},
    meta::JournalMark,
    own::{self, Whose},
    pending::Pending,
    segment::{self, Label, START},
    tables,
    volume::Volume,
};
use crate::{Error, error::Cause, token::Key};

/// A segment that nothing is appended to any more.
#[derive(Debug)]
pub(super) struct RecoveredSegment {
    pub(super) name: OsString,
    pub(super) label: Label,
}

/// The result of recovery.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    /// Oldest first.
    pub(super) segments: Vec<RecoveredSegment>,
    pub(super) pending: Pending,
    /// Keys that redb has not been asked for yet.
    pub(super) unsure: BTreeSet<Key>,
    /// Frames that were read.
    pub(super) frames: u64,
    /// Writes that a crash had cut short.
    pub(super) torn: u64,
    /// The newest generation that is known to be in use; 0 if none is.
    newest: u64,
    /// Files without content.
    pub(super) empty: Vec<OsString>,
}

/// Reads the journal of the store whose database is `name`. `salvage`: skip damage instead of failing.
pub(super) fn recover(
    volume: &dyn Volume,
    name: &OsStr,
    store_id: [u8; 16],
    mark: JournalMark,
    form: &AtRest,
    salvage: bool,
) -> Result<Recovered, Error> {
    let mut recovered = Recovered::default();
    for name in file_names(volume, name)? {
        let found = match own::whose(volume, &name, Some(&store_id)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            found => found.map_err(|error| cannot_read(volume, &name, error))?,
        };
        match found {
            Whose::Unfinished => recovered.empty.push(name),
            Whose::OtherFormat(found) => {
                return Err(Error::StoreFormat { path: volume.path(&name), found, expected: segment::FORMAT });
            }
            Whose::Foreign(found) => return Err(Error::NotAJournal { path: volume.path(&name), found }),
            Whose::Segment(label) if label.store_id != store_id => return Err(foreign(volume, &name)),
            // The database has its content: the process ended before the file was used again.
            Whose::Segment(label) if label.generation < mark.generation => recovered.empty.push(name),
            Whose::Segment(label) if label.generation == mark.generation => {
                let left = RecoveredSegment { name, label };
                if label.salt != mark.salt && !is_unused(volume, &left)? {
                    return Err(mismatch(volume, &left.name, Some(&left), mark));
                }
                recovered.empty.push(left.name);
            }
            Whose::Segment(label) => recovered.segments.push(RecoveredSegment { name, label }),
        }
    }
    recovered.segments.sort_unstable_by_key(|left| left.label.generation);
    if !mark.in_use && !salvage {
        give_up_unused(volume, name, &mut recovered, mark)?;
    }
    drop_unused_twins(volume, &mut recovered)?;
    check_order(volume, name, &recovered.segments, mark, salvage)?;
    make_durable(volume, name, &recovered.segments, mark)?;
    recovered.newest = if mark.in_use { mark.newest } else { 0 };
    let segments = mem::take(&mut recovered.segments);
    read_ahead(volume, &segments, |left, bytes| {
        let is_torn = recovered.replay(volume, left, bytes, form, salvage)?;
        recovered.torn += u64::from(is_torn);
        Ok(())
    })?;
    let found = segments.last().map_or(mark.generation, |left| left.label.generation);
    if recovered.newest > found && !salvage {
        return Err(Error::JournalIncomplete { path: volume.path(name), found, newest: recovered.newest });
    }
    recovered.segments = segments;
    // A frame contains what redb had when the frame was written, before older segments were moved.
    recovered.unsure = recovered.pending.keys().collect();
    Ok(recovered)
}

impl Recovered {
    /// Applies the frames of a segment. Returns whether its last write was cut short.
    fn replay(
        &mut self,
        volume: &dyn Volume,
        left: &RecoveredSegment,
        bytes: &[u8],
        form: &AtRest,
        salvage: bool,
    ) -> Result<bool, Error> {
        let damaged = |offset: usize| Error::JournalDamaged { path: volume.path(&left.name), offset: START + offset as u64 };
        let expected = usize::try_from(left.label.len_bytes.saturating_sub(START)).unwrap_or(usize::MAX);
        let mut from = 0;
        loop {
            let end = frame::replay(bytes, left.label.salt, form, from, |replayed| match replayed {
                Replayed::Change { op, fresh } => {
                    self.frames += 1;
                    self.pending.apply(&op, fresh, left.label.generation);
                }
                Replayed::GoesOn(generation) => self.newest = self.newest.max(generation),
            });
            match end {
                FrameEnd::Damaged { offset } if salvage => match frame::next_valid(bytes, left.label.salt, form, offset) {
                    Some(next) => from = next,
                    None => return Ok(true),
                },
                FrameEnd::Damaged { offset } => return Err(damaged(offset)),
                #[cfg(feature = "encryption")]
                FrameEnd::UnknownKey(key) => return Err(form.unknown_key(key, &volume.path(&left.name))),
                #[cfg(feature = "encryption")]
                FrameEnd::OtherSeal(found) => return Err(Error::SealVersion { found, expected: crate::keys::VERSION }),
                // Even with `salvage`: the release that wrote it can read it.
                FrameEnd::OtherFormat(error) => return Err(error.into()),
                // The space was filled before the header was written, so a shorter file was cut afterwards.
                FrameEnd::Torn { .. } | FrameEnd::Clean if bytes.len() < expected && !salvage => {
                    return Err(damaged(bytes.len()));
                }
                FrameEnd::Torn { .. } => return Ok(true),
                FrameEnd::Clean => return Ok(false),
            }
        }
    }

    /// Asks redb which of the replayed keys it has.
    pub(super) fn compare(&mut self, database: &Database) -> Result<(), Error> {
        let keys: Vec<Key> = mem::take(&mut self.unsure).into_iter().collect();
        let in_file = database.with(|redb| tables::which(redb, &keys))?;
        self.pending.compare(&keys, &in_file);
        Ok(())
    }
}

/// Calls `replay` with the frames of each segment in turn, while a thread reads those of the next: reading them from disk takes
/// as long as replaying them.
fn read_ahead(
    volume: &dyn Volume,
    segments: &[RecoveredSegment],
    mut replay: impl FnMut(&RecoveredSegment, &[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let [first, _, ..] = segments else {
        return segments.iter().try_for_each(|left| replay(left, &read_frames(volume, left)?));
    };
    thread::scope(|scope| {
        // The receiver processes one segment and the sender holds another: three at once would need too much memory.
        let (sender, receiver) = mpsc::sync_channel(0);
        let read = move || {
            // After an error, nothing is received any more.
            let _ = segments.iter().try_for_each(|left| sender.send((left, read_frames(volume, left))));
        };
        let spawned = thread::Builder::new().name("sessile-recover".into()).spawn_scoped(scope, read);
        spawned.map_err(|error| cannot_read(volume, &first.name, error))?;
        receiver.into_iter().try_for_each(|(left, bytes)| replay(left, &bytes?))
    })
}

/// Returns the names of the journal's files: the database's name, `.journal` and a number.
pub(super) fn file_names(volume: &dyn Volume, name: &OsStr) -> Result<Vec<OsString>, Error> {
    let prefix = file_name(name, "");
    let is_ours = |found: &OsStr| {
        let rest = found.as_encoded_bytes().strip_prefix(prefix.as_encoded_bytes());
        let number = rest.and_then(|rest| std::str::from_utf8(rest).ok()).map(|rest| (rest, rest.parse::<u32>()));
        number.is_some_and(|(rest, number)| number.is_ok_and(|number| number.to_string() == rest))
    };
    let names = volume.names().map_err(|error| cannot_read(volume, name, error))?;
    Ok(names.into_iter().filter(|name| is_ours(name)).collect())
}

/// Returns the name of one of the journal's files.
pub(super) fn file_name(name: &OsStr, number: &str) -> OsString {
    let mut name = name.to_owned();
    name.push(".journal");
    name.push(number);
    name
}

/// Refuses to start without the database if there is a journal: a new store would lose its content.
pub(super) fn refuse_orphans(volume: &dyn Volume, name: &OsStr) -> Result<(), Error> {
    for name in file_names(volume, name)? {
        match own::whose(volume, &name, None) {
            Ok(Whose::Unfinished) => {}
            Ok(Whose::Foreign(found)) => return Err(Error::NotAJournal { path: volume.path(&name), found }),
            Ok(Whose::Segment(_) | Whose::OtherFormat(_)) => return Err(foreign(volume, &name)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(cannot_read(volume, &name, error)),
        }
    }
    Ok(())
}

/// Syncs what a killed process may have left only in the page cache: later generations build on it, and a power cut must not
/// remove it. That includes the name of a new store: without it, the first segment would be a journal without its database.
fn make_durable(volume: &dyn Volume, name: &OsStr, segments: &[RecoveredSegment], mark: JournalMark) -> Result<(), Error> {
    for left in segments {
        let synced = volume.open(&left.name).and_then(|file| file.sync());
        synced.map_err(|error| cannot_read(volume, &left.name, error))?;
    }
    if segments.is_empty() && mark.in_use {
        return Ok(());
    }
    volume.sync().map_err(|error| cannot_read(volume, name, error))
}

/// Checks that the journal continues exactly where the database ends.
fn check_order(
    volume: &dyn Volume,
    name: &OsStr,
    segments: &[RecoveredSegment],
    mark: JournalMark,
    salvage: bool,
) -> Result<(), Error> {
    let mut before = mark.as_generation();
    for left in segments {
        if !left.label.follows(before) && !salvage {
            return Err(mismatch(volume, name, Some(left), mark));
        }
        before = left.label.as_generation();
    }
    if segments.is_empty() && mark.in_use && !salvage {
        return Err(mismatch(volume, name, None, mark));
    }
    Ok(())
}

/// Drops the segments that are not in use according to the database, so they have no frames. Any of them may exist: a crash may
/// have undone the removal of some.
fn give_up_unused(volume: &dyn Volume, name: &OsStr, recovered: &mut Recovered, mark: JournalMark) -> Result<(), Error> {
    for left in recovered.segments.drain(..) {
        if !is_unused(volume, &left)? {
            return Err(mismatch(volume, name, Some(&left), mark));
        }
        recovered.empty.push(left.name);
    }
    Ok(())
}

/// Of two segments of one generation, one was dropped before it was used, and its removal was not durable.
fn drop_unused_twins(volume: &dyn Volume, recovered: &mut Recovered) -> Result<(), Error> {
    let mut at = 1;
    while let Some([left, right]) = recovered.segments.get(at - 1..=at) {
        if left.label.generation != right.label.generation {
            at += 1;
        } else if is_unused(volume, left)? {
            recovered.empty.push(recovered.segments.remove(at - 1).name);
        } else if is_unused(volume, right)? {
            recovered.empty.push(recovered.segments.remove(at).name);
        } else {
            return Ok(());
        }
    }
    Ok(())
}

fn is_unused(volume: &dyn Volume, left: &RecoveredSegment) -> Result<bool, Error> {
    Ok(!frame::has_any(&read_frames(volume, left)?, left.label.salt))
}

fn read_frames(volume: &dyn Volume, left: &RecoveredSegment) -> Result<Vec<u8>, Error> {
    let read = || -> io::Result<Vec<u8>> {
        let file = volume.open(&left.name)?;
        let len = file.len_bytes()?.min(left.label.len_bytes).saturating_sub(START);
        let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
        file.read_at(START, &mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|error| cannot_read(volume, &left.name, error))
}

fn foreign(volume: &dyn Volume, journal: &OsStr) -> Error {
    Error::ForeignJournal { path: volume.path(journal) }
}

fn mismatch(volume: &dyn Volume, name: &OsStr, left: Option<&RecoveredSegment>, mark: JournalMark) -> Error {
    Error::JournalMismatch {
        path: volume.path(name),
        journal: left.map(|left| left.label.generation),
        database: mark.generation,
    }
}

fn cannot_read(volume: &dyn Volume, name: &OsStr, error: io::Error) -> Error {
    Error::Open { path: volume.path(name), source: Cause::new(error) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{
        InMemory,
        segment::{Generation, MIN_BYTES, Segment},
    };

    const STORE: [u8; 16] = [7; 16];

    /// Makes the segment of `generation` on `disk`, and returns its file.
    fn segment(disk: &InMemory, generation: u64) -> (OsString, Segment) {
        let name = file_name(OsStr::new("store"), &generation.to_string());
        let label = Label::new(STORE, Generation { number: generation - 1, salt: 0 }, MIN_BYTES).unwrap();
        let file = disk.create(&name).unwrap();
        (name, Segment::prepare(file, label).unwrap())
    }

    fn recover_on(disk: &InMemory, mark: JournalMark) -> Result<Recovered, Error> {
        recover(disk, OsStr::new("store"), STORE, mark, &AtRest::Plain, false)
    }

    #[test]
    fn unused_segments_are_given_up_whichever_of_them_are_there() {
        let disk = InMemory::default();
        let names = [1, 2, 3].map(|generation| segment(&disk, generation).0);
        disk.remove(&names[0]).unwrap();
        let recovered = recover_on(&disk, JournalMark::default()).unwrap();
        assert_eq!((recovered.segments.len(), recovered.empty), (0, names[1..].to_vec()));
        // If a journal is in use, a gap is an error.
        let in_use = JournalMark { in_use: true, ..JournalMark::default() };
        assert!(matches!(recover_on(&disk, in_use), Err(Error::JournalMismatch { .. })));
    }
}
