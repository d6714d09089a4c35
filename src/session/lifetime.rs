//! How long a session lasts, its token, and its owner.

use std::time::Duration;

#[cfg(feature = "device-bound")]
use super::reserved::device;
use super::{Session, reserved::csrf};
use crate::{Durability, Error, Owner};

impl Session {
    /// Signs `owner` in at commit. Call it when a password, a passkey or a callback of an identity provider has been verified.
    ///
    /// One call does all that a sign-in needs:
    /// - The session gets a new token and keeps its values, such as a cart. The old token leads nowhere from then on: a token
    ///   that was planted before the sign-in is worthless after it. What was opened with the old token ends
    ///   ([`watch`](Self::watch)), as do forms with an earlier [`csrf_token`](Self::csrf_token).
    /// - The session belongs to `owner`, for [`Store::sessions_of`](crate::Store::sessions_of) and the like;
    ///   [`owner`](Self::owner) returns it.
    /// - The idle and absolute timeouts count from now, and [`authenticated_at`](Self::authenticated_at) is now.
    ///   [`created`](Self::created) does not change.
    /// - The commit is always durable. It does not fail if the session has ended meanwhile: then a new session begins with the
    ///   values that this request set.
    /// - If the request presented several live sessions of this cookie's name, the others end.
    ///
    /// Signing in again as the same owner does the same. Use it to confirm the user for a "sudo mode".
    ///
    /// If [`Builder::sessions_per_owner`](crate::Builder::sessions_per_owner) limits the number of sessions, the commit may
    /// fail with [`Error::OwnerLimit`]. To handle that in the handler, call [`save`](Self::save).
    ///
    /// # Errors
    /// [`Error::BadOwner`] if `owner` is empty or has more than 1,024 bytes; [`Error::Codec`] if it makes the session too
    /// large. The session is then unchanged.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// # let session = store.session(None)?;
    /// session.insert("cart", ["tea"])?;
    /// session.save().wait()?;
    /// let before = session.token().unwrap();
    ///
    /// session.sign_in("ada")?;
    /// session.save().wait()?; // the layer does this by itself
    ///
    /// assert!(store.session(Some(&before))?.token().is_none());
    /// let after = store.session(session.token().as_ref())?;
    /// assert_eq!(after.owner().unwrap().as_str(), "ada");
    /// assert!(after.contains_key("cart"));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[doc(alias = "login")]
    #[doc(alias = "cycle_id")]
    #[doc(alias = "renew")]
    #[doc(alias = "regenerate")]
    #[doc(alias = "bind_owner")]
    #[doc(alias = "user_id")]
    pub fn sign_in(&self, owner: impl Into<Owner>) -> Result<(), Error> {
        let mut state = self.state();
        state.sign_in(&owner.into(), self.store().limits())?;
        csrf::forget(&mut state);
        #[cfg(feature = "device-bound")]
        device::forget(&mut state);
        Ok(())
    }

    /// Signs the visitor out: ends the session at commit, as [`destroy`](Self::destroy) does. Values that are set after this
    /// call, such as a goodbye message, go to a new session.
    ///
    /// To sign out and keep the values, call [`unbind_owner`](Self::unbind_owner) instead.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// # let session = store.session(None)?;
    /// # session.sign_in("ada")?;
    /// # session.save().wait()?;
    /// # let token = session.token().unwrap();
    /// session.sign_out();
    /// session.save().wait()?; // the layer does this by itself
    /// assert!(store.session(Some(&token))?.token().is_none());
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[doc(alias = "logout")]
    #[doc(alias = "purge")]
    #[doc(alias = "flush")]
    pub fn sign_out(&self) {
        self.destroy();
    }

    /// Replaces the session's token at commit and keeps its values. The old token leads nowhere from then on, and what was
    /// opened with it ends. For a change of privilege within a sign-in; [`sign_in`](Self::sign_in) does this by itself.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// # let session = store.session(None)?;
    /// session.insert("name", "Ada")?;
    /// session.save().wait()?;
    /// let before = session.token().unwrap();
    /// session.rotate();
    /// session.save().wait()?;
    /// assert!(store.session(Some(&before))?.token().is_none());
    /// assert_eq!(session.get("name")?, Some("Ada".to_owned()));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[doc(alias = "cycle_id")]
    #[doc(alias = "regenerate")]
    pub fn rotate(&self) {
        let mut state = self.state();
        csrf::forget(&mut state);
        state.rotate();
    }

    /// Replaces the session's token at commit and keeps its values. For a [grace](crate::Builder::rotation_grace) of 10
    /// seconds, the old token still leads to the session, so that requests in progress succeed. For periodic renewal.
    ///
    /// It does not protect a sign-in; [`sign_in`](Self::sign_in) does. If the request's token has been replaced since, its
    /// response sets no cookie; the response of the request that rotated does. So of several concurrent requests that call
    /// this, only one rotates.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// # let session = store.session(None)?;
    /// session.insert("name", "Ada")?;
    /// session.save().wait()?;
    /// let old = session.token().unwrap();
    /// session.rotate_with_grace();
    /// session.save().wait()?;
    /// assert_ne!(session.token(), Some(old));
    /// assert_eq!(store.session(Some(&old))?.get("name")?, Some("Ada".to_owned()));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[doc(alias = "renew")]
    pub fn rotate_with_grace(&self) {
        self.state().rotate_with_grace();
    }

    /// Ends the session permanently at commit, and removes the client's cookie. Values that are set after this call go to a new
    /// session.
    ///
    /// It takes effect whatever the response: the layer commits the end of a session even after a server error. If the session
    /// was over before, the cookie stays: the client may hold a newer token. If the request presented several live sessions of
    /// this cookie's name, all of them end.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// # let session = store.session(None)?;
    /// session.insert("name", "Ada")?;
    /// session.save().wait()?;
    /// let token = session.token().unwrap();
    /// session.destroy();
    /// session.save().wait()?;
    /// assert!(store.session(Some(&token))?.token().is_none());
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[doc(alias = "purge")]
    pub fn destroy(&self) {
        self.state().destroy();
    }

    /// Sets whether the session's cookie outlasts the browser: with `true` it lasts as long as the session, with `false` until
    /// the browser closes. For a "remember me" at sign-in. Default: the layer's [`Cookie`](crate::Cookie), which lasts.
    ///
    /// It is stored with the session and sent to the client at commit. The session's own timeouts do not change.
    ///
    /// # Examples
    /// ```
    /// # use axum::{Router, body::Body, http::{Request, header::SET_COOKIE}, routing::get};
    /// # use sessile::{Error, Session, SessionLayer};
    /// # use tower::ServiceExt;
    /// async fn log_in(session: Session) -> Result<(), Error> {
    ///     session.sign_in("ada")?;
    ///     session.remember(false); // until the browser closes
    ///     Ok(())
    /// }
    ///
    /// # let store = sessile::testing::store();
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let app = Router::new().route("/", get(log_in)).layer(SessionLayer::new(store));
    /// # let request = Request::get("/").body(Body::empty()).unwrap();
    /// let answer = app.oneshot(request).await.unwrap();
    /// assert!(!answer.headers()[SET_COOKIE].to_str().unwrap().contains("Max-Age"));
    /// # });
    /// ```
    pub fn remember(&self, lasts: bool) {
        self.state().remember(lasts);
    }

    /// Removes the session's owner at commit and keeps its values. The session gets a new token without a grace, and the
    /// store's timeouts count from now. Remove the owner's own values, for example with [`clear_scope`](Self::clear_scope).
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// # let session = store.session(None)?;
    /// session.sign_in("ada")?;
    /// session.insert("cart", 7)?;
    /// session.save().wait()?;
    /// session.unbind_owner();
    /// session.save().wait()?;
    /// assert_eq!((session.owner(), session.get("cart")?), (None, Some(7)));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[doc(alias = "logout")]
    pub fn unbind_owner(&self) {
        let mut state = self.state();
        csrf::forget(&mut state);
        #[cfg(feature = "device-bound")]
        device::forget(&mut state);
        state.unbind_owner();
    }

    /// Sets how long this session lasts unused, from its last use on, instead of
    /// [`Builder::idle_timeout`](crate::Builder::idle_timeout): for example a longer one for "remember me". It is stored with
    /// the session, and a later sign-in keeps it.
    ///
    /// # Errors
    /// [`Error::Config`] if `timeout` is less than a millisecond. To end a session, call [`destroy`](Self::destroy).
    ///
    /// # Examples
    /// ```
    /// # use std::time::Duration;
    /// # let session = sessile::testing::session();
    /// # let remember_me = true;
    /// if remember_me {
    ///     session.set_idle_timeout(Duration::from_hours(30 * 24))?;
    ///     session.set_absolute_timeout(Duration::from_hours(365 * 24))?;
    /// }
    /// assert!(session.set_idle_timeout(Duration::ZERO).is_err());
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[doc(alias = "set_expiry")]
    #[doc(alias = "max_age")]
    #[doc(alias = "session_ttl")]
    pub fn set_idle_timeout(&self, timeout: Duration) -> Result<(), Error> {
        check_timeout(timeout)?;
        self.state().set_idle_timeout(timeout);
        Ok(())
    }

    /// Sets how long this session lasts however much it is used, from its beginning or its owner's sign-in on, instead of
    /// [`Builder::absolute_timeout`](crate::Builder::absolute_timeout). It is stored with the session, and a later sign-in
    /// keeps it.
    ///
    /// # Errors
    /// See [`set_idle_timeout`](Self::set_idle_timeout).
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// # let session = store.session(None)?;
    /// use std::time::Duration;
    ///
    /// session.sign_in("ada")?;
    /// session.set_absolute_timeout(Duration::from_hours(1))?;
    /// session.save().wait()?;
    /// let info = &store.sessions_of("ada")?[0];
    /// assert!(info.absolute_deadline.unwrap() <= store.now() + Duration::from_hours(1));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[doc(alias = "set_expiry")]
    pub fn set_absolute_timeout(&self, timeout: Duration) -> Result<(), Error> {
        check_timeout(timeout)?;
        self.state().set_absolute_timeout(timeout);
        Ok(())
    }

    /// Sets the durability of this request's commits, including the layer's, instead of
    /// [`Builder::durability`](crate::Builder::durability).
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// # let session = store.session(None)?;
    /// use sessile::Durability;
    ///
    /// session.set_durability(Durability::Relaxed);
    /// session.insert("position", 7)?;
    /// session.save().wait()?;
    /// assert_eq!(store.session(session.token().as_ref())?.get("position")?, Some(7));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn set_durability(&self, durability: Durability) {
        self.state().set_durability(durability);
    }
}

fn check_timeout(timeout: Duration) -> Result<(), Error> {
    if timeout.as_millis() == 0 {
        let detail = "a session's timeout is less than a millisecond; set a longer one, or `destroy` the session".to_owned();
        return Err(Error::Config { detail });
    }
    Ok(())
}
