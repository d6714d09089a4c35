//! What can go wrong, as one enum.
//!
//! Invariant: a failure is never turned into "no session", and no message holds a token or a session's value.

use std::{error, fmt, io, path::PathBuf, sync::Arc};

/// What a call to this crate can fail with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// A value, a key or a stored record is not what it must be.
    Codec(sessile_codec::Error),
    /// Another process, or another `Store` in this one, has the file open.
    AlreadyOpen {
        /// The file.
        path: PathBuf,
    },
    /// The file is there but empty: opening it as a new store would log everybody out without a word.
    EmptyFile {
        /// The file.
        path: PathBuf,
    },
    /// The file could not be opened or created.
    Open {
        /// The file.
        path: PathBuf,
        /// What the operating system or the database said.
        source: Cause,
    },
    /// The file is a database, but not a store of this crate.
    NotAStore {
        /// The file.
        path: PathBuf,
    },
    /// The store's tables have another layout than this build reads.
    StoreFormat {
        /// The file.
        path: PathBuf,
        /// Layout of the file.
        found: u32,
        /// Layout that this build reads.
        expected: u32,
    },
    /// The disk refuses to work. What is in memory is still served; nothing acknowledged is lost; it heals by itself when the disk
    /// works again.
    Degraded {
        /// What the operating system or the database said.
        source: Cause,
    },
    /// The store was closed.
    Closed,
    /// A setting has no sensible meaning.
    Config {
        /// Which setting, what it was, and what it may be.
        detail: String,
    },
    /// A key that begins with `sessile.` is reserved for this crate.
    ReservedKey,
    /// The operating system gave no random bytes.
    NoRandomness {
        /// What it said.
        source: Cause,
    },
    /// A handler asks for a session where no [`SessionLayer`](crate::SessionLayer) stands around it.
    NoLayer,
}

/// The failure under a failure. Shared, because one failed write is told to everyone who waited for it.
#[derive(Clone, Debug)]
pub struct Cause(Arc<dyn error::Error + Send + Sync>);

impl Cause {
    pub(crate) fn new(source: impl error::Error + Send + Sync + 'static) -> Self {
        Self(Arc::new(source))
    }

    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::new(io::Error::other(text.into()))
    }
}

impl<E: error::Error + Send + Sync + 'static> From<E> for Cause {
    fn from(source: E) -> Self {
        Self::new(source)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error {
    /// Whether the same call can succeed later without a change by the caller.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::AlreadyOpen { .. } | Self::Degraded { .. } | Self::NoRandomness { .. })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Codec(source) => source.fmt(f),
            Self::AlreadyOpen { path } => write!(
                f,
                "{} is open elsewhere; end the other process, clone one `Store` within this one, or wait with \
                 `Builder::wait_for_lock`",
                path.display()
            ),
            Self::EmptyFile { path } => {
                write!(f, "{} is empty, a store never is; restore it from a backup, or delete it to begin anew", path.display())
            }
            Self::Open { path, .. } => write!(
                f,
                "cannot open {} as a store; see the cause, and check that the directory exists and may be written",
                path.display()
            ),
            Self::NotAStore { path } => {
                write!(f, "{} is a redb file without a store in it; give the path of a file of its own", path.display())
            }
            Self::StoreFormat { path, found, expected } => write!(
                f,
                "{} has store format {found}, this build reads {expected}; open it with the release of sessile that wrote it",
                path.display()
            ),
            Self::Degraded { .. } => f.write_str(
                "the disk refused a read or a write; sessions in memory are still served, try again when the disk has \
                 room and works",
            ),
            Self::Closed => f.write_str("the store is closed; open it again"),
            Self::Config { detail } => f.write_str(detail),
            Self::ReservedKey => f.write_str("keys that begin with `sessile.` are reserved; choose another key"),
            Self::NoRandomness { .. } => f.write_str("the operating system gave no random bytes; try again later"),
            Self::NoLayer => f.write_str(
                "there is no session here, because no `SessionLayer` runs around this handler on the same task; add \
                 `.layer(SessionLayer::new(store))` after the routes",
            ),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            // The codec's error is shown as this one, so its own cause follows.
            Self::Codec(source) => source.source(),
            Self::Open { source, .. } | Self::Degraded { source } | Self::NoRandomness { source } => Some(&*source.0),
            _ => None,
        }
    }
}

impl From<sessile_codec::Error> for Error {
    fn from(source: sessile_codec::Error) -> Self {
        Self::Codec(source)
    }
}
