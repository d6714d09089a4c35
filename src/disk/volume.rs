//! What a store needs of the place where its files lie: a directory of the operating system, or in tests a simulated disk that fails on
//! command.
//!
//! Every byte that the store reads or writes goes through these two traits, redb's too, so that a test can count, tear, lose and
//! refuse any of it.
//!
//! Knows nothing of what is in the files.

use std::{
    ffi::{OsStr, OsString},
    fmt, io,
    path::PathBuf,
};

/// A directory of files, as far as a store needs one.
pub(crate) trait Volume: fmt::Debug + Send + Sync + 'static {
    /// Opens a file that exists, for reading and writing.
    fn open(&self, name: &OsStr) -> io::Result<Box<dyn VolumeFile>>;
    /// Makes a file that does not exist. Its name is not durable before [`Volume::sync`].
    fn create(&self, name: &OsStr) -> io::Result<Box<dyn VolumeFile>>;
    /// What is under `name`, without opening it; `NotFound` if nothing is.
    fn look(&self, name: &OsStr) -> io::Result<Seen>;
    /// The names of all files.
    fn names(&self) -> io::Result<Vec<OsString>>;
    /// Gives the file `from` the name `to`, unless a file has that name already: then both stay as they are.
    fn publish(&self, from: &OsStr, to: &OsStr) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &OsStr) -> io::Result<()>;
    /// Whether files can be made here, as far as that is known without making one.
    fn check_writable(&self) -> io::Result<()> {
        Ok(())
    }
    /// Makes the names of files durable.
    fn sync(&self) -> io::Result<()>;
    /// What messages call the file `name`.
    fn path(&self, name: &OsStr) -> PathBuf;
}

/// What is under a name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) kind: FileKind,
    pub(crate) len_bytes: u64,
    pub(crate) id: Option<FileId>,
}

/// Tells a file from every other that exists: its device and its number there. Some systems do not say.
pub(crate) type FileId = (u64, u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    File,
    Directory,
    /// A symbolic link, wherever it leads.
    Link,
    /// A device, a pipe or a socket.
    Other,
}

/// One open file of a [`Volume`].
pub(crate) trait VolumeFile: fmt::Debug + Send + Sync + 'static {
    /// Locks the file against everyone else until it is closed. `false`: somebody has it.
    fn try_lock(&self) -> io::Result<bool>;
    /// Lets go of the lock, whoever else has a copy of this handle.
    fn unlock(&self) -> io::Result<()>;
    fn len_bytes(&self) -> io::Result<u64>;
    fn id(&self) -> io::Result<Option<FileId>>;
    /// Fills `into` from `offset` on; a file that ends before is an error.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()>;
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    fn set_len(&self, len_bytes: u64) -> io::Result<()>;
    /// Makes durable what was written, and the file's length.
    fn sync(&self) -> io::Result<()>;
}

/// A file as redb's storage.
#[derive(Debug)]
pub(super) struct Backend(pub(super) parking_lot::RwLock<Option<Box<dyn VolumeFile>>>);

impl Backend {
    pub(super) fn new(file: Box<dyn VolumeFile>) -> Self {
        Self(parking_lot::RwLock::new(Some(file)))
    }

    fn with<T>(&self, work: impl FnOnce(&dyn VolumeFile) -> io::Result<T>) -> io::Result<T> {
        let file = self.0.read();
        work(file.as_deref().ok_or_else(|| io::Error::other("the file is closed"))?)
    }
}

impl redb::StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.with(VolumeFile::len_bytes)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(|file| file.read_at(offset, out))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(|file| file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(VolumeFile::sync)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with(|file| file.write_at(offset, data))
    }

    /// Closing the file lets go of its lock.
    fn close(&self) -> io::Result<()> {
        *self.0.write() = None;
        Ok(())
    }
}
