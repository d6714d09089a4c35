//! Every value is read back unchanged, or refused; the properties over whole records are in `tests/it`.

#![allow(
    clippy::needless_pass_by_value,
    clippy::option_option,
    clippy::zero_sized_map_values,
    reason = "values of every shape"
)]

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Debug,
};

use serde::{
    Deserialize, Serialize, Serializer,
    de::{DeserializeOwned, IgnoredAny},
    ser::{SerializeMap, SerializeSeq, SerializeTuple},
};
use serde_bytes::{ByteBuf, Bytes};

use super::{MessagePackError, Options, read, write};

mod attributes;

fn bytes_of<T: Serialize + ?Sized>(value: &T) -> (Vec<u8>, Options) {
    let mut bytes = Vec::new();
    let options = write(value, &mut bytes).unwrap();
    (bytes, options)
}

/// Checks that `value` is read back unchanged, and that it is written with `options`.
#[track_caller]
fn comes_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T, options: Options) {
    let (bytes, found) = bytes_of(value);
    assert_eq!(found, options, "{value:?}");
    assert_eq!(read::<T>(&bytes, options).as_ref(), Ok(value), "{bytes:02x?}");
    // Fewer bytes are refused, and so are more.
    for len in 0..bytes.len().min(300) {
        assert!(read::<T>(&bytes[..len], options).is_err(), "{len} of {bytes:02x?}");
    }
    let longer = [&*bytes, &[0]].concat();
    assert!(matches!(read::<T>(&longer, options), Err(MessagePackError::Mismatch(_))), "{longer:02x?}");
}

#[track_caller]
fn plain<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T) {
    comes_back(&value, Options::Plain);
}

#[track_caller]
fn explicit<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T) {
    comes_back(&value, Options::Explicit);
}

#[track_caller]
fn unsupported(value: &impl Serialize) -> String {
    match write(value, &mut Vec::new()) {
        Err(MessagePackError::Unsupported(detail)) => detail,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn mismatch<'a, T: Deserialize<'a> + Debug>(bytes: &'a [u8]) -> String {
    match read::<T>(bytes, Options::Plain) {
        Err(MessagePackError::Mismatch(detail)) => detail,
        other => panic!("{other:?}"),
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Kind {
    Unit,
    Newtype(u8),
    Tuple(i64, String),
    NoTuple(),
    Struct { a: Option<bool>, b: Box<Kind> },
    NoStruct {},
    Option(Option<u8>),
}

fn kinds() -> Vec<Kind> {
    vec![
        Kind::Unit,
        Kind::Newtype(255),
        Kind::Tuple(-1, "text".to_owned()),
        Kind::NoTuple(),
        Kind::Struct { a: Some(true), b: Box::new(Kind::Unit) },
        Kind::Struct { a: None, b: Box::new(Kind::Newtype(1)) },
        Kind::NoStruct {},
        Kind::Option(None),
        Kind::Option(Some(3)),
    ]
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct UnitStruct;
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct NoFields {}
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Newtype<T>(T);
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct TupleStruct(u8, String);
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Generation<T> {
    value: T,
    older: Option<Box<Generation<T>>>,
}

#[test]
fn integers_come_back_at_every_width() {
    for shift in 0..64 {
        for value in [(1_u64 << shift).wrapping_sub(1), 1 << shift, (1 << shift) + 1, u64::MAX >> shift] {
            plain(value);
            plain(value.cast_signed());
            plain(value.cast_signed().wrapping_neg());
            plain(u128::from(value) << 64 | u128::from(value));
            plain(i128::from(value).wrapping_neg() << 60);
            plain((u128::from(value), i128::from(value), -i128::from(value)));
        }
    }
    plain((u8::MAX, i8::MIN, u16::MAX, i16::MIN, u32::MAX, i32::MIN, usize::MAX));
    plain((i128::MIN, i128::MAX, u128::MAX, 0_i128, -1_i128));
    plain((1_u64 << 53) + 1);
}

#[test]
fn floats_come_back_bit_by_bit() {
    for bits in [0x7fc0_0000_u32, 0x7fa0_0001, 0xffff_ffff, 0x8000_0000, 1, 0x7f80_0000] {
        let (bytes, _) = bytes_of(&f32::from_bits(bits));
        assert_eq!(read::<f32>(&bytes, Options::Plain).unwrap().to_bits(), bits);
    }
    for bits in [0x7ff8_0000_0000_0000_u64, 0x7ff4_0000_0000_0001, u64::MAX, 1 << 63, 1] {
        let (bytes, _) = bytes_of(&f64::from_bits(bits));
        assert_eq!(read::<f64>(&bytes, Options::Plain).unwrap().to_bits(), bits);
    }
    plain(9_007_199_254_740_993.5_f64);
}

#[test]
fn text_and_bytes_come_back_and_are_lent() {
    for len in [0, 1, 31, 32, 255, 256, 65_535, 65_536, 1 << 20] {
        plain("ü".repeat(len).into_boxed_str());
        plain(ByteBuf::from(vec![0xff; len]));
        plain(vec![0x80_u8; len.min(70_000)]);
    }
    for char in ['\0', 'a', 'ß', '\u{ffff}', char::MAX] {
        plain(char);
    }
    let (bytes, _) = bytes_of(&("lent", Bytes::new(&[1, 0xff])));
    let (text, raw) = read::<(&str, &Bytes)>(&bytes, Options::Plain).unwrap();
    assert_eq!((text, &**raw), ("lent", &[1, 0xff][..]));
    assert!(bytes.as_ptr_range().contains(&text.as_ptr()) && bytes.as_ptr_range().contains(&raw.as_ptr()));
}

#[test]
fn bytes_and_numbers_stand_in_for_each_other() {
    let (bytes, _) = bytes_of(&vec![1_u8, 2, 255]);
    assert_eq!(read::<ByteBuf>(&bytes, Options::Plain).unwrap(), [1, 2, 255]);
    let (bytes, _) = bytes_of(&Bytes::new(&[1, 2, 255]));
    assert_eq!(read::<[u8; 3]>(&bytes, Options::Plain).unwrap(), [1, 2, 255]);
    assert_eq!(read::<Vec<u8>>(&bytes, Options::Plain).unwrap(), [1, 2, 255]);
    assert!(read::<[u8; 2]>(&bytes, Options::Plain).is_err());
}

#[test]
fn composed_types_come_back() {
    plain(kinds());
    plain(kinds().into_iter().map(Some).collect::<Vec<_>>());
    plain(kinds().into_iter().map(|kind| (kind.clone(), kind)).collect::<BTreeMap<_, _>>());
    plain(());
    plain((UnitStruct, NoFields {}, Newtype(UnitStruct), TupleStruct(1, String::new())));
    plain((Some(NoFields {}), Some(Newtype(1)), Some(TupleStruct(1, String::new()))));
    explicit((Some(UnitStruct), None::<UnitStruct>, Some(Newtype(UnitStruct))));
    plain(Some(vec![None, Some(1_u8)]));
    plain(Generation { value: 1, older: Some(Box::new(Generation { value: 2, older: None })) });
    plain(vec![0_u8; 16].into_iter().enumerate().collect::<Vec<_>>());
    plain((0..70_000_u32).collect::<Vec<_>>());
    plain((0..70_000_u32).map(|n| (n, n % 7 == 0)).collect::<BTreeMap<_, _>>());
    plain(Ok::<u8, String>(1));
    plain(std::time::Duration::new(u64::MAX, 999_999_999));
    plain(std::net::IpAddr::from([127, 0, 0, 1]));
}

#[test]
fn maps_may_have_keys_that_are_not_text() {
    plain(HashMap::from([((1_u8, -2_i64), 'a'), ((2, 3), 'b')]));
    plain(BTreeMap::from([(None, 1), (Some(vec![true]), 2)]));
    plain(BTreeMap::from([((), ())]));
    plain(BTreeMap::from([(u128::MAX, 1)]));
    explicit(BTreeMap::from([(Some(None::<u8>), 1), (None, 2), (Some(Some(0)), 3)]));
}

#[test]
fn nested_options_come_back() {
    type Nested = Option<Option<Option<u8>>>;
    plain::<Nested>(None);
    explicit::<Nested>(Some(None));
    explicit::<Nested>(Some(Some(None)));
    plain::<Nested>(Some(Some(Some(0))));
    explicit::<Vec<Nested>>(vec![None, Some(None), Some(Some(None)), Some(Some(Some(0)))]);
    plain(None::<()>);
    explicit(Some(()));
    explicit(Some(Newtype(())));
    explicit(Some(Newtype(None::<u8>)));
    explicit(Some(Newtype(Newtype(Some(Newtype(None::<u8>))))));
    explicit(Some(serde_json::Value::Null));
    plain(Some(serde_json::json!({ "a": [1, null, -2.5] })));
    explicit((Some(Some("x".repeat(70_000))), Some(()), Some([1]), Some(Kind::Option(Some(1)))));
    explicit((Some(()), Some(vec![Some(1_u8)]), Some(Bytes::new(&[0]).to_vec()), kinds()));
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Flat {
    before: Option<Option<u8>>,
    #[serde(flatten)]
    inner: Inner,
    #[serde(flatten)]
    others: BTreeMap<String, Untagged>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Inner {
    small: Option<u8>,
    nested: Option<Option<Vec<u8>>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    skipped: Vec<u8>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Nothing,
    Number(i64),
    List(Vec<Option<bool>>),
    Point { x: f64, y: Option<f64> },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    Unit,
    Struct { a: Option<u8>, b: Option<Option<u8>> },
    Inner(Inner),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "content")]
enum Adjacent {
    Unit,
    Newtype(Option<Option<u8>>),
    Tuple(u8, Option<()>),
    Wide(i128),
}

#[test]
fn what_serde_buffers_comes_back() {
    let others = || {
        BTreeMap::from([
            ("x".to_owned(), Untagged::Nothing),
            ("y".to_owned(), Untagged::Number(-7)),
            ("z".to_owned(), Untagged::List(vec![None, Some(true)])),
            ("zz".to_owned(), Untagged::Point { x: 0.5, y: Some(-0.5) }),
        ])
    };
    let inner = |nested| Inner { small: Some(1), nested, skipped: vec![] };
    plain(Flat { before: None, inner: inner(Some(Some(vec![1]))), others: others() });
    // One ambiguous option makes every other explicit, even where serde reads before it knows the type.
    explicit(Flat { before: Some(None), inner: inner(Some(Some(vec![1]))), others: others() });
    explicit(Flat { before: Some(Some(1)), inner: inner(Some(None)), others: others() });
    plain(vec![Tagged::Unit, Tagged::Struct { a: Some(1), b: Some(Some(1)) }, Tagged::Inner(inner(None))]);
    explicit(vec![Tagged::Unit, Tagged::Struct { a: Some(1), b: Some(None) }, Tagged::Inner(inner(Some(None)))]);
    plain(vec![Adjacent::Unit, Adjacent::Newtype(Some(Some(1))), Adjacent::Tuple(1, None)]);
    explicit(vec![Adjacent::Unit, Adjacent::Newtype(Some(None)), Adjacent::Tuple(1, Some(()))]);
    plain(vec![None, Some(Untagged::Number(1))]);
    explicit(vec![None, Some(Untagged::Nothing), Some(Untagged::Number(1)), Some(Untagged::Point { x: 1.0, y: None })]);
}

/// A list that announces `announced` elements, or no number.
struct Announced {
    announced: Option<usize>,
    elements: Vec<u8>,
}

impl Serialize for Announced {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(self.announced)?;
        self.elements.iter().try_for_each(|element| seq.serialize_element(element))?;
        seq.end()
    }
}

/// A map written as a list of steps: keys (`true`) and values (`false`).
struct Steps(Option<usize>, Vec<bool>);

impl Serialize for Steps {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(self.0)?;
        for key in &self.1 {
            if *key { map.serialize_key(&1)? } else { map.serialize_value(&2)? }
        }
        map.end()
    }
}

#[test]
fn a_wrong_length_is_an_error_and_an_unknown_one_is_not() {
    for len in [0, 1, 15, 16, 70_000] {
        let (bytes, options) = bytes_of(&Announced { announced: None, elements: vec![7; len] });
        assert_eq!(read::<Vec<u8>>(&bytes, options).unwrap(), vec![7; len]);
    }
    let wrong = |announced, len| unsupported(&Announced { announced: Some(announced), elements: vec![7; len] });
    assert_eq!(wrong(3, 2), "its `Serialize` wrote 2 elements, it announced 3");
    assert_eq!(wrong(0, 1), "its `Serialize` wrote 1 elements, it announced 0");
    assert!(unsupported(&Announced { announced: Some(1 << 40), elements: vec![] }).contains("1099511627776"));

    let (bytes, options) = bytes_of(&Steps(None, vec![true, false]));
    assert_eq!(read::<BTreeMap<u8, u8>>(&bytes, options).unwrap(), BTreeMap::from([(1, 2)]));
    unsupported(&Steps(Some(2), vec![true, false]));
    unsupported(&Steps(Some(0), vec![true, false]));
    for steps in [vec![true], vec![false], vec![true, true, false, false], vec![true, false, false], vec![false, true]] {
        unsupported(&Steps(None, steps.clone()));
        unsupported(&Steps(Some(steps.iter().filter(|key| **key).count()), steps));
    }
}

/// Continues after an element that cannot be written.
struct Careless;

impl Serialize for Careless {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(2)?;
        let refused = Steps(Some(9), vec![]);
        assert!(tuple.serialize_element(&refused).is_err());
        tuple.serialize_element(&1)?;
        tuple.end()
    }
}

#[test]
fn a_skipped_failure_is_still_one() {
    assert!(unsupported(&Careless).contains("incomplete"));
}

fn nested(levels: usize) -> serde_json::Value {
    (0..levels).fold(serde_json::json!(1), |inner, _| serde_json::Value::Array(vec![inner]))
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Chain {
    End,
    Link(Box<Chain>),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct OptionChain(Option<Box<OptionChain>>);

#[test]
fn depth_is_limited_for_every_kind_of_level() {
    let chain = |levels| (0..levels).fold(Chain::End, |inner, _| Chain::Link(Box::new(inner)));
    let options = |levels| (1..levels).fold(OptionChain(None), |inner, _| OptionChain(Some(Box::new(inner))));
    plain(nested(64));
    plain(chain(64));
    assert_eq!(write(&nested(65), &mut Vec::new()), Err(MessagePackError::TooDeep));
    assert_eq!(write(&nested(5000), &mut Vec::new()), Err(MessagePackError::TooDeep));
    assert_eq!(write(&chain(65), &mut Vec::new()), Err(MessagePackError::TooDeep));
    assert_eq!(write(&options(5000), &mut Vec::new()), Err(MessagePackError::TooDeep));
    explicit(options(32));

    // What only another program writes is refused too, whatever type it is read as.
    for level in [&[0x91_u8][..], &[0x81, 0xa4, b'L', b'i', b'n', b'k'], &[0x81, 0x01]] {
        let bytes = [&level.repeat(100_000)[..], &[0xa3, b'E', b'n', b'd']].concat();
        assert_eq!(read::<serde_json::Value>(&[0x91].repeat(70), Options::Plain), Err(MessagePackError::TooDeep));
        assert_eq!(read::<IgnoredAny>(&bytes, Options::Plain), Err(MessagePackError::TooDeep));
        assert!(read::<Chain>(&bytes, Options::Plain).is_err());
        assert!(read::<Generation<u8>>(&bytes, Options::Plain).is_err());
    }
    let links = [0x81, 0xa4, b'L', b'i', b'n', b'k'].repeat(100_000);
    assert_eq!(read::<Chain>(&links, Options::Plain), Err(MessagePackError::TooDeep));
    // A type that consists only of options never ends on a scalar.
    assert_eq!(read::<OptionChain>(&[5], Options::Plain), Err(MessagePackError::TooDeep));
}

#[test]
fn a_claimed_length_reserves_nothing() {
    let lens = [&[0xff; 4][..], &[0x7f, 0xff, 0xff, 0xff], &[0, 0x10, 0, 0]];
    for marker in [0xc6, 0xc9, 0xdb, 0xdd, 0xdf] {
        for len in lens {
            for options in [Options::Plain, Options::Explicit] {
                let bytes = [&[marker], len, &[1, 2, 3]].concat();
                assert!(read::<Vec<[u64; 8]>>(&bytes, options).is_err());
                assert!(read::<HashMap<u64, [u64; 8]>>(&bytes, options).is_err());
                assert!(read::<(String, ByteBuf)>(&bytes, options).is_err());
                assert!(read::<serde_json::Value>(&bytes, options).is_err());
                assert!(read::<Option<IgnoredAny>>(&bytes, options).is_err());
            }
        }
    }
}

#[test]
fn a_mismatch_says_found_and_expected() {
    let (text, _) = bytes_of("secret");
    assert_eq!(mismatch::<u32>(&text), "found a string, expected u32");
    assert_eq!(mismatch::<Vec<u8>>(&text), "found a string, expected a sequence");
    assert_eq!(mismatch::<i128>(&text), "found a string, expected i128");
    assert_eq!(mismatch::<char>(&text), "found a string that does not fit, expected a character");
    assert_eq!(mismatch::<u8>(&bytes_of(&300).0), "found an integer that does not fit, expected u8");
    assert_eq!(mismatch::<&str>(&bytes_of(&300).0), "found an integer, expected a borrowed string");
    assert_eq!(mismatch::<bool>(&[0xc0]), "found nil, expected a boolean");
    assert_eq!(mismatch::<Kind>(&[0x05]), "found an integer, expected enum Kind");
    assert_eq!(mismatch::<(u8, u8)>(&[0x93, 1, 2, 3]), "found 3 elements, expected 2");
    assert_eq!(mismatch::<(u8, u8)>(&[0x91, 1]), "found 1 elements, expected a tuple of size 2");
    assert_eq!(mismatch::<NoFields>(&[0xc1]), "found a byte that begins no value");
    assert_eq!(mismatch::<u8>(&[0xd4, 1, 1]), "found an extension of an unknown type");
    assert_eq!(mismatch::<String>(&[0xa1, 0xff]), "found a string that is not UTF-8");
    assert_eq!(mismatch::<TupleStruct>(&[]), "found the end of the bytes inside the value");
    assert_eq!(mismatch::<u8>(&[1, 2]), "found 1 bytes behind the value, expected none");
    assert_eq!(mismatch::<Generation<u8>>(&[0x80]), "found no field `value`, expected one");
    let twice = [0x82, 0xa5, b'v', b'a', b'l', b'u', b'e', 1, 0xa5, b'v', b'a', b'l', b'u', b'e', 1];
    assert_eq!(mismatch::<Generation<u8>>(&twice), "found the field `value` twice, expected it once");
    assert!(mismatch::<Kind>(&text).starts_with("found an unknown variant, expected one of [\"Unit\""));
    assert_eq!(
        read::<Option<u8>>(&[5], Options::Explicit),
        Err(MessagePackError::Mismatch("found an integer, expected option".to_owned()))
    );
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its errors are of interest")]
struct Strict {
    secret_u8: u8,
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Quoting;

impl TryFrom<String> for Quoting {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Err(format!("cannot use {text}"))
    }
}

struct QuotingWriter;

impl Serialize for QuotingWriter {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("cannot use hunter2"))
    }
}

#[test]
fn no_error_quotes_a_value() {
    let secret = bytes_of("hunter2").0;
    let numbers = bytes_of(&(-7_777_777, 7_777_777.5)).0;
    let map = bytes_of(&BTreeMap::from([("hunter2", 1)])).0;
    let mut details = vec![unsupported(&QuotingWriter), mismatch::<Quoting>(&secret), mismatch::<Strict>(&map)];
    for bytes in [&secret, &numbers, &map] {
        details.push(mismatch::<u8>(bytes));
        details.push(mismatch::<(u8, u8)>(bytes));
        details.push(mismatch::<Kind>(bytes));
        details.push(mismatch::<Tagged>(bytes));
        details.push(mismatch::<Option<Vec<u8>>>(bytes));
        details.push(mismatch::<std::net::IpAddr>(bytes));
        details.push(mismatch::<BTreeMap<u8, u8>>(bytes));
    }
    for detail in details {
        assert!(!detail.contains("hunter") && !detail.contains("777"), "{detail}");
    }
}

#[test]
fn the_plain_form_is_the_one_of_rmp_serde() {
    #[track_caller]
    fn same<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
        let (bytes, options) = bytes_of(value);
        assert_eq!((&bytes, options), (&rmp_serde::to_vec_named(value).unwrap(), Options::Plain));
        assert_eq!(&rmp_serde::from_slice::<T>(&bytes).unwrap(), value);
    }
    same(&kinds());
    same(&(NoFields {}, Newtype(1.5_f32), TupleStruct(1, "a".repeat(300)), 'ü'));
    same(&serde_json::json!({ "a": [1, null, -2.5, -70_000, 1_u64 << 40], "b": { "c": true } }));
}

#[test]
fn every_scalar_and_every_header_has_the_form_of_rmp_serde() {
    #[track_caller]
    fn same<T: Serialize + Debug + ?Sized>(value: &T) {
        assert_eq!(bytes_of(value).0, rmp_serde::to_vec_named(value).unwrap(), "{value:?}");
    }
    for bits in 0..64 {
        for near in -2..=2_i64 {
            let unsigned = (1_u64 << bits).wrapping_add_signed(near);
            same(&unsigned);
            same(&unsigned.cast_signed());
            same(&unsigned.cast_signed().wrapping_neg());
        }
    }
    for value in i8::MIN..=i8::MAX {
        same(&(value, value.cast_unsigned(), i16::from(value) << 7, i32::from(value) << 23));
    }
    same(&(true, false, (), '\u{10ffff}', f32::MIN_POSITIVE, f64::MAX));
    for len in [0, 1, 15, 16, 31, 32, 255, 256, 65_535, 65_536] {
        same(&"a".repeat(len));
        same(Bytes::new(&vec![7; len]));
        same(&vec![true; len]);
        same(&(0..len).map(|nth| (nth, true)).collect::<BTreeMap<_, _>>());
    }
}
