//! What can go wrong, as one enum.
//!
//! Invariant: a failure is never turned into "no session", and no message contains a token or a session's value.

use std::{error, fmt, io, path::PathBuf, sync::Arc, time::Duration};

pub use sessile_codec::Error as CodecError;

#[cfg(any(feature = "encryption", feature = "sealed"))]
pub use crate::keys::SealKeyId;
pub use crate::token::ParseHandleError;

/// The errors of this crate's calls.
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
    /// The file exists but is empty: opening it as a new store would silently log every user out.
    EmptyFile {
        /// The file.
        path: PathBuf,
    },
    /// The store's file was removed or replaced while the store was open. Nothing is moved from the journal to a file without a
    /// name, and the journal's files stay where they are: their content is neither lost nor mixed with what is there now. The
    /// store continues when the file has its name again.
    FileReplaced {
        /// The name that the file had.
        path: PathBuf,
    },
    /// The file could not be opened or created.
    Open {
        /// The file.
        path: PathBuf,
        /// The error of the operating system or the database.
        source: Cause,
    },
    /// A backup could not be made, or a store could not be restored from one. Nothing was made at the path, and the store itself is as
    /// it was.
    Backup {
        /// The file that was to be made.
        path: PathBuf,
        /// The error of the operating system or the database, or what is wrong with the backup.
        source: Cause,
    },
    /// The store's directory, in which the journal is created, cannot be written.
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
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
    /// The store is encrypted, and it was opened without [`Builder::encrypt`](crate::Builder#method.encrypt).
    Encrypted {
        /// The file.
        path: PathBuf,
    },
    /// The store is not encrypted, and it was opened with [`Builder::encrypt`](crate::Builder#method.encrypt): its content
    /// would be readable in spite of the keys.
    #[cfg(feature = "encryption")]
    NotEncrypted {
        /// The file.
        path: PathBuf,
    },
    /// Stored data is encrypted with a key that is not among those of [`Builder::encrypt`](crate::Builder::encrypt). It is
    /// kept, and can be read again with that key.
    #[cfg(feature = "encryption")]
    UnknownSealKey {
        /// The file.
        path: Box<std::path::Path>,
        /// The key's id in [`Keys::seal_ids`](crate::Keys::seal_ids).
        key: SealKeyId,
        /// The ids of the known keys, the encrypting one first.
        known: Box<[SealKeyId]>,
    },
    /// Stored data was encrypted by another release of this crate, in a layout that this build does not read. It is kept.
    #[cfg(feature = "encryption")]
    SealVersion {
        /// Layout of the seal.
        found: u8,
        /// Layout that this build reads.
        expected: u8,
    },
    /// The data with which an encrypted store checks its keys is damaged, or was changed without the keys.
    #[cfg(feature = "encryption")]
    SealBroken {
        /// The file.
        path: PathBuf,
    },
    /// A journal beside the store belongs to another store, or its own store is gone. Without it acknowledged changes may be
    /// lost, so it is not deleted automatically.
    ForeignJournal {
        /// The journal.
        path: PathBuf,
    },
    /// A file has the name of one of the store's journal files and is none. The store did not create it, so it neither removes
    /// it nor writes to it.
    NotAJournal {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// The journal does not continue where the store's file ends: one of the two was restored from a backup, or removed.
    JournalMismatch {
        /// The store.
        path: PathBuf,
        /// The generation of the journal that was found, if any.
        journal: Option<u64>,
        /// The generation up to which the store's file has everything; the next one was expected.
        database: u64,
    },
    /// The newest files of the journal are missing, and with them acknowledged changes. The remaining ones are intact.
    JournalIncomplete {
        /// The store.
        path: PathBuf,
        /// The newest generation that was found.
        found: u64,
        /// The newest one that is known to have been in use.
        newest: u64,
    },
    /// Synced bytes of the journal are damaged. The bytes before them and the store's file are intact.
    JournalDamaged {
        /// The journal.
        path: PathBuf,
        /// The position of the first damaged byte.
        offset: u64,
    },
    /// The disk did not answer in time. The change is in memory and will be written; whether it is durable is not known.
    TimedOut {
        /// How long the commit has waited: [`Builder::commit_timeout`](crate::Builder::commit_timeout).
        after: Duration,
    },
    /// The disk refuses to work. Sessions in memory are still served, and nothing acknowledged is lost. The store recovers by
    /// itself when the disk works again.
    Degraded {
        /// The error of the operating system or the database.
        source: Cause,
    },
    /// The store was closed.
    Closed,
    /// The process was forked after the store was opened, and this is the child. The threads that write belong to the parent,
    /// and so does the store. A child that was created by the system call itself, without the system's C library, is not
    /// detected.
    Forked {
        /// The process that opened it.
        opened_by: u32,
    },
    /// A setting has no sensible meaning.
    Config {
        /// Which setting, its value, and its valid range.
        detail: String,
    },
    /// The session ended while this request ran, or another request gave it a new token. The commit stored nothing, and its
    /// changes are dropped. A commit with [`Session::sign_in`](crate::Session::sign_in) never fails in this way: it creates a
    /// new session.
    SessionEnded,
    /// Another site made the request, so the browser may have withheld the session's cookie, because of `SameSite`: a new
    /// session would replace the visitor's. The commit stored nothing. One with [`Session::sign_in`](crate::Session::sign_in)
    /// is not refused.
    CookieWithheld,
    /// An owner is empty or too long.
    BadOwner {
        /// Its bytes.
        found_bytes: usize,
        /// The most bytes that it may have.
        limit_bytes: usize,
    },
    /// The session changed since it was loaded, so [`Session::save_if_unchanged`](crate::Session::save_if_unchanged) stored nothing.
    Conflict {
        /// Revision of the session now.
        found: u64,
        /// Revision that was loaded.
        expected: u64,
    },
    /// The owner has as many sessions as [`Builder::sessions_per_owner`](crate::Builder::sessions_per_owner) allows. The commit
    /// stored nothing.
    OwnerLimit {
        /// The number of the owner's sessions.
        found: usize,
        /// The number allowed.
        limit: usize,
    },
    /// The store is as full as [`Builder::max_sessions`](crate::Builder::max_sessions) or
    /// [`Builder::max_disk_bytes`](crate::Builder::max_disk_bytes) allows, and no session could be evicted for the new one.
    StoreFull {
        /// The limit that was reached.
        capacity: Capacity,
        /// The current number.
        found: u64,
        /// The number allowed.
        limit: u64,
    },
    /// A key of [`Keys`](crate::Keys) is short enough to be guessed.
    ShortKey {
        /// Its bytes.
        found_bytes: usize,
        /// The bytes that it needs.
        least_bytes: usize,
    },
    /// A key that begins with `sessile.` is reserved for this crate.
    ReservedKey,
    /// The operating system returned no random bytes.
    NoRandomness {
        /// Its error.
        source: Cause,
    },
    /// A handler needs a session, and there is no [`SessionLayer`](crate::SessionLayer) around it.
    NoLayer,
    /// A handler needs a session with a name, and there is no layer of that name around it.
    NoNamedLayer {
        /// The name.
        name: &'static str,
    },
    /// A session needs a new token, or is sealed in the cookie, after the response's headers were sent: its client could not
    /// receive the change.
    HeadersSent,
    /// A closure that was passed to `update` saved its session while a commit of that session ran it again.
    NestedSave,
}

/// The kinds of a store's capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Capacity {
    /// Sessions.
    Sessions,
    /// Bytes of the file.
    DiskBytes,
}

/// The cause of an error. Shared, because every caller that waited for a failed write gets the error.
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
        matches!(
            self,
            Self::AlreadyOpen { .. }
                | Self::Degraded { .. }
                | Self::FileReplaced { .. }
                | Self::TimedOut { .. }
                | Self::NoRandomness { .. }
                | Self::StoreFull { .. }
        )
    }

    /// Whether a commit that failed with this is over: its changes are dropped, not kept for the next try.
    pub(crate) fn gives_up_changes(&self) -> bool {
        matches!(
            self,
            Self::Conflict { .. }
                | Self::OwnerLimit { .. }
                | Self::StoreFull { .. }
                | Self::SessionEnded
                | Self::CookieWithheld
        )
    }
}

impl fmt::Display for Error {
    #[expect(clippy::too_many_lines, reason = "one arm for each situation, each a sentence")]
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
                write!(f, "{} is empty, a store never is; restore it from a backup, delete it to start without sessions, or open it with \
                 `Builder::accept_empty_file` if it was made for a container to mount", path.display())
            }
            Self::FileReplaced { path } => write!(
                f,
                "{0} is not the file any more that the store has open: it was removed or replaced; move that file back, before the process \
                 ends if it has no other name (Linux: copy it from /proc/PID/fd), and keep {0}.journal* with it",
                path.display()
            ),
            Self::Open { path, .. } => write!(
                f,
                "cannot open {} as a store; see the cause, and check that the directory exists and may be written",
                path.display()
            ),
            Self::Backup { path, .. } => {
                write!(f, "cannot make {}; see the cause: the store is as it was; if there is a file of this name, choose another name", path.display())
            }
            Self::ReadOnly { path, .. } => write!(
                f,
                "the directory of {} cannot be written, and a store creates its journal there; allow this user to create files in it, or \
                 mount it writable, the whole directory and not only the file",
                path.display()
            ),
            Self::NotAStore { path } => {
                write!(f, "{} is a redb file without a store in it; use the path of another file", path.display())
            }
            Self::StoreFormat { path, found, expected } => write!(
                f,
                "{} has store format {found}, this build reads {expected}; open it with the release of sessile that wrote it",
                path.display()
            ),
            Self::Encrypted { path } => write!(
                f,
                "{} is encrypted; open it with the feature `encryption` and its keys in `Builder::encrypt`",
                path.display()
            ),
            #[cfg(feature = "encryption")]
            Self::NotEncrypted { path } => write!(
                f,
                "{} is not encrypted, but keys were set; make an encrypted copy of it with `Builder::copy`, or open it without \
                 `Builder::encrypt`",
                path.display()
            ),
            #[cfg(feature = "encryption")]
            Self::UnknownSealKey { path, key, known } => {
                write!(f, "{} contains data that is encrypted with the key {key}, the known keys are", path.display())?;
                known.iter().try_for_each(|known| write!(f, " {known}"))?;
                f.write_str("; add the missing one with `Keys::accept`")
            }
            #[cfg(feature = "encryption")]
            Self::SealVersion { found, expected } => write!(
                f,
                "stored data is encrypted in layout {found}, this build reads {expected}; open it with the release of sessile that \
                 wrote it"
            ),
            #[cfg(feature = "encryption")]
            Self::SealBroken { path } => {
                write!(
                    f,
                    "the data with which {} checks its keys is damaged or was changed; restore it from a backup",
                    path.display()
                )
            }
            Self::ForeignJournal { path } => write!(
                f,
                "{} is the journal of another store, or of one whose file is gone; restore that store's file beside it, or move \
                 the journal away",
                path.display()
            ),
            Self::NotAJournal { path, found } => write!(
                f,
                "{} has a name that the store needs for its journal, but {found}; move it away, or open the store under another name",
                path.display()
            ),
            Self::JournalMismatch { path, journal, database } => {
                write!(
                    f,
                    "{} holds its journal up to generation {database}, so {} was expected; found ",
                    path.display(),
                    database + 1
                )?;
                match journal {
                    Some(journal) => write!(f, "{journal}")?,
                    None => f.write_str("no journal")?,
                }
                f.write_str(
                    ": one of the two is from another time or copy; restore the file and its journals from one backup, or open with \
                     `Builder::salvage_journal` to continue with what is there",
                )
            }
            Self::JournalIncomplete { path, found, newest } => write!(
                f,
                "{0} has its journal up to generation {found}, but it goes on up to {newest} at least: the newest of {0}.journal* are missing, \
                 with acknowledged changes; restore them, or open with `Builder::salvage_journal` to continue without them",
                path.display()
            ),
            Self::JournalDamaged { path, offset } => write!(
                f,
                "{} is damaged at byte {offset}, in acknowledged changes; restore it, or open with \
                 `Builder::salvage_journal` to keep what is readable",
                path.display()
            ),
            Self::TimedOut { after } => write!(
                f,
                "the disk did not acknowledge the change within {after:?}; it is in memory and will still be written, so check \
                 the disk's speed, or raise `Builder::commit_timeout`"
            ),
            Self::Degraded { .. } => f.write_str(
                "the disk refused a read or a write; sessions in memory are still served, try again when the disk has \
                 room and works",
            ),
            Self::Closed => f.write_str("the store is closed; open it again"),
            Self::Forked { opened_by } => write!(
                f,
                "the store was opened by process {opened_by}, and this is a process that was forked from it; open the store after the fork, as \
                 a daemon does, and let the parent exit without it"
            ),
            Self::Config { detail } => f.write_str(detail),
            Self::SessionEnded => f.write_str(
                "the session has ended, or another request gave it a new token, so nothing was stored; load the session again, or \
                 sign in",
            ),
            Self::CookieWithheld => f.write_str(
                "another site made the request, so the browser may have withheld the session's cookie, and nothing was stored; \
                 change the session in requests of your own site, or carry what another site's form posts in a named session with \
                 `SameSite::None`",
            ),
            Self::BadOwner { found_bytes, limit_bytes } => {
                write!(f, "the owner has {found_bytes} bytes; use the id of a user, of 1 to {limit_bytes} bytes")
            }
            Self::Conflict { found, expected } => {
                write!(
                    f,
                    "the session is at revision {found}, this request loaded {expected}; read it again and decide again"
                )
            }
            Self::OwnerLimit { found, limit } => {
                write!(f, "the owner has {found} sessions, at most {limit} are allowed; end one of them first")
            }
            Self::StoreFull { capacity: Capacity::Sessions, found, limit } => write!(
                f,
                "the store has {found} sessions, at most {limit} are allowed, the last tenth of them with an owner; try again \
                 when some have ended, or raise `max_sessions`"
            ),
            Self::StoreFull { capacity: Capacity::DiskBytes, found, limit } => write!(
                f,
                "the file has {found} bytes, at most {limit} are allowed, the last tenth of them for sessions with an owner; try \
                 again when some have ended, or raise `max_disk_bytes`"
            ),
            Self::ShortKey { found_bytes, least_bytes } => write!(
                f,
                "a secret key has {found_bytes} bytes, it needs {least_bytes} random ones or it can be guessed (OWASP ASVS 5, 11.2.3); \
                 make one with `openssl rand -hex 32`"
            ),
            Self::ReservedKey => f.write_str("keys that begin with `sessile.` are reserved; choose another key"),
            Self::NoRandomness { .. } => f.write_str("the operating system returned no random bytes; try again later"),
            Self::NoLayer => f.write_str(
                "there is no session here, because no `SessionLayer` runs around this handler on the same task; add \
                 `.layer(SessionLayer::new(store))` after the routes",
            ),
            Self::NoNamedLayer { name } => write!(
                f,
                "there is no session named `{name}` here, because no `SessionLayer` of that name runs around this handler on the \
                 same task; add `.layer(SessionLayer::new(store).named::<...>())` after the routes",
            ),
            Self::HeadersSent => f.write_str(
                "the session needs a new token, or is sealed in its cookie, but the response's headers were sent without it; set a \
                 first value or rotate, and `save`, before the response begins",
            ),
            Self::NestedSave => f.write_str(
                "a closure passed to `update` called `save` on its own session while a commit of that session ran it again; the commit \
                 saves what the closure sets, so leave the call out",
            ),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            // The codec's error is shown as this one, so its own cause follows.
            Self::Codec(source) => source.source(),
            Self::Open { source, .. }
            | Self::Backup { source, .. }
            | Self::ReadOnly { source, .. }
            | Self::Degraded { source }
            | Self::NoRandomness { source } => Some(&*source.0),
            _ => None,
        }
    }
}

impl From<sessile_codec::Error> for Error {
    fn from(source: sessile_codec::Error) -> Self {
        Self::Codec(source)
    }
}
