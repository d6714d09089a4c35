//! Copies a store while it is in use.
//!
//! The copy is of one moment: that at which the snapshot of redb and the journal's pending records are taken together, under the
//! lock without which no record moves from one to the other. It is written beside its final name, read back and checked, and then
//! renamed.
//!
//! Invariants: under its name a copy is complete or not there; what is under another name is not a store. A copy says that no journal
//! belongs to it, so that the journal of the store itself, or a later one, is an error beside it and is never skipped.

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
    meta::{JournalMark, StoreMeta},
    recover,
    tables::{self, Copied, Snapshot},
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
struct Courtesy {
    began: Instant,
    syncs: u64,
}

impl Courtesy {
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
}

impl Disk {
    /// Copies what is durable now to the new file `name` in `volume`. Calls `progress` with the number of records that are copied,
    /// and of all. `moment_ms` is what the copy says of when it was made.
    pub(crate) fn backup(
        &self,
        volume: &Arc<dyn Volume>,
        name: &OsStr,
        moment_ms: u64,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<BackedUp, Error> {
        self.check_process()?;
        let failed = |source: Cause| Error::Backup { path: volume.path(name), source };
        if volume.look(name).is_ok() {
            return Err(failed(io::Error::from(io::ErrorKind::AlreadyExists).into()));
        }
        recover::refuse_orphans(&**volume, name)?;
        // Also for the whole time of the copy, so that closing waits for it.
        let copying = self.copying.lock();
        let (snapshot, changes) = {
            let pending = self.journal.pending().read();
            (self.read(Snapshot::begin)?, pending.all())
        };
        let form = self.database.at_rest();
        let taken = bounded(|| Ok::<_, redb::Error>((snapshot.meta()?, snapshot.records()?))).map_err(failed)?;
        let (Some(meta), in_file) = taken else { return Err(Error::NotAStore { path: volume.path(name) }) };
        let journal = JournalMark { in_use: false, newest: 0, ..meta.journal };
        let meta = StoreMeta { journal, clock: Some(self.checkpointer.clock()), copied_ms: Some(moment_ms), ..meta };
        let total = in_file + changes.len() as u64;

        let draft = draft_name(name)?;
        let (mut panic, mut courtesy) = (None, Courtesy::begin(&self.flusher));
        let made = (|| {
            let file = volume.create(&draft)?;
            let copied = bounded(|| -> Result<_, redb::Error> {
                let into = redb::Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(Backend::new(file))?;
                let copied = snapshot.copy(&into, form, &changes, &meta, &mut |records| {
                    // A panic of the caller's is the caller's, and not one of the database.
                    panic = catch_unwind(AssertUnwindSafe(|| progress(records, total))).err();
                    if panic.is_some() || self.closing.load(Ordering::Relaxed) {
                        return Err(io::Error::other("the store was closed").into());
                    }
                    Ok(courtesy.next(&self.flusher))
                })?;
                into.close()?;
                Ok(copied)
            })?;
            drop(snapshot);
            let sessions = check(&**volume, &draft, form, copied)?;
            let file_bytes = volume.look(&draft)?.len_bytes;
            publish(&**volume, &draft, name)?;
            Ok(BackedUp { sessions, damaged: copied.damaged, file_bytes })
        })();
        drop(copying);
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
    let file = volume.open(draft)?;
    let (records, damaged, sessions) = bounded(|| -> Result<_, redb::Error> {
        let mut builder = redb::Builder::new();
        let redb =
            builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true).create_with_backend(Backend::new(file))?;
        let counted = tables::count(&redb, form)?;
        redb.close()?;
        Ok(counted)
    })?;
    if records == copied.records && damaged == 0 {
        return Ok(sessions);
    }
    let text = format!("read back, it has {records} records of {}, and {damaged} that are damaged", copied.records);
    Err(io::Error::other(text).into())
}

/// Reads and checks all pages and all records of a file. Returns the number of its records, of those that are damaged, and of its
/// sessions.
fn read_back(volume: &dyn Volume, draft: &OsStr, form: &AtRest) -> Result<(u64, u64, u64), Cause> {
    let file = volume.open(draft)?;
    bounded(|| -> Result<_, redb::Error> {
        let mut builder = redb::Builder::new();
        let redb =
            builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true).create_with_backend(Backend::new(file))?;
        let counted = tables::count(&redb, form)?;
        redb.close()?;
        Ok(counted)
    })
}

/// Gives the draft its name, unless there is such a file by now.
fn publish(volume: &dyn Volume, draft: &OsStr, name: &OsStr) -> Result<(), Cause> {
    let drafted = volume.look(draft)?.id;
    volume.publish(draft, name)?;
    volume.sync()?;
    if drafted != volume.look(name)?.id || volume.look(draft).is_ok() {
        return Err(io::Error::from(io::ErrorKind::AlreadyExists).into());
    }
    Ok(())
}

/// Makes the store `name` in `volume` from the bytes of a backup. Returns what it has, and the moment that it is of.
pub(crate) fn restore(
    from: &mut dyn io::Read,
    volume: &Arc<dyn Volume>,
    name: &OsStr,
    encryption: &Encryption,
) -> Result<(BackedUp, Option<u64>), Error> {
    let failed = |source: Cause| Error::Backup { path: volume.path(name), source };
    if volume.look(name).is_ok() {
        return Err(failed(io::Error::from(io::ErrorKind::AlreadyExists).into()));
    }
    recover::refuse_orphans(&**volume, name)?;
    let draft = draft_name(name)?;
    let made = (|| {
        write_all(from, &**volume, &draft).map_err(|error| failed(error.into()))?;
        let meta = meta_of(&**volume, &draft).map_err(failed)?;
        let Some(meta) = meta.filter(|meta| !meta.journal.in_use) else {
            let text = "it is neither a backup nor the file of a store that was closed; a store that was killed is restored with its journal";
            return Err(failed(io::Error::other(text).into()));
        };
        let form = encryption.form_of(&meta, &volume.path(name))?;
        form.open_secret(&meta.mac_keys, &volume.path(name))?;
        let (records, damaged, sessions) = read_back(&**volume, &draft, &form).map_err(failed)?;
        let file_bytes = volume.look(&draft).map_err(|error| failed(error.into()))?.len_bytes;
        debug_assert!(records >= sessions + damaged, "each is a record");
        publish(&**volume, &draft, name).map_err(failed)?;
        Ok((BackedUp { sessions, damaged, file_bytes }, meta.copied_ms))
    })();
    // Under its draft name, if it still has it, it is useless.
    let _ = volume.remove(&draft);
    made
}

/// Copies all bytes into a new file.
fn write_all(from: &mut dyn io::Read, volume: &dyn Volume, draft: &OsStr) -> io::Result<()> {
    let file = volume.create(draft)?;
    let (mut bytes, mut at) = (vec![0; CHUNK], 0);
    loop {
        match from.read(&mut bytes) {
            Ok(0) => return file.sync(),
            Ok(len) => {
                file.write_at(at, &bytes[..len])?;
                at += len as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Returns the values of the `meta` table of a file; `None` if it is not a store that this build reads.
fn meta_of(volume: &dyn Volume, name: &OsStr) -> Result<Option<StoreMeta>, Cause> {
    let file = volume.open(name)?;
    if file.len_bytes()? == 0 {
        return Ok(None);
    }
    bounded(|| -> Result<_, redb::Error> {
        let redb = redb::Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(Backend::new(file))?;
        let meta = Snapshot::begin(&redb)?.meta()?;
        redb.close()?;
        Ok(meta)
    })
}
