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
//! - To create a session never takes the place of another one, and to save one that has ended never brings it back: the save is
//!   dropped and counted in [`Stats::dropped_commits`](crate::Stats::dropped_commits), or an error, as the type says.
//! - A commit is acknowledged as durably as the store's [`Durability`](crate::Durability) asks. A save that changes nothing but when the
//!   session ends stays in memory, until a tenth of the session's time has gone since the last write of it.
//! - When a session ends is what the other crate says, to the millisecond. The store's own timeouts are not for these sessions.
//! - The file holds a hash of the id, so who steals it signs in nobody. But an id of another crate has no MAC, unlike a
//!   [`Token`](crate::Token): a made-up one costs a look at the disk, where one of ours ends before.
//! - Sessions of several crates may be in one store, with those of this crate. Their ids never lead to each other's.

#[cfg(feature = "actix-session-0_11")]
mod actix_session;
#[cfg(feature = "axum_session-0_22")]
mod axum_session;
#[cfg(any(feature = "tower-sessions-0_14", feature = "tower-sessions-0_15"))]
mod bases;
#[allow(dead_code, reason = "each adapter needs a part of it")]
pub(crate) mod foreign;
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
