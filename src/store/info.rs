//! A session as its owner sees it in a list.

use std::time::SystemTime;

use sessile_codec::Record;

use crate::{
    clock::from_ms,
    expiry, label,
    token::{Handle, Key},
};

/// A session in a list of its owner's.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// Names the session, for [`Store::destroy_one`](crate::Store::destroy_one). It is not the token.
    pub handle: Handle,
    /// When it began.
    pub created: SystemTime,
    /// When it was last used.
    pub last_seen: SystemTime,
    /// When it ends unless it is used before.
    pub idle_deadline: SystemTime,
    /// When it ends however much it is used.
    pub absolute_deadline: SystemTime,
    /// What [`Session::set_label`](crate::Session::set_label) said.
    pub label: Option<String>,
}

impl SessionInfo {
    pub(super) fn new(key: &Key, record: &Record, seen_ms: u64) -> Self {
        let meta = expiry::touched(&record.meta(), seen_ms);
        Self {
            handle: Handle::of(key),
            created: from_ms(meta.created_ms),
            last_seen: from_ms(meta.last_seen_ms),
            idle_deadline: from_ms(meta.idle_deadline_ms),
            absolute_deadline: from_ms(meta.absolute_deadline_ms),
            label: label::of(record),
        }
    }
}
