//! The content of a session: models, which are read in place, and values of serde types as they are stored.
//!
//! [`Session::insert_model`](crate::Session::insert_model) takes a [`Model`](trait@Model) and [`Session::view`](crate::Session::view) returns a
//! [`View`] of it. [`Session::entry`](crate::Session::entry) returns a value of either kind as an [`Entry`], to borrow from.

pub use sessile_codec::{
    Entry, EntryRef, Fingerprint, Itself, Lane, Limits, Model, ModelPart, Nested, NestedWriter, Shape, ShapeField,
    ShapeVariant, Stored, Tag, UnixTime, View, shape,
};
#[cfg(feature = "derive")]
#[cfg_attr(docsrs, doc(cfg(feature = "derive")))]
pub use sessile_derive::{Model, ModelPart};
