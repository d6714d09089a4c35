//! Buffers, and what is known of the values in them.

use super::*;
use crate::{Limits, ModelPart, Patch, Shape, Tag};

#[test]
fn blocks_are_bytes_and_nothing_else() {
    assert_eq!((size_of::<Block>(), align_of::<Block>()), (ALIGNMENT, ALIGNMENT));
    assert_eq!((size_of::<StoredEntry>(), align_of::<StoredEntry>()), (28, 4));
}

/// Models that say the same of themselves and accept other bytes.
macro_rules! models {
    ($($name:ident($ty:ty);)*) => {$(
        #[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
        struct $name($ty);

        impl ModelPart for $name {
            const SHAPE: &'static Shape = u8::SHAPE;
        }

        impl Model for $name {
            const TAG: Tag = Tag::new("number");
        }
    )*};
}

models! {
    Number(u8);
    Flag(bool);
}

fn record_of(numbers: &[(&str, u8)]) -> Record {
    let (mut patch, limits) = (Patch::new(), Limits::default());
    for (key, number) in numbers {
        patch.set(key, Entry::model(&Number(*number), &limits).unwrap(), &limits).unwrap();
    }
    patch.apply(None, &[7; 16], &Meta::default(), &limits).unwrap()
}

/// Where the value under `key` begins.
fn start_of(record: &Record, key: &str) -> usize {
    record.entry(key).unwrap().start
}

fn last_passed(record: &Record) -> Option<Passed> {
    NonZeroU64::new(record.0.passed().load(Ordering::Relaxed)).map(Passed)
}

#[test]
fn a_value_is_checked_once_for_each_record_and_type() {
    let record = record_of(&[("one", 1), ("seven", 7)]);
    let view = |key: &str| record.entry(key).unwrap().view::<Number>().map(|view| view.0);
    assert_eq!(last_passed(&record), None);
    for key in ["one", "seven", "one"] {
        assert_eq!(view(key), Ok(if key == "one" { 1 } else { 7 }));
        assert_eq!(last_passed(&record), Passed::of::<ArchivedNumber>(start_of(&record, key)), "the last is kept");
    }
    // What one type accepted is no proof for another, whatever it says of itself, and a failure proves nothing.
    view("seven").unwrap();
    assert_eq!(record.entry("seven").unwrap().view::<Flag>().map(drop), Err(Error::BadArchive));
    assert_eq!(last_passed(&record), Passed::of::<ArchivedNumber>(start_of(&record, "seven")));
    assert!(record.entry("one").unwrap().view::<Flag>().unwrap().0);
    assert_eq!(last_passed(&record), Passed::of::<ArchivedFlag>(start_of(&record, "one")));
    assert_eq!(record.entry("seven").unwrap().view::<Flag>().map(drop), Err(Error::BadArchive));
    // Another record with the same bytes has passed nothing.
    assert_eq!(last_passed(&record.with_meta(&[7; 16], &record.meta())), None);
}

#[test]
fn a_check_that_was_passed_does_not_run_again() {
    let record = record_of(&[("seven", 7)]);
    // As if the number had been a flag: the view is made and not read.
    let passed = Passed::of::<ArchivedFlag>(start_of(&record, "seven")).unwrap();
    record.0.passed().store(passed.0.get(), Ordering::Relaxed);
    assert!(record.entry("seven").unwrap().view::<Flag>().is_ok());
}

#[test]
fn a_check_that_does_not_fit_into_a_number_is_not_kept() {
    assert_eq!(Passed::new(0, 1), NonZeroU64::new(1 << 16).map(Passed));
    assert_ne!(Passed::new(16, 1), Passed::new(32, 1));
    assert_ne!(Passed::new(16, 1), Passed::new(16, 2));
    assert!(Passed::new((1 << 20) - 16, (1 << 48) - 1).is_some());
    assert_eq!(Passed::new(1 << 20, 1), None);
    assert_eq!(Passed::new(0, 1 << 48), None);
}

#[test]
fn views_on_many_threads_share_what_is_known_of_a_record() {
    let record = record_of(&[("one", 1), ("seven", 7), ("zero", 0)]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..2_000 {
                    assert_eq!(record.entry("seven").unwrap().view::<Number>().unwrap().0, 7);
                    assert!(!record.entry("zero").unwrap().view::<Flag>().unwrap().0);
                    assert!(record.entry("seven").unwrap().view::<Flag>().is_err());
                }
            });
        }
    });
    assert!(Record::check(record.bytes(), &[7; 16], 1 << 20).is_ok(), "nothing wrote to its bytes");
}

#[test]
fn a_record_is_two_words_and_can_be_sent_and_shared() {
    fn sendable<T: Send + Sync + 'static>() {}
    sendable::<Record>();
    sendable::<Entry>();
    assert_eq!(size_of::<Record>(), 2 * size_of::<usize>());
}

#[test]
fn a_buffer_is_aligned_and_padded_with_zeros() {
    for len in 0..70_u8 {
        let bytes: Vec<u8> = (0..len).map(|n| n | 0x80).collect();
        let buffer = Buffer::copy_of(&bytes);
        assert_eq!(buffer.bytes().as_ptr().addr() % ALIGNMENT, 0);
        assert_eq!(buffer.memory_bytes(), (bytes.len() + 8).next_multiple_of(ALIGNMENT));
        assert_eq!(buffer.bytes().len(), buffer.memory_bytes() - 8);
        assert_eq!(&buffer.bytes()[..bytes.len()], bytes);
        assert!(buffer.bytes()[bytes.len()..].iter().all(|byte| *byte == 0));
        assert_eq!(buffer.passed().load(Ordering::Relaxed), 0);
    }
}
