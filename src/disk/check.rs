//! Checks the readers of stored bytes, byte by byte: for tests and the fuzz targets.
//!
//! Knows what the writers write, and that a reader must classify anything else correctly: as an end, damage or nothing.

use sessile_codec::{Limits, Meta, Patch};

use super::{
    Op,
    form::AtRest,
    frame::{self, FrameEnd, Position, Replayed, SECTOR},
    meta::JournalMark,
    segment::{self, Found},
    tables::{self, Contents},
};
use crate::{keys::KeyRing, token::Key};

/// Reads `data` as a segment's header and as its frames. Then writes frames from `data`, damages them as `data` specifies, and
/// reads those.
pub(crate) fn journal(data: &[u8]) {
    if let Found::Label(label) = segment::read_label(data) {
        // Either copy may be the one that was read.
        let copy = [&label.encode()[..], &label.encode()].concat();
        assert_eq!(segment::read_label(&copy), Found::Label(label));
    }
    let Some((salt, frames)) = data.split_first_chunk() else { return };
    read_all(frames, u64::from_le_bytes(*salt));
    written(data);
}

/// Reads as recovery does when it skips damage. Returns the replayed keys, and whether there was no damage.
fn read_all(bytes: &[u8], salt: u64) -> (Vec<Key>, bool) {
    let (mut keys, mut from, mut is_whole) = (Vec::new(), 0, true);
    loop {
        let end = frame::replay(bytes, salt, &AtRest::Plain, from, |replayed| {
            let Replayed::Change { op, .. } = replayed else { return };
            for (key, record) in op.changes() {
                assert!(record.is_none_or(|record| record.bytes().len() <= bytes.len()));
                keys.push(*key);
            }
        });
        match end {
            FrameEnd::Clean => return (keys, is_whole),
            FrameEnd::Torn { offset } => {
                assert!(offset <= bytes.len() && frame::has_any(bytes, salt));
                return (keys, false);
            }
            FrameEnd::Damaged { offset } => {
                is_whole = false;
                match frame::next_valid(bytes, salt, &AtRest::Plain, offset) {
                    Some(next) => {
                        assert!(next > offset, "it goes on");
                        from = next;
                    }
                    None => return (keys, false),
                }
            }
            #[cfg(feature = "encryption")]
            FrameEnd::UnknownKey(_) | FrameEnd::OtherSeal(_) => {
                panic!("a plain journal holds no seal, and this is read as one")
            }
            FrameEnd::OtherFormat(_) => return (keys, false),
        }
    }
}

/// Checks a journal with one frame for every two bytes of `data`, then the same with one byte damaged by the last three.
fn written(data: &[u8]) {
    const SALT: u64 = 0x5a17_5a17_5a17_5a17;
    let (mut bytes, mut expected, mut next) = (Vec::new(), Vec::new(), 0);
    for [what, n] in data.as_chunks::<2>().0.iter().take(40) {
        let key: Key = [*n; 16];
        let record = || Patch::new().apply(None, &key, &Meta::default(), &Limits::UNLIMITED).expect("nothing is small");
        let op = match what % 4 {
            0 => Op::Put { key, record: record() },
            1 => Op::Rekey { key: [!n; 16], new_key: key, record: record() },
            _ => Op::Delete { key },
        };
        // Some frames share a write, others begin one at the next sector.
        let begins_write = next == 0 || what & 4 == 0;
        if begins_write {
            bytes.resize(bytes.len().next_multiple_of(SECTOR), 0);
        }
        let first = if begins_write { next } else { frame_first(&bytes, SALT) };
        let at = Position { number: next, first };
        if what % 8 == 7 {
            frame::encode_mark(&mut bytes, SALT, at, (what & 32 != 0).then_some(u64::from(*n) + 1));
        } else {
            frame::encode(&mut bytes, SALT, at, &op, what & 16 != 0, &AtRest::Plain).expect("nothing is sealed");
            expected.extend(op.changes().map(|(key, _)| *key));
        }
        next += 1;
    }
    bytes.resize(bytes.len().next_multiple_of(SECTOR) + SECTOR, 0);
    assert_eq!(read_all(&bytes, SALT), (expected.clone(), true), "what was written is read");
    let [.., low, high, with] = *data else { return };
    let at = usize::from(u16::from_le_bytes([low, high])) % bytes.len();
    bytes[at] ^= with;
    let (found, is_whole) = read_all(&bytes, SALT);
    // Whatever was hit, no other frame appears: some are missing, in the middle or at the end.
    let mut rest = expected.iter();
    assert!(found.iter().all(|key| rest.any(|expected| expected == key)), "in the same order");
    assert!(with != 0 || is_whole, "nothing was hit");
}

/// Returns the number of the first frame of the last write.
fn frame_first(bytes: &[u8], salt: u64) -> u32 {
    let mut first = 0;
    for at in (0..bytes.len()).step_by(8) {
        if bytes[at..].starts_with(&salt.to_le_bytes()) {
            first = u32::from_le_bytes(bytes[at + 20..at + 24].try_into().expect("four bytes"));
        }
    }
    first
}

/// Reads `data` as the values of redb's meta table, each with a length before it, and as the value of a record.
pub(crate) fn meta(data: &[u8]) {
    let mut rest = data;
    let mut next = || {
        let (len, later) = rest.split_first()?;
        let (value, later) = later.split_at_checked(usize::from(*len))?;
        rest = later;
        Some(value.to_vec())
    };
    let values = [next(), next(), next(), next(), next(), next()];
    let [format, store_id, mac_keys, journal, clock, sealed] = values.clone();
    match tables::parse_meta(format, store_id, mac_keys, journal, clock, sealed) {
        Contents::Store(meta) => {
            assert_eq!(values[0].as_deref(), Some(&tables::FORMAT.to_le_bytes()[..]));
            assert_eq!(values[1].as_deref(), Some(&meta.store_id[..]));
            assert_eq!(values[3].as_deref(), Some(&meta.journal.encode()[..]), "one spelling only");
            let clock = meta.clock.map(tables::encode_clock);
            let is_clock = values[4].as_ref().is_some_and(|bytes| bytes.len() == 16);
            assert_eq!(clock.as_ref().map(|bytes| &bytes[..]), values[4].as_deref().filter(|_| is_clock));
            assert_eq!(meta.sealed.is_some(), values[5].is_some(), "a sealed store is never taken for a plain one");
            let bytes = meta.mac_keys.clone();
            let ring = KeyRing::from_bytes(meta.mac_keys);
            assert_eq!(ring.is_some(), !bytes.is_empty() && bytes.len().is_multiple_of(16));
            assert!(ring.is_none_or(|ring| ring.to_bytes() == bytes));
        }
        Contents::OtherFormat(found) => assert_ne!(found, tables::FORMAT),
        Contents::SomethingElse => {}
    }
    if let Some(mark) = JournalMark::decode(data) {
        assert_eq!(mark.encode(), *data);
    }
    let (record, listed) = tables::parse_record(data, &AtRest::Plain);
    match listed {
        Some((minute, owner)) => {
            assert_eq!(data[..4], minute.to_le_bytes());
            assert_eq!(owner, Meta::peek(record).map_or([0; 16], |meta| meta.owner));
        }
        None => assert!(data.len() < 4 && record.is_empty()),
    }
    assert!(sessile_codec::Record::check(record, &[0; 16], Limits::UNLIMITED.record_bytes).is_err() || record.len() >= 80);
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_corpora_of_the_fuzz_targets_pass() {
        for (target, check) in [("journal", journal as fn(&[u8])), ("meta", meta)] {
            let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
            let files: Vec<_> = fs::read_dir(corpus).unwrap().map(|file| file.unwrap().path()).collect();
            assert!(files.len() >= 5, "{} files", files.len());
            for file in files {
                println!("{}", file.display());
                check(&fs::read(&file).unwrap());
            }
        }
    }

    proptest! {
        #[test]
        fn prop_journals_are_read_as_they_were_written(data in prop::collection::vec(any::<u8>(), 0..90)) {
            journal(&data);
        }

        #[test]
        fn prop_meta_values_are_read_or_refused(data in prop::collection::vec(any::<u8>(), 0..200)) {
            meta(&data);
        }
    }
}
