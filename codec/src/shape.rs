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
/// `#[derive(Model)]` and `#[derive(ModelPart)]` write it. Without them, write that of a struct with [`shape!`](crate::shape).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shape {
    /// A type that has no parts, by its name.
    Plain {
        /// Name of the type.
        name: &'static str,
    },
    /// A type with type arguments, such as a `Vec`, or a tuple.
    Generic {
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
    /// A struct or an enum that types inside it can refer to. It has the shape of what it contains.
    Declared {
        /// Identifies the type within one build. It is not part of the shape.
        id: u64,
        /// What the type consists of.
        shape: &'static Shape,
    },
    /// The type with this id, which encloses this place.
    Enclosing {
        /// The id of the type.
        id: u64,
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
/// Derive it for a type of your own: `#[derive(sessile::model::ModelPart)]`. It is implemented for integers of a fixed size and their `NonZero`, floats,
/// `bool`, `char`, `String`, `Option`, `Vec`, `Box`, arrays, `()` and tuples of up to thirteen, `BTreeMap`, `BTreeSet`, `Result`, `Duration`,
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

    /// The shape of the type, where up to two more types that contain each other are between it and the outermost one. The macros
    /// write this and the next two.
    #[doc(hidden)]
    const WITHIN_2: &'static Shape = Self::SHAPE;
    #[doc(hidden)]
    const WITHIN_1: &'static Shape = Self::SHAPE;
    /// A reference to the type from inside it.
    #[doc(hidden)]
    const REFERENCE: &'static Shape = Self::SHAPE;
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
        const {
            &$crate::Shape::Struct {
                fields: &[$($crate::ShapeField {
                    name: $crate::__derive::plain(stringify!($name)),
                    shape: <$type as $crate::ModelPart>::SHAPE,
                }),*],
            }
        }
    };
}

/// A placeholder for the innermost struct or enum around it, in a shape that is written with [`shape!`](crate::shape).
#[derive(Debug)]
pub enum Itself {}

/// The id of [`Itself`].
const ITSELF: u64 = 0;

impl ModelPart for Itself {
    const SHAPE: &'static Shape = &Shape::Enclosing { id: ITSELF };
}

/// Returns the id of a type that is declared here.
#[doc(hidden)]
#[must_use]
pub const fn id_of(path: &str, line: u32, column: u32) -> u64 {
    Hash::NEW.text(path).number(line as usize).number(column as usize).finish() | 1
}

/// Returns the name of a field without the `r#` of a raw identifier.
#[doc(hidden)]
#[must_use]
pub const fn plain(name: &'static str) -> &'static str {
    match name.as_bytes() {
        [b'r', b'#', ..] => name.split_at(2).1,
        _ => name,
    }
}

/// The types around a place in a shape.
#[derive(Clone, Copy)]
struct Around<'a> {
    id: u64,
    outer: Option<&'a Self>,
}

impl Around<'_> {
    /// Returns how many types are between the place and the enclosing type with this id.
    const fn distance(around: Option<&Self>, id: u64) -> Option<usize> {
        let (mut at, mut distance) = (around, 0);
        while let Some(here) = at {
            if here.id == id || id == ITSELF {
                return Some(distance);
            }
            at = here.outer;
            distance += 1;
        }
        None
    }
}

/// Identifies a [`Shape`].
///
/// The upper half is a hash of the whole shape. The lower half has four bits for each of eight fields, from the lowest bits on, so
/// that two fingerprints of up to eight fields usually show the first that differs. A ninth field begins again at the first four bits.
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

    /// Reads what `Display` writes, as a hexadecimal number.
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

/// FNV-1a: simple enough to run in a constant. An attacker does not choose the names of fields, so no key is needed.
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

    const fn shape(self, shape: &Shape, around: Option<&Around<'_>>) -> Self {
        match shape {
            Shape::Plain { name } => self.byte(1).text(name),
            Shape::Generic { name, parts } => {
                let (mut hash, mut at) = (self.byte(2).text(name).number(parts.len()), 0);
                while at < parts.len() {
                    hash = hash.shape(parts[at], around);
                    at += 1;
                }
                hash
            }
            Shape::Array { item, len } => self.byte(3).number(*len).shape(item, around),
            Shape::Struct { fields } => self.byte(4).fields(fields, &Around { id: ITSELF, outer: around }),
            Shape::Enum { variants } => self.byte(5).variants(variants, &Around { id: ITSELF, outer: around }),
            Shape::Declared { id, shape } => match (Around::distance(around, *id), shape) {
                (Some(distance), _) => self.byte(6).number(distance),
                (None, Shape::Struct { fields }) => self.byte(4).fields(fields, &Around { id: *id, outer: around }),
                (None, Shape::Enum { variants }) => self.byte(5).variants(variants, &Around { id: *id, outer: around }),
                (None, other) => self.shape(other, around),
            },
            Shape::Enclosing { id } => match Around::distance(around, *id) {
                Some(distance) => self.byte(6).number(distance),
                None => panic!(
                    "more than three types with `#[model(nested)]` contain each other: leave it out where a field does not lead back"
                ),
            },
        }
    }

    const fn variants(self, variants: &[ShapeVariant], around: &Around<'_>) -> Self {
        let (mut hash, mut at) = (self.number(variants.len()), 0);
        while at < variants.len() {
            hash = hash.text(variants[at].name).fields(variants[at].fields, around);
            at += 1;
        }
        hash
    }

    const fn fields(self, fields: &[ShapeField], around: &Around<'_>) -> Self {
        let (mut hash, mut at) = (self.number(fields.len()), 0);
        while at < fields.len() {
            hash = hash.text(fields[at].name).shape(fields[at].shape, Some(around));
            at += 1;
        }
        hash
    }

    /// Returns the hash, mixed so that the bits that are taken from it depend on all that was added.
    const fn finish(self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 29)
    }
}

impl Shape {
    /// Returns the fingerprint of this shape.
    ///
    /// # Panics
    /// If more than three types contain each other, each with a mark where it refers to the next. In a constant, as in a
    /// [`Model`](crate::Model), that is a compile error.
    #[must_use]
    pub const fn fingerprint(&self) -> Fingerprint {
        let whole = Hash::NEW.shape(self, None).finish() >> 32;
        let (content, around) = self.content();
        let (mut places, mut at) = (0_u64, 0);
        while at < content.len() {
            let hash = match content {
                Self::Struct { fields } => Hash::NEW.text(fields[at].name).shape(fields[at].shape, Some(&around)),
                Self::Enum { variants } => Hash::NEW.text(variants[at].name).fields(variants[at].fields, &around),
                other => Hash::NEW.shape(other, None),
            };
            places ^= (hash.number(at).finish() & 0xf) << (4 * (at % Fingerprint::PLACES));
            at += 1;
        }
        Fingerprint(whole << 32 | places)
    }

    /// Returns what the type consists of, and the type itself as what is around that.
    const fn content(&self) -> (&Self, Around<'_>) {
        match self {
            Self::Declared { id, shape } => (shape, Around { id: *id, outer: None }),
            other => (other, Around { id: ITSELF, outer: None }),
        }
    }

    /// Returns the number of fields or variants.
    const fn len(&self) -> usize {
        match self {
            Self::Struct { fields } => fields.len(),
            Self::Enum { variants } => variants.len(),
            _ => 1,
        }
    }

    /// Returns the fields of a struct or the variants of an enum as text, one for each; of any other type, its name.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let (content, around) = self.content();
        let around = Some(&around);
        match content {
            Self::Struct { fields } => fields.iter().map(|field| Text(field, around).to_string()).collect(),
            Self::Enum { variants } => variants.iter().map(|variant| Text(variant, around).to_string()).collect(),
            other => vec![other.to_string()],
        }
    }

    /// Whether the shape is that of an enum.
    #[must_use]
    pub fn is_enum(&self) -> bool {
        matches!(self.content().0, Self::Enum { .. })
    }

    /// Returns a field or variant that differs from those of the shape with the fingerprint `found`, as text: the first, as far as
    /// the fingerprints show it. `None` if they do not: of more than eight, several share a place.
    #[must_use]
    pub fn difference(&self, found: Fingerprint) -> Option<String> {
        let at = self.fingerprint().first_difference(found)?;
        let lines = self.lines();
        if lines.len() > Fingerprint::PLACES { None } else { lines.into_iter().nth(at) }
    }
}

/// Something in a shape, with the types around it, as text.
struct Text<'a, T>(&'a T, Option<&'a Around<'a>>);

/// Writes items with commas between them.
fn list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: impl IntoIterator<Item = T>) -> fmt::Result {
    items.into_iter().enumerate().try_for_each(|(at, item)| {
        let comma = if at == 0 { "" } else { ", " };
        write!(f, "{comma}{item}")
    })
}

fn write_fields(f: &mut fmt::Formatter<'_>, fields: &[ShapeField], around: Option<&Around<'_>>) -> fmt::Result {
    if fields.is_empty() {
        return f.write_str("{}");
    }
    f.write_str("{ ")?;
    list(f, fields.iter().map(|field| Text(field, around)))?;
    f.write_str(" }")
}

impl fmt::Display for Text<'_, Shape> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(shape, around) = self;
        let parts = |parts: &'static [&'static Shape]| parts.iter().map(|part| Text(*part, *around));
        match shape {
            Shape::Plain { name } => f.write_str(name),
            Shape::Generic { name: "", parts: of } => {
                f.write_str("(")?;
                list(f, parts(of))?;
                f.write_str(")")
            }
            Shape::Generic { name, parts: of } => {
                write!(f, "{name}<")?;
                list(f, parts(of))?;
                f.write_str(">")
            }
            Shape::Array { item, len } => write!(f, "[{}; {len}]", Text(*item, *around)),
            Shape::Struct { fields } => write_fields(f, fields, Some(&Around { id: ITSELF, outer: *around })),
            Shape::Enum { variants } => write_variants(f, variants, &Around { id: ITSELF, outer: *around }),
            Shape::Declared { id, shape } => match (Around::distance(*around, *id), shape) {
                (Some(distance), _) => write_enclosing(f, distance),
                (None, Shape::Struct { fields }) => write_fields(f, fields, Some(&Around { id: *id, outer: *around })),
                (None, Shape::Enum { variants }) => write_variants(f, variants, &Around { id: *id, outer: *around }),
                (None, other) => Text(*other, *around).fmt(f),
            },
            Shape::Enclosing { id } => write_enclosing(f, Around::distance(*around, *id).unwrap_or_default()),
        }
    }
}

fn write_variants(f: &mut fmt::Formatter<'_>, variants: &[ShapeVariant], around: &Around<'_>) -> fmt::Result {
    f.write_str("enum { ")?;
    list(f, variants.iter().map(|variant| Text(variant, Some(around))))?;
    f.write_str(" }")
}

/// Writes the innermost type around a place as `Itself`, and those around it with their distance.
fn write_enclosing(f: &mut fmt::Formatter<'_>, distance: usize) -> fmt::Result {
    if distance == 0 { f.write_str("Itself") } else { write!(f, "Enclosing<{distance}>") }
}

impl fmt::Display for Text<'_, ShapeField> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.name, Text(self.0.shape, self.1))
    }
}

impl fmt::Display for Text<'_, ShapeVariant> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)?;
        if self.0.fields.is_empty() {
            return Ok(());
        }
        f.write_str(" ")?;
        write_fields(f, self.0.fields, self.1)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Text(self, None).fmt(f)
    }
}

impl fmt::Display for ShapeField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Text(self, None).fmt(f)
    }
}

impl fmt::Display for ShapeVariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Text(self, None).fmt(f)
    }
}
