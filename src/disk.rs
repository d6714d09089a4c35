//! The disk tier: a journal that commits wait for, and one redb file that holds everything else.
//!
//! Facts behind it: a redb commit writes some 33 KB and syncs once for a record of 600 bytes. A crash in between costs a walk
//! through the whole file (10 s at a million sessions), unless each commit writes twice as much. An append to preallocated
//! space writes one page and syncs once, and waiting commits share the sync. So redb is not the commit path: it is the
//! checkpoint.
//!
//! Three threads: the *flusher* appends to the journal, the *checkpointer* moves the journal into redb, the *watchdog* fails
//! the callers that have waited too long. A read looks in the journal's memory first, then in redb.
//!
//! Invariants: operations of one key reach the disk in the order in which they were accepted; a waiting caller gets success
//! only after the sync; an operation is reported to [`Upstream`] as durable after its sync and never before.
//!
//! Nothing outside this module names redb. This module knows nothing of tokens, shards or cookies.

mod backup;
#[cfg(any(test, fuzzing))]
pub(crate) mod check;
mod checkpoint;
#[cfg(feature = "encryption")]
mod copy;
mod database;
mod directory;
mod expendable;
mod flusher;
mod form;
mod frame;
#[cfg(any(test, feature = "test-util"))]
mod in_memory;
mod journal;
mod meta;
mod op;
mod own;
mod pending;
mod process;
mod queue;
mod recover;
#[cfg(feature = "encryption")]
mod sealed;
mod segment;
mod sweep;
mod tables;
mod ticket;
mod volume;

use std::{
    ffi::OsString,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use parking_lot::{Mutex, ReentrantMutex};
use sessile_codec::Record;
use zeroize::Zeroizing;

#[cfg(feature = "encryption")]
pub(crate) use self::copy::{Place, copy};
#[cfg(any(test, feature = "test-util"))]
pub(crate) use self::in_memory::InMemory;
#[cfg(feature = "foreign")]
pub(crate) use self::op::note_key;
#[cfg(feature = "foreign")]
pub(crate) use self::op::{import_note, is_import_note};
#[cfg(not(feature = "test-util"))]
pub(crate) use self::volume::Volume;
#[cfg(feature = "test-util")]
pub use self::volume::{FileId, FileKind, Seen, Volume, VolumeFile};
pub(crate) use self::{
    backup::{BackedUp, restore},
    directory::of as directory_of,
    form::{Encryption, Unreadable},
    op::{ENDED, NOTES, Op, SEALED_EPOCH, is_note},
    queue::Urgency,
    ticket::Ticket,
};
use self::{
    checkpoint::Checkpointer,
    database::{Database, Options},
    expendable::Search,
    flusher::Flusher,
    journal::Journal,
    process::Process,
    queue::Queue,
};
use crate::{
    Error,
    error::Cause,
    memory::{Before, Claim, Seq},
    timeline::Timeline,
    token::{Handle, Key},
};

/// The callbacks from the disk tier to the tier above.
pub(crate) trait Upstream: Send + Sync + 'static {
    /// Called when the write `seq` of `key` is durable.
    fn durable(&self, key: &Key, seq: Seq);
    /// Returns when the session ends, if memory has a newer deadline than the file.
    fn deadline_ms(&self, key: &Key) -> Option<u64>;
    /// Claims `key`, whose session has expired according to the file, so that its record can be deleted from there.
    fn claim(&self, key: &Key, now_ms: u64) -> Claim;
    /// Ends the claim on `key`, whether its record was deleted or the deletion failed.
    fn release(&self, key: &Key);
    /// Ends the session under `key` if it is over, and passes its deletion to `enqueue`. `disk_says_over` returns whether the
    /// session is over by the journal's newest record.
    fn expire(&self, key: &Key, now_ms: u64, disk_says_over: &dyn Fn() -> bool, enqueue: &dyn Fn(Before) -> Seq) -> bool;
    /// Ends the sessions that are over and have changes that were never passed to the disk tier. `enqueue` deletes those that
    /// the disk tier has a record of; without it they stay.
    fn expire_unsaved(&self, now_ms: u64, enqueue: Option<&dyn Fn(&Key) -> Seq>);
    /// Adds `difference` to the number of records. The first call passes all records, before the threads start.
    fn recounted(&self, difference: i64);
    /// Called when a record was deleted because its session is over. Its handle is known if the record could be read.
    fn expired(&self, key: &Key, handle: Option<Handle>);
}

/// How the disk tier is opened.
#[expect(clippy::struct_excessive_bools, reason = "each is a setting with a name, and any may go with any")]
pub(crate) struct Settings {
    pub(crate) volume: Arc<dyn Volume>,
    /// The redb file's name; the names of the journal's files begin with it.
    pub(crate) name: OsString,
    pub(crate) cache_bytes: usize,
    pub(crate) journal_bytes: u64,
    pub(crate) verify: bool,
    pub(crate) accept_empty: bool,
    pub(crate) salvage: bool,
    pub(crate) wait_for_lock: Duration,
    pub(crate) flush_interval: Duration,
    pub(crate) commit_timeout: Duration,
    pub(crate) sweep_interval: Duration,
    pub(crate) timeline: Arc<Timeline>,
    pub(crate) encryption: Encryption,
    /// Whether the store has a limit, so that [a session may have to make room](Disk::end_one).
    pub(crate) is_bounded: bool,
}

pub(crate) struct Disk {
    process: Process,
    database: Arc<Database>,
    journal: Arc<Journal>,
    queue: Arc<Queue>,
    flusher: Arc<Flusher>,
    checkpointer: Arc<Checkpointer>,
    replayed: u64,
    search: Search,
    /// Held while a copy is made.
    copying: ReentrantMutex<()>,
    closing: AtomicBool,
    /// The moment of the backup that the store was made from, in milliseconds since 1970.
    copied_ms: Option<u64>,
    threads: Mutex<Option<Threads>>,
}

struct Threads {
    flusher: JoinHandle<()>,
    watchdog: JoinHandle<()>,
    checkpointer: JoinHandle<Result<(), Error>>,
}

/// The record of an ended session.
#[cfg(any(feature = "sealed", feature = "foreign"))]
pub(crate) struct LoadedEnd {
    pub(crate) record: Result<Record, Unreadable>,
    /// Whether it is sealed with a key other than the current one.
    #[cfg(feature = "sealed")]
    pub(crate) is_outdated: bool,
}

/// What the disk tier has done so far, and its sizes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DiskStats {
    pub(crate) syncs: u64,
    pub(crate) swept: u64,
    pub(crate) quarantined: u64,
    pub(crate) torn: u64,
    pub(crate) replayed: u64,
    pub(crate) degraded: bool,
    pub(crate) sessions: u64,
    pub(crate) file_bytes: u64,
    pub(crate) journal_bytes: u64,
}

impl Disk {
    /// Opens the files and starts the threads. Also returns the bytes of the store's MAC keys.
    pub(crate) fn open(settings: Settings, upstream: Arc<dyn Upstream>) -> Result<(Self, Zeroizing<Vec<u8>>), Error> {
        let Settings { volume, name, timeline, .. } = settings;
        let Settings { cache_bytes, verify, accept_empty, .. } = settings;
        let options = Options { cache_bytes, verify, accept_empty };
        let path = volume.path(&name);
        let failed = |source| Error::Open { path, source: Cause::new(source) };
        let process = Process::this().map_err(failed.clone())?;
        let (database, meta) = Database::open(volume.clone(), &name, options, &settings.encryption, settings.wait_for_lock)?;
        let mut recovered =
            recover::recover(&*volume, &name, meta.store_id, meta.journal, database.at_rest(), settings.salvage)?;
        recovered.pending.set_in_file(database.with(tables::len)?);
        if settings.is_bounded {
            recovered.pending.list_anonymous();
            // `max_sessions` and `max_disk_bytes` need the exact count. A store without them opens sooner and counts in the background.
            recovered.compare(&database)?;
        }
        upstream.recounted(recovered.pending.records());
        let replayed = recovered.frames;
        timeline.resume(meta.clock);
        let database = Arc::new(database);
        let journal = Arc::new(Journal::new(
            volume,
            timeline.clone(),
            name,
            meta.store_id,
            meta.journal,
            settings.journal_bytes,
            recovered,
        ));
        let queue = Arc::new(Queue::new(process.clone(), settings.flush_interval, settings.commit_timeout));
        let flusher = Arc::new(Flusher::new(journal.clone(), database.clone(), queue.clone(), upstream.clone()));
        let checkpointer =
            Checkpointer::new(journal.clone(), database.clone(), queue.clone(), upstream, timeline, settings.sweep_interval);
        let checkpointer = Arc::new(checkpointer.since(meta.clock));
        let search = Search::default();
        let mut disk = Self {
            process,
            database,
            journal,
            queue,
            flusher,
            checkpointer,
            replayed,
            search,
            copying: ReentrantMutex::new(()),
            closing: AtomicBool::new(false),
            copied_ms: meta.copied.map(|copied| copied.moment_ms),
            threads: Mutex::new(None),
        };
        disk.start().map_err(failed)?;
        Ok((disk, meta.mac_keys))
    }

    /// Returns the id that distinguishes this store from every other.
    #[cfg(any(feature = "tower", feature = "foreign"))]
    pub(crate) fn store_id(&self) -> [u8; 16] {
        self.database.store_id()
    }

    /// Returns the moment of the backup that the store was made from, in milliseconds since 1970.
    pub(crate) fn copied_ms(&self) -> Option<u64> {
        self.copied_ms
    }

    /// Returns an error if this is not the process that opened the store.
    pub(crate) fn check_process(&self) -> Result<(), Error> {
        self.process.check()
    }

    fn start(&mut self) -> std::io::Result<()> {
        let named = |name: &str| std::thread::Builder::new().name(name.into());
        let (flusher, checkpointer, queue) = (self.flusher.clone(), self.checkpointer.clone(), self.queue.clone());
        let checkpointer = named("sessile-checkpoint").spawn(move || checkpointer.run())?;
        let started = named("sessile-journal").spawn(move || flusher.run()).and_then(|flusher| {
            let watchdog = named("sessile-watch").spawn(move || queue.watch());
            // Without a watchdog, the flusher has to stop, too.
            watchdog.inspect_err(|_| self.queue.close()).map(|watchdog| (flusher, watchdog))
        });
        match started {
            Ok((flusher, watchdog)) => {
                *self.threads.get_mut() = Some(Threads { flusher, watchdog, checkpointer });
                Ok(())
            }
            Err(error) => {
                self.journal.close();
                // It has nothing to write; the first error is the one to return.
                let _ = checkpointer.join();
                Err(error)
            }
        }
    }

    /// Returns the record under `key`, or why its bytes are not one. The record may exceed the current size limit.
    pub(crate) fn load(&self, key: &Key) -> Result<Option<Result<Record, Unreadable>>, Error> {
        self.check_process()?;
        // The journal first: what it hands over in between is then found in redb.
        if let Some(entry) = self.journal.pending().read().get(key) {
            return Ok(entry.record.clone().map(Ok));
        }
        let form = self.database.at_rest();
        let found = self.read(|redb| tables::load(redb, key, |bytes| form.read(bytes, key)))?;
        match &found {
            // Neither damaged nor absent: it can be read again once its key is configured.
            #[cfg(feature = "encryption")]
            Some(Err(Unreadable::UnknownKey(key))) => return Err(form.unknown_key(*key, &self.database.path())),
            Some(Err(error)) if error.is_damage() => self.journal.request_quarantine(*key),
            _ => {}
        }
        Ok(found)
    }

    /// Returns the record under `key` of an ended session, when the store opens. A damaged one is not quarantined as a
    /// session's is: the end must stay on disk until something replaces it.
    #[cfg(any(feature = "sealed", feature = "foreign"))]
    pub(crate) fn load_end(&self, key: &Key) -> Result<Option<LoadedEnd>, Error> {
        self.check_process()?;
        if let Some(entry) = self.journal.pending().read().get(key) {
            // It is sealed with the current key on its way to redb.
            let loaded = |record| LoadedEnd {
                record: Ok(record),
                #[cfg(feature = "sealed")]
                is_outdated: false,
            };
            return Ok(entry.record.clone().map(loaded));
        }
        let form = self.database.at_rest();
        let read = |bytes: &[u8]| LoadedEnd {
            record: form.read(bytes, key),
            #[cfg(feature = "sealed")]
            is_outdated: form.is_outdated(bytes),
        };
        let found = self.read(|redb| tables::load(redb, key, read))?;
        match found {
            #[cfg(feature = "encryption")]
            Some(LoadedEnd { record: Err(Unreadable::UnknownKey(key)), .. }) => {
                Err(form.unknown_key(key, &self.database.path()))
            }
            found => Ok(found),
        }
    }

    /// Runs `work` on redb. If redb is closed after a failed write, reopens it and retries once.
    fn read<T>(&self, work: impl Fn(&redb::Database) -> Result<T, redb::Error>) -> Result<T, Error> {
        let mut result = self.database.with(&work);
        if result.is_err() && self.database.revive() {
            result = self.database.with(work);
        }
        if result.is_err() {
            // The checkpointer opens redb again when the disk works.
            self.journal.nudge();
        }
        result
    }

    /// Checks whether a commit may begin.
    pub(crate) fn admit(&self) -> Result<(), Error> {
        if self.journal.is_starved() {
            let text = "the journal is full, and the database takes nothing over";
            self.check_process()?;
            return Err(self.journal.trouble().unwrap_or_else(|| Error::Degraded { source: Cause::text(text) }));
        }
        self.admit_to_memory()
    }

    /// Checks whether a commit that stays in memory for now may begin.
    pub(crate) fn admit_to_memory(&self) -> Result<(), Error> {
        self.check_process()?;
        if self.queue.has_room() {
            return Ok(());
        }
        Err(Error::Degraded { source: Cause::text("more changes wait for the disk than memory may hold") })
    }

    /// Queues `op`, which is not a session's. It is written even if the ticket is dropped.
    pub(crate) fn enqueue(&self, op: Op, urgency: Urgency) -> (Seq, Ticket) {
        let is_unborn = op.is_first_note();
        match self.check_process() {
            Ok(()) => self.queue.push(op, urgency, Before { seq: None, is_unborn }),
            // A number that never becomes durable.
            Err(error) => (Seq::MAX, Ticket::failed(error)),
        }
    }

    /// Queues a change of a session. `before`: the earlier write of its key. The caller has [checked the
    /// process](Self::check_process), or called [`admit`](Self::admit): this is called under a lock of memory, which a forked
    /// child could wait for forever.
    pub(crate) fn enqueue_after(&self, op: Op, urgency: Urgency, before: Before) -> (Seq, Ticket) {
        self.queue.push(op, urgency, before)
    }

    /// Returns those of `keys` that have a record, without reading the records, when the store opens.
    #[cfg(any(all(test, feature = "test-util"), not(feature = "sealed")))]
    pub(crate) fn existing(&self, mut keys: Vec<Key>) -> Result<Vec<Key>, Error> {
        let in_file = self.read(|redb| tables::which(redb, &keys))?;
        let (pending, mut in_file) = (self.journal.pending().read(), in_file.into_iter());
        keys.retain(|key| {
            let is_in_file = in_file.next() == Some(true);
            pending.get(key).map_or(is_in_file, |entry| entry.record.is_some())
        });
        Ok(keys)
    }

    /// Returns the keys of all records that have or may have this owner. The caller checks each record.
    pub(crate) fn of_owner(&self, owner: &[u8; 16]) -> Result<Vec<Key>, Error> {
        self.check_process()?;
        let mut keys = Vec::new();
        // In the order in which a record travels: a record that is handed over in between is then found in the next place.
        self.queue.pending(|key, record| {
            if record.meta().owner == *owner {
                keys.push(*key);
            }
        });
        keys.extend(self.journal.pending().read().of_owner(owner));
        keys.extend(self.read(|redb| tables::of_owner(redb, owner))?);
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }

    /// Returns the keys of all records that exist, or existed a moment ago.
    #[cfg(feature = "foreign")]
    pub(crate) fn keys(&self) -> Result<Vec<Key>, Error> {
        self.check_process()?;
        let mut keys = Vec::new();
        // In the order in which a record travels, as above.
        self.queue.pending(|key, _| keys.push(*key));
        keys.extend(self.journal.pending().read().keys());
        keys.extend(self.read(tables::keys)?);
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }

    /// Returns a ticket for everything queued so far. The caller has [checked the process](Self::check_process).
    pub(crate) fn flush(&self) -> Ticket {
        self.queue.flush()
    }

    /// Deletes expired sessions.
    pub(crate) fn sweep(&self) -> Ticket {
        self.check_process().map_or_else(Ticket::failed, |()| self.queue.sweep())
    }

    /// Writes the queue, moves the journal into redb and closes the file. A second call does nothing.
    pub(crate) fn close(&self) -> Result<(), Error> {
        self.check_process().inspect_err(|_| self.abandon())?;
        let Some(threads) = self.threads.lock().take() else { return Ok(()) };
        self.closing.store(true, Ordering::Relaxed);
        // A copy of the tables ends with its next transaction. What is read back then is not the store.
        drop(self.copying.lock());
        self.queue.close();
        let panicked = || Error::Degraded { source: Cause::text("a thread of the disk tier panicked") };
        let flushed = threads.flusher.join().map_err(|_| panicked());
        if flushed.is_err() {
            // It can no longer stop the checkpointer and the watchdog.
            self.queue.finish();
            self.journal.close();
        }
        let watched = threads.watchdog.join().map_err(|_| panicked());
        let closed = threads.checkpointer.join().unwrap_or_else(|_| Err(panicked()));
        flushed.and(watched).and(closed)
    }

    /// Leaves everything to the parent process: there are no threads here to join, and closing the database's file would write
    /// to it and release the parent's lock.
    fn abandon(&self) {
        if let Some(mut threads) = self.threads.try_lock() {
            std::mem::forget(threads.take());
        }
        std::mem::forget(self.database.clone());
    }

    pub(crate) fn stats(&self) -> DiskStats {
        DiskStats {
            syncs: self.flusher.syncs(),
            swept: self.checkpointer.swept(),
            quarantined: self.checkpointer.quarantined(),
            torn: self.journal.torn(),
            replayed: self.replayed,
            degraded: self.flusher.is_degraded() || self.checkpointer.is_degraded(),
            sessions: self.journal.pending().read().records().max(0).cast_unsigned(),
            file_bytes: self.database.len_bytes(),
            journal_bytes: self.journal.file_bytes(),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A caller that needs the result calls `close`.
        let _ = self.close();
    }
}
