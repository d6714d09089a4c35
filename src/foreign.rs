//! Stores the sessions of other session crates in a [`Store`](crate::Store): the interface for adapters (feature `foreign`).
//!
//! An application with another session crate keeps that crate and its own code, and replaces the crate's store with one of
//! these:
//!
//! | crate | adapter |
//! |---|---|
//! | tower-sessions 0.14 and 0.15, and axum-login on it | `sessile-tower-sessions` |
//! | actix-session 0.11 | `sessile-actix-session` |
//! | `axum_session` 0.22 | `sessile-axum-session` |
//! | poem 3 | `sessile-poem` |
//!
//! To write another, look at one of them: some hundred lines over [`Sessions`]. A session is a map from strings to values of
//! any serde type, and a time when it ends; its id is any bytes.
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
//! For each of them:
//!
//! - Creating a session never replaces another one that is alive, and saving a session that was ended never brings it back:
//!   such a save is counted in [`Stats::dropped_commits`](crate::Stats::dropped_commits), and is
//!   [`SessionEnded`](crate::Error::SessionEnded) in the error of the other crate, so its request is answered with a 500. Only
//!   `AxumSessionPool` returns `Ok`; its documentation gives the reason.
//! - A commit is acknowledged as the store's [`Durability`](crate::Durability) requires. A save that only moves the session's
//!   end to a later time stays in memory until a tenth of the session's time has passed since its last write, and as long as
//!   the disk is full: such a save never fails.
//! - The application sets the owner of a session with `owned_by`. Then [`Store::sessions_of`](crate::Store::sessions_of),
//!   [`Store::destroy_sessions_of`](crate::Store::destroy_sessions_of) and the like, and the limit of
//!   [`Builder::sessions_per_owner`](crate::Builder::sessions_per_owner), work as for sessions of this crate. See
//!   [Owners of sessions that are there already](#owners-of-sessions-that-are-there-already).
//! - Keys may have any bytes, including none, and up to 1 MiB; a session may have any number of them, and
//!   [`Builder::record_limit`](crate::Builder::record_limit) bytes. [`Builder::key_limit`](crate::Builder::key_limit) and
//!   [`Builder::keys_limit`](crate::Builder::keys_limit) set lower limits. A save over a limit is refused with an error that
//!   names the limit, and the session stays as it was.
//! - The other crate sets when a session ends, to the millisecond. The store's own timeouts do not apply to these sessions.
//! - The file contains a hash of the id, so a thief of the file cannot sign in. But an id of another crate has no MAC, unlike a
//!   [`Token`](crate::Token): a made-up id costs a lookup on disk, a made-up token does not.
//! - Sessions of several crates may be in one store, with those of this crate. Their ids never lead to each other's.
//!
//! # Owners of sessions that are there already
//!
//! A session gets its owner when it is stored. After a release that adds `owned_by` to a store with sessions, and after an
//! import without a function, "sign out everywhere" would miss the sessions that were not stored since. So call `index_owners`
//! once, after opening the store:
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
//! It reads every session once, some seconds for a million, and the store notes that it was done: later calls return at once.
//! If the function returns something else in a later release, raise the number, and each session is read again. Until then a
//! session also gets a missing owner when it is loaded.

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

/// Returns an error with its causes, for traits that take a text.
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
