//! Settings of the files: when commits are durable, how large the journal is, and how damaged or unusual files are handled.

use std::time::Duration;

use super::{Builder, Durability};

impl Builder {
    /// Sets the bytes that the database may use to cache pages of the file. Default: 16 MiB.
    ///
    /// # Examples
    /// ```
    /// # use sessile::Store;
    /// let store = Store::builder().disk_cache(1 << 20).open_in_memory()?;
    /// assert_eq!(store.stats().sessions, 0);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn disk_cache(self, bytes: usize) -> Self {
        Self { disk_cache: bytes, ..self }
    }

    /// Sets when every commit of this store is acknowledged. Default: [`Durability::Durable`].
    ///
    /// # Examples
    /// ```
    /// use sessile::{Durability, Store};
    ///
    /// let store = Store::builder().durability(Durability::Relaxed).open_in_memory()?;
    /// let session = store.session(None)?;
    /// session.insert("name", "Ada")?;
    /// session.save().wait()?; // waits for no disk
    /// assert_eq!(store.stats().commits, 1);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn durability(self, durability: Durability) -> Self {
        self.set(|settings| settings.durability = durability)
    }

    /// Sets how long a relaxed commit may wait for its sync. Default: 1 second.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// use sessile::{Durability, Store};
    ///
    /// let store = Store::builder().flush_interval(Duration::from_millis(1)).open_in_memory()?;
    /// let session = store.session(None)?;
    /// session.insert("name", "Ada")?;
    /// session.save_with(Durability::Relaxed).wait()?;
    /// while store.stats().disk_sessions == 0 {
    ///     std::thread::yield_now();
    /// }
    /// assert_eq!(store.stats().disk_sessions, 1);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn flush_interval(self, interval: Duration) -> Self {
        Self { flush_interval: interval, ..self }
    }

    /// Sets how long to wait for another process to close the file, for example in a deploy. Default: not at all.
    ///
    /// # Examples
    /// ```
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("sessions.redb");
    /// use std::time::Duration;
    ///
    /// use sessile::Store;
    ///
    /// let old = Store::open(&path)?;
    /// std::thread::scope(|scope| {
    ///     scope.spawn(|| old.close());
    ///     let new = Store::builder().wait_for_lock(Duration::from_secs(10)).open(&path)?;
    ///     assert_eq!(new.stats().sessions, 0);
    ///     Ok::<(), sessile::Error>(())
    /// })?;
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn wait_for_lock(self, timeout: Duration) -> Self {
        Self { wait_for_lock: timeout, ..self }
    }

    /// Sets how often expired sessions are deleted from the file. They are never served in the meantime. Default: every minute;
    /// at least a second.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// use sessile::{Error, Store};
    ///
    /// assert!(Store::builder().sweep_interval(Duration::from_mins(5)).open_in_memory().is_ok());
    /// let never_at_rest = Store::builder().sweep_interval(Duration::ZERO).open_in_memory();
    /// assert!(matches!(never_at_rest, Err(Error::Config { .. })));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn sweep_interval(self, interval: Duration) -> Self {
        Self { sweep_interval: interval, ..self }
    }

    /// Sets how long a commit may wait for the disk before it returns [`Error::TimedOut`](crate::Error::TimedOut). Default: 10
    /// seconds; at least a millisecond.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// use sessile::{Error, Store};
    /// use sessile_fault_disk::FaultDisk;
    ///
    /// let disk = FaultDisk::new(0);
    /// let store = Store::builder().commit_timeout(Duration::from_millis(50)).open_on(&disk)?;
    /// let session = store.session(None)?;
    /// session.insert("name", "Ada")?;
    /// disk.stall_syncs();
    /// assert!(matches!(session.save().wait(), Err(Error::TimedOut { .. })));
    /// disk.heal();
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn commit_timeout(self, timeout: Duration) -> Self {
        Self { commit_timeout: timeout, ..self }
    }

    /// Sets the bytes that the journal's files may take together: three to eight files. Up to seven of them contain changes
    /// that the store's own file does not have yet. Default: 256 MiB; 192 KiB to 8 GiB.
    ///
    /// The files begin with 256 KiB and double only if a busy store fills them in less than a minute. Their content is in
    /// memory too, so reading a session never searches them. A larger journal writes fewer bytes to disk, as a session that
    /// changes often is moved to the store's file once per checkpoint. It also makes a start after a crash longer, by about a
    /// microsecond per change. If commits arrive faster than the journal can be moved to the store's file, they wait. A record
    /// larger than an eighth of this gets a journal file of its own size; up to two such files may exceed the bound.
    ///
    /// # Examples
    /// ```
    /// # use sessile::Store;
    /// let store = Store::builder().journal_bytes(1 << 20).open_in_memory()?;
    /// assert!(store.stats().journal_bytes <= 1 << 20);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn journal_bytes(self, bytes: u64) -> Self {
        Self { journal_bytes: bytes, ..self }
    }

    /// Sets relaxed commits, collected for 10 seconds at a time, and a journal of up to 512 MiB: for SD cards and other flash
    /// that wears out. Sets [`durability`](Self::durability), [`flush_interval`](Self::flush_interval) and
    /// [`journal_bytes`](Self::journal_bytes).
    ///
    /// A crash loses at most the last 10 seconds. Rotations and the end of sessions are still durable at once.
    ///
    /// # Examples
    /// ```
    /// # use sessile::Store;
    /// let store = Store::builder().flash_friendly().open_in_memory()?;
    /// let session = store.session(None)?;
    /// session.insert("name", "Ada")?;
    /// session.save().wait()?;
    /// assert_eq!(store.stats().commits, 1);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn flash_friendly(self) -> Self {
        Self { flush_interval: Duration::from_secs(10), journal_bytes: 512 << 20, ..self }.durability(Durability::Relaxed)
    }

    /// Sets whether to read and check the whole file before the store opens. Default: no, since it takes some ten seconds at a
    /// million sessions; each record is checked when it is read.
    ///
    /// For a file that may be damaged outside its records.
    ///
    /// # Examples
    /// ```
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("sessions.redb");
    /// # use sessile::Store;
    /// Store::open(&path)?.close()?;
    /// let store = Store::builder().verify_on_open(true).open(&path)?;
    /// assert_eq!(store.stats().corrupt, 0);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn verify_on_open(self, verify: bool) -> Self {
        Self { verify_on_open: verify, ..self }
    }

    /// Sets whether [`open`](Self::open) creates a store in an existing file of 0 bytes, instead of returning
    /// [`Error::EmptyFile`](crate::Error::EmptyFile). Default: no, because a store's file that has become empty means lost
    /// sessions.
    ///
    /// For containers with a single file as a mount: that file must exist before the container starts. Mounting the directory
    /// is better. The journal is in the same directory as the file. If only the file outlives the container, commits since the
    /// last checkpoint are lost unless the store was [closed](crate::Store::close).
    ///
    /// # Examples
    /// ```
    /// use sessile::{Error, Store};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("sessions.redb");
    /// std::fs::write(&path, "").unwrap();
    /// assert!(matches!(Store::open(&path), Err(Error::EmptyFile { .. })));
    /// let store = Store::builder().accept_empty_file(true).open(&path)?;
    /// store.close()?;
    /// assert!(Store::open(&path).is_ok());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn accept_empty_file(self, accept: bool) -> Self {
        Self { accept_empty_file: accept, ..self }
    }

    /// Sets whether to continue with what is readable if the journal is damaged, incomplete or does not fit the store's file,
    /// instead of returning [`Error::JournalDamaged`](crate::Error::JournalDamaged),
    /// [`Error::JournalIncomplete`](crate::Error::JournalIncomplete) or
    /// [`Error::JournalMismatch`](crate::Error::JournalMismatch). Default: no.
    ///
    /// Copy the files first. Sessions whose last changes are lost are then as they were before, including sessions that had
    /// been ended. If a user must not stay signed in by mistake, end that user's sessions afterwards.
    /// # Examples
    /// ```
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("sessions.redb");
    /// # use sessile::Store;
    /// # Store::open(&path)?.close()?;
    /// // After `Error::JournalDamaged`, and after all files were copied.
    /// let store = Store::builder().salvage_journal(true).open(&path)?;
    /// assert_eq!(store.stats().torn_writes, 0);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn salvage_journal(self, salvage: bool) -> Self {
        Self { salvage_journal: salvage, ..self }
    }
}
