//! A directory of the operating system.
//!
//! Invariants: a store's files are in the directory that its path led to when it was opened, whatever happens to the path
//! later: another working directory or root, as daemons set, a changed link, a renamed directory. After that, no link is
//! followed to a file of the store. Only its owner may read and write a created file, whatever the umask.

#[cfg(unix)]
mod held;
#[cfg(any(not(unix), test))]
mod named;

use std::{
    ffi::OsString,
    fs::{self, File, Metadata, TryLockError},
    io,
    path::{Path, PathBuf},
};

#[cfg(unix)]
pub(crate) use self::held::Directory;
#[cfg(not(unix))]
pub(crate) use self::named::Directory;
use super::volume::{FileId, VolumeFile};

/// Returns the directory of the file at `path`, and the file's name in it. A link is followed: the journal is beside the file
/// and not beside the link. `None`: the path does not end in a name.
pub(crate) fn of(path: &Path) -> io::Result<Option<(Directory, OsString)>> {
    let Some((parent, name)) = resolve(path)? else { return Ok(None) };
    Ok(Some((Directory::open(parent)?, name)))
}

/// Returns the directory and name of `path`, without links.
fn resolve(path: &Path) -> io::Result<Option<(PathBuf, OsString)>> {
    let Some(name) = path.file_name() else { return Ok(None) };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match fs::canonicalize(path) {
        Ok(file) => {
            let kind = fs::metadata(&file)?.file_type();
            if kind.is_dir() {
                let text = "it is a directory and no regular file; give the path of a file in it, such as `sessions.redb`";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            if !kind.is_file() {
                let text = "it is a device, a pipe or a socket and no regular file, so nothing can be kept in it; leave it as it is, and give \
                            the path of a file of the store's own";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            Ok(file.parent().zip(file.file_name()).map(|(parent, name)| (parent.into(), name.to_owned())))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            match fs::symlink_metadata(path) {
                Ok(found) if found.is_symlink() => {
                    let text = "it is a link that leads to no file; remove the link, or make its target's directory and give that path";
                    Err(io::Error::new(io::ErrorKind::NotFound, text))
                }
                // Another process has made it meanwhile.
                Ok(_) => resolve(path),
                Err(_) => Ok(Some((fs::canonicalize(parent)?, name.to_owned()))),
            }
        }
        Err(error) => Err(error),
    }
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "other systems do not say")]
fn id_of(found: &Metadata) -> Option<FileId> {
    use std::os::unix::fs::MetadataExt;

    Some((found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn id_of(_: &Metadata) -> Option<FileId> {
    None
}

/// Sets the mode of a new file to 0600: it contains sessions and MAC keys. It was created with that mode, but a daemon's umask
/// may remove even the owner's permissions, and then no later process could open it.
#[cfg(unix)]
fn give_to_owner(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;

    const MODE: u32 = 0o600;
    let mode = file.metadata()?.permissions().mode();
    match file.set_permissions(PermissionsExt::from_mode(MODE)) {
        // A file system without modes.
        Err(_) if mode & MODE == MODE => Ok(()),
        given => given,
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

    fn id(&self) -> io::Result<Option<FileId>> {
        Ok(id_of(&self.metadata()?))
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

#[cfg(all(test, unix))]
mod tests {
    use std::{
        ffi::OsStr,
        os::unix::fs::symlink,
        sync::atomic::{AtomicBool, Ordering},
        thread,
    };

    use super::*;
    use crate::disk::volume::{FileKind, Volume};

    /// Checks what both kinds of directories do.
    fn check(volume: &dyn Volume, path: &Path) {
        let name = |text: &'static str| OsStr::new(text);
        assert!(volume.names().unwrap().is_empty());
        assert_eq!(volume.look(name("a")).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(volume.open(name("a")).unwrap_err().kind(), io::ErrorKind::NotFound);
        let file = volume.create(name("a")).unwrap();
        assert_eq!(volume.create(name("a")).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        file.write_at(3, b"bytes").unwrap();
        file.sync().unwrap();
        let mut bytes = [0; 5];
        volume.open(name("a")).unwrap().read_at(3, &mut bytes).unwrap();
        assert_eq!(bytes, *b"bytes");
        let seen = volume.look(name("a")).unwrap();
        assert_eq!((seen.kind, seen.len_bytes, seen.id), (FileKind::File, 8, file.id().unwrap()));
        assert!(seen.id.is_some());
        assert_eq!(volume.path(name("a")), path.join("a"));

        volume.publish(name("a"), name("b")).unwrap();
        assert_eq!(volume.names().unwrap(), ["b"]);
        volume.create(name("a")).unwrap();
        volume.publish(name("a"), name("b")).unwrap();
        assert_eq!(volume.look(name("b")).unwrap().len_bytes, 8, "a name that is taken stays as it is");
        volume.remove(name("a")).unwrap();
        assert_eq!(volume.remove(name("a")).unwrap_err().kind(), io::ErrorKind::NotFound);
        volume.sync().unwrap();

        symlink("b", path.join("link")).unwrap();
        fs::create_dir(path.join("directory")).unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(path.join("socket")).unwrap();
        for (text, kind) in [("link", FileKind::Link), ("directory", FileKind::Directory), ("socket", FileKind::Other)] {
            assert_eq!(volume.look(name(text)).unwrap().kind, kind, "{text}");
        }
        let mut names = volume.names().unwrap();
        names.sort();
        assert_eq!(names, ["b", "directory", "link", "socket"]);
    }

    #[test]
    fn a_directory_does_the_same_whether_it_is_held_or_named() {
        let (held, named) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        check(&Directory::open(held.path().into()).unwrap(), held.path());
        check(&named::Directory::open(named.path().into()).unwrap(), named.path());
    }

    #[test]
    fn a_directory_that_is_held_is_found_under_any_name_and_follows_no_link() {
        let root = tempfile::tempdir().unwrap();
        let (old, new) = (root.path().join("old"), root.path().join("new"));
        fs::create_dir(&old).unwrap();
        let directory = Directory::open(old.clone()).unwrap();
        fs::rename(&old, &new).unwrap();
        fs::create_dir(&old).unwrap();
        directory.create(OsStr::new("a")).unwrap();
        assert!(new.join("a").exists() && !old.join("a").exists());
        fs::write(root.path().join("notes"), "notes").unwrap();
        symlink(root.path().join("notes"), new.join("link")).unwrap();
        directory.open(OsStr::new("link")).unwrap_err();
    }

    #[test]
    fn a_file_that_another_process_makes_just_now_is_no_link_without_a_target() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        let is_done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    fs::write(&path, []).unwrap();
                    fs::remove_file(&path).unwrap();
                }
            });
            let wrong = (0..50_000).filter_map(|_| resolve(&path).err()).find(|error| error.to_string().contains("link"));
            is_done.store(true, Ordering::Relaxed);
            assert!(wrong.is_none(), "{wrong:?}");
        });
    }
}
