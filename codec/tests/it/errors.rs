//! Every error says what was found and what was expected.

use sessile_codec::{
    Entry, Error, FORMAT_VERSION, Layout, Limits, Meta, Model, ModelPart, Patch, Record, Shape, Tag, rkyv, shape,
};

use crate::{
    forge::{self, Forged},
    fuzz::{
        HEADER, KEY,
        models::{Kinds, Profile, ProfileV1},
        seal, seal_crc,
    },
};

const LIMITS: Limits = Limits { record_bytes: 1000, keys: 3, key_bytes: 10 };

/// A record with a value of each lane.
fn record() -> Record {
    let mut patch = Patch::new();
    patch.set("text", Entry::serde("text", &LIMITS).unwrap(), &LIMITS).unwrap();
    patch.set("profile", profile(), &LIMITS).unwrap();
    patch.apply(None, &KEY, &Meta::default(), &LIMITS).unwrap()
}

fn profile() -> Entry {
    Entry::model(&Profile { display_name: "Ada".to_owned(), theme: None, tags: vec![] }, &LIMITS).unwrap()
}

/// What reading `bytes` says.
#[track_caller]
fn refused(bytes: &[u8]) -> Error {
    Record::check(bytes, &KEY, 10_000).expect_err("it is not a record")
}

/// Checks what an error is and what it says.
#[track_caller]
fn is(found: &Error, expected: &Error, text: &str) {
    assert_eq!(found, expected);
    assert_eq!(found.to_string(), text);
}

#[test]
fn too_short_for_a_header() {
    let record = record();
    for found_bytes in 0..HEADER {
        let error = refused(&record.bytes()[..found_bytes]);
        let text = format!("a record has at least 96 bytes, found {found_bytes}; restore the file from a backup");
        is(&error, &Error::TooShort { found_bytes, expected_bytes: 96 }, &text);
    }
}

#[test]
fn another_beginning() {
    let mut bytes = record().bytes().to_vec();
    bytes[..4].copy_from_slice(b"\x89PNG");
    is(
        &refused(&bytes),
        &Error::WrongMagic { found: *b"\x89PNG" },
        "a record begins with [73, 65, 73, 6c], found [89, 50, 4e, 47]; these bytes were not written by sessile",
    );
}

#[test]
fn another_format_version() {
    let mut bytes = record().bytes().to_vec();
    bytes[4] = 2;
    is(
        &refused(&bytes),
        &Error::FormatVersion { found: 2, expected: FORMAT_VERSION },
        "record format is 2, this build reads 1; open it with the release of sessile that wrote it",
    );
}

#[test]
fn another_layout_of_rkyv() {
    for (bit, layout) in
        [(1, "big-endian aligned 32-bit"), (2, "little-endian unaligned 32-bit"), (4, "little-endian aligned 64-bit")]
    {
        let mut bytes = record().bytes().to_vec();
        bytes[5] ^= bit;
        // With the old checksum it is damage like any other.
        assert!(matches!(refused(&bytes), Error::Checksum { .. }));
        seal_crc(&mut bytes);
        let error = refused(&bytes);
        assert!(matches!(error, Error::FormatMismatch { expected: Layout::CURRENT, .. }));
        let text =
            format!("record layout is rkyv 0.8 {layout}, this build reads rkyv 0.8 little-endian aligned 32-bit; find with");
        assert!(error.to_string().starts_with(&text), "{error}");
    }
}

#[test]
fn another_length() {
    let whole = record();
    let expected_bytes = whole.bytes().len();
    let longer = [whole.bytes(), &[0]].concat();
    for bytes in [&longer[..], &whole.bytes()[..expected_bytes - 1], &whole.bytes()[..HEADER]] {
        let found_bytes = bytes.len();
        let text = format!(
            "the header contains the length {expected_bytes}, found {found_bytes} bytes; the record was cut or joined with another"
        );
        is(&refused(bytes), &Error::WrongLength { found_bytes, expected_bytes }, &text);
    }
}

#[test]
fn another_checksum() {
    let mut bytes = record().bytes().to_vec();
    let right = u32::from_le_bytes(bytes[8..12].try_into().unwrap());
    bytes[8..12].copy_from_slice(&0xdead_beef_u32.to_le_bytes());
    let text = format!(
        "checksum is deadbeef, the bytes under this record key have {right:08x}; the record is damaged or belongs to another key"
    );
    is(&refused(&bytes), &Error::Checksum { found: 0xdead_beef, expected: right }, &text);
}

#[test]
fn a_record_of_another_key() {
    let record = record();
    for bit in 0..128 {
        let mut key = KEY;
        key[bit / 8] ^= 1 << (bit % 8);
        let error = Record::check(record.bytes(), &key, 10_000).unwrap_err();
        assert!(matches!(error, Error::Checksum { .. }), "{error}");
    }
}

#[test]
fn a_bad_archive_behind_a_good_header() {
    let good = || vec![Forged::serde("a", &[1]), Forged::model::<u8>("b", "tag", 1, b"archive"), Forged::serde("c", &[])];
    assert_eq!(forge::read(good()).len(), 3);
    let with = |change: fn(&mut Vec<Forged>)| {
        let mut entries = good();
        change(&mut entries);
        forge::record(entries)
    };
    let cases = [
        ("keys in another order", with(|entries| entries.swap(0, 1))),
        ("a key twice", with(|entries| entries[1].key = "a".to_owned())),
        ("an unknown lane", with(|entries| entries[0].lane = 3)),
        ("a model without a fingerprint", with(|entries| entries[1].bytes.content.truncate(7))),
        ("a version without a model", with(|entries| entries[0].version = 1)),
        ("a byte that is not zero", with(|entries| entries[1].zero = 1)),
        ("bytes that are not aligned", with(|entries| entries[1].bytes.skew = 8)),
        ("no archive", forge_archive(&[])),
        ("half an archive", forge_archive(&[0; 7])),
        ("entries before the archive", forge_archive(&[&(-100_i32).to_le_bytes()[..], &1_u32.to_le_bytes()].concat())),
        ("entries behind the archive", forge_archive(&[&100_i32.to_le_bytes()[..], &1_u32.to_le_bytes()].concat())),
        ("entries without an end", forge_archive(&[&[0; 4][..], &u32::MAX.to_le_bytes()].concat())),
        ("entries in the entries", forge_archive(&[[0; 28].as_slice(), &[0; 4], &1_u32.to_le_bytes()].concat())),
        ("a key that is not UTF-8", {
            let mut bytes = forge::record(vec![Forged::serde("a longer key", &[])]);
            let at = bytes.windows(12).position(|window| window == b"a longer key").unwrap();
            bytes[at] = 0xff;
            seal(&mut bytes);
            bytes
        }),
        ("a key that nobody would find", {
            let mut bytes = forge::record(vec![Forged::serde("a", &[])]);
            let at = bytes.windows(8).position(|window| window == b"a\xff\xff\xff\xff\xff\xff\xff").unwrap();
            bytes[at + 3] = b'b';
            seal(&mut bytes);
            bytes
        }),
        // `Record` writes over a value in a copy, and relies on it that the bytes are nothing else besides.
        ("two values in the same bytes", {
            let mut bytes = forge::record(vec![Forged::serde("a", &[1; 16]), Forged::serde("b", &[2; 16])]);
            // Two values of 16 bytes, two entries of 28; in an entry, 8 bytes behind its start, where its value is from there.
            let at = HEADER + 2 * 16 + 28 + 8;
            assert_eq!(bytes[at..at + 4], (-52_i32).to_le_bytes());
            bytes[at..at + 4].copy_from_slice(&(-68_i32).to_le_bytes());
            seal(&mut bytes);
            bytes
        }),
    ];
    for (name, bytes) in cases {
        assert_eq!(refused(&bytes), Error::BadArchive, "{name}");
    }
    let text = Error::BadArchive.to_string();
    assert!(text.starts_with("the checksum is right but the archive is not one that this build writes"), "{text}");
}

/// A record of which the header is right and the archive is `bytes`.
fn forge_archive(bytes: &[u8]) -> Vec<u8> {
    let mut record = [&[0; HEADER], bytes].concat();
    seal(&mut record);
    record
}

#[test]
fn a_value_that_is_too_large() {
    // 995 bytes of text are the most that MessagePack writes as 1000 bytes with its header.
    assert!(Entry::serde(&"x".repeat(997), &LIMITS).is_ok());
    is(
        &Entry::serde(&"x".repeat(998), &LIMITS).unwrap_err(),
        &Error::ValueTooLarge { found_bytes: 1001, limit_bytes: 1000 },
        "a value has 1001 bytes or more, at most 1000 are allowed; keep large data elsewhere and its name in the session, \
         or raise the record limit",
    );
    let profile = |len| Profile { display_name: "x".repeat(len), theme: None, tags: vec![] };
    let around = Entry::model(&profile(500), &LIMITS).unwrap().as_ref().bytes().len() - 500;
    assert!(Entry::model(&profile(1000 - around), &LIMITS).is_ok());
    let error = Entry::model(&profile(1004 - around), &LIMITS).unwrap_err();
    assert_eq!(error, Error::ValueTooLarge { found_bytes: 1004, limit_bytes: 1000 });
    // Refused while it is written: where rkyv's pointers do not reach, it would panic.
    let error = Entry::model(&profile(5000), &LIMITS).unwrap_err();
    assert_eq!(error, Error::ValueTooLarge { found_bytes: 5000, limit_bytes: 1000 });
}

#[test]
fn a_record_that_is_too_large() {
    let mut patch = Patch::new();
    for key in ["a", "b"] {
        patch.set(key, Entry::serde(&"x".repeat(297), &LIMITS).unwrap(), &LIMITS).unwrap();
    }
    let apply = |record_bytes| patch.apply(None, &KEY, &Meta::default(), &Limits { record_bytes, ..LIMITS });
    let record = apply(1000).unwrap();
    let found_bytes = record.bytes().len();
    let limit_bytes = found_bytes - 1;
    let text = format!(
        "the session would have {found_bytes} bytes or more, at most {limit_bytes} are allowed; keep large data elsewhere \
         and its name in the session, or raise the record limit"
    );
    is(&apply(limit_bytes).unwrap_err(), &Error::RecordTooLarge { found_bytes, limit_bytes }, &text);
    // Refused while it is written, at the first entry that does not fit.
    assert_eq!(apply(100).unwrap_err(), Error::RecordTooLarge { found_bytes: 396, limit_bytes: 100 });
    assert_eq!(apply(0).unwrap_err(), Error::RecordTooLarge { found_bytes: 96, limit_bytes: 0 });
    // The limit that is just reached, when writing and when reading.
    assert_eq!(apply(found_bytes).unwrap().bytes(), record.bytes());
    assert!(Record::check(record.bytes(), &KEY, found_bytes).is_ok());
    let error = Record::check(record.bytes(), &KEY, found_bytes - 1).unwrap_err();
    assert_eq!(error, Error::RecordTooLarge { found_bytes, limit_bytes: found_bytes - 1 });
}

#[test]
fn too_many_keys() {
    let mut patch = Patch::new();
    for key in ["a", "b", "c", "d"] {
        patch.set(key, Entry::serde(&1, &LIMITS).unwrap(), &LIMITS).unwrap();
    }
    is(
        &patch.apply(None, &KEY, &Meta::default(), &LIMITS).unwrap_err(),
        &Error::TooManyKeys { found: 4, limit: 3 },
        "the session would have 4 keys, at most 3 are allowed; put a list under one key, or raise the keys limit",
    );
    patch.remove("a");
    assert_eq!(patch.apply(None, &KEY, &Meta::default(), &LIMITS).unwrap().len(), 3);
}

#[test]
fn a_bad_key() {
    let mut patch = Patch::new();
    let mut set = |key: &str| patch.set(key, profile(), &LIMITS);
    for found_bytes in [0, 11, 300] {
        let error = set(&"k".repeat(found_bytes)).unwrap_err();
        let text = format!("a key has {found_bytes} bytes, 1 to 10 are allowed; choose another key, or raise the key limit");
        is(&error, &Error::BadKey { found_bytes, limit_bytes: 10 }, &text);
    }
    assert_eq!(set("k"), Ok(()));
    assert_eq!(set("ten bytes!"), Ok(()));
    assert_eq!(patch.keys().count(), 2);
}

#[test]
fn the_other_lane() {
    let record = record();
    is(
        &record.get("profile").unwrap().get::<String>().unwrap_err(),
        &Error::WrongLane { found: "a model", expected: "a serde value" },
        "the value was stored as a model, the call reads a serde value; read it as it was stored",
    );
    is(
        &record.entry("text").unwrap().view::<Profile>().unwrap_err(),
        &Error::WrongLane { found: "a serde value", expected: "a model" },
        "the value was stored as a serde value, the call reads a model; read it as it was stored",
    );
}

#[test]
fn another_model() {
    is(
        &profile().view::<Kinds>().unwrap_err(),
        &Error::WrongModel { found: Profile::TAG, expected: Kinds::TAG },
        "the stored model is `profile`, the call reads `kinds`; read it as the type that was stored",
    );
}

#[test]
fn a_model_from_the_future() {
    is(
        &profile().view::<ProfileV1>().unwrap_err(),
        &Error::ModelFromFuture { tag: Profile::TAG, found: 2, expected: 1 },
        "model `profile` has version 2, this build knows up to 1; deploy the newer build again or let the value be replaced",
    );
}

#[test]
fn a_model_without_a_migration() {
    /// Says nothing of its older version.
    #[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
    struct Forgetful(u8);

    impl ModelPart for Forgetful {
        const SHAPE: &'static Shape = shape!(0: u8);
    }

    impl Model for Forgetful {
        const TAG: Tag = Tag::new("profile");
        const VERSION: u16 = 3;
    }

    let error = Error::NoMigration { tag: Tag::new("profile"), found: 2, expected: 3 };
    let text = "model `profile` has version 2, this build has 3 and no migration from it; implement `Model::migrate`";
    is(&profile().view::<Forgetful>().unwrap_err(), &error, text);
    assert!(Entry::model(&Forgetful(1), &LIMITS).unwrap().view::<Forgetful>().is_ok());
    // One that has migrations, but not from this version.
    let record = forge::read(vec![Forged::model::<Profile>("p", "profile", 0, &[])]);
    let error = record.entry("p").unwrap().view::<Profile>().unwrap_err();
    assert_eq!(error, Error::NoMigration { tag: Profile::TAG, found: 0, expected: 2 });
}

#[test]
fn a_model_whose_bytes_are_another_type() {
    for bytes in [&[][..], &[0; 3], &[0xff; 64]] {
        for entry in [Forged::model::<ProfileV1>("p", "profile", 1, bytes), Forged::model::<Profile>("p", "profile", 2, bytes)]
        {
            let record = forge::read(vec![entry]);
            assert_eq!(record.entry("p").unwrap().view::<Profile>().unwrap_err(), Error::BadArchive);
        }
    }
}

#[test]
fn another_type() {
    let record = record();
    is(
        &record.get("text").unwrap().get::<u32>().unwrap_err(),
        &Error::WrongType { detail: "found a string, expected u32".to_owned() },
        "the stored value has another type: found a string, expected u32; read it as the type that was stored",
    );
}

#[test]
fn a_value_that_would_not_come_back() {
    struct Refuses;

    impl serde::Serialize for Refuses {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("a secret"))
        }
    }

    is(
        &Entry::serde(&Refuses, &LIMITS).unwrap_err(),
        &Error::Unsupported { detail: "its `Serialize` reports an error".to_owned() },
        "the value cannot be stored exactly: its `Serialize` reports an error; store it in another form",
    );
}
