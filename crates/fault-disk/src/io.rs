//! The disk as a store's [`Volume`].

use std::{
    ffi::{OsStr, OsString},
    io,
    path::PathBuf,
    thread,
};

use parking_lot::MutexGuard;
use sessile::testing::{FileId as VolumeFileId, FileKind, Seen, Volume, VolumeFile};

use super::{
    FaultDisk, IoKind,
    state::{Change, Fate, FileId, FileState, NameChange, State},
    survive,
};
impl FaultDisk {
    fn state(&self, kind: IoKind) -> (MutexGuard<'_, State>, Fate) {
        let mut state = self.0.state.lock();
        if matches!(kind, IoKind::Sync | IoKind::SyncNames) {
            let delay = state.sync_delay;
            if !delay.is_zero() {
                MutexGuard::unlocked(&mut state, || thread::sleep(delay));
            }
            self.0.resumed.wait_while(&mut state, |state| state.syncs_stalled && !state.is_dead);
        }
        let fate = state.fate(kind);
        if matches!(fate, Fate::Die) {
            self.0.resumed.notify_all();
        }
        (state, fate)
    }

    /// Changes names: for processes at once, durably with the next sync.
    fn rename(&self, kind: IoKind, work: impl FnOnce(&mut State) -> io::Result<Vec<NameChange>>) -> io::Result<()> {
        let (mut state, fate) = self.state(kind);
        if let Fate::Fail(error) = fate {
            return Err(error);
        }
        let changes = work(&mut state)?;
        for change in &changes {
            change.apply(&mut state.names);
        }
        state.name_changes.extend(changes);
        alive(&fate)
    }

    fn handle(&self, state: &mut State, id: FileId) -> Box<dyn VolumeFile> {
        if let Some(file) = state.files.get_mut(&id) {
            file.handles += 1;
        }
        Box::new(Handle { disk: self.clone(), id, holder: state.new_id() })
    }
}

fn alive(fate: &Fate) -> io::Result<()> {
    match fate {
        Fate::Die => Err(io::Error::other("the power is cut")),
        Fate::Succeed | Fate::Fail(_) => Ok(()),
    }
}

impl Volume for FaultDisk {
    fn open(&self, name: &OsStr) -> io::Result<Box<dyn VolumeFile>> {
        let (mut state, fate) = self.state(IoKind::Open);
        if let Fate::Fail(error) = fate {
            return Err(error);
        }
        let id = state.id_of(name)?;
        Ok(self.handle(&mut state, id))
    }

    fn create(&self, name: &OsStr) -> io::Result<Box<dyn VolumeFile>> {
        let mut file = None;
        self.rename(IoKind::Create, |state| {
            if state.names.contains_key(name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let id = state.add_file(name);
            file = Some(self.handle(state, id));
            Ok(vec![NameChange::Add(name.to_owned(), id)])
        })?;
        file.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn look(&self, name: &OsStr) -> io::Result<Seen> {
        let (state, fate) = self.state(IoKind::Len);
        if let Fate::Fail(error) = fate {
            return Err(error);
        }
        let id = state.id_of(name)?;
        Ok(Seen { kind: FileKind::File, len_bytes: state.files[&id].content.len() as u64, id: Some((0, id)) })
    }

    fn names(&self) -> io::Result<Vec<OsString>> {
        let (state, fate) = self.state(IoKind::Names);
        if let Fate::Fail(error) = fate {
            return Err(error);
        }
        Ok(state.names.keys().cloned().collect())
    }

    fn publish(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        self.rename(IoKind::Publish, |state| {
            let id = state.id_of(from)?;
            if state.names.contains_key(to) {
                return Ok(Vec::new());
            }
            Ok(vec![NameChange::Add(to.to_owned(), id), NameChange::Remove(from.to_owned())])
        })
    }

    fn remove(&self, name: &OsStr) -> io::Result<()> {
        self.rename(IoKind::Remove, |state| {
            state.id_of(name)?;
            Ok(vec![NameChange::Remove(name.to_owned())])
        })
    }

    fn sync(&self) -> io::Result<()> {
        let (mut state, fate) = self.state(IoKind::SyncNames);
        match fate {
            Fate::Succeed => {
                let State { synced_names, name_changes, .. } = &mut *state;
                name_changes.drain(..).for_each(|change| change.apply(synced_names));
                state.drop_unnamed();
                Ok(())
            }
            // The file system's own journal protects a directory: its changes stay to be synced.
            Fate::Fail(error) => Err(error),
            Fate::Die => alive(&fate),
        }
    }

    fn path(&self, name: &OsStr) -> PathBuf {
        name.into()
    }
}

/// One open file.
#[derive(Debug)]
struct Handle {
    disk: FaultDisk,
    id: FileId,
    /// Distinguishes the handles of a file, for its lock.
    holder: u64,
}

/// Returns the operating system's error for a file that is too long.
fn too_long<T>(_: T) -> io::Error {
    io::ErrorKind::FileTooLarge.into()
}

impl Handle {
    /// Runs `work` on the file unless the operation is to fail. Returns an error if the power was cut during it.
    fn with<T>(&self, kind: IoKind, work: impl FnOnce(&mut FileState) -> io::Result<T>) -> io::Result<T> {
        let (mut state, fate) = self.disk.state(kind);
        if let Fate::Fail(error) = fate {
            return Err(error);
        }
        let result = work(state.files.entry(self.id).or_default());
        alive(&fate)?;
        result
    }
}

impl VolumeFile for Handle {
    fn try_lock(&self) -> io::Result<bool> {
        self.with(IoKind::Lock, |file| Ok(*file.locked_by.get_or_insert(self.holder) == self.holder))
    }

    fn unlock(&self) -> io::Result<()> {
        let mut state = self.disk.0.state.lock();
        if let Some(file) = state.files.get_mut(&self.id) {
            file.unlock(self.holder);
        }
        Ok(())
    }

    fn len_bytes(&self) -> io::Result<u64> {
        self.with(IoKind::Len, |file| Ok(file.content.len() as u64))
    }

    fn id(&self) -> io::Result<Option<VolumeFileId>> {
        Ok(Some((0, self.id)))
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(too_long)?;
        self.with(
            IoKind::Read,
            |file| {
                if file.content.read(offset, into) { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
            },
        )
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(too_long)?;
        let (mut state, fate) = self.disk.state(IoKind::Write);
        if state.is_dead && !matches!(fate, Fate::Die) {
            return Err(io::Error::other("the power is cut"));
        }
        state.counts.bytes_written += bytes.len() as u64;
        let room = state.capacity.map(|capacity| capacity.saturating_sub(state.used_bytes()));
        let State { files, rng, .. } = &mut *state;
        let file = files.entry(self.id).or_default();
        let fitting = room.map_or(bytes.len(), |room| file.content.fitting(offset, bytes.len(), room));
        // A write that fails may have been done in part, up to any byte.
        let done = if matches!(fate, Fate::Fail(_)) { rng.below(fitting + 1) } else { fitting };
        let bytes_done = &bytes[..done];
        if done > 0 {
            file.content.write(offset, bytes_done);
            file.unsynced.push(Change::Write { offset, bytes: bytes_done.into() });
        }
        match fate {
            Fate::Fail(error) => Err(error),
            Fate::Succeed if fitting < bytes.len() => Err(io::ErrorKind::StorageFull.into()),
            Fate::Succeed | Fate::Die => alive(&fate),
        }
    }

    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        let len = usize::try_from(len_bytes).map_err(too_long)?;
        self.with(IoKind::SetLen, |file| {
            file.content.set_len(len);
            file.unsynced.push(Change::SetLen(len));
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        let (mut state, fate) = self.disk.state(IoKind::Sync);
        let State { files, rng, is_dead, .. } = &mut *state;
        let file = files.entry(self.id).or_default();
        match fate {
            Fate::Succeed => file.unsynced.drain(..).for_each(|change| change.apply(&mut file.synced)),
            // The disk of a dead process stays as it is: `crash` has to find the unsynced changes.
            Fate::Fail(error) if *is_dead => return Err(error),
            Fate::Fail(error) => {
                survive::drop_dirty(file, rng);
                return Err(error);
            }
            Fate::Die => {}
        }
        alive(&fate)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut state = self.disk.0.state.lock();
        if let Some(file) = state.files.get_mut(&self.id) {
            file.handles -= 1;
            file.unlock(self.holder);
            if file.handles == 0 {
                state.drop_unnamed();
            }
        }
    }
}
