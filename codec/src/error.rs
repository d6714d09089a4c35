//! What can be wrong with bytes, values and keys, as one enum.
//!
//! Invariant: a message contains what was found, what was expected and what to do, and never a session's values.

use std::{any::TypeId, fmt};

use crate::{Fingerprint, Layout, Tag, unix_time::TimeOutOfRange};

/// Why bytes are not a record, or why a value cannot be stored or read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// Fewer bytes than the smallest record has.
    TooShort {
        /// Length of the bytes.
        found_bytes: usize,
        /// Length of the smallest record.
        expected_bytes: usize,
    },
    /// The bytes do not begin as a record does.
    WrongMagic {
        /// The first four bytes.
        found: [u8; 4],
    },
    /// The record has another version of the format.
    FormatVersion {
        /// Version of the record.
        found: u8,
        /// Version that this build writes and reads.
        expected: u8,
    },
    /// The record was written by a build with other rkyv features, which change the layout of archives.
    FormatMismatch {
        /// Layout of the record.
        found: Layout,
        /// Layout of this build.
        expected: Layout,
    },
    /// The header contains another length than the bytes have.
    WrongLength {
        /// Length of the bytes.
        found_bytes: usize,
        /// Length in the header.
        expected_bytes: usize,
    },
    /// The checksum does not match: the bytes are damaged, or belong to another record key.
    Checksum {
        /// Checksum in the header.
        found: u32,
        /// Checksum of the bytes and the record key.
        expected: u32,
    },
    /// The checksum matches, but the archive after the header is not one that this crate writes.
    BadArchive,
    /// A value or an archive is nested deeper than [`MAX_DEPTH`](crate::MAX_DEPTH).
    TooDeep {
        /// Levels allowed.
        limit: usize,
    },
    /// One value is larger than a whole record may be.
    ValueTooLarge {
        /// Size of the encoded value, or the size at which writing a model passed the limit.
        found_bytes: usize,
        /// Largest size allowed.
        limit_bytes: usize,
    },
    /// The record would be larger than allowed.
    RecordTooLarge {
        /// Size of the record, or the size at which writing it passed the limit.
        found_bytes: usize,
        /// Largest size allowed.
        limit_bytes: usize,
    },
    /// The record would have more keys than allowed.
    TooManyKeys {
        /// Number of keys.
        found: usize,
        /// Largest number allowed.
        limit: usize,
    },
    /// A key is empty or longer than allowed.
    BadKey {
        /// Length of the key.
        found_bytes: usize,
        /// Largest length allowed.
        limit_bytes: usize,
    },
    /// A value was stored in one lane and is read in the other.
    WrongLane {
        /// Lane of the stored value.
        found: &'static str,
        /// Lane that the call reads.
        expected: &'static str,
    },
    /// The stored model is of another type.
    WrongModel {
        /// Tag of the stored model.
        found: Tag,
        /// Tag of the type that the call reads.
        expected: Tag,
    },
    /// The stored model was written by a newer build of the application.
    ModelFromFuture {
        /// Tag of the model.
        tag: Tag,
        /// Version of the stored model.
        found: u16,
        /// Version of this build's type.
        expected: u16,
    },
    /// The stored model is of an older version, and the type has no migration from it.
    NoMigration {
        /// Tag of the model.
        tag: Tag,
        /// Version of the stored model.
        found: u16,
        /// Version of this build's type.
        expected: u16,
    },
    /// The stored model has the version of a type of this build, but not its fields: the fields were changed without a new version.
    ShapeChanged {
        /// Tag of the model.
        tag: Tag,
        /// Version of the stored model.
        version: u16,
        /// Fingerprint of the shape that was stored.
        found: Fingerprint,
        /// Fingerprint of the shape that this build has for the version.
        expected: Fingerprint,
        /// A field or variant of this build's shape that differs, if the fingerprints show it: mostly the first that does.
        field: Option<String>,
    },
    /// The stored value does not have the requested type.
    WrongType {
        /// What did not fit; never the value itself.
        detail: String,
    },
    /// The value cannot be written so that it is read back unchanged.
    Unsupported {
        /// What cannot be represented; never the value itself.
        detail: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { found_bytes, expected_bytes } => {
                write!(f, "a record has at least {expected_bytes} bytes, found {found_bytes}; restore the file from a backup")
            }
            Self::WrongMagic { found } => write!(
                f,
                "a record begins with {:02x?}, found {found:02x?}; these bytes were not written by sessile",
                crate::header::MAGIC
            ),
            Self::FormatVersion { found, expected } => write!(
                f,
                "record format is {found}, this build reads {expected}; open it with the release of sessile that wrote it"
            ),
            Self::FormatMismatch { found, expected } => write!(
                f,
                "record layout is {found}, this build reads {expected}; find with `cargo tree -e features -i rkyv` \
                 the crate that turns on a format feature of rkyv"
            ),
            Self::WrongLength { found_bytes, expected_bytes } => write!(
                f,
                "the header contains the length {expected_bytes}, found {found_bytes} bytes; the record was cut or joined with another"
            ),
            Self::Checksum { found, expected } => write!(
                f,
                "checksum is {found:08x}, the bytes under this record key have {expected:08x}; the record is damaged \
                 or belongs to another key"
            ),
            Self::BadArchive => f.write_str(
                "the checksum is right but the archive is not one that this build writes; something else wrote to the file",
            ),
            Self::TooDeep { limit } => {
                write!(f, "a value is nested more than {limit} levels deep; store it flatter")
            }
            Self::ValueTooLarge { found_bytes, limit_bytes } => write!(
                f,
                "a value has {found_bytes} bytes or more, at most {limit_bytes} are allowed; keep large data elsewhere \
                 and its name in the session, or raise the record limit"
            ),
            Self::RecordTooLarge { found_bytes, limit_bytes } => write!(
                f,
                "the session would have {found_bytes} bytes or more, at most {limit_bytes} are allowed; keep large data \
                 elsewhere and its name in the session, or raise the record limit"
            ),
            Self::TooManyKeys { found, limit } => {
                write!(
                    f,
                    "the session would have {found} keys, at most {limit} are allowed; put a list under one key, or raise the keys limit"
                )
            }
            Self::BadKey { found_bytes, limit_bytes } => {
                write!(
                    f,
                    "a key has {found_bytes} bytes, 1 to {limit_bytes} are allowed; choose another key, or raise the key limit"
                )
            }
            Self::WrongLane { found, expected } => {
                write!(f, "the value was stored as {found}, the call reads {expected}; read it as it was stored")
            }
            Self::WrongModel { found, expected } => {
                write!(f, "the stored model is {found}, the call reads {expected}; read it as the type that was stored")
            }
            Self::ModelFromFuture { tag, found, expected } => write!(
                f,
                "model {tag} has version {found}, this build knows up to {expected}; deploy the newer build again \
                 or let the value be replaced"
            ),
            Self::NoMigration { tag, found, expected } => write!(
                f,
                "model {tag} has version {found}, this build has {expected} and no migration from it; \
                 implement `Model::migrate`"
            ),
            Self::ShapeChanged { tag, version, found, expected, field } => {
                write!(f, "model {tag} of version {version} was stored with the shape {found}, this build has {expected}")?;
                if let Some(field) = field {
                    write!(f, "; they differ at `{field}`")?;
                }
                f.write_str(
                    "; raise the model's version and state the change, or undo it: the value stays as it is until it is set again",
                )
            }
            Self::WrongType { detail } => {
                write!(f, "the stored value has another type: {detail}; read it as the type that was stored")
            }
            Self::Unsupported { detail } => {
                write!(f, "the value cannot be stored exactly: {detail}; store it in another form")
            }
        }
    }
}

impl std::error::Error for Error {}

/// What rkyv reports while it checks or writes an archive.
///
/// rkyv reports too deep nesting with a trace of a type that has no public name. So it is recognized by its type name; a test
/// pins that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveFault {
    /// Nested deeper than allowed.
    TooDeep,
    /// Writing it passed the limit.
    TooLarge {
        /// The size at which it passed the limit.
        found_bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },
    /// A time that cannot be stored or read.
    TimeOutOfRange,
    /// Anything else.
    Invalid,
}

impl ArchiveFault {
    /// Converts the fault of one value.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::TooDeep => Error::TooDeep { limit: crate::MAX_DEPTH },
            Self::TooLarge { found_bytes, limit_bytes } => Error::ValueTooLarge { found_bytes, limit_bytes },
            Self::TimeOutOfRange => Error::Unsupported { detail: TimeOutOfRange.to_string() },
            Self::Invalid => Error::BadArchive,
        }
    }

    /// Converts the fault of a whole record.
    pub(crate) fn into_record_error(self) -> Error {
        match self {
            Self::TooLarge { found_bytes, limit_bytes } => Error::RecordTooLarge { found_bytes, limit_bytes },
            other => other.into_error(),
        }
    }
}

impl fmt::Display for ArchiveFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.into_error().fmt(f)
    }
}

impl std::error::Error for ArchiveFault {}

impl rkyv::rancor::Trace for ArchiveFault {
    fn trace<R>(self, _: R) -> Self
    where
        R: fmt::Debug + fmt::Display + Send + Sync + 'static,
    {
        if std::any::type_name::<R>().ends_with("ExceededMaximumSubtreeDepth") { Self::TooDeep } else { self }
    }
}

impl rkyv::rancor::Source for ArchiveFault {
    fn new<T: std::error::Error + Send + Sync + 'static>(_: T) -> Self {
        if TypeId::of::<T>() == TypeId::of::<TimeOutOfRange>() { Self::TimeOutOfRange } else { Self::Invalid }
    }
}

#[cfg(feature = "serde")]
impl From<crate::messagepack::MessagePackError> for Error {
    fn from(error: crate::messagepack::MessagePackError) -> Self {
        use crate::messagepack::MessagePackError;

        match error {
            MessagePackError::TooDeep => Self::TooDeep { limit: crate::MAX_DEPTH },
            MessagePackError::Unsupported(detail) => Self::Unsupported { detail },
            MessagePackError::Mismatch(detail) => Self::WrongType { detail },
        }
    }
}
