//! The values of another crate's session, and the names that they are stored under.

use std::{borrow::Cow, collections::HashMap};

use serde_core::de::DeserializeOwned;
use sessile_codec::{Entry, Limits, Patch, Record};

use crate::{Error, error::CodecError};

/// The prefix of this crate's own names.
pub(super) const RESERVED: &str = "sessile.";
/// The name of a session's group. It dates from when only sessions of `axum_session` had one.
pub(super) const GROUP: &str = "sessile.table";
/// The prefix of a foreign key that is empty, reserved, or begins with this character.
const ESCAPE: char = '\0';
/// The length of a name is checked where a session is stored.
pub(super) const ANY_NAME: Limits = Limits { key_bytes: usize::MAX, ..Limits::UNLIMITED };

/// All values of a session to store; from [`Sessions::values`](super::Sessions::values).
#[derive(Clone, Debug, Default)]
pub struct Values(pub(super) Patch);

impl Values {
    /// Adds the session to this group, such as a table of the other crate. A session stays in its group.
    ///
    /// # Errors
    /// [`Error::Codec`] if the name is too long to be stored.
    pub fn in_group(mut self, group: &str) -> Result<Self, Error> {
        self.0.set(GROUP, Entry::serde(group, &Limits::UNLIMITED)?, &Limits::UNLIMITED)?;
        Ok(self)
    }
}

/// A loaded session.
#[derive(Clone, Debug)]
pub struct Loaded(pub(super) Record);

impl Loaded {
    /// Returns the value under `key`; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::Codec`] if it is not a `T`.
    pub fn get<'a, T: serde_core::Deserialize<'a>>(&'a self, key: &str) -> Result<Option<T>, Error> {
        Ok(self.0.get(&stored_name(key)).map(|value| value.get()).transpose()?)
    }

    /// Returns every key with its value.
    ///
    /// # Errors
    /// [`Error::Codec`] instead of a value that is not a `T`.
    pub fn values<T: DeserializeOwned>(&self) -> impl Iterator<Item = Result<(String, T), Error>> {
        let foreign = self.0.iter().filter(|(name, _)| !name.starts_with(RESERVED));
        foreign.map(|(name, value)| Ok((key_of(name).to_owned(), value.get()?)))
    }

    /// Returns them as a map with enough capacity: a growing map would hash its keys again several times.
    ///
    /// # Errors
    /// [`Error::Codec`] if a value is not a `T`.
    pub fn to_map<T: DeserializeOwned>(&self) -> Result<HashMap<String, T>, Error> {
        let mut values = HashMap::with_capacity(self.0.len());
        for value in self.values() {
            let (key, value) = value?;
            values.insert(key, value);
        }
        Ok(values)
    }

    /// Returns when the session ends, in milliseconds since 1970.
    pub fn ends_ms(&self) -> u64 {
        self.0.meta().absolute_deadline_ms
    }
}

/// Returns the name of the entry for a key of the other crate.
pub(super) fn stored_name(key: &str) -> Cow<'_, str> {
    if key.is_empty() || key.starts_with(ESCAPE) || key.starts_with(RESERVED) {
        Cow::Owned(format!("{ESCAPE}{key}"))
    } else {
        Cow::Borrowed(key)
    }
}

/// Returns the key of the other crate that is stored under `name`.
pub(super) fn key_of(name: &str) -> &str {
    name.strip_prefix(ESCAPE).unwrap_or(name)
}

pub(super) fn check_key(key: &str, limit_bytes: usize) -> Result<(), Error> {
    if key.len() > limit_bytes {
        return Err(CodecError::BadKey { found_bytes: key.len(), limit_bytes }.into());
    }
    Ok(())
}

pub(super) fn sets(values: &Patch) -> impl Iterator<Item = (&str, &Entry)> {
    values.keys().filter_map(|(name, _)| Some((name, values.get(name)??)))
}
