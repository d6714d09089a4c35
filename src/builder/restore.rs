//! Makes a store of a backup.

use std::{
    fs::{File, TryLockError},
    io,
    path::Path,
};

use super::Builder;
use crate::{Error, disk, operate::Backup};

impl Builder {
    /// Makes a store at `to` from the backup at `from`, which stays as it is. A store that was closed is a backup, too. Checks all of
    /// it first. Of this builder, only the keys of `encrypt` are used.
    ///
    /// What was committed after the backup is not in it: sessions that began since are unknown, and sessions that ended since are back.
    /// End them again, for example with [`Store::destroy_sessions_of`](crate::Store::destroy_sessions_of). With sealed cookies, call
    /// `Store::revoke_sealed`: the store does not know which of those ended.
    ///
    /// # Errors
    /// [`Error::Backup`] if there is a file at `to`, if `from` is not a complete store, or if the disk refuses; then there is nothing
    /// at `to`. [`Error::Open`] if `from` cannot be read, [`Error::AlreadyOpen`] if a store has it open, [`Error::StoreFormat`] if
    /// another release wrote it. [`Error::ForeignJournal`] if a journal lies beside `to`: it is of
    /// the store that was there; move it away. With encryption, [`Error::Encrypted`] and the like.
    ///
    /// # Examples
    /// ```
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = |name: &str| directory.path().join(name);
    /// # sessile::Store::open(path("closed.redb"))?.close()?;
    /// use sessile::{Error, Store};
    ///
    /// let restored = Store::builder().restore(path("closed.redb"), path("sessions.redb"))?;
    /// assert_eq!((restored.sessions, restored.moment), (0, None));
    /// let again = Store::builder().restore(path("closed.redb"), path("sessions.redb"));
    /// assert!(matches!(again, Err(Error::Backup { .. })), "there is a store");
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn restore(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<Backup, Error> {
        let (from, to) = (from.as_ref(), to.as_ref());
        self.check()?;
        let (volume, name) = Self::place(to)?;
        let cannot_open = |source: io::Error| Error::Open { path: from.into(), source: source.into() };
        let mut file = File::open(from).map_err(cannot_open)?;
        if let Err(error) = file.try_lock_shared() {
            return Err(match error {
                TryLockError::WouldBlock => Error::AlreadyOpen { path: from.into() },
                TryLockError::Error(source) => cannot_open(source),
            });
        }
        disk::restore(&mut file, &volume, &name, &self.encryption).map(Backup::of)
    }
}
