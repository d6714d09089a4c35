//! The indexes beside the records.

use redb::backends::InMemoryBackend;
use sessile_codec::{Limits, Meta, Patch};

use super::*;

const ADA: [u8; 16] = [1; 16];
const BOB: [u8; 16] = [2; 16];

fn record(key: u8, owner: [u8; 16], ends: Minute) -> Record {
    let ends_ms = u64::from(ends) * 60_000;
    let meta = Meta { owner, idle_deadline_ms: ends_ms, absolute_deadline_ms: ends_ms, ..Meta::default() };
    Patch::new().apply(None, &[key; 16], &meta, &Limits::default()).unwrap()
}

#[test]
fn the_indexes_name_the_records_that_are_here_and_no_others() {
    let db = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
    create(&db, &StoreMeta::new([7; 16], Zeroizing::new(Vec::new()), &AtRest::Plain)).unwrap();
    // A change of a record, then the minute under which each record is listed, and which of them each owner has.
    let steps = [
        ((1, Some(record(1, ADA, 10))), vec![(10, 1)], vec![1], vec![]),
        ((2, Some(record(2, NOBODY, 20))), vec![(10, 1), (20, 2)], vec![1], vec![]),
        // A later end stays listed under the earlier one until the sweep; an earlier end is listed at once.
        ((1, Some(record(1, ADA, 30))), vec![(10, 1), (20, 2)], vec![1], vec![]),
        ((2, Some(record(2, NOBODY, 5))), vec![(5, 2), (10, 1)], vec![1], vec![]),
        ((1, Some(record(1, ADA, 4))), vec![(4, 1), (5, 2)], vec![1], vec![]),
        // An owner is set, replaced and removed.
        ((2, Some(record(2, BOB, 5))), vec![(4, 1), (5, 2)], vec![1], vec![2]),
        ((1, Some(record(1, BOB, 4))), vec![(4, 1), (5, 2)], vec![], vec![1, 2]),
        ((2, Some(record(2, NOBODY, 5))), vec![(4, 1), (5, 2)], vec![], vec![1]),
        ((3, Some(record(3, ADA, 9))), vec![(4, 1), (5, 2), (9, 3)], vec![3], vec![1]),
        ((1, None), vec![(5, 2), (9, 3)], vec![3], vec![]),
        ((1, None), vec![(5, 2), (9, 3)], vec![3], vec![]),
        ((2, None), vec![(9, 3)], vec![3], vec![]),
        ((3, None), vec![], vec![], vec![]),
    ];
    for (nth, ((key, record), listed, of_ada, of_bob)) in steps.into_iter().enumerate() {
        let records = write(&db, &AtRest::Plain, |tables| tables.change(&[key; 16], record.as_ref())).unwrap();
        assert_eq!(records, listed.len() as u64, "after {nth}");
        let keys = |keys: Vec<u8>| keys.into_iter().map(|key| [key; 16]).collect::<Vec<_>>();
        let listed: Vec<_> = listed.into_iter().map(|(minute, key)| (minute, [key; 16])).collect();
        assert_eq!(due(&db, u64::MAX, 100, |_| true).unwrap(), listed, "after {nth}");
        assert_eq!(of_owner(&db, &ADA).unwrap(), keys(of_ada), "after {nth}");
        assert_eq!(of_owner(&db, &BOB).unwrap(), keys(of_bob), "after {nth}");
        assert_eq!(of_owner(&db, &NOBODY).unwrap(), keys(Vec::new()), "after {nth}");
    }
}

#[test]
fn a_record_that_is_listed_anew_is_listed_once_and_leaves_nothing() {
    let db = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
    create(&db, &StoreMeta::new([7; 16], Zeroizing::new(Vec::new()), &AtRest::Plain)).unwrap();
    let key = [1; 16];
    let listed = |work: &dyn Fn(&mut Tables<'_>) -> Result<(), redb::Error>| {
        write(&db, &AtRest::Plain, work).unwrap();
        due(&db, u64::MAX, 100, |_| true).unwrap()
    };
    assert_eq!(listed(&|tables| tables.put(&key, &record(1, ADA, 10))), [(10, key)]);
    assert_eq!(listed(&|tables| tables.put(&key, &record(1, ADA, 30))), [(10, key)]);
    // As the sweep does: at the end that redb has, or at a later one that only memory has.
    assert_eq!(listed(&|tables| tables.relist(&key, 10, 30 * 60_000)), [(30, key)]);
    assert_eq!(listed(&|tables| tables.relist(&key, 30, 40 * 60_000 + 59_999)), [(40, key)]);
    assert_eq!(load(&db, &key, <[u8]>::to_vec).unwrap().unwrap(), record(1, ADA, 30).bytes(), "the record is as it was");
    assert_eq!(listed(&|tables| tables.put(&key, &record(1, ADA, 35))), [(35, key)]);
    assert_eq!(listed(&|tables| tables.delete(&key)), []);
    // An entry without a record is removed.
    let orphan = |tables: &mut Tables<'_>| {
        tables.expiry.insert(&expiry_entry(5, &key), ())?;
        Ok(())
    };
    assert_eq!(listed(&orphan), [(5, key)]);
    assert_eq!(listed(&|tables| tables.relist(&key, 5, u64::MAX)), []);
}
