//! What is put into a record is what comes out of its bytes.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Debug,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_bytes::{ByteBuf, Bytes};
use sessile_codec::{Entry, Lane, Limits, Meta, Patch, Record};

use crate::fuzz::{
    KEY,
    models::{Choice, Kinds},
};

const LIMITS: Limits = Limits { record_bytes: 4 << 20, keys: 10, key_bytes: 10 };

/// The record that holds `entry` under `k`, read from its bytes.
#[track_caller]
fn stored(entry: Entry) -> Record {
    let mut patch = Patch::new();
    patch.set("k", entry, &LIMITS).unwrap();
    let record = patch.apply(None, &KEY, &Meta::default(), &LIMITS).unwrap();
    Record::check(record.bytes(), &KEY, LIMITS.record_bytes).unwrap()
}

#[track_caller]
fn stored_serde<T: Serialize + ?Sized>(value: &T) -> Record {
    stored(Entry::serde(value, &LIMITS).unwrap())
}

#[track_caller]
fn comes_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    assert_eq!(stored_serde(value).get("k").unwrap().get::<T>().as_ref(), Ok(value));
}

#[test]
fn integers() {
    comes_back(&[i128::MIN, i128::MIN + 1, -1, 0, 1, i128::MAX]);
    comes_back(&[u128::MIN, 1, u128::from(u64::MAX), u128::from(u64::MAX) + 1, u128::MAX]);
    comes_back(&[i64::MIN, -(1 << 53) - 1, -1, 0, (1 << 53) + 1, i64::MAX]);
    comes_back(&[0, (1_u64 << 53) + 1, u64::MAX - 1, u64::MAX]);
    comes_back(&(u8::MAX, i8::MIN, u16::MAX, i16::MIN, u32::MAX, i32::MIN));
}

/// Every kind of NaN, both zeros, infinity, the least number.
const F64: [u64; 8] =
    [0x7ff8_0000_0000_0000, 0x7ff0_0000_0000_0001, 0xfff8_0000_0000_1234, u64::MAX, 0, 1 << 63, 0x7ff0_0000_0000_0000, 1];
const F32: [u32; 8] = [0x7fc0_0000, 0x7f80_0001, 0xffc0_1234, u32::MAX, 0, 1 << 31, 0x7f80_0000, 1];

#[test]
fn floats_bit_by_bit() {
    let floats = (F64.map(f64::from_bits), F32.map(f32::from_bits));
    let (wide, narrow): ([f64; 8], [f32; 8]) = stored_serde(&floats).get("k").unwrap().get().unwrap();
    assert_eq!((wide.map(f64::to_bits), narrow.map(f32::to_bits)), (F64, F32));
}

#[test]
fn bytes_and_texts() {
    comes_back(&ByteBuf::new());
    comes_back(&ByteBuf::from([0xff, 0xfe, 0, 0xc3, 0x28]));
    comes_back(&ByteBuf::from((0..=255).cycle().take(70_000).collect::<Vec<u8>>()));
    comes_back(&String::new());
    comes_back(&"\0 \u{10ffff} \u{feff} e\u{301} \u{202e}".to_owned());
    comes_back(&vec!['\0', '\u{d7ff}', '\u{e000}', '\u{10ffff}']);
    comes_back(&"x".repeat(1 << 20));
    comes_back(&ByteBuf::from(vec![0xff; 1 << 20]));
}

#[test]
fn map_keys_that_are_not_text() {
    comes_back(&BTreeMap::from([((1_u8, None), 'a'), ((1, Some(false)), 'b')]));
    comes_back(&BTreeMap::from([(i128::MIN, "least".to_owned()), (i128::MAX, "most".to_owned())]));
    comes_back(&BTreeMap::from([(ByteBuf::from([0xff]), ()), (ByteBuf::new(), ())]));
    comes_back(&HashMap::from([(vec![1, 2], 1), (vec![], 2)]));
    comes_back(&BTreeMap::from([(Some(None::<u8>), 1), (None, 2), (Some(Some(0)), 3)]));
}

#[test]
fn nested_options() {
    type Nested = Option<Option<Option<u8>>>;
    let all: [Nested; 4] = [None, Some(None), Some(Some(None)), Some(Some(Some(0)))];
    for option in all {
        comes_back(&option);
        let ambiguous = matches!(option, Some(None | Some(None)));
        let lane = stored_serde(&option).get("k").unwrap().lane();
        assert_eq!(lane, if ambiguous { Lane::SerdeExplicit } else { Lane::Serde });
    }
    comes_back(&all);
    comes_back(&(Some(()), None::<()>, Some(Some(())), Some(serde_json::Value::Null)));
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Borrowed<'a> {
    text: &'a str,
    #[serde(with = "serde_bytes")]
    bytes: &'a [u8],
    #[serde(borrow)]
    list: Vec<&'a str>,
    options: Option<Option<&'a str>>,
}

#[test]
fn texts_and_bytes_are_borrowed_from_the_record() {
    for options in [None, Some(None), Some(Some("inside"))] {
        let value = Borrowed { text: "text", bytes: &[0xff, 0], list: vec!["", "one", "two"], options };
        let record = stored_serde(&value);
        let read: Borrowed<'_> = record.get("k").unwrap().get().unwrap();
        assert_eq!(read, value);
        let lies_in_record = |bytes: &[u8]| {
            let whole = record.bytes().as_ptr_range();
            assert!(whole.contains(&bytes.as_ptr()) && whole.contains(&bytes.as_ptr_range().end), "{bytes:?}");
        };
        lies_in_record(read.text.as_bytes());
        lies_in_record(read.bytes);
        read.list.iter().chain(&read.options.flatten()).for_each(|text| lies_in_record(text.as_bytes()));
    }
    let record = stored_serde(Bytes::new(b"\xff"));
    assert_eq!(record.get("k").unwrap().get::<&[u8]>(), Ok(&b"\xff"[..]));
    // What lies in the record outlives the handle that it was read through.
    let text: &str = {
        let entry = stored_serde("text");
        Box::leak(Box::new(entry)).get("k").unwrap().get().unwrap()
    };
    assert_eq!(text, "text");
}

#[test]
fn models() {
    let kinds = Kinds {
        wide: (i128::MIN, u128::MAX),
        number: (1 << 53) + 1,
        float: f64::NAN,
        small_float: f32::NAN,
        letter: '\u{10ffff}',
        text: "x".repeat(1 << 20),
        bytes: vec![0xff, 0, 0xfe],
        options: Some(None),
        pairs: vec![(String::new(), None), ("eight by".to_owned(), Some(Box::new(i16::MIN))), ("nine byte".to_owned(), None)],
        choice: Choice::Numbers { list: vec![0, u32::MAX], array: [1, 2, 3] },
        unit: (),
    };
    for (wide, narrow) in F64.into_iter().zip(F32) {
        for options in [None, Some(None), Some(Some(255))] {
            let (float, small_float) = (f64::from_bits(wide), f32::from_bits(narrow));
            let kinds = Kinds { float, small_float, options, ..kinds.clone() };
            let record = stored(Entry::model(&kinds, &LIMITS).unwrap());
            assert!(record.entry("k").unwrap().view::<Kinds>().unwrap().is(&kinds));
        }
    }
    for choice in [Choice::Nothing, Choice::Text("\0".to_owned())] {
        let kinds = Kinds { choice, text: String::new(), bytes: vec![], pairs: vec![], ..kinds.clone() };
        let record = stored(Entry::model(&kinds, &LIMITS).unwrap());
        assert!(record.entry("k").unwrap().view::<Kinds>().unwrap().is(&kinds));
    }
}

#[test]
fn keys_and_meta_data() {
    let limits = Limits { key_bytes: 1 << 20, ..LIMITS };
    let keys = ["\0", " ", "eight by", "nine byte", "\u{10ffff}", &"long ".repeat(20_000)];
    let mut patch = Patch::new();
    for (n, key) in keys.iter().enumerate() {
        patch.set(key, Entry::serde(&n, &limits).unwrap(), &limits).unwrap();
    }
    let meta = Meta {
        revision: u64::MAX,
        created_ms: 1,
        last_seen_ms: 2,
        idle_deadline_ms: 3,
        absolute_deadline_ms: u64::MAX,
        owner: *b"sixteen bytes, 2",
        cookie_deadline_ms: 4,
        handle: 5,
        authenticated_ms: 6,
        flags: u16::MAX,
    };
    let record = patch.apply(None, &KEY, &meta, &limits).unwrap();
    let read = Record::check(record.bytes(), &KEY, limits.record_bytes).unwrap();
    assert_eq!((read.meta(), read.meta().deadline_ms(), Meta::peek(read.bytes())), (meta, 3, Some(meta)));
    for (n, key) in keys.iter().enumerate() {
        assert_eq!(read.get(key).unwrap().get(), Ok(n), "{key:.10}");
    }
    assert_eq!(read.iter().map(|(key, _)| key).collect::<Vec<_>>(), {
        let mut sorted = keys.to_vec();
        sorted.sort_unstable();
        sorted
    });
}

#[test]
fn a_time_of_expiry_comes_back_with_its_value_and_stays_when_others_change() {
    let value = Entry::serde(&7_u8, &LIMITS).unwrap().with_until_ms(1_767_225_600_000);
    let record = stored(value.clone());
    assert_eq!(
        (record.get("k").unwrap().until_ms(), record.entry("k").unwrap().as_ref().until_ms()),
        (1_767_225_600_000, 1_767_225_600_000)
    );
    assert_eq!(record.get("k").unwrap().get(), Ok(7_u8));

    let mut patch = Patch::new();
    patch.set("l", Entry::serde(&8_u8, &LIMITS).unwrap(), &LIMITS).unwrap();
    let both = patch.apply(Some(&record), &KEY, &Meta::default(), &LIMITS).unwrap();
    assert_eq!((both.get("k").unwrap().until_ms(), both.get("l").unwrap().until_ms()), (1_767_225_600_000, 0));

    // The same bytes with another time are another value: they must not be written over in place.
    let mut patch = Patch::new();
    patch.set("k", value.with_until_ms(0), &LIMITS).unwrap();
    let endless = patch.apply(Some(&both), &KEY, &Meta::default(), &LIMITS).unwrap();
    assert_eq!(endless.get("k").unwrap().until_ms(), 0);

    let model = Entry::model(&crate::fuzz::models::Nothing, &LIMITS).unwrap().with_until_ms(5);
    assert_eq!(stored(model).get("k").unwrap().until_ms(), 0, "a model has its tag in these bytes");
}

#[test]
fn nil_is_known_as_nil() {
    let is_nil = |record: &Record| record.get("k").unwrap().is_nil();
    assert!(is_nil(&stored_serde(&None::<u8>)) && is_nil(&stored_serde(&())));
    assert!(!is_nil(&stored_serde(&Some(1_u8))) && !is_nil(&stored_serde("")) && !is_nil(&stored_serde(&Some(None::<u8>))));
}
