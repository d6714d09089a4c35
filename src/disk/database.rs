//! The redb file: making it, opening it, and reopening it after a failure.
//!
//! Facts behind it: one I/O error, even of a read, closes redb for all callers until it is reopened; a damaged file makes it
//! panic now and then (0.3-1 % of flipped bits); and it takes a file of 0 bytes for a new one. So an existing file is never
//! created, every call runs inside a panic boundary, and after a failure the file is reopened.
//!
//! Invariants: a new store appears under its name complete or not at all; one process at a time has the file, even while redb
//! is closed after a failure; the file that is reopened is the one that was locked.

use std::{
    ffi::{OsStr, OsString},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Mutex, RwLock};
use redb::DatabaseError::DatabaseAlreadyOpen;

use super::{
    form::{AtRest, Encryption},
    meta::StoreMeta,
    recover,
    tables::{self, Contents},
    volume::{Backend, Volume, VolumeFile},
};
use crate::{Error, error::Cause, keys::KeyRing, token::random_bytes};

/// How the redb file is opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    pub(super) cache_bytes: usize,
    /// Read and check the whole file.
    pub(super) verify: bool,
    /// Make a store from an existing empty file.
    pub(super) accept_empty: bool,
}

pub(super) struct Database {
    volume: Arc<dyn Volume>,
    name: OsString,
    options: Options,
    store_id: [u8; 16],
    form: AtRest,
    redb: RwLock<Option<redb::Database>>,
    /// Holds the file's lock while the store is open: redb releases its own whenever it is reopened.
    lock: RwLock<Option<Lock>>,
    /// Whether a call failed since redb was opened.
    failed: AtomicBool,
    /// When a reader last opened redb again, or tried to.
    tried: Mutex<Option<Instant>>,
}

/// How often a lock that another process holds is tried again: a deploy waits for the old process to close, which takes some
/// syncs.
const LOCK_POLL: Duration = Duration::from_millis(10);
/// The least time between two attempts of readers to reopen redb: as long as one takes on a slow disk, so that readers do not
/// keep a failing disk busy.
const REVIVAL: Duration = Duration::from_millis(20);

impl Database {
    /// Opens the store `name`, or makes one if there is no file.
    pub(super) fn open(
        volume: Arc<dyn Volume>,
        name: &OsStr,
        options: Options,
        encryption: &Encryption,
        wait_for_lock: Duration,
    ) -> Result<(Self, StoreMeta), Error> {
        match volume.check_writable() {
            Err(error) if matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied) => {
                return Err(Error::ReadOnly { path: volume.path(name), source: Cause::new(error) });
            }
            // Any other obstacle shows at once.
            Ok(()) | Err(_) => {}
        }
        match volume.look(name).map(|seen| seen.len_bytes) {
            Ok(0) if !options.accept_empty => return Err(Error::EmptyFile { path: volume.path(name) }),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                recover::refuse_orphans(&*volume, name)?;
                create(&*volume, name, options, encryption)?;
            }
            Err(error) => return Err(cannot_open(&*volume, name, error)),
        }
        let lock = take_lock(&*volume, name, wait_for_lock)?;
        // Another process may have filled the file while this one waited for the lock.
        if options.accept_empty && lock.0.len_bytes().map_err(|error| cannot_open(&*volume, name, error))? == 0 {
            recover::refuse_orphans(&*volume, name)?;
            fill(&*volume, name, &*lock.0, options, encryption)?;
        }
        let (redb, mut meta) = open_redb(&*volume, name, options, &lock)?;
        let path = volume.path(name);
        let form = encryption.form_of(&meta, &path)?;
        let (mac_keys, is_outdated) = form.open_secret(&meta.mac_keys, &path)?;
        let database = Self {
            volume,
            name: name.into(),
            options,
            store_id: meta.store_id,
            form,
            redb: RwLock::new(Some(redb)),
            lock: RwLock::new(Some(lock)),
            failed: AtomicBool::new(false),
            tried: Mutex::default(),
        };
        if is_outdated {
            // The store must open without the old key once that is removed.
            let sealed = database.form.seal_secret(&mac_keys)?;
            database.with(|redb| tables::write(redb, &database.form, |tables| tables.set_mac_keys(&sealed)))?;
        }
        meta.mac_keys = mac_keys;
        Ok((database, meta))
    }

    #[cfg(feature = "encryption")]
    pub(super) fn path(&self) -> std::path::PathBuf {
        self.volume.path(&self.name)
    }

    /// Returns the form of the records in it and in its journal.
    pub(super) fn at_rest(&self) -> &AtRest {
        &self.form
    }

    /// Runs `work` on redb. Returns its failure, or a panic in it, as an error of the disk.
    pub(super) fn with<T>(&self, work: impl FnOnce(&redb::Database) -> Result<T, redb::Error>) -> Result<T, Error> {
        let redb = self.redb.read();
        let Some(redb) = &*redb else {
            return Err(Error::Degraded { source: Cause::text("the file is closed after a failure and not open again yet") });
        };
        bounded(|| work(redb)).map_err(|source| {
            self.failed.store(true, Ordering::Relaxed);
            Error::Degraded { source }
        })
    }

    /// Whether redb must be reopened.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Checks that the store's file still has its name. If it has not, nothing may be removed that only this file contains: the
    /// name now has another file, or none.
    pub(super) fn check_name(&self) -> Result<(), Error> {
        match &*self.lock.read() {
            Some(lock) => lock.check_name(&*self.volume, &self.name),
            None => Err(Error::Closed),
        }
    }

    /// Closes redb and opens it again.
    pub(super) fn reopen(&self) -> Result<(), Error> {
        self.renew(&mut self.redb.write())
    }

    /// Reopens redb for a reader that found it closed, unless another thread has by now. Returns whether the reader may retry.
    /// A failing disk is tried at most once every [`REVIVAL`].
    pub(super) fn revive(&self) -> bool {
        let mut slot = self.redb.write();
        if slot.is_some() && !self.has_failed() {
            return true;
        }
        let is_closed = self.lock.read().is_none();
        let (mut tried, now) = (self.tried.lock(), Instant::now());
        if is_closed || tried.is_some_and(|at| now < at + REVIVAL) {
            return false;
        }
        *tried = Some(now);
        drop(tried);
        self.renew(&mut slot).is_ok()
    }

    fn renew(&self, slot: &mut Option<redb::Database>) -> Result<(), Error> {
        // A database that failed may fail to close, too; what it did not write is still in the journal.
        let old = slot.take();
        drop(bounded(|| old.map_or(Ok(()), redb::Database::close)));
        if self.volume.look(&self.name).is_ok_and(|seen| seen.len_bytes == 0) {
            return Err(Error::EmptyFile { path: self.volume.path(&self.name) });
        }
        let lock = self.lock.read();
        let Some(lock) = &*lock else { return Err(Error::Closed) };
        let opened = open_redb(&*self.volume, &self.name, Options { verify: false, ..self.options }, lock);
        let (redb, meta) = opened.map_err(|error| match error {
            // The store is open: this is a passing state of the disk.
            Error::Open { source, .. } => Error::Degraded { source },
            error => error,
        })?;
        if meta.store_id != self.store_id {
            let error = io::Error::other("another store has taken the place of the one that was open");
            return Err(cannot_open(&*self.volume, &self.name, error));
        }
        *slot = Some(redb);
        self.failed.store(false, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn close(&self) -> Result<(), Error> {
        // Held to the end, so that no reader reopens it meanwhile.
        let mut slot = self.redb.write();
        let redb = slot.take();
        let closed = bounded(|| redb.map_or(Ok(()), redb::Database::close)).map_err(|source| Error::Degraded { source });
        *self.lock.write() = None;
        closed
    }

    #[cfg(any(feature = "tower", feature = "foreign"))]
    pub(super) fn store_id(&self) -> [u8; 16] {
        self.store_id
    }

    pub(super) fn len_bytes(&self) -> u64 {
        self.volume.look(&self.name).map_or(0, |seen| seen.len_bytes)
    }
}

/// A file's lock, released on drop. Closing the file is not enough: a child process has a copy of the handle from its start
/// until it runs its own program, and the store could not be opened until then.
struct Lock(Box<dyn VolumeFile>);

impl Lock {
    /// Checks that the locked file has this name.
    fn check_name(&self, volume: &dyn Volume, name: &OsStr) -> Result<(), Error> {
        let degraded = |error| Error::Degraded { source: Cause::new(error) };
        let id = self.0.id().map_err(degraded)?;
        match volume.look(name) {
            Ok(seen) if seen.id == id => Ok(()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(degraded(error)),
            Ok(_) | Err(_) => Err(Error::FileReplaced { path: volume.path(name) }),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // If this fails, the system releases the lock when the process ends.
        let _ = self.0.unlock();
    }
}

fn take_lock(volume: &dyn Volume, name: &OsStr, wait: Duration) -> Result<Lock, Error> {
    let give_up = Instant::now().checked_add(wait);
    let file = volume.open(name).map_err(|error| cannot_open(volume, name, error))?;
    // On Windows a lock also excludes the other handles of its own process, so redb alone locks its file there.
    while cfg!(unix) && !file.try_lock().map_err(|error| cannot_open(volume, name, error))? {
        if give_up.is_some_and(|at| Instant::now() >= at) {
            return Err(Error::AlreadyOpen { path: volume.path(name) });
        }
        thread::sleep(LOCK_POLL);
    }
    Ok(Lock(file))
}

fn open_redb(volume: &dyn Volume, name: &OsStr, options: Options, lock: &Lock) -> Result<(redb::Database, StoreMeta), Error> {
    let file = volume.open(name).map_err(|error| cannot_open(volume, name, error))?;
    let ids = file.id().and_then(|id| Ok((id, lock.0.id()?)));
    if ids.map(|(id, locked)| id != locked).map_err(|error| cannot_open(volume, name, error))? {
        return Err(Error::FileReplaced { path: volume.path(name) });
    }
    // With a custom backend, redb's `open` is this call, and it takes an empty file for a new database.
    if file.len_bytes().map_err(|error| cannot_open(volume, name, error))? == 0 {
        return Err(Error::EmptyFile { path: volume.path(name) });
    }
    // A killed process may have left its last commit only in the page cache; redb's own open syncs the file before anything
    // builds on it.
    let opened = catch_unwind(AssertUnwindSafe(|| {
        redb::Builder::new()
            .set_cache_size(options.cache_bytes)
            .set_check_integrity_on_open(options.verify)
            .create_with_backend(Backend::new(file))
    }));
    let redb = match opened {
        Ok(Ok(redb)) => redb,
        Ok(Err(DatabaseAlreadyOpen)) => return Err(Error::AlreadyOpen { path: volume.path(name) }),
        Ok(Err(error)) => return Err(cannot_open(volume, name, error)),
        Err(panic) => return Err(cannot_open(volume, name, panic_error(&*panic))),
    };
    match bounded(|| tables::contents(&redb)) {
        Ok(Contents::Store(meta)) => Ok((redb, meta)),
        Ok(Contents::OtherFormat(found)) => {
            Err(Error::StoreFormat { path: volume.path(name), found, expected: tables::FORMAT })
        }
        Ok(Contents::SomethingElse) => Err(Error::NotAStore { path: volume.path(name) }),
        Err(source) => Err(Error::Open { path: volume.path(name), source }),
    }
}

/// Makes a new store.
fn create(volume: &dyn Volume, name: &OsStr, options: Options, encryption: &Encryption) -> Result<(), Error> {
    make(volume, name, options, &new_meta(encryption)?, |_| Ok(()))
}

fn new_meta(encryption: &Encryption) -> Result<StoreMeta, Error> {
    let store_id = random_bytes()?;
    let form = encryption.form(store_id);
    Ok(StoreMeta::new(store_id, form.seal_secret(&KeyRing::generate()?.to_bytes())?, &form))
}

/// Makes a new store in the file `into`, which exists, is empty, and may have no other name: the mount point of a single file.
/// A crash in between leaves a file that is not a store, because its first page is written last.
fn fill(
    volume: &dyn Volume,
    name: &OsStr,
    into: &dyn VolumeFile,
    options: Options,
    encryption: &Encryption,
) -> Result<(), Error> {
    // The first page has redb's magic number, without which the file is not a database.
    const PAGE: usize = 4096;
    let (draft, meta) = (draft_name(name)?, new_meta(encryption)?);
    let failed = |source| Error::Open { path: volume.path(name), source };
    let copy = || {
        let file = volume.open(&draft)?;
        let mut bytes = vec![0; usize::try_from(file.len_bytes()?).map_err(io::Error::other)?];
        file.read_at(0, &mut bytes)?;
        let (first, rest) = bytes.split_at(bytes.len().min(PAGE));
        into.write_at(PAGE as u64, rest)?;
        into.sync()?;
        into.write_at(0, first)?;
        into.sync()
    };
    let made = draw_up(volume, &draft, &meta, options).map_err(failed).and_then(|redb| {
        bounded(|| redb.close()).map_err(failed)?;
        copy().map_err(|error| failed(error.into()))
    });
    let _ = volume.remove(&draft);
    made
}

/// Returns an unused name.
pub(super) fn draft_name(name: &OsStr) -> Result<OsString, Error> {
    let suffix = u64::from_ne_bytes(random_bytes()?);
    let mut draft = name.to_owned();
    draft.push(format!(".new-{suffix:016x}"));
    Ok(draft)
}

/// Makes a complete store under a draft name, with the content that `fill` writes, then gives it the name `name`.
pub(super) fn make(
    volume: &dyn Volume,
    name: &OsStr,
    options: Options,
    meta: &StoreMeta,
    fill: impl FnOnce(&redb::Database) -> Result<(), Error>,
) -> Result<(), Error> {
    let draft = draft_name(name)?;
    let failed = |source| Error::Open { path: volume.path(name), source };
    let made = draw_up(volume, &draft, meta, options).map_err(failed).and_then(|redb| {
        fill(&redb)?;
        bounded(|| redb.close()).map_err(failed)?;
        volume.publish(&draft, name).and_then(|()| volume.sync()).map_err(|error| failed(error.into()))
    });
    // Under its draft name, if it still has it, it is useless.
    let _ = volume.remove(&draft);
    made
}

fn draw_up(volume: &dyn Volume, draft: &OsStr, meta: &StoreMeta, options: Options) -> Result<redb::Database, Cause> {
    let file = volume.create(draft)?;
    bounded(|| -> Result<_, redb::Error> {
        let redb = redb::Builder::new().set_cache_size(options.cache_bytes).create_with_backend(Backend::new(file))?;
        tables::create(&redb, meta)?;
        Ok(redb)
    })
}

/// Runs `work` inside a panic boundary.
pub(super) fn bounded<T, E: Into<redb::Error>>(work: impl FnOnce() -> Result<T, E>) -> Result<T, Cause> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Cause::new(error.into())),
        Err(panic) => Err(Cause::new(panic_error(&*panic))),
    }
}

fn panic_error(panic: &(dyn std::any::Any + Send)) -> io::Error {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    io::Error::other(format!("the database panicked, so the file is damaged: {}", text.unwrap_or("no message")))
}

fn cannot_open(volume: &dyn Volume, name: &OsStr, source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Open { path: volume.path(name), source: Cause::new(source) }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_is_being_started_does_not_keep_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let volume = super::super::directory::of(&dir.path().join("store")).unwrap().unwrap().0;
        let name = OsStr::new("store");
        let file = std::fs::File::create(dir.path().join("store")).unwrap();
        // As a child has it before it runs its own program.
        let copy = file.try_clone().unwrap();
        assert!(VolumeFile::try_lock(&file).unwrap());
        let lock = Lock(Box::new(file));
        assert!(matches!(take_lock(&volume, name, Duration::ZERO), Err(Error::AlreadyOpen { .. })));
        drop(lock);
        assert!(take_lock(&volume, name, Duration::ZERO).is_ok());
        drop(copy);
    }
}
