//! To whom a file belongs that has the name of one of the store's journal files.
//!
//! Invariant: a file is removed or overwritten only if it is a segment of this store, or an unfinished one. Every other file is
//! foreign: a user's notes, another database, a link, a directory.

use std::{ffi::OsStr, io};

use super::{
    segment::{self, Found, Label, START},
    volume::{FileKind, Volume, VolumeFile},
};

/// What a file is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// A segment, of this store or of another.
    Segment(Label),
    /// A segment of another format.
    OtherFormat(u32),
    /// A segment that was unfinished when the process ended, so nothing in it was acknowledged.
    Unfinished,
    /// Not a segment. The text names what it is.
    Foreign(&'static str),
}

/// The first bytes of redb's files.
const REDB: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";
/// Bytes per read when a file is checked for anything but zeros. The first segment of a store has the same length, so one read
/// is enough for it.
const CHUNK: usize = 256 << 10;

/// Classifies the file `name`. Without the id of a store, an unfinished segment of any store counts as [`Whose::Unfinished`].
pub(super) fn whose(volume: &dyn Volume, name: &OsStr, store_id: Option<&[u8; 16]>) -> io::Result<Whose> {
    match volume.look(name)?.kind {
        FileKind::File => {}
        FileKind::Directory => return Ok(Whose::Foreign("it is a directory")),
        FileKind::Link => return Ok(Whose::Foreign("it is a link")),
        FileKind::Other => return Ok(Whose::Foreign("it is a device, a pipe or a socket")),
    }
    let file = volume.open(name)?;
    let len = file.len_bytes()?;
    let mut head = vec![0; usize::try_from(len.min(START)).map_err(io::Error::other)?];
    file.read_at(0, &mut head)?;
    Ok(match segment::read_label(&head) {
        Found::Label(label) => Whose::Segment(label),
        Found::OtherFormat(found) => Whose::OtherFormat(found),
        Found::Nothing if segment::may_be_unfinished(&head, store_id) => {
            // A file that was used before contains our name, whatever happened to the rest. A new one has zeros behind its
            // header.
            if segment::is_named(&head, store_id) || is_zero(&*file, len)? {
                Whose::Unfinished
            } else {
                Whose::Foreign("it is no journal")
            }
        }
        Found::Nothing if head.starts_with(REDB) => Whose::Foreign("it is a database"),
        Found::Nothing => Whose::Foreign("it is no journal"),
    })
}

/// Whether the bytes behind the header are zeros.
fn is_zero(file: &dyn VolumeFile, len: u64) -> io::Result<bool> {
    let (mut at, mut bytes) = (START, vec![0; CHUNK]);
    while at < len {
        let some = usize::try_from((len - at).min(CHUNK as u64)).map_err(io::Error::other)?;
        file.read_at(at, &mut bytes[..some])?;
        if bytes[..some].iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        at += some as u64;
    }
    Ok(true)
}

/// Removes the file `name` if it is a segment of the store `store_id`, or an unfinished one. Returns whether it did; any other
/// file stays.
pub(super) fn remove(volume: &dyn Volume, name: &OsStr, store_id: &[u8; 16]) -> io::Result<bool> {
    let is_ours = match whose(volume, name, Some(store_id))? {
        Whose::Segment(label) => label.store_id == *store_id,
        Whose::Unfinished => true,
        Whose::OtherFormat(_) | Whose::Foreign(_) => false,
    };
    if is_ours {
        volume.remove(name)?;
    }
    Ok(is_ours)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{
        InMemory,
        segment::{Generation, MIN_BYTES, Segment},
    };

    const STORE: [u8; 16] = [7; 16];
    const NAME: &str = "a.journal0";

    fn whose_is(bytes: &[u8]) -> Whose {
        let disk = InMemory::default();
        disk.replace(NAME, bytes);
        whose(&disk, OsStr::new(NAME), Some(&STORE)).unwrap()
    }

    /// Returns a segment of `store_id` before anything is appended.
    fn segment(store_id: [u8; 16]) -> (Label, Vec<u8>) {
        let disk = InMemory::default();
        let label = Label::new(store_id, Generation { number: 0, salt: 0 }, MIN_BYTES).unwrap();
        Segment::prepare(disk.create(OsStr::new(NAME)).unwrap(), label).unwrap();
        (label, disk.contents(NAME).unwrap())
    }

    #[test]
    fn a_segment_that_is_cut_anywhere_while_it_is_made_is_ours() {
        let (label, bytes) = segment(STORE);
        assert_eq!(whose_is(&bytes), Whose::Segment(label));
        // Both copies of the header, cut before or behind the same byte: without a checksum that holds.
        for cut in 0..64 {
            for (from, to) in [(0, cut), (cut + 1, 64)] {
                let mut torn = vec![0; bytes.len()];
                for copy in [0, 4096] {
                    torn[copy + from..copy + to].copy_from_slice(&bytes[copy + from..copy + to]);
                }
                let found = whose_is(&torn);
                assert!(matches!(found, Whose::Unfinished | Whose::Segment(_)), "{from}..{to}: {found:?}");
            }
        }
        for len in [0, 1, 64, 4096, 8192, 8193, 300_000] {
            assert_eq!(whose_is(&vec![0; len]), Whose::Unfinished, "{len} zeros");
        }
    }

    #[test]
    fn what_looks_a_little_like_ours_is_not() {
        let (_, bytes) = segment(STORE);
        let mut strangers = vec![b"notes".to_vec(), b"sessileJ".repeat(100), bytes[1..].to_vec()];
        // One byte that is not zero, anywhere in a file that has no header.
        for at in [0, 7, 20, 64, 4095, 4096, 8191, 8192, 299_999] {
            let mut zeros = vec![0; 300_000];
            zeros[at] = 1;
            strangers.push(zeros);
        }
        // The header of another store, torn.
        let (_, mut other) = segment([8; 16]);
        (other[48], other[4096 + 48]) = (1, 1);
        strangers.push(other);
        for stranger in strangers {
            assert_eq!(whose_is(&stranger), Whose::Foreign("it is no journal"), "{:?}...", &stranger[..5]);
        }
        let redb = [REDB, &[0; 9000]].concat();
        assert_eq!(whose_is(&redb), Whose::Foreign("it is a database"));
    }
}
