//! Values of a type that has every form of serde's data model in it, nested at random: what is accepted comes back equal.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use proptest::{collection, prelude::*};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use sessile_codec::{Entry, Error, Limits};

use crate::list::{Adjacent, Bits, External, Field, Flat, Newtype, NoFields, Tagged, UnitStruct, Untagged};

/// Anything, in any place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Value {
    Unit,
    Nil(()),
    UnitStruct(UnitStruct),
    NoFields(NoFields),
    Bool(bool),
    Small(i8, u8, i16, u16),
    Medium(i32, u32),
    Signed(i64),
    Unsigned(u64),
    Float(Bits<f64>),
    SmallFloat(Bits<f32>),
    Char(char),
    Text(String),
    Bytes(ByteBuf),
    Address(IpAddr),
    Duration(Duration),
    Option(Option<Box<Value>>),
    Options(Option<Option<Option<u8>>>),
    Newtype(Newtype<Box<Value>>),
    Tuple(Box<Value>, Box<Value>),
    Struct { first: Box<Value>, second: Box<Value> },
    List(Vec<Value>),
    Map(BTreeMap<String, Value>),
    Keys(BTreeMap<i64, Value>, BTreeMap<char, Value>, BTreeMap<(bool, Option<u8>), Value>),
    Flat(Box<Flat<Field<Value>>>),
    FlatMap(Box<FlatMap>),
    External(Box<External<Value>>),
    Tagged(Box<Tagged<Value>>),
    TaggedMap(TaggedMap),
    Adjacent(Box<Adjacent<Value>>),
    Untagged(Box<Untagged<Value>>),
    Json(serde_json::Value),
}

/// A map whose keys may be those of the fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct FlatMap {
    a: bool,
    b: Option<bool>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

/// A map with a key that may be the tag's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "a")]
enum TaggedMap {
    Map(BTreeMap<String, u8>),
}

impl Value {
    /// The values in it.
    fn inner(&self) -> Vec<&Self> {
        match self {
            Self::Option(value) => value.iter().map(|value| &**value).collect(),
            Self::Newtype(Newtype(value)) => vec![value],
            Self::Tuple(first, second) | Self::Struct { first, second } => vec![first, second],
            Self::List(list) => list.iter().collect(),
            Self::Map(map) => map.values().collect(),
            Self::Keys(numbers, chars, pairs) => numbers.values().chain(chars.values()).chain(pairs.values()).collect(),
            Self::Flat(flat) => vec![&flat.inner.field],
            Self::FlatMap(map) => map.rest.values().collect(),
            Self::External(value) => match &**value {
                External::Unit => vec![],
                External::Newtype(value) | External::Tuple(value, _) | External::Struct { field: value } => vec![value],
            },
            Self::Tagged(value) => match &**value {
                Tagged::Unit => vec![],
                Tagged::Struct { field } | Tagged::Newtype(Field { field }) => vec![field],
            },
            Self::Adjacent(value) => match &**value {
                Adjacent::Unit => vec![],
                Adjacent::Newtype(value) | Adjacent::Tuple(value, _) | Adjacent::Struct { field: value } => vec![value],
            },
            Self::Untagged(value) => match &**value {
                Untagged::Struct { untagged_field: value, .. } | Untagged::Pair(value, _) | Untagged::Newtype(value) => {
                    vec![value]
                }
            },
            _ => vec![],
        }
    }

    /// Whether serde serializes a map in it with the same key twice.
    fn has_key_twice(&self) -> bool {
        let is_here = match self {
            Self::FlatMap(map) => map.rest.contains_key("a") || map.rest.contains_key("b"),
            Self::TaggedMap(TaggedMap::Map(map)) => map.contains_key("a"),
            _ => false,
        };
        is_here || self.inner().into_iter().any(Self::has_key_twice)
    }
}

/// A key of a map: often one that a field or a tag has.
fn key() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[a-d]", 1 => ".{0,40}"]
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,10}".prop_map(Into::into),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..3).prop_map(Into::into),
            collection::btree_map(key(), inner, 0..3).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Unit),
        Just(Value::Nil(())),
        Just(Value::UnitStruct(UnitStruct)),
        Just(Value::NoFields(NoFields {})),
        any::<bool>().prop_map(Value::Bool),
        any::<(i8, u8, i16, u16)>().prop_map(|(a, b, c, d)| Value::Small(a, b, c, d)),
        any::<(i32, u32)>().prop_map(|(a, b)| Value::Medium(a, b)),
        any::<i64>().prop_map(Value::Signed),
        any::<u64>().prop_map(Value::Unsigned),
        any::<u64>().prop_map(|bits| Value::Float(Bits(f64::from_bits(bits)))),
        any::<u32>().prop_map(|bits| Value::SmallFloat(Bits(f32::from_bits(bits)))),
        any::<char>().prop_map(Value::Char),
        ".{0,40}".prop_map(Value::Text),
        collection::vec(any::<u8>(), 0..20).prop_map(|bytes| Value::Bytes(bytes.into())),
        any::<IpAddr>().prop_map(Value::Address),
        any::<Duration>().prop_map(Value::Duration),
        any::<Option<Option<Option<u8>>>>().prop_map(Value::Options),
        collection::btree_map(key(), any::<u8>(), 0..3).prop_map(|map| Value::TaggedMap(TaggedMap::Map(map))),
        json().prop_map(Value::Json),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(4, 40, 3, |inner| {
        let boxed = || inner.clone().prop_map(Box::new);
        let map = || collection::btree_map(key(), inner.clone(), 0..4);
        let keys = (
            collection::btree_map(any::<i64>(), inner.clone(), 0..2),
            collection::btree_map(any::<char>(), inner.clone(), 0..2),
            collection::btree_map(any::<(bool, Option<u8>)>(), inner.clone(), 0..2),
        );
        let flat_map = (any::<bool>(), any::<Option<bool>>(), map());
        prop_oneof![
            proptest::option::of(boxed()).prop_map(Value::Option),
            boxed().prop_map(|value| Value::Newtype(Newtype(value))),
            (boxed(), boxed()).prop_map(|(first, second)| Value::Tuple(first, second)),
            (boxed(), boxed()).prop_map(|(first, second)| Value::Struct { first, second }),
            collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            map().prop_map(Value::Map),
            keys.prop_map(|(numbers, chars, pairs)| Value::Keys(numbers, chars, pairs)),
            inner.clone().prop_map(|value| Value::Flat(Box::new(Flat::new(Field::new(value))))),
            flat_map.prop_map(|(a, b, rest)| Value::FlatMap(Box::new(FlatMap { a, b, rest }))),
            (0..4_u8, inner.clone()).prop_map(|(nth, value)| Value::External(Box::new(external(nth, value)))),
            (0..3_u8, inner.clone()).prop_map(|(nth, value)| Value::Tagged(Box::new(tagged(nth, value)))),
            (0..4_u8, inner.clone()).prop_map(|(nth, value)| Value::Adjacent(Box::new(adjacent(nth, value)))),
            (0..3_u8, inner.clone()).prop_map(|(nth, value)| Value::Untagged(Box::new(untagged(nth, value)))),
        ]
    })
}

fn external(nth: u8, value: Value) -> External<Value> {
    match nth {
        0 => External::Unit,
        1 => External::Newtype(value),
        2 => External::Tuple(value, 1),
        _ => External::Struct { field: value },
    }
}

fn tagged(nth: u8, value: Value) -> Tagged<Value> {
    match nth {
        0 => Tagged::Unit,
        1 => Tagged::Newtype(Field::new(value)),
        _ => Tagged::Struct { field: value },
    }
}

fn adjacent(nth: u8, value: Value) -> Adjacent<Value> {
    match nth {
        0 => Adjacent::Unit,
        1 => Adjacent::Newtype(value),
        2 => Adjacent::Tuple(value, 1),
        _ => Adjacent::Struct { field: value },
    }
}

fn untagged(nth: u8, value: Value) -> Untagged<Value> {
    match nth {
        0 => Untagged::named(value),
        1 => Untagged::pair(value),
        _ => Untagged::Newtype(value),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn prop_what_is_accepted_comes_back(value in value()) {
        match Entry::serde(&value, &Limits::default()) {
            Ok(entry) => {
                prop_assert!(!value.has_key_twice());
                prop_assert_eq!(entry.get::<Value>(), Ok(value));
            }
            Err(Error::Unsupported { .. }) => prop_assert!(value.has_key_twice()),
            Err(error) => prop_assert!(false, "{}", error),
        }
    }
}
