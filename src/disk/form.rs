//! The form of a store's records on disk: plain or sealed.
//!
//! Invariants: all records of a store have one form, which its `meta` table names; a record that cannot be opened is never read
//! in another way.
#![cfg_attr(
    not(feature = "encryption"),
    expect(unused_variables, clippy::unnecessary_wraps, clippy::unused_self, reason = "sealing needs all of it, and can fail")
)]

use std::{fmt, path::Path};

use sessile_codec::{Error as CodecError, Limits, Meta, Record};
use zeroize::Zeroizing;

use super::meta::StoreMeta;
#[cfg(feature = "encryption")]
use super::sealed::{self, RecordSealer};
#[cfg(all(feature = "foreign", feature = "encryption"))]
use crate::error::Cause;
use crate::{
    Error,
    token::{Handle, Key},
};
#[cfg(feature = "encryption")]
use crate::{
    Keys,
    error::SealKeyId,
    keys::{CannotOpen, VERSION},
};

/// The layout of sealed records that this build writes and reads.
pub(super) const FORMAT: u32 = 1;

/// The keys that the application wants its records sealed with, if any.
#[derive(Clone, Debug, Default)]
pub(crate) struct Encryption {
    #[cfg(feature = "encryption")]
    pub(crate) keys: Option<Keys>,
}

/// How records are written and read.
#[derive(Debug)]
pub(super) enum AtRest {
    Plain,
    #[cfg(feature = "encryption")]
    Sealed(Box<RecordSealer>),
}

/// The fields that can be read without opening the record. Unchecked: for indexes, never for serving.
#[derive(Clone, Copy, Debug)]
pub(super) struct IndexedFields {
    /// If the record is sealed: the last moment of the minute in which its session ends.
    pub(super) deadline_ms: u64,
    pub(super) owner: [u8; 16],
}

/// Why stored bytes are not a record.
#[derive(Clone, Debug)]
pub(crate) enum Unreadable {
    Codec(CodecError),
    /// The sealed bytes were changed, or moved to another key.
    #[cfg(feature = "encryption")]
    Altered,
    /// Sealed with a key that is not configured; it may be a good record.
    #[cfg(feature = "encryption")]
    UnknownKey(SealKeyId),
    /// Sealed by another release; it may be a good record.
    #[cfg(feature = "encryption")]
    OtherSeal(u8),
}

impl Encryption {
    /// Returns the form of a new store.
    pub(super) fn form(&self, store_id: [u8; 16]) -> AtRest {
        #[cfg(feature = "encryption")]
        if let Some(keys) = &self.keys {
            return AtRest::Sealed(Box::new(RecordSealer::new(keys, store_id)));
        }
        AtRest::Plain
    }

    /// Returns the form of the store at `path`, whose `meta` table is `meta`.
    pub(super) fn form_of(&self, meta: &StoreMeta, path: &Path) -> Result<AtRest, Error> {
        let path = path.into();
        match (self.form(meta.store_id), meta.sealed) {
            (AtRest::Plain, Some(_)) => Err(Error::Encrypted { path }),
            #[cfg(feature = "encryption")]
            (AtRest::Sealed(_), None) => Err(Error::NotEncrypted { path }),
            #[cfg(feature = "encryption")]
            (AtRest::Sealed(_), Some(found)) if found != FORMAT => Err(Error::StoreFormat { path, found, expected: FORMAT }),
            (form, _) => Ok(form),
        }
    }
}

impl AtRest {
    pub(super) fn is_sealed(&self) -> bool {
        !matches!(self, Self::Plain)
    }

    /// Returns a secret of the store in its form for the `meta` table.
    pub(super) fn seal_secret(&self, secret: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        match self {
            Self::Plain => Ok(Zeroizing::new(secret.to_vec())),
            #[cfg(feature = "encryption")]
            Self::Sealed(sealed) => sealed.seal_secret(secret),
        }
    }

    /// Returns that secret, and whether it should be sealed again because an old key sealed it.
    pub(super) fn open_secret(&self, stored: &[u8], path: &Path) -> Result<(Zeroizing<Vec<u8>>, bool), Error> {
        match self {
            Self::Plain => Ok((Zeroizing::new(stored.to_vec()), false)),
            #[cfg(feature = "encryption")]
            Self::Sealed(sealed) => sealed.open_secret(stored).map_err(|why| match why {
                CannotOpen::UnknownKey(key) => self.unknown_key(key, path),
                CannotOpen::OtherVersion(found) => Error::SealVersion { found, expected: VERSION },
                CannotOpen::Altered => Error::SealBroken { path: path.into() },
            }),
        }
    }

    /// Returns the error that the file at `path` was sealed with `key`, which is not configured.
    #[cfg(feature = "encryption")]
    pub(super) fn unknown_key(&self, key: SealKeyId, path: &Path) -> Error {
        let known = match self {
            Self::Plain => Box::default(),
            Self::Sealed(sealed) => sealed.ids(),
        };
        Error::UnknownSealKey { path: path.into(), key, known }
    }

    /// Returns the number of bytes that `record` takes.
    pub(super) fn len_bytes(&self, record: &Record) -> usize {
        let len = record.bytes().len();
        match self {
            Self::Plain => len,
            #[cfg(feature = "encryption")]
            Self::Sealed(_) => sealed::OVERHEAD + len,
        }
    }

    /// Writes `record`, which is under `key`, into `into`, which has [`len_bytes`](Self::len_bytes).
    pub(super) fn write(&self, into: &mut [u8], key: &Key, record: &Record) -> Result<(), Error> {
        match self {
            Self::Plain => into.copy_from_slice(record.bytes()),
            #[cfg(feature = "encryption")]
            Self::Sealed(sealed) => sealed.write(into, key, record)?,
        }
        Ok(())
    }

    /// Reads the record in `bytes`, which was stored under `key`.
    pub(super) fn read(&self, bytes: &[u8], key: &Key) -> Result<Record, Unreadable> {
        let check = |bytes: &[u8]| Record::check(bytes, key, Limits::UNLIMITED.record_bytes).map_err(Unreadable::Codec);
        match self {
            Self::Plain => check(bytes),
            #[cfg(feature = "encryption")]
            Self::Sealed(sealed) => check(sealed.open(&mut bytes.to_vec(), key)?),
        }
    }

    /// Whether `bytes` are sealed with a key other than the current one.
    #[cfg(feature = "sealed")]
    pub(super) fn is_outdated(&self, bytes: &[u8]) -> bool {
        match self {
            Self::Plain => false,
            #[cfg(feature = "encryption")]
            Self::Sealed(sealed) => sealed.is_outdated(bytes),
        }
    }

    /// Returns the fields of `bytes` that can be read without opening them.
    pub(super) fn outline(&self, bytes: &[u8]) -> Option<IndexedFields> {
        match self {
            Self::Plain => Meta::peek(bytes).map(|meta| IndexedFields { deadline_ms: meta.deadline_ms(), owner: meta.owner }),
            #[cfg(feature = "encryption")]
            Self::Sealed(_) => sealed::outline(bytes),
        }
    }

    /// Returns the handle of the session whose record is `bytes`, for a notification that it has ended; `None` if it cannot be
    /// read.
    pub(super) fn handle(&self, bytes: &[u8], key: &Key) -> Option<Handle> {
        let meta = match self {
            Self::Plain => Meta::peek(bytes)?,
            #[cfg(feature = "encryption")]
            Self::Sealed(_) => self.read(bytes, key).ok()?.meta(),
        };
        (meta.handle != 0).then(|| Handle::of(&meta))
    }

    /// Whether `bytes` are not a record of any release.
    pub(super) fn is_damaged(&self, bytes: &[u8], key: &Key) -> bool {
        self.read(bytes, key).is_err_and(|error| error.is_damage())
    }
}

impl Unreadable {
    /// Whether the bytes are broken, rather than from another release or sealed with another key.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Self::Codec(error) => is_damage(error),
            #[cfg(feature = "encryption")]
            Self::Altered => true,
            #[cfg(feature = "encryption")]
            Self::UnknownKey(_) | Self::OtherSeal(_) => false,
        }
    }
}

#[cfg(feature = "foreign")]
impl Unreadable {
    /// Converts it into the error for a caller that would overwrite the record.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Codec(error) => error.into(),
            #[cfg(feature = "encryption")]
            Self::OtherSeal(found) => Error::SealVersion { found, expected: VERSION },
            #[cfg(feature = "encryption")]
            error => Error::Degraded { source: Cause::text(error.to_string()) },
        }
    }
}

/// Whether a record's bytes are broken, rather than written by another release.
pub(super) fn is_damage(error: &CodecError) -> bool {
    !matches!(error, CodecError::FormatVersion { .. } | CodecError::FormatMismatch { .. })
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Codec(error) => error.fmt(f),
            #[cfg(feature = "encryption")]
            Self::Altered => {
                f.write_str("the sealed record was changed, or belongs to another session; restore a backup if it matters")
            }
            #[cfg(feature = "encryption")]
            Self::UnknownKey(key) => write!(f, "the record was sealed with the key {key}; add it with `Keys::accept`"),
            #[cfg(feature = "encryption")]
            Self::OtherSeal(found) => Error::SealVersion { found: *found, expected: VERSION }.fmt(f),
        }
    }
}
