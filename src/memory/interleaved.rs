//! Tests the protocol between memory and disk under many thousands of interleavings, which shuttle chooses and can repeat.
//!
//! `RUSTFLAGS="--cfg shuttle" cargo test --lib interleaved` runs it. With that flag the tier uses shuttle's locks, and another
//! thread may run at every lock. The disk is a map and a queue, written by its own thread.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use sessile_codec::{Limits, Meta, Patch};
use shuttle::{
    scheduler::{PctScheduler, RandomScheduler},
    sync, thread,
};

use super::*;

/// A mutex of shuttle's with the interface of parking_lot's.
#[derive(Default)]
pub(super) struct Mutex<T>(sync::Mutex<T>);

pub(super) type MutexGuard<'a, T> = sync::MutexGuard<'a, T>;

impl<T> Mutex<T> {
    pub(super) fn new(value: T) -> Self {
        Self(sync::Mutex::new(value))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().expect("a test that panicked under a lock has failed already")
    }
}

/// What is queued for the disk, and what is on it.
#[derive(Default)]
struct Disk(Mutex<DiskState>);

#[derive(Default)]
struct DiskState {
    queue: VecDeque<(Seq, Key, Option<Record>)>,
    last: Seq,
    records: HashMap<Key, Record>,
}

impl Disk {
    fn enqueue(&self, key: &Key, record: Option<Record>) -> Seq {
        self.enqueue_after(key, record, None)
    }

    /// Like `enqueue`, and like the disk's queue: replaces the write `before` if that is still pending.
    fn enqueue_after(&self, key: &Key, record: Option<Record>, before: Option<Seq>) -> Seq {
        let mut state = self.0.lock();
        if let Some(queued) = state.queue.iter_mut().find(|(seq, ..)| Some(*seq) == before)
            && matches!((&queued.2, &record), (Some(_), Some(_)))
        {
            queued.2 = record;
            return queued.0;
        }
        state.last += 1;
        let seq = state.last;
        state.queue.push_back((seq, *key, record));
        seq
    }

    fn load(&self, key: &Key) -> Option<Record> {
        self.0.lock().records.get(key).cloned()
    }

    /// Writes up to `most` changes.
    fn write_some(&self, memory: &Memory, most: usize) {
        for _ in 0..most {
            self.write(memory);
        }
    }

    /// Writes one change, and notifies memory.
    fn write(&self, memory: &Memory) -> bool {
        let mut state = self.0.lock();
        let Some((seq, key, record)) = state.queue.pop_front() else { return false };
        match record {
            Some(record) => drop(state.records.insert(key, record)),
            None => drop(state.records.remove(&key)),
        }
        drop(state);
        memory.unpin(&key, seq);
        true
    }
}

impl WriteBack for Disk {
    fn write_back(&self, key: &Key, record: Record, _: bool) -> Seq {
        self.enqueue(key, Some(record))
    }
}

/// The session under test, and another of its shard that competes with it.
const KEY: Key = [1; 16];
const OTHER: Key = [2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1];

fn record(key: &Key, revision: u64) -> Record {
    let meta = Meta { revision, idle_deadline_ms: u64::MAX, absolute_deadline_ms: u64::MAX, ..Meta::default() };
    Patch::new().apply(None, key, &meta, &Limits::default()).expect("an empty record is within every limit")
}

struct World {
    memory: Memory,
    disk: Disk,
}

impl World {
    /// Two sessions, and a memory that has room for none, so that everything leaves as soon as it may.
    fn new() -> Arc<Self> {
        let world = Self { memory: Memory::new(0, false), disk: Disk::default() };
        for key in [KEY, OTHER] {
            let mut state = world.disk.0.lock();
            state.records.insert(key, record(&key, 0));
        }
        Arc::new(world)
    }

    /// Like `Store::find`: returns the session's record, if there is one.
    fn find(&self, key: &Key) -> Option<Record> {
        loop {
            match self.memory.get(key, 0) {
                Lookup::Hit(record, _) => return Some(record),
                Lookup::Dead | Lookup::Expired | Lookup::Moved(_) => return None,
                Lookup::Miss => {}
            }
            let Some(load) = self.memory.begin_load(key) else { continue };
            match self.disk.load(key) {
                Some(record) if self.memory.fill(&load, &record, 0, &self.disk) => return Some(record),
                None if self.memory.is_undisturbed(&load) => return None,
                _ => {}
            }
        }
    }

    /// Like a commit of `Store`: adds one to the revision, quick or not. `false`: the session is over.
    fn add(&self, key: &Key, quick: bool) -> bool {
        self.change(key, |base, current| {
            let new = record(key, current.meta().revision + 1);
            let enqueue = |before: Before| ((!quick).then(|| self.disk.enqueue_after(key, Some(new.clone()), before.seq)), ());
            self.memory.swap(key, base, &new, &self.disk, enqueue)
        })
    }

    fn destroy(&self, key: &Key) -> bool {
        self.change(key, |base, _| self.memory.kill(key, base, |_| (self.disk.enqueue(key, None), ())))
    }

    fn change(&self, key: &Key, attempt: impl Fn(Base<'_>, &Record) -> Swap<()>) -> bool {
        loop {
            let swapped = match self.memory.peek(key, 0) {
                Lookup::Hit(current, _) => attempt(Base::Record(&current), &current),
                Lookup::Dead | Lookup::Expired | Lookup::Moved(_) => return false,
                Lookup::Miss => {
                    let Some(load) = self.memory.begin_load(key) else { continue };
                    let Some(current) = self.disk.load(key) else { return false };
                    attempt(Base::Load(&load), &current)
                }
            };
            match swapped {
                Swap::Done(()) => return true,
                Swap::Changed => {}
                Swap::Dead => return false,
            }
        }
    }

    /// Returns what a clean close leaves on disk.
    fn close(&self) -> Option<u64> {
        self.memory.write_back(&self.disk, true);
        while self.disk.write(&self.memory) {}
        self.disk.load(&KEY).map(|record| record.meta().revision)
    }
}

/// Schedules of each kind.
const RUNS: usize = 3000;

/// Runs `scenario` under random schedules, and under those that switch rarely, at the worst places.
fn explore(scenario: impl Fn() + Send + Sync + Copy + 'static) {
    let mut config = shuttle::Config::new();
    // A shard is built on the stack, and the default is 32 KiB.
    config.stack_size = 512 << 10;
    shuttle::Runner::new(RandomScheduler::new(RUNS), config.clone()).run(scenario);
    shuttle::Runner::new(PctScheduler::new(4, RUNS), config).run(scenario);
}

fn spawn<T: Send + 'static>(world: &Arc<World>, work: impl FnOnce(&World) -> T + Send + 'static) -> thread::JoinHandle<T> {
    let world = world.clone();
    thread::spawn(move || work(&world))
}

#[test]
fn interleaved_commits_evictions_and_flushes_lose_nothing() {
    explore(|| {
        let world = World::new();
        let writers = [true, false].map(|quick| spawn(&world, move |world| (0..2).all(|_| world.add(&KEY, quick))));
        let disk = spawn(&world, |world| world.disk.write_some(&world.memory, 3));
        let pressure = spawn(&world, |world| {
            assert!(world.find(&OTHER).is_some());
            let seen = world.find(&KEY).expect("no thread ends it").meta().revision;
            assert!(world.find(&KEY).expect("no thread ends it").meta().revision >= seen, "time does not run backwards");
        });
        assert!(writers.into_iter().all(|writer| writer.join().unwrap()));
        disk.join().unwrap();
        pressure.join().unwrap();
        assert_eq!(world.find(&KEY).map(|record| record.meta().revision), Some(4));
        assert_eq!(world.close(), Some(4));
        assert_eq!(world.memory.counts().bytes, 0, "all of it left memory that has no room");
    });
}

#[test]
fn interleaved_ends_stay_ends() {
    explore(|| {
        let world = World::new();
        let quick = spawn(&world, |world| world.add(&KEY, true));
        let reader = spawn(&world, |world| {
            let first = world.find(&KEY).is_some();
            assert!(first || world.find(&KEY).is_none(), "back from the dead");
        });
        let disk = spawn(&world, |world| world.disk.write_some(&world.memory, 2));
        assert!(world.destroy(&KEY));
        assert!(world.find(&KEY).is_none());
        assert!(!world.add(&KEY, false));
        quick.join().unwrap();
        reader.join().unwrap();
        disk.join().unwrap();
        assert!(world.find(&KEY).is_none());
        assert_eq!(world.close(), None);
    });
}

#[test]
fn interleaved_moves_leave_one_of_the_two() {
    explore(|| {
        let world = World::new();
        let to = [3; 16];
        let moving = spawn(&world, move |world| {
            world.change(&KEY, |base, current| {
                let new = record(&to, current.meta().revision);
                let rekey = Rekey { key: &to, record: &new, grace: None };
                world.memory.rekey(&KEY, base, &rekey, &world.disk, |_| {
                    let deleted = world.disk.enqueue(&KEY, None);
                    // One number for both, as a rekeying has; the queue of this test has two entries.
                    let mut state = world.disk.0.lock();
                    state.queue.push_back((deleted, to, Some(new.clone())));
                    (deleted, ())
                })
            })
        });
        let writer = spawn(&world, |world| world.add(&KEY, true));
        let disk = spawn(&world, |world| world.disk.write_some(&world.memory, 2));
        assert!(moving.join().unwrap());
        let written = writer.join().unwrap();
        disk.join().unwrap();
        assert!(world.find(&KEY).is_none());
        assert_eq!(world.find(&to).map(|record| record.meta().revision), Some(u64::from(written)));
        assert_eq!(world.close(), None);
        assert_eq!(world.disk.load(&to).map(|record| record.meta().revision), Some(u64::from(written)));
    });
}
