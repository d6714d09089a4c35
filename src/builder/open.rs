//! Opens a store with its settings, on a real or a simulated disk.

use std::{ffi::OsString, path::Path, sync::Arc};

use super::Builder;
#[cfg(feature = "test-util")]
use crate::disk::InMemory;
use crate::{
    Error, Store,
    disk::{self, Volume},
    timeline::Timeline,
};

impl Builder {
    /// Opens the store at `path`. Creates it if there is no file. The directory must exist.
    ///
    /// The path is resolved once. Later changes of the working directory, of the root directory (`chroot`) or of a symbolic
    /// link have no effect; on Unix, renaming the directory has none either. If the path is a symbolic link, the journal is in
    /// the directory of its target.
    ///
    /// # Errors
    /// [`Error::Config`] for a setting without a sensible meaning, [`Error::ShortKey`], and the errors of [`Store::open`].
    ///
    /// # Examples
    /// ```
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("sessions.redb");
    /// # use sessile::Store;
    /// let store = Store::builder().memory_budget(8 << 20).open(&path)?;
    /// assert!(path.exists());
    /// assert!(Store::open(&path).is_err(), "one store has the file at a time; clone it instead");
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn open(self, path: impl AsRef<Path>) -> Result<Store, Error> {
        let (directory, name) = Self::place(path.as_ref())?;
        self.open_in(directory, name)
    }

    /// Opens a store without a file. Its content is lost when it is closed.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    ///
    /// # Examples
    /// ```
    /// # use sessile::Store;
    /// let store = Store::builder().open_in_memory()?;
    /// let session = store.session(None)?;
    /// session.insert("name", "Ada")?;
    /// session.save().wait()?;
    /// assert_eq!(store.stats().sessions, 1);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[cfg(feature = "test-util")]
    pub fn open_in_memory(self) -> Result<Store, Error> {
        self.open_in(Arc::new(InMemory::default()), "memory".into())
    }

    /// Opens the store named "store" on a volume of a test's own, such as the simulated disk of the crate `sessile-fault-disk`.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    ///
    /// # Examples
    /// ```
    /// use sessile::Store;
    /// use sessile_fault_disk::FaultDisk;
    ///
    /// let disk = FaultDisk::new(0);
    /// let store = Store::builder().open_on(&disk)?;
    /// let session = store.session(None)?;
    /// session.insert("name", "Ada")?;
    /// session.save().wait()?;
    ///
    /// let after_power_cut = Store::builder().open_on(&disk.crash(1))?;
    /// assert!(after_power_cut.session(session.token().as_ref())?.token().is_some());
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[cfg(feature = "test-util")]
    pub fn open_on(self, volume: &(impl Volume + Clone)) -> Result<Store, Error> {
        self.open_in(Arc::new(volume.clone()), "store".into())
    }

    /// Copies every session of the store at `from`, which this builder opens, to a new store at `to`, which `into` opens. This
    /// encrypts or decrypts a store, or replaces all its keys. Returns the number of sessions. Sessions in the store stay
    /// signed in. Sessions sealed in cookies are bound to the old store and open in no other, so they end.
    ///
    /// The store must not be open. A store cannot be encrypted in place, because the old content would stay in its file: remove
    /// that file and its backups once the copy is in use. On flash, and on copy-on-write file systems, removed bytes can
    /// outlast their file.
    ///
    /// Sessions whose bytes are damaged are skipped. Of `into`, only the keys of [`encrypt`](Self::encrypt) are used.
    ///
    /// # Errors
    /// Those of [`open`](Self::open), [`Error::Open`] if there is a file at `to`, and [`Error::UnknownSealKey`] for a session
    /// that cannot be read with the keys. Then no store is created at `to`.
    ///
    /// # Examples
    /// ```
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let (old, new) = (directory.path().join("sessions.redb"), directory.path().join("encrypted.redb"));
    /// # sessile::Store::open(&old)?.close()?;
    /// # let key = [1; 32];
    /// use sessile::Store;
    ///
    /// let encrypted = Store::builder().encrypt(key);
    /// Store::builder().copy(&old, &encrypted, &new)?;
    /// let store = encrypted.open(&new)?;
    /// assert_eq!(store.stats().sessions, 0);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[cfg(feature = "encryption")]
    pub fn copy(&self, from: impl AsRef<Path>, into: &Self, to: impl AsRef<Path>) -> Result<u64, Error> {
        let place = |path: &Path, builder: &Self| {
            let (volume, name) = Self::place(path)?;
            Ok::<_, Error>(disk::Place { volume, name, encryption: builder.encryption.clone() })
        };
        into.check()?;
        let (from_place, to_place) = (place(from.as_ref(), self)?, place(to.as_ref(), into)?);
        if !from.as_ref().exists() {
            let source = std::io::Error::from(std::io::ErrorKind::NotFound).into();
            return Err(Error::Open { path: from.as_ref().into(), source });
        }
        // Closing moves the journal's content into the file.
        self.clone().open(from)?.close()?;
        disk::copy(&from_place, &to_place, self.disk_cache)
    }

    /// Returns the directory of a store's file, and its name.
    pub(crate) fn place(path: &Path) -> Result<(Arc<dyn Volume>, OsString), Error> {
        let found = disk::directory_of(path).map_err(|source| Error::Open { path: path.into(), source: source.into() })?;
        let found = found.map(|(directory, name)| (Arc::new(directory) as Arc<dyn Volume>, name));
        found.ok_or_else(|| {
            let detail = format!("{} is no path of a file; add the file's name", path.display());
            Error::Config { detail }
        })
    }

    fn open_in(self, volume: Arc<dyn Volume>, name: OsString) -> Result<Store, Error> {
        self.check()?;
        let settings = disk::Settings {
            volume,
            name,
            cache_bytes: self.disk_cache,
            journal_bytes: self.journal_bytes,
            verify: self.verify_on_open,
            accept_empty: self.accept_empty_file,
            salvage: self.salvage_journal,
            wait_for_lock: self.wait_for_lock,
            flush_interval: self.flush_interval,
            commit_timeout: self.commit_timeout,
            sweep_interval: self.sweep_interval,
            timeline: Arc::new(Timeline::new(self.clock.clone())),
            encryption: self.encryption.clone(),
            is_bounded: self.settings.is_bounded(),
        };
        Store::start(&self, settings)
    }
}
