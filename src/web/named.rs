//! Sessions by name: several in one application, each with its cookie and its extractor, told apart by a type.
//!
//! Invariants: a name is fit for a cookie, or the program does not compile; a token of sessions of one name leads nowhere under
//! another, even in the same store, because the name is part of what the record key is a hash of.

use std::{fmt, marker::PhantomData, ops::Deref};

use http::HeaderMap;

use super::{marker::Marker, request_scope};
use crate::{Error, Session};

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
        let session = request_scope::session(headers, Some(&Marker::of::<N>()))?;
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
