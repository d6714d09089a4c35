//! A disk in memory that fails, tears writes, loses data and fills up on command.
//!
//! It assumes the least that file systems promise: only synced data is sure to survive a power cut. Any other write may be
//! there or not, independently of earlier and later ones. It may be there in part, cut at any sector or byte. A length and a
//! name may be there without the data, and the reverse. Of writes to the same byte, though, an earlier one never replaces a
//! later one: both go through the page cache.
//!
//! Invariant: everything random comes from a seed, so the same operations and the same seed give the same disk.
//!
//! Knows nothing of the files' content.

mod io;
mod pages;
mod state;
mod survive;

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fmt,
    io::ErrorKind,
    sync::Arc,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

use self::state::{Fault, State};

/// The operations on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum IoKind {
    /// Opening a file.
    Open,
    /// Creating a file.
    Create,
    /// Reading a file's length.
    Len,
    /// Locking a file.
    Lock,
    /// Reading from a file.
    Read,
    /// Writing to a file.
    Write,
    /// Changing a file's length.
    SetLen,
    /// Making a file's content durable.
    Sync,
    /// Listing the files.
    Names,
    /// Giving a file its final name.
    Publish,
    /// Removing a file.
    Remove,
    /// Making the names of files durable.
    SyncNames,
}

impl IoKind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::Open,
        Self::Create,
        Self::Len,
        Self::Lock,
        Self::Read,
        Self::Write,
        Self::SetLen,
        Self::Sync,
        Self::Names,
        Self::Publish,
        Self::Remove,
        Self::SyncNames,
    ];

    /// Whether a power cut before it and one after it can leave different disks.
    fn changes_the_disk(self) -> bool {
        !matches!(self, Self::Open | Self::Len | Self::Lock | Self::Read | Self::Names)
    }
}

/// A disk in memory with the worst behaviour of real disks, for [`Builder::open_on`](sessile::Builder::open_on).
///
/// Clones are the same disk. [`crash`](Self::crash) and [`kill`](Self::kill) return a new disk, as the next process finds it.
///
/// # Examples
/// ```
/// use sessile::Store;
/// use sessile_fault_disk::FaultDisk;
///
/// let disk = FaultDisk::new(7);
/// let store = Store::builder().open_on(&disk)?;
/// let session = store.session(None)?;
/// session.insert("name", "Ada")?;
/// session.save().wait()?;
///
/// // The power goes, with whatever had not been synced yet.
/// let found = Store::builder().open_on(&disk.crash(1))?;
/// let token = session.token().unwrap();
/// assert_eq!(found.session(Some(&token))?.get::<String>("name")?.as_deref(), Some("Ada"));
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Clone)]
pub struct FaultDisk(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Notified when syncs may continue.
    resumed: Condvar,
}

/// How often each operation was requested from a disk; from [`FaultDisk::counts`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IoCounts {
    /// Requested operations, including failed ones.
    pub operations: BTreeMap<IoKind, u64>,
    /// Those of them before and after which a power cut can leave different disks.
    pub changes: u64,
    /// Bytes passed to writes.
    pub bytes_written: u64,
}

impl FaultDisk {
    /// Returns an empty disk. `seed` decides what it loses after an injected failure.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with(State::new(seed))
    }

    fn with(state: State) -> Self {
        Self(Arc::new(Shared { state: Mutex::new(state), resumed: Condvar::new() }))
    }

    /// Returns the disk as it may look after a power cut now, or at the point set by [`crash_at`](Self::crash_at). `seed`
    /// decides which of the unsynced changes are on it.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        Self::with(survive::power_cut(&self.0.state.lock(), seed))
    }

    /// Kills the process that uses the disk: its operations fail from now on. The new disk is as the next process finds it,
    /// with all that the killed one wrote, synced or not.
    #[must_use]
    pub fn kill(&self) -> Self {
        let mut state = self.0.state.lock();
        let next = state.without_process();
        state.is_dead = true;
        self.0.resumed.notify_all();
        Self::with(next)
    }

    /// Returns a copy, like a backup, of everything that a process sees now.
    #[must_use]
    pub fn copy(&self) -> Self {
        let mut copy = self.0.state.lock().without_process();
        copy.settle();
        Self::with(copy)
    }

    /// Cuts the power during the `n`-th change of the disk, counted from 0 since the disk was created: see
    /// [`IoCounts::changes`]. From then on everything fails, and [`crash`](Self::crash) returns the disk as it may look at that
    /// point.
    pub fn crash_at(&self, n: u64) {
        self.0.state.lock().crash_at = Some(n);
    }

    /// Whether the power was cut or the process killed.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.0.state.lock().is_dead
    }

    /// Makes one operation of `kind`, or of any kind, fail with `error` after `n` more have succeeded. A failed sync of a file
    /// loses the data that it should have made durable, or a part of it, and later syncs do not make up for it, as on Linux;
    /// the data may still be read until the next crash.
    pub fn fail_nth(&self, kind: impl Into<Option<IoKind>>, n: u64, error: ErrorKind) {
        self.0.state.lock().faults.push(Fault { kind: kind.into(), skip: n, times: 1, error });
    }

    /// Like [`fail_nth`](Self::fail_nth), but every later operation of `kind` fails too, until [`heal`](Self::heal).
    pub fn fail_from(&self, kind: impl Into<Option<IoKind>>, n: u64, error: ErrorKind) {
        self.0.state.lock().faults.push(Fault { kind: kind.into(), skip: n, times: u64::MAX, error });
    }

    /// Undoes [`fail_nth`](Self::fail_nth), [`fail_from`](Self::fail_from), [`set_capacity`](Self::set_capacity),
    /// [`delay_syncs`](Self::delay_syncs) and [`stall_syncs`](Self::stall_syncs).
    pub fn heal(&self) {
        let mut state = self.0.state.lock();
        state.faults.clear();
        (state.capacity, state.sync_delay, state.syncs_stalled) = (None, Duration::ZERO, false);
        self.0.resumed.notify_all();
    }

    /// Sets the disk's capacity in bytes, in pages of 4096; `None`: no limit. Holes take no space. With less than
    /// [`used_bytes`](Self::used_bytes), existing data stays.
    pub fn set_capacity(&self, bytes: Option<usize>) {
        self.0.state.lock().capacity = bytes;
    }

    /// Returns the bytes that the files take.
    #[must_use]
    pub fn used_bytes(&self) -> usize {
        self.0.state.lock().used_bytes()
    }

    /// Makes each sync take this long from now on.
    pub fn delay_syncs(&self, by: Duration) {
        self.0.state.lock().sync_delay = by;
    }

    /// Makes syncs wait until [`heal`](Self::heal).
    pub fn stall_syncs(&self) {
        self.0.state.lock().syncs_stalled = true;
    }

    /// Returns the number of operations since the disk was created.
    #[must_use]
    pub fn counts(&self) -> IoCounts {
        self.0.state.lock().counts.clone()
    }

    /// Returns the names of the files.
    #[must_use]
    pub fn names(&self) -> Vec<OsString> {
        self.0.state.lock().names.keys().cloned().collect()
    }

    /// Returns the content of the file `name`; `None` if there is none.
    #[must_use]
    pub fn contents(&self, name: impl AsRef<OsStr>) -> Option<Vec<u8>> {
        let state = self.0.state.lock();
        Some(state.files.get(state.names.get(name.as_ref())?)?.content.to_vec())
    }

    /// Replaces the content of the file `name` with `bytes`, durably. Open handles see the new content.
    pub fn replace(&self, name: impl AsRef<OsStr>, bytes: &[u8]) {
        let mut state = self.0.state.lock();
        let id = match state.names.get(name.as_ref()) {
            Some(id) => *id,
            None => state.add_file(name.as_ref()),
        };
        state.synced_names.insert(name.as_ref().to_owned(), id);
        let file = state.files.entry(id).or_default();
        (file.content, file.synced, file.unsynced) = (bytes.into(), bytes.into(), Vec::new());
    }

    /// Removes the file `name`, durably. Open handles keep it.
    pub fn delete(&self, name: impl AsRef<OsStr>) {
        let mut state = self.0.state.lock();
        state.names.remove(name.as_ref());
        state.synced_names.remove(name.as_ref());
        state.drop_unnamed();
    }
}

impl fmt::Debug for FaultDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FaultDisk").field(&self.names()).finish()
    }
}
