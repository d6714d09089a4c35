//! A session as listed for its owner.

use std::time::SystemTime;

use sessile_codec::Record;

use crate::{
    clock::{deadline_from_ms, from_ms},
    expiry, label,
    token::Handle,
};

/// A session in the list of its owner's sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// Names the session for as long as it exists, for [`Store::destroy_session_of`](crate::Store::destroy_session_of). It is
    /// not the token.
    pub handle: Handle,
    /// When it began.
    pub created: SystemTime,
    /// When it was last used.
    pub last_seen: SystemTime,
    /// When its owner signed in.
    pub authenticated_at: Option<SystemTime>,
    /// When it ends unless it is used before; `None` means never.
    pub idle_deadline: Option<SystemTime>,
    /// When it ends however much it is used; `None` means never.
    pub absolute_deadline: Option<SystemTime>,
    /// The label set with [`Session::set_label`](crate::Session::set_label).
    pub label: Option<String>,
    /// Whether it is bound to the device of its browser: see [`SessionLayer::device_bound`](crate::SessionLayer::device_bound).
    #[cfg(feature = "device-bound")]
    pub is_device_bound: bool,
}

impl SessionInfo {
    pub(super) fn new(record: &Record, seen_ms: u64) -> Self {
        let meta = expiry::touched(&record.meta(), seen_ms);
        Self {
            handle: Handle::of(&meta),
            created: from_ms(meta.created_ms),
            last_seen: from_ms(meta.last_seen_ms),
            authenticated_at: (meta.authenticated_ms != 0).then(|| from_ms(meta.authenticated_ms)),
            idle_deadline: deadline_from_ms(meta.idle_deadline_ms),
            absolute_deadline: deadline_from_ms(meta.absolute_deadline_ms),
            label: label::of(record),
            #[cfg(feature = "device-bound")]
            is_device_bound: crate::proof::is_bound(&meta),
        }
    }
}
