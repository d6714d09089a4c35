//! The encoding of one session's change in the journal, and where a journal's valid frames end.
//!
//! ```text
//! salt u64 | crc u32 | payload length u32 | number u32 | first u32 | kind u32 | 0 u32 | record key [16] | payload, padded to 8
//! ```
//!
//! All integers are little-endian. `number` counts the frames of a generation from 0 without a gap; `first` is the number of the
//! first frame that became durable together with it. The CRC-32 covers everything after itself, and begins from the salt.
//!
//! Invariants:
//! - Only a frame of this very generation is read: each of its frames contains 64 random bits that no client ever sees. So
//!   neither an earlier generation's bytes in reused space nor a frame inside a session's value passes for one.
//! - A write is synced before the next one begins. So a bad frame in the last write is a write that a crash cut short, and is
//!   cut off. A bad frame with a later *write* behind it had been synced: it is reported as damage.
//!
//! Knows nothing of files or of the contents of records.

use bytes::{Buf, BufMut};
use sessile_codec::{Error as CodecError, Record};

use super::{
    form::{AtRest, Unreadable, is_damage},
    op::Op,
};
#[cfg(feature = "encryption")]
use crate::error::SealKeyId;
use crate::{Error, token::Key};

/// Bytes before the payload.
pub(super) const HEADER: usize = 48;
/// Where writes begin: no write touches a sector that an earlier, synced one wrote.
pub(super) const SECTOR: usize = 512;

const PUT: u32 = 1;
const DELETE: u32 = 2;
const REKEY: u32 = 3;
const MARK: u32 = 4;
/// Or-ed to the kind: the session had no record before.
const FRESH: u32 = 0x100;

/// Identifies the frames of one generation.
pub(super) type Salt = u64;

/// Where the next frame goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) number: u32,
    /// The number of the first frame in the same write.
    pub(super) first: u32,
}

/// Returns the length of the frame of `op`.
pub(super) fn len_bytes(op: &Op, form: &AtRest) -> usize {
    let payload = match op {
        Op::Put { record, .. } => form.len_bytes(record),
        Op::Delete { .. } => 0,
        Op::Rekey { record, .. } => size_of::<Key>() + form.len_bytes(record),
    };
    (HEADER + payload).next_multiple_of(8)
}

/// Appends the frame of `op`. `fresh`: its session had no record before.
pub(super) fn encode(into: &mut Vec<u8>, salt: Salt, at: Position, op: &Op, fresh: bool, form: &AtRest) -> Result<(), Error> {
    let flag = if fresh { FRESH } else { 0 };
    match op {
        Op::Put { key, record } => append(into, salt, at, PUT | flag, key, |into| put(into, key, record, form)),
        Op::Delete { key } => append(into, salt, at, DELETE | flag, key, |_| Ok(())),
        Op::Rekey { key, new_key, record } => append(into, salt, at, REKEY | flag, key, |into| {
            into.extend_from_slice(new_key);
            put(into, new_key, record, form)
        }),
    }
}

fn put(into: &mut Vec<u8>, key: &Key, record: &Record, form: &AtRest) -> Result<(), Error> {
    if !form.is_sealed() {
        into.extend_from_slice(record.bytes());
        return Ok(());
    }
    let start = into.len();
    into.resize(start + form.len_bytes(record), 0);
    form.write(&mut into[start..], key, record)
}

/// Appends a mark: a frame that changes nothing, and means that every frame before it was synced. `goes_on`: the next
/// generation, if this is the last frame of its own.
pub(super) fn encode_mark(into: &mut Vec<u8>, salt: Salt, at: Position, goes_on: Option<u64>) {
    let mut key = [0; 16];
    (&mut key[..]).put_u64_le(goes_on.unwrap_or_default());
    // A frame without a payload cannot fail.
    let _ = append(into, salt, at, MARK, &key, |_| Ok(()));
}

fn append(
    into: &mut Vec<u8>,
    salt: Salt,
    at: Position,
    kind: u32,
    key: &Key,
    payload: impl FnOnce(&mut Vec<u8>) -> Result<(), Error>,
) -> Result<(), Error> {
    let start = into.len();
    into.put_u64_le(salt);
    // The checksum and the length; filled in below.
    into.put_u64_le(0);
    into.put_u32_le(at.number);
    into.put_u32_le(at.first);
    into.put_u32_le(kind);
    into.put_u32_le(0);
    into.put_slice(key);
    payload(into)?;
    let payload_len = u32::try_from(into.len() - start - HEADER).expect("a record is at most 1 GiB");
    (&mut into[start + 12..]).put_u32_le(payload_len);
    into.resize(start + (into.len() - start).next_multiple_of(8), 0);
    let crc = checksum(salt, &into[start + 12..]);
    (&mut into[start + 8..]).put_u32_le(crc);
    Ok(())
}

fn checksum(salt: Salt, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

/// A frame whose salt and CRC are right.
#[derive(Clone, Copy, Debug)]
struct Raw<'a> {
    at: Position,
    kind: u32,
    key: Key,
    payload: &'a [u8],
    /// Length of the whole frame.
    len: usize,
}

fn raw(bytes: &[u8], salt: Salt) -> Option<Raw<'_>> {
    let mut header = bytes.get(..HEADER)?;
    if header.get_u64_le() != salt {
        return None;
    }
    let (crc, payload_len) = (header.get_u32_le(), header.get_u32_le() as usize);
    let len = HEADER.checked_add(payload_len)?.checked_next_multiple_of(8)?;
    let frame = bytes.get(..len)?;
    if checksum(salt, &frame[12..]) != crc {
        return None;
    }
    let at = Position { number: header.get_u32_le(), first: header.get_u32_le() };
    let kind = header.get_u32_le();
    let key = *header.last_chunk().expect("a header ends with the record key");
    Some(Raw { at, kind, key, payload: &frame[HEADER..HEADER + payload_len], len })
}

/// The contents of a frame.
pub(super) enum Replayed {
    Change {
        op: Op,
        fresh: bool,
    },
    /// The journal continues in this generation.
    GoesOn(u64),
}

impl Raw<'_> {
    /// `Ok(None)`: a plain mark. `Err`: not a frame that this build writes, though its CRC is right.
    fn parse(&self, form: &AtRest) -> Result<Option<Replayed>, Bad> {
        let record = |bytes: &[u8], key: &Key| form.read(bytes, key).map_err(Bad::from);
        let key = self.key;
        let op = match self.kind & !FRESH {
            PUT => Op::Put { key, record: record(self.payload, &key)? },
            DELETE => Op::Delete { key },
            REKEY => {
                let (new_key, rest) = self.payload.split_first_chunk().ok_or(Bad::Damaged)?;
                Op::Rekey { key, new_key: *new_key, record: record(rest, new_key)? }
            }
            MARK => {
                let generation = (&key[..]).get_u64_le();
                return Ok((generation != 0).then_some(Replayed::GoesOn(generation)));
            }
            _ => return Err(Bad::Damaged),
        };
        Ok(Some(Replayed::Change { op, fresh: self.kind & FRESH != 0 }))
    }
}

/// Why a frame cannot be replayed.
enum Bad {
    Damaged,
    /// It contains a good record of another release.
    OtherFormat(CodecError),
    #[cfg(feature = "encryption")]
    OtherSeal(u8),
    #[cfg(feature = "encryption")]
    UnknownKey(SealKeyId),
}

impl From<Unreadable> for Bad {
    fn from(error: Unreadable) -> Self {
        match error {
            #[cfg(feature = "encryption")]
            Unreadable::UnknownKey(key) => Self::UnknownKey(key),
            #[cfg(feature = "encryption")]
            Unreadable::OtherSeal(found) => Self::OtherSeal(found),
            Unreadable::Codec(error) if !is_damage(&error) => Self::OtherFormat(error),
            _ => Self::Damaged,
        }
    }
}

/// How the frames of a generation end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FrameEnd {
    /// Nothing behind the last frame.
    Clean,
    /// A write that a crash cut short: its bytes begin at this offset, and it was never acknowledged.
    Torn { offset: usize },
    /// At this offset was a frame that had been synced.
    Damaged { offset: usize },
    /// Another release wrote a frame, and can read it.
    OtherFormat(CodecError),
    #[cfg(feature = "encryption")]
    OtherSeal(u8),
    /// A frame was sealed with a key that we do not have.
    #[cfg(feature = "encryption")]
    UnknownKey(SealKeyId),
}

/// Calls `visit` with each frame in `bytes` from offset `from` up to the first that is not valid. `from` is 0 or a result of
/// [`next_valid`].
pub(super) fn replay(bytes: &[u8], salt: Salt, form: &AtRest, from: usize, mut visit: impl FnMut(Replayed)) -> FrameEnd {
    let start = if from == 0 { None } else { bytes.get(from..).and_then(|rest| raw(rest, salt)) };
    let Position { mut number, mut first } = start.map_or_else(Position::default, |frame| frame.at);
    let mut offset = from;
    loop {
        // A write may end anywhere in a sector; the next begins at a sector's start.
        let next = raw(&bytes[offset..], salt)
            .map(|frame| (offset, frame))
            .or_else(|| {
                let aligned = offset.next_multiple_of(SECTOR);
                Some((aligned, raw(bytes.get(aligned..)?, salt)?))
            })
            .filter(|(_, frame)| frame.at.number == number && (frame.at.first == number || frame.at.first == first));
        let Some((at, frame)) = next else { return end(bytes, salt, offset, number) };
        match frame.parse(form) {
            Ok(Some(replayed)) => visit(replayed),
            Ok(None) => {}
            Err(Bad::Damaged) => return FrameEnd::Damaged { offset: at },
            Err(Bad::OtherFormat(error)) => return FrameEnd::OtherFormat(error),
            #[cfg(feature = "encryption")]
            Err(Bad::OtherSeal(found)) => return FrameEnd::OtherSeal(found),
            #[cfg(feature = "encryption")]
            Err(Bad::UnknownKey(key)) => return FrameEnd::UnknownKey(key),
        }
        (offset, first) = (at + frame.len, frame.at.first);
        let Some(next) = number.checked_add(1) else { return FrameEnd::Clean };
        number = next;
    }
}

/// Whether any frame of this generation was ever written.
pub(super) fn has_any(bytes: &[u8], salt: Salt) -> bool {
    bytes.chunks_exact(8).any(|chunk| chunk == salt.to_le_bytes())
}

/// Returns the offset of the first valid frame after the damage at `offset`, to salvage what is left.
pub(super) fn next_valid(bytes: &[u8], salt: Salt, form: &AtRest, offset: usize) -> Option<usize> {
    (offset + 8..bytes.len())
        .step_by(8)
        .find(|at| raw(&bytes[*at..], salt).is_some_and(|frame| !matches!(frame.parse(form), Err(Bad::Damaged))))
}

/// Classifies the lack of a valid frame `number` at `offset`.
fn end(bytes: &[u8], salt: Salt, offset: usize, number: u32) -> FrameEnd {
    let rest = &bytes[offset..];
    let mut torn = false;
    // Frames begin at multiples of 8.
    for at in (0..rest.len().saturating_sub(HEADER - 1)).step_by(8) {
        if rest[at..at + 8] != salt.to_le_bytes() {
            continue;
        }
        torn = true;
        // A frame of a write that began after the missing one proves that the missing one was synced.
        if raw(&rest[at..], salt).is_some_and(|frame| frame.at.number > number && frame.at.first > number) {
            return FrameEnd::Damaged { offset };
        }
    }
    if torn { FrameEnd::Torn { offset } } else { FrameEnd::Clean }
}

#[cfg(test)]
mod tests {
    use sessile_codec::{Limits, Meta, Patch};

    use super::*;

    const SALT: Salt = 0x0123_4567_89ab_cdef;
    const OTHER: Salt = 0xfedc_ba98_7654_3210;

    fn frames(salt: Salt, count: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in 0..count {
            encode(&mut bytes, salt, Position { number, first: 0 }, &Op::Delete { key: [1; 16] }, false, &AtRest::Plain)
                .unwrap();
        }
        bytes
    }

    fn count(bytes: &[u8]) -> (usize, FrameEnd) {
        let mut count = 0;
        let end = replay(bytes, SALT, &AtRest::Plain, 0, |_| count += 1);
        (count, end)
    }

    #[test]
    fn every_operation_says_whether_its_session_had_a_record() {
        let record = Patch::new().apply(None, &[2; 16], &Meta::default(), &Limits::default()).unwrap();
        let (key, new_key) = ([2; 16], [2; 16]);
        let ops = [Op::Put { key, record: record.clone() }, Op::Delete { key }, Op::Rekey { key, new_key, record }];
        for (op, fresh) in ops.iter().flat_map(|op| [(op, false), (op, true)]) {
            let mut bytes = Vec::new();
            encode(&mut bytes, SALT, Position::default(), op, fresh, &AtRest::Plain).unwrap();
            let mut found = None;
            replay(&bytes, SALT, &AtRest::Plain, 0, |replayed| match replayed {
                Replayed::Change { fresh, .. } => found = Some(fresh),
                Replayed::GoesOn(_) => panic!("it is no mark"),
            });
            assert_eq!(found, Some(fresh), "{op:?}");
        }
    }

    #[test]
    fn g6_a_frame_of_another_generation_is_not_read() {
        assert_eq!(count(&frames(SALT, 2)), (2, FrameEnd::Clean));
        assert_eq!(count(&frames(OTHER, 2)), (0, FrameEnd::Clean));
    }

    #[test]
    fn g6_neither_half_of_the_salt_alone_makes_a_frame() {
        // An attacker who knew the salt in the frames would still need it for the checksum, and the reverse.
        let mut salted = frames(OTHER, 1);
        salted[..8].copy_from_slice(&SALT.to_le_bytes());
        assert_eq!(count(&salted), (0, FrameEnd::Torn { offset: 0 }));
        let mut summed = frames(SALT, 1);
        summed[..8].copy_from_slice(&OTHER.to_le_bytes());
        assert_eq!(count(&summed), (0, FrameEnd::Clean));
    }

    #[test]
    fn a_frame_of_another_release_is_not_taken_for_damage() {
        let (key, at) = ([1; 16], Position::default());
        let record = Patch::new().apply(None, &key, &Meta::default(), &Limits::UNLIMITED).unwrap();
        let mut newer = record.bytes().to_vec();
        newer[4] += 1;
        let read = |payload: &[u8]| {
            let mut bytes = Vec::new();
            let write = |into: &mut Vec<u8>| {
                into.extend_from_slice(payload);
                Ok(())
            };
            append(&mut bytes, SALT, at, PUT, &key, write).unwrap();
            count(&bytes)
        };
        assert!(matches!(read(&newer), (0, FrameEnd::OtherFormat(CodecError::FormatVersion { .. }))));
        newer[0] += 1;
        assert_eq!(read(&newer), (0, FrameEnd::Damaged { offset: 0 }));
    }

    #[test]
    fn a_missing_frame_is_damage_only_if_a_later_write_proves_that_it_was_synced() {
        let mut one_write = frames(SALT, 3);
        let len = one_write.len() / 3;
        one_write[len..2 * len].fill(0);
        assert_eq!(count(&one_write), (1, FrameEnd::Torn { offset: len }));
        let mut two_writes = frames(SALT, 2);
        two_writes.resize(SECTOR, 0);
        encode(&mut two_writes, SALT, Position { number: 2, first: 2 }, &Op::Delete { key: [2; 16] }, false, &AtRest::Plain)
            .unwrap();
        assert_eq!(count(&two_writes), (3, FrameEnd::Clean));
        two_writes[len..2 * len].fill(0);
        assert_eq!(count(&two_writes), (1, FrameEnd::Damaged { offset: len }));
    }
}
