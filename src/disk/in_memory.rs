//! Files in memory, for a store that needs none on disk. Dropping the volume drops them.
//!
//! Invariant: a file without a name and without a handle takes no memory.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::{Mutex, RwLock};

use super::volume::{FileId, FileKind, Seen, Volume, VolumeFile};

/// Bytes of a page. A page of zeros takes no memory: most of a new segment of the journal is zeros.
const PAGE: usize = 4096;

/// A directory in memory. Clones are the same directory.
#[derive(Clone, Debug, Default)]
pub(crate) struct InMemory {
    names: Arc<Mutex<BTreeMap<OsString, Arc<File>>>>,
    last_id: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct File {
    id: u64,
    is_locked: AtomicBool,
    content: RwLock<Content>,
}

/// `None` is a page of zeros.
#[derive(Debug, Default)]
struct Content {
    pages: Vec<Option<Box<[u8; PAGE]>>>,
    len: usize,
}

impl Content {
    /// The bytes behind `len` in the last page stay zero, so that a file that shrinks and grows again has zeros there.
    fn set_len(&mut self, len: usize) {
        self.pages.resize_with(len.div_ceil(PAGE), || None);
        if len < self.len
            && !len.is_multiple_of(PAGE)
            && let Some(Some(last)) = self.pages.last_mut()
        {
            last[len % PAGE..].fill(0);
        }
        self.len = len;
    }

    fn write(&mut self, mut at: usize, mut bytes: &[u8]) {
        if !bytes.is_empty() && at + bytes.len() > self.len {
            self.set_len(at + bytes.len());
        }
        while !bytes.is_empty() {
            let (page, start) = (at / PAGE, at % PAGE);
            let (piece, rest) = bytes.split_at(bytes.len().min(PAGE - start));
            let page = &mut self.pages[page];
            if page.is_some() || piece.iter().any(|byte| *byte != 0) {
                let page = page.get_or_insert_with(|| Box::new([0; PAGE]));
                page[start..start + piece.len()].copy_from_slice(piece);
            }
            (at, bytes) = (at + piece.len(), rest);
        }
    }

    fn read(&self, mut at: usize, mut into: &mut [u8]) -> io::Result<()> {
        if at.checked_add(into.len()).is_none_or(|end| end > self.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        while !into.is_empty() {
            let (page, start) = (at / PAGE, at % PAGE);
            let len = into.len().min(PAGE - start);
            let (piece, rest) = into.split_at_mut(len);
            match &self.pages[page] {
                Some(page) => piece.copy_from_slice(&page[start..start + len]),
                None => piece.fill(0),
            }
            (at, into) = (at + len, rest);
        }
        Ok(())
    }
}

impl InMemory {
    fn file(&self, name: &OsStr) -> io::Result<Arc<File>> {
        self.names.lock().get(name).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Volume for InMemory {
    fn open(&self, name: &OsStr) -> io::Result<Box<dyn VolumeFile>> {
        Ok(Box::new(Handle { file: self.file(name)?, has_lock: AtomicBool::new(false) }))
    }

    fn create(&self, name: &OsStr) -> io::Result<Box<dyn VolumeFile>> {
        let mut names = self.names.lock();
        if names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = self.last_id.fetch_add(1, Ordering::Relaxed);
        let file = Arc::new(File { id, ..File::default() });
        names.insert(name.to_owned(), Arc::clone(&file));
        Ok(Box::new(Handle { file, has_lock: AtomicBool::new(false) }))
    }

    fn look(&self, name: &OsStr) -> io::Result<Seen> {
        let file = self.file(name)?;
        let len_bytes = file.content.read().len as u64;
        Ok(Seen { kind: FileKind::File, len_bytes, id: Some((0, file.id)) })
    }

    fn names(&self) -> io::Result<Vec<OsString>> {
        Ok(self.names.lock().keys().cloned().collect())
    }

    fn publish(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        let mut names = self.names.lock();
        if names.contains_key(to) {
            return Ok(());
        }
        let file = names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        names.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &OsStr) -> io::Result<()> {
        self.names.lock().remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn path(&self, name: &OsStr) -> PathBuf {
        name.into()
    }
}

#[derive(Debug)]
struct Handle {
    file: Arc<File>,
    has_lock: AtomicBool,
}

fn in_memory(bytes: u64) -> io::Result<usize> {
    usize::try_from(bytes).map_err(|_| io::ErrorKind::FileTooLarge.into())
}

impl VolumeFile for Handle {
    fn try_lock(&self) -> io::Result<bool> {
        if !self.has_lock.load(Ordering::Acquire) && !self.file.is_locked.swap(true, Ordering::AcqRel) {
            self.has_lock.store(true, Ordering::Release);
        }
        Ok(self.has_lock.load(Ordering::Acquire))
    }

    fn unlock(&self) -> io::Result<()> {
        if self.has_lock.swap(false, Ordering::AcqRel) {
            self.file.is_locked.store(false, Ordering::Release);
        }
        Ok(())
    }

    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.file.content.read().len as u64)
    }

    fn id(&self) -> io::Result<Option<FileId>> {
        Ok(Some((0, self.file.id)))
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.file.content.read().read(in_memory(offset)?, into)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.content.write().write(in_memory(offset)?, bytes);
        Ok(())
    }

    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        self.file.content.write().set_len(in_memory(len_bytes)?);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Cannot fail.
        let _ = self.unlock();
    }
}

/// What the tests of sibling modules do to files.
#[cfg(test)]
impl InMemory {
    pub(crate) fn contents(&self, name: impl AsRef<OsStr>) -> Option<Vec<u8>> {
        let file = self.file(name.as_ref()).ok()?;
        let content = file.content.read();
        let mut bytes = vec![0; content.len];
        content.read(0, &mut bytes).ok()?;
        Some(bytes)
    }

    pub(crate) fn replace(&self, name: impl AsRef<OsStr>, bytes: &[u8]) {
        let _ = self.remove(name.as_ref());
        self.create(name.as_ref()).and_then(|file| file.write_at(0, bytes)).unwrap();
    }

    fn used_pages(&self) -> usize {
        self.names.lock().values().map(|file| file.content.read().pages.iter().flatten().count()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> &'static OsStr {
        OsStr::new("file")
    }

    #[test]
    fn files_read_as_they_were_written_and_zeros_take_nothing() {
        let volume = InMemory::default();
        let file = volume.create(name()).unwrap();
        let mut plain = Vec::new();
        for (offset, len, byte) in [(5000, 10, 7), (0, 9000, 0), (4090, 20, 3), (20_000, 4096, 0), (8191, 2, 1), (8191, 1, 0)] {
            plain.resize(plain.len().max(offset + len), 0);
            plain[offset..offset + len].fill(byte);
            file.write_at(offset as u64, &vec![byte; len]).unwrap();
            assert_eq!(volume.contents(name()).unwrap(), plain);
        }
        assert_eq!(volume.used_pages(), 3);
        for len in [5005, 30_000, 0, 4097] {
            plain.resize(len, 0);
            file.set_len(len as u64).unwrap();
            assert_eq!(volume.contents(name()).unwrap(), plain);
        }
        assert_eq!(file.read_at(4090, &mut [0; 8]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(file.read_at(u64::MAX, &mut [0; 8]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn one_handle_has_the_lock_and_an_open_file_outlasts_its_name() {
        let volume = InMemory::default();
        let (first, second) = (volume.create(name()).unwrap(), volume.open(name()).unwrap());
        assert!(first.try_lock().unwrap() && first.try_lock().unwrap() && !second.try_lock().unwrap());
        second.unlock().unwrap();
        assert!(!second.try_lock().unwrap(), "the other handle has it");
        drop(first);
        assert!(second.try_lock().unwrap());
        volume.remove(name()).unwrap();
        second.write_at(0, &[1]).unwrap();
        assert_eq!(second.len_bytes().unwrap(), 1);
        assert!(volume.names().unwrap().is_empty() && volume.open(name()).is_err());
    }

    #[test]
    fn publishing_replaces_nothing() {
        let volume = InMemory::default();
        volume.replace("draft", &[1]);
        volume.publish(OsStr::new("draft"), name()).unwrap();
        volume.replace("draft", &[2]);
        volume.publish(OsStr::new("draft"), name()).unwrap();
        assert_eq!((volume.contents("draft"), volume.contents(name())), (Some(vec![2]), Some(vec![1])));
        assert_eq!(volume.create(name()).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(volume.publish(OsStr::new("none"), OsStr::new("other")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
