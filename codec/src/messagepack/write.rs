//! Writes a value, counting its depth and its elements.
//!
//! Invariants: every written length is the number of elements that follow, or there is an error. A value in plain form has no
//! `Some` whose content is nil.

use std::ops::Range;

use serde_core::{Serialize, Serializer};

use super::{
    EXTENSION, MessagePackError, Options, SOME,
    compound::{Elements, Entries, Fields, Shape, write_u32},
    deeper,
    json::{self, Private},
    scalar, wide,
};

/// Appends `value` to `out`, in plain form if that is unambiguous, and returns the form.
pub(crate) fn write<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<Options, MessagePackError> {
    let start = out.len();
    let mut options = Options::Plain;
    let mut output = Output::new(out, options);
    let mut result = value.serialize(Writer::new(&mut output));
    if output.ambiguous {
        options = Options::Explicit;
        out.truncate(start);
        output = Output::new(out, options);
        result = value.serialize(Writer::new(&mut output));
    }
    let is_wide = output.is_wide;
    result?;
    if is_wide {
        wide::check(std::any::type_name::<T>())?;
    }
    Ok(options)
}

/// The output of a value.
pub(super) struct Output<'o> {
    pub(super) bytes: &'o mut Vec<u8>,
    options: Options,
    /// Set when the plain form is not possible.
    ambiguous: bool,
    /// Whether there is an integer of 128 bits.
    is_wide: bool,
    /// The positions of the keys of each map that is being written without a known length.
    pub(super) keys: Vec<Range<usize>>,
}

impl<'o> Output<'o> {
    fn new(bytes: &'o mut Vec<u8>, options: Options) -> Self {
        Self { bytes, options, ambiguous: false, is_wide: false, keys: Vec::new() }
    }
}

/// Returns `len` if MessagePack can express it.
#[inline]
pub(super) fn fits(len: usize) -> Result<u32, MessagePackError> {
    u32::try_from(len).map_err(|_| MessagePackError::Unsupported(format!("found a length of {len}, at most {} fits", u32::MAX)))
}

/// Writes one value.
pub(super) struct Writer<'a, 'o> {
    pub(super) output: &'a mut Output<'o>,
    pub(super) depth: usize,
    /// Whether the value is the direct content of a plain `Some`, where nil would mean `None`.
    pub(super) in_some: bool,
}

impl<'a, 'o> Writer<'a, 'o> {
    fn new(output: &'a mut Output<'o>) -> Self {
        Self { output, depth: 0, in_some: false }
    }

    fn nil(self) -> Result<(), MessagePackError> {
        if self.in_some {
            self.output.ambiguous = true;
            return Err(MessagePackError::Unsupported("a `Some` would be read as `None`".to_owned()));
        }
        scalar::nil(self.output.bytes);
        Ok(())
    }

    /// Begins an array or map of `len` elements, known or to be counted.
    fn elements(self, shape: Shape, len: Option<usize>) -> Result<Elements<'a, 'o>, MessagePackError> {
        Elements::begin(self.output, deeper(self.depth)?, shape, len)
    }

    /// Begins a variant with content: a map from its name to the content.
    fn variant(self, name: &'static str) -> Result<Self, MessagePackError> {
        let depth = deeper(self.depth)?;
        scalar::map(self.output.bytes, 1)?;
        scalar::text(self.output.bytes, name)?;
        Ok(Self { output: self.output, depth, in_some: false })
    }
}

/// Writes the kinds of values that cannot fail.
macro_rules! scalars {
    ($($method:ident($type:ty): $write:ident;)*) => {
        $(
            fn $method(self, value: $type) -> Result<(), MessagePackError> {
                scalar::$write(self.output.bytes, value.into());
                Ok(())
            }
        )*
    };
}

impl<'a, 'o> Serializer for Writer<'a, 'o> {
    type Ok = ();
    type Error = MessagePackError;
    type SerializeSeq = Elements<'a, 'o>;
    type SerializeTuple = Elements<'a, 'o>;
    type SerializeTupleStruct = Elements<'a, 'o>;
    type SerializeTupleVariant = Elements<'a, 'o>;
    type SerializeMap = Entries<'a, 'o>;
    type SerializeStruct = Fields<'a, 'o>;
    type SerializeStructVariant = Fields<'a, 'o>;

    scalars! {
        serialize_bool(bool): bool;
        serialize_i8(i8): signed;
        serialize_i16(i16): signed;
        serialize_i32(i32): signed;
        serialize_i64(i64): signed;
        serialize_u8(u8): unsigned;
        serialize_u16(u16): unsigned;
        serialize_u32(u32): unsigned;
        serialize_u64(u64): unsigned;
        serialize_f32(f32): f32;
        serialize_f64(f64): f64;
    }

    fn serialize_char(self, value: char) -> Result<(), MessagePackError> {
        scalar::text(self.output.bytes, value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_i128(self, value: i128) -> Result<(), MessagePackError> {
        self.output.is_wide = true;
        match (u64::try_from(value), i64::try_from(value)) {
            (Ok(value), _) => self.serialize_u64(value),
            (_, Ok(value)) => self.serialize_i64(value),
            _ => self.serialize_bytes(&value.to_be_bytes()),
        }
    }

    fn serialize_u128(self, value: u128) -> Result<(), MessagePackError> {
        self.output.is_wide = true;
        match u64::try_from(value) {
            Ok(value) => self.serialize_u64(value),
            Err(_) => self.serialize_bytes(&value.to_be_bytes()),
        }
    }

    fn serialize_str(self, value: &str) -> Result<(), MessagePackError> {
        scalar::text(self.output.bytes, value)
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), MessagePackError> {
        scalar::bytes(self.output.bytes, value)
    }

    fn serialize_none(self) -> Result<(), MessagePackError> {
        self.nil()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), MessagePackError> {
        let depth = deeper(self.depth)?;
        if self.output.options == Options::Plain {
            return value.serialize(Self { output: self.output, depth, in_some: true });
        }
        self.output.bytes.extend([EXTENSION, 0, 0, 0, 0, SOME]);
        let start = self.output.bytes.len();
        value.serialize(Writer { output: &mut *self.output, depth, in_some: false })?;
        let bytes = &mut *self.output.bytes;
        let len = bytes.len() - start;
        write_u32(&mut bytes[start - 5..start - 1], len)
    }

    fn serialize_unit(self) -> Result<(), MessagePackError> {
        self.nil()
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), MessagePackError> {
        // Not an empty array, as in rmp-serde: serde refuses that for a unit struct in an untagged enum.
        self.nil()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), MessagePackError> {
        scalar::text(self.output.bytes, variant)
    }

    fn serialize_newtype_struct<T>(self, _: &'static str, value: &T) -> Result<(), MessagePackError>
    where
        T: Serialize + ?Sized,
    {
        let depth = deeper(self.depth)?;
        value.serialize(Self { depth, ..self })
    }

    fn serialize_newtype_variant<T>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), MessagePackError>
    where
        T: Serialize + ?Sized,
    {
        value.serialize(self.variant(variant)?)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Elements<'a, 'o>, MessagePackError> {
        self.elements(Shape::Array, len)
    }

    fn serialize_tuple(self, len: usize) -> Result<Elements<'a, 'o>, MessagePackError> {
        self.elements(Shape::Array, Some(len))
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Elements<'a, 'o>, MessagePackError> {
        self.elements(Shape::Array, Some(len))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Elements<'a, 'o>, MessagePackError> {
        self.variant(variant)?.elements(Shape::Array, Some(len))
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Entries<'a, 'o>, MessagePackError> {
        self.elements(Shape::Map, len).map(Entries::new)
    }

    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Fields<'a, 'o>, MessagePackError> {
        match json::private(name.as_bytes()) {
            None => self.elements(Shape::Map, Some(len)).map(Fields::new),
            // With another length, it is a number in an internally tagged enum, which serde could not read.
            Some(Private::Number) if len == 1 => Ok(Fields::of_number(self.output, self.depth)),
            Some(private) => Err(private.refused()),
        }
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Fields<'a, 'o>, MessagePackError> {
        self.variant(variant)?.elements(Shape::Map, Some(len)).map(Fields::new)
    }

    /// Like serde's own buffer: otherwise a type with two forms would be written in one and read in the other.
    fn is_human_readable(&self) -> bool {
        true
    }
}
