//! One key's value: its lane and its bytes.
//!
//! Invariant: the bytes are 16-aligned, so a model in them is an archive that can be read in place.

use std::fmt;

use crate::{Error, Fingerprint, Limits, Tag, record::Buffer, stored::LEAST_KEPT};

/// How the bytes of an entry are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lane {
    /// An rkyv archive of the model with this tag, version and shape.
    Model {
        /// The model's tag.
        tag: Tag,
        /// The model's version.
        version: u16,
        /// The fingerprint of the version's shape.
        fingerprint: Fingerprint,
    },
    /// MessagePack in which an option is its content or nil.
    Serde,
    /// MessagePack in which every `Some` is marked, for values that would otherwise be ambiguous.
    SerdeExplicit,
}

impl Lane {
    /// The numbers of the lanes in a record.
    pub(crate) const MODEL: u8 = 0;
    pub(crate) const SERDE: u8 = 1;
    pub(crate) const SERDE_EXPLICIT: u8 = 2;

    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Model { .. } => Self::MODEL,
            Self::Serde => Self::SERDE,
            Self::SerdeExplicit => Self::SERDE_EXPLICIT,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Model { .. } => "a model",
            Self::Serde | Self::SerdeExplicit => "a serde value",
        }
    }
}

/// A value that borrows its bytes from a record or from an [`Entry`].
#[derive(Clone, Copy)]
pub struct EntryRef<'a> {
    pub(crate) lane: Lane,
    /// Its bytes, and after those of a model the fingerprint.
    pub(crate) stored: &'a [u8],
    pub(crate) until_ms: u64,
}

impl<'a> EntryRef<'a> {
    /// Returns the lane that the value was stored in.
    pub fn lane(&self) -> Lane {
        self.lane
    }

    /// Returns the value's bytes, 16-aligned.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        match self.lane {
            Lane::Model { .. } => &self.stored[..self.stored.len() - Fingerprint::LEN],
            Lane::Serde | Lane::SerdeExplicit => self.stored,
        }
    }

    /// Returns when the value expires, in milliseconds since the Unix epoch; 0 means never. The codec stores it and does not
    /// compare it with a clock.
    pub fn until_ms(&self) -> u64 {
        self.until_ms
    }

    /// Whether the value is nil: the `None` of an option, or a unit.
    #[cfg(feature = "serde")]
    pub fn is_nil(&self) -> bool {
        matches!(self.lane, Lane::Serde) && self.stored == [crate::messagepack::NIL]
    }

    /// Reads a value of the serde lane; `&str` and `&[u8]` in it borrow from the bytes.
    ///
    /// # Errors
    /// [`Error::WrongLane`] if a model is stored, [`Error::WrongType`] if the value is not a `T`, [`Error::TooDeep`].
    #[cfg(feature = "serde")]
    pub fn get<T: serde_core::Deserialize<'a>>(&self) -> Result<T, Error> {
        let options = match self.lane {
            Lane::Serde => crate::messagepack::Options::Plain,
            Lane::SerdeExplicit => crate::messagepack::Options::Explicit,
            Lane::Model { .. } => {
                return Err(Error::WrongLane { found: self.lane.name(), expected: Lane::Serde.name() });
            }
        };
        Ok(crate::messagepack::read(self.stored, options)?)
    }
}

impl fmt::Debug for EntryRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Session values are private: a log may contain only a size.
        f.debug_struct("EntryRef").field("lane", &self.lane).field("bytes", &self.bytes().len()).finish()
    }
}

/// A value that owns its bytes, or shares them with the record they came from.
#[derive(Clone, Debug)]
pub struct Entry {
    pub(crate) lane: Lane,
    pub(crate) buffer: Buffer,
    pub(crate) start: usize,
    pub(crate) len: usize,
    pub(crate) until_ms: u64,
}

impl Entry {
    /// Copies `stored` as a value of `lane`: its bytes, and after those of a model the fingerprint.
    pub(crate) fn new(lane: Lane, stored: &[u8]) -> Self {
        let keeps_check = matches!(lane, Lane::Model { .. }) && stored.len() >= LEAST_KEPT;
        Self { lane, buffer: Buffer::copy_of(stored, keeps_check), start: 0, len: stored.len(), until_ms: 0 }
    }

    /// Returns a value of `lane` with these bytes, as [`EntryRef::lane`] and [`EntryRef::bytes`] returned them, for example in
    /// another process. The bytes may be wrong: a value is checked when it is read.
    ///
    /// # Errors
    /// [`Error::ValueTooLarge`].
    ///
    /// # Examples
    /// ```
    /// use sessile_codec::{Entry, Limits};
    ///
    /// let limits = Limits::default();
    /// let entry = Entry::serde(&[1, 2, 3], &limits)?;
    /// let copy = Entry::from_parts(entry.as_ref().lane(), entry.as_ref().bytes(), &limits)?;
    /// assert_eq!(copy.get(), Ok([1, 2, 3]));
    /// # Ok::<(), sessile_codec::Error>(())
    /// ```
    pub fn from_parts(lane: Lane, bytes: &[u8], limits: &Limits) -> Result<Self, Error> {
        limits.check_value(bytes.len())?;
        Ok(match lane {
            Lane::Model { fingerprint, .. } => Self::new(lane, &[bytes, &fingerprint.to_bytes()].concat()),
            Lane::Serde | Lane::SerdeExplicit => Self::new(lane, bytes),
        })
    }

    /// Returns the same value with a time of expiry; see [`EntryRef::until_ms`]. A model keeps none.
    #[must_use]
    pub fn with_until_ms(self, until_ms: u64) -> Self {
        match self.lane {
            Lane::Model { .. } => self,
            Lane::Serde | Lane::SerdeExplicit => Self { until_ms, ..self },
        }
    }

    /// Encodes a value of the serde lane. If its type has two forms, the human-readable one is stored, as in JSON.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if reading would not return the same value, [`Error::TooDeep`], [`Error::ValueTooLarge`].
    ///
    /// Values that reading would not return:
    /// - a map with a duplicate key, because a `#[serde(flatten)]` or `#[serde(tag)]` beside it has one of the same name;
    /// - `serde_json::value::RawValue`;
    /// - a number of `serde_json` that is neither a 64-bit integer nor exactly an `f64`, which its feature
    ///   `arbitrary_precision` allows;
    /// - an `i128` or `u128` in a type that is not the standard library's: serde cannot read one in a type that is untagged,
    ///   internally tagged or flattened, and the writer cannot see whether a type is. `Vec<u128>` is stored.
    ///
    /// # Examples
    /// ```
    /// use sessile_codec::{Entry, Error, Limits};
    ///
    /// #[derive(serde::Serialize)]
    /// struct Account {
    ///     balance: u128,
    /// }
    ///
    /// let limits = Limits::default();
    /// assert!(matches!(Entry::serde(&Account { balance: 5 }, &limits), Err(Error::Unsupported { .. })));
    /// assert_eq!(Entry::serde(&[u128::MAX], &limits)?.get(), Ok([u128::MAX]));
    /// # Ok::<(), Error>(())
    /// ```
    #[cfg(feature = "serde")]
    pub fn serde<T: serde_core::Serialize + ?Sized>(value: &T, limits: &Limits) -> Result<Self, Error> {
        use std::cell::Cell;

        use crate::messagepack::{self, Options};

        thread_local! {
            static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
        }
        // Taken, not borrowed: a `Serialize` that stores another value meanwhile would find it borrowed. While a thread ends,
        // there is none to take.
        let mut scratch = SCRATCH.try_with(Cell::take).unwrap_or_default();
        scratch.clear();
        let written = messagepack::write(value, &mut scratch);
        let entry = written.map_err(Error::from).and_then(|options| {
            limits.check_value(scratch.len())?;
            let lane = match options {
                Options::Plain => Lane::Serde,
                Options::Explicit => Lane::SerdeExplicit,
            };
            Ok(Self::new(lane, &scratch))
        });
        if scratch.capacity() <= KEEP_SCRATCH_BYTES {
            let _ = SCRATCH.try_with(|kept| kept.set(scratch));
        }
        entry
    }

    /// Encodes bytes as a value, which [`into_bytes`](Self::into_bytes) reads without a copy.
    ///
    /// # Errors
    /// [`Error::ValueTooLarge`].
    ///
    /// # Examples
    /// ```
    /// use sessile_codec::{Entry, Limits};
    ///
    /// let entry = Entry::of_bytes(b"an image", &Limits::default())?;
    /// assert_eq!(entry.get::<&[u8]>()?, b"an image");
    /// assert_eq!(entry.into_bytes()?, "an image");
    /// # Ok::<(), sessile_codec::Error>(())
    /// ```
    #[cfg(feature = "serde")]
    pub fn of_bytes(bytes: &[u8], limits: &Limits) -> Result<Self, Error> {
        let mut value = Vec::with_capacity(bytes.len() + crate::messagepack::MOST_HEADER_BYTES);
        crate::messagepack::write_bytes(&mut value, bytes)?;
        limits.check_value(value.len())?;
        Ok(Self::new(Lane::Serde, &value))
    }

    /// Returns the bytes of a value of bytes or text. They share the buffer of this entry or its record, and keep it in memory.
    ///
    /// # Errors
    /// [`Error::WrongType`] if the value is neither bytes nor a text; [`Error::WrongLane`] if a model is stored.
    #[cfg(feature = "serde")]
    pub fn into_bytes(self) -> Result<bytes::Bytes, Error> {
        let value: &[u8] = self.get()?;
        let (start, len) = (value.as_ptr().addr() - self.buffer.bytes().as_ptr().addr(), value.len());
        Ok(bytes::Bytes::from_owner(Shared { buffer: self.buffer, start, len }))
    }

    /// Returns the same value, borrowed.
    #[inline]
    pub fn as_ref(&self) -> EntryRef<'_> {
        let stored = &self.buffer.bytes()[self.start..self.start + self.len];
        EntryRef { lane: self.lane, stored, until_ms: self.until_ms }
    }

    /// Reads a value of the serde lane; see [`EntryRef::get`].
    ///
    /// # Errors
    /// See [`EntryRef::get`].
    #[cfg(feature = "serde")]
    pub fn get<'a, T: serde_core::Deserialize<'a>>(&'a self) -> Result<T, Error> {
        self.as_ref().get()
    }
}

/// A part of a buffer, as the owner of its bytes.
#[cfg(feature = "serde")]
struct Shared {
    buffer: Buffer,
    start: usize,
    len: usize,
}

#[cfg(feature = "serde")]
impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.buffer.bytes()[self.start..self.start + self.len]
    }
}

/// A larger scratch buffer is freed, so that one large value does not keep its memory in every thread.
#[cfg(feature = "serde")]
const KEEP_SCRATCH_BYTES: usize = 64 << 10;
