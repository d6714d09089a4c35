//! The sessions of other session crates in a [`Store`](crate::Store): what an adapter is written on (feature `foreign`).
//!
//! An application that has a session crate already keeps it and its code, and puts one of these in the place of its store:
//!
//! | crate | adapter |
//! |---|---|
//! | tower-sessions 0.14 and 0.15, and axum-login on it | `sessile-tower-sessions` |
//! | actix-session 0.11 | `sessile-actix-session` |
//! | `axum_session` 0.22 | `sessile-axum-session` |
//! | poem 3 | `sessile-poem` |
//!
//! To write another, look at one of them: some hundred lines over [`Sessions`]. A session is a map from texts to values of any serde type,
//! and a moment when it ends; its id is any bytes.
//!
//! ```
//! use sessile::foreign::{ForeignKind, New, Saved, Sessions};
//!
//! # let store = sessile::testing::store(); // Store::open("sessions.redb")?
//! let sessions = Sessions::new(store, ForeignKind::TowerSessions);
//! let key = sessions.key(b"an id of the other crate");
//! let values = sessions.values([("user_id", &7)])?;
//! let new = New { values: &values, ends_ms: sessions.now_ms() + 60_000, owner: None };
//! let created = sessions.create(&key, &new)?.expect("nobody has this id");
//! created.wait()?;
//! assert_eq!(sessions.load(&key)?.unwrap().get("user_id")?, Some(7));
//!
//! assert!(sessions.delete(&key).wait()?);
//! assert!(matches!(sessions.save(&key, &new, None)?, Saved::Ended), "what has ended stays ended");
//! # Ok::<(), sessile::Error>(())
//! ```
//!
//! What holds for each of them:
//!
//! - Creating a session never takes the place of another one that is alive, and saving one that was ended never brings it back: such a save
//!   is counted in [`Stats::dropped_commits`](crate::Stats::dropped_commits), and is [`SessionEnded`](crate::Error::SessionEnded) in
//!   the error of the other crate, so its request is answered with a 500. Only `AxumSessionPool` returns `Ok`; its documentation gives the reason.
//! - A commit is acknowledged as durably as the store's [`Durability`](crate::Durability) asks. A save that only moves the session's end
//!   to a later time stays in memory until a tenth of the session's time has gone since the last write of it, and as long as the disk is
//!   full: such a save never fails.
//! - Whose a session is, the application says with `owned_by`. Then [`Store::sessions_of`](crate::Store::sessions_of),
//!   [`Store::destroy_sessions_of`](crate::Store::destroy_sessions_of) and the like, and the limit of
//!   [`Builder::sessions_per_owner`](crate::Builder::sessions_per_owner), work as for sessions of this crate. See
//!   [Owners of sessions that are there already](#owners-of-sessions-that-are-there-already).
//! - Keys may have any bytes, none at all too, and up to 1 MiB; a session may have any number of them, and
//!   [`Builder::record_limit`](crate::Builder::record_limit) bytes. [`Builder::key_limit`](crate::Builder::key_limit) and
//!   [`Builder::keys_limit`](crate::Builder::keys_limit) set lower limits. What is over a limit is refused when it is saved, with an error
//!   that names the limit, and the session stays as it was.
//! - When a session ends is what the other crate says, to the millisecond. The store's own timeouts are not for these sessions.
//! - The file holds a hash of the id, so who steals it signs in nobody. But an id of another crate has no MAC, unlike a
//!   [`Token`](crate::Token): a made-up one costs a look at the disk, where one of ours ends before.
//! - Sessions of several crates may be in one store, with those of this crate. Their ids never lead to each other's.
//!
//! # Owners of sessions that are there already
//!
//! A session gets its owner when it is stored. After a release that adds `owned_by` to a store with sessions, and after an import
//! without a function, "sign out everywhere" would miss those that were not stored since. So call `index_owners` once, where the store
//! is opened:
//!
//! ```
//! use sessile::{
//!     Owner,
//!     foreign::{ForeignKind, OwnerId, Sessions},
//! };
//!
//! # let store = sessile::testing::store(); // Store::open("sessions.redb")?
//! let sessions = Sessions::new(store, ForeignKind::TowerSessions).with_owners();
//! let owner_of = |user: u64| OwnerId::from(&Owner::from(user));
//! let set = sessions.index_owners(1, |loaded| loaded.get("user_id").ok()?.map(owner_of))?;
//! assert_eq!(set, 0, "how many sessions got another owner");
//! # Ok::<(), sessile::Error>(())
//! ```
//!
//! It reads every session once, some seconds for a million, and the store notes that it was done: later calls return at once. Raise the
//! number when the function changes what it returns, and each session is read again. Until then a session also gets a missing owner
//! when it is loaded.

mod base;
pub mod import;
mod owners;
mod sessions;
mod values;

pub use self::{
    base::Base,
    owners::{OwnerId, Owners},
    sessions::{New, Saved, SessionKey, Sessions},
    values::{Loaded, Values},
};
use crate::Error;
pub use crate::store::ForeignKind;

/// An error with its causes, for traits that take a text.
///
/// # Examples
/// ```
/// let error = sessile::Error::Config { detail: "no function says whose a session is".to_owned() };
/// assert_eq!(sessile::foreign::text(&error), error.to_string());
/// ```
pub fn text(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
