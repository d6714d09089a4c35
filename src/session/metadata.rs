//! What a session returns about itself: its token and handle, where it was found, whose it is, and its times.

use std::time::SystemTime;

use super::Session;
use crate::{Handle, Owner, Tier, Token, clock::from_ms};

impl Session {
    /// Returns the token of this session; `None` before it is stored for the first time, and while it is sealed in its client's
    /// cookie.
    ///
    /// If the request came with a sealed cookie whose session has just moved into the store, it does not know the session's
    /// token. The returned token is then random and leads nowhere. The response to the request that moved the session sets the
    /// cookie.
    ///
    /// The token is a secret: send it to the client, never to a log. The layer sends it by itself.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// # let session = store.session(None)?;
    /// assert!(session.token().is_none());
    /// session.insert("name", "Ada")?;
    /// session.save().wait()?;
    /// let cookie = session.token().unwrap().expose();
    /// assert_eq!(cookie.len(), 32);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[doc(alias = "id")]
    #[doc(alias = "session_id")]
    pub fn token(&self) -> Option<Token> {
        self.state().token()
    }

    /// Returns the session's name, which stays when its token changes; `None` before it is stored for the first time.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// # let session = store.session(None)?;
    /// session.insert("name", "Ada")?;
    /// session.save().wait()?;
    /// let handle = session.handle();
    /// session.rotate();
    /// session.save().wait()?;
    /// assert_eq!(session.handle(), handle);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[doc(alias = "id")]
    #[doc(alias = "session_id")]
    pub fn handle(&self) -> Option<Handle> {
        self.state().handle()
    }

    /// Returns the tier that the session was loaded from; `None` if it is new.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// # let session = store.session(None)?;
    /// use sessile::Tier;
    ///
    /// session.insert("name", "Ada")?;
    /// session.save().wait()?;
    /// assert_eq!(store.session(session.token().as_ref())?.tier(), Some(Tier::Memory));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn tier(&self) -> Option<Tier> {
        self.state().tier()
    }

    /// Returns the session's size as it was loaded or last saved, in bytes; 0 if it is new.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// # let session = store.session(None)?;
    /// assert_eq!(session.record_bytes(), 0);
    /// session.insert("name", "Ada")?;
    /// session.save().wait()?;
    /// assert!((96..256).contains(&session.record_bytes()));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn record_bytes(&self) -> usize {
        self.state().record().map_or(0, |record| record.bytes().len())
    }

    /// Returns the session's owner; `None` if it has none. [`sign_in`](Self::sign_in) takes effect here at once.
    ///
    /// # Examples
    /// ```
    /// # let session = sessile::testing::session();
    /// session.sign_in(7_u64)?;
    /// assert_eq!(session.owner().unwrap().as_str(), "7");
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[doc(alias = "user_id")]
    #[doc(alias = "identity")]
    pub fn owner(&self) -> Option<Owner> {
        self.state().owner()
    }

    /// Returns when the owner signed in, as it was loaded or last saved; `None` if the session has no owner.
    ///
    /// # Examples
    /// For an action that needs a fresh sign-in ("sudo mode"):
    /// ```
    /// # use std::time::Duration;
    /// # let store = sessile::testing::store();
    /// # let session = store.session(None)?;
    /// session.sign_in("ada")?;
    /// session.save().wait()?;
    /// let age = session.authenticated_at().and_then(|at| store.now().duration_since(at).ok());
    /// let is_fresh = age.is_some_and(|age| age < Duration::from_mins(10));
    /// assert!(is_fresh);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn authenticated_at(&self) -> Option<SystemTime> {
        let authenticated_ms = self.state().record().map_or(0, |record| record.meta().authenticated_ms);
        (authenticated_ms != 0).then(|| from_ms(authenticated_ms))
    }

    /// Returns when the session began; `None` if it is new.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// # let session = store.session(None)?;
    /// assert_eq!(session.created(), None);
    /// session.insert("name", "Ada")?;
    /// session.save().wait()?;
    /// assert!(session.created().unwrap() <= store.now());
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn created(&self) -> Option<SystemTime> {
        self.state().record().map(|record| from_ms(record.meta().created_ms))
    }

    /// Returns when the session was last used before this request, as far as recorded; `None` if it is new.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// # let session = store.session(None)?;
    /// session.insert("name", "Ada")?;
    /// session.save().wait()?;
    /// assert!(session.last_seen().unwrap() <= store.now());
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn last_seen(&self) -> Option<SystemTime> {
        self.state().record().map(|record| from_ms(record.meta().last_seen_ms))
    }
}
