//! A part of a session with its own name: the same calls, on keys that begin with that name.
//!
//! Why: to sign a user out and keep the cart, the keys of the sign-in must be recognizable. Their prefix shows them: `user` in
//! the scope `auth` is the session's key `auth:user`.
//!
//! Invariants: a scope's only state is its name, and the session can do the same with the whole key. Keys of different scopes
//! are different keys of the session, so `:` and `%` in a key are escaped as in a URL: `user:role` in the scope `auth` is
//! `auth:user%3Arole`.

use std::{borrow::Cow, fmt};

use sessile_codec::{Entry, Model, View};

use super::{Session, check_key};
use crate::Error;

/// Separates a scope's name from the key.
const SEPARATOR: char = ':';

/// The part of a [`Session`] whose keys begin with a name; from [`Session::scope`].
///
/// Every method does what the session's does, within the scope. Clones are the same scope of the same session.
///
/// # Examples
/// ```
/// # let session = sessile::testing::session();
/// let auth = session.scope("auth");
/// auth.insert("user", 7_u64)?;
/// session.insert("cart", ["pen", "ink"])?;
///
/// // Signs out and keeps the cart.
/// session.clear_scope("auth");
/// session.unbind_owner();
/// assert_eq!(auth.get::<u64>("user")?, None);
/// assert_eq!(session.keys(), ["cart"]);
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Clone)]
pub struct Scope {
    session: Session,
    prefix: String,
}

impl Session {
    /// Returns the part of the session under `name`: its key `user` is this session's key `name:user`.
    ///
    /// A name may contain `:` itself; `scope("a:b")` is the scope `b` within the scope `a`.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// # let session = store.session(None)?;
    /// let shop = session.scope("shop");
    /// shop.insert("cart", 7)?;
    /// assert_eq!(session.keys(), ["shop:cart"]);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn scope(&self, name: &str) -> Scope {
        Scope { session: self.clone(), prefix: format!("{name}{SEPARATOR}") }
    }

    /// Removes every value of the scope `name`, including those that other requests set before this one commits. Values set in
    /// it after this call stay.
    ///
    /// To sign a user out and keep the rest, call [`unbind_owner`](Self::unbind_owner) too: it is a change of privilege.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// # let session = store.session(None)?;
    /// session.scope("shop").insert("cart", 7)?;
    /// session.insert("theme", "dark")?;
    /// session.clear_scope("shop");
    /// assert_eq!(session.keys(), ["theme"]);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn clear_scope(&self, name: &str) {
        self.scope(name).clear();
    }
}

impl Scope {
    /// See [`Session::get`].
    ///
    /// # Errors
    /// The same.
    #[cfg(feature = "serde")]
    pub fn get<T: serde_core::de::DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        self.session.get(&self.whole(key))
    }

    /// See [`Session::insert`].
    ///
    /// # Errors
    /// The same; the scope's name counts toward the length of the key.
    #[cfg(feature = "serde")]
    pub fn insert<T: serde_core::Serialize>(&self, key: &str, value: T) -> Result<(), Error> {
        self.session.insert(&self.whole(key), value)
    }

    /// See [`Session::insert_for`].
    ///
    /// # Errors
    /// The same.
    #[cfg(feature = "serde")]
    pub fn insert_for<T: serde_core::Serialize>(
        &self,
        key: &str,
        value: T,
        lifetime: std::time::Duration,
    ) -> Result<(), Error> {
        self.session.insert_for(&self.whole(key), value, lifetime)
    }

    /// See [`Session::insert_quick`].
    ///
    /// # Errors
    /// The same.
    #[cfg(feature = "serde")]
    pub fn insert_quick<T: serde_core::Serialize>(&self, key: &str, value: T) -> Result<(), Error> {
        self.session.insert_quick(&self.whole(key), value)
    }

    /// See [`Session::update`].
    ///
    /// # Errors
    /// The same.
    #[cfg(feature = "serde")]
    pub fn update<T>(&self, key: &str, change: impl FnMut(Option<T>) -> T + Send + 'static) -> Result<T, Error>
    where
        T: serde_core::Serialize + serde_core::de::DeserializeOwned,
    {
        self.session.update(&self.whole(key), change)
    }

    /// See [`Session::insert_bytes`].
    ///
    /// # Errors
    /// The same.
    #[cfg(feature = "serde")]
    pub fn insert_bytes(&self, key: &str, bytes: impl AsRef<[u8]>) -> Result<(), Error> {
        self.session.insert_bytes(&self.whole(key), bytes)
    }

    /// See [`Session::bytes`].
    ///
    /// # Errors
    /// The same.
    #[cfg(feature = "serde")]
    pub fn bytes(&self, key: &str) -> Result<Option<bytes::Bytes>, Error> {
        self.session.bytes(&self.whole(key))
    }

    /// See [`Session::insert_model`].
    ///
    /// # Errors
    /// The same.
    pub fn insert_model<M: Model>(&self, key: &str, model: &M) -> Result<(), Error> {
        self.session.insert_model(&self.whole(key), model)
    }

    /// See [`Session::view`].
    ///
    /// # Errors
    /// The same.
    pub fn view<M: Model>(&self, key: &str) -> Result<Option<View<M>>, Error> {
        self.session.view(&self.whole(key))
    }

    /// See [`Session::model`].
    ///
    /// # Errors
    /// The same.
    pub fn model<M: Model>(&self, key: &str) -> Result<Option<M>, Error> {
        self.session.model(&self.whole(key))
    }

    /// See [`Session::update_model`].
    ///
    /// # Errors
    /// The same.
    pub fn update_model<M>(&self, key: &str, change: impl FnMut(&mut M) + Send + 'static) -> Result<M, Error>
    where
        M: Model + Default,
    {
        self.session.update_model(&self.whole(key), change)
    }

    /// See [`Session::entry`].
    pub fn entry(&self, key: &str) -> Option<Entry> {
        self.session.entry(&self.whole(key))
    }

    /// See [`Session::remove`].
    ///
    /// # Errors
    /// The same.
    pub fn remove(&self, key: &str) -> Result<bool, Error> {
        self.session.remove(&self.whole(key))
    }

    /// See [`Session::remove_quick`].
    ///
    /// # Errors
    /// The same.
    pub fn remove_quick(&self, key: &str) -> Result<bool, Error> {
        self.session.remove_quick(&self.whole(key))
    }

    /// See [`Session::contains_key`].
    pub fn contains_key(&self, key: &str) -> bool {
        self.session.contains_key(&self.whole(key))
    }

    /// Returns the scope's keys without its name, in the order of the session's keys. Keys of a scope within it are `name:key`.
    pub fn keys(&self) -> Vec<String> {
        let keys = self.session.keys().into_iter();
        keys.filter_map(|key| key.strip_prefix(&self.prefix).map(unescaped)).collect()
    }

    /// See [`Session::clear_scope`].
    pub fn clear(&self) {
        // Values of this crate itself belong to no scope.
        if check_key(&self.prefix).is_ok() {
            self.session.state().clear_prefix(&self.prefix);
        }
    }

    /// Returns the scope `name` within this one.
    #[must_use]
    pub fn scope(&self, name: &str) -> Self {
        Self { session: self.session.clone(), prefix: format!("{}{name}{SEPARATOR}", self.prefix) }
    }

    /// Returns the session that this is a part of.
    pub fn session(&self) -> &Session {
        &self.session
    }

    fn whole(&self, key: &str) -> String {
        format!("{}{}", self.prefix, escaped(key))
    }
}

/// Returns the key with its separators escaped.
fn escaped(key: &str) -> Cow<'_, str> {
    if key.contains(['%', SEPARATOR]) { key.replace('%', "%25").replace(SEPARATOR, "%3A").into() } else { key.into() }
}

fn unescaped(key: &str) -> String {
    key.replace("%3A", ":").replace("%25", "%")
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.prefix.strip_suffix(SEPARATOR).unwrap_or_default();
        f.debug_struct("Scope").field("name", &name).field("session", &self.session).finish()
    }
}
