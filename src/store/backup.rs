//! Backups of a running store.

use std::{ffi::OsStr, path::Path, sync::Arc, time::SystemTime};

use super::Store;
use crate::{
    Builder, Error, clock,
    disk::{BackedUp, Volume},
    operate::{Backup, Progress},
};

impl Store {
    /// Copies the store, while it is in use, to a new file at `to`. The copy has everything that was committed before this call, is of
    /// one moment, and has no free space in it. Blocks the thread; commits and reads of other threads continue.
    ///
    /// The copy is written beside `to`, read back and checked, and then gets its name: an interrupted backup leaves nothing there. It
    /// is a store by itself, with the same tokens and keys. Keep it as safe as the store. [`Builder::restore`] makes a store of it.
    ///
    /// Sessions sealed in cookies are not in the store, and not in the copy. While a backup is made, the store's file uses no page
    /// again that the copy needs, so it grows by what is written meanwhile.
    ///
    /// The journal's records stay in memory until the tables are copied: up to [`Builder::journal_bytes`].
    ///
    /// # Errors
    /// [`Error::Backup`] if there is a file at `to`, if the disk refuses, or if the store is closed meanwhile. [`Error::Config`] if `to`
    /// has no file name, [`Error::Open`] if its directory cannot be opened, [`Error::ForeignJournal`] if a journal lies beside it. The
    /// errors of [`flush`](Self::flush), such as [`Error::Degraded`]: a store whose disk does not work is not backed up.
    ///
    /// # Examples
    /// ```
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = |name: &str| directory.path().join(name);
    /// use sessile::Store;
    ///
    /// let store = Store::open(path("sessions.redb"))?;
    /// let session = store.session(None)?;
    /// session.insert("name", "Ada")?;
    /// session.save().wait()?;
    /// let backup = store.backup(path("monday.redb"))?;
    /// assert_eq!(backup.sessions, 1);
    ///
    /// Store::builder().restore(path("monday.redb"), path("restored.redb"))?;
    /// let restored = Store::open(path("restored.redb"))?;
    /// assert_eq!(restored.backup_moment(), backup.moment);
    /// let token = session.token().unwrap();
    /// assert_eq!(restored.session(Some(&token))?.get::<String>("name")?.as_deref(), Some("Ada"));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn backup(&self, to: impl AsRef<Path>) -> Result<Backup, Error> {
        self.backup_with(to, |_| ())
    }

    /// Like [`backup`](Self::backup), and calls `progress` after each part of the copy.
    ///
    /// # Errors
    /// Those of [`backup`](Self::backup).
    ///
    /// # Examples
    /// ```
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let store = sessile::testing::store();
    /// let mut calls = 0;
    /// store.backup_with(directory.path().join("backup.redb"), |progress| {
    ///     assert!(progress.done <= progress.total);
    ///     calls += 1;
    /// })?;
    /// assert!(calls > 0);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn backup_with(&self, to: impl AsRef<Path>, progress: impl FnMut(Progress)) -> Result<Backup, Error> {
        let (volume, name) = Builder::place(to.as_ref())?;
        self.backup_in(&volume, &name, progress)
    }

    pub(crate) fn backup_in(
        &self,
        volume: &Arc<dyn Volume>,
        name: &OsStr,
        mut progress: impl FnMut(Progress),
    ) -> Result<Backup, Error> {
        self.flush().wait()?;
        let report = &mut |done, total: u64| progress(Progress { done, total: total.max(done) });
        self.0.disk.backup(volume, name, report).map(Backup::of)
    }

    /// Returns the moment of the backup that this store was made from; `None` if it was not made from one.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// assert_eq!(store.backup_moment(), None);
    /// ```
    #[must_use]
    pub fn backup_moment(&self) -> Option<SystemTime> {
        self.0.disk.copied_ms().map(clock::from_ms)
    }
}

impl Backup {
    pub(crate) fn of(made: BackedUp) -> Self {
        let BackedUp { sessions, damaged, file_bytes, moment_ms } = made;
        Self { moment: moment_ms.map(clock::from_ms), sessions, damaged, file_bytes }
    }
}
