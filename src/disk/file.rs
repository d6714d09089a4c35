//! The redb file: making it, opening it, and opening it again after it failed.
//!
//! Facts behind it: one I/O error, of a read too, closes redb for everyone until it is opened again; a damaged file makes it
//! panic now and then (0.3-1 % of flipped bits); and it takes a file of 0 bytes for a new one. So an existing file is never
//! created, every call runs inside a panic boundary, and after a failure the file is opened anew.
//!
//! Invariant: a new store appears under its name complete or not at all.

use std::{
    fs::{self, File, OpenOptions},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use parking_lot::RwLock;
use redb::{Database, DatabaseError, backends::FileBackend};

use super::tables::{self, Contents, StoreMeta};
use crate::{
    Error,
    error::Cause,
    token::{KeyRing, random_bytes},
};

pub(super) struct StoreFile {
    path: PathBuf,
    cache_bytes: usize,
    store_id: [u8; 16],
    db: RwLock<Option<Database>>,
    /// Whether a call failed since it was opened.
    failed: AtomicBool,
}

/// How often a file that another process holds is tried again.
const LOCK_POLL: Duration = Duration::from_millis(10);

impl StoreFile {
    /// Opens the store at `path`, or makes one where no file is. Also gives the bytes of its MAC keys.
    pub(super) fn open(path: &Path, cache_bytes: usize, wait_for_lock: Duration) -> Result<(Self, Vec<u8>), Error> {
        match fs::metadata(path) {
            Ok(meta) if meta.len() == 0 => return Err(Error::EmptyFile { path: path.into() }),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(path, cache_bytes)?,
            Err(error) => return Err(cannot_open(path, error)),
        }
        let give_up = Instant::now().checked_add(wait_for_lock);
        loop {
            match open_store(path, cache_bytes) {
                Err(Error::AlreadyOpen { .. }) if give_up.is_none_or(|at| Instant::now() < at) => thread::sleep(LOCK_POLL),
                Err(error) => return Err(error),
                Ok((db, meta)) => {
                    let file = Self {
                        path: path.into(),
                        cache_bytes,
                        store_id: meta.store_id,
                        db: RwLock::new(Some(db)),
                        failed: AtomicBool::new(false),
                    };
                    return Ok((file, meta.mac_keys));
                }
            }
        }
    }

    /// A store that is gone when it is closed.
    #[cfg(feature = "test-util")]
    pub(super) fn in_memory(cache_bytes: usize) -> Result<(Self, Vec<u8>), Error> {
        let meta = StoreMeta { store_id: random_bytes()?, mac_keys: KeyRing::generate()?.to_bytes() };
        let path = PathBuf::from(":memory:");
        let made = bounded(|| -> Result<Database, redb::Error> {
            let backend = redb::backends::InMemoryBackend::new();
            let db = redb::Builder::new().set_cache_size(cache_bytes).create_with_backend(backend)?;
            tables::create(&db, &meta)?;
            Ok(db)
        });
        let db = made.map_err(|source| Error::Open { path: path.clone(), source })?;
        let (db, failed) = (RwLock::new(Some(db)), AtomicBool::new(false));
        Ok((Self { path, cache_bytes, store_id: meta.store_id, db, failed }, meta.mac_keys))
    }

    /// Runs `work` on the database. Its failure, or a panic in it, is told as the disk's.
    pub(super) fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, Error> {
        let db = self.db.read();
        let Some(db) = &*db else {
            return Err(Error::Degraded { source: Cause::text("the file is closed after a failure and not open again yet") });
        };
        bounded(|| work(db)).map_err(|source| {
            self.failed.store(true, Ordering::Relaxed);
            Error::Degraded { source }
        })
    }

    /// Whether it must be opened again.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Closes the file and opens it again.
    pub(super) fn reopen(&self) -> Result<(), Error> {
        let mut slot = self.db.write();
        // A database that failed may fail to close, too; what it held back is still in the queue.
        let old = slot.take();
        drop(bounded(|| old.map_or(Ok(()), Database::close)));
        if fs::metadata(&self.path).is_ok_and(|meta| meta.len() == 0) {
            return Err(Error::EmptyFile { path: self.path.clone() });
        }
        let (db, meta) = open_store(&self.path, self.cache_bytes)?;
        if meta.store_id != self.store_id {
            return Err(cannot_open(
                &self.path,
                io::Error::other("another store has taken the place of the one that was open"),
            ));
        }
        *slot = Some(db);
        self.failed.store(false, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn close(&self) -> Result<(), Error> {
        let db = self.db.write().take();
        bounded(|| db.map_or(Ok(()), Database::close)).map_err(|source| Error::Degraded { source })
    }

    pub(super) fn len_bytes(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |meta| meta.len())
    }
}

fn open_store(path: &Path, cache_bytes: usize) -> Result<(Database, StoreMeta), Error> {
    let opened = catch_unwind(|| redb::Builder::new().set_cache_size(cache_bytes).open(path));
    let db = match opened {
        Ok(Ok(db)) => db,
        Ok(Err(DatabaseError::DatabaseAlreadyOpen)) => return Err(Error::AlreadyOpen { path: path.into() }),
        Ok(Err(error)) => return Err(cannot_open(path, error)),
        Err(panic) => return Err(cannot_open(path, panic_error(&*panic))),
    };
    match bounded(|| tables::contents(&db)) {
        Ok(Contents::Store(meta)) => Ok((db, meta)),
        Ok(Contents::OtherFormat(found)) => Err(Error::StoreFormat { path: path.into(), found, expected: tables::FORMAT }),
        Ok(Contents::SomethingElse) => Err(Error::NotAStore { path: path.into() }),
        Err(source) => Err(Error::Open { path: path.into(), source }),
    }
}

/// Makes a complete store under a name of its own, then gives it the name it was asked for.
fn create(path: &Path, cache_bytes: usize) -> Result<(), Error> {
    let suffix = u64::from_ne_bytes(random_bytes()?);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".new-{suffix:016x}"));
    let draft = path.with_file_name(name);
    let meta = StoreMeta { store_id: random_bytes()?, mac_keys: KeyRing::generate()?.to_bytes() };
    let made = draw_up(&draft, &meta, cache_bytes).and_then(|()| publish(&draft, path).map_err(Cause::new));
    // Under its own name it is of no use to anybody, whether it has another by now or not.
    let _ = fs::remove_file(&draft);
    made.map_err(|source| Error::Open { path: path.into(), source })
}

fn draw_up(draft: &Path, meta: &StoreMeta, cache_bytes: usize) -> Result<(), Cause> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    {
        // The MAC keys are in it: nobody else on the machine needs to read it.
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    let file = options.open(draft)?;
    bounded(|| -> Result<(), redb::Error> {
        let db = redb::Builder::new().set_cache_size(cache_bytes).create_with_backend(FileBackend::new(file)?)?;
        tables::create(&db, meta)?;
        Ok(db.close()?)
    })
}

/// Gives the finished file its name, unless another process was faster: then its store is the one.
fn publish(draft: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(draft, path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        // FAT has no hard links. A rename would replace a file that appeared just now, so it comes second.
        Err(_) if !path.exists() => fs::rename(draft, path)?,
        Err(_) => return Ok(()),
    }
    sync_directory(path)
}

/// Makes the file's name durable, too.
fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Windows has no such thing as syncing a directory.
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}

/// Runs `work` inside a panic boundary.
fn bounded<T, E: Into<redb::Error>>(work: impl FnOnce() -> Result<T, E>) -> Result<T, Cause> {
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

fn cannot_open(path: &Path, source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Open { path: path.into(), source: Cause::new(source) }
}
