//! Web sessions that live inside your binary.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod ack;
mod builder;
mod clock;
mod disk;
mod error;
mod event;
mod expiry;
#[cfg(all(fuzzing, feature = "tower"))]
#[doc(hidden)]
pub mod fuzzing;
mod memory;
mod session;
mod stats;
mod store;
#[cfg(feature = "test-util")]
pub mod testing;
mod token;
#[cfg(feature = "tower")]
mod web;

/// What model types need: the derives of rkyv, in the version that this crate reads them with.
pub use sessile_codec::rkyv;
pub use sessile_codec::{Entry, EntryRef, Error as CodecError, Lane, Limits, Model, Nested, NestedWriter, Stored, Tag, View};

#[cfg(feature = "tower")]
pub use crate::web::{Cookie, CookieError, ResponseFuture, SameSite, SessionLayer, SessionService};
pub use crate::{
    ack::Ack,
    builder::{Builder, Durability},
    clock::Clock,
    error::{Cause, Error},
    session::{Flash, Session},
    stats::{Stats, Tier},
    store::{SessionInfo, Store},
    token::{Handle, ParseHandleError, Token},
};
