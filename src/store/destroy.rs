//! Ends a session.
//!
//! Invariants: the current session is ended, under its new key if it was rotated with a grace. The end is always durable.

use super::{EndReason, Store, find::Current};
use crate::{
    Error,
    disk::{Op, Ticket, Urgency},
    memory::Swap,
    token::{Handle, Key},
};

impl Store {
    /// Ends the session, under its new key if it was rotated with a grace. `None`: it had ended before.
    pub(crate) fn destroy(&self, key: &Key) -> Result<Option<Ticket>, Error> {
        let ended = self.destroy_if(key, EndReason::Logout, |_| true)?;
        #[cfg(feature = "sealed")]
        if ended.is_none() && self.0.revoked.is_in_use() {
            return self.end_left_long_ago(key);
        }
        Ok(ended)
    }

    /// Ends the session if `is_meant` returns true for its current state. `None`: it had ended before, or is not meant.
    pub(super) fn destroy_if(
        &self,
        key: &Key,
        reason: EndReason,
        is_meant: impl Fn(&Current<'_>) -> bool,
    ) -> Result<Option<Ticket>, Error> {
        self.0.disk.check_process()?;
        let urgency = if reason == EndReason::StoreFull { Urgency::Soon } else { Urgency::Now };
        while let Some(current) = self.current_to_end(key)?.filter(|current| is_meant(current)) {
            let enqueue = |before| {
                // After an eviction, the client may come back with the same id.
                #[cfg(feature = "foreign")]
                if reason != EndReason::StoreFull {
                    self.0.shared.ended.note(&current.key);
                }
                self.0.disk.enqueue_after(Op::Delete { key: current.key }, urgency, before)
            };
            match self.0.memory.kill(&current.key, current.base(), enqueue) {
                Swap::Done(ticket) => {
                    self.0.shared.destroyed(&current.key, Handle::of(&current.record.meta()), reason);
                    #[cfg(feature = "sealed")]
                    if self.0.revoked.is_in_use()
                        && let Some(later) = self.end_left(&current.record)?
                    {
                        return Ok(Some(later));
                    }
                    return Ok(Some(ticket));
                }
                Swap::Changed => {}
                Swap::Dead => break,
            }
        }
        Ok(None)
    }
}
