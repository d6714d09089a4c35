//! The journal: its segments, which are appended to, kept until redb has their frames, and used again; and their pending
//! records.
//!
//! Two threads share it. The *flusher* appends to the active segment; when that is full, it takes the ready one and closes the
//! full one. The *checkpointer* moves closed segments into redb, oldest first, and makes ready ones from their files.
//!
//! Invariants:
//! - Generations count up without a gap; the database's mark contains the last one that it has completely.
//! - The database stores that a journal is in use before the first frame is written, so a lost journal is noticed.
//! - Before the first frame of a segment is acknowledged, the segment before it or the database names it, so that its loss is
//!   noticed, too.
//! - A segment is removed or used again only after the database has all of its frames and its mark says so.
//! - A segment with a failed write or sync is never written to again, nor is its file.
//! - A file that is not this store's is neither removed nor written to, even if it has the name of a segment.

mod behind;

use std::{
    collections::{BTreeSet, VecDeque},
    ffi::OsString,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex, RwLock};

use super::{
    database::Database,
    meta::JournalMark,
    op::Queued,
    own::{self, Whose},
    pending::Pending,
    recover::{self, Recovered},
    segment::{Generation, Label, MIN_BYTES, OVERHEAD, Segment},
    tables,
    ticket::Group,
    volume::{Volume, VolumeFile},
};
use crate::{Error, error::Cause, timeline::Timeline, token::Key};

/// If a segment fills up in less than this, the next one is twice as long: each checkpoint writes some 150 KB besides the
/// records, so a store with few sessions in constant use should not make one every few seconds.
const SOON: Duration = Duration::from_mins(1);
/// Length of a store's first segment.
const FIRST_BYTES: u64 = 256 << 10;
/// Closed segments that stay in the journal until it needs their room. A record that changes again meanwhile is written to redb
/// once: with 100,000 sessions that change at random and a journal of 256 MiB, redb gets one record for each 17 changes instead
/// of for each 1.7.
const MOST_KEPT: usize = 5;
/// One that is appended to, one that is ready, and one that is on its way to redb or spare.
const OTHERS: usize = 3;
/// Closed segments beyond those that are kept, after which no segment is begun until redb takes one over, even if `journal_bytes` has room. With
/// this many waiting, redb does not keep up, and more segments would only make the next open slower.
const MAX_CLOSED: usize = 4;
/// How long the flusher waits for a ready segment before it does its other work. Short, because callers wait for commits and
/// for the close meanwhile.
const PATIENCE: Duration = Duration::from_millis(100);

pub(super) struct Journal {
    volume: Arc<dyn Volume>,
    timeline: Arc<Timeline>,
    /// The database's name; the segments' names begin with it.
    name: OsString,
    store_id: [u8; 16],
    /// The longest segment, unless one record needs more.
    max_bytes: u64,
    /// How many closed segments stay.
    kept: usize,
    /// The limit of all files together.
    total_bytes: u64,
    pending: RwLock<Pending>,
    state: Mutex<State>,
    /// The database's mark; locked while it is being changed.
    mark: Mutex<JournalMark>,
    changed: Condvar,
    /// Held while a segment is made, so that generations are made in the order in which they are used.
    making: Mutex<()>,
    /// How full the active segment is, from 0 to 1000.
    filled: AtomicU64,
    /// Whether there is room only for ends of sessions.
    starved: AtomicBool,
    torn: u64,
    /// What could not be appended before the store was closed. It is in no segment, so redb takes it over in one transaction,
    /// after all segments: if that fails, what was durable stays as it was.
    left: Mutex<Vec<Queued>>,
    /// Resolved when the last checkpoint is done.
    last_checkpoint: Arc<Group>,
}

struct State {
    /// The newest generation, and its salt.
    newest: Generation,
    /// The newest generation that the flusher was given to append to.
    turned_to: u64,
    ready: Option<Active>,
    spare: Option<Spare>,
    /// Set while the flusher wants a ready segment: its least length in bytes, 0 for any.
    wanted: Option<u64>,
    closed: VecDeque<ClosedSegment>,
    /// The numbers in the names of our files.
    numbers: BTreeSet<u32>,
    /// Numbers that are skipped, because a file that is not ours has the name.
    taken: BTreeSet<u32>,
    planned_bytes: u64,
    file_bytes: u64,
    quarantine: Vec<Key>,
    /// Replayed keys for which redb has not been asked yet whether it has a record.
    unsure: BTreeSet<Key>,
    sweeps: Vec<Arc<Group>>,
    /// Why the checkpointer cannot continue.
    trouble: Option<Error>,
    closing: bool,
}

/// A segment and its file number.
pub(super) struct Active {
    number: u32,
    pub(super) segment: Segment,
    /// When it was begun, by the store's own clock.
    since: Duration,
}

/// What the flusher appends to next.
pub(super) struct Next {
    /// An unused segment that comes before it.
    pub(super) skipped: Option<Active>,
    pub(super) active: Active,
}

/// A segment that nothing is appended to any more.
pub(super) struct ClosedSegment {
    number: u32,
    pub(super) label: Label,
    /// Its file, if it may be used again.
    file: Option<Box<dyn VolumeFile>>,
}

/// A file whose frames redb has, kept for the next segment: filling a new file with zeros costs as much as all later writes to
/// it.
struct Spare {
    number: u32,
    len_bytes: u64,
    file: Box<dyn VolumeFile>,
}

/// What the checkpointer does next.
pub(super) enum Job {
    Reopen,
    Prepare,
    Checkpoint(Label),
    /// Ask redb which of these replayed keys it has.
    Recount(Vec<Key>),
    Quarantine(Vec<Key>),
    /// A full sweep for the waiting callers; or, without any, one batch at the regular time.
    Sweep(Vec<Arc<Group>>),
    /// Check whether the disk works: something failed that cannot be repeated.
    Probe,
    Close,
}

impl State {
    /// Returns the segment to move into redb now. A segment whose file cannot be used again is not kept.
    fn due(&self, journal: &Journal) -> Option<&ClosedSegment> {
        let is_full = self.closed.len() > journal.kept || self.closing || !self.sweeps.is_empty() || self.is_crowded(journal);
        self.closed.front().filter(|closed| is_full || closed.file.is_none())
    }

    /// Whether another segment of `len_bytes` keeps the files within `journal_bytes`. Always true if no segment waits for a checkpoint:
    /// waiting would free nothing.
    fn has_room(&self, len_bytes: u64, journal: &Journal) -> bool {
        let spare_bytes = self.spare.as_ref().map_or(0, |spare| spare.len_bytes);
        self.file_bytes - spare_bytes + len_bytes.max(spare_bytes) <= journal.total_bytes || self.closed.is_empty()
    }

    /// Whether the flusher waits for room.
    fn is_crowded(&self, journal: &Journal) -> bool {
        self.wanted.is_some_and(|least_bytes| !self.has_room(self.planned_bytes.max(least_bytes), journal))
    }
}

impl Journal {
    /// Creates the journal of the store `name` from `recovered`, which the next checkpoint takes over.
    pub(super) fn new(
        volume: Arc<dyn Volume>,
        timeline: Arc<Timeline>,
        name: OsString,
        store_id: [u8; 16],
        mark: JournalMark,
        total_bytes: u64,
        recovered: Recovered,
    ) -> Self {
        let number = |name: &OsString| -> Option<u32> {
            let text = name.to_str()?;
            text[text.trim_end_matches(|c: char| c.is_ascii_digit()).len()..].parse().ok()
        };
        for name in &recovered.empty {
            // A file that stays is found empty again at the next open.
            let _ = volume.remove(name);
        }
        let newest = recovered.segments.last().map_or(mark.as_generation(), |left| left.label.as_generation());
        let file_bytes = recovered.segments.iter().map(|left| left.label.len_bytes).sum();
        let longest = recovered.segments.iter().map(|left| left.label.len_bytes).max();
        let mut numbers = BTreeSet::new();
        let closed = recovered.segments.into_iter().map(|left| {
            let number = number(&left.name).expect("the name of a segment ends in its number");
            numbers.insert(number);
            ClosedSegment { number, label: left.label, file: None }
        });
        let closed = closed.collect();
        let files = usize::try_from(total_bytes / MIN_BYTES).unwrap_or(usize::MAX).clamp(OTHERS, OTHERS + MOST_KEPT);
        let (kept, max_bytes) = (files - OTHERS, (total_bytes / files as u64).max(MIN_BYTES));
        let state = State {
            newest,
            turned_to: newest.number,
            ready: None,
            spare: None,
            wanted: None,
            closed,
            numbers,
            taken: BTreeSet::new(),
            planned_bytes: longest.unwrap_or(FIRST_BYTES).min(max_bytes),
            file_bytes,
            quarantine: Vec::new(),
            unsure: recovered.unsure,
            sweeps: Vec::new(),
            trouble: None,
            closing: false,
        };
        Self {
            volume,
            timeline,
            name,
            store_id,
            max_bytes,
            kept,
            total_bytes,
            pending: RwLock::new(recovered.pending),
            state: Mutex::new(state),
            mark: Mutex::new(mark),
            changed: Condvar::new(),
            making: Mutex::new(()),
            filled: AtomicU64::new(0),
            starved: AtomicBool::new(false),
            torn: recovered.torn,
            left: Mutex::default(),
            last_checkpoint: Arc::default(),
        }
    }

    pub(super) fn pending(&self) -> &RwLock<Pending> {
        &self.pending
    }

    pub(super) fn file_bytes(&self) -> u64 {
        self.state.lock().file_bytes
    }

    pub(super) fn torn(&self) -> u64 {
        self.torn
    }

    /// Whether there is room only for ends of sessions.
    pub(super) fn is_starved(&self) -> bool {
        self.starved.load(Ordering::Relaxed)
    }

    pub(super) fn set_starved(&self, starved: bool) {
        self.starved.store(starved, Ordering::Relaxed);
    }

    /// Returns why the checkpointer cannot continue, if it cannot.
    pub(super) fn trouble(&self) -> Option<Error> {
        self.state.lock().trouble.clone()
    }

    // What the flusher calls.

    /// Stores in the database's mark that a journal is in use and that `generation` is part of it, unless the segment before
    /// names it (`is_named`). The segment exists, and has no frame yet.
    ///
    /// If the mark already says that a journal is in use and the database does not work, this is not an error: the next checkpoint stores the
    /// generation, and sign-outs must not fail meanwhile.
    pub(super) fn announce(&self, database: &Database, generation: u64, is_named: bool) -> Result<(), Error> {
        let mut mark = self.mark.lock();
        if mark.in_use && (is_named || mark.newest >= generation) {
            return Ok(());
        }
        let announced = JournalMark { in_use: true, newest: generation, ..*mark };
        let write = |redb: &_| tables::write(redb, database.at_rest(), |tables| tables.set_journal(announced));
        match database.check_name().and_then(|()| database.with(write)) {
            Ok(_) => *mark = announced,
            Err(error) if !mark.in_use => return Err(error),
            // The checkpointer reopens the database.
            Err(_) => self.nudge(),
        }
        Ok(())
    }

    /// Leaves operations that could not be appended to the last checkpoint.
    pub(super) fn leave(&self, ops: &[Queued]) {
        self.left.lock().extend_from_slice(ops);
    }

    /// Waits for the last checkpoint, which takes over what was [left](Self::leave).
    pub(super) fn wait_for_last_checkpoint(&self) -> Result<(), Error> {
        self.last_checkpoint.wait()
    }

    pub(super) fn has_ready(&self) -> bool {
        self.state.lock().ready.is_some()
    }

    /// Returns a segment with room for a frame of `needed` bytes: the ready one or, if none is active (`first`), a new one.
    /// Waits a moment for the checkpointer; `Ok(None)`: one may be ready later.
    pub(super) fn next(&self, needed: u64, first: bool) -> Result<Option<Next>, Error> {
        let give_up = Instant::now() + PATIENCE;
        let least_bytes = (needed + OVERHEAD).next_multiple_of(4096);
        let mut state = self.state.lock();
        let next = loop {
            let is_too_short = state.ready.as_ref().is_some_and(|ready| ready.segment.capacity() < needed);
            if is_too_short && state.has_room(least_bytes, self) {
                drop(state);
                break self.make_long(least_bytes)?;
            }
            if let Some(ready) = state.ready.take_if(|_| !is_too_short) {
                self.want(&mut state, 0);
                drop(state);
                break Next { skipped: None, active: ready };
            }
            let len_bytes = state.planned_bytes.max(least_bytes);
            if first && !is_too_short && state.closed.len() < self.kept + MAX_CLOSED && state.has_room(len_bytes, self) {
                self.want(&mut state, 0);
                drop(state);
                let _making = self.making.lock();
                if !self.has_ready() {
                    break Next { skipped: None, active: self.make(len_bytes)? };
                }
                state = self.state.lock();
                continue;
            }
            if let Some(trouble) = &state.trouble {
                return Err(trouble.clone());
            }
            self.want(&mut state, least_bytes);
            if self.changed.wait_until(&mut state, give_up).timed_out() {
                return Ok(None);
            }
        };
        self.filled.store(0, Ordering::Relaxed);
        let active = Active { since: self.timeline.uptime(), ..next.active };
        self.state.lock().turned_to = active.segment.label().generation;
        Ok(Some(Next { active, ..next }))
    }

    /// Makes the checkpointer prepare a segment of at least `least_bytes`.
    fn want(&self, state: &mut State, least_bytes: u64) {
        state.wanted = Some(least_bytes);
        self.changed.notify_all();
    }

    /// Makes a segment for a record that the ready one cannot hold. The ready one keeps its place in the order and is left
    /// unused. If this fails, nothing has changed.
    fn make_long(&self, len_bytes: u64) -> Result<Next, Error> {
        let _making = self.making.lock();
        let active = self.make(len_bytes)?;
        let mut state = self.state.lock();
        let skipped = state.ready.take();
        self.want(&mut state, 0);
        Ok(Next { skipped, active })
    }

    /// Makes a new segment under a free name. The caller holds `making`.
    fn make(&self, len_bytes: u64) -> Result<Active, Error> {
        let before = self.state.lock().newest;
        let (number, file) = self.create()?;
        let made = Label::new(self.store_id, before, len_bytes).and_then(|label| {
            let segment = Segment::prepare(file, label);
            segment.and_then(|segment| self.volume.sync().map(|()| segment)).map_err(degraded)
        });
        let made = made.inspect_err(|_| {
            // If the file stays, the next open finds it unfinished or unused.
            let _ = self.volume.remove(&self.file_name(number));
        });
        let mut state = self.state.lock();
        match made {
            Ok(segment) => {
                state.newest = segment.label().as_generation();
                state.file_bytes += len_bytes;
                Ok(Active { number, segment, since: self.timeline.uptime() })
            }
            Err(error) => {
                state.numbers.remove(&number);
                Err(error)
            }
        }
    }

    /// Creates a file with a free number. An existing file keeps its name, unless it is an unfinished one of ours. That
    /// includes a segment of this store, which may be from a restored backup.
    fn create(&self) -> Result<(u32, Box<dyn VolumeFile>), Error> {
        loop {
            let number = {
                let mut state = self.state.lock();
                let is_free = |number: &u32| !state.numbers.contains(number) && !state.taken.contains(number);
                let number = (0..u32::MAX).find(is_free).expect("there are fewer files than numbers");
                state.numbers.insert(number);
                number
            };
            let name = self.file_name(number);
            let created = match self.volume.create(&name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    if matches!(own::whose(&*self.volume, &name, Some(&self.store_id)), Ok(Whose::Unfinished)) {
                        self.volume.remove(&name).and_then(|()| self.volume.create(&name))
                    } else {
                        let mut state = self.state.lock();
                        state.numbers.remove(&number);
                        state.taken.insert(number);
                        continue;
                    }
                }
                created => created,
            };
            return created.map(|file| (number, file)).map_err(|error| {
                self.state.lock().numbers.remove(&number);
                degraded(error)
            });
        }
    }

    /// Called when the frames of `ops` are synced in `active`.
    pub(super) fn appended(&self, active: &Active, ops: &[Queued]) {
        let generation = active.segment.label().generation;
        let mut pending = self.pending.write();
        for queued in ops {
            pending.apply(&queued.op, queued.fresh, generation);
        }
        drop(pending);
        let (capacity, room) = (active.segment.capacity(), active.segment.room());
        self.filled.store((capacity - room.min(capacity)) * 1000 / capacity.max(1), Ordering::Relaxed);
    }

    /// Closes `active` for appends. `is_sound`: no write or sync of it failed.
    pub(super) fn close_segment(&self, mut active: Active, is_sound: bool) {
        if is_sound {
            // The mark only distinguishes damage from a torn write; without it, nothing is lost.
            let _ = active.segment.mark();
        }
        let (label, is_unused) = (*active.segment.label(), active.segment.is_unused());
        let file = is_sound.then(|| active.segment.into_file());
        let took = self.timeline.uptime().saturating_sub(active.since);
        let mut state = self.state.lock();
        if is_sound && !is_unused && took < SOON {
            state.planned_bytes = (label.len_bytes * 2).min(self.max_bytes).max(state.planned_bytes);
        }
        state.closed.push_back(ClosedSegment { number: active.number, label, file });
        self.changed.notify_all();
    }

    pub(super) fn request_sweep(&self, group: Arc<Group>) {
        self.state.lock().sweeps.push(group);
        self.changed.notify_all();
    }

    /// Only the last checkpoint follows this call.
    pub(super) fn close(&self) {
        self.state.lock().closing = true;
        self.changed.notify_all();
    }

    // What readers call.

    /// Called when the record under `key` in the database is damaged.
    pub(super) fn request_quarantine(&self, key: Key) {
        let mut state = self.state.lock();
        if !state.quarantine.contains(&key) {
            state.quarantine.push(key);
            self.changed.notify_all();
        }
    }

    /// Makes the checkpointer check the database now.
    pub(super) fn nudge(&self) {
        // Under its lock the checkpointer is either before its check of the database, or waits to be notified.
        let _state = self.state.lock();
        self.changed.notify_all();
    }

    fn file_name(&self, number: u32) -> OsString {
        recover::file_name(&self.name, &number.to_string())
    }
}

fn degraded(error: io::Error) -> Error {
    Error::Degraded { source: Cause::new(error) }
}
