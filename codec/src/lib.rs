//! The record format of [sessile](https://docs.rs/sessile): one web session as bytes, read in place.
//!
//! Converts bytes to [`Record`] and back, and nothing else: no I/O, no clock, no randomness, no locks. A record is a small
//! header and an [rkyv] archive of entries sorted by key. Each entry is in one of two lanes: a [`Model`], which is its own
//! archive and is read in place through a [`View`], or a serde type as MessagePack. Changes are collected in a [`Patch`];
//! applying one copies untouched entries as bytes.
//!
//! ```
//! use sessile_codec::{Entry, Limits, Meta, Patch, Record};
//!
//! let (key, limits) = ([7; 16], Limits::default());
//! let mut patch = Patch::new();
//! # #[cfg(feature = "serde")] {
//! patch.set("name", Entry::serde("Ada", &limits)?, &limits)?;
//! patch.set("visits", Entry::serde(&3_u32, &limits)?, &limits)?;
//! let record = patch.apply(None, &key, &Meta::default(), &limits)?;
//!
//! // Stored bytes are checked once when they are read; then reads borrow from them.
//! let record = Record::check(record.bytes(), &key, limits.record_bytes)?;
//! assert_eq!(record.get("name").unwrap().get::<&str>()?, "Ada");
//! assert_eq!(record.get("visits").unwrap().get::<u32>()?, 3);
//! # }
//! # Ok::<(), sessile_codec::Error>(())
//! ```
//!
//! Features: `serde` (default), the lane for serde types.
#![deny(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod encode;
mod entry;
mod error;
mod header;
mod limits;
#[cfg(feature = "serde")]
mod messagepack;
mod model;
mod nested;
mod parts;
mod patch;
mod record;
mod shape;
mod stored;
mod unix_time;

pub use rkyv;

pub use crate::{
    entry::{Entry, EntryRef, Lane},
    error::Error,
    header::{FORMAT_VERSION, Layout, Meta},
    limits::Limits,
    model::{Model, ModelChecker, ModelReader, ModelWriter, Stored, Tag},
    nested::{Nested, NestedWriter},
    patch::Patch,
    record::{Record, View},
    shape::{Fingerprint, Itself, ModelPart, Shape, ShapeField, ShapeVariant},
    unix_time::UnixTime,
};
pub(crate) use encode::Encoder;

/// The key that a record is stored under: in sessile, a hash of the visitor's token.
pub type Key = [u8; 16];

/// How deep values may be nested, when written and when read.
///
/// In the serde lane every array, map, struct, newtype, `Some` and variant with content is a level. In the model lane the value
/// itself is one, and so is everything behind a pointer in its archive: a box, a vector, a text.
pub const MAX_DEPTH: usize = 64;

/// What derived models take from this crate.
#[doc(hidden)]
pub mod __derive {
    pub use rkyv;

    pub use crate::{
        Error, Itself, Model, ModelPart, Nested, NestedWriter, Shape, ShapeField, ShapeVariant, Stored, Tag, UnixTime,
        shape::{id_of, plain},
    };
}
