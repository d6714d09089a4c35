//! Writes a value, counting its depth and its elements.
//!
//! Invariants: every length that was written is the number of elements that follow, or there is an error; a value that is
//! written plainly has no `Some` whose content is nil.
//!
//! The bytes of scalars and headers are rmp-serde's, into a `Vec`, which cannot fail. Texts are written here, because most of a value is texts and
//! rmp-serde's code for them is not always compiled in place.

use std::ops::Range;

use serde_core::{Serialize, Serializer};

use super::{
    EXTENSION, MessagePackError, Options, SOME,
    compound::{Elements, Entries, Fields, Shape, write_u32},
    deeper,
    json::{self, Private},
    wide,
};

/// Appends `value` to `out`, plainly if that is unambiguous, and says which way it was.
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

/// Where everything goes.
pub(super) struct Output<'o> {
    bytes: rmp_serde::Serializer<&'o mut Vec<u8>>,
    options: Options,
    /// Set when the plain form is given up.
    ambiguous: bool,
    /// Whether there is an integer of 128 bits.
    is_wide: bool,
    /// Where the keys are of each map that is being written and whose length was not known beforehand.
    pub(super) keys: Vec<Range<usize>>,
}

impl<'o> Output<'o> {
    fn new(bytes: &'o mut Vec<u8>, options: Options) -> Self {
        Self { bytes: rmp_serde::Serializer::new(bytes), options, ambiguous: false, is_wide: false, keys: Vec::new() }
    }

    #[inline]
    pub(super) fn bytes(&mut self) -> &mut Vec<u8> {
        self.bytes.get_mut()
    }

    #[inline]
    pub(super) fn bytes_and_keys(&mut self) -> (&mut Vec<u8>, &mut Vec<Range<usize>>) {
        (self.bytes.get_mut(), &mut self.keys)
    }

    #[inline]
    pub(super) fn array_header(&mut self, len: usize) -> Result<(), MessagePackError> {
        self.bytes.serialize_seq(Some(fits(len)?)).map(drop).map_err(refused)
    }

    #[inline]
    pub(super) fn map_header(&mut self, len: usize) -> Result<(), MessagePackError> {
        self.bytes.serialize_map(Some(fits(len)?)).map(drop).map_err(refused)
    }

    #[inline]
    pub(super) fn str(&mut self, text: &str) -> Result<(), MessagePackError> {
        let out = self.bytes.get_mut();
        match u8::try_from(text.len()) {
            Ok(len @ 0..0x20) => out.push(0xa0 | len),
            _ => long_text(out, text.len())?,
        }
        out.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Appends the header of a text of more than 31 bytes.
#[inline(never)]
fn long_text(out: &mut Vec<u8>, len: usize) -> Result<(), MessagePackError> {
    let [.., b3, b2, b1, b0] = (fits(len)? as u64).to_be_bytes();
    match len {
        ..=0xff => out.extend([0xd9, b0]),
        0x100..=0xffff => out.extend([0xda, b1, b0]),
        _ => out.extend([0xdb, b3, b2, b1, b0]),
    }
    Ok(())
}

/// Passes `len` on if MessagePack can express it; rmp-serde would cut it to 32 bits.
#[inline]
pub(super) fn fits(len: usize) -> Result<usize, MessagePackError> {
    match u32::try_from(len) {
        Ok(_) => Ok(len),
        Err(_) => Err(MessagePackError::Unsupported(format!("found a length of {len}, at most {} fits", u32::MAX))),
    }
}

/// Names the error of rmp-serde, whose text is not ours.
#[cold]
fn refused(_: rmp_serde::encode::Error) -> MessagePackError {
    MessagePackError::Unsupported("MessagePack has no form for it".to_owned())
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
        self.output.bytes.serialize_unit().map_err(refused)
    }

    /// Begins an array or map of `len` elements, known or to be counted.
    fn elements(self, shape: Shape, len: Option<usize>) -> Result<Elements<'a, 'o>, MessagePackError> {
        Elements::begin(self.output, deeper(self.depth)?, shape, len)
    }

    /// Begins a variant that has content: a map of its name to it.
    fn variant(self, name: &'static str) -> Result<Self, MessagePackError> {
        let depth = deeper(self.depth)?;
        self.output.map_header(1)?;
        self.output.str(name)?;
        Ok(Self { output: self.output, depth, in_some: false })
    }
}

/// Forwards the kinds of values that rmp-serde writes as they should be.
macro_rules! scalars {
    ($($method:ident($type:ty);)*) => {
        $(
            fn $method(self, value: $type) -> Result<(), MessagePackError> {
                self.output.bytes.$method(value).map_err(refused)
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
        serialize_bool(bool);
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
        serialize_f32(f32);
        serialize_f64(f64);
        serialize_char(char);
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
        self.output.str(value)
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), MessagePackError> {
        fits(value.len())?;
        self.output.bytes.serialize_bytes(value).map_err(refused)
    }

    fn serialize_none(self) -> Result<(), MessagePackError> {
        self.nil()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), MessagePackError> {
        let depth = deeper(self.depth)?;
        if self.output.options == Options::Plain {
            return value.serialize(Self { output: self.output, depth, in_some: true });
        }
        self.output.bytes().extend([EXTENSION, 0, 0, 0, 0, SOME]);
        let start = self.output.bytes().len();
        value.serialize(Writer { output: &mut *self.output, depth, in_some: false })?;
        let bytes = self.output.bytes();
        let len = bytes.len() - start;
        write_u32(&mut bytes[start - 5..start - 1], len)
    }

    fn serialize_unit(self) -> Result<(), MessagePackError> {
        self.nil()
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), MessagePackError> {
        // Not an empty array, as rmp-serde has it: serde refuses that for a unit struct in an untagged enum.
        self.nil()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), MessagePackError> {
        self.output.str(variant)
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

    /// As serde's own buffer says of itself: a type that has two forms would be written in one and read in the other.
    fn is_human_readable(&self) -> bool {
        true
    }
}
