//! Properties of arbitrary content; the bodies of the fuzz targets say most of them.

use std::collections::BTreeMap;

use arbitrary::Unstructured;
use proptest::{collection::vec, prelude::*};
use sessile_codec::{Meta, Patch, Record};

use crate::fuzz::{
    KEY,
    content::{self, Content, parts},
    patch, record, round_trip, seal,
};

/// Entries of both lanes.
fn entries() -> impl Strategy<Value = BTreeMap<String, Content>> {
    vec(any::<u8>(), 0..1500).prop_map(|data| content::entries(&mut Unstructured::new(&data)).expect("it takes what there is"))
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(1000))]

    #[test]
    fn prop_what_is_put_in_comes_out(data in vec(any::<u8>(), 0..3000)) {
        round_trip::run(&data);
    }

    #[test]
    fn prop_patches_match_edits_of_a_map(data in vec(any::<u8>(), 0..3000)) {
        patch::run(&data);
    }

    #[test]
    fn prop_arbitrary_bytes_are_an_error_or_a_record(data in vec(any::<u8>(), 0..600)) {
        record::run(&data);
    }

    #[test]
    fn prop_mutated_records_are_an_error_or_a_record(
        entries in entries(),
        edits in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = content::record_of(&Meta::default(), &entries).bytes().to_vec();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            record::run(&bytes);
        }
        bytes.truncate(cut.index(bytes.len()));
        record::run(&bytes);
    }

    #[test]
    fn prop_equal_content_is_equal_bytes_wherever_it_is_written(entries in entries(), others in entries()) {
        let meta = Meta { revision: 3, ..Meta::default() };
        let here = content::record_of(&meta, &entries);
        // The buffers of this thread hold another record's bytes now.
        let before = content::record_of(&meta, &others);
        let after = content::record_of(&meta, &entries);
        prop_assert_eq!(after.bytes(), here.bytes());
        let elsewhere = std::thread::scope(|scope| scope.spawn(|| content::record_of(&meta, &entries)).join().unwrap());
        prop_assert_eq!(elsewhere.bytes(), here.bytes());
        // From the other record to this one.
        let mut patch = Patch::new();
        for key in others.keys() {
            patch.remove(key);
        }
        for (key, content) in &entries {
            patch.set(key, content.entry().unwrap(), &sessile_codec::Limits::default()).unwrap();
        }
        let patched = patch.apply(Some(&before), &KEY, &meta, &sessile_codec::Limits::default()).unwrap();
        prop_assert_eq!(patched.bytes(), here.bytes());
    }

    #[test]
    fn prop_a_value_of_the_same_length_is_written_as_any_other(
        lens in vec(0..40_usize, 1..8),
        changes in vec((any::<prop::sample::Index>(), 0..0x80_u8), 1..4),
    ) {
        let limits = sessile_codec::Limits::default();
        let patch_of = |values: &BTreeMap<String, Vec<u8>>| {
            let mut patch = Patch::new();
            for (key, value) in values {
                patch.set(key, sessile_codec::Entry::serde(value, &limits).unwrap(), &limits).unwrap();
            }
            patch
        };
        let meta = Meta { revision: 3, ..Meta::default() };
        // Keys shorter and longer than those that an archive holds in place.
        let mut values: BTreeMap<_, _> = lens.iter().map(|len| (format!("{len}").repeat(1 + len % 7), vec![1; *len])).collect();
        let before = patch_of(&values).apply(None, &KEY, &Meta::default(), &limits).unwrap();
        let untouched = before.bytes().to_vec();
        let mut changed = BTreeMap::new();
        for (at, byte) in changes {
            let (key, value) = values.iter_mut().nth(at.index(lens.len()) % before.len()).unwrap();
            value.fill(byte);
            changed.insert(key.clone(), value.clone());
        }
        let after = patch_of(&changed).apply(Some(&before), &KEY, &meta, &limits).unwrap();
        let encoded = patch_of(&values).apply(None, &KEY, &meta, &limits).unwrap();
        prop_assert_eq!(after.bytes(), encoded.bytes());
        prop_assert_eq!(before.bytes(), untouched);
    }

    #[test]
    fn prop_a_patch_copies_untouched_entries(entries in entries(), others in entries()) {
        let before = content::record_of(&Meta::default(), &entries);
        let mut patch = Patch::new();
        for (key, content) in &others {
            patch.set(key, content.entry().unwrap(), &sessile_codec::Limits::default()).unwrap();
        }
        let after = patch.apply(Some(&before), &KEY, &Meta::default(), &sessile_codec::Limits::default()).unwrap();
        for (key, entry) in before.iter().filter(|(key, _)| !others.contains_key(*key)) {
            prop_assert_eq!(after.get(key).map(parts), Some(parts(entry)));
        }
    }
}

proptest! {
    #![proptest_config(config(64))]

    #[test]
    fn prop_any_flipped_bit_is_detected(entries in entries()) {
        let meta = Meta { revision: 1, owner: [7; 16], ..Meta::default() };
        let mut bytes = content::record_of(&meta, &entries).bytes().to_vec();
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Record::check(&bytes, &KEY, 1 << 20).is_err(), "bit {}", bit);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        prop_assert!(Record::check(&bytes, &KEY, 1 << 20).is_ok());
    }
}

/// Each bit of an archive flipped under a checksum that is right: mostly another record, sometimes none, never anything else.
#[test]
fn every_flipped_bit_under_a_right_checksum_is_an_error_or_a_record() {
    let data: Vec<u8> = (0..4000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let entries = content::entries(&mut Unstructured::new(&data)).unwrap();
    assert!(entries.len() > 3);
    let record = content::record_of(&Meta::default(), &entries);
    let (mut errors, mut records) = (0, 0);
    for bit in crate::fuzz::HEADER * 8..record.bytes().len() * 8 {
        let mut bytes = record.bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        seal(&mut bytes);
        match Record::check(&bytes, &KEY, 1 << 20) {
            Ok(record) => {
                record::walk(&record);
                records += 1;
            }
            Err(_) => errors += 1,
        }
    }
    assert!(errors > 100 && records > 100, "{errors} errors, {records} records");
}
