//! Enums in each of serde's four forms, in each other.

use serde::{Deserialize, Serialize};

use super::{Adjacent, Check, External, Field, Flat, Newtype, Tagged, Untagged, everywhere, shapes};

/// Variants whose content is found by its form alone.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Any {
    Nothing,
    Flag(bool),
    Positive(u64),
    Negative(i64),
    Float(f64),
    Text(String),
    List(Vec<Any>),
    Point { x: f64, y: Option<f64> },
    Inner { inner: Box<Any> },
}

/// Variants with the names and numbers that serde allows.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Names {
    FirstOne,
    #[serde(rename = "2")]
    Second(u8),
    #[serde(alias = "old")]
    Third {
        r#type: u8,
    },
    #[serde(untagged)]
    Else(Vec<u8>),
}

/// An enum that is written as a number.
#[derive(Debug, PartialEq, Clone, Copy, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
enum Number {
    One = 1,
}

impl From<Number> for u8 {
    fn from(number: Number) -> Self {
        number as Self
    }
}

impl TryFrom<u8> for Number {
    type Error = &'static str;

    fn try_from(number: u8) -> Result<Self, Self::Error> {
        if number == 1 { Ok(Self::One) } else { Err("no number") }
    }
}

pub(super) fn all(check: &mut impl Check) {
    let any = || {
        let point = Any::Point { x: 0.5, y: None };
        let list = Any::List(vec![Any::Nothing, Any::Flag(true), Any::Negative(-1), Any::Text("x".to_owned()), point]);
        vec![Any::Positive(u64::MAX), Any::Float(0.5), Any::Inner { inner: Box::new(list) }]
    };
    let external =
        || vec![External::Unit, External::Newtype(Some(1)), External::Tuple(None, 2), External::Struct { field: Some(3) }];
    let tagged = || vec![Tagged::Unit, Tagged::Struct { field: 'a' }, Tagged::Newtype(Field::new('b'))];
    let adjacent =
        || vec![Adjacent::Unit, Adjacent::Newtype((1, 2)), Adjacent::Tuple((1, 2), 3), Adjacent::Struct { field: (1, 2) }];
    shapes! { check,
        "untagged" => any();
        "untagged in an option" => (Some(Any::Flag(false)), None::<Any>);
        "untagged nothing in an option" => Some(Any::Nothing);
        "externally tagged" => external();
        "internally tagged" => tagged();
        "adjacently tagged" => adjacent();
        "names" => vec![Names::FirstOne, Names::Second(2), Names::Third { r#type: 3 }, Names::Else(vec![4])];
        "enum as a number" => [Number::One];
        "internally tagged, untagged" => Untagged::Newtype(tagged());
        "enums in a flattened struct" => Flat::new(Field::new((any(), external(), tagged(), adjacent())));
        "flattened externally tagged" => Flat::new(External::Struct { field: 1 });
        "flattened externally tagged tuple" => Flat::new(External::Tuple(1, 2));
        "flattened externally tagged newtype" => Flat::new(External::Newtype(1));
        "flattened unit variant" => Flat::new(External::<u8>::Unit);
        "flattened adjacently tagged" => Flat::new(Adjacent::Tuple(1, 2));
        "flattened twice" => Flat::new(Field::new(Flat::new(Field::new('a'))));
        "newtype of an enum" => Newtype(External::Newtype(Newtype(1)));
    }
    everywhere!(check, "unit variant", External::<u8>::Unit);
    everywhere!(check, "newtype variant", External::Newtype(1));
    everywhere!(check, "tuple variant", External::Tuple('a', 1));
    everywhere!(check, "struct variant", External::Struct { field: 'a' });
    everywhere!(check, "adjacent unit variant", Adjacent::<u8>::Unit);
    everywhere!(check, "adjacent struct variant", Adjacent::Struct { field: 'a' });
    everywhere!(check, "untagged list", Any::List(vec![Any::Nothing, Any::Flag(true)]));
}
