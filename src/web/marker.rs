//! The name of a layer's sessions, as a value.
//!
//! Invariant: a name is valid in a cookie, or the program does not compile.

use std::any::TypeId;

use super::SessionName;
use crate::token::{NameHash, name_hash};

/// A [`SessionName`] as a value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marker {
    id: TypeId,
    pub(super) name: &'static str,
}

impl Marker {
    pub(super) fn of<N: SessionName>() -> Self {
        const { assert!(is_name(N::NAME), "a session's name has 1 to 64 letters, digits, `-` and `_`, and no `__` in front") }
        Self { id: TypeId::of::<N>(), name: N::NAME }
    }

    pub(super) fn hash(&self) -> NameHash {
        name_hash(self.name)
    }

    /// Whether both have the same name, or both have none.
    pub(super) fn same(one: Option<&Self>, other: Option<&Self>) -> bool {
        one.map(|marker| marker.id) == other.map(|marker| marker.id)
    }
}

/// Shorter and stricter than a cookie's name may be, so that it meets every rule for those.
const fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes.len() > 64 || (bytes.len() > 1 && bytes[0] == b'_' && bytes[1] == b'_') {
        return false;
    }
    let mut at = 0;
    while at < bytes.len() {
        if !(bytes[at].is_ascii_alphanumeric() || bytes[at] == b'-' || bytes[at] == b'_') {
            return false;
        }
        at += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cookie;

    #[test]
    fn every_name_is_a_cookies_name() {
        let most = "n".repeat(64);
        for good in ["a", "admin", "Admin-2_x", "_", "_a", "-", &*most] {
            assert!(is_name(good), "{good}");
            assert!(Cookie::new().name(good).build().is_ok(), "{good}");
        }
        for bad in ["", "__", "__Host-id", "__Secure-x", "a b", "a;b", "a=b", "é", "a\r\nb", &*format!("{most}n")] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
