//! Models are read where they lie, and one of an older version is migrated.

use sessile_codec::{
    Entry, Error, Fingerprint, Lane, Limits, Meta, Model, ModelPart, Patch, Record, Shape, Stored, Tag, View, rkyv, shape,
};

use crate::fuzz::{
    KEY,
    models::{Kinds, Nothing, Profile, ProfileV1},
};

const LIMITS: Limits = Limits { record_bytes: 1 << 20, keys: 10, key_bytes: 10 };

fn profile_v1() -> ProfileV1 {
    ProfileV1 { name: "Ada Lovelace".to_owned(), age: 36, tags: vec!["a".to_owned(), "a longer tag".to_owned()] }
}

fn migrated() -> Profile {
    Profile { display_name: "Ada Lovelace".to_owned(), theme: None, tags: profile_v1().tags }
}

fn record_of(entry: Entry) -> Record {
    let mut patch = Patch::new();
    patch.set("k", entry, &LIMITS).unwrap();
    patch.apply(None, &KEY, &Meta::default(), &LIMITS).unwrap()
}

#[test]
fn a_view_reads_where_the_model_lies() {
    let record = record_of(Entry::model(&migrated(), &LIMITS).unwrap());
    let entry = record.entry("k").unwrap();
    assert_eq!(entry.as_ref().lane(), Lane::Model { tag: Profile::TAG, version: 2, fingerprint: Fingerprint::of::<Profile>() });
    assert!(!entry.is_older::<Profile>());
    let view = entry.view::<Profile>().unwrap();
    assert!(view.is(&migrated()));
    let whole = record.bytes().as_ptr_range();
    assert!(whole.contains(&view.display_name.as_str().as_ptr()));
    assert!(whole.contains(&std::ptr::from_ref(&*view).cast()));
}

#[test]
fn a_view_outlives_its_record_and_goes_to_other_threads() {
    fn sendable<T: Send + Sync + 'static>(_: &T) {}

    let record = record_of(Entry::model(&migrated(), &LIMITS).unwrap());
    let view = record.entry("k").unwrap().view::<Profile>().unwrap();
    sendable(&record);
    sendable(&view);
    let copy = view.clone();
    drop(record);
    let thread = std::thread::spawn(move || assert!(view.is(&migrated())));
    thread.join().unwrap();
    assert!(copy.is(&migrated()));
}

#[test]
fn an_older_version_is_migrated() {
    let record = record_of(Entry::model(&profile_v1(), &LIMITS).unwrap());
    let entry = record.entry("k").unwrap();
    assert!(entry.is_older::<Profile>());
    let view: View<Profile> = entry.view().unwrap();
    assert!(view.is(&migrated()));
    // Reading it changes nothing: the older build can still read what it stored.
    drop(record);
    assert!(!entry.is_older::<ProfileV1>());
    let old = entry.view::<ProfileV1>().unwrap();
    assert_eq!((old.name.as_str(), old.age, old.tags.len()), ("Ada Lovelace", 36, 2));
}

#[test]
fn what_a_migration_reports_is_what_the_caller_gets() {
    #[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
    struct Strict;

    impl ModelPart for Strict {
        const SHAPE: &'static Shape = shape!();
    }

    impl Model for Strict {
        const TAG: Tag = Tag::new("profile");
        const VERSION: u16 = 2;

        fn migrate(old: Stored<'_>) -> Result<Self, Error> {
            // Not what was stored.
            old.read::<u64>().map(|_| Self)
        }
    }

    let entry = Entry::model(&Nothing, &LIMITS).unwrap();
    assert!(matches!(entry.view::<Strict>(), Err(Error::WrongModel { .. })));
    let short = record_of(Entry::model(&Short(7), &LIMITS).unwrap());
    assert_eq!(short.entry("k").unwrap().view::<Strict>().map(drop), Err(Error::BadArchive));
}

/// The first version of `profile`, in one byte.
#[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
struct Short(u8);

impl ModelPart for Short {
    const SHAPE: &'static Shape = u64::SHAPE; // a lie, so that the bytes are read
}

impl Model for Short {
    const TAG: Tag = Tag::new("profile");
}

#[test]
fn a_model_may_be_no_bytes_at_all() {
    let record = record_of(Entry::model(&Nothing, &LIMITS).unwrap());
    assert_eq!(record.get("k").unwrap().bytes(), b"");
    assert!(record.entry("k").unwrap().view::<Nothing>().is_ok());
    assert!(matches!(record.entry("k").unwrap().view::<Kinds>(), Err(Error::WrongModel { .. })));
}

#[test]
fn a_tag_is_printable() {
    assert_eq!(Profile::TAG.to_string(), "`profile`");
    assert_eq!(format!("{:?}", Tag::new("8 chars!".trim_start_matches("8 "))), "Tag(`chars!`)");
    for bad in ["", "nine char", "a b", "ä", "\0"] {
        assert!(std::panic::catch_unwind(|| Tag::new(bad)).is_err(), "{bad:?}");
    }
}
