//! Values that people store through serde, each with a name that is unique.
//!
//! Shared by the tests of the codec and of the adapters, which decide what must hold for each of them.

mod containers;
mod crates;
mod enums;
mod scalars;
mod wide;

use std::fmt::Debug;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// What is checked for each shape.
pub trait Check {
    /// Checks one value of one type.
    fn shape<T: Serialize + DeserializeOwned + PartialEq + Debug>(&mut self, name: &'static str, value: T);
}

/// Calls `check` with every shape.
pub fn all(check: &mut impl Check) {
    scalars::all(check);
    containers::all(check);
    enums::all(check);
    crates::all(check);
    wide::all(check);
}

/// Calls `check` with each value of a list.
macro_rules! shapes {
    ($check:ident, $($name:literal => $value:expr;)*) => { $($check.shape($name, $value);)* };
}
use shapes;

/// A flattened value beside a field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flat<T> {
    pub beside: u8,
    #[serde(flatten)]
    pub inner: T,
}

impl<T> Flat<T> {
    pub fn new(inner: T) -> Self {
        Self { beside: 7, inner }
    }
}

/// A field, to be flattened or tagged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Field<T> {
    pub field: T,
}

impl<T> Field<T> {
    pub fn new(field: T) -> Self {
        Self { field }
    }
}

/// Reads what it holds into a buffer of serde before it knows the type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Untagged<T> {
    Struct { untagged_field: T, more: Option<bool> },
    Pair(T, [bool; 1]),
    Newtype(T),
}

impl<T> Untagged<T> {
    pub fn named(untagged_field: T) -> Self {
        Self::Struct { untagged_field, more: None }
    }

    pub fn pair(first: T) -> Self {
        Self::Pair(first, [true])
    }
}

/// Has its variant's name among its fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
pub enum Tagged<T> {
    Unit,
    Struct { field: T },
    Newtype(Field<T>),
}

/// Has its variant's name beside its content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "content")]
pub enum Adjacent<T> {
    Unit,
    Newtype(T),
    Tuple(T, u8),
    Struct { field: T },
}

/// Has its variant's name as a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum External<T> {
    Unit,
    Newtype(T),
    Tuple(T, u8),
    Struct { field: T },
}

/// A newtype whose name serde passes on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Newtype<T>(pub T);

/// A newtype of which serde says nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Transparent<T>(pub T);

/// A struct without content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnitStruct;

/// A struct without fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NoFields {}

/// Equal if the bits are.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bits<T>(pub T);

impl PartialEq for Bits<f32> {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl PartialEq for Bits<f64> {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

/// Calls `check` with a value in every place where serde buffers it, or may.
macro_rules! everywhere {
    ($check:ident, $name:literal, $value:expr) => {
        $check.shape(concat!($name, ", flattened"), Flat::new(Field::new($value)));
        $check.shape(concat!($name, ", untagged"), Untagged::Newtype($value));
        $check.shape(concat!($name, ", untagged pair"), Untagged::pair($value));
        $check.shape(concat!($name, ", untagged struct"), Untagged::named($value));
        $check.shape(concat!($name, ", internally tagged"), Tagged::Struct { field: $value });
        $check.shape(concat!($name, ", internally tagged newtype"), Tagged::Newtype(Field::new($value)));
        $check.shape(concat!($name, ", adjacently tagged"), (Adjacent::Newtype($value), Adjacent::Tuple($value, 1)));
        $check.shape(concat!($name, ", externally tagged"), (External::Tuple($value, 1), External::Struct { field: $value }));
        $check.shape(concat!($name, ", flattened and tagged"), Flat::new(Tagged::Struct { field: $value }));
        $check.shape(concat!($name, ", tagged and untagged"), Untagged::Newtype(Tagged::Struct { field: $value }));
    };
}
use everywhere;
