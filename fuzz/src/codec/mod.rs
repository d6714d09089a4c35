//! Targets over the codec, and the values that they put into records.

pub mod content;
pub mod model;
pub mod models;
pub mod patch;
pub mod record;
pub mod round_trip;
pub mod value;

use sessile_codec::{Key, Limits, Meta, Patch};

/// The record key of everything here, and of the records in the corpus.
pub const KEY: Key = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// Length of a record's header.
pub const HEADER: usize = 96;

/// Makes the header of `bytes` right, so that only the archive behind it can be wrong.
///
/// What a header says of the session stays as it is: every content of it is allowed.
pub fn seal(bytes: &mut Vec<u8>) {
    let empty = Patch::new().apply(None, &KEY, &Meta::default(), &Limits::UNLIMITED).expect("no entry is within every limit");
    bytes.resize(bytes.len().max(HEADER), 0);
    bytes[..6].copy_from_slice(&empty.bytes()[..6]);
    let archive_len = u32::try_from(bytes.len() - HEADER).expect("test records are small");
    bytes[12..16].copy_from_slice(&archive_len.to_le_bytes());
    seal_crc(bytes);
}

/// Makes the checksum of `bytes` right, whatever else is wrong with them.
pub fn seal_crc(bytes: &mut [u8]) {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&KEY);
    crc.update(&bytes[..8]);
    crc.update(&bytes[12..]);
    bytes[8..12].copy_from_slice(&crc.finalize().to_le_bytes());
}
