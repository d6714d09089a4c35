//! The end of a request: its last commit, and what its response waits for and sends.
//!
//! Invariants: the end of a session is committed whatever the response. A touch or quick changes alone never fail a response.

use super::{
    Session,
    commit::SaveOptions,
    cookie_update::CookieUpdate,
    state::{Location, Phase, State},
};
use crate::{Error, disk::Ticket, expiry};

/// The result of a request's end.
pub(crate) struct Finish {
    /// The ticket of the last commit. If that failed, the response still sends the cookie of what was saved before.
    pub(crate) ticket: Result<Ticket, Error>,
    /// Whether the response must not claim success if the disk refuses the commit.
    pub(crate) is_vital: bool,
    pub(crate) update: CookieUpdate,
    /// The additional cookies that the client has, beyond the first.
    pub(crate) parts: u8,
}

/// How the layer ends a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending {
    /// Whether to commit the changes. Otherwise they are dropped, except the end of a session.
    pub(crate) commits: bool,
    /// Whether the response is sent unchanged when its values were dropped because the session had ended.
    pub(crate) allows_dropped_values: bool,
}

impl Session {
    /// Ends the request. Returns what to wait for and what to send to the client, if anything.
    pub(crate) fn finish(&self, ending: Ending) -> Option<Finish> {
        let mut state = self.state();
        if !ending.commits {
            state.changes.give_up();
        }
        // A handler that ends the session and fails afterwards has still ended it.
        let is_untouched = state.is_untouched() || !(ending.commits || state.ends_sessions());
        if is_untouched && matches!(state.update, CookieUpdate::Nothing) {
            state.answered = true;
            return None;
        }
        let is_vital = state.ends_sessions() || !(state.changes.are_none() || state.changes.are_quick());
        let set_values = state.changes.set_values() && !ending.allows_dropped_values;
        // The response says that the session is bound.
        #[cfg(feature = "device-bound")]
        let set_values = set_values || state.binds();
        let ticket = if is_untouched { Ok(Ticket::done()) } else { self.commit(&mut state, SaveOptions::default()) };
        state.answered = true;
        let ticket = ticket.or_else(|error| match error {
            Error::CookieWithheld => Ok(Ticket::done()),
            Error::SessionEnded if !set_values => Ok(Ticket::done()),
            // The use was noted in memory when the session was loaded.
            _ if !is_vital => Ok(Ticket::done()),
            error => Err(error),
        });
        Some(Finish { ticket, is_vital, update: std::mem::take(&mut state.update), parts: state.kind.parts })
    }
}

impl State {
    /// Whether the next commit ends a session, in the store or in the cookie.
    fn ends_sessions(&self) -> bool {
        match self.phase {
            Phase::Doomed(_) => true,
            Phase::New | Phase::Live(_) | Phase::Ended(_) => self.ends_rivals,
        }
    }

    /// Whether the request has only read, and its use of the session, noted when it was loaded, is not worth a write. Does not
    /// read the clock again.
    fn is_untouched(&self) -> bool {
        match &self.phase {
            Phase::New => !self.changes.have_content() && !self.ends_rivals,
            Phase::Live(Location::Store(stored)) => {
                self.changes.are_none() && !expiry::use_is_due(&stored.record.meta(), stored.seen_ms)
            }
            #[cfg(feature = "sealed")]
            Phase::Live(Location::Cookie(_)) => false,
            Phase::Doomed(_) | Phase::Ended(_) => false,
        }
    }
}
