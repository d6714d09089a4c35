//! Which unsynced changes survive a power cut, and a failed sync.

use super::{
    pages::Pages,
    state::{Change, FileState, Rng, State},
};

/// The smallest unit that disks write atomically, if they do.
const SECTOR: usize = 512;

/// How much of the unsynced data reaches the disk. Drawn once per file and crash, because results that are rare in an even
/// mixture, such as everything except one write, are where stores fail.
#[derive(Clone, Copy)]
enum Luck {
    All,
    Nothing,
    /// Each change by itself, one in this many lost.
    OneLost(usize),
    /// Each change by itself, one in this many kept.
    OneKept(usize),
    /// Everything up to some point.
    Until(usize),
}

impl Luck {
    fn draw(changes: usize, rng: &mut Rng) -> Self {
        match rng.below(6) {
            0 => Self::All,
            1 => Self::Nothing,
            2 => Self::OneLost(2),
            3 => Self::OneLost(8),
            4 => Self::OneKept(8),
            _ => Self::Until(rng.below(changes + 1)),
        }
    }

    fn keeps(self, nth: usize, rng: &mut Rng) -> bool {
        match self {
            Self::All => true,
            Self::Nothing => false,
            Self::OneLost(n) => !rng.one_in(n),
            Self::OneKept(n) => rng.one_in(n),
            Self::Until(end) => nth < end,
        }
    }
}

/// Returns the disk of `state` as a power cut may leave it.
pub(super) fn power_cut(state: &State, seed: u64) -> State {
    let mut rng = Rng::new(seed);
    let mut left = state.without_process();
    keep_some_names(&mut left, &mut rng);
    left.names.clone_from(&left.synced_names);
    left.drop_unnamed();
    for file in left.files.values_mut() {
        keep_some_changes(file, &mut rng);
        file.content = file.synced.clone();
    }
    left.rng = rng;
    left
}

/// Applies a failed sync of a file: some of the changes are on the disk, the others never will be. What a process sees until
/// the next crash depends on the file system.
pub(super) fn drop_dirty(file: &mut FileState, rng: &mut Rng) {
    keep_some_changes(file, rng);
    if rng.one_in(2) {
        file.content = file.synced.clone();
    }
}

fn keep_some_names(state: &mut State, rng: &mut Rng) {
    let changes = std::mem::take(&mut state.name_changes);
    let luck = Luck::draw(changes.len(), rng);
    for (nth, change) in changes.iter().enumerate() {
        if luck.keeps(nth, rng) {
            change.apply(&mut state.synced_names);
        }
    }
}

fn keep_some_changes(file: &mut FileState, rng: &mut Rng) {
    let changes = std::mem::take(&mut file.unsynced);
    let luck = Luck::draw(changes.len(), rng);
    // The last write may be the one that the power cut interrupted.
    let torn = if rng.one_in(2) { changes.len().checked_sub(1) } else { None };
    for (nth, change) in changes.iter().enumerate() {
        match change {
            Change::SetLen(len) if luck.keeps(nth, rng) => file.synced.set_len(*len),
            Change::SetLen(_) => {}
            Change::Write { offset, bytes } => {
                if torn == Some(nth) || rng.one_in(8) {
                    tear(&mut file.synced, *offset, bytes, rng);
                } else if luck.keeps(nth, rng) {
                    file.synced.write(*offset, bytes);
                } else if rng.one_in(4) && offset + bytes.len() > file.synced.len() {
                    // The length is there, the data is not.
                    file.synced.set_len(offset + bytes.len());
                }
            }
        }
    }
}

/// Writes a part of `bytes`: some of the sectors, or the bytes before or after a point.
fn tear(pages: &mut Pages, offset: usize, bytes: &[u8], rng: &mut Rng) {
    let cut = rng.below(bytes.len() + 1);
    match rng.below(4) {
        0 => pages.write(offset, &bytes[..cut]),
        1 => pages.write(offset + cut, &bytes[cut..]),
        // Whole sectors from the start: the usual case.
        2 => {
            let end = (offset + cut) / SECTOR * SECTOR;
            pages.write(offset, &bytes[..end.saturating_sub(offset)]);
        }
        _ => {
            let mut at = 0;
            while at < bytes.len() {
                let end = ((offset + at) / SECTOR * SECTOR + SECTOR - offset).min(bytes.len());
                if rng.one_in(2) {
                    pages.write(offset + at, &bytes[at..end]);
                }
                at = end;
            }
        }
    }
}
