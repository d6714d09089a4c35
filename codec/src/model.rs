//! The model lane: rkyv types with a stable tag and a version, read in place.
//!
//! Invariant: a [`View`] exists only over bytes that passed the check for its type. The check and the access are both in
//! `record.rs`. Shared pointers cannot be models: neither serializer nor validator here supports them, so they are a compile
//! error, not an unsound archive.

use std::fmt;

use rkyv::{
    api::deserialize_using,
    rancor::Strategy,
    ser::{Serializer, allocator::ArenaHandle},
    validation::archive::ArchiveValidator,
};

use crate::{
    Encoder, Entry, EntryRef, Error, Fingerprint, Lane, Limits, ModelPart, View, encode::ArchiveWriter, error::ArchiveFault,
    record::check_archive,
};

/// Writes a model: without pointer sharing, into an aligned buffer with a limit.
pub type ModelWriter<'a> = Strategy<Serializer<ArchiveWriter<'a>, ArenaHandle<'a>, ()>, ArchiveFault>;
/// Checks an archived model: bounded in depth, without shared pointers.
pub type ModelChecker<'a> = Strategy<ArchiveValidator<'a>, ArchiveFault>;
/// Deserializes an archived model.
pub type ModelReader = Strategy<(), ArchiveFault>;

/// Up to eight bytes of ASCII that name a model in the file permanently, whatever its type is called in the code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag([u8; 8]);

impl Tag {
    /// Creates a tag.
    ///
    /// # Panics
    /// If `name` is not 1 to 8 printable ASCII characters. In a `const`, as in a [`Model`], that is a compile error.
    #[must_use]
    pub const fn new(name: &str) -> Self {
        let name = name.as_bytes();
        assert!(!name.is_empty() && name.len() <= 8, "a tag has 1 to 8 characters");
        let mut bytes = [0; 8];
        let mut at = 0;
        while at < name.len() {
            assert!(name[at].is_ascii_graphic(), "a tag is printable ASCII without spaces");
            bytes[at] = name[at];
            at += 1;
        }
        Self(bytes)
    }

    /// Returns the tag with this name; `None` if it is not 1 to 8 printable ASCII characters.
    ///
    /// # Examples
    /// ```
    /// use sessile_codec::Tag;
    ///
    /// assert_eq!(Tag::parse("profile"), Some(Tag::new("profile")));
    /// assert_eq!(Tag::parse("a long name"), None);
    /// ```
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let is_name = (1..=8).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
        is_name.then(|| Self::new(name))
    }

    /// Returns the name. Bytes of a damaged tag that are not printable ASCII are escaped.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(sessile_codec::Tag::new("profile").name(), "profile");
    /// ```
    #[must_use]
    pub fn name(self) -> String {
        let len = self.0.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        self.0[..len].escape_ascii().to_string()
    }

    pub(crate) const fn to_bytes(self) -> [u8; 8] {
        self.0
    }

    pub(crate) const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.name())
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({self})")
    }
}

/// A type that a session stores as an archive and reads in place, without decoding it.
///
/// Derive it: `#[derive(sessile::Model)]`, the macro of the crate `sessile-derive`. It implements rkyv's traits and this one, derives
/// the migrations from older versions, and refuses types that an archive cannot keep exactly.
///
/// ```
/// use sessile_codec::{Entry, Limits, Model, Tag};
/// use sessile_derive::Model;
///
/// #[derive(Model)]
/// #[model(crate = sessile_codec, version = 2)] // with sessile, no `crate`
/// struct Profile {
///     #[model(since = 2, was = "name")]
///     display_name: String,
///     #[model(since = 2, default = 7)]
///     theme: u8,
/// }
///
/// assert_eq!((Profile::TAG, Profile::VERSION), (Tag::new("profile"), 2));
/// let entry = Entry::model(&Profile { display_name: "Ada".to_owned(), theme: 3 }, &Limits::default())?;
/// let view = entry.view::<Profile>()?;
/// assert_eq!((view.display_name.as_str(), view.theme), ("Ada", 3));
/// # Ok::<(), sessile_codec::Error>(())
/// ```
///
/// # Without the macro
///
/// Add rkyv's three derives, a shape and a tag, and set the derives' path to rkyv: `sessile::rkyv`, in a crate that uses sessile.
/// When the fields change, raise `VERSION`, keep the old shape as a private type, and migrate from it:
///
/// ```
/// use sessile_codec::{Entry, Error, Limits, Model, ModelPart, Shape, Stored, Tag, rkyv, shape};
///
/// #[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
/// #[rkyv(crate = sessile_codec::rkyv)]
/// struct ProfileV1 {
///     name: String,
/// }
///
/// impl ModelPart for ProfileV1 {
///     const SHAPE: &'static Shape = shape!(name: String);
/// }
/// #
/// # impl Model for ProfileV1 {
/// #     const TAG: Tag = Tag::new("profile");
/// # }
///
/// #[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
/// #[rkyv(crate = sessile_codec::rkyv)]
/// struct Profile {
///     display_name: String, // renamed
///     theme: u8,            // added
/// }
///
/// impl ModelPart for Profile {
///     const SHAPE: &'static Shape = shape!(display_name: String, theme: u8);
/// }
///
/// impl Model for Profile {
///     const TAG: Tag = Tag::new("profile");
///     const VERSION: u16 = 2;
///
///     fn migrate(old: Stored<'_>) -> Result<Self, Error> {
///         match old.version() {
///             1 => old.read::<ProfileV1>().map(|v1| Profile { display_name: v1.name, theme: 7 }),
///             _ => Err(old.no_migration()),
///         }
///     }
/// }
///
/// let entry = Entry::model(&ProfileV1 { name: "Ada".to_owned() }, &Limits::default())?;
/// assert_eq!(entry.view::<Profile>()?.theme, 7);
/// # Ok::<(), Error>(())
/// ```
///
/// Limits of archives: a `usize` or `isize` has 32 bits in one and a larger value is truncated, so use `u64` or `i64`. Nothing
/// in one may have an alignment above 16 bytes. A type that contains an `Rc` or `Arc` does not compile as a model. Mark a field
/// that can contain the model's own type as [`Nested`](crate::Nested), which the macro does by itself.
pub trait Model:
    ModelPart
    + Sized
    + rkyv::Archive<Archived: for<'a> rkyv::bytecheck::CheckBytes<ModelChecker<'a>> + rkyv::Deserialize<Self, ModelReader>>
    + for<'a> rkyv::Serialize<ModelWriter<'a>>
    + 'static
{
    /// Names the model in the file. Two models of one application must not share a tag.
    const TAG: Tag;

    /// Raised whenever the fields change: their names, their types or their order. Default: 1.
    const VERSION: u16 = 1;

    /// Converts a value that an older version of the type stored.
    ///
    /// # Errors
    /// Any error that prevents it; the value then counts as absent, and its bytes stay until it is set again. By default,
    /// refuses every version with [`Error::NoMigration`].
    fn migrate(old: Stored<'_>) -> Result<Self, Error> {
        Err(old.no_migration())
    }
}

/// A stored model of an older version, passed to [`Model::migrate`].
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    entry: EntryRef<'a>,
    tag: Tag,
    version: u16,
    fingerprint: Fingerprint,
    wanted: u16,
}

impl Stored<'_> {
    /// Returns the version that was stored.
    pub fn version(&self) -> u16 {
        self.version
    }

    /// Reads the value as the type it was stored as.
    ///
    /// # Errors
    /// [`Error::ShapeChanged`] if the value was stored with another shape than that of `Old`; [`Error::BadArchive`] or
    /// [`Error::TooDeep`] if the bytes are not an `Old`.
    pub fn read<Old>(&self) -> Result<Old, Error>
    where
        Old: ModelPart + rkyv::Archive,
        Old::Archived: for<'a> rkyv::bytecheck::CheckBytes<ModelChecker<'a>> + rkyv::Deserialize<Old, ModelReader>,
    {
        check_shape::<Old>(self.tag, self.version, self.fingerprint)?;
        let archived = check_archive::<Old::Archived>(self.entry.bytes())?;
        deserialize_using(archived, &mut ()).map_err(ArchiveFault::into_error)
    }

    /// Returns the error for a version that cannot be migrated.
    #[must_use]
    pub fn no_migration(&self) -> Error {
        Error::NoMigration { tag: self.tag, found: self.version, expected: self.wanted }
    }
}

impl EntryRef<'_> {
    /// Checks whether a stored value is an `M`, and of which version.
    fn model<M: Model>(&self) -> Result<Found<'_>, Error> {
        let Lane::Model { tag, version, fingerprint } = self.lane else {
            return Err(Error::WrongLane { found: self.lane.name(), expected: "a model" });
        };
        if tag != M::TAG {
            return Err(Error::WrongModel { found: tag, expected: M::TAG });
        }
        match version.cmp(&M::VERSION) {
            std::cmp::Ordering::Equal => check_shape::<M>(tag, version, fingerprint).map(|()| Found::Current),
            std::cmp::Ordering::Less => {
                Ok(Found::Older(Stored { entry: *self, tag, version, fingerprint, wanted: M::VERSION }))
            }
            std::cmp::Ordering::Greater => Err(Error::ModelFromFuture { tag, found: version, expected: M::VERSION }),
        }
    }
}

impl<'a> EntryRef<'a> {
    /// Returns a model, borrowed and checked; `None` if it is not an `M` of this build's version and shape.
    pub fn archived<M: Model>(&self) -> Option<&'a M::Archived> {
        if self.is_current::<M>() { check_archive(self.bytes()).ok() } else { None }
    }

    /// Whether the value is an `M` of this build's version and shape.
    #[inline]
    pub(crate) fn is_current<M: Model>(&self) -> bool {
        self.lane == Lane::Model { tag: M::TAG, version: M::VERSION, fingerprint: Fingerprint::of::<M>() }
    }
}

enum Found<'a> {
    Current,
    Older(Stored<'a>),
}

/// Checks that a value was stored with the shape of `P`.
fn check_shape<P: ModelPart>(tag: Tag, version: u16, found: Fingerprint) -> Result<(), Error> {
    let expected = Fingerprint::of::<P>();
    if found == expected {
        return Ok(());
    }
    Err(Error::ShapeChanged { tag, version, found, expected, field: P::SHAPE.difference(found) })
}

impl<M: Model> View<M> {
    /// Copies the model out of the record.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if a time in it is one that this machine cannot represent.
    pub fn to_model(&self) -> Result<M, Error> {
        deserialize_using(&**self, &mut ()).map_err(ArchiveFault::into_error)
    }
}

impl Entry {
    /// Encodes a value of the model lane.
    ///
    /// # Errors
    /// [`Error::TooDeep`] or [`Error::ValueTooLarge`].
    pub fn model<M: Model>(value: &M, limits: &Limits) -> Result<Self, Error> {
        Encoder::with(|encoder| {
            let bytes = encoder.archive(value, limits)?;
            // What is accepted here must be readable later: the same check as a reader's.
            check_archive::<M::Archived>(bytes)?;
            let fingerprint = Fingerprint::of::<M>();
            bytes.extend_from_slice(&fingerprint.to_bytes());
            Ok(Self::new(Lane::Model { tag: M::TAG, version: M::VERSION, fingerprint }, bytes))
        })
    }

    /// Reads a model in place. One of an older version is migrated into a new buffer.
    ///
    /// # Errors
    /// [`Error::WrongLane`], [`Error::WrongModel`], [`Error::ModelFromFuture`], [`Error::ShapeChanged`], the error of
    /// [`Model::migrate`], and [`Error::BadArchive`] or [`Error::TooDeep`] if the bytes are not an `M`.
    pub fn view<M: Model>(&self) -> Result<View<M>, Error> {
        self.clone().into_view()
    }

    /// Reads a model like [`view`](Self::view), reusing this entry's share of the bytes.
    ///
    /// # Errors
    /// See [`view`](Self::view).
    pub fn into_view<M: Model>(self) -> Result<View<M>, Error> {
        match self.as_ref().model::<M>()? {
            Found::Current => View::check(self),
            Found::Older(old) => View::check(Self::model(&M::migrate(old)?, &Limits::UNLIMITED)?),
        }
    }

    /// Returns the value in this build's version of `M`, if an older version stored it; `None` if there is nothing to migrate.
    ///
    /// # Errors
    /// See [`Entry::view`].
    pub fn upgraded<M: Model>(&self) -> Result<Option<Self>, Error> {
        match self.as_ref().model::<M>()? {
            Found::Current => Ok(None),
            Found::Older(old) => Ok(Some(Self::model(&M::migrate(old)?, &Limits::UNLIMITED)?)),
        }
    }

    /// Whether [`Entry::view`] of an `M` must migrate it first.
    pub fn is_older<M: Model>(&self) -> bool {
        matches!(self.as_ref().model::<M>(), Ok(Found::Older(_)))
    }
}
