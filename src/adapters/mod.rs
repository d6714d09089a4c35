//! Stores for other session crates: the application keeps its crate and its code, and its sessions are kept here.
//!
//! | crate | feature | type |
//! |---|---|---|
//! | tower-sessions 0.14, and axum-login 0.18 on it | `tower-sessions-0_14` | `TowerSessions` |
//! | tower-sessions 0.15 | `tower-sessions-0_15` | `TowerSessions` |
//! | actix-session 0.11 | `actix-session-0_11` | `ActixSessions` |
//! | `axum_session` 0.22 | `axum_session-0_22` | `AxumSessionPool` |
//! | poem 3 | `poem-3` | `PoemSessions` |
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
//! # #[cfg(feature = "tower-sessions-0_15")] {
//! use sessile::adapters::TowerSessions;
//!
//! # let store = sessile::testing::store(); // Store::open("sessions.redb")?
//! let sessions = TowerSessions::new(store.clone())
//!     .owned_by(|data| data.get("user_id").map(ToString::to_string));
//! assert_eq!(sessions.index_owners(1)?, 0); // how many sessions got another owner
//! # }
//! # Ok::<(), sessile::Error>(())
//! ```
//!
//! It reads every session once, some seconds for a million, and the store notes that it was done: later calls return at once. Raise the
//! number when the function changes what it returns, and each session is read again. Until then a session also gets a missing owner
//! when it is loaded.

#[cfg(feature = "actix-session-0_11")]
mod actix_session;
#[cfg(feature = "axum_session-0_22")]
mod axum_session;
#[cfg(any(feature = "tower-sessions-0_14", feature = "tower-sessions-0_15"))]
mod bases;
#[allow(dead_code, reason = "each adapter needs a part of it")]
pub(crate) mod foreign;
#[allow(dead_code, reason = "each adapter needs a part of it")]
pub(crate) mod owners;
#[cfg(feature = "poem-3")]
mod poem;
#[cfg(any(feature = "tower-sessions-0_14", feature = "tower-sessions-0_15"))]
pub(crate) mod tower_sessions;

#[cfg(feature = "actix-session-0_11")]
pub use self::actix_session::ActixSessions;
#[cfg(feature = "axum_session-0_22")]
pub use self::axum_session::AxumSessionPool;
#[cfg(feature = "poem-3")]
pub use self::poem::PoemSessions;
#[cfg(any(feature = "tower-sessions-0_14", feature = "tower-sessions-0_15"))]
pub use self::tower_sessions::TowerSessions;
#[cfg(any(feature = "tower-sessions-0_14", feature = "tower-sessions-0_15", feature = "axum_session-0_22"))]
use crate::Error;

/// An error with its causes, for traits that take a text.
#[cfg(any(feature = "tower-sessions-0_14", feature = "tower-sessions-0_15", feature = "axum_session-0_22"))]
fn text(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
