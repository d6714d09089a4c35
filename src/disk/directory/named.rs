//! A directory by its absolute path without links: for systems where a directory cannot be held open.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File, OpenOptions},
    io,
    path::PathBuf,
};

use crate::disk::volume::{FileKind, Seen, Volume, VolumeFile};

#[derive(Debug)]
pub(crate) struct Directory(PathBuf);

impl Directory {
    #[expect(clippy::unnecessary_wraps, reason = "to hold one open can fail")]
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        Ok(Self(path))
    }
}

impl Volume for Directory {
    fn open(&self, name: &OsStr) -> io::Result<Box<dyn VolumeFile>> {
        Ok(Box::new(OpenOptions::new().read(true).write(true).open(self.path(name))?))
    }

    fn create(&self, name: &OsStr) -> io::Result<Box<dyn VolumeFile>> {
        Ok(Box::new(OpenOptions::new().read(true).write(true).create_new(true).open(self.path(name))?))
    }

    fn look(&self, name: &OsStr) -> io::Result<Seen> {
        let found = fs::symlink_metadata(self.path(name))?;
        let kind = match found.file_type() {
            kind if kind.is_file() => FileKind::File,
            kind if kind.is_dir() => FileKind::Directory,
            kind if kind.is_symlink() => FileKind::Link,
            _ => FileKind::Other,
        };
        Ok(Seen { kind, len_bytes: found.len(), id: super::id_of(&found) })
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
        // Windows cannot sync a directory.
        if cfg!(unix) { File::open(&self.0)?.sync_all() } else { Ok(()) }
    }

    fn path(&self, name: &OsStr) -> PathBuf {
        self.0.join(name)
    }
}
