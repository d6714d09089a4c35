//! Sessions by name: several in one application, each with its own cookie and extractor, distinguished by a type.
//!
//! Invariants: a name is valid in a cookie, or the program does not compile. A token of one name leads nowhere under another,
//! even in the same store, because the name is part of the record key's hash.

use std::{fmt, marker::PhantomData, ops::Deref};

use http::HeaderMap;

use super::{marker::Marker, request_scope};
use crate::{Error, Session};

/// A name for the sessions of one kind, as a type of the application.
///
/// Pass it to the layer with [`SessionLayer::named`](crate::SessionLayer::named), and extract the session as [`Named`].
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
    /// It is the cookie's name unless [`Cookie::name`](crate::Cookie::name) sets another. Sessions with another name are
    /// different sessions, so changing the name signs every user out.
    const NAME: &str;
}

/// The request's session of the name `N`, from a layer with that name.
///
/// It dereferences to a [`Session`].
pub struct Named<N> {
    session: Session,
    name: PhantomData<fn() -> N>,
}

impl<N: SessionName> Named<N> {
    /// Returns the request's session, like [`Session::of_request`].
    ///
    /// # Errors
    /// [`Error::NoNamedLayer`] if no layer of that name runs on this thread; [`Error::Degraded`] if the session must be read
    /// from disk and the disk refuses.
    pub fn of_request(headers: &HeaderMap) -> Result<Self, Error> {
        let session = request_scope::session(headers, Some(&Marker::of::<N>()))?;
        Ok(Self { session, name: PhantomData })
    }

    /// Returns the session, for functions that take one of any name.
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
