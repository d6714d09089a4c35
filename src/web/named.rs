//! Sessions by name: several in one application, each with its cookie and its extractor, told apart by a type.
//!
//! Invariants: a name is fit for a cookie, or the program does not compile; a token of sessions of one name leads nowhere under
//! another, even in the same store, because the name is part of what the record key is a hash of.

use std::{any::TypeId, fmt, marker::PhantomData, ops::Deref};

use http::HeaderMap;

use super::scope;
use crate::{
    Error, Session,
    token::{NameHash, name_hash},
};

/// A name for the sessions of one kind, as a type of the application's own.
///
/// Give it to the layer by [`SessionLayer::named`](crate::SessionLayer::named) and ask for the session as [`Named`].
///
/// # Examples
/// ```
/// # use axum::{Router, routing::get};
/// # use sessile::{Named, Session, SessionLayer, SessionName};
/// struct Admin;
///
/// impl SessionName for Admin {
///     const NAME: &str = "admin";
/// }
///
/// async fn both(visitor: Session, admin: Named<Admin>) -> Result<(), sessile::Error> {
///     visitor.insert("theme", "dark")?;
///     admin.insert("sudo", true)
/// }
///
/// # let store = sessile::testing::store();
/// let app: Router = Router::new()
///     .route("/", get(both))
///     // Its cookie is `__Host-admin`; the other's is `__Host-id`. They may share a store, or have one each.
///     .layer(SessionLayer::new(store.clone()).named::<Admin>())
///     .layer(SessionLayer::new(store));
/// ```
pub trait SessionName: 'static {
    /// The name: 1 to 64 letters, digits, `-` and `_`, not beginning with `__`. Anything else does not compile.
    ///
    /// ```compile_fail
    /// # use sessile::{SessionLayer, SessionName};
    /// struct Evil;
    ///
    /// impl SessionName for Evil {
    ///     const NAME: &str = "id; Domain=evil.example";
    /// }
    ///
    /// SessionLayer::new(sessile::testing::store()).named::<Evil>();
    /// ```
    ///
    /// It is the cookie's name unless [`Cookie::name`](crate::Cookie::name) says otherwise. Sessions under another name are other
    /// sessions, so changing it signs everybody out.
    const NAME: &str;
}

/// The request's session of the name `N`, which a layer with that name carries.
///
/// It is a [`Session`] in everything else, and so it dereferences to one.
pub struct Named<N> {
    session: Session,
    name: PhantomData<fn() -> N>,
}

impl<N: SessionName> Named<N> {
    /// As [`Session::of_request`].
    ///
    /// # Errors
    /// [`Error::NoNamedLayer`] if no layer of that name runs on this thread; [`Error::Degraded`] if the disk has to be asked and
    /// refuses.
    pub fn of_request(headers: &HeaderMap) -> Result<Self, Error> {
        let session = scope::session(headers, Some(&Marker::of::<N>()))?;
        Ok(Self { session, name: PhantomData })
    }

    /// The session, for functions that take one of any name.
    pub fn into_session(self) -> Session {
        self.session
    }
}

impl<N> Clone for Named<N> {
    fn clone(&self) -> Self {
        Self { session: self.session.clone(), name: PhantomData }
    }
}

impl<N> Deref for Named<N> {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl<N: SessionName> fmt::Debug for Named<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Named").field(&N::NAME).field(&self.session).finish()
    }
}

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

    /// Whether both are the same name, or both are none.
    pub(super) fn same(one: Option<&Self>, other: Option<&Self>) -> bool {
        one.map(|marker| marker.id) == other.map(|marker| marker.id)
    }
}

/// Shorter and stricter than a cookie's name may be, so that every rule for those is kept.
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
