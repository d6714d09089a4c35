//! The two tiers as one store of sessions.
//!
//! Invariants:
//! - Memory is asked first and answers for the disk: what is not durable yet is pinned there, tombstones of destroyed sessions too.
//! - A commit is a merge onto the record that is current when it is made; it is refused when that session is over.
//! - A token's MAC is checked before any I/O, and only when memory does not know the session: a forged id costs no I/O.
//! - A failure of the disk is an error to the caller, never "no session".

mod ending;

use std::{
    fmt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use sessile_codec::{Limits, Record};

use self::ending::{Endings, Meant};
use crate::{
    Ack, Builder, Durability, Error, Stats, Tier, Token,
    clock::{Clock, from_ms, to_ms},
    disk::{self, Disk, Op, Ticket, Upstream, Urgency},
    expiry::{self, Timeouts},
    label,
    memory::{Base, Load, Lookup, Memory, Seq, Swap},
    token::{Handle, Key, KeyRing, owner_hash},
};

/// Sessions in one file, with the hot ones in memory.
///
/// Cheap to clone: every clone is the same store. The file is closed when the last clone is dropped, sessions included; call
/// [`close`](Self::close) to hear whether that went well.
///
/// # Examples
/// ```
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("sessions.redb");
/// use sessile::Store;
///
/// let store = Store::open(&path)?;
/// let session = store.session(None)?;
/// session.insert("name", "Ada")?;
/// session.save().wait()?;
///
/// // What the client presents the next time.
/// let token = session.token().unwrap();
/// assert_eq!(store.session(Some(&token))?.get::<String>("name")?.as_deref(), Some("Ada"));
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    memory: Arc<Memory>,
    disk: Disk,
    ring: KeyRing,
    timeouts: Timeouts,
    limits: Limits,
    urgency: Urgency,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
    endings: Endings,
}

/// What is counted outside the tiers.
#[derive(Default)]
struct Counters {
    disk_hits: AtomicU64,
    misses: AtomicU64,
    forged: AtomicU64,
    ambiguous: AtomicU64,
    commits: AtomicU64,
    dropped_commits: AtomicU64,
    expired: AtomicU64,
    corrupt: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A session that was found.
pub(crate) struct Found {
    pub(crate) key: Key,
    pub(crate) record: Record,
    /// When it was last used, this time included.
    pub(crate) seen_ms: u64,
    pub(crate) tier: Tier,
}

/// The record of a key now, and what a change of it is to be based on.
struct Current<'a> {
    record: Record,
    load: Option<Load<'a>>,
}

impl Current<'_> {
    fn base(&self) -> Base<'_> {
        self.load.as_ref().map_or(Base::Record(&self.record), Base::Load)
    }
}

/// A commit that is queued.
pub(crate) struct Committed {
    pub(crate) record: Record,
    pub(crate) ticket: Ticket,
}

impl Store {
    /// Opens the store at `path`, or makes one if no file is there, with the defaults of [`Builder`].
    ///
    /// # Errors
    /// [`Error::AlreadyOpen`], [`Error::EmptyFile`], [`Error::NotAStore`], [`Error::StoreFormat`], [`Error::Open`],
    /// [`Error::NoRandomness`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::builder().open(path)
    }

    /// Settings other than the defaults.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn start(builder: &Builder, settings: disk::Settings) -> Result<Self, Error> {
        let path = settings.volume.path(&settings.name);
        let memory = Arc::new(Memory::new(builder.memory_budget));
        let clock = builder.clock.clone();
        let upstream = Arc::new(Above { memory: memory.clone(), clock: clock.clone() });
        let (disk, mac_keys) = Disk::open(settings, upstream)?;
        let ring = KeyRing::from_bytes(&mac_keys).ok_or(Error::NotAStore { path })?;
        let urgency = match builder.durability {
            Durability::Durable => Urgency::Now,
            Durability::Relaxed => Urgency::Soon,
        };
        let (timeouts, limits) = (builder.timeouts, builder.limits);
        let (counters, endings) = (Arc::default(), Endings::default());
        Ok(Self(Arc::new(Inner { memory, disk, ring, timeouts, limits, urgency, clock, counters, endings })))
    }

    /// The sessions of `owner` that are alive, the one used last first.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// for device in ["laptop", "phone"] {
    ///     let session = store.session(None)?;
    ///     session.bind_owner("ada");
    ///     session.set_label(device);
    ///     session.save().wait()?;
    /// }
    /// let sessions = store.sessions_of("ada")?;
    /// assert_eq!(sessions.len(), 2);
    ///
    /// let phone = sessions.iter().find(|session| session.label.as_deref() == Some("phone")).unwrap();
    /// assert!(store.destroy_one("ada", &phone.handle).wait()?);
    /// assert_eq!(store.sessions_of("ada")?.len(), 1);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Degraded`] if the disk refuses.
    pub fn sessions_of(&self, owner: impl AsRef<[u8]>) -> Result<Vec<SessionInfo>, Error> {
        let owner = owner_hash(owner.as_ref());
        let mut sessions = Vec::new();
        for key in self.0.disk.of_owner(&owner)? {
            if let Some((record, seen_ms)) = self.inspect(&key)?.filter(|(record, _)| record.meta().owner == owner) {
                sessions.push(SessionInfo::new(&key, &record, seen_ms));
            }
        }
        sessions.sort_by_key(|session| std::cmp::Reverse(session.last_seen));
        Ok(sessions)
    }

    /// Ends the session of `owner` that `handle` names. `false`: this owner has no such session, or not any more.
    ///
    /// Durable whatever the store's class, and effective for the next read of any thread.
    pub fn destroy_one(&self, owner: impl AsRef<[u8]>, handle: &Handle) -> Ack<bool> {
        map_ack(self.destroy_where(owner.as_ref(), Meant::One(*handle)), |count| count > 0)
    }

    /// Ends every session of `owner`, and tells how many. See [`destroy_one`](Self::destroy_one).
    pub fn destroy_all(&self, owner: impl AsRef<[u8]>) -> Ack<usize> {
        map_ack(self.destroy_where(owner.as_ref(), Meant::All), |count| count)
    }

    /// Ends every session of `owner` but the one that `kept` names, and tells how many. See [`destroy_one`](Self::destroy_one).
    pub fn destroy_others(&self, owner: impl AsRef<[u8]>, kept: &Handle) -> Ack<usize> {
        map_ack(self.destroy_where(owner.as_ref(), Meant::AllBut(*kept)), |count| count)
    }

    /// Makes everything durable that was committed until now.
    pub fn flush(&self) -> Ack {
        Ack::new(self.0.disk.flush(), ())
    }

    /// Writes what is not on disk yet and closes the file, for all clones of this store. Later commits give [`Error::Closed`].
    ///
    /// # Errors
    /// [`Error::Degraded`] if the disk refuses: then the last relaxed commits may be lost.
    pub fn close(&self) -> Result<(), Error> {
        self.0.disk.close()
    }

    /// What the store has done and holds.
    pub fn stats(&self) -> Stats {
        let (memory, disk, counters) = (self.0.memory.counts(), self.0.disk.stats(), &self.0.counters);
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            memory_hits: memory.hits,
            disk_hits: read(&counters.disk_hits),
            misses: read(&counters.misses),
            forged: read(&counters.forged),
            ambiguous: read(&counters.ambiguous),
            commits: read(&counters.commits),
            dropped_commits: read(&counters.dropped_commits),
            syncs: disk.syncs,
            evictions: memory.evictions,
            expired: read(&counters.expired),
            swept: disk.swept,
            corrupt: read(&counters.corrupt),
            memory_sessions: memory.sessions,
            memory_bytes: memory.bytes,
            memory_budget_bytes: self.0.memory.budget_bytes() as u64,
            quarantined: disk.quarantined,
            torn_writes: disk.torn,
            disk_sessions: disk.sessions,
            file_bytes: disk.file_bytes,
            journal_bytes: disk.journal_bytes,
            degraded: disk.degraded,
        }
    }

    /// Deletes from the file what is expired now, as the store does by itself every [`Builder::sweep_interval`].
    pub fn sweep(&self) -> Ack {
        Ack::new(self.0.disk.sweep(), ())
    }

    pub(crate) fn now_ms(&self) -> u64 {
        to_ms(self.0.clock.now())
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.limits
    }

    pub(crate) fn timeouts(&self) -> &Timeouts {
        &self.0.timeouts
    }

    /// The session that the client presents by `tokens`, with its use noted. Two different tokens that both are ours are none:
    /// one of them was planted.
    pub(crate) fn find(&self, tokens: impl Iterator<Item = Token>) -> Result<Option<(Token, Found)>, Error> {
        let Some(token) = self.pick(tokens) else { return Ok(None) };
        let (key, now_ms) = (token.key(), self.now_ms());
        let found = match self.0.memory.get(&key, now_ms) {
            Lookup::Hit(record, seen_ms) => Some((record, seen_ms, Tier::Memory)),
            Lookup::Expired => self.note_expired(&key),
            Lookup::Dead => None,
            // Before any I/O: whoever guesses gets no further.
            Lookup::Miss if !self.0.ring.verify(&token) => {
                count(&self.0.counters.forged);
                return Ok(None);
            }
            Lookup::Miss => self.fetch(&key, now_ms)?,
        };
        if found.is_none() {
            count(&self.0.counters.misses);
        }
        Ok(found.map(|(record, seen_ms, tier)| (token, Found { key, record, seen_ms, tier })))
    }

    fn pick(&self, mut tokens: impl Iterator<Item = Token>) -> Option<Token> {
        let mut picked = tokens.next()?;
        let mut verified = false;
        for token in tokens.filter(|token| self.0.ring.verify(token)) {
            if token == picked {
                verified = true;
            } else if verified || self.0.ring.verify(&picked) {
                count(&self.0.counters.ambiguous);
                return None;
            } else {
                (picked, verified) = (token, true);
            }
        }
        Some(picked)
    }

    /// Brings a session from the disk into memory.
    fn fetch(&self, key: &Key, now_ms: u64) -> Result<Option<(Record, u64, Tier)>, Error> {
        loop {
            let Some(load) = self.0.memory.begin_load(key) else {
                match self.0.memory.get(key, now_ms) {
                    Lookup::Hit(record, seen_ms) => return Ok(Some((record, seen_ms, Tier::Memory))),
                    Lookup::Expired => return Ok(self.note_expired(key)),
                    Lookup::Dead => return Ok(None),
                    Lookup::Miss => continue,
                }
            };
            match self.read_disk(key, now_ms)? {
                Some(record) if self.0.memory.fill(&load, &record, now_ms) => {
                    count(&self.0.counters.disk_hits);
                    return Ok(Some((record, now_ms, Tier::Disk)));
                }
                None if self.0.memory.is_undisturbed(&load) => return Ok(None),
                _ => {}
            }
        }
    }

    /// The record on disk, if it is one and its session is alive.
    fn read_disk(&self, key: &Key, now_ms: u64) -> Result<Option<Record>, Error> {
        match self.0.disk.load(key)? {
            None => Ok(None),
            Some(Ok(record)) if record.meta().deadline_ms() <= now_ms => {
                count(&self.0.counters.expired);
                Ok(None)
            }
            Some(Ok(record)) => Ok(Some(record)),
            Some(Err(error)) => {
                count(&self.0.counters.corrupt);
                crate::event::corrupt_record(key, &error);
                Ok(None)
            }
        }
    }

    fn note_expired<T>(&self, key: &Key) -> Option<T> {
        count(&self.0.counters.expired);
        self.0.memory.forget(key);
        None
    }

    /// The record of `key` now, without noting a use.
    fn current(&self, key: &Key) -> Result<Option<Current<'_>>, Error> {
        let now_ms = self.now_ms();
        loop {
            match self.0.memory.peek(key, now_ms) {
                Lookup::Hit(record, _) => return Ok(Some(Current { record, load: None })),
                Lookup::Expired => return Ok(self.note_expired(key)),
                Lookup::Dead => return Ok(None),
                Lookup::Miss => {}
            }
            if let Some(load) = self.0.memory.begin_load(key) {
                let record = self.read_disk(key, now_ms)?;
                return Ok(record.map(|record| Current { record, load: Some(load) }));
            }
        }
    }

    /// As [`current`](Self::current), for a look only: nothing changes in memory.
    fn inspect(&self, key: &Key) -> Result<Option<(Record, u64)>, Error> {
        let now_ms = self.now_ms();
        match self.0.memory.peek(key, now_ms) {
            Lookup::Hit(record, seen_ms) => Ok(Some((record, seen_ms))),
            Lookup::Expired | Lookup::Dead => Ok(None),
            Lookup::Miss => Ok(self.read_disk(key, now_ms)?.map(|record| {
                let seen_ms = record.meta().last_seen_ms;
                (record, seen_ms)
            })),
        }
    }

    /// Makes a session of what `make` writes for its record key. `is_urgent`: durable whatever the class.
    pub(crate) fn create(
        &self,
        is_urgent: bool,
        make: impl FnOnce(&Key) -> Result<Record, Error>,
    ) -> Result<(Token, Committed), Error> {
        self.0.disk.admit()?;
        let token = self.0.ring.issue()?;
        let key = token.key();
        let record = make(&key)?;
        let op = Op::Put { key, record: record.clone() };
        let urgency = if is_urgent { Urgency::Now } else { self.0.urgency };
        let ticket = self.0.memory.insert(&key, &record, || self.0.disk.enqueue(op, urgency));
        count(&self.0.counters.commits);
        Ok((token, Committed { record, ticket }))
    }

    /// Puts what `merge` makes of the current record of `key` in its place, as soon as no other commit comes between. `None`: the
    /// session is over, and the commit is dropped. `is_touch`: it changes nothing but when the session was last used.
    pub(crate) fn commit(
        &self,
        key: &Key,
        is_touch: bool,
        mut merge: impl FnMut(&Record) -> Result<Record, Error>,
    ) -> Result<Option<Committed>, Error> {
        let urgency = if is_touch { Urgency::Soon } else { self.0.urgency };
        self.change(key, |current| {
            let record = merge(&current.record)?;
            let op = Op::Put { key: *key, record: record.clone() };
            let swap = self.0.memory.swap(key, current.base(), &record, || self.0.disk.enqueue(op, urgency));
            Ok((swap, record))
        })
        .map(|done| done.map(|(ticket, record)| Committed { record, ticket }))
    }

    /// Moves the session to a new token. `merge` gets the current record and the new record key. Durable whatever the class: the old
    /// token must not come back.
    pub(crate) fn rotate(
        &self,
        key: &Key,
        mut merge: impl FnMut(&Record, &Key) -> Result<Record, Error>,
    ) -> Result<Option<(Token, Committed)>, Error> {
        let token = self.0.ring.issue()?;
        let new_key = token.key();
        self.change(key, |current| {
            let record = merge(&current.record, &new_key)?;
            let op = Op::Rekey { key: *key, new_key, record: record.clone() };
            let enqueue = || self.0.disk.enqueue(op, Urgency::Now);
            let rekey = || self.0.memory.rekey(key, current.base(), &new_key, &record, enqueue);
            let swap = self.0.endings.rekey(current.record.meta().owner, key, rekey);
            Ok((swap, record))
        })
        .map(|done| done.map(|(ticket, record)| (token, Committed { record, ticket })))
    }

    /// Ends the session, if `is_meant` says so of its record now. `None`: it was over before, or not meant.
    pub(crate) fn destroy(&self, key: &Key, is_meant: impl Fn(&Record) -> bool) -> Result<Option<Ticket>, Error> {
        while let Some(current) = self.current(key)?.filter(|current| is_meant(&current.record)) {
            let enqueue = || self.0.disk.enqueue(Op::Delete { key: *key }, Urgency::Now);
            match self.0.memory.kill(key, current.base(), enqueue) {
                Swap::Done(ticket) => return Ok(Some(ticket)),
                Swap::Changed => {}
                Swap::Dead => break,
            }
        }
        Ok(None)
    }

    fn change<T, U>(
        &self,
        key: &Key,
        mut attempt: impl FnMut(&Current<'_>) -> Result<(Swap<T>, U), Error>,
    ) -> Result<Option<(T, U)>, Error> {
        self.0.disk.admit()?;
        while let Some(current) = self.current(key)? {
            match attempt(&current)? {
                (Swap::Done(done), with) => {
                    count(&self.0.counters.commits);
                    return Ok(Some((done, with)));
                }
                (Swap::Changed, _) => {}
                (Swap::Dead, _) => break,
            }
        }
        self.drop_commit(key);
        Ok(None)
    }

    /// Notes a commit that came after its session had ended.
    pub(crate) fn drop_commit(&self, key: &Key) {
        count(&self.0.counters.dropped_commits);
        crate::event::dropped_commit(key);
    }

    fn destroy_where(&self, owner: &[u8], meant: Meant) -> Result<(usize, Ticket), Error> {
        let owner = owner_hash(owner);
        let (mut destroyed, mut last) = (0, Ticket::done());
        // Before the list is read, or a session that rotates after that would be missed.
        let _ending = self.0.endings.begin(owner, meant);
        for key in self.0.disk.of_owner(&owner)? {
            if meant.covers(&key)
                && let Some(ticket) = self.destroy(&key, |record| record.meta().owner == owner)?
            {
                destroyed += 1;
                // Groups become durable in their order, so the last one speaks for all.
                last = ticket;
            }
        }
        Ok((destroyed, last))
    }
}

fn map_ack<T>(result: Result<(usize, Ticket), Error>, value: impl FnOnce(usize) -> T) -> Ack<T> {
    match result {
        Ok((count, ticket)) => Ack::new(ticket, value(count)),
        Err(error) => Ack::settled(Err(error)),
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

/// What the disk tier may ask and tell.
struct Above {
    memory: Arc<Memory>,
    clock: Arc<dyn Clock>,
}

impl Upstream for Above {
    fn durable(&self, key: &Key, seq: Seq) {
        self.memory.unpin(key, seq);
    }

    fn deadline_ms(&self, key: &Key) -> Option<u64> {
        match self.memory.peek(key, to_ms(self.clock.now())) {
            Lookup::Hit(record, seen_ms) => Some(expiry::deadline_ms(&record.meta(), seen_ms)),
            Lookup::Expired | Lookup::Dead | Lookup::Miss => None,
        }
    }

    fn expired(&self, key: &Key) {
        self.memory.forget(key);
    }
}

/// A session in a list of its owner's.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// Names the session, for [`Store::destroy_one`]. It is not the token.
    pub handle: Handle,
    /// When it began.
    pub created: SystemTime,
    /// When it was last used.
    pub last_seen: SystemTime,
    /// When it ends unless it is used before.
    pub idle_deadline: SystemTime,
    /// When it ends however much it is used.
    pub absolute_deadline: SystemTime,
    /// What [`Session::set_label`](crate::Session::set_label) said.
    pub label: Option<String>,
}

impl SessionInfo {
    fn new(key: &Key, record: &Record, seen_ms: u64) -> Self {
        let meta = expiry::touched(&record.meta(), seen_ms);
        Self {
            handle: Handle::of(key),
            created: from_ms(meta.created_ms),
            last_seen: from_ms(meta.last_seen_ms),
            idle_deadline: from_ms(meta.idle_deadline_ms),
            absolute_deadline: from_ms(meta.absolute_deadline_ms),
            label: label::of(record),
        }
    }
}
