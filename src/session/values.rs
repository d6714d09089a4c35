//! Reads, sets and removes a session's values.

use sessile_codec::{Entry, EntryRef};

use super::{Session, check_key, merge::is_over, state::is_same};
use crate::Error;

/// How often [`Session::update`] recomputes a value because another clone of the session wrote the key meanwhile. Enough for as
/// many threads on one session; a closure that writes the key itself must not loop forever.
const MOST_TRIES: u32 = 1000;

impl Session {
    /// Returns the value under `key`, as a serde type; `None` if there is none.
    ///
    /// A value that is `None` counts as no value, unless it is read as an `Option` itself. To borrow text or bytes from the
    /// session instead of copying them, see [`entry`](Self::entry).
    ///
    /// # Errors
    /// [`Error::Codec`] if the stored value is not a `T`.
    ///
    /// # Examples
    /// ```
    /// # let session = sessile::testing::session();
    /// session.insert("referrer", None::<String>)?;
    /// assert_eq!(session.get::<String>("referrer")?, None);
    /// assert_eq!(session.get::<Option<String>>("referrer")?, Some(None));
    /// assert_eq!(session.get::<String>("nothing")?, None);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[cfg(feature = "serde")]
    pub fn get<T: serde_core::de::DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        check_key(key)?;
        self.state().get_ref(key).filter(|entry| self.is_current(*entry)).map_or(Ok(None), value_of)
    }

    /// Sets the value under `key`, of a serde type.
    ///
    /// [`get`](Self::get) reads every accepted value as the same type, exactly. A value that serde could not read again is
    /// refused: for example an `i128` or `u128` in a type of the application's own, which may be buffered in an untagged enum,
    /// where serde cannot hold it.
    ///
    /// # Errors
    /// [`Error::Codec`] if the value cannot be represented exactly or read again, is nested too deep, or makes the session too large;
    /// [`Error::ReservedKey`]. The session is then unchanged.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// # let session = store.session(None)?;
    /// session.insert("cart", [7_u64, 9])?;
    /// assert_eq!(session.get::<Vec<u64>>("cart")?, Some(vec![7, 9]));
    /// assert!(matches!(session.insert("sessile.mine", 1), Err(sessile::Error::ReservedKey)));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[cfg(feature = "serde")]
    #[doc(alias = "set")]
    pub fn insert<T: serde_core::Serialize>(&self, key: &str, value: T) -> Result<(), Error> {
        check_key(key)?;
        let entry = Entry::serde(&value, self.store().limits())?;
        self.state().set(key, entry, self.store().limits())
    }

    /// Sets a value like [`insert`](Self::insert), for the time `lifetime` from now: afterwards it reads as absent. The
    /// session's own timeouts do not change, and it may end earlier.
    ///
    /// For what a second factor, a confirmed password or a short-lived offer allows.
    ///
    /// # Errors
    /// See [`insert`](Self::insert).
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// use sessile::{Store, testing::ManualClock};
    ///
    /// let clock = ManualClock::default();
    /// let store = Store::builder().clock(clock.clone()).open_in_memory()?;
    /// let session = store.session(None)?;
    /// session.insert_for("sudo", true, Duration::from_mins(10))?;
    /// assert!(session.contains_key("sudo"));
    /// clock.advance(Duration::from_mins(10));
    /// assert!(!session.contains_key("sudo"));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[cfg(feature = "serde")]
    pub fn insert_for<T: serde_core::Serialize>(
        &self,
        key: &str,
        value: T,
        lifetime: std::time::Duration,
    ) -> Result<(), Error> {
        check_key(key)?;
        let until_ms = self.store().now_ms().saturating_add(crate::clock::duration_ms(lifetime));
        let entry = Entry::serde(&value, self.store().limits())?.with_until_ms(until_ms);
        self.state().set(key, entry, self.store().limits())
    }

    /// Sets a value like [`insert`](Self::insert), in memory only: it costs no I/O, and a crash may undo it.
    ///
    /// It is written with the session's next change that is not quick, when memory needs the room, at
    /// [`Store::flush`](crate::Store::flush) and when the store is closed. A crash before that undoes only quick changes. For
    /// values that may be lost: the last page seen, a scroll position.
    ///
    /// # Errors
    /// See [`insert`](Self::insert).
    ///
    /// # Examples
    /// ```
    /// # let session = sessile::testing::session();
    /// session.insert("user", "Ada")?;
    /// session.save().wait()?;
    /// session.insert_quick("last_page", "/news")?;
    /// session.save().wait()?; // at once
    /// assert_eq!(session.get("last_page")?, Some("/news".to_owned()));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[cfg(feature = "serde")]
    pub fn insert_quick<T: serde_core::Serialize>(&self, key: &str, value: T) -> Result<(), Error> {
        check_key(key)?;
        let entry = Entry::serde(&value, self.store().limits())?;
        self.state().set_quick(key, entry, self.store().limits())
    }

    /// Changes the value under `key`, correctly even when other requests change it too, and returns the new value.
    ///
    /// `change` gets the current value, `None` if there is none, and returns the new one. It runs now, and again at commit if
    /// another request wrote `key` meanwhile, so keep it free of side effects. It may use the store and this session, except
    /// that a [`save`](Self::save) within a commit returns [`Error::NestedSave`].
    ///
    /// # Errors
    /// Those of [`get`](Self::get) and [`insert`](Self::insert); the session is then unchanged.
    ///
    /// # Examples
    /// ```
    /// # let session = sessile::testing::session();
    /// session.update("visits", |n: Option<u32>| n.unwrap_or(0) + 1)?;
    /// assert_eq!(session.get("visits")?, Some(1u32));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[cfg(feature = "serde")]
    pub fn update<T>(&self, key: &str, mut change: impl FnMut(Option<T>) -> T + Send + 'static) -> Result<T, Error>
    where
        T: serde_core::Serialize + serde_core::de::DeserializeOwned,
    {
        let limits = *self.store().limits();
        self.update_entry(key, move |old| {
            let value = change(old.map_or(Ok(None), |entry| value_of(entry.as_ref()))?);
            let entry = Entry::serde(&value, &limits)?;
            Ok((value, entry))
        })
    }

    /// Sets the value under `key` to what `compute` makes of the current one, now, and again at commit if another request wrote
    /// it meanwhile. Returns the value that was made now.
    pub(super) fn update_entry<T>(
        &self,
        key: &str,
        mut compute: impl FnMut(Option<&Entry>) -> Result<(T, Entry), Error> + Send + 'static,
    ) -> Result<T, Error> {
        check_key(key)?;
        let limits = *self.store().limits();
        let mut tries = 0..MOST_TRIES;
        loop {
            let old = self.entry(key);
            // Without the session's lock: this runs the application's code.
            let (value, entry) = compute(old.as_ref())?;
            let mut state = self.state();
            let now = state.get_ref(key).filter(|entry| self.is_current(*entry));
            let is_unchanged = match (&old, now) {
                (Some(old), Some(now)) => is_same(old.as_ref(), now),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            };
            if !is_unchanged && tries.next().is_some() {
                continue;
            }
            let again = move |old: Option<&Entry>| compute(old).map(|(_, entry)| Some(entry));
            state.update(key, Some(entry), Box::new(again), &limits)?;
            return Ok(value);
        }
    }

    /// Sets the value under `key` to bytes: an avatar, a fragment of a page, a token of another service. [`bytes`](Self::bytes)
    /// reads them without a copy.
    ///
    /// # Errors
    /// See [`insert`](Self::insert).
    ///
    /// # Examples
    /// ```
    /// # let session = sessile::testing::session();
    /// session.insert_bytes("avatar", b"<svg/>")?;
    /// assert_eq!(session.bytes("avatar")?.unwrap(), "<svg/>");
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[cfg(feature = "serde")]
    pub fn insert_bytes(&self, key: &str, bytes: impl AsRef<[u8]>) -> Result<(), Error> {
        check_key(key)?;
        let entry = Entry::of_bytes(bytes.as_ref(), self.store().limits())?;
        self.state().set(key, entry, self.store().limits())
    }

    /// Returns the bytes under `key`, or those of a text; `None` if there is none. They share the session's record, so nothing
    /// is copied: an axum handler can return them as a response's body. While they are kept, the whole record stays in memory.
    ///
    /// # Errors
    /// [`Error::Codec`] if the stored value is neither bytes nor text.
    ///
    /// # Examples
    /// ```
    /// # use axum::{body::Bytes, http::StatusCode};
    /// # use sessile::{Error, Session};
    /// async fn avatar(session: Session) -> Result<Bytes, Error> {
    ///     Ok(session.bytes("avatar")?.unwrap_or_default())
    /// }
    ///
    /// # let session = sessile::testing::session();
    /// session.insert_bytes("avatar", [1, 2, 3])?;
    /// let (one, other) = (session.bytes("avatar")?.unwrap(), session.bytes("avatar")?.unwrap());
    /// assert_eq!(one.as_ptr(), other.as_ptr());
    /// # Ok::<(), Error>(())
    /// ```
    #[cfg(feature = "serde")]
    pub fn bytes(&self, key: &str) -> Result<Option<bytes::Bytes>, Error> {
        check_key(key)?;
        Ok(self.entry(key).map(Entry::into_bytes).transpose()?)
    }

    /// Returns the value under `key` as it is stored, to borrow from.
    ///
    /// # Examples
    /// ```
    /// # let session = sessile::testing::session();
    /// session.insert("name", "Ada")?;
    /// let name = session.entry("name").unwrap();
    /// assert_eq!(name.get::<&str>()?, "Ada");
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn entry(&self, key: &str) -> Option<Entry> {
        check_key(key).ok()?;
        self.state().get(key).filter(|entry| self.is_current(entry.as_ref()))
    }

    /// Removes the value under `key`. Returns whether there was one.
    ///
    /// # Errors
    /// [`Error::ReservedKey`].
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// # let session = store.session(None)?;
    /// session.insert("cart", 7)?;
    /// assert!(session.remove("cart")?);
    /// assert!(!session.remove("cart")?);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn remove(&self, key: &str) -> Result<bool, Error> {
        let was_there = self.contains_key(key);
        check_key(key)?;
        self.state().remove(key);
        Ok(was_there)
    }

    /// Removes a value like [`remove`](Self::remove), in memory only: see [`insert_quick`](Self::insert_quick).
    ///
    /// # Errors
    /// [`Error::ReservedKey`].
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// # let session = store.session(None)?;
    /// session.insert_quick("position", 7)?;
    /// assert!(session.remove_quick("position")?);
    /// assert!(!session.contains_key("position"));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn remove_quick(&self, key: &str) -> Result<bool, Error> {
        let was_there = self.contains_key(key);
        check_key(key)?;
        self.state().remove_quick(key);
        Ok(was_there)
    }

    /// Whether there is a value under `key`.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// # let session = store.session(None)?;
    /// session.insert("cart", None::<u64>)?;
    /// assert!(session.contains_key("cart"), "there is a value, which is `None`");
    /// assert!(!session.contains_key("theme"));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn contains_key(&self, key: &str) -> bool {
        check_key(key).is_ok() && self.state().get_ref(key).is_some_and(|entry| self.is_current(entry))
    }

    /// Returns all keys, in order.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// # let session = store.session(None)?;
    /// session.insert("theme", "dark")?;
    /// session.insert("cart", 7)?;
    /// assert_eq!(session.keys(), ["cart", "theme"]);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn keys(&self) -> Vec<String> {
        let state = self.state();
        let mut keys = state.keys();
        keys.retain(|key| check_key(key).is_ok() && state.get_ref(key).is_some_and(|entry| self.is_current(entry)));
        keys
    }

    /// Removes every value, including unread messages. The session itself continues; see [`destroy`](Self::destroy).
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// # let session = store.session(None)?;
    /// session.sign_in("ada")?;
    /// session.insert("cart", 7)?;
    /// session.clear();
    /// assert!(session.keys().is_empty());
    /// assert_eq!(session.owner().unwrap().as_str(), "ada", "it goes on as hers");
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[doc(alias = "flush")]
    pub fn clear(&self) {
        self.state().clear();
    }

    /// Whether the value has not expired.
    fn is_current(&self, entry: EntryRef<'_>) -> bool {
        entry.until_ms() == 0 || !is_over(entry, self.store().now_ms())
    }
}

/// Returns the value, or `None` for one that is `None` and is read as another type.
#[cfg(feature = "serde")]
fn value_of<T: serde_core::de::DeserializeOwned>(entry: EntryRef<'_>) -> Result<Option<T>, Error> {
    match entry.get() {
        Ok(value) => Ok(Some(value)),
        Err(_) if entry.is_nil() => Ok(None),
        Err(error) => Err(error.into()),
    }
}
