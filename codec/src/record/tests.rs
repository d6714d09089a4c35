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

/// A record with numbers, with room for a check.
fn record_of(numbers: &[(&str, u8)]) -> Record {
    let (mut patch, limits) = (Patch::new(), Limits::default());
    for (key, number) in numbers {
        patch.set(key, Entry::model(&Number(*number), &limits).unwrap(), &limits).unwrap();
    }
    let record = patch.apply(None, &[7; 16], &Meta::default(), &limits).unwrap();
    Record(Blocks::copy_of(record.bytes(), true))
}

/// Where the value under `key` begins.
fn start_of(record: &Record, key: &str) -> usize {
    record.entry(key).unwrap().start
}

fn mark(record: &Record) -> &AtomicU64 {
    record.passed().expect("there is room")
}

fn last_passed(record: &Record) -> Option<Passed> {
    NonZeroU64::new(mark(record).load(Ordering::Relaxed)).map(Passed)
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
    mark(&record).store(passed.0.get(), Ordering::Relaxed);
    assert!(record.entry("seven").unwrap().view::<Flag>().is_ok());
    assert!(record.clone().into_current_view::<Flag>("seven").is_some());
    mark(&record).store(0, Ordering::Relaxed);
    assert!(record.clone().into_current_view::<Flag>("seven").is_none());
    assert!(record.clone().into_current_view::<Number>("seven").is_some_and(|view| view.0 == 7));
    assert!(record.into_current_view::<Number>("eight").is_none());
}

/// A model that is large enough for its check to be kept.
#[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
struct Large([u64; 8]);

impl ModelPart for Large {
    const SHAPE: &'static Shape = crate::shape!(0: [u64; 8]);
}

impl Model for Large {
    const TAG: Tag = Tag::new("large");
}

#[test]
fn a_record_keeps_room_for_a_check_if_it_has_a_large_model() {
    let limits = Limits::default();
    let small = Entry::model(&Number(1), &limits).unwrap();
    let large = Entry::model(&Large([7; 8]), &limits).unwrap();
    // Keys of other lengths, so that the bytes end at every place of a block.
    for len in 8..40 {
        let record_of = |entry: &Entry| {
            let mut patch = Patch::new();
            patch.set(&"k".repeat(len), entry.clone(), &limits).unwrap();
            patch.apply(None, &[7; 16], &Meta::default(), &limits).unwrap()
        };
        let (without, with) = (record_of(&small), record_of(&large));
        assert_eq!(without.memory_bytes(), without.bytes().len().next_multiple_of(ALIGNMENT));
        let checked = Record::check(with.bytes(), &[7; 16], 1 << 20).unwrap();
        let touched = with.with_meta(&[7; 16], &Meta::default());
        for record in [with, checked, touched] {
            assert_eq!(record.memory_bytes(), (record.bytes().len() + 8).next_multiple_of(ALIGNMENT));
            assert_eq!(record.clone().into_current_view::<Large>(&"k".repeat(len)).unwrap().0[7].to_native(), 7);
            assert!(last_passed(&record).is_some());
        }
    }
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
    fn sendable<T: Send + Sync + UnwindSafe + RefUnwindSafe + 'static>() {}
    sendable::<Record>();
    sendable::<Entry>();
    sendable::<View<Number>>();
    assert_eq!(size_of::<Record>(), 2 * size_of::<usize>());
}

#[test]
fn blocks_are_aligned_and_padded_with_zeros() {
    for len in 0..70_u8 {
        let bytes: Vec<u8> = (0..len).map(|n| n | 0x80).collect();
        for keeps_check in [false, true] {
            let mut buffer = Buffer::copy_of(&bytes, keeps_check);
            assert_eq!(buffer.bytes(), bytes);
            let memory_bytes = (bytes.len() + if keeps_check { 8 } else { 0 }).next_multiple_of(ALIGNMENT);
            assert_eq!(buffer.blocks.memory_bytes(), memory_bytes);
            assert_eq!(buffer.passed().is_some(), memory_bytes >= bytes.len() + 8);
            assert!(buffer.passed().is_none_or(|passed| passed.load(Ordering::Relaxed) == 0));
            let all = buffer.blocks.bytes_mut();
            assert_eq!((all.as_ptr().addr() % ALIGNMENT, all.len()), (0, memory_bytes));
            assert!(all[bytes.len()..].iter().all(|byte| *byte == 0));
        }
    }
}
