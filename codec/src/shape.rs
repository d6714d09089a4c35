//! The shape of a model: the names and types of its fields, as a constant, and its fingerprint, which is stored with each value.
//!
//! Facts: an archive has no names and no types, so `{ paid: u64, open: u64 }` and `{ open: u64, paid: u64 }` have the same
//! bytes and pass the same check. Only the fingerprint tells them apart.
//!
//! Invariant: equal fingerprints of two builds mean equal shapes, but for a chance of one in 2^32. A fingerprint is no proof that
//! bytes are an archive of a type: every read checks the bytes, too.

use std::fmt;

/// What a [`Model`](crate::Model) or a part of one consists of.
///
/// `#[derive(Model)]` and `#[derive(ModelPart)]` write it. Without them, write it with [`shape!`](crate::shape).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A type that has no parts, by its name.
    Plain {
        /// Name of the type.
        name: &'static str,
    },
    /// A type that is made of other types, such as a `Vec`.
    Of {
        /// Name of the type, empty for a tuple.
        name: &'static str,
        /// Its type arguments.
        parts: &'static [&'static Shape],
    },
    /// An array.
    Array {
        /// Type of its items.
        item: &'static Shape,
        /// Their number.
        len: usize,
    },
    /// A struct. The name of the type is not part of its shape.
    Struct {
        /// Its fields, in order.
        fields: &'static [ShapeField],
    },
    /// An enum. The name of the type is not part of its shape.
    Enum {
        /// Its variants, in order.
        variants: &'static [ShapeVariant],
    },
}

/// One field of a [`Shape`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShapeField {
    /// Name of the field; in a tuple, its number.
    pub name: &'static str,
    /// Its type.
    pub shape: &'static Shape,
}

/// One variant of a [`Shape`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShapeVariant {
    /// Name of the variant.
    pub name: &'static str,
    /// Its fields, in order.
    pub fields: &'static [ShapeField],
}

/// A type that can be a field of a model.
///
/// Derive it for a type of your own: `#[derive(sessile::model::ModelPart)]`. It is implemented for integers of a fixed size, floats,
/// `bool`, `char`, `String`, `Option`, `Vec`, `Box`, arrays, tuples of up to thirteen, `BTreeMap`, `BTreeSet`, `Result`, `Duration`,
/// `SystemTime`, the addresses of `std::net`, and with the feature `uuid-1` for `Uuid`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a field of a model",
    label = "not a type that a model can contain",
    note = "derive `sessile::model::ModelPart` for a struct or an enum of your own",
    note = "of another crate's type, store what it is made from: a `String`, a number, a `Vec<u8>`, or a struct with `ModelPart`"
)]
pub trait ModelPart {
    /// The shape of the type.
    const SHAPE: &'static Shape;

    /// The shape of the type within a type that contains itself: without what leads back. The macros write it; by default it
    /// is [`SHAPE`](Self::SHAPE).
    const OUTLINE: &'static Shape = Self::SHAPE;
}

/// Returns the [`Shape`] of a struct. Name every field in the order of the declaration, with its type; in a tuple, by its number.
///
/// Nothing compares this list with the struct: `#[derive(ModelPart)]` writes it from the struct.
///
/// ```
/// use sessile_codec::{ModelPart, Shape, shape};
///
/// struct Point {
///     x: i32,
///     y: Option<i32>,
/// }
///
/// impl ModelPart for Point {
///     const SHAPE: &'static Shape = shape!(x: i32, y: Option<i32>);
/// }
///
/// assert_eq!(Point::SHAPE.to_string(), "{ x: i32, y: Option<i32> }");
/// ```
#[macro_export]
macro_rules! shape {
    ($($name:tt: $type:ty),* $(,)?) => {
        &$crate::Shape::Struct {
            fields: &[$($crate::ShapeField { name: stringify!($name), shape: <$type as $crate::ModelPart>::SHAPE }),*],
        }
    };
}

/// Stands for a type within its own shape.
#[derive(Debug)]
pub struct Itself;

/// Identifies a [`Shape`].
///
/// The upper half is a hash of the whole shape. The lower half has four bits for each of the first eight fields, from the lowest
/// bits on, so that two fingerprints show which field is the first that differs. More fields begin again at the first four bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// How many fields have bits of their own.
    const PLACES: usize = 8;

    /// Returns the fingerprint of the shape of `P`, computed when the code is compiled.
    #[must_use]
    pub const fn of<P: ModelPart + ?Sized>() -> Self {
        const { P::SHAPE.fingerprint() }
    }

    pub(crate) const fn to_bytes(self) -> [u8; Self::LEN] {
        self.0.to_le_bytes()
    }

    pub(crate) const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(u64::from_le_bytes(bytes))
    }

    /// Length of a fingerprint in a value.
    pub(crate) const LEN: usize = size_of::<u64>();

    /// Returns the first of the first eight fields that differs from another shape's.
    fn first_difference(self, other: Self) -> Option<usize> {
        let differing = (self.0 ^ other.0) & u64::from(u32::MAX);
        (differing != 0).then(|| differing.trailing_zeros() as usize / 4)
    }
}

impl std::str::FromStr for Fingerprint {
    type Err = std::num::ParseIntError;

    /// Reads what `Display` writes: sixteen hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// FNV-1a: simple enough to run in a constant, and no program's enemy chooses the names of its fields.
#[derive(Clone, Copy)]
struct Hash(u64);

impl Hash {
    const NEW: Self = Self(0xcbf2_9ce4_8422_2325);

    const fn byte(self, byte: u8) -> Self {
        Self((self.0 ^ byte as u64).wrapping_mul(0x0000_0100_0000_01b3))
    }

    /// Adds a text and its end, so that no two sequences of texts are the same bytes.
    const fn text(self, text: &str) -> Self {
        let (mut hash, bytes, mut at) = (self, text.as_bytes(), 0);
        while at < bytes.len() {
            hash = hash.byte(bytes[at]);
            at += 1;
        }
        hash.byte(0xff)
    }

    const fn number(self, number: usize) -> Self {
        let (mut hash, bytes, mut at) = (self, (number as u64).to_le_bytes(), 0);
        while at < bytes.len() {
            hash = hash.byte(bytes[at]);
            at += 1;
        }
        hash
    }

    const fn shape(self, shape: &Shape) -> Self {
        match shape {
            Shape::Plain { name } => self.byte(1).text(name),
            Shape::Of { name, parts } => {
                let (mut hash, mut at) = (self.byte(2).text(name).number(parts.len()), 0);
                while at < parts.len() {
                    hash = hash.shape(parts[at]);
                    at += 1;
                }
                hash
            }
            Shape::Array { item, len } => self.byte(3).number(*len).shape(item),
            Shape::Struct { fields } => self.byte(4).fields(fields),
            Shape::Enum { variants } => {
                let (mut hash, mut at) = (self.byte(5).number(variants.len()), 0);
                while at < variants.len() {
                    hash = hash.text(variants[at].name).fields(variants[at].fields);
                    at += 1;
                }
                hash
            }
        }
    }

    const fn fields(self, fields: &[ShapeField]) -> Self {
        let (mut hash, mut at) = (self.number(fields.len()), 0);
        while at < fields.len() {
            hash = hash.text(fields[at].name).shape(fields[at].shape);
            at += 1;
        }
        hash
    }

    /// Returns all bits, each of which depends on every bit of the state.
    const fn finish(self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 29)
    }
}

impl Shape {
    /// Returns the fingerprint of this shape.
    #[must_use]
    pub const fn fingerprint(&self) -> Fingerprint {
        let whole = Hash::NEW.shape(self).finish() >> 32;
        let (mut places, mut at) = (0_u64, 0);
        while at < self.len() {
            let hash = match self {
                Self::Struct { fields } => Hash::NEW.text(fields[at].name).shape(fields[at].shape),
                Self::Enum { variants } => Hash::NEW.text(variants[at].name).fields(variants[at].fields),
                other => Hash::NEW.shape(other),
            };
            places ^= (hash.number(at).finish() & 0xf) << (4 * (at % Fingerprint::PLACES));
            at += 1;
        }
        Fingerprint(whole << 32 | places)
    }

    /// Returns the number of fields or variants.
    const fn len(&self) -> usize {
        match self {
            Self::Struct { fields } => fields.len(),
            Self::Enum { variants } => variants.len(),
            Self::Plain { .. } | Self::Of { .. } | Self::Array { .. } => 1,
        }
    }

    /// Returns the first field or variant that differs from those of the shape with the fingerprint `found`, as text, as far as
    /// the fingerprints show it.
    #[must_use]
    pub fn difference(&self, found: Fingerprint) -> Option<String> {
        let at = self.fingerprint().first_difference(found)?;
        match self {
            Self::Struct { fields } => fields.get(at).map(ShapeField::to_string),
            Self::Enum { variants } => variants.get(at).map(ShapeVariant::to_string),
            Self::Plain { .. } | Self::Of { .. } | Self::Array { .. } => None,
        }
    }
}

/// Writes items with commas between them.
fn list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: impl IntoIterator<Item = T>) -> fmt::Result {
    items.into_iter().enumerate().try_for_each(|(at, item)| {
        let comma = if at == 0 { "" } else { ", " };
        write!(f, "{comma}{item}")
    })
}

fn write_fields(f: &mut fmt::Formatter<'_>, fields: &[ShapeField]) -> fmt::Result {
    f.write_str("{ ")?;
    list(f, fields)?;
    f.write_str(" }")
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain { name } => f.write_str(name),
            Self::Of { name: "", parts } => {
                f.write_str("(")?;
                list(f, *parts)?;
                f.write_str(")")
            }
            Self::Of { name, parts } => {
                write!(f, "{name}<")?;
                list(f, *parts)?;
                f.write_str(">")
            }
            Self::Array { item, len } => write!(f, "[{item}; {len}]"),
            Self::Struct { fields: [] } => f.write_str("{}"),
            Self::Struct { fields } => write_fields(f, fields),
            Self::Enum { variants } => {
                f.write_str("enum { ")?;
                list(f, *variants)?;
                f.write_str(" }")
            }
        }
    }
}

impl fmt::Display for ShapeField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.shape)
    }
}

impl fmt::Display for ShapeVariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        if self.fields.is_empty() {
            return Ok(());
        }
        f.write_str(" ")?;
        write_fields(f, self.fields)
    }
}
