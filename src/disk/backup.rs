//! Copies a store while it is in use.
//!
//! The copy is of one moment: that at which the snapshot of redb and the journal's pending records are taken together, under the
//! lock without which no record moves from one to the other. It is written beside its final name, read back and checked, and then
//! renamed.
//!
//! Invariants: under its name a copy is complete or not there. Under its draft name it is no store until it is complete. A copy says that no journal
//! belongs to it, so that the store's own journal beside it is an error.

use std::{
    ffi::OsStr,
    io,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{
    Disk,
    database::{bounded, draft_name},
    flusher::Flusher,
    form::{AtRest, Encryption},
    meta::{CopyMark, JournalMark, StoreMeta},
    recover,
    tables::{self, Contents, Copied, Counted, Snapshot},
    volume::{Backend, Volume},
};
use crate::{Error, error::Cause};

/// The cache of the copy's database while it is written, which nothing is read from.
const CACHE_BYTES: usize = 16 << 20;

/// Bytes of a backup that are read at once.
const CHUNK: usize = 1 << 20;

/// Bytes of a transaction of the copy while commits are made, and while there are none. A commit that waits for the disk behind the
/// sync of 256 KiB waits a millisecond more, of 4 MiB twenty.
const SLICE_BYTES: (usize, usize) = (256 << 10, 4 << 20);
/// While commits are made, the copy rests this many times as long as its last transaction took, but at most for as long as the second.
const REST: (u32, Duration) = (6, Duration::from_millis(200));

/// Leaves the disk to the commits.
struct Pacer {
    began: Instant,
    syncs: u64,
}

impl Pacer {
    fn begin(flusher: &Flusher) -> Self {
        Self { began: Instant::now(), syncs: flusher.syncs() }
    }

    /// Rests, if there were commits since the last call. Returns the bytes of the next transaction.
    fn next(&mut self, flusher: &Flusher) -> usize {
        let is_busy = flusher.syncs() != self.syncs;
        if is_busy {
            thread::sleep((self.began.elapsed() * REST.0).min(REST.1));
        }
        *self = Self::begin(flusher);
        if is_busy { SLICE_BYTES.0 } else { SLICE_BYTES.1 }
    }
}

/// A copy that was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BackedUp {
    pub(crate) sessions: u64,
    pub(crate) damaged: u64,
    pub(crate) file_bytes: u64,
    /// The moment of which it is, in milliseconds since 1970.
    pub(crate) moment_ms: Option<u64>,
}

impl Disk {
    /// Copies what is durable now to the new file `name` in `volume`. Calls `progress` with the number of records that are copied,
    /// and of all.
    pub(crate) fn backup(
        &self,
        volume: &Arc<dyn Volume>,
        name: &OsStr,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<BackedUp, Error> {
        self.check_process()?;
        let failed = |source: Cause| Error::Backup { path: volume.path(name), source };
        if volume.look(name).is_ok() {
            return Err(failed(io::Error::from(io::ErrorKind::AlreadyExists).into()));
        }
        recover::refuse_orphans(&**volume, name)?;
        // Closing waits until the store's file is read.
        let copying = self.copying.lock();
        let (clock, moment_ms) = self.checkpointer.clock();
        // The database first and then the pending records, as everywhere. While these are locked, no record moves to the database and
        // out of them.
        let (snapshot, changes) = self.read(|redb| {
            let pending = self.journal.pending().read();
            Ok((Snapshot::begin(redb)?, pending.all()))
        })?;
        let form = self.database.at_rest();
        let taken = bounded(|| Ok::<_, redb::Error>((snapshot.meta()?, snapshot.records()?))).map_err(failed)?;
        let (Some(meta), in_file) = taken else { return Err(Error::NotAStore { path: volume.path(name) }) };
        let journal = JournalMark { in_use: false, newest: 0, ..meta.journal };
        let meta = StoreMeta {
            journal,
            clock: Some(clock),
            copied: Some(CopyMark { moment_ms, generation: journal.generation }),
            ..meta
        };
        let total = in_file + changes.len() as u64;

        let draft = draft_name(name)?;
        let (mut panic, mut pacer) = (None, Pacer::begin(&self.flusher));
        let made = (|| {
            let file = volume.create(&draft)?;
            let copied = bounded(|| -> Result<_, redb::Error> {
                let into = redb::Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(Backend::new(file))?;
                let copied = snapshot.copy(&into, form, &changes, &meta, &mut |records| {
                    // Resumed below: a panic of the caller is not an error of the database.
                    panic = catch_unwind(AssertUnwindSafe(|| progress(records, total))).err();
                    if panic.is_some() || self.closing.load(Ordering::Relaxed) {
                        return Err(io::Error::other("the store was closed").into());
                    }
                    Ok(pacer.next(&self.flusher))
                })?;
                into.close()?;
                Ok(copied)
            })?;
            drop((snapshot, changes, copying));
            let sessions = check(&**volume, &draft, form, copied)?;
            let file_bytes = volume.look(&draft)?.len_bytes;
            publish(&**volume, &draft, name)?;
            Ok(BackedUp { sessions, damaged: copied.damaged, file_bytes, moment_ms: Some(moment_ms) })
        })();
        // Under its draft name, if it still has it, it is useless.
        let _ = volume.remove(&draft);
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
        made.map_err(failed)
    }
}

/// Reads the copy back: its pages, the number of its records, and each record. Returns the number of sessions.
fn check(volume: &dyn Volume, draft: &OsStr, form: &AtRest, copied: Copied) -> Result<u64, Cause> {
    let redb = open_checked(volume, draft)?;
    let Counted { records, damaged, sessions, .. } = bounded(|| tables::count(&redb, form))?;
    bounded(|| redb.close())?;
    if records == copied.records && damaged == 0 {
        return Ok(sessions);
    }
    let text = format!("read back, it has {records} records of {}, and {damaged} that are damaged", copied.records);
    Err(io::Error::other(text).into())
}

/// Opens a file after all of its pages were checked: of a damaged one, redb may end the process when it reads it.
fn open_checked(volume: &dyn Volume, draft: &OsStr) -> Result<redb::Database, Cause> {
    let file = volume.open(draft)?;
    if file.len_bytes()? == 0 {
        return Err(Cause::text("the file is empty"));
    }
    bounded(|| {
        let mut builder = redb::Builder::new();
        builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true).create_with_backend(Backend::new(file))
    })
}

/// Renames the draft to `name`. Returns an error if there is a file of that name by now.
fn publish(volume: &dyn Volume, draft: &OsStr, name: &OsStr) -> Result<(), Cause> {
    let drafted = volume.look(draft)?.id;
    volume.publish(draft, name)?;
    if drafted != volume.look(name)?.id || volume.look(draft).is_ok() {
        return Err(io::Error::from(io::ErrorKind::AlreadyExists).into());
    }
    volume.sync().map_err(|error| {
        // Without the sync, a power cut may undo the rename: that is not to be taken for a backup.
        let _ = volume.remove(name);
        error.into()
    })
}

/// Makes the store `name` in `volume` from the bytes of a backup. Returns what it has.
pub(crate) fn restore(
    from: &mut dyn io::Read,
    volume: &Arc<dyn Volume>,
    name: &OsStr,
    encryption: &Encryption,
) -> Result<BackedUp, Error> {
    let failed = |source: Cause| Error::Backup { path: volume.path(name), source };
    if volume.look(name).is_ok() {
        return Err(failed(io::Error::from(io::ErrorKind::AlreadyExists).into()));
    }
    recover::refuse_orphans(&**volume, name)?;
    let draft = draft_name(name)?;
    let made = (|| {
        write_all(from, &**volume, &draft).map_err(failed)?;
        let redb = open_checked(&**volume, &draft).map_err(failed)?;
        let meta = match bounded(|| tables::contents(&redb)).map_err(failed)? {
            Contents::Store(meta) if !meta.journal.in_use => meta,
            Contents::OtherFormat(found) => {
                return Err(Error::StoreFormat { path: volume.path(name), found, expected: tables::FORMAT });
            }
            Contents::Store(_) => {
                return Err(failed(Cause::text("the store was not closed, and its journal is not in the file")));
            }
            Contents::SomethingElse => return Err(failed(Cause::text("the file is not a backup of a store"))),
        };
        let form = encryption.form_of(&meta, &volume.path(name))?;
        form.open_secret(&meta.mac_keys, &volume.path(name))?;
        let counted = bounded(|| tables::count(&redb, &form)).map_err(failed)?;
        bounded(|| redb.close()).map_err(failed)?;
        let Counted { damaged, sessions, unknown, .. } = counted;
        if unknown > 0 {
            let text =
                format!("{unknown} records cannot be read with the keys, or by this version; accept the older keys, too");
            return Err(failed(io::Error::other(text).into()));
        }
        let file_bytes = volume.look(&draft).map_err(|error| failed(error.into()))?.len_bytes;
        publish(&**volume, &draft, name).map_err(failed)?;
        // The mark stays when the store goes on, but then the file is not of that moment any more.
        let moment_ms =
            meta.copied.filter(|copied| copied.generation == meta.journal.generation).map(|copied| copied.moment_ms);
        Ok(BackedUp { sessions, damaged, file_bytes, moment_ms })
    })();
    // Under its draft name, if it still has it, it is useless.
    let _ = volume.remove(&draft);
    made
}

/// Copies all bytes into a new file.
fn write_all(from: &mut dyn io::Read, volume: &dyn Volume, draft: &OsStr) -> Result<(), Cause> {
    let file = volume.create(draft)?;
    let (mut bytes, mut at) = (vec![0; CHUNK], 0);
    loop {
        match from.read(&mut bytes) {
            Ok(0) => return Ok(file.sync()?),
            Ok(len) => {
                file.write_at(at, &bytes[..len])?;
                at += len as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                let text = format!("the backup cannot be read: {error}");
                return Err(io::Error::new(error.kind(), text).into());
            }
        }
    }
}
