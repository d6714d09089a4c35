//! The memory tier: hot records, bounded in bytes, in 64 shards that each have one lock.
//!
//! Facts: a list that is spliced on every hit costs one cache miss more than the lookup itself (100 k sessions: bare map 414
//! ns, `lru` get 634, an index with a visited bit 390-420), and one-shot visitors flush a plain LRU (at zipf 1.0, 10 k of 1 M
//! sessions, 30 % one-shot ids it has 0.79 of the hits of the ideal, this order 0.97). So the *index*, which a hit reads, and
//! the *order*, which only eviction touches, are separate. The idea is that of S3-FIFO (SOSP '23) and SIEVE (NSDI '24).
//!
//! Invariants:
//! - What is not on disk yet is pinned: it stays until the disk tier reports that exactly this write is durable.
//! - A destroyed session stays as a pinned tombstone until its deletion is durable, so a reader never finds the old record.
//! - A reader fills the tier from disk only if nothing happened to the key while it read.
//! - A quick change is not handed to the disk. Its slot is dirty until another change includes it, or until its turn to be
//!   evicted comes: then it is handed over, and leaves memory once it is durable.
//! - The old key of a session that was rotated with a grace leads to the new key until the grace is over, as a separate slot
//!   that is not in the order.
//! - The disk's queue gets the writes of one key in the order in which the shard saw them: `enqueue` runs under its lock.
//!
//! Knows nothing of redb or tokens.

mod anonymous;
mod ghost;
mod index;
#[cfg(all(test, shuttle))]
mod interleaved;
mod order;
mod shard;
mod sweep;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicUsize, Ordering};

pub(crate) use self::sweep::Claim;
#[cfg(not(all(test, shuttle)))]
use parking_lot::{Mutex, MutexGuard};
use sessile_codec::Record;

#[cfg(all(test, shuttle))]
use self::interleaved::{Mutex, MutexGuard};
use self::{
    anonymous::Anonymous,
    index::{Content, Other, Saved, Slot},
    shard::{NoWriteBack, Shard},
};
use crate::{
    expiry,
    token::{Handle, Key},
};

/// Parts with one lock each. More than the threads that look up sessions at once on the largest supported machines, so that two
/// of them seldom need the same lock.
const SHARDS: usize = 64;

/// The number of sessions without an owner that a shard checks to find one that was not used recently.
const VICTIMS: usize = 16;

/// Numbers the writes of this process, in the order in which they were queued for the disk.
pub(crate) type Seq = u64;

/// Takes records that leave memory and that the disk does not have yet.
pub(crate) trait WriteBack {
    /// Queues `record` for the disk, which has nothing of its session if `is_unborn`. Runs under a shard's lock.
    fn write_back(&self, key: &Key, record: Record, is_unborn: bool) -> Seq;
}

/// What was handed to the disk of a key before a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Before {
    /// The key's last write, if that is not durable yet.
    pub(crate) seq: Option<Seq>,
    /// Whether nothing was handed to it.
    pub(crate) is_unborn: bool,
}

/// Each shard has its own cache lines, or one core's lock would slow its neighbours down.
#[repr(align(128))]
struct Padded(Mutex<Shard>);

pub(crate) struct Memory {
    shards: Box<[Padded; SHARDS]>,
    budget_bytes: usize,
    /// The shard that is searched next for a session without an owner.
    next_victim: AtomicUsize,
}

/// The counts of one shard, or of all together.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct Counts {
    pub(crate) hits: u64,
    pub(crate) evictions: u64,
    pub(crate) sessions: u64,
    pub(crate) bytes: u64,
}

/// What the memory tier knows of a key.
pub(crate) enum Lookup {
    /// The current record, and when it was last used as far as memory knows.
    Hit(Record, u64),
    /// The session is over: there is a record, and its deadline has passed.
    Expired,
    /// The session was destroyed, and the disk may not know it yet.
    Dead,
    /// The session was rotated and is under this key now.
    Moved(Key),
    /// Nothing: see [`Memory::begin_load`].
    Miss,
}

/// What a change is based on. The change is refused if the key has changed since.
#[derive(Clone, Copy)]
pub(crate) enum Base<'a> {
    /// Exactly this record.
    Record(&'a Record),
    /// What the disk had when this load began.
    Load(&'a Load<'a>),
    /// The disk had nothing when this load began.
    #[cfg(feature = "foreign")]
    Nothing(&'a Load<'a>),
}

/// A read from disk in progress. Its result is discarded if anything else happens to the key.
pub(crate) struct Load<'a> {
    memory: &'a Memory,
    key: Key,
    id: u64,
}

impl Drop for Load<'_> {
    fn drop(&mut self) {
        let mut shard = self.memory.shard(&self.key);
        if shard.is_loading(&self.key, self.id) {
            shard.index.remove(&self.key);
        }
    }
}

/// The outcome of a commit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Swap<T> {
    /// It is the current record now, and queued.
    Done(T),
    /// Something else happened to the key first: look again.
    Changed,
    /// The session was destroyed.
    Dead,
}

/// The key that a session moves to, and its record there.
pub(crate) struct Rekey<'a> {
    pub(crate) key: &'a Key,
    pub(crate) record: &'a Record,
    /// Until when the old key leads to the new one, if at all.
    pub(crate) grace: Option<Grace>,
}

/// What memory had of a session that is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forgotten {
    /// Whether the disk never had anything of it.
    pub(crate) is_unborn: bool,
    pub(crate) handle: Handle,
}

/// How long the old key of a rotated session leads to the new one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grace {
    pub(crate) now_ms: u64,
    pub(crate) until_ms: u64,
}

impl Grace {
    fn is_over(&self, now_ms: u64) -> bool {
        self.until_ms <= now_ms || expiry::is_from_ahead(self.now_ms, now_ms)
    }
}

impl Memory {
    /// `lists_anonymous`: whether [`anonymous`](Self::anonymous) will be called.
    pub(crate) fn new(budget_bytes: usize, lists_anonymous: bool) -> Self {
        let anonymous = || Anonymous::kept(lists_anonymous);
        let shard = || Shard { budget_bytes: budget_bytes / SHARDS, anonymous: anonymous(), ..Shard::default() };
        let shards = Box::new(std::array::from_fn(|_| Padded(Mutex::new(shard()))));
        Self { shards, budget_bytes, next_victim: AtomicUsize::new(0) }
    }

    pub(crate) fn budget_bytes(&self) -> usize {
        self.budget_bytes
    }

    /// Looks `key` up and, if its session is alive, notes the use at `now_ms`.
    pub(crate) fn get(&self, key: &Key, now_ms: u64) -> Lookup {
        look(&mut self.shard(key), key, now_ms, true)
    }

    /// Looks `key` up without noting a use.
    pub(crate) fn peek(&self, key: &Key, now_ms: u64) -> Lookup {
        look(&mut self.shard(key), key, now_ms, false)
    }

    /// Announces a read from disk after a miss. `None`: the key is in memory now, look again.
    pub(crate) fn begin_load(&self, key: &Key) -> Option<Load<'_>> {
        let mut shard = self.shard(key);
        let id = match shard.index.get(key).map(|slot| slot.content.other()) {
            // Several readers may read at once; the first one fills the slot.
            Some(Some(Other::Loading(id))) => *id,
            Some(_) => return None,
            None => {
                shard.loads += 1;
                let id = shard.loads;
                shard.index.insert(Slot::new(*key, Other::Loading(id), 0));
                id
            }
        };
        Some(Load { memory: self, key: *key, id })
    }

    /// Ends a load that found `record`. `false`: something else happened to the key, look again.
    pub(crate) fn fill(&self, load: &Load<'_>, record: &Record, now_ms: u64, disk: &impl WriteBack) -> bool {
        let mut shard = self.shard(&load.key);
        let ours = shard.is_loading(&load.key, load.id);
        if ours {
            shard.index.remove(&load.key);
            shard.admit(Slot::new(load.key, Content::Live(record.clone()), now_ms));
            shard.evict(Some(disk));
        }
        ours
    }

    /// Ends a load that found nothing. `false`: something else happened to the key, look again.
    pub(crate) fn is_undisturbed(&self, load: &Load<'_>) -> bool {
        self.shard(&load.key).is_loading(&load.key, load.id)
    }

    /// Adds a new session. `enqueue` hands it to the disk tier and returns the write's number, or none for a quick change.
    pub(crate) fn insert<T>(
        &self,
        key: &Key,
        record: &Record,
        disk: &impl WriteBack,
        enqueue: impl FnOnce() -> (Option<Seq>, T),
    ) -> T {
        let mut shard = self.shard(key);
        let (seq, ticket) = enqueue();
        shard.set(key, Content::Live(record.clone()), record.meta().last_seen_ms, seq, Before { seq: None, is_unborn: true });
        shard.evict(Some(disk));
        ticket
    }

    /// Puts `new` under `key` if nothing happened since `base`. For `enqueue` see [`insert`](Self::insert).
    pub(crate) fn swap<T>(
        &self,
        key: &Key,
        base: Base<'_>,
        new: &Record,
        disk: &impl WriteBack,
        enqueue: impl FnOnce(Before) -> (Option<Seq>, T),
    ) -> Swap<T> {
        let mut shard = self.shard(key);
        shard.compare(key, base).map(|before| {
            let (seq, ticket) = enqueue(before);
            shard.set(key, Content::Live(new.clone()), new.meta().last_seen_ms, seq, before);
            shard.evict(Some(disk));
            ticket
        })
    }

    /// Puts the record of `to` under its key, if nothing happened to `key` since `base`. No thread sees one key without the
    /// other. Under `key` stays a tombstone, or with a grace a reference to the new key.
    pub(crate) fn rekey<T>(
        &self,
        key: &Key,
        base: Base<'_>,
        to: &Rekey<'_>,
        disk: &impl WriteBack,
        enqueue: impl FnOnce(Before) -> (Seq, T),
    ) -> Swap<T> {
        let (mut from_shard, mut to_shard) = self.two_shards(key, to.key);
        from_shard.compare(key, base).map(|before| {
            let (seq, ticket) = enqueue(before);
            let old = match to.grace {
                Some(grace) => from_shard.begin_grace(key, to.key, grace),
                None => Other::Dead,
            };
            from_shard.set(key, old.into(), 0, Some(seq), before);
            let to_shard = to_shard.as_deref_mut().unwrap_or(&mut *from_shard);
            let seen_ms = to.record.meta().last_seen_ms;
            to_shard.set(to.key, Content::Live(to.record.clone()), seen_ms, Some(seq), Before::default());
            to_shard.evict(Some(disk));
            ticket
        })
    }

    /// Puts a tombstone under `key`, if nothing happened since `base`.
    pub(crate) fn kill<T>(&self, key: &Key, base: Base<'_>, enqueue: impl FnOnce(Before) -> (Seq, T)) -> Swap<T> {
        let mut shard = self.shard(key);
        shard.compare(key, base).map(|before| {
            let (seq, ticket) = enqueue(before);
            shard.set(key, Other::Dead.into(), 0, Some(seq), before);
            ticket
        })
    }

    /// The write `seq` of `key` is durable: unless a later one is pending, the slot may be evicted, and a tombstone is removed.
    pub(crate) fn unpin(&self, key: &Key, seq: Seq) {
        let mut shard = self.shard(key);
        let shard = &mut *shard;
        let Some(slot) = shard.index.get_mut(key).filter(|slot| slot.pinned() == Some(seq)) else { return };
        slot.unpin();
        let evicted = slot.saved == Saved::Leaving && !slot.turn.is_used();
        shard.leaving_bytes -= slot.stay();
        match &slot.content {
            Content::Live(_) if evicted => {
                shard.remove(key);
                shard.counts.evictions += 1;
            }
            Content::Live(_) => {
                shard.list(key);
                // This is the disk's thread: a record that must be written first waits for the next commit or read.
                shard.evict::<NoWriteBack>(None);
            }
            Content::Other(other) if matches!(**other, Other::Dead) => shard.remove(key),
            Content::Other(_) => {}
        }
    }

    /// Forgets the record of a session that is over, if it is in memory and not pending for the disk.
    pub(crate) fn forget(&self, key: &Key) -> Option<Forgotten> {
        let mut shard = self.shard(key);
        let slot = shard.index.get(key).filter(|slot| slot.pinned().is_none())?;
        let Content::Live(record) = &slot.content else { return None };
        let forgotten = Forgotten { is_unborn: slot.saved == Saved::Nothing, handle: Handle::of(&record.meta()) };
        shard.remove(key);
        Some(forgotten)
    }

    /// Hands every quick change to the disk, and with `uses` every last use that is worth it.
    pub(crate) fn write_back(&self, disk: &impl WriteBack, uses: bool) {
        for shard in self.shards.iter() {
            let mut shard = shard.0.lock();
            if !uses && shard.dirty == 0 {
                continue;
            }
            let shard = &mut *shard;
            for slot in shard.index.iter_mut().filter(|slot| uses || slot.is_dirty()) {
                if let Some(record) = slot.unsaved() {
                    shard.dirty -= usize::from(slot.is_dirty());
                    slot.hand_over(record, disk);
                }
            }
        }
    }

    /// Returns a session without an owner: an old one that was not used recently if one is found quickly, else any. `None`:
    /// memory has none.
    pub(crate) fn anonymous(&self) -> Option<Key> {
        let start = self.next_victim.fetch_add(1, Ordering::Relaxed);
        let look =
            |most, unused| (0..SHARDS).find_map(|at| self.shards[(start + at) % SHARDS].0.lock().next_anonymous(most, unused));
        look(VICTIMS, true).or_else(|| look(1, false))
    }

    pub(crate) fn counts(&self) -> Counts {
        self.shards.iter().fold(Counts::default(), |sum, shard| {
            let shard = shard.0.lock();
            Counts {
                hits: sum.hits + shard.counts.hits,
                evictions: sum.evictions + shard.counts.evictions,
                sessions: sum.sessions + shard.index.live() as u64,
                bytes: sum.bytes + shard.used_bytes as u64,
            }
        })
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, Shard> {
        self.shards[shard_of(key)].0.lock()
    }

    /// Locks the shards of both keys, always in the same order so that two callers cannot deadlock. The second is `None` if
    /// both are the same.
    fn two_shards(&self, a: &Key, b: &Key) -> (MutexGuard<'_, Shard>, Option<MutexGuard<'_, Shard>>) {
        let (at, bt) = (shard_of(a), shard_of(b));
        match at.cmp(&bt) {
            std::cmp::Ordering::Equal => (self.shard(a), None),
            std::cmp::Ordering::Less => {
                let first = self.shard(a);
                (first, Some(self.shard(b)))
            }
            std::cmp::Ordering::Greater => {
                let second = self.shard(b);
                (self.shard(a), Some(second))
            }
        }
    }
}

#[inline]
fn look(shard: &mut Shard, key: &Key, now_ms: u64, is_use: bool) -> Lookup {
    let Some(slot) = shard.index.get_mut(key) else { return Lookup::Miss };
    match &slot.content {
        Content::Live(record) => {
            if is_use {
                record.prefetch();
            }
            let meta = record.meta();
            // Before the use is noted: it must not revive an expired session.
            if expiry::deadline_ms(&meta, slot.seen_ms()) <= now_ms {
                return Lookup::Expired;
            }
            let record = record.clone();
            if is_use {
                slot.turn.note_use();
                slot.note_use(now_ms);
                shard.counts.hits += 1;
            }
            Lookup::Hit(record, slot.seen_ms())
        }
        Content::Other(other) => match **other {
            Other::Dead => Lookup::Dead,
            Other::Loading(_) => Lookup::Miss,
            Other::Moved { to, grace } if !grace.is_over(now_ms) => Lookup::Moved(to),
            Other::Moved { .. } => {
                shard.end_grace(key);
                Lookup::Dead
            }
        },
    }
}

/// Shards use the last byte of a key, the index the first ones: keys are hashes, so any bits will do.
fn shard_of(key: &Key) -> usize {
    usize::from(key[15]) % SHARDS
}

impl<T> Swap<T> {
    pub(crate) fn map<U>(self, with: impl FnOnce(T) -> U) -> Swap<U> {
        match self {
            Swap::Done(value) => Swap::Done(with(value)),
            Swap::Changed => Swap::Changed,
            Swap::Dead => Swap::Dead,
        }
    }
}
