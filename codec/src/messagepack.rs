//! The serde lane: any serde type to MessagePack and back, exactly, or an error when it is written.
//!
//! The stored bytes are those of rmp-serde with structs as maps. Beyond that, these things are decided here:
//!
//! - **Readable forms.** A type with a form for people and one for machines is stored in the form for people, as in JSON. serde
//!   buffers untagged, internally tagged and flattened values before it knows the type, and its buffer supports only the form
//!   for people. For the same reason a unit struct is nil.
//! - **Unreadable values.** These are errors when written, or are written as what they mean: a duplicate key in a map, which
//!   only serde's attributes cause; integers of 128 bits where serde may buffer them (`wide.rs`); and serde_json's private
//!   forms (`json.rs`).
//! - **Depth.** Every level counts, including enums, newtypes and options, which rmp-serde does not count. What is refused when
//!   read is refused when written.
//! - **Options.** Plain MessagePack writes `None`, `Some(None)` and `Some(())` alike. A value that contains such a `Some` is
//!   written again with each `Some` marked as an extension, so that it is read back unchanged. The marked form is also
//!   recognizable for types that are read before they are known, as with `#[serde(flatten)]`; an array of one would not be.
//! - **Errors.** serde's messages quote the value that did not fit. The error here contains only its kind, because errors end
//!   up in logs and values of a session must not.
//!
//! The reader is our own: rmp-serde's does not count enums and options, quotes values, reads no marked options, reserves memory
//! for as many elements as the bytes claim, and does not report where it stopped.
//!
//! Knows nothing of records.

mod compound;
mod json;
mod read;
mod scalar;
#[cfg(test)]
mod tests;
mod wide;
mod write;

use std::fmt::{self, Display};

use serde_core::{
    de::{self, Expected, Unexpected},
    ser,
};

pub(crate) use self::{
    read::{NIL, read},
    scalar::{MOST_HEADER_BYTES, bytes as write_bytes},
    write::write,
};

/// How options are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Options {
    /// `None` is nil, `Some(x)` is `x`.
    Plain,
    /// `None` is nil, `Some(x)` is an extension that holds `x`.
    Explicit,
}

/// The marker of an extension with a length of 32 bits.
const EXTENSION: u8 = 0xc9;
/// The type of the extension that holds the content of a `Some`.
const SOME: u8 = 1;

/// Why a value cannot be written or read. The texts never contain a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MessagePackError {
    TooDeep,
    Unsupported(String),
    Mismatch(String),
}

/// Returns the depth below `depth`, if it is allowed.
fn deeper(depth: usize) -> Result<usize, MessagePackError> {
    if depth < crate::MAX_DEPTH { Ok(depth + 1) } else { Err(MessagePackError::TooDeep) }
}

impl Display for MessagePackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::Error::from(self.clone()).fmt(f)
    }
}

impl std::error::Error for MessagePackError {}

impl ser::Error for MessagePackError {
    #[cold]
    fn custom<T: Display>(_: T) -> Self {
        Self::Unsupported("its `Serialize` reports an error".to_owned())
    }
}

impl de::Error for MessagePackError {
    #[cold]
    fn custom<T: Display>(_: T) -> Self {
        Self::Mismatch("the `Deserialize` of the type refuses it".to_owned())
    }

    #[cold]
    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::Mismatch(format!("found {}, expected {expected}", kind(found)))
    }

    #[cold]
    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::Mismatch(format!("found {} that does not fit, expected {expected}", kind(found)))
    }

    #[cold]
    fn invalid_length(found: usize, expected: &dyn Expected) -> Self {
        Self::Mismatch(format!("found {found} elements, expected {expected}"))
    }

    #[cold]
    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::Mismatch(format!("found an unknown variant, expected one of {expected:?}"))
    }

    #[cold]
    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        Self::Mismatch(format!("found an unknown field, expected some of {expected:?}"))
    }

    #[cold]
    fn missing_field(field: &'static str) -> Self {
        Self::Mismatch(format!("found no field `{field}`, expected one"))
    }

    #[cold]
    fn duplicate_field(field: &'static str) -> Self {
        Self::Mismatch(format!("found the field `{field}` twice, expected it once"))
    }
}

/// Returns what serde found, without the value that it would quote.
fn kind(found: Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "a boolean",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "an integer",
        Unexpected::Float(_) => "a float",
        Unexpected::Char(_) => "a character",
        Unexpected::Str(_) => "a string",
        Unexpected::Bytes(_) => "bytes",
        Unexpected::Unit => "nil",
        Unexpected::Option => "an option",
        Unexpected::NewtypeStruct => "a newtype",
        Unexpected::Seq => "an array",
        Unexpected::Map => "a map",
        Unexpected::Enum => "an enum",
        Unexpected::UnitVariant => "a variant without content",
        Unexpected::NewtypeVariant | Unexpected::TupleVariant | Unexpected::StructVariant => "a variant with content",
        // `Other` contains a text of the type's author, which may quote anything.
        Unexpected::Other(_) => "something else",
    }
}
