//! Values with serde's attributes and serde_json's features: each is stored so that it is read back unchanged, or refused.

use serde::ser::SerializeStruct;

use super::*;

#[test]
fn integers_of_128_bits_are_refused_where_serde_may_be_unable_to_read_them() {
    for value in [i128::MIN, -1, 5, i128::MAX] {
        plain((value, [value], BTreeMap::from([(Some(value), vec![value])])));
        assert!(unsupported(&Newtype(value)).contains("128 bits"));
        assert!(unsupported(&Some(Generation { value, older: None })).contains("128 bits"));
        assert!(unsupported(&vec![Adjacent::Newtype(Some(None)), Adjacent::Wide(value)]).contains("128 bits"));
    }
    plain((u128::MAX, u128::from(u64::MAX) + 1));
    explicit((Some(u128::MAX), Some(())));
    // What fits is written like any other integer.
    assert_eq!((bytes_of(&5_u128).0, bytes_of(&-5_i128).0), (vec![5], vec![0xfb]));
}

/// Has a form for people and another for machines. serde's buffer knows only the first.
#[derive(Debug, PartialEq)]
struct Readable;

impl Serialize for Readable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.serialize_str("text") } else { serializer.serialize_u8(1) }
    }
}

impl<'de> Deserialize<'de> for Readable {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            <&str>::deserialize(deserializer).map(|_| Self)
        } else {
            u8::deserialize(deserializer).map(|_| Self)
        }
    }
}

#[test]
fn a_type_of_two_forms_is_in_the_one_for_people() {
    assert_eq!(bytes_of(&Readable).0, b"\xa4text");
    plain((Readable, BTreeMap::from([("key".to_owned(), Readable)])));
}

/// A map with keys as serde's attributes write them, with or without a known length.
struct KeysOf<'a>(Option<usize>, &'a [&'a str]);

impl Serialize for KeysOf<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(self.0)?;
        self.1.iter().try_for_each(|key| map.serialize_entry(*key, &1))?;
        map.end()
    }
}

#[test]
fn a_key_twice_is_refused_where_attributes_of_serde_can_cause_it() {
    for keys in [&["a", "a"][..], &["a", "b", "a"], &["b", "a", "a"], &["", "a", ""], &["a", "b", "c", "b"]] {
        assert!(unsupported(&KeysOf(None, keys)).contains("twice"), "{keys:?}");
    }
    assert!(unsupported(&KeysOf(Some(3), &["a", "b", "a"])).contains("twice"));
    let keys = ["a", "b", "aa", "ab", "", "ba"];
    for len in [None, Some(6)] {
        let (bytes, options) = bytes_of(&KeysOf(len, &keys));
        assert_eq!(read::<HashMap<String, u8>>(&bytes, options).unwrap().len(), 6);
    }
}

/// What serde_json passes on for a number if the feature `arbitrary_precision` is on, or for JSON if the name is that of
/// `RawValue`.
struct Private<'a>(&'static str, &'a str);

const NUMBER: &str = "$serde_json::private::Number";
const RAW_VALUE: &str = "$serde_json::private::RawValue";

impl Serialize for Private<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct(self.0, 1)?;
        fields.serialize_field(self.0, self.1)?;
        fields.end()
    }
}

#[test]
fn a_number_of_serde_json_is_stored_as_a_number() {
    let number = |text| Private(NUMBER, text);
    assert_eq!(bytes_of(&number("5")).0, bytes_of(&5).0);
    assert_eq!(bytes_of(&number("-5")).0, bytes_of(&-5).0);
    assert_eq!(bytes_of(&number("18446744073709551615")).0, bytes_of(&u64::MAX).0);
    assert_eq!(bytes_of(&number("1.10")).0, bytes_of(&1.1).0);
    let map = BTreeMap::from([("a", vec![Some(number("0.5")), None, Some(number("1"))])]);
    assert_eq!(bytes_of(&map), bytes_of(&serde_json::json!({ "a": [0.5, null, 1] })));
    // Beside an option that makes every one explicit.
    assert_eq!(bytes_of(&(Some(number("1")), Some(()))), bytes_of(&(Some(1), Some(()))));
    assert_eq!(bytes_of(&BTreeMap::from([(1, number("2"))])).0, [0x81, 1, 2]);
    for text in ["18446744073709551616", "0.1000000000000000055", "1e309", "NaN", "x", ""] {
        assert!(unsupported(&number(text)).contains("number of JSON"), "{text}");
        unsupported(&[number(text)]);
    }
    // Serde itself never writes one of these as a struct or an enum.
    unsupported(&FlatOf { inner: number("5") });
    unsupported(&TaggedOf::Newtype(number("5")));
    assert!(unsupported(&Private(RAW_VALUE, "5")).contains("serde_json::Value"));
}

#[derive(Serialize)]
struct FlatOf<T> {
    #[serde(flatten)]
    inner: T,
}

#[derive(Serialize)]
#[serde(tag = "kind")]
enum TaggedOf<T> {
    Newtype(T),
}

#[test]
fn what_only_serde_json_reads_is_not_stored() {
    for key in [NUMBER, RAW_VALUE] {
        unsupported(&BTreeMap::from([("a", 1), (key, 1)]));
        unsupported(&serde_json::json!({ key: "5" }));
        unsupported(&KeysOf(None, &[key]));
    }
    plain(BTreeMap::from([("$serde_json::private::Numbers".to_owned(), 1), ("$".to_owned(), 1)]));
}
