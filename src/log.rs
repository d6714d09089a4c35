//! Events for operators, as `tracing` events with the feature `tracing`.
//!
//! Invariant: no event contains a token or a session's value. A session is named by its handle, which leads to neither.
#![cfg_attr(not(feature = "tracing"), expect(unused_variables, reason = "without `tracing` there are no events"))]

use crate::token::{Handle, Key};

/// The bytes of a stored record are invalid: the session counts as absent.
///
/// Its handle cannot be read either, so the event has the first handle of a session under `key`.
pub(crate) fn corrupt_record(key: &Key, error: &impl std::fmt::Display) {
    #[cfg(feature = "tracing")]
    tracing::error!(handle = %Handle::first(key), %error, "a stored session cannot be read; its visitor gets a new one");
}

/// A request presents several live sessions: another host set a cookie of the same name.
pub(crate) fn ambiguous() {
    #[cfg(feature = "tracing")]
    tracing::warn!("a request presents several sessions of this store; it gets none of them");
}

/// Some revocations of sealed sessions cannot be read: all sealed sessions are refused.
#[cfg(feature = "sealed")]
pub(crate) fn lost_revocations() {
    #[cfg(feature = "tracing")]
    tracing::error!("revocations of sealed sessions cannot be read; every session that is sealed now has ended");
}

/// A request of another site would have replaced the visitor's session.
pub(crate) fn withheld_cookie() {
    #[cfg(feature = "tracing")]
    tracing::debug!("stored no new session for a request of another site: its browser may have withheld the session's cookie");
}

/// A commit came after its session had ended.
pub(crate) fn dropped_commit(handle: Option<Handle>) {
    #[cfg(feature = "tracing")]
    tracing::debug!(handle = handle.map(tracing::field::display), "dropped a commit: its session has ended");
}

/// A session was evicted for another.
pub(crate) fn evicted_session(handle: Handle, reason: crate::events::EndReason) {
    #[cfg(feature = "tracing")]
    tracing::info!(%handle, ?reason, "ended a session to make room for another");
}

/// This build cannot read the type of a session's value: it counts as absent.
pub(crate) fn unreadable_value(handle: Handle, error: &sessile_codec::Error) {
    #[cfg(feature = "tracing")]
    tracing::warn!(%handle, %error, "a stored value cannot be read and counts as absent; its bytes are kept");
}

/// A session was bound to the device of its browser.
#[cfg(feature = "device-bound")]
pub(crate) fn bound_device(handle: Handle) {
    #[cfg(feature = "tracing")]
    tracing::info!(%handle, "bound a session to the device of its browser");
}

/// A client proved that it has the key of its session's device.
#[cfg(feature = "device-bound")]
pub(crate) fn proved_device(handle: Handle) {
    #[cfg(feature = "tracing")]
    tracing::debug!(%handle, "the client proved that it has the key of its session's device");
}

/// A proof of a session's device, or its registration, was refused.
#[cfg(feature = "device-bound")]
pub(crate) fn refused_proof(handle: Option<Handle>, refusal: crate::proof::Refusal) {
    #[cfg(feature = "tracing")]
    tracing::warn!(handle = handle.map(tracing::field::display), reason = refusal.as_str(), "refused a proof of a device");
}

/// A stored model has other fields than its version has in this build: the call is an error.
pub(crate) fn changed_shape(handle: Handle, error: &sessile_codec::Error) {
    #[cfg(feature = "tracing")]
    tracing::error!(%handle, %error, "a stored model has other fields than its version; its bytes are kept");
}

/// A response could not be sent because its session could not be stored.
#[cfg(feature = "tower")]
pub(crate) fn failed_commit(error: &crate::Error) {
    #[cfg(feature = "tracing")]
    tracing::error!(error = %error, cause = error_cause(error), "a session could not be stored; the client gets an error");
}

/// The application's code or set-up is wrong: one event each time. Without `tracing`, a build with debug assertions prints one
/// line for each `kind` instead; otherwise the developer would see only a 500.
#[cfg(feature = "tower")]
pub(crate) fn mistake(kind: &str, text: &dyn std::fmt::Display) {
    #[cfg(feature = "tracing")]
    {
        let _ = kind;
        tracing::error!("{text}");
    }
    #[cfg(not(feature = "tracing"))]
    if cfg!(debug_assertions) && PRINTED.is_first(kind) {
        // Nothing can be done about a closed stderr.
        drop(std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("sessile: {text}\n")));
    }
}

#[cfg(all(feature = "tower", not(feature = "tracing")))]
static PRINTED: Printed = Printed(parking_lot::Mutex::new(Vec::new()));

/// The kinds of mistakes that were printed.
#[cfg(all(feature = "tower", any(test, not(feature = "tracing"))))]
struct Printed(parking_lot::Mutex<Vec<String>>);

#[cfg(all(feature = "tower", any(test, not(feature = "tracing"))))]
impl Printed {
    /// Whether to print `kind` now. Never a second time, and no more than 32 kinds, so that no client can fill a log.
    fn is_first(&self, kind: &str) -> bool {
        let mut printed = self.0.lock();
        let is_first = printed.len() < 32 && printed.iter().all(|other| other != kind);
        if is_first {
            printed.push(kind.to_owned());
        }
        is_first
    }
}

/// A handler returned an error of this crate that is not the developer's mistake.
#[cfg(feature = "axum")]
pub(crate) fn failed_request(error: &crate::Error) {
    #[cfg(feature = "tracing")]
    tracing::error!(error = %error, cause = error_cause(error), "a handler could not use its session; the client gets an error");
}

/// A request that changes something was not made by this site.
#[cfg(feature = "tower")]
pub(crate) fn refused_request(why: &str) {
    #[cfg(feature = "tracing")]
    tracing::info!(why, "refused a request that changes something");
}

/// A session is used by a client that differs from the one that it is bound to.
#[cfg(feature = "tower")]
pub(crate) fn changed_client(handle: Handle, user_agent: bool, address: bool) {
    #[cfg(feature = "tracing")]
    tracing::warn!(%handle, user_agent, address, "a session is used by a client that has changed");
}

/// The disk tier stopped working, or works again.
pub(crate) fn degraded(error: Option<&crate::Error>) {
    #[cfg(feature = "tracing")]
    if let Some(error) = error {
        tracing::error!(%error, cause = error_cause(error), "the session store is degraded");
    } else {
        tracing::info!("the session store works again");
    }
}

/// The clock was set back.
pub(crate) fn clock_set_back(by_ms: u64) {
    #[cfg(feature = "tracing")]
    tracing::warn!(by_secs = by_ms / 1000, "the clock was set back; for sessions, time continues from where it was");
}

/// The clock is further ahead than the time that passed.
pub(crate) fn clock_ahead(by_ms: u64) {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        by_secs = by_ms / 1000,
        "the clock jumped ahead; sessions that it ends are not served, and kept for ten minutes"
    );
}

/// The clock was ahead and was corrected.
pub(crate) fn clock_right_again() {
    #[cfg(feature = "tracing")]
    tracing::info!("the clock is back from its jump; sessions that it had ended are served again");
}

/// The clock has run on from where it jumped to.
pub(crate) fn clock_confirmed() {
    #[cfg(feature = "tracing")]
    tracing::info!("the clock has run on for ten minutes from where it jumped to; it is trusted");
}

#[cfg(feature = "tracing")]
fn error_cause(error: &crate::Error) -> Option<tracing::field::DisplayValue<&(dyn std::error::Error + 'static)>> {
    std::error::Error::source(error).map(tracing::field::display)
}

#[cfg(all(test, feature = "tower"))]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_mistake_is_printed_once_and_not_without_end() {
        let printed = Printed(parking_lot::Mutex::new(Vec::new()));
        assert!(printed.is_first("a") && !printed.is_first("a") && printed.is_first("b") && !printed.is_first("a"));
        assert_eq!((0..100).filter(|n| printed.is_first(&n.to_string())).count(), 30);
    }
}
