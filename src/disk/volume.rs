//! Where a store's files lie: a directory, or in tests a simulated disk that fails on command.
//!
//! Every byte that the store reads or writes goes through these two traits, redb's too, so that a test can count, tear, lose and
//! refuse any of it.
//!
//! Knows nothing of what is in the files.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
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
    /// Makes the names of files durable.
    fn sync(&self) -> io::Result<()>;
    /// What messages call the file `name`.
    fn path(&self, name: &OsStr) -> PathBuf;
}

/// What is under a name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) kind: Kind,
    pub(crate) len_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
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
    /// Fills `into` from `offset` on; a file that ends before is an error.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()>;
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    fn set_len(&self, len_bytes: u64) -> io::Result<()>;
    /// Makes durable what was written, and the file's length.
    fn sync(&self) -> io::Result<()>;
}

/// A directory of the operating system, by a path that starts at the root and has no link in it: another working directory, as a daemon
/// takes, or a link that is set anew, does not part the store's file from its journal.
#[derive(Debug)]
pub(crate) struct Directory(PathBuf);

impl Directory {
    /// The directory in which the file of `path` lies, and the file's name in it. A link is followed: the journal lies beside the file and
    /// not beside the link. `None`: the path ends in no name.
    pub(crate) fn of(path: &Path) -> io::Result<Option<(Self, OsString)>> {
        let Some(name) = path.file_name() else { return Ok(None) };
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        match fs::canonicalize(path) {
            Ok(file) => {
                if !fs::metadata(&file)?.is_file() {
                    let text = "it is no regular file but a directory, a device, a pipe or a socket; give the path of a file";
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
                }
                Ok(file.file_name().zip(file.parent()).map(|(name, parent)| (Self(parent.into()), name.to_owned())))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if fs::symlink_metadata(path).is_ok() {
                    let text = "it is a link that leads to no file; remove the link, or make its target's directory and give that path";
                    return Err(io::Error::new(io::ErrorKind::NotFound, text));
                }
                Ok(Some((Self(fs::canonicalize(parent)?), name.to_owned())))
            }
            Err(error) => Err(error),
        }
    }
}

impl Volume for Directory {
    fn open(&self, name: &OsStr) -> io::Result<Box<dyn VolumeFile>> {
        Ok(Box::new(OpenOptions::new().read(true).write(true).open(self.path(name))?))
    }

    fn create(&self, name: &OsStr) -> io::Result<Box<dyn VolumeFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        // The MAC keys and the sessions are in it: nobody else on the machine needs to read it.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        Ok(Box::new(options.open(self.path(name))?))
    }

    fn look(&self, name: &OsStr) -> io::Result<Seen> {
        let found = fs::symlink_metadata(self.path(name))?;
        let kind = match found.file_type() {
            kind if kind.is_file() => Kind::File,
            kind if kind.is_dir() => Kind::Directory,
            kind if kind.is_symlink() => Kind::Link,
            _ => Kind::Other,
        };
        Ok(Seen { kind, len_bytes: found.len() })
    }

    fn names(&self) -> io::Result<Vec<OsString>> {
        fs::read_dir(&self.0)?.map(|entry| Ok(entry?.file_name())).collect()
    }

    fn publish(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        let (from, to) = (self.path(from), self.path(to));
        match fs::hard_link(&from, &to) {
            Ok(()) => fs::remove_file(&from),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            // FAT has no hard links. A rename would replace a file that appeared just now, so it comes second.
            Err(_) if !to.exists() => fs::rename(&from, &to),
            Err(_) => Ok(()),
        }
    }

    fn remove(&self, name: &OsStr) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn sync(&self) -> io::Result<()> {
        // Windows has no such thing as syncing a directory.
        if cfg!(unix) { File::open(&self.0)?.sync_all() } else { Ok(()) }
    }

    fn path(&self, name: &OsStr) -> PathBuf {
        self.0.join(name)
    }
}

impl VolumeFile for File {
    fn try_lock(&self) -> io::Result<bool> {
        match Self::try_lock(self) {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn unlock(&self) -> io::Result<()> {
        Self::unlock(self)
    }

    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    #[cfg(unix)]
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, into, offset)
    }

    #[cfg(unix)]
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(self, bytes, offset)
    }

    #[cfg(windows)]
    fn read_at(&self, mut offset: u64, mut into: &mut [u8]) -> io::Result<()> {
        while !into.is_empty() {
            match std::os::windows::fs::FileExt::seek_read(self, into, offset)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => {
                    offset += read as u64;
                    into = &mut into[read..];
                }
            }
        }
        Ok(())
    }

    #[cfg(windows)]
    fn write_at(&self, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = std::os::windows::fs::FileExt::seek_write(self, bytes, offset)?;
            offset += written as u64;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        Self::set_len(self, len_bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
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
