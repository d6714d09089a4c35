//! A directory that is held open: its files are opened relative to it, not by a path.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::unix::ffi::OsStrExt,
    path::PathBuf,
};

use rustix::{
    fs::{self, Access, AtFlags, Dir, FileType, Mode, OFlags},
    io::{Errno, retry_on_intr},
};

use crate::disk::volume::{FileKind, Seen, Volume, VolumeFile};

#[derive(Debug)]
pub(crate) struct Directory {
    handle: File,
    /// Its path when it was opened, for messages.
    path: PathBuf,
}

impl Directory {
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        Ok(Self { handle: File::open(&path)?, path })
    }

    fn open_with(&self, name: &OsStr, flags: OFlags) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | flags;
        Ok(retry_on_intr(|| fs::openat(&self.handle, name, flags, Mode::RUSR | Mode::WUSR))?.into())
    }
}

impl Volume for Directory {
    fn open(&self, name: &OsStr) -> io::Result<Box<dyn VolumeFile>> {
        Ok(Box::new(self.open_with(name, OFlags::empty())?))
    }

    fn create(&self, name: &OsStr) -> io::Result<Box<dyn VolumeFile>> {
        let file = self.open_with(name, OFlags::CREATE | OFlags::EXCL)?;
        match super::give_to_owner(&file) {
            Ok(()) => Ok(Box::new(file)),
            Err(error) => {
                // It was just created, and is useless.
                let _ = self.remove(name);
                Err(error)
            }
        }
    }

    fn look(&self, name: &OsStr) -> io::Result<Seen> {
        let found = fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = match FileType::from_raw_mode(found.st_mode) {
            FileType::RegularFile => FileKind::File,
            FileType::Directory => FileKind::Directory,
            FileType::Symlink => FileKind::Link,
            _ => FileKind::Other,
        };
        let len_bytes = u64::try_from(found.st_size).map_err(io::Error::other)?;
        // Their types differ between systems.
        #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss, clippy::cast_lossless, reason = "depends on the system")]
        let id = (found.st_dev as u64, found.st_ino as u64);
        Ok(Seen { kind, len_bytes, id: Some(id) })
    }

    fn names(&self) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.handle)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(OsStr::from_bytes(name).to_owned());
            }
        }
        Ok(names)
    }

    fn publish(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        match fs::linkat(&self.handle, from, &self.handle, to, AtFlags::empty()) {
            Ok(()) => self.remove(from),
            Err(Errno::EXIST) => Ok(()),
            // FAT has no hard links. A rename would replace a file that appeared just now, so it comes second.
            Err(_) if self.look(to).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) => {
                Ok(fs::renameat(&self.handle, from, &self.handle, to)?)
            }
            Err(_) => Ok(()),
        }
    }

    fn remove(&self, name: &OsStr) -> io::Result<()> {
        Ok(fs::unlinkat(&self.handle, name, AtFlags::empty())?)
    }

    fn check_writable(&self) -> io::Result<()> {
        Ok(fs::accessat(&self.handle, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)?)
    }

    fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    fn path(&self, name: &OsStr) -> PathBuf {
        self.path.join(name)
    }
}
