//! Writes values with elements: counts them, and finds keys that could not be read back.
//!
//! Invariant: a map whose `finish` returns `Ok` has no duplicate key from serde's attributes, and no key that serde_json
//! reserves.

use std::ops::Range;

use serde_core::{
    Serialize, Serializer,
    ser::{
        SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple, SerializeTupleStruct,
        SerializeTupleVariant,
    },
};

use super::{
    MessagePackError, Options,
    json::{self, Number},
    read::read,
    scalar,
    write::{Output, Writer, fits},
};

/// The kind of a value with elements; the number is the marker of its longest header.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    Array = 0xdd,
    Map = 0xdf,
}

/// Writes the elements of an array, and counts them.
pub(super) struct Elements<'a, 'o> {
    output: &'a mut Output<'o>,
    depth: usize,
    /// The position of its header.
    start: usize,
    expected: Option<usize>,
    found: usize,
    /// Whether an element failed. A `Serialize` that continues anyway must not leave a partial one behind.
    broken: bool,
}

impl<'a, 'o> Elements<'a, 'o> {
    /// Begins an array or map of `len` elements, known or to be counted, whose elements are at `depth`.
    pub(super) fn begin(
        output: &'a mut Output<'o>,
        depth: usize,
        shape: Shape,
        len: Option<usize>,
    ) -> Result<Self, MessagePackError> {
        let start = output.bytes.len();
        match (len, shape) {
            (Some(len), Shape::Array) => scalar::array(output.bytes, len)?,
            (Some(len), Shape::Map) => scalar::map(output.bytes, len)?,
            // The longest form of the header, so that the number of elements can be written over it at the end.
            (None, shape) => output.bytes.extend([shape as u8, 0, 0, 0, 0]),
        }
        Ok(Self { output, depth, start, expected: len, found: 0, broken: false })
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), MessagePackError> {
        self.found += 1;
        self.write(value)
    }

    fn write<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), MessagePackError> {
        let written = value.serialize(Writer { output: &mut *self.output, depth: self.depth, in_some: false });
        self.broken |= written.is_err();
        written
    }

    /// Ends with `error`, even if the `Serialize` continues.
    #[cold]
    fn refuse<T>(&mut self, error: MessagePackError) -> Result<T, MessagePackError> {
        self.broken = true;
        Err(error)
    }

    fn finish(self) -> Result<(), MessagePackError> {
        if self.broken {
            return Err(incomplete());
        }
        match self.expected {
            Some(expected) if expected == self.found => Ok(()),
            Some(expected) => Err(MessagePackError::Unsupported(format!(
                "its `Serialize` wrote {} elements, it announced {expected}",
                self.found
            ))),
            None => write_u32(&mut self.output.bytes[self.start + 1..self.start + 5], self.found),
        }
    }
}

#[cold]
fn incomplete() -> MessagePackError {
    MessagePackError::Unsupported("its `Serialize` leaves an element incomplete".to_owned())
}

/// Writes the fields of a struct, or of a value that is serialized as one.
pub(super) struct Fields<'a, 'o> {
    elements: Elements<'a, 'o>,
    kind: Kind,
}

enum Kind {
    Struct,
    /// The variant of an internally tagged enum, and the name of its tag.
    Tagged(&'static str),
    /// serde_json's struct for a number.
    Number,
}

impl<'a, 'o> Fields<'a, 'o> {
    pub(super) fn new(elements: Elements<'a, 'o>) -> Self {
        Self { elements, kind: Kind::Struct }
    }

    /// Begins serde_json's struct for a number: its text is replaced by the number.
    pub(super) fn of_number(output: &'a mut Output<'o>, depth: usize) -> Self {
        let start = output.bytes.len();
        Self { elements: Elements { output, depth, start, expected: Some(1), found: 0, broken: false }, kind: Kind::Number }
    }

    #[inline]
    fn field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), MessagePackError> {
        match self.kind {
            Kind::Struct if may_be_tag::<T>() && self.elements.found == 0 => self.kind = Kind::Tagged(name),
            Kind::Tagged(tag) if tag == name => return self.elements.refuse(twice()),
            Kind::Struct | Kind::Tagged(_) => {}
            Kind::Number => return self.number(value),
        }
        scalar::text(self.elements.output.bytes, name)?;
        self.elements.element(value)
    }

    #[inline(never)]
    fn number<T: Serialize + ?Sized>(&mut self, text: &T) -> Result<(), MessagePackError> {
        let Elements { start, depth, .. } = self.elements;
        self.elements.element(text)?;
        let bytes = &mut *self.elements.output.bytes;
        let number = match read(&bytes[start..], Options::Plain).and_then(Number::of) {
            Ok(number) => number,
            Err(error) => return self.elements.refuse(error),
        };
        bytes.truncate(start);
        let writer = Writer { output: &mut *self.elements.output, depth, in_some: false };
        match number {
            Number::Unsigned(number) => writer.serialize_u64(number),
            Number::Signed(number) => writer.serialize_i64(number),
            Number::Float(number) => writer.serialize_f64(number),
        }
    }
}

/// Writes the keys and values of a map.
///
/// A reader refuses a duplicate key, or loses the first one's value. Only serde's attributes cause duplicates. An internally
/// tagged value has its tag first. A flattened value has no known length; then all keys are compared.
pub(super) struct Entries<'a, 'o> {
    elements: Elements<'a, 'o>,
    /// Whether the last key still lacks its value.
    in_pair: bool,
    /// Whether there may be duplicate keys.
    compares: bool,
    /// The position of the tag.
    tag: Range<usize>,
    /// The number of keys of the surrounding maps in [`Output::keys`].
    outer_keys: usize,
}

impl<'a, 'o> Entries<'a, 'o> {
    pub(super) fn new(elements: Elements<'a, 'o>) -> Self {
        let (compares, outer_keys) = (elements.expected.is_none(), elements.output.keys.len());
        Self { elements, in_pair: false, compares, tag: 0..0, outer_keys }
    }

    #[inline]
    fn key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), MessagePackError> {
        let start = self.elements.output.bytes.len();
        self.elements.element(key)?;
        let is_tag = may_be_tag::<T>() && self.elements.found == 1;
        let is_suspect = self.elements.output.bytes.get(start).copied().is_some_and(json::begins_private_key);
        if is_suspect || is_tag || self.compares { self.check(start, is_tag) } else { Ok(()) }
    }

    /// Checks the key that was written from `start` on.
    #[inline(never)]
    fn check(&mut self, start: usize, is_tag: bool) -> Result<(), MessagePackError> {
        let Output { bytes, keys, .. } = &mut *self.elements.output;
        let place = start..bytes.len();
        if let Some(private) = json::private_key(&bytes[start..]) {
            return self.elements.refuse(private.refused());
        }
        if self.elements.expected.is_none() {
            if keys.is_empty() {
                keys.reserve(FEW_KEYS);
            }
            keys.push(place);
        } else if is_tag {
            (self.tag, self.compares) = (place, true);
        } else if self.compares && bytes[self.tag.clone()] == bytes[place] {
            return self.elements.refuse(twice());
        }
        Ok(())
    }

    fn finish(self) -> Result<(), MessagePackError> {
        if self.in_pair {
            return Err(incomplete());
        }
        if self.elements.expected.is_none() {
            let Output { bytes, keys, .. } = &mut *self.elements.output;
            if is_any_twice(bytes, &mut keys[self.outer_keys..]) {
                return Err(twice());
            }
            keys.truncate(self.outer_keys);
        }
        self.elements.finish()
    }
}

/// Whether a first value of this type can be the tag that an internally tagged enum adds to its fields: serde writes it as a
/// `str`, which by itself no field of a struct and no key of a map is.
const fn may_be_tag<T: ?Sized>() -> bool {
    size_of::<&T>() > size_of::<usize>()
}

/// Whether two of `keys`, which are positions in `bytes`, are equal.
fn is_any_twice(bytes: &[u8], keys: &mut [Range<usize>]) -> bool {
    let at = |key: &Range<usize>| &bytes[key.clone()];
    if keys.len() <= FEW_KEYS {
        return (1..keys.len()).any(|nth| keys[..nth].iter().any(|key| at(key) == at(&keys[nth])));
    }
    keys.sort_unstable_by(|one, other| at(one).cmp(at(other)));
    keys.windows(2).any(|pair| at(&pair[0]) == at(&pair[1]))
}

/// Up to this number, keys are compared faster than sorted.
const FEW_KEYS: usize = 16;

#[cold]
fn twice() -> MessagePackError {
    MessagePackError::Unsupported("a map has a key twice, as when a flattened map has the name of a field".to_owned())
}

/// Writes a length into the reserved place.
pub(super) fn write_u32(place: &mut [u8], len: usize) -> Result<(), MessagePackError> {
    place.copy_from_slice(&fits(len)?.to_be_bytes());
    Ok(())
}

/// The traits for values with unnamed elements.
macro_rules! elements {
    ($($trait:ident $method:ident;)*) => {
        $(
            impl $trait for Elements<'_, '_> {
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

/// The traits for values with named elements.
macro_rules! fields {
    ($($trait:ident;)*) => {
        $(
            impl $trait for Fields<'_, '_> {
                type Ok = ();
                type Error = MessagePackError;

                fn serialize_field<T>(&mut self, name: &'static str, value: &T) -> Result<(), MessagePackError>
                where
                    T: Serialize + ?Sized,
                {
                    self.field(name, value)
                }

                fn end(self) -> Result<(), MessagePackError> {
                    self.elements.finish()
                }
            }
        )*
    };
}

fields! {
    SerializeStruct;
    SerializeStructVariant;
}

impl SerializeMap for Entries<'_, '_> {
    type Ok = ();
    type Error = MessagePackError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), MessagePackError> {
        // A second key in a row would take the place of the first one's value.
        self.elements.broken |= self.in_pair;
        self.in_pair = true;
        self.key(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), MessagePackError> {
        self.elements.broken |= !self.in_pair;
        self.in_pair = false;
        self.elements.write(value)
    }

    #[inline]
    fn serialize_entry<K, V>(&mut self, key: &K, value: &V) -> Result<(), MessagePackError>
    where
        K: Serialize + ?Sized,
        V: Serialize + ?Sized,
    {
        self.elements.broken |= self.in_pair;
        self.key(key)?;
        self.elements.write(value)
    }

    fn end(self) -> Result<(), MessagePackError> {
        self.finish()
    }
}
