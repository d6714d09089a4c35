//! One file of the journal: its header, its preallocated space, and appending to it.
//!
//! ```text
//! 0      header, 4096 bytes: magic [8] | format u32 | crc u32 | store id [16] | generation u64 | salt u64 | length u64 |
//!        salt of the generation before u64 | zeros
//! 4096   the same header again
//! 8192   frames; writes begin at multiples of 512
//! ```
//!
//! Facts behind it: an append that grows a file also writes an inode and a bitmap (210-268 us against 114-137 us, and 10.5 KB
//! at the device against 4.7), so a segment is filled with zeros before it is used, off the commit path.
//!
//! Invariants: a header is durable before the first frame behind it is written; after a failed write or sync, a segment is
//! never touched again; the length never changes while frames are in it.

use std::io;

use bytes::{Buf, BufMut};

use super::{
    form::AtRest,
    frame::{self, Position, SECTOR, Salt},
    op::Op,
    volume::VolumeFile,
};
use crate::{Error, token::random_bytes};

/// Where frames begin: behind two copies of the header, each in its own page, so that no write of one can damage the other.
pub(super) const START: u64 = 8192;
/// The shortest segment: its headers and marks take a seventh of it.
pub(super) const MIN_BYTES: u64 = 64 << 10;

const MAGIC: [u8; 8] = *b"sessileJ";
/// The layout of journals that this build writes and reads.
pub(super) const FORMAT: u32 = 1;
/// A mark follows the frames, in its own sector.
const MARK_BYTES: u64 = SECTOR as u64;
/// Room for two marks behind the frames: one that they are durable, one that names the next generation.
const MARKS_BYTES: u64 = 2 * MARK_BYTES;
/// Bytes of a segment that are not for frames.
pub(super) const OVERHEAD: u64 = START + MARKS_BYTES;
/// A write that is longer than this ends: its buffer is kept.
const MAX_WRITE: usize = 1 << 20;
/// Bytes of one copy of the header: a page, the largest write that disks complete or do not start.
const COPY: usize = 4096;
/// Bytes of it that are used.
const HEADER_BYTES: usize = 64;

/// A generation of the journal, of one history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Generation {
    pub(super) number: u64,
    pub(super) salt: Salt,
}

/// Identifies a generation of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) store_id: [u8; 16],
    /// Counts the segments of a store from 1; each use of a file is one.
    pub(super) generation: u64,
    pub(super) salt: Salt,
    pub(super) len_bytes: u64,
    /// The salt of the previous generation: another history may have the same numbers.
    pub(super) after: Salt,
}

impl Label {
    /// Returns a label for the next use of a file, behind `before`, with a fresh salt.
    pub(super) fn new(store_id: [u8; 16], before: Generation, len_bytes: u64) -> Result<Self, Error> {
        let salt = u64::from_le_bytes(random_bytes()?);
        Ok(Self { store_id, generation: before.number + 1, salt, len_bytes, after: before.salt })
    }

    pub(super) fn as_generation(&self) -> Generation {
        Generation { number: self.generation, salt: self.salt }
    }

    /// Whether this generation directly follows `before`.
    pub(super) fn follows(&self, before: Generation) -> bool {
        (self.generation, self.after) == (before.number + 1, before.salt)
    }

    pub(super) fn encode(&self) -> [u8; COPY] {
        let mut block = [0; COPY];
        let mut into = &mut block[..];
        into.put_slice(&MAGIC);
        into.put_u32_le(FORMAT);
        // The checksum; filled in below.
        into.put_u32_le(0);
        into.put_slice(&self.store_id);
        into.put_u64_le(self.generation);
        into.put_u64_le(self.salt);
        into.put_u64_le(self.len_bytes);
        into.put_u64_le(self.after);
        let crc = header_crc(&block);
        (&mut block[12..]).put_u32_le(crc);
        block
    }
}

fn header_crc(block: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&block[..12]);
    hasher.update(&block[16..HEADER_BYTES]);
    hasher.finalize()
}

/// What the beginning of a file contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Label(Label),
    /// A journal of another format.
    OtherFormat(u32),
    /// No header: the process ended while the file was being made, so nothing in it was ever acknowledged.
    Nothing,
}

/// Reads the header of a segment from its first bytes.
pub(super) fn read_label(bytes: &[u8]) -> Found {
    let copies = [bytes, bytes.get(COPY..).unwrap_or_default()];
    copies.into_iter().map(read_copy).find(|found| *found != Found::Nothing).unwrap_or(Found::Nothing)
}

/// Whether these first bytes of a file may be a segment whose header was cut short: every byte that all headers of the store
/// share is right or was not written, and nothing follows the header.
pub(super) fn may_be_unfinished(bytes: &[u8], store_id: Option<&[u8; 16]>) -> bool {
    let is_part = |found: &[u8], whole: &[u8]| found.iter().zip(whole).all(|(found, byte)| *found == 0 || found == byte);
    bytes.chunks(COPY).all(|copy| {
        let part = |from: usize, to: usize| copy.get(from.min(copy.len())..to.min(copy.len())).unwrap_or_default();
        is_part(part(0, 8), &MAGIC)
            && store_id.is_none_or(|id| is_part(part(16, 32), id))
            && part(HEADER_BYTES, COPY).iter().all(|byte| *byte == 0)
    })
}

/// Whether these first bytes contain a header, of this store if its id is given. Its checksum may be wrong.
pub(super) fn is_named(bytes: &[u8], store_id: Option<&[u8; 16]>) -> bool {
    let has_id = |copy: &[u8]| store_id.is_none_or(|id| copy.get(16..32) == Some(id));
    bytes.chunks(COPY).any(|copy| copy.starts_with(&MAGIC) && has_id(copy))
}

fn read_copy(bytes: &[u8]) -> Found {
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else { return Found::Nothing };
    let mut rest = &header[MAGIC.len()..];
    let (format, crc) = (rest.get_u32_le(), rest.get_u32_le());
    if header[..8] != MAGIC || crc != header_crc(header) {
        return Found::Nothing;
    }
    if format != FORMAT {
        return Found::OtherFormat(format);
    }
    let mut store_id = [0; 16];
    rest.copy_to_slice(&mut store_id);
    let (generation, salt, len_bytes, after) = (rest.get_u64_le(), rest.get_u64_le(), rest.get_u64_le(), rest.get_u64_le());
    Found::Label(Label { store_id, generation, salt, len_bytes, after })
}

/// A segment that frames are appended to.
#[derive(Debug)]
pub(super) struct Segment {
    file: Box<dyn VolumeFile>,
    label: Label,
    /// Where the next write begins.
    end: u64,
    /// The number of the next frame.
    next: u32,
    marked: bool,
}

impl Segment {
    /// Prepares `file` for `label`: its space, then its header, each durable. This discards its earlier contents.
    pub(super) fn prepare(file: Box<dyn VolumeFile>, label: Label) -> io::Result<Self> {
        let len = file.len_bytes()?;
        if len < label.len_bytes {
            // The space first: the header promises it.
            fill_with_zeros(&*file, len, label.len_bytes)?;
        }
        let block = label.encode();
        file.write_at(0, &block)?;
        file.write_at(COPY as u64, &block)?;
        file.sync()?;
        Ok(Self { file, label, end: START, next: 0, marked: false })
    }

    pub(super) fn label(&self) -> &Label {
        &self.label
    }

    pub(super) fn into_file(self) -> Box<dyn VolumeFile> {
        self.file
    }

    /// Bytes that are left for frames.
    pub(super) fn room(&self) -> u64 {
        self.label.len_bytes.saturating_sub(self.end + MARKS_BYTES)
    }

    /// Bytes for frames in an unused segment.
    pub(super) fn capacity(&self) -> u64 {
        self.label.len_bytes.saturating_sub(OVERHEAD)
    }

    /// Whether the last frame is a mark that all frames before it are durable.
    pub(super) fn is_marked(&self) -> bool {
        self.marked || self.next == 0
    }

    pub(super) fn is_unused(&self) -> bool {
        self.next == 0
    }

    /// Returns the number of the first frame that the next sync makes durable. A mark is not synced, so a crash may keep the
    /// write behind it and lose the mark: that must not look like the loss of a durable frame.
    fn first(&self) -> u32 {
        self.next - u32::from(self.marked)
    }

    /// Encodes `ops` into `buffer` as one write, as many as fit above `reserve`, and returns their number.
    pub(super) fn encode<'a>(
        &self,
        buffer: &mut Vec<u8>,
        ops: impl Iterator<Item = (&'a Op, bool)>,
        form: &AtRest,
        reserve: u64,
    ) -> Result<usize, Error> {
        buffer.clear();
        let room = usize::try_from(self.room().saturating_sub(reserve)).unwrap_or(usize::MAX);
        let mut taken = 0;
        for (op, fresh) in ops {
            if buffer.len() + frame::len_bytes(op, form) > room || (taken > 0 && buffer.len() > MAX_WRITE) {
                break;
            }
            // Fits: a segment is at most 1 GiB long and a frame at least 48 bytes.
            let number = self.next + taken;
            frame::encode(buffer, self.label.salt, Position { number, first: self.first() }, op, fresh, form)?;
            taken += 1;
        }
        // Full sectors: reading a sector back to fill it up costs more than writing zeros.
        buffer.resize(buffer.len().next_multiple_of(SECTOR), 0);
        Ok(taken as usize)
    }

    /// Writes and syncs the `count` operations that [`encode`](Self::encode) encoded.
    pub(super) fn append(&mut self, bytes: &[u8], count: usize) -> io::Result<()> {
        self.file.write_at(self.end, bytes)?;
        self.file.sync()?;
        self.end += bytes.len().next_multiple_of(SECTOR) as u64;
        self.next += u32::try_from(count).expect("a segment holds less than 2^32 frames");
        self.marked = false;
        Ok(())
    }

    /// Marks the last frame as durable, so that recovery distinguishes damage from a write that was cut short. Not synced: it
    /// costs nothing, and helps if it arrives.
    pub(super) fn mark(&mut self) -> io::Result<()> {
        if self.next == 0 || self.marked || self.end + MARK_BYTES > self.label.len_bytes {
            return Ok(());
        }
        self.write_mark(self.next, None)?;
        self.next += 1;
        Ok(())
    }

    /// Appends a mark that names the next generation, and syncs it. Recovery uses it to detect that the newest segments are missing. Nothing
    /// may be appended after it.
    pub(super) fn go_on(&mut self, generation: u64) -> io::Result<()> {
        self.write_mark(self.first(), Some(generation))?;
        self.file.sync()
    }

    fn write_mark(&mut self, first: u32, goes_on: Option<u64>) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(SECTOR);
        frame::encode_mark(&mut bytes, self.label.salt, Position { number: self.next, first }, goes_on);
        bytes.resize(SECTOR, 0);
        self.file.write_at(self.end, &bytes)?;
        self.end += MARK_BYTES;
        self.marked = true;
        Ok(())
    }
}

/// Writes zeros instead of reserving space: in a sparse file, or one whose blocks are only reserved, each commit would change
/// the block map.
///
/// Syncs piece by piece: one sync of all of it would delay the syncs of concurrent commits.
fn fill_with_zeros(file: &dyn VolumeFile, from: u64, to: u64) -> io::Result<()> {
    // A disk that writes 100 MB/s syncs 256 KiB in 3 ms. A concurrent commit waits for one chunk at most.
    const CHUNK: u64 = 256 << 10;
    let zeros = vec![0; usize::try_from(CHUNK.min(to - from)).expect("a chunk is small")];
    let mut at = from;
    while at < to {
        let len = CHUNK.min(to - at);
        file.write_at(at, &zeros[..usize::try_from(len).expect("a chunk is small")])?;
        at += len;
        file.sync()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;
    use crate::disk::{InMemory, Volume, frame::FrameEnd};

    #[test]
    fn a_mark_that_a_crash_loses_is_not_taken_for_damage() {
        let (disk, name) = (InMemory::default(), OsStr::new("journal"));
        let label = Label::new([1; 16], Generation { number: 0, salt: 0 }, MIN_BYTES).unwrap();
        let mut segment = Segment::prepare(disk.create(name).unwrap(), label).unwrap();
        let op = |n: u8| Op::Delete { key: [n; 16] };
        let mut buffer = Vec::new();
        for n in 1..=3 {
            let count = segment.encode(&mut buffer, [(&op(n), false)].into_iter(), &AtRest::Plain, 0).unwrap();
            segment.append(&buffer, count).unwrap();
            segment.mark().unwrap();
        }
        let start = usize::try_from(START).unwrap();
        let mut frames = disk.contents(name).unwrap().split_off(start);
        let replay = |frames: &[u8]| {
            let mut count = 0;
            (frame::replay(frames, label.salt, &AtRest::Plain, 0, |_| count += 1), count)
        };
        assert_eq!(replay(&frames), (FrameEnd::Clean, 3));
        // Each write and each mark has its own sector. The last write is there, the mark before it is not.
        frames[3 * SECTOR..4 * SECTOR].fill(0);
        frames[5 * SECTOR..6 * SECTOR].fill(0);
        assert!(matches!(replay(&frames), (FrameEnd::Torn { .. }, 2)));
        // The first of them had been synced when the last was written.
        frames[2 * SECTOR..3 * SECTOR].fill(0);
        assert!(matches!(replay(&frames), (FrameEnd::Damaged { .. }, 1)));
    }
}
