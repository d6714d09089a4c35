//! Web sessions that live inside your binary: no session server and no database server, one file.
//!
//! A session is one record of bytes. Hot records are in memory, within a budget, and are read in place. Every record is also in
//! one embedded redb file. By default, a commit is acknowledged when it is synced there. A session costs nothing before its
//! first value is set, and nothing is written when nothing has changed.
//!
//! # In a web application
//!
//! With the feature `axum`: put a [`SessionLayer`] around the routes, and a [`Session`] among a handler's arguments.
//!
//! ```no_run
//! use axum::{Router, routing::get};
//! use sessile::{Session, SessionLayer, Store};
//!
//! async fn home(session: Session) -> Result<String, sessile::Error> {
//!     let visits = session.update("visits", |n: Option<u32>| n.unwrap_or(0) + 1)?;
//!     Ok(format!("visit {visits}"))
//! }
//!
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! let store = Store::open("sessions.redb")?;
//! let app = Router::new().route("/", get(home)).layer(SessionLayer::new(store));
//! # let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//! axum::serve(listener, app).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Any other tower service calls [`Session::of_request`]. Without a web framework, call [`Store::session`] with the token.
//! Neither needs an async runtime: an [`Ack`] can be awaited or waited for.
//!
//! # Signing in
//!
//! ```
//! # let store = sessile::testing::store();
//! # let session = store.session(None)?;
//! # session.insert("cart", vec!["tea"])?;
//! # session.save().wait()?;
//! # let planted = session.token().unwrap();
//! // The password was right. Sets a new token, so that one that was planted before is worthless, the owner, and new deadlines.
//! session.sign_in(7_u64)?;
//! session.insert("name", "Ada")?;
//! session.save().wait()?; // the layer does this by itself
//!
//! # assert!(store.session(Some(&planted))?.token().is_none());
//! assert_eq!(store.sessions_of(7_u64)?.len(), 1);
//! assert_eq!(store.destroy_sessions_of(7_u64).wait()?, 1); // signed out everywhere
//! # assert!(store.sessions_of(7_u64)?.is_empty());
//! # Ok::<(), sessile::Error>(())
//! ```
//!
//! # Guarantees
//!
//! - A commit that was acknowledged as durable is in the file. A sign-in, a rotation and the end of a session are always
//!   durable.
//! - An ended or expired session is not served again, whatever was in flight: a late commit to it returns
//!   [`Error::SessionEnded`].
//! - A commit is a merge: concurrent requests lose no key, and [`Session::update`] loses no increment.
//! - A value is read back exactly as it was set, or setting it is an error. A failure is an [`Error`], never "no session".
//! - The file and the output of `Debug` contain no token. A forged token costs no I/O.
//!
//! ARCHITECTURE.md explains how each works, what it depends on and how it is tested.
//!
//! # Values
//!
//! [`Session::insert`] and [`get`](Session::get) take serde types (feature `serde`). [`Session::insert_model`] and
//! [`view`](Session::view) take a type with `#[derive(Model)]`: it has a name and a version, is read without decoding it, and is
//! [migrated](macro@Model) when its fields change. A value is never read as a type with other fields: that is an error, which
//! `testing::check_models` finds before a deploy.
//!
//! # Features
//!
//! `derive` (default): `#[derive(Model)]`. `serde` (default): values of serde types. `tower`: the layer. `axum`: the extractor for axum 0.8, and the layer. `sealed`:
//! small sessions in the cookie itself. `encryption`: sessions encrypted with your keys before they are written. `device-bound`:
//! sessions bound to the device of their browser, see [`mod@device`]. `tracing`:
//! events for operators. `metrics`: [`Store::stats`] as metrics of the crate `metrics`. `foreign`: the base of the adapters for
//! other session crates and of `sessile-import`, see [`mod@foreign`]. `test-util`: [`testing`], a store without a file and a clock
//! that tests control.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod ack;
mod builder;
mod clock;
#[cfg(feature = "device-bound")]
#[cfg_attr(docsrs, doc(cfg(feature = "device-bound")))]
pub mod device;
mod disk;
pub mod error;
pub mod events;
mod expiry;
#[cfg(feature = "foreign")]
pub mod foreign;
#[cfg(all(fuzzing, feature = "tower"))]
#[doc(hidden)]
pub mod fuzzing;
mod keys;
mod label;
mod log;
mod memory;
pub mod model;
pub mod operate;
mod owner;
#[cfg(feature = "device-bound")]
mod proof;
mod session;
mod stats;
mod store;
#[cfg(feature = "test-util")]
pub mod testing;
mod timeline;
mod token;
mod wake;
#[cfg(feature = "tower")]
pub mod web;

/// What models without `#[derive(Model)]` need: rkyv's derives, in the version that this crate uses.
pub use sessile_codec::rkyv;

/// What derived models take from this crate.
#[cfg(feature = "derive")]
#[doc(hidden)]
pub use sessile_codec::__derive;

#[cfg(feature = "tower")]
#[doc(inline)]
pub use crate::web::{Cookie, CsrfLayer, Named, SessionLayer, SessionName};
#[doc(inline)]
pub use crate::{
    ack::Ack,
    builder::{Builder, Durability, OwnerLimit},
    clock::Clock,
    error::Error,
    keys::Keys,
    model::{Model, View},
    owner::Owner,
    session::{Flash, Level, Scope, Session},
    stats::{Stats, Tier},
    store::{SessionInfo, Store},
    token::{Handle, Token},
};

/// The README's example, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
