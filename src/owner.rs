//! The owner of a session, in one canonical form.
//!
//! An application identifies its users by integers, texts or UUIDs, and not always by the same type: a number in the database
//! is a text in a form. So an owner is always a text, and the same user is the same owner.
//!
//! A record's header contains the owner's hash, which the index of owners uses. The record also contains the text, so that a
//! session can return its owner.

use std::fmt;

use sessile_codec::{Entry, Limits, Model, ModelPart, Shape, Tag, rkyv, shape};
use sha2::{Digest, Sha256};

use crate::Error;

/// A user of the application, to whom sessions belong.
///
/// Every method with an owner takes `impl Into<Owner>`: integers, texts, UUIDs (feature `uuid-1`) and owners themselves. An
/// owner is a text: an integer becomes its decimal digits, a UUID its 36 lower-case characters. So `7_u64`, `7_i32` and `"7"`
/// are one owner, and so are a UUID and its text. A text is used unchanged: `"Ada"` and `"ada"` are two owners.
///
/// # Examples
/// ```
/// use sessile::Owner;
///
/// assert_eq!(Owner::from(7_u64), Owner::from("7"));
/// assert_eq!(Owner::from(-7).as_str(), "-7");
/// assert_eq!(Owner::from_bytes(&[0x0a, 0xff]).as_str(), "0x0aff");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(Box<str>);

/// The hash of an owner in a record's header.
pub(crate) type OwnerHash = [u8; 16];

/// In a header: the session has no owner.
pub(crate) const NOBODY: OwnerHash = [0; 16];

/// The longest owner: more than an e-mail address (254) or the issuer and subject of an OpenID token (255 and some).
const MOST_BYTES: usize = 1024;

/// The owner's key in a record.
pub(crate) const KEY: &str = "sessile.owner";

impl Owner {
    /// Creates the owner with an id of these bytes: `0x` and their hexadecimal digits. For ids that are neither text, integer
    /// nor UUID.
    #[must_use]
    pub fn from_bytes(id: &[u8]) -> Self {
        let digits =
            id.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]));
        Self("0x".chars().chain(digits).collect::<String>().into())
    }

    /// Returns the canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the hash; never [`NOBODY`], as far as SHA-256 guarantees.
    pub(crate) fn hash(&self) -> OwnerHash {
        let hash = Sha256::new_with_prefix(b"sessile owner").chain_update(self.0.as_bytes()).finalize();
        *hash.first_chunk().expect("a SHA-256 has 32 bytes")
    }

    /// Returns the entry for a record.
    pub(crate) fn entry(&self, limits: &Limits) -> Result<Entry, Error> {
        if self.0.is_empty() || self.0.len() > MOST_BYTES {
            return Err(Error::BadOwner { found_bytes: self.0.len(), limit_bytes: MOST_BYTES });
        }
        Ok(Entry::model(&Text(self.0.as_ref().to_owned()), limits)?)
    }

    /// Returns the owner in an entry.
    pub(crate) fn of_entry(entry: &Entry) -> Option<Self> {
        Some(Self(entry.view::<Text>().ok()?.0.as_str().into()))
    }
}

#[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
#[rkyv(crate = sessile_codec::rkyv)]
struct Text(String);

impl ModelPart for Text {
    const SHAPE: &'static Shape = shape!(0: String);
}

impl Model for Text {
    const TAG: Tag = Tag::new("owner");
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<&Self> for Owner {
    fn from(owner: &Self) -> Self {
        owner.clone()
    }
}

impl From<&str> for Owner {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Owner {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&String> for Owner {
    fn from(text: &String) -> Self {
        Self(text.as_str().into())
    }
}

macro_rules! from_integers {
    ($($integer:ty)*) => {
        $(impl From<$integer> for Owner {
            fn from(id: $integer) -> Self {
                Self(id.to_string().into())
            }
        })*
    };
}

from_integers! { u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize }

#[cfg(feature = "uuid-1")]
impl From<uuid_1::Uuid> for Owner {
    fn from(id: uuid_1::Uuid) -> Self {
        Self(id.hyphenated().to_string().into())
    }
}

#[cfg(feature = "uuid-1")]
impl From<&uuid_1::Uuid> for Owner {
    fn from(id: &uuid_1::Uuid) -> Self {
        Self::from(*id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_is_one_owner_in_whatever_type() {
        let seven =
            [Owner::from(7_u8), Owner::from(7_i128), Owner::from(7_usize), Owner::from("7"), Owner::from("7".to_owned())];
        assert!(seven.iter().all(|owner| *owner == seven[0] && owner.hash() == seven[0].hash()));
        assert_ne!(Owner::from("07").hash(), seven[0].hash());
        assert_eq!(Owner::from(i64::MIN).as_str(), "-9223372036854775808");
        assert_eq!(Owner::from_bytes(&[]).as_str(), "0x");
    }

    #[cfg(feature = "uuid-1")]
    #[test]
    fn a_uuid_and_its_text_are_one_owner() {
        let id = uuid_1::Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        assert_eq!(Owner::from(id), Owner::from("01234567-89ab-cdef-0123-456789abcdef"));
        assert_eq!(Owner::from(&id).hash(), Owner::from(id).hash());
    }

    #[test]
    fn an_owner_comes_back_from_its_entry_unless_it_is_empty_or_too_long() {
        let limits = Limits::default();
        for text in ["a", "ada@example.com", &*"x".repeat(MOST_BYTES)] {
            assert_eq!(Owner::of_entry(&Owner::from(text).entry(&limits).unwrap()), Some(Owner::from(text)));
        }
        for text in ["", &*"x".repeat(MOST_BYTES + 1)] {
            let error = Owner::from(text).entry(&limits).unwrap_err();
            assert!(matches!(error, Error::BadOwner { found_bytes, limit_bytes: 1024 } if found_bytes == text.len()));
        }
    }
}
