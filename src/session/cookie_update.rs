//! What a commit sends to the client: the one value that decides whether a response sets a cookie, and which.
//!
//! Invariant: if the request's token has been replaced since, its response sets no cookie, unless this request created the new
//! token.

use sessile_codec::Meta;

#[cfg(feature = "sealed")]
use super::SealedSession;
use super::state::Stored;
use crate::{
    Durability, Token,
    expiry::{self, cookie_lasts, renew_cookie},
    store::MergeInput,
};

/// How the response changes the client's cookie.
#[derive(Clone, Debug, Default)]
#[cfg_attr(not(feature = "tower"), expect(dead_code, reason = "only the layer sends cookies"))]
pub(crate) enum CookieUpdate {
    /// No change: the client's cookie is right, or was not set by us.
    #[default]
    Nothing,
    /// Sets the token, until `deadline_ms` or until the browser closes. `renewed`: the token is the same, with another end.
    Token { token: Token, deadline_ms: Option<u64>, renewed: bool },
    /// Sets the session itself, sealed, until `deadline_ms` or until the browser closes.
    #[cfg(feature = "sealed")]
    Sealed { sealed: Box<SealedSession>, deadline_ms: Option<u64> },
    /// Removes the cookie: its session has ended.
    Forget,
}

/// When a cookie that is sent expires.
pub(super) struct CookieEnd {
    /// In milliseconds since 1970. `None`: when the browser closes.
    pub(super) deadline_ms: Option<u64>,
}

impl Stored {
    /// Decides whether the commit of a record with `meta` sends a cookie, and notes the cookie's end in `meta`. `lasts`:
    /// whether the request asks for a cookie that outlasts the browser, or for one that does not.
    pub(super) fn cookie_end(
        &self,
        onto: &MergeInput<'_>,
        lasts: Option<bool>,
        durability: Durability,
        meta: &mut Meta,
    ) -> Option<CookieEnd> {
        let is_ours = !self.is_old && onto.key == self.key;
        let is_due = durability != Durability::Quick && expiry::cookie_is_due(meta);
        let is_sent = onto.is_new_key || (is_ours && (is_due || lasts.is_some()));
        let lasts = lasts.unwrap_or(cookie_lasts(meta));
        is_sent.then(|| CookieEnd { deadline_ms: renew_cookie(meta, lasts) })
    }

    /// Returns a later end for the client's cookie, if one is due: for a use that is not written.
    pub(super) fn later_cookie(&self, now_ms: u64) -> Option<CookieUpdate> {
        let mut meta = expiry::touched(&self.record.meta(), now_ms);
        let is_due = !self.is_old && expiry::cookie_is_due(&meta);
        is_due.then(|| CookieUpdate::Token { token: self.token, deadline_ms: renew_cookie(&mut meta, true), renewed: true })
    }
}
