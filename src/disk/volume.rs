//! The interface between a store and its files: a directory of the operating system, or in tests a simulated disk that fails on
//! command.
//!
//! Every byte that the store reads or writes passes through these two traits, redb's too, so that a test can count, tear, lose
//! and refuse any of them.
//!
//! Knows nothing of the files' content.

#![cfg_attr(not(feature = "test-util"), expect(unreachable_pub, reason = "volumes of one's own are for tests"))]

use std::{
    ffi::{OsStr, OsString},
    fmt, io,
    path::PathBuf,
};

/// The operations that a store needs of a directory.
///
/// Tests implement it to observe or change what a store does to its files; see [`Builder::open_on`](crate::Builder::open_on).
/// The crate `sessile-fault-disk` has one that fails, tears writes and loses unsynced data.
pub trait Volume: fmt::Debug + Send + Sync + 'static {
    /// Opens a file that exists, for reading and writing.
    ///
    /// # Errors
    /// `NotFound` if there is no file `name`.
    fn open(&self, name: &OsStr) -> io::Result<Box<dyn VolumeFile>>;
    /// Creates a file. Its name is not durable before [`Volume::sync`].
    ///
    /// # Errors
    /// `AlreadyExists` if there is a file `name`.
    fn create(&self, name: &OsStr) -> io::Result<Box<dyn VolumeFile>>;
    /// Returns the metadata of `name`, without opening it.
    ///
    /// # Errors
    /// `NotFound` if nothing has this name.
    fn look(&self, name: &OsStr) -> io::Result<Seen>;
    /// Returns the names of all files.
    fn names(&self) -> io::Result<Vec<OsString>>;
    /// Renames the file `from` to `to`. Does nothing if there is a file `to`.
    fn publish(&self, from: &OsStr, to: &OsStr) -> io::Result<()>;
    /// Removes a file. Handles that are open keep its content.
    fn remove(&self, name: &OsStr) -> io::Result<()>;
    /// Checks whether files can be created here, as far as that is known without creating one.
    fn check_writable(&self) -> io::Result<()> {
        Ok(())
    }
    /// Makes the names of files durable.
    fn sync(&self) -> io::Result<()>;
    /// The path of the file `name` in messages.
    fn path(&self, name: &OsStr) -> PathBuf;
}

/// The metadata of a name; from [`Volume::look`].
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// The kind of file.
    pub kind: FileKind,
    /// Its length.
    pub len_bytes: u64,
    /// Its device and its number there; `None` on systems that have none.
    pub id: Option<FileId>,
}

/// A file's device and its number there, unique among existing files.
pub type FileId = (u64, u64);

/// The kind of a file in a [`Volume`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, to any target.
    Link,
    /// A device, a pipe or a socket.
    Other,
}

/// An open file of a [`Volume`].
pub trait VolumeFile: fmt::Debug + Send + Sync + 'static {
    /// Locks the file against every other handle, until this one unlocks or drops it. Returns `false` if another handle has the
    /// lock.
    fn try_lock(&self) -> io::Result<bool>;
    /// Unlocks the file, even if another process has a copy of this handle.
    fn unlock(&self) -> io::Result<()>;
    /// Returns the file's length.
    fn len_bytes(&self) -> io::Result<u64>;
    /// Returns the file's device and number; `None` on systems that have none.
    fn id(&self) -> io::Result<Option<FileId>>;
    /// Fills `into` with the bytes from `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file ends earlier.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()>;
    /// Writes `bytes` at `offset`. A shorter file grows, with zeros in between.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Truncates the file, or extends it with zeros.
    fn set_len(&self, len_bytes: u64) -> io::Result<()>;
    /// Makes the file's content and length durable.
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

    /// Closing the file releases its lock.
    fn close(&self) -> io::Result<()> {
        *self.0.write() = None;
        Ok(())
    }
}
