//! Web sessions that live inside your binary: no session server and no database server, one file.
//!
//! A session is one record of bytes. Hot records lie in memory, within a budget, and are read where they lie; every record is
//! also in one embedded redb file, and by default a commit is acknowledged when it is synced there. A session costs nothing
//! before its first value is set, and nothing is written when nothing has changed.
//!
//! # In a web application
//!
//! With the feature `axum`: a [`SessionLayer`] around the routes, and a [`Session`] among a handler's arguments.
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
//! Any other service of tower asks with [`Session::of_request`]; without a web framework, [`Store::session`] takes the token
//! from wherever it came. Neither needs an async runtime: an [`Ack`] is awaited or waited for.
//!
//! # Signing in
//!
//! ```
//! # let store = sessile::testing::store();
//! # let session = store.session(None)?;
//! # session.insert("cart", vec!["tea"])?;
//! # session.save().wait()?;
//! # let planted = session.token().unwrap();
//! // The password was right. A new token, so that one that was planted before is worth nothing; the owner; a new life.
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
//! # What holds
//!
//! - A commit that was acknowledged as durable is in the file; a sign-in, a rotation and the end of a session are durable always.
//! - An ended or expired session is not served again, whatever was in flight: a late commit to it is [`Error::SessionEnded`].
//! - A commit is a merge: requests that run at the same time lose no key, and [`Session::update`] loses no increment.
//! - What is put is what comes back, exactly, or setting it is an error. A failure is an [`Error`], never "no session".
//! - The file and what `Debug` prints hold no token. A forged token costs no I/O.
//!
//! ARCHITECTURE.md says what each depends on and how it is tested, and how all of it works.
//!
//! # Values
//!
//! [`Session::insert`] and [`get`](Session::get) take serde types (feature `serde`). [`Session::insert_model`] and
//! [`view`](Session::view) take a [`Model`]: an rkyv type with a name and a version, which is read without decoding it and
//! migrated when its fields change.
//!
//! # Features
//!
//! `serde` (default): values of serde types. `tower`: the layer. `axum`: the extractor for axum 0.8, and the layer. `sealed`: small
//! sessions in the cookie itself. `encryption`: sessions sealed with keys of yours before they are written. `tracing`: what an operator
//! wants to hear of, as events. `metrics`: [`Store::stats`] as metrics of the crate `metrics`. `foreign`: what the adapters for
//! other session crates and the crate `sessile-import` are written on, see [`mod@foreign`]. `test-util`: [`testing`], a store without a file
//! and a clock set by hand.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod ack;
mod builder;
mod clock;
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
#[cfg(feature = "metrics")]
mod metrics;
pub mod model;
mod owner;
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

/// What model types need: the derives of rkyv, in the version that this crate reads them with.
pub use sessile_codec::rkyv;

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
