//! The fixed header before each archive, in bytes.
//!
//! ```text
//!  0  magic "sesl"          16  revision            u64    48  absolute deadline, ms  u64
//!  4  format version  u8    24  created, ms         u64    56  owner                  [u8; 16], 0 = none
//!  5  layout of rkyv  u8    32  last seen, ms       u64    72  cookie deadline, ms    u64
//!  6  flags           u16   40  idle deadline, ms   u64    80  handle                 u64, 0 = none
//!  8  CRC-32          u32                                  88  authenticated, ms      u64, 0 = never
//! 12  archive length  u32                                  96  archive
//! ```
//!
//! Invariants: integers are little-endian on every machine. The header's length is a multiple of 16, so the archive after it
//! stays 16-aligned. The CRC covers the record key and every byte except its own four: redb does not check what it reads, and a
//! misplaced page must not show one visitor another's record.
//!
//! Knows nothing of the archive's content.

use std::fmt;

use rkyv::rend::{u32_be, u32_le, unaligned};

use crate::{Error, Key};

/// Length of the header in bytes.
pub(crate) const LEN: usize = 96;
pub(crate) const MAGIC: [u8; 4] = *b"sesl";
/// The format that this build writes and reads.
pub const FORMAT_VERSION: u8 = 1;

/// A record's metadata: everything except its entries.
///
/// Times are milliseconds since the Unix epoch. `u64::MAX` as a deadline means never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Counts the record's commits.
    pub revision: u64,
    /// When the session began.
    pub created_ms: u64,
    /// When it was last used, as far as this record knows.
    pub last_seen_ms: u64,
    /// When it ends unless it is used before.
    pub idle_deadline_ms: u64,
    /// When it ends however much it is used.
    pub absolute_deadline_ms: u64,
    /// Hash of the application's user; all zero if there is none.
    pub owner: [u8; 16],
    /// When the client's cookie with the token expires, as last sent; 0 if none was sent.
    pub cookie_deadline_ms: u64,
    /// Names the session for as long as it exists, whatever its record key; 0 if it has no name.
    pub handle: u64,
    /// When its owner signed in; 0 if the session has no owner.
    pub authenticated_ms: u64,
    /// Bits that the store keeps with a session; they have no meaning in the codec.
    pub flags: u16,
}

impl Meta {
    /// Returns when the session ends: the earlier of its two deadlines.
    #[must_use]
    #[inline]
    pub fn deadline_ms(&self) -> u64 {
        self.idle_deadline_ms.min(self.absolute_deadline_ms)
    }

    /// Reads the metadata of a record and checks only its length: for indexes, never for serving.
    #[must_use]
    pub fn peek(record: &[u8]) -> Option<Self> {
        record.first_chunk().map(parse_meta)
    }
}

/// The layout that rkyv uses for archives in one build: its cargo features elsewhere in a binary can change it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Layout(u8);

impl Layout {
    /// The layout of this build.
    pub const CURRENT: Self = Self(
        (<rkyv::primitive::ArchivedU32 as IntegerLayout>::BIG_ENDIAN as u8)
            | (<rkyv::primitive::ArchivedU32 as IntegerLayout>::UNALIGNED as u8) << 1
            | POINTER_WIDTH << 2
            | RKYV_GENERATION << 4,
    );
}

/// The width of rkyv's pointers: 0 for 8 bits, up to 3 for 64.
const POINTER_WIDTH: u8 = match size_of::<rkyv::primitive::ArchivedUsize>() {
    2 => 1,
    4 => 2,
    _ => 3,
};

/// The minor version of rkyv; no other minor version can read its archives.
const RKYV_GENERATION: u8 = 8;

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endian = if self.0 & 1 == 0 { "little-endian" } else { "big-endian" };
        let align = if self.0 & 2 == 0 { "aligned" } else { "unaligned" };
        let bits = 8u32 << ((self.0 >> 2) & 3);
        write!(f, "rkyv 0.{} {endian} {align} {bits}-bit", self.0 >> 4)
    }
}

impl fmt::Debug for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Layout({self})")
    }
}

/// Shows at compile time as which of its four integer types rkyv archives a `u32`.
trait IntegerLayout {
    const BIG_ENDIAN: bool;
    const UNALIGNED: bool;
}

macro_rules! layout {
    ($($type:ty: $big:literal, $unaligned:literal;)*) => {
        $(impl IntegerLayout for $type { const BIG_ENDIAN: bool = $big; const UNALIGNED: bool = $unaligned; })*
    };
}

layout! {
    u32_le: false, false;
    u32_be: true, false;
    unaligned::u32_ule: false, true;
    unaligned::u32_ube: true, true;
}

/// Writes the header of `record`, which already contains its archive.
pub(crate) fn write(record: &mut [u8], key: &Key, meta: &Meta) {
    let archive_len = u32::try_from(record.len() - LEN).expect("the encoder refuses records over 1 GiB");
    record[0..4].copy_from_slice(&MAGIC);
    record[4] = FORMAT_VERSION;
    record[5] = Layout::CURRENT.0;
    record[6..8].copy_from_slice(&meta.flags.to_le_bytes());
    record[12..16].copy_from_slice(&archive_len.to_le_bytes());
    record[16..24].copy_from_slice(&meta.revision.to_le_bytes());
    record[24..32].copy_from_slice(&meta.created_ms.to_le_bytes());
    record[32..40].copy_from_slice(&meta.last_seen_ms.to_le_bytes());
    record[40..48].copy_from_slice(&meta.idle_deadline_ms.to_le_bytes());
    record[48..56].copy_from_slice(&meta.absolute_deadline_ms.to_le_bytes());
    record[56..72].copy_from_slice(&meta.owner);
    record[72..80].copy_from_slice(&meta.cookie_deadline_ms.to_le_bytes());
    record[80..88].copy_from_slice(&meta.handle.to_le_bytes());
    record[88..96].copy_from_slice(&meta.authenticated_ms.to_le_bytes());
    let crc = checksum(record, key);
    record[8..12].copy_from_slice(&crc.to_le_bytes());
}

/// Checks everything about `bytes` except the archive.
pub(crate) fn check(bytes: &[u8], key: &Key) -> Result<(), Error> {
    let Some(header) = bytes.first_chunk::<LEN>() else {
        return Err(Error::TooShort { found_bytes: bytes.len(), expected_bytes: LEN });
    };
    let magic = array(header, 0);
    if magic != MAGIC {
        return Err(Error::WrongMagic { found: magic });
    }
    if header[4] != FORMAT_VERSION {
        return Err(Error::FormatVersion { found: header[4], expected: FORMAT_VERSION });
    }
    // Before the checksum: it distinguishes another build, whose checksum is right, from damage, which the next lines catch.
    let (found, expected) = (u32::from_le_bytes(array(header, 8)), checksum(bytes, key));
    let layout = Layout(header[5]);
    if layout != Layout::CURRENT && found == expected {
        return Err(Error::FormatMismatch { found: layout, expected: Layout::CURRENT });
    }
    let archive_len = usize::try_from(u32::from_le_bytes(array(header, 12))).unwrap_or(usize::MAX);
    let expected_bytes = LEN.saturating_add(archive_len);
    if bytes.len() != expected_bytes {
        return Err(Error::WrongLength { found_bytes: bytes.len(), expected_bytes });
    }
    if found != expected {
        return Err(Error::Checksum { found, expected });
    }
    Ok(())
}

#[inline]
pub(crate) fn parse_meta(header: &[u8; LEN]) -> Meta {
    let word = |at| u64::from_le_bytes(array(header, at));
    Meta {
        revision: word(16),
        created_ms: word(24),
        last_seen_ms: word(32),
        idle_deadline_ms: word(40),
        absolute_deadline_ms: word(48),
        owner: array(header, 56),
        cookie_deadline_ms: word(72),
        handle: word(80),
        authenticated_ms: word(88),
        flags: u16::from_le_bytes(array(header, 6)),
    }
}

/// CRC-32 of the record key and of the whole record except the four bytes of the checksum.
fn checksum(record: &[u8], key: &Key) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(&record[..8]);
    hasher.update(&record[12..]);
    hasher.finalize()
}

/// The `N` header bytes from `at` on.
fn array<const N: usize>(header: &[u8; LEN], at: usize) -> [u8; N] {
    header[at..at + N].try_into().expect("a slice of N bytes is an array of N bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_build_writes_the_default_layout_of_rkyv() {
        assert_eq!(Layout::CURRENT.to_string(), "rkyv 0.8 little-endian aligned 32-bit");
    }

    #[test]
    fn meta_survives_the_header() {
        let meta = Meta {
            revision: 7,
            created_ms: 1,
            last_seen_ms: u64::MAX,
            idle_deadline_ms: 3,
            absolute_deadline_ms: 4,
            owner: [5; 16],
            cookie_deadline_ms: 8,
            handle: 10,
            authenticated_ms: 11,
            flags: 6,
        };
        let mut record = vec![0; LEN + 8];
        write(&mut record, &[9; 16], &meta);
        assert_eq!(Meta::peek(&record), Some(meta));
        assert_eq!(check(&record, &[9; 16]), Ok(()));
    }
}
