//! Reads a value without trusting any length or depth in the bytes.
//!
//! Invariants: a length is never accepted beyond the remaining bytes, so none makes a reader reserve memory. Every level of the
//! type counts, so neither bytes nor a type that contains itself can exhaust the stack. All bytes belong to the value.
//!
//! Strings and bytes are borrowed from the input.

use serde_core::{
    Deserialize, Deserializer,
    de::{
        DeserializeSeed, EnumAccess, Error as _, MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
        value::{BorrowedStrDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};

use super::{MessagePackError, Options, SOME, deeper};

/// Reads `bytes` as one value.
pub(crate) fn read<'de, T: Deserialize<'de>>(bytes: &'de [u8], options: Options) -> Result<T, MessagePackError> {
    let mut input = Input { rest: bytes, options };
    let value = T::deserialize(Reader { input: &mut input, depth: 0 })?;
    input.finish()?;
    Ok(value)
}

/// The bytes that are not read yet.
struct Input<'de> {
    rest: &'de [u8],
    options: Options,
}

/// A scalar, or the number of elements that follow.
#[derive(Clone, Copy)]
enum Token<'de> {
    Nil,
    Bool(bool),
    Unsigned(u64),
    Negative(i64),
    F32(f32),
    F64(f64),
    Str(&'de str),
    Bytes(&'de [u8]),
    Array(usize),
    Map(usize),
    Some(&'de [u8]),
}

impl Token<'_> {
    fn unexpected(&self) -> Unexpected<'_> {
        match *self {
            Self::Nil => Unexpected::Unit,
            Self::Bool(value) => Unexpected::Bool(value),
            Self::Unsigned(value) => Unexpected::Unsigned(value),
            Self::Negative(value) => Unexpected::Signed(value),
            Self::F32(value) => Unexpected::Float(value.into()),
            Self::F64(value) => Unexpected::Float(value),
            Self::Str(text) => Unexpected::Str(text),
            Self::Bytes(bytes) => Unexpected::Bytes(bytes),
            Self::Array(_) => Unexpected::Seq,
            Self::Map(_) => Unexpected::Map,
            Self::Some(_) => Unexpected::Option,
        }
    }
}

impl<'de> Input<'de> {
    #[inline]
    fn token(&mut self) -> Result<Token<'de>, MessagePackError> {
        let [marker] = self.array()?;
        Ok(match marker {
            0x00..=0x7f => Token::Unsigned(marker.into()),
            0xe0..=0xff => Token::Negative(i64::from(marker) - 0x100),
            0xa0..=0xbf => self.text((marker & 0x1f).into())?,
            0x90..=0x9f => self.elements((marker & 0x0f).into())?,
            0x80..=0x8f => self.pairs((marker & 0x0f).into())?,
            0xc0 => Token::Nil,
            0xc2 => Token::Bool(false),
            0xc3 => Token::Bool(true),
            _ => self.long_token(marker)?,
        })
    }

    /// Reads a token that is longer than its marker.
    fn long_token(&mut self, marker: u8) -> Result<Token<'de>, MessagePackError> {
        let width = 1 << (marker & 3);
        match marker {
            0xc4..=0xc6 => {
                let len = self.uint(1 << (marker - 0xc4))?;
                self.take(len).map(Token::Bytes)
            }
            0xc7..=0xc9 => {
                let len = self.uint(1 << (marker - 0xc7))?;
                self.extension(len)
            }
            0xca => self.array().map(|bytes| Token::F32(f32::from_be_bytes(bytes))),
            0xcb => self.array().map(|bytes| Token::F64(f64::from_be_bytes(bytes))),
            0xcc..=0xcf => self.uint(width).map(Token::Unsigned),
            0xd0..=0xd3 => {
                // Shifted to the top and back, which extends the sign.
                let unused_bits = 64 - 8 * width;
                let value = (self.uint(width)? << unused_bits).cast_signed() >> unused_bits;
                Ok(u64::try_from(value).map_or(Token::Negative(value), Token::Unsigned))
            }
            0xd4..=0xd8 => self.extension(1 << (marker - 0xd4)),
            0xd9..=0xdb => {
                let len = self.uint(1 << (marker - 0xd9))?;
                self.text(len)
            }
            0xdc | 0xdd => {
                let len = self.uint(2 << (marker - 0xdc))?;
                self.elements(len)
            }
            0xde | 0xdf => {
                let len = self.uint(2 << (marker - 0xde))?;
                self.pairs(len)
            }
            _ => Err(MessagePackError::Mismatch("found a byte that begins no value".to_owned())),
        }
    }

    fn text(&mut self, len: u64) -> Result<Token<'de>, MessagePackError> {
        match std::str::from_utf8(self.take(len)?) {
            Ok(text) => Ok(Token::Str(text)),
            Err(_) => Err(MessagePackError::Mismatch("found a string that is not UTF-8".to_owned())),
        }
    }

    fn elements(&self, len: u64) -> Result<Token<'de>, MessagePackError> {
        // Each element has at least one byte.
        self.covers(len).map(Token::Array)
    }

    fn pairs(&self, len: u64) -> Result<Token<'de>, MessagePackError> {
        self.covers(2 * len).map(|elements| Token::Map(elements / 2))
    }

    fn extension(&mut self, len: u64) -> Result<Token<'de>, MessagePackError> {
        let [kind] = self.array()?;
        let content = self.take(len)?;
        if kind == SOME && self.options == Options::Explicit {
            return Ok(Token::Some(content));
        }
        Err(MessagePackError::Mismatch("found an extension of an unknown type".to_owned()))
    }

    /// Reads a big-endian integer of `width` bytes, at most eight.
    fn uint(&mut self, width: u64) -> Result<u64, MessagePackError> {
        Ok(self.take(width)?.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], MessagePackError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or_else(cut)?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn take(&mut self, len: u64) -> Result<&'de [u8], MessagePackError> {
        let (bytes, rest) = self.rest.split_at(self.covers(len)?);
        self.rest = rest;
        Ok(bytes)
    }

    /// Returns `len` if that many bytes are left.
    fn covers(&self, len: u64) -> Result<usize, MessagePackError> {
        usize::try_from(len).ok().filter(|len| *len <= self.rest.len()).ok_or_else(cut)
    }

    fn finish(&self) -> Result<(), MessagePackError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(MessagePackError::Mismatch(format!("found {} bytes behind the value, expected none", self.rest.len())))
    }
}

#[cold]
fn cut() -> MessagePackError {
    MessagePackError::Mismatch("found the end of the bytes inside the value".to_owned())
}

/// Reads one value.
struct Reader<'a, 'de> {
    input: &'a mut Input<'de>,
    depth: usize,
}

impl<'de> Reader<'_, 'de> {
    /// Returns the same place, one level deeper.
    fn deeper(self) -> Result<Self, MessagePackError> {
        Ok(Self { depth: deeper(self.depth)?, ..self })
    }

    #[inline]
    fn visit<V: Visitor<'de>>(self, token: Token<'de>, visitor: V) -> Result<V::Value, MessagePackError> {
        match token {
            Token::Nil => visitor.visit_unit(),
            Token::Bool(value) => visitor.visit_bool(value),
            Token::Unsigned(value) => visitor.visit_u64(value),
            Token::Negative(value) => visitor.visit_i64(value),
            Token::F32(value) => visitor.visit_f32(value),
            Token::F64(value) => visitor.visit_f64(value),
            Token::Str(text) => visitor.visit_borrowed_str(text),
            Token::Bytes(bytes) => visitor.visit_borrowed_bytes(bytes),
            Token::Array(len) => self.elements(len, |elements| visitor.visit_seq(elements)),
            Token::Map(len) => self.elements(len, |elements| visitor.visit_map(elements)),
            Token::Some(content) => self.some(content, visitor),
        }
    }

    /// Calls `visit` to read `len` elements, all of them.
    fn elements<T>(
        self,
        len: usize,
        visit: impl FnOnce(&mut Elements<'_, 'de>) -> Result<T, MessagePackError>,
    ) -> Result<T, MessagePackError> {
        let mut elements = Elements { input: self.input, depth: deeper(self.depth)?, left: len };
        let value = visit(&mut elements)?;
        match elements.left {
            0 => Ok(value),
            left => Err(MessagePackError::Mismatch(format!("found {len} elements, expected {}", len - left))),
        }
    }

    /// Reads the content of a marked `Some`, which has its own end.
    fn some<V: Visitor<'de>>(self, content: &'de [u8], visitor: V) -> Result<V::Value, MessagePackError> {
        let mut input = Input { rest: content, options: self.input.options };
        let value = visitor.visit_some(Reader { input: &mut input, depth: deeper(self.depth)? })?;
        input.finish()?;
        Ok(value)
    }

    /// Reads an array, or bytes in its place.
    fn seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, MessagePackError> {
        match self.input.token()? {
            Token::Bytes(bytes) => {
                let mut elements = SeqDeserializer::new(bytes.iter().copied());
                let value = visitor.visit_seq(&mut elements)?;
                elements.end().map(|()| value)
            }
            token => self.visit(token, visitor),
        }
    }
}

impl<'de> Deserializer<'de> for Reader<'_, 'de> {
    type Error = MessagePackError;

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, MessagePackError> {
        let token = self.input.token()?;
        self.visit(token, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct map struct identifier
        ignored_any
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, MessagePackError> {
        let token = self.input.token()?;
        match wide(token) {
            Some(bytes) => visitor.visit_i128(i128::from_be_bytes(bytes)),
            None => self.visit(token, visitor),
        }
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, MessagePackError> {
        let token = self.input.token()?;
        match wide(token) {
            Some(bytes) => visitor.visit_u128(u128::from_be_bytes(bytes)),
            None => self.visit(token, visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, MessagePackError> {
        match (self.input.options, self.input.rest.first()) {
            (Options::Plain, Some(&marker)) if marker != NIL => visitor.visit_some(self.deeper()?),
            _ => match self.input.token()? {
                Token::Nil => visitor.visit_none(),
                Token::Some(content) => self.some(content, visitor),
                token => Err(MessagePackError::invalid_type(token.unexpected(), &visitor)),
            },
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, MessagePackError> {
        visitor.visit_newtype_struct(self.deeper()?)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, MessagePackError> {
        self.seq(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, MessagePackError> {
        self.seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, MessagePackError> {
        self.seq(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, MessagePackError> {
        match self.input.token()? {
            Token::Str(name) => visitor.visit_enum(BorrowedStrDeserializer::new(name)),
            Token::Map(1) => visitor.visit_enum(self.deeper()?),
            token => Err(MessagePackError::invalid_type(token.unexpected(), &visitor)),
        }
    }

    fn is_human_readable(&self) -> bool {
        true
    }
}

pub(crate) const NIL: u8 = 0xc0;

/// Returns the bytes of an integer that does not fit in 64 bits.
fn wide(token: Token<'_>) -> Option<[u8; 16]> {
    if let Token::Bytes(bytes) = token { bytes.try_into().ok() } else { None }
}

/// The elements of an array, or the keys and values of a map.
struct Elements<'a, 'de> {
    input: &'a mut Input<'de>,
    depth: usize,
    left: usize,
}

impl<'de> Elements<'_, 'de> {
    fn read<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, MessagePackError> {
        seed.deserialize(Reader { input: &mut *self.input, depth: self.depth })
    }

    fn next<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, MessagePackError> {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                self.read(seed).map(Some)
            }
            None => Ok(None),
        }
    }
}

impl<'de> SeqAccess<'de> for Elements<'_, 'de> {
    type Error = MessagePackError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, MessagePackError> {
        self.next(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> MapAccess<'de> for Elements<'_, 'de> {
    type Error = MessagePackError;

    fn next_key_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, MessagePackError> {
        self.next(seed)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, MessagePackError> {
        self.read(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// A variant with content: the reader is before its name, which the content follows.
impl<'de> EnumAccess<'de> for Reader<'_, 'de> {
    type Error = MessagePackError;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), MessagePackError> {
        let name = seed.deserialize(Reader { input: &mut *self.input, depth: self.depth })?;
        Ok((name, self))
    }
}

impl<'de> VariantAccess<'de> for Reader<'_, 'de> {
    type Error = MessagePackError;

    fn unit_variant(self) -> Result<(), MessagePackError> {
        <()>::deserialize(self)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, MessagePackError> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, MessagePackError> {
        self.seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, MessagePackError> {
        self.deserialize_any(visitor)
    }
}
