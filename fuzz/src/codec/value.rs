//! A value of the serde lane that can be anything serde knows, but for integers of 128 bits, which no type of one's own may hold.

use std::{cmp::max, collections::BTreeMap};

use arbitrary::Arbitrary;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Anything. Floats are kept as bits, so that a NaN equals itself.
#[derive(Arbitrary, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Value {
    Nil,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    F32(Bits32),
    F64(Bits64),
    Char(char),
    Text(String),
    Bytes(#[serde(with = "serde_bytes")] Vec<u8>),
    Options(Option<Option<u8>>),
    Unit(()),
    Boxed(Option<Box<Value>>),
    List(Vec<Value>),
    Map(BTreeMap<Value, Value>),
    Pair(Box<Value>, Box<Value>),
    Struct { value: Box<Value>, unit: Option<()> },
}

impl Value {
    /// How deep it is nested, counted as the codec documents it.
    pub fn levels(&self) -> usize {
        match self {
            Self::Nil => 0,
            Self::Options(options) => match options {
                None => 1,
                Some(None) => 2,
                Some(Some(_)) => 3,
            },
            Self::Boxed(boxed) => 1 + boxed.as_ref().map_or(0, |value| 1 + value.levels()),
            Self::List(list) => 2 + list.iter().map(Self::levels).max().unwrap_or(0),
            Self::Map(map) => 2 + map.iter().map(|(key, value)| max(key.levels(), value.levels())).max().unwrap_or(0),
            Self::Pair(one, other) => 2 + max(one.levels(), other.levels()),
            Self::Struct { value, unit } => 2 + max(value.levels(), usize::from(unit.is_some())),
            _ => 1,
        }
    }
}

macro_rules! bits {
    ($name:ident, $float:ty, $bits:ty, $serialize:ident) => {
        #[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(pub $bits);

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.$serialize(<$float>::from_bits(self.0))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <$float>::deserialize(deserializer).map(|float| Self(float.to_bits()))
            }
        }
    };
}

bits!(Bits32, f32, u32, serialize_f32);
bits!(Bits64, f64, u64, serialize_f64);
