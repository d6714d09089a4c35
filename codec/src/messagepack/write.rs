//! Writes a value, counting its depth and its elements.
//!
//! Invariants: every length that was written is the number of elements that follow, or there is an error; a value that is
//! written plainly has no `Some` whose content is nil.
//!
//! The bytes of scalars and headers are rmp-serde's, into a `Vec`, which cannot fail.

use serde_core::{
    Serialize, Serializer,
    ser::{
        SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple, SerializeTupleStruct,
        SerializeTupleVariant,
    },
};

use super::{EXTENSION, MessagePackError, Options, SOME, deeper};

/// Appends `value` to `out`, plainly if that is unambiguous, and says which way it was.
pub(crate) fn write<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<Options, MessagePackError> {
    let start = out.len();
    let mut output = Output { bytes: rmp_serde::Serializer::new(&mut *out), options: Options::Plain, ambiguous: false };
    let result = value.serialize(Writer::new(&mut output));
    if !output.ambiguous {
        return result.map(|()| Options::Plain);
    }
    out.truncate(start);
    let mut output = Output { bytes: rmp_serde::Serializer::new(out), options: Options::Explicit, ambiguous: false };
    value.serialize(Writer::new(&mut output)).map(|()| Options::Explicit)
}

/// Where everything goes.
struct Output<'o> {
    bytes: rmp_serde::Serializer<&'o mut Vec<u8>>,
    options: Options,
    /// Set when the plain form is given up.
    ambiguous: bool,
}

impl Output<'_> {
    fn bytes(&mut self) -> &mut Vec<u8> {
        self.bytes.get_mut()
    }

    fn array_header(&mut self, len: usize) -> Result<(), MessagePackError> {
        self.bytes.serialize_seq(Some(fits(len)?)).map(drop).map_err(refused)
    }

    fn map_header(&mut self, len: usize) -> Result<(), MessagePackError> {
        self.bytes.serialize_map(Some(fits(len)?)).map(drop).map_err(refused)
    }

    fn str(&mut self, text: &str) -> Result<(), MessagePackError> {
        fits(text.len())?;
        self.bytes.serialize_str(text).map_err(refused)
    }
}

/// Passes `len` on if MessagePack can express it; rmp-serde would cut it to 32 bits.
fn fits(len: usize) -> Result<usize, MessagePackError> {
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
struct Writer<'a, 'o> {
    output: &'a mut Output<'o>,
    depth: usize,
    /// Whether the value is the direct content of a plain `Some`, where nil would mean `None`.
    in_some: bool,
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
    fn compound(self, shape: Shape, len: Option<usize>) -> Result<Compound<'a, 'o>, MessagePackError> {
        let depth = deeper(self.depth)?;
        let header_at = self.output.bytes().len();
        match (len, shape) {
            (Some(len), Shape::Array) => self.output.array_header(len)?,
            (Some(len), Shape::Map) => self.output.map_header(len)?,
            // The longest form of the header, so that the number of elements can be written over it at the end.
            (None, shape) => self.output.bytes().extend([shape as u8, 0, 0, 0, 0]),
        }
        Ok(Compound { output: self.output, depth, header_at, expected: len, found: 0, in_pair: false, broken: false })
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
    type SerializeSeq = Compound<'a, 'o>;
    type SerializeTuple = Compound<'a, 'o>;
    type SerializeTupleStruct = Compound<'a, 'o>;
    type SerializeTupleVariant = Compound<'a, 'o>;
    type SerializeMap = Compound<'a, 'o>;
    type SerializeStruct = Compound<'a, 'o>;
    type SerializeStructVariant = Compound<'a, 'o>;

    scalars! {
        serialize_bool(bool);
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_i128(i128);
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
        serialize_u128(u128);
        serialize_f32(f32);
        serialize_f64(f64);
        serialize_char(char);
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
        // An empty array, so that it is not mistaken for `None`; it counts as the level that a reader finds.
        self.compound(Shape::Array, Some(0)).map(drop)
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

    fn serialize_seq(self, len: Option<usize>) -> Result<Compound<'a, 'o>, MessagePackError> {
        self.compound(Shape::Array, len)
    }

    fn serialize_tuple(self, len: usize) -> Result<Compound<'a, 'o>, MessagePackError> {
        self.compound(Shape::Array, Some(len))
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Compound<'a, 'o>, MessagePackError> {
        self.compound(Shape::Array, Some(len))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Compound<'a, 'o>, MessagePackError> {
        self.variant(variant)?.compound(Shape::Array, Some(len))
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Compound<'a, 'o>, MessagePackError> {
        self.compound(Shape::Map, len)
    }

    fn serialize_struct(self, _: &'static str, len: usize) -> Result<Compound<'a, 'o>, MessagePackError> {
        self.compound(Shape::Map, Some(len))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Compound<'a, 'o>, MessagePackError> {
        self.variant(variant)?.compound(Shape::Map, Some(len))
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// What has elements; the value is the marker of the longest header.
#[derive(Clone, Copy)]
enum Shape {
    Array = 0xdd,
    Map = 0xdf,
}

/// Writes the elements of an array or map, and counts them.
struct Compound<'a, 'o> {
    output: &'a mut Output<'o>,
    depth: usize,
    header_at: usize,
    expected: Option<usize>,
    found: usize,
    /// Whether a map has a key without its value.
    in_pair: bool,
    /// Whether an element failed; a `Serialize` that goes on nevertheless must not leave half of it behind.
    broken: bool,
}

impl Compound<'_, '_> {
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), MessagePackError> {
        self.found += 1;
        self.write(value)
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), MessagePackError> {
        self.output.str(name)?;
        self.element(value)
    }

    fn write<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), MessagePackError> {
        let written = value.serialize(Writer { output: &mut *self.output, depth: self.depth, in_some: false });
        self.broken |= written.is_err();
        written
    }

    fn finish(self) -> Result<(), MessagePackError> {
        if self.broken || self.in_pair {
            return Err(MessagePackError::Unsupported("its `Serialize` leaves an element incomplete".to_owned()));
        }
        match self.expected {
            Some(expected) if expected == self.found => Ok(()),
            Some(expected) => Err(MessagePackError::Unsupported(format!(
                "its `Serialize` wrote {} elements, it announced {expected}",
                self.found
            ))),
            None => write_u32(&mut self.output.bytes()[self.header_at + 1..self.header_at + 5], self.found),
        }
    }
}

/// Writes a length over the place that was left for it.
fn write_u32(place: &mut [u8], len: usize) -> Result<(), MessagePackError> {
    let bytes = (fits(len)? as u64).to_be_bytes();
    place.copy_from_slice(&bytes[4..]);
    Ok(())
}

/// The traits for what has elements without names.
macro_rules! elements {
    ($($trait:ident $method:ident;)*) => {
        $(
            impl $trait for Compound<'_, '_> {
                type Ok = ();
                type Error = MessagePackError;

                fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), MessagePackError> {
                    self.element(value)
                }

                fn end(self) -> Result<(), MessagePackError> {
                    self.finish()
                }
            }
        )*
    };
}

elements! {
    SerializeSeq serialize_element;
    SerializeTuple serialize_element;
    SerializeTupleStruct serialize_field;
    SerializeTupleVariant serialize_field;
}

/// The traits for what has elements with names.
macro_rules! fields {
    ($($trait:ident;)*) => {
        $(
            impl $trait for Compound<'_, '_> {
                type Ok = ();
                type Error = MessagePackError;

                fn serialize_field<T>(&mut self, name: &'static str, value: &T) -> Result<(), MessagePackError>
                where
                    T: Serialize + ?Sized,
                {
                    self.field(name, value)
                }

                fn end(self) -> Result<(), MessagePackError> {
                    self.finish()
                }
            }
        )*
    };
}

fields! {
    SerializeStruct;
    SerializeStructVariant;
}

impl SerializeMap for Compound<'_, '_> {
    type Ok = ();
    type Error = MessagePackError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), MessagePackError> {
        // A second key in a row would stand where the first one's value belongs.
        self.broken |= self.in_pair;
        self.in_pair = true;
        self.element(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), MessagePackError> {
        self.broken |= !self.in_pair;
        self.in_pair = false;
        self.write(value)
    }

    fn end(self) -> Result<(), MessagePackError> {
        self.finish()
    }
}
