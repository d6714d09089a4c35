//! Bounds the depth of a model that contains its own type, when it is written.
//!
//! Facts: rkyv writes a box by writing its content first, and does not call the writer on the way down. So depth can be counted
//! only where the type is marked. When it is read, the validator counts every pointer.

use rkyv::{
    Archive, Deserialize, Place, Serialize,
    rancor::{Fallible, Strategy},
    ser::{Allocator, Serializer, Writer, allocator::ArenaHandle},
    with::{ArchiveWith, DeserializeWith, SerializeWith},
};

use crate::{ModelWriter, encode::ArchiveWriter, error::ArchiveFault};

/// Marks a model's field that can contain the model's own type: beyond [`MAX_DEPTH`](crate::MAX_DEPTH) levels, writing returns
/// [`Error::TooDeep`](crate::Error::TooDeep).
///
/// The archive is the same as without it. Without it a value is refused too, but only after it was written; one that is nested
/// some thousand levels deep exhausts the stack before.
///
/// # Examples
/// ```
/// use sessile_codec::{Entry, Error, Itself, Limits, Model, ModelPart, Nested, NestedWriter, Shape, Tag, rkyv, shape};
///
/// #[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
/// #[rkyv(
///     crate = sessile_codec::rkyv,
///     serialize_bounds(__S: NestedWriter),
///     deserialize_bounds(__D::Error: rkyv::rancor::Source),
///     bytecheck(bounds(__C: rkyv::validation::ArchiveContext, __C::Error: rkyv::rancor::Source)),
/// )]
/// struct Comment {
///     text: String,
///     #[rkyv(omit_bounds, with = Nested)]
///     answers: Vec<Comment>,
/// }
///
/// impl ModelPart for Comment {
///     const SHAPE: &'static Shape = shape!(text: String, answers: Vec<Itself>);
/// }
///
/// impl Model for Comment {
///     const TAG: Tag = Tag::new("comment");
/// }
///
/// let leaf = Comment { text: "no".to_owned(), answers: vec![] };
/// let deep = (0..100).fold(leaf, |inner, _| Comment { text: "yes".to_owned(), answers: vec![inner] });
/// assert_eq!(Entry::model(&deep, &Limits::default()).unwrap_err(), Error::TooDeep { limit: 64 });
/// ```
pub struct Nested;

/// Can write a [`Nested`] field: the only bound of a type that contains itself on its writer.
pub trait NestedWriter: Fallible + Allocator + Writer + sealed::CountLevels {}

impl NestedWriter for ModelWriter<'_> {}

mod sealed {
    /// Counts the levels that are being written.
    pub trait CountLevels: rkyv::rancor::Fallible {
        fn enter(&mut self) -> Result<(), Self::Error>;
        fn leave(&mut self);
    }
}

impl sealed::CountLevels for Strategy<Serializer<ArchiveWriter<'_>, ArenaHandle<'_>, ()>, ArchiveFault> {
    fn enter(&mut self) -> Result<(), ArchiveFault> {
        self.writer.enter()
    }

    fn leave(&mut self) {
        self.writer.leave();
    }
}

impl<F: Archive> ArchiveWith<F> for Nested {
    type Archived = F::Archived;
    type Resolver = F::Resolver;

    fn resolve_with(field: &F, resolver: Self::Resolver, out: Place<Self::Archived>) {
        field.resolve(resolver, out);
    }
}

impl<F: Serialize<S>, S: NestedWriter + ?Sized> SerializeWith<F, S> for Nested {
    fn serialize_with(field: &F, serializer: &mut S) -> Result<Self::Resolver, S::Error> {
        serializer.enter()?;
        let resolver = field.serialize(serializer);
        serializer.leave();
        resolver
    }
}

impl<F: Archive<Archived: Deserialize<F, D>>, D: Fallible + ?Sized> DeserializeWith<F::Archived, F, D> for Nested {
    fn deserialize_with(field: &F::Archived, deserializer: &mut D) -> Result<F, D::Error> {
        field.deserialize(deserializer)
    }
}
