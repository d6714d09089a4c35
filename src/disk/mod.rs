//! The disk tier: one redb file and the thread that writes it.
//!
//! Many commits that wait share one transaction and so one sync. Facts behind it: a redb commit writes some 33 KB and syncs
//! once whether it holds one record of 600 bytes or many.
//!
//! Invariants: only the writer thread writes; operations reach the file in the order in which they were accepted; whoever waits
//! is told of success only after the sync; an operation is told to [`Upstream`] as durable after its sync and never before.
//!
//! Nothing outside this module names redb. It knows nothing of tokens, shards or cookies.

mod file;
mod queue;
mod sweep;
mod tables;
mod writer;

use std::{path::PathBuf, sync::Arc, thread::JoinHandle, time::Duration};

use parking_lot::Mutex;
use sessile_codec::{Limits, Record};

use self::{file::StoreFile, queue::Queue, writer::Writer};
pub(crate) use self::{
    queue::{Op, Ticket, Urgency},
    writer::WriterStats,
};
use crate::{Error, clock::Clock, error::Cause, memory::Seq, token::Key};

/// What the disk tier asks and tells of the tier above.
pub(crate) trait Upstream: Send + Sync + 'static {
    /// The write `seq` of `key` is durable.
    fn durable(&self, key: &Key, seq: Seq);
    /// When the session ends, if there is something newer to know than the file.
    fn deadline_ms(&self, key: &Key) -> Option<u64>;
    /// The record was deleted because its session is over.
    fn expired(&self, key: &Key);
}

/// How the disk tier is opened.
pub(crate) struct Settings {
    /// `None`: in memory only.
    pub(crate) path: Option<PathBuf>,
    pub(crate) cache_bytes: usize,
    pub(crate) wait_for_lock: Duration,
    pub(crate) flush_interval: Duration,
    pub(crate) sweep_interval: Duration,
    pub(crate) clock: Arc<dyn Clock>,
}

pub(crate) struct Disk {
    file: Arc<StoreFile>,
    queue: Arc<Queue>,
    writer: Arc<Writer>,
    thread: Mutex<Option<JoinHandle<Result<(), Error>>>>,
}

impl Disk {
    /// Opens the file and starts the writer. Also gives the bytes of the store's MAC keys.
    pub(crate) fn open(settings: Settings, upstream: Arc<dyn Upstream>) -> Result<(Self, Vec<u8>), Error> {
        let Settings { path, cache_bytes, wait_for_lock, flush_interval, sweep_interval, clock } = settings;
        let (file, mac_keys) = match &path {
            Some(path) => StoreFile::open(path, cache_bytes, wait_for_lock)?,
            #[cfg(feature = "test-util")]
            None => StoreFile::in_memory(cache_bytes)?,
            #[cfg(not(feature = "test-util"))]
            None => unreachable!("only tests open a store without a path"),
        };
        let (file, queue) = (Arc::new(file), Arc::new(Queue::new(flush_interval)));
        let writer = Arc::new(Writer::new(file.clone(), queue.clone(), upstream, clock, sweep_interval));
        let thread = std::thread::Builder::new()
            .name("sessile-disk".into())
            .spawn({
                let writer = writer.clone();
                move || writer.run()
            })
            .map_err(|source| Error::Open { path: path.unwrap_or_default(), source: Cause::new(source) })?;
        Ok((Self { file, queue, writer, thread: Mutex::new(Some(thread)) }, mac_keys))
    }

    /// The record under `key` as the file has it, or why its bytes are not one. It may be larger than records may be by now.
    pub(crate) fn load(&self, key: &Key) -> Result<Option<Result<Record, sessile_codec::Error>>, Error> {
        self.read(|db| tables::load(db, key, |bytes| Record::check(bytes, key, Limits::UNLIMITED.record_bytes)))
    }

    fn read<T>(&self, work: impl FnOnce(&redb::Database) -> Result<T, redb::Error>) -> Result<T, Error> {
        let result = self.file.with(work);
        if result.is_err() {
            // The writer is the one who opens the file again.
            self.queue.nudge();
        }
        result
    }

    /// Whether a commit may begin.
    pub(crate) fn admit(&self) -> Result<(), Error> {
        if self.queue.has_room() {
            return Ok(());
        }
        Err(Error::Degraded { source: Cause::text("more changes wait for the disk than memory may hold") })
    }

    /// Queues `op`. What it says is not lost, whatever becomes of the ticket.
    pub(crate) fn enqueue(&self, op: Op, urgency: Urgency) -> (Seq, Ticket) {
        self.queue.push(op, urgency)
    }

    /// The keys of every record that has or may have this owner: ask the record itself.
    pub(crate) fn of_owner(&self, owner: &[u8; 16]) -> Result<Vec<Key>, Error> {
        let mut keys = Vec::new();
        // The queue first: what it hands over in between is then found in the file.
        self.queue.pending(|key, record| {
            if record.meta().owner == *owner {
                keys.push(*key);
            }
        });
        keys.extend(self.read(|db| tables::of_owner(db, owner))?);
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }

    pub(crate) fn flush(&self) -> Ticket {
        self.queue.flush()
    }

    /// Deletes what is expired now.
    pub(crate) fn sweep(&self) -> Ticket {
        self.queue.sweep()
    }

    /// Writes what is queued and closes the file. The second time does nothing.
    pub(crate) fn close(&self) -> Result<(), Error> {
        let Some(thread) = self.thread.lock().take() else { return Ok(()) };
        self.queue.close();
        thread.join().unwrap_or_else(|_| Err(Error::Degraded { source: Cause::text("the disk thread panicked") }))
    }

    pub(crate) fn stats(&self) -> WriterStats {
        self.writer.stats()
    }

    pub(crate) fn sessions(&self) -> Result<u64, Error> {
        self.read(tables::len)
    }

    pub(crate) fn file_bytes(&self) -> u64 {
        self.file.len_bytes()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Whoever wants to know whether it went well calls `close`.
        let _ = self.close();
    }
}
