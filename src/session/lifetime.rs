//! How long a session lasts, under which token, and whose it is.

use std::time::Duration;

use super::{Session, csrf};
use crate::{Durability, Error, token::owner_hash};

impl Session {
    /// Gives the session a new token at commit and keeps its values. Call it at every change of privilege, at login above all: whoever
    /// knew the old token, or planted it, has nothing from then on.
    pub fn rotate(&self) {
        let mut state = self.state();
        csrf::forget(&mut state);
        state.rotate();
    }

    /// Gives the session a new token at commit and keeps its values; for a [grace](crate::Builder::renew_grace) of 10 seconds the old token
    /// still leads to it, so that requests under way get through. For renewal from time to time.
    ///
    /// It is no protection at a login: [`rotate`](Self::rotate) is. An answer to a request that came with the old token tells its
    /// client of no token; the one that renewed does, so only one of several requests that renew at once does so.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// # let session = store.session(None)?;
    /// session.insert("name", "Ada")?;
    /// session.save().wait()?;
    /// let old = session.token().unwrap();
    /// session.renew();
    /// session.save().wait()?;
    /// assert_ne!(session.token(), Some(old));
    /// assert_eq!(store.session(Some(&old))?.get("name")?, Some("Ada".to_owned()));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn renew(&self) {
        self.state().renew();
    }

    /// Ends the session at commit, for ever, and tells the client to forget its token. Values that are set after this go to a new session.
    ///
    /// If it was over before, nothing is told: the client may hold a newer token by now.
    pub fn destroy(&self) {
        self.state().destroy();
    }

    /// Whether the session's cookie outlasts the browser: `true` gives it the session's own life, `false` ends it when the browser
    /// closes. For a "remember me" at login. Default: what the layer's [`Cookie`](crate::Cookie) says, which is to last.
    ///
    /// It is kept with the session and told to the client at commit. The session's own timeouts stay what they are.
    pub fn remember(&self, lasts: bool) {
        self.state().remember(lasts);
    }

    /// Says whose session this is, for [`Store::sessions_of`](crate::Store::sessions_of) and its like. Only a hash of `owner` is stored.
    ///
    /// Call [`rotate`](Self::rotate) too: this is a login. If [`Builder::sessions_per_owner`](crate::Builder::sessions_per_owner) limits
    /// how many sessions an owner has, the commit may fail with [`Error::OwnerLimit`]; [`save`](Self::save) to hear of it in the
    /// handler.
    pub fn bind_owner(&self, owner: impl AsRef<[u8]>) {
        self.state().bind_owner(owner_hash(owner.as_ref()));
    }

    /// Says that the session is nobody's again.
    pub fn unbind_owner(&self) {
        self.state().bind_owner([0; 16]);
    }

    /// How long this session lasts without being used, from its last use on, instead of [`Builder::idle_timeout`](crate::Builder::idle_timeout):
    /// a longer one for "remember me", say. It is stored with the session.
    ///
    /// # Errors
    /// [`Error::Config`] for less than a millisecond: to end a session is [`destroy`](Self::destroy).
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
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn set_idle_timeout(&self, timeout: Duration) -> Result<(), Error> {
        check_timeout(timeout)?;
        self.state().set_idle_timeout(timeout);
        Ok(())
    }

    /// How long this session lasts however much it is used, from its beginning on, instead of
    /// [`Builder::absolute_timeout`](crate::Builder::absolute_timeout). It is stored with the session.
    ///
    /// # Errors
    /// As [`set_idle_timeout`](Self::set_idle_timeout).
    pub fn set_absolute_timeout(&self, timeout: Duration) -> Result<(), Error> {
        check_timeout(timeout)?;
        self.state().set_absolute_timeout(timeout);
        Ok(())
    }

    /// The class of this request's commits, the layer's too, instead of [`Builder::durability`](crate::Builder::durability).
    pub fn set_durability(&self, durability: Durability) {
        self.state().set_durability(durability);
    }
}

fn check_timeout(timeout: Duration) -> Result<(), Error> {
    if timeout.as_millis() == 0 {
        let detail = "a session's timeout is less than a millisecond; give a longer one, or `destroy` the session".to_owned();
        return Err(Error::Config { detail });
    }
    Ok(())
}
