//! Golden files: records as every release since the first wrote them, which every later one must read.
//!
//! To add one, add a case to [`cases`] and run `SESSILE_WRITE_GOLDEN=1 cargo test -p sessile-codec golden_records`, which writes
//! the files that are missing. It never writes over one: if a file does not match, the format has changed, and that takes a new
//! `FORMAT_VERSION`, a directory `v2` beside this one, and a reader that still knows the old.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use serde_bytes::ByteBuf;
use sessile_codec::{Entry, FORMAT_VERSION, Lane, Limits, Meta, Patch, Record};

use crate::fuzz::models::{Choice, Kinds, Nothing, Profile, ProfileV1};

const LIMITS: Limits = Limits { record_bytes: 1 << 20, keys: 300, key_bytes: 255 };
const KEY: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// A record that is in the repository, and what is in it.
struct Case {
    name: &'static str,
    meta: Meta,
    entries: Vec<(String, Entry)>,
    check: fn(&Record),
}

impl Case {
    fn new(name: &'static str, entries: Vec<(&str, Entry)>, check: fn(&Record)) -> Self {
        let meta = Meta { revision: 1, idle_deadline_ms: u64::MAX, absolute_deadline_ms: u64::MAX, ..Meta::default() };
        Self { name, meta, entries: entries.into_iter().map(|(key, entry)| (key.to_owned(), entry)).collect(), check }
    }

    fn record(&self) -> Record {
        let mut patch = Patch::new();
        for (key, entry) in &self.entries {
            patch.set(key, entry.clone(), &LIMITS).unwrap();
        }
        patch.apply(None, &KEY, &self.meta, &LIMITS).unwrap()
    }
}

fn serde<T: serde::Serialize>(value: T) -> Entry {
    Entry::serde(&value, &LIMITS).unwrap()
}

fn model<M: sessile_codec::Model>(value: &M) -> Entry {
    Entry::model(value, &LIMITS).unwrap()
}

#[track_caller]
fn is<'a, T: serde::Deserialize<'a> + PartialEq + std::fmt::Debug>(record: &'a Record, key: &str, expected: T) {
    assert_eq!(record.get(key).unwrap().get::<T>(), Ok(expected), "{key}");
}

fn cases() -> Vec<Case> {
    vec![
        Case::new("empty", vec![], |record| assert!(record.is_empty())),
        numbers(),
        texts(),
        containers(),
        explicit_options(),
        Case::new("model", vec![("kinds", model(&kinds())), ("nothing", model(&Nothing))], |record| {
            assert!(record.entry("kinds").unwrap().view::<Kinds>().unwrap().is(&kinds()));
            assert!(record.entry("nothing").unwrap().view::<Nothing>().is_ok());
        }),
        old_model(),
        all_meta(),
        many_keys(),
    ]
}

fn numbers() -> Case {
    let entries = vec![
        ("bool", serde(true)),
        ("f32", serde(f32::from_bits(0xffc0_1234))),
        ("f64", serde(f64::from_bits(0x7ff4_0000_0000_0001))),
        ("i128", serde(i128::MIN)),
        ("i64", serde([i64::MIN, -32769, -32768, -129, -128, -33, -32, -1, 0])),
        ("u128", serde(u128::MAX)),
        ("u64", serde([127, 128, 255, 256, 65535, 65536, u64::from(u32::MAX), (1 << 53) + 1, u64::MAX])),
    ];
    Case::new("numbers", entries, |record| {
        is(record, "bool", true);
        assert_eq!(record.get("f32").unwrap().get::<f32>().unwrap().to_bits(), 0xffc0_1234);
        assert_eq!(record.get("f64").unwrap().get::<f64>().unwrap().to_bits(), 0x7ff4_0000_0000_0001);
        is(record, "i128", i128::MIN);
        is(record, "i64", [i64::MIN, -32769, -32768, -129, -128, -33, -32, -1, 0]);
        is(record, "u128", u128::MAX);
        is(record, "u64", [127, 128, 255, 256, 65535, 65536, u64::from(u32::MAX), (1 << 53) + 1, u64::MAX]);
    })
}

fn texts() -> Case {
    let entries = vec![
        ("bytes", serde(ByteBuf::from([0xff, 0xfe, 0]))),
        ("char", serde('\u{10ffff}')),
        ("empty", serde(("", ByteBuf::new()))),
        ("long", serde(["x".repeat(31), "x".repeat(32), "x".repeat(255), "x".repeat(256), "x".repeat(65536)])),
        ("text", serde("Ada \0 ü 🦀")),
    ];
    Case::new("texts", entries, |record| {
        is(record, "bytes", &[0xff, 0xfe, 0][..]);
        is(record, "char", '\u{10ffff}');
        is(record, "empty", ("", ByteBuf::new()));
        is(record, "long", [31, 32, 255, 256, 65536].map(|len| "x".repeat(len)));
        is(record, "text", "Ada \0 ü 🦀");
    })
}

#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Struct {
    a: u8,
    b: Vec<Enum>,
}

#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
enum Enum {
    Unit,
    Newtype(i8),
    Tuple(u8, String),
    Struct { inner: Option<bool> },
}

#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Unit;

fn a_struct() -> Struct {
    let variants = [Enum::Unit, Enum::Newtype(-1), Enum::Tuple(1, "t".to_owned()), Enum::Struct { inner: Some(true) }];
    Struct { a: 7, b: variants.into() }
}

fn containers() -> Case {
    let entries = vec![
        ("list", serde((0..300).collect::<Vec<u16>>())),
        ("map", serde(BTreeMap::from([((1, 'a'), vec![1.5]), ((2, 'b'), vec![])]))),
        ("none", serde(None::<u8>)),
        ("some", serde(Some("some"))),
        ("struct", serde(a_struct())),
        ("unit", serde(((), Unit))),
    ];
    Case::new("containers", entries, |record| {
        assert!(record.iter().all(|(_, entry)| entry.lane() == Lane::Serde));
        is(record, "list", (0..300).collect::<Vec<u16>>());
        is(record, "map", BTreeMap::from([((1, 'a'), vec![1.5]), ((2, 'b'), vec![])]));
        is(record, "none", None::<u8>);
        is(record, "some", Some("some"));
        is(record, "struct", a_struct());
        is(record, "unit", ((), Unit));
    })
}

type Nested = Option<Option<Option<u8>>>;
const NESTED: [Nested; 4] = [None, Some(None), Some(Some(None)), Some(Some(Some(0)))];

fn explicit_options() -> Case {
    let entries = vec![("nested", serde(NESTED)), ("unit", serde(Some(())))];
    Case::new("explicit_options", entries, |record| {
        assert!(record.iter().all(|(_, entry)| entry.lane() == Lane::SerdeExplicit));
        is(record, "nested", NESTED);
        is(record, "unit", Some(()));
    })
}

fn kinds() -> Kinds {
    Kinds {
        wide: (i128::MIN, u128::MAX),
        number: (1 << 53) + 1,
        float: f64::from_bits(0x7ff4_0000_0000_0001),
        small_float: f32::from_bits(0xffc0_1234),
        letter: 'ü',
        text: "Ada Lovelace".to_owned(),
        bytes: vec![0xff, 0],
        options: Some(None),
        pairs: vec![("eight by".to_owned(), None), ("nine byte".to_owned(), Some(Box::new(-7)))],
        choice: Choice::Numbers { list: vec![1, u32::MAX], array: [1, 2, 3] },
        unit: (),
    }
}

fn old_model() -> Case {
    let old = ProfileV1 { name: "Ada Lovelace".to_owned(), age: 36, tags: vec!["tag".to_owned()] };
    Case::new("old_model", vec![("profile", model(&old))], |record| {
        let entry = record.entry("profile").unwrap();
        let migrated = Profile { display_name: "Ada Lovelace".to_owned(), theme: None, tags: vec!["tag".to_owned()] };
        assert!(entry.is_older::<Profile>());
        assert!(entry.view::<Profile>().unwrap().is(&migrated));
        assert_eq!(entry.view::<ProfileV1>().unwrap().age, 36);
    })
}

const META: Meta = Meta {
    revision: 0x0102_0304_0506_0708,
    created_ms: 1_767_225_600_000,
    last_seen_ms: 1_767_225_600_001,
    idle_deadline_ms: 1_767_225_600_002,
    absolute_deadline_ms: 1_767_225_600_003,
    owner: *b"owner, 16 bytes!",
    cookie_deadline_ms: 1_767_225_600_004,
    handle: 0x1112_1314_1516_1718,
    authenticated_ms: 1_767_225_600_005,
    flags: 0xa55a,
};

fn all_meta() -> Case {
    let case = Case::new("all_meta", vec![("n", serde(1))], |record| {
        assert_eq!(record.meta(), META);
        is(record, "n", 1);
    });
    Case { meta: META, ..case }
}

fn many_keys() -> Case {
    let name = |n: u32| format!("{n:03}{}", "k".repeat(n as usize % 20));
    let case = Case::new("many_keys", vec![], |record| {
        assert_eq!(record.len(), 300);
        for (n, (key, entry)) in record.iter().enumerate() {
            assert_eq!((&key[..3], entry.get::<String>()), (&*format!("{n:03}"), Ok("v".repeat(n % 50))));
            assert_eq!(key.len(), 3 + n % 20);
        }
    });
    let entries = (0..300).rev().map(|n| (name(n), serde("v".repeat(n as usize % 50)))).collect();
    Case { entries, ..case }
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/v{FORMAT_VERSION}"))
}

#[test]
fn golden_records_are_read_and_written_byte_for_byte() {
    let write_missing = std::env::var_os("SESSILE_WRITE_GOLDEN").is_some_and(|value| value == "1");
    for case in cases() {
        let file = directory().join(case.name).with_extension("record");
        if write_missing && !file.exists() {
            fs::write(&file, case.record().bytes()).unwrap();
        }
        let golden = fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let record = Record::check(&golden, &KEY, LIMITS.record_bytes).unwrap();
        assert_eq!((record.meta(), record.bytes()), (case.meta, &*golden), "{}", case.name);
        (case.check)(&record);

        // Equal content is equal bytes: from its values, and from the entries that were read.
        assert_eq!(case.record().bytes(), golden, "{}", case.name);
        let mut patch = Patch::new();
        for (key, _) in record.iter() {
            patch.set(key, record.entry(key).unwrap(), &LIMITS).unwrap();
        }
        assert_eq!(patch.apply(None, &KEY, &record.meta(), &LIMITS).unwrap().bytes(), golden, "{}", case.name);
    }
}

#[test]
fn golden_files_and_cases_are_the_same() {
    let files = fs::read_dir(directory()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let cases = cases().into_iter().map(|case| format!("{}.record", case.name));
    assert_eq!(files.collect::<BTreeSet<_>>(), cases.collect());
}

/// The header in bytes, so that a change of the format is seen even where the reader changes along with the writer.
#[test]
fn golden_header_is_laid_out_as_documented() {
    let golden = fs::read(directory().join("all_meta.record")).unwrap();
    let header = [
        &b"sesl\x01\x88\x5a\xa5"[..],
        &golden[8..12],
        &u32::try_from(golden.len() - 96).unwrap().to_le_bytes(),
        &[8, 7, 6, 5, 4, 3, 2, 1],
        &META.created_ms.to_le_bytes(),
        &META.last_seen_ms.to_le_bytes(),
        &META.idle_deadline_ms.to_le_bytes(),
        &META.absolute_deadline_ms.to_le_bytes(),
        b"owner, 16 bytes!",
        &META.cookie_deadline_ms.to_le_bytes(),
        &[0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11],
        &META.authenticated_ms.to_le_bytes(),
    ]
    .concat();
    assert_eq!(golden[..96], header);
    // CRC-32 as in zlib, of the record key and of everything but the checksum itself.
    let crc = crc32fast::hash(&[&KEY[..], &golden[..8], &golden[12..]].concat());
    assert_eq!(golden[8..12], crc.to_le_bytes());
}
