//! The content of a disk, and the fate of the next operation.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    io,
    time::Duration,
};

use super::{IoCounts, IoKind, pages::Pages};

/// An injected failure.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) kind: Option<IoKind>,
    /// How many operations of `kind` succeed first.
    pub(super) skip: u64,
    /// How many fail then.
    pub(super) times: u64,
    pub(super) error: io::ErrorKind,
}

pub(super) type FileId = u64;

#[derive(Clone)]
pub(super) struct State {
    pub(super) rng: Rng,
    /// The directory as a process sees it.
    pub(super) names: BTreeMap<OsString, FileId>,
    /// The directory as of the last sync.
    pub(super) synced_names: BTreeMap<OsString, FileId>,
    pub(super) name_changes: Vec<NameChange>,
    pub(super) files: BTreeMap<FileId, FileState>,
    pub(super) next_id: u64,
    pub(super) counts: IoCounts,
    pub(super) faults: Vec<Fault>,
    pub(super) capacity: Option<usize>,
    pub(super) crash_at: Option<u64>,
    /// Whether the power was cut or the process killed.
    pub(super) is_dead: bool,
    pub(super) sync_delay: Duration,
    pub(super) syncs_stalled: bool,
}

#[derive(Clone, Default)]
pub(super) struct FileState {
    /// The content as a process sees it.
    pub(super) content: Pages,
    /// The content as of the last sync.
    pub(super) synced: Pages,
    /// The changes since, in order.
    pub(super) unsynced: Vec<Change>,
    pub(super) handles: u32,
    pub(super) locked_by: Option<u64>,
}

impl FileState {
    pub(super) fn unlock(&mut self, holder: u64) {
        self.locked_by = self.locked_by.filter(|by| *by != holder);
    }
}

#[derive(Clone)]
pub(super) enum Change {
    Write { offset: usize, bytes: Box<[u8]> },
    SetLen(usize),
}

#[derive(Clone)]
pub(super) enum NameChange {
    Add(OsString, FileId),
    Remove(OsString),
}

/// The fate of an operation.
pub(super) enum Fate {
    Succeed,
    /// It fails; a write may have been done in part.
    Fail(io::Error),
    /// It is the last one: the power is cut during it.
    Die,
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: Rng::new(seed),
            names: BTreeMap::new(),
            synced_names: BTreeMap::new(),
            name_changes: Vec::new(),
            files: BTreeMap::new(),
            next_id: 0,
            counts: IoCounts::default(),
            faults: Vec::new(),
            capacity: None,
            crash_at: None,
            is_dead: false,
            sync_delay: Duration::ZERO,
            syncs_stalled: false,
        }
    }

    /// Returns the same disk before any process has opened it.
    pub(super) fn without_process(&self) -> Self {
        let mut next = Self { rng: self.rng.clone(), next_id: self.next_id, capacity: self.capacity, ..Self::new(0) };
        next.names.clone_from(&self.names);
        next.synced_names.clone_from(&self.synced_names);
        next.name_changes.clone_from(&self.name_changes);
        next.files = self.files.clone();
        for file in next.files.values_mut() {
            (file.handles, file.locked_by) = (0, None);
        }
        next
    }

    /// Makes everything that a process sees durable.
    pub(super) fn settle(&mut self) {
        self.synced_names.clone_from(&self.names);
        self.name_changes.clear();
        for file in self.files.values_mut() {
            file.synced = file.content.clone();
            file.unsynced.clear();
        }
        self.drop_unnamed();
    }

    pub(super) fn fate(&mut self, kind: IoKind) -> Fate {
        if self.is_dead {
            return Fate::Fail(io::Error::other("the power is cut"));
        }
        *self.counts.operations.entry(kind).or_default() += 1;
        if kind.changes_the_disk() {
            let nth = self.counts.changes;
            self.counts.changes += 1;
            if self.crash_at == Some(nth) {
                self.is_dead = true;
                return Fate::Die;
            }
        }
        let mut failure = None;
        for fault in self.faults.iter_mut().filter(|fault| fault.kind.is_none_or(|of| of == kind)) {
            if fault.skip > 0 {
                fault.skip -= 1;
            } else if fault.times > 0 {
                fault.times = if fault.times == u64::MAX { u64::MAX } else { fault.times - 1 };
                failure = failure.or(Some(fault.error));
            }
        }
        failure.map_or(Fate::Succeed, |kind| Fate::Fail(io::Error::new(kind, "injected by the test")))
    }

    pub(super) fn id_of(&self, name: &OsStr) -> io::Result<FileId> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub(super) fn add_file(&mut self, name: &OsStr) -> FileId {
        let id = self.new_id();
        self.files.insert(id, FileState::default());
        self.names.insert(name.to_owned(), id);
        id
    }

    pub(super) fn used_bytes(&self) -> usize {
        self.files.values().map(|file| file.content.allocated()).sum()
    }

    /// Removes files without a name and without a handle.
    pub(super) fn drop_unnamed(&mut self) {
        let Self { files, names, synced_names, name_changes, .. } = self;
        files.retain(|id, file| {
            file.handles > 0
                || names.values().chain(synced_names.values()).any(|named| named == id)
                || name_changes.iter().any(|change| matches!(change, NameChange::Add(_, named) if named == id))
        });
    }
}

impl NameChange {
    pub(super) fn apply(&self, names: &mut BTreeMap<OsString, FileId>) {
        match self {
            Self::Add(name, id) => {
                names.insert(name.clone(), *id);
            }
            Self::Remove(name) => {
                names.remove(name);
            }
        }
    }
}

impl Change {
    pub(super) fn apply(&self, to: &mut Pages) {
        match self {
            Self::Write { offset, bytes } => to.write(*offset, bytes),
            Self::SetLen(len) => to.set_len(*len),
        }
    }
}

/// Random numbers that are the same for the same seed (SplitMix64).
#[derive(Clone, Debug)]
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// Returns one of `0..end`; 0 if `end` is 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end.max(1) as u64)).expect("it is below a usize")
    }

    pub(super) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}
