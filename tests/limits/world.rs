//! A store, its disk and clock, and the model of its sessions.

use std::{
    collections::HashMap,
    thread,
    time::{Duration, Instant},
};

use sessile::{
    Builder, Durability, Error, Handle, OwnerLimit, Session, Stats, Store, Token,
    events::{EndReason, Event, Events},
    testing::ManualClock,
};
use sessile_fault_disk::FaultDisk;

use crate::rng::Rng;

const IDLE: Duration = Duration::from_secs(100);
const ABSOLUTE: Duration = Duration::from_secs(1000);
const OWNERS: [&str; 3] = ["ada", "bob", "eve"];
const CLASSES: [Durability; 3] = [Durability::Durable, Durability::Relaxed, Durability::Quick];
/// Longer than any step of a store on a working disk takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// How the store of one life is opened.
#[derive(Clone, Debug)]
struct Settings {
    max_sessions: Option<u64>,
    max_disk_bytes: Option<u64>,
    of_owner: Option<(usize, OwnerLimit)>,
    memory_budget: usize,
    flush_interval: Duration,
    /// The length of a session's value.
    len: usize,
}

impl Settings {
    fn draw(rng: &mut Rng) -> Self {
        let by_bytes = rng.one_in(4);
        let policy = if rng.one_in(2) { OwnerLimit::Refuse } else { OwnerLimit::EvictOldest };
        Self {
            max_sessions: (!by_bytes && !rng.one_in(5)).then(|| rng.pick(&[1, 5, 10, 30, 60])),
            max_disk_bytes: by_bytes.then_some(1 << 20),
            of_owner: rng.one_in(2).then(|| (rng.pick(&[1, 3]), policy)),
            memory_budget: rng.pick(&[0, 32 << 10, 16 << 20]),
            flush_interval: Duration::from_millis(rng.pick(&[1, 1, 1000])),
            len: if by_bytes { 30_000 } else { rng.pick(&[1, 1, 2000]) },
        }
    }

    fn builder(&self, clock: &ManualClock) -> Builder {
        let mut builder = Store::builder()
            .clock(clock.clone())
            .idle_timeout(IDLE)
            .absolute_timeout(ABSOLUTE)
            .unconfirmed_timeout(Duration::MAX)
            .memory_budget(self.memory_budget)
            .journal_bytes(192 << 10)
            .flush_interval(self.flush_interval)
            .sweep_interval(Duration::from_hours(24))
            .disk_cache(1 << 20);
        if let Some(limit) = self.max_sessions {
            builder = builder.max_sessions(limit);
        }
        if let Some(limit) = self.max_disk_bytes {
            builder = builder.max_disk_bytes(limit);
        }
        if let Some((limit, policy)) = self.of_owner {
            builder = builder.sessions_per_owner(limit, policy);
        }
        builder
    }

    /// Returns how many sessions there may be when another begins.
    fn share(&self, has_owner: bool) -> Option<u64> {
        self.max_sessions.map(|limit| if has_owner { limit } else { limit - limit / 10 })
    }
}

/// A session that began and whose end was not reported.
#[derive(Clone, Debug, Default)]
struct Known {
    token: Option<Token>,
    owner: Option<&'static str>,
    /// When it is over, in seconds of the life; and when it may be over after a crash that lost its last use.
    over: u64,
    may_be_over: u64,
    ends: u64,
    /// Whether a power cut may have lost its last use, and the session was not found since.
    may_have_lost_use: bool,
}

pub(crate) struct World {
    settings: Settings,
    disk: FaultDisk,
    clock: ManualClock,
    seconds: u64,
    store: Store,
    events: Events,
    known: HashMap<Handle, Known>,
    /// The sessions that began in this step.
    begun: Vec<Handle>,
    /// Whether the disk has no room, or had none and the store may not have noticed yet that it has.
    is_full: bool,
    log: Vec<String>,
}

impl World {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        let (settings, disk, clock) = (Settings::draw(rng), FaultDisk::new(rng.next()), ManualClock::default());
        let store = settings.builder(&clock).open_on(&disk).unwrap();
        let events = store.subscribe();
        let log = vec![format!("{settings:?}")];
        let (known, begun) = (HashMap::new(), Vec::new());
        Self { settings, disk, clock, seconds: 0, store, events, known, begun, is_full: false, log }
    }

    pub(crate) fn step(&mut self, nth: u64, rng: &mut Rng) {
        self.begun.clear();
        let (before, class) = (self.log.len(), rng.pick(&CLASSES));
        match rng.below(40) {
            0..10 => self.begin(None, class),
            10..14 => self.begin(Some(rng.pick(&OWNERS)), class),
            14..17 => self.begin_foreign(),
            17..22 => self.change(class, rng),
            22..24 => self.sign_in(rng),
            24..27 => self.read(rng),
            27 => self.rotate(rng),
            28..30 => self.destroy(rng),
            30 => self.destroy_sessions_of(rng.pick(&OWNERS)),
            31..33 => self.advance(rng.pick(&[1, 5, 30, 100])),
            33..35 => self.sweep(),
            35 => self.flush(),
            36 => self.reopen(rng.one_in(2), rng),
            37 => self.fill(rng),
            _ => self.heal(),
        }
        if self.log.len() == before {
            self.log.push("nothing to do".to_owned());
        }
        self.hear();
        self.check(nth.is_multiple_of(4));
    }

    /// Checks that everything that began has ended, and that nothing is left.
    pub(crate) fn end(&mut self) {
        self.heal();
        self.advance(ABSOLUTE.as_secs() + 1);
        self.sweep();
        self.hear();
        self.check(true);
        assert_eq!(self.store.stats().sessions, 0, "{self}");
        if self.settings.max_disk_bytes.is_none() {
            self.begin(None, Durability::Durable);
            self.hear();
            assert_eq!(self.known.len(), 1, "an empty store refuses a session: {self}");
        }
    }

    fn any(&self, rng: &mut Rng, wanted: impl Fn(&Known) -> bool) -> Option<Handle> {
        let mut handles: Vec<_> = self.known.iter().filter(|(_, known)| wanted(known)).map(|(handle, _)| *handle).collect();
        handles.sort_unstable_by_key(ToString::to_string);
        (!handles.is_empty()).then(|| rng.pick(&handles))
    }

    fn count(&self, wanted: impl Fn(&Known) -> bool) -> u64 {
        self.known.values().filter(|known| wanted(known)).count() as u64
    }

    /// Loads the session with the known token of `handle`, if the disk can be read.
    fn load(&mut self, handle: Handle) -> Option<Session> {
        let known = self.known[&handle].clone();
        let session = match self.store.session(known.token.as_ref()) {
            Ok(session) => session,
            Err(error) => {
                assert!(self.is_full, "{error}: {self}");
                return None;
            }
        };
        if session.token().is_none() {
            assert!(self.seconds >= known.may_be_over, "{handle} is not found: {self}");
            return None;
        }
        assert!(self.seconds < known.over, "{handle} is over and found: {self}");
        let known = self.known.get_mut(&handle).unwrap();
        known.over = (self.seconds + IDLE.as_secs()).min(known.ends);
        known.may_have_lost_use = false;
        Some(session)
    }

    fn begin(&mut self, owner: Option<&'static str>, class: Durability) {
        self.log.push(format!("begin {owner:?} {class:?}"));
        let session = self.store.session(None).unwrap();
        session.insert("long", "x".repeat(self.settings.len)).unwrap();
        if let Some(owner) = owner {
            session.sign_in(owner).unwrap();
        }
        let (room, of_owner) = (self.store.stats().sessions, self.of_owner(owner));
        let result = session.save_with(class).wait();
        self.hear();
        self.judge(owner, room, of_owner, result.err());
        self.note(session.token(), owner, IDLE);
    }

    /// Notes the session that began in this step: one with this token, or without a token another crate's.
    fn note(&mut self, token: Option<Token>, owner: Option<&'static str>, idle: Duration) {
        assert!(self.begun.len() <= 1, "{self}");
        for handle in std::mem::take(&mut self.begun) {
            let ends = self.seconds + if token.is_some() { ABSOLUTE } else { idle }.as_secs();
            let over = (self.seconds + idle.as_secs()).min(ends);
            let known = Known { token, owner, over, may_be_over: over, ends, may_have_lost_use: false };
            self.known.insert(handle, known);
        }
    }

    /// Checks the outcome of beginning a session, with `room` others and `of_owner` sessions of its owner.
    fn judge(&self, owner: Option<&str>, room: u64, of_owner: u64, error: Option<Error>) {
        let anonymous = self.count(|known| known.owner.is_none());
        let was_full = self.settings.share(owner.is_some()).is_some_and(|share| room >= share);
        let owner_is_full =
            self.settings.of_owner.is_some_and(|(limit, policy)| policy == OwnerLimit::Refuse && of_owner >= limit as u64);
        match error {
            None => {}
            Some(Error::StoreFull { .. }) => {
                assert!(was_full || self.settings.max_disk_bytes.is_some(), "refused with room for more: {self}");
                assert_eq!(anonymous, 0, "refused, and one without an owner could go: {self}");
            }
            Some(Error::OwnerLimit { .. }) => assert!(owner_is_full, "refused to an owner with {of_owner}: {self}"),
            Some(error) => assert!(self.is_full, "{error}: {self}"),
        }
    }

    /// Returns how many sessions of an owner are not over.
    fn of_owner(&self, owner: Option<&str>) -> u64 {
        self.count(|known| owner.is_some() && known.owner == owner && self.seconds < known.over)
    }

    #[cfg(feature = "foreign")]
    fn begin_foreign(&mut self) {
        use sessile::foreign::{ForeignKind, New, Saved, Sessions};

        let (id, life) = (format!("id{}", self.log.len()), Duration::from_secs(40));
        self.log.push(format!("begin {id}"));
        let room = self.store.stats().sessions;
        let sessions = Sessions::new(self.store.clone(), ForeignKind::Poem);
        let (key, values) = (sessions.key(id.as_bytes()), sessions.values([("n", &1)]).unwrap());
        let ends_ms = sessions.now_ms() + life.as_secs() * 1000;
        let put = sessions.put(&key, &New { values: &values, ends_ms, owner: None });
        let result = put.and_then(|saved| match saved {
            Saved::Done(ack) => ack.wait(),
            Saved::Ended => Err(Error::SessionEnded),
        });
        self.hear();
        self.judge(None, room, 0, result.err());
        self.note(None, None, life);
    }

    #[cfg(not(feature = "foreign"))]
    fn begin_foreign(&mut self) {
        self.begin(None, Durability::Relaxed);
    }

    fn change(&mut self, class: Durability, rng: &mut Rng) {
        let Some(handle) = self.any(rng, |known| known.token.is_some()) else { return };
        self.log.push(format!("change {handle} {class:?}"));
        let Some(session) = self.load(handle) else { return };
        session.insert("n", rng.next()).unwrap();
        self.saved(handle, &session, class);
    }

    fn saved(&mut self, handle: Handle, session: &Session, class: Durability) -> bool {
        match session.save_with(class).wait() {
            Ok(()) => {
                let known = self.known.get_mut(&handle).unwrap();
                known.may_be_over = known.over;
                known.token = session.token();
                true
            }
            Err(error) => {
                assert!(self.is_full, "{error}: {self}");
                false
            }
        }
    }

    fn sign_in(&mut self, rng: &mut Rng) {
        let Some(handle) = self.any(rng, |known| known.token.is_some()).filter(|_| !self.is_full) else { return };
        let owner = rng.pick(&OWNERS);
        self.log.push(format!("{owner} signs in to {handle}"));
        let Some(session) = self.load(handle) else { return };
        let of_owner = self.of_owner(Some(owner)) - u64::from(self.known[&handle].owner == Some(owner));
        session.sign_in(owner).unwrap();
        let result = session.save().wait();
        let token = session.token();
        self.hear();
        match result {
            Ok(()) => {
                let ends = self.seconds + ABSOLUTE.as_secs();
                let over = self.seconds + IDLE.as_secs();
                let known = self.known.get_mut(&handle).unwrap_or_else(|| panic!("it signed in and ended"));
                *known = Known { token, owner: Some(owner), over, may_be_over: over, ends, may_have_lost_use: false };
            }
            Err(error) => self.judge(Some(owner), 0, of_owner, Some(error)),
        }
    }

    fn read(&mut self, rng: &mut Rng) {
        let Some(handle) = self.any(rng, |known| known.token.is_some()) else { return };
        self.log.push(format!("read {handle}"));
        let Some(session) = self.load(handle) else { return };
        if rng.one_in(2) {
            // This writes the use if that is due.
            session.save().wait().unwrap();
        }
    }

    fn rotate(&mut self, rng: &mut Rng) {
        let Some(handle) = self.any(rng, |known| known.token.is_some()).filter(|_| !self.is_full) else { return };
        self.log.push(format!("rotate {handle}"));
        let Some(session) = self.load(handle) else { return };
        if rng.one_in(2) {
            session.rotate();
        } else {
            session.rotate_with_grace();
        }
        self.saved(handle, &session, Durability::Durable);
    }

    fn destroy(&mut self, rng: &mut Rng) {
        let Some(handle) = self.any(rng, |known| known.token.is_some()) else { return };
        self.log.push(format!("destroy {handle}"));
        let Some(session) = self.load(handle) else { return };
        session.destroy();
        if session.save().wait().is_ok() {
            self.hear();
            assert!(!self.known.contains_key(&handle), "{self}");
        }
    }

    fn destroy_sessions_of(&mut self, owner: &str) {
        self.log.push(format!("destroy all of {owner}"));
        let expected = self.of_owner(Some(owner));
        let (certain, all) = (self.count(|known| known.owner == Some(owner) && self.seconds < known.may_be_over), expected);
        match self.store.destroy_sessions_of(owner).wait() {
            Ok(count) => assert!((certain..=all).contains(&(count as u64)), "{count} of {certain} to {all}: {self}"),
            Err(error) => assert!(self.is_full, "{error}: {self}"),
        }
    }

    fn advance(&mut self, seconds: u64) {
        self.log.push(format!("{seconds} s go by"));
        self.seconds += seconds;
        self.clock.advance(Duration::from_secs(seconds));
    }

    fn sweep(&mut self) {
        self.log.push("sweep".to_owned());
        match self.store.sweep().wait() {
            Ok(()) if !self.is_full => {
                self.hear();
                let late: Vec<_> = self.known.iter().filter(|(_, known)| self.seconds >= known.over).collect();
                assert!(late.is_empty(), "not reported as expired: {late:?}: {self}");
            }
            Ok(()) => {}
            Err(error) => assert!(self.is_full, "{error}: {self}"),
        }
    }

    fn flush(&mut self) {
        self.log.push("flush".to_owned());
        let result = self.store.flush().wait();
        assert!(result.is_ok() || self.is_full, "{result:?}: {self}");
    }

    /// Opens the store in another process: after a clean close, or after a power cut when everything is durable.
    fn reopen(&mut self, crashes: bool, rng: &mut Rng) {
        self.heal();
        self.log.push(if crashes { "power cut" } else { "restart" }.to_owned());
        if crashes {
            self.store.flush().wait().unwrap();
            self.disk = self.disk.crash(rng.next());
        } else {
            self.store.close().unwrap();
        }
        self.hear();
        self.store = self.settings.builder(&self.clock).open_on(&self.disk).unwrap();
        self.events = self.store.subscribe();
        for known in self.known.values_mut() {
            // A power cut loses uses that were not written, a clean close writes them.
            known.may_have_lost_use |= crashes;
            if !known.may_have_lost_use {
                known.may_be_over = known.over;
            }
        }
    }

    fn fill(&mut self, rng: &mut Rng) {
        self.log.push("the disk is full".to_owned());
        self.disk.set_capacity(Some(self.disk.used_bytes() + rng.below(16 << 10)));
        self.is_full = true;
    }

    fn heal(&mut self) {
        if !self.is_full {
            return;
        }
        self.log.push("the disk has room".to_owned());
        self.disk.heal();
        let began = Instant::now();
        while self.store.flush().wait().is_err() || self.store.stats().degraded {
            assert!(began.elapsed() < PATIENCE, "it does not heal: {self}");
            thread::yield_now();
        }
        self.is_full = false;
    }

    /// Reads the events that the store sends.
    fn hear(&mut self) {
        while let Some(event) = self.events.try_next() {
            self.log.push(format!("{event:?}"));
            match event {
                Event::Created { handle } => {
                    // Until its details are known.
                    let unknown = Known { over: u64::MAX, may_be_over: 0, ..Known::default() };
                    assert!(self.known.insert(handle, unknown).is_none(), "{self}");
                    self.begun.push(handle);
                }
                Event::Destroyed { handle, reason } => {
                    let known = self.known.remove(&handle).unwrap_or_else(|| panic!("{handle} ends twice: {self}"));
                    match reason {
                        EndReason::StoreFull => assert_eq!(known.owner, None, "{self}"),
                        EndReason::OwnerLimit | EndReason::Revoked => assert_ne!(known.owner, None, "{self}"),
                        _ => {}
                    }
                }
                Event::Expired { handle } => {
                    let known = self.known.remove(&handle).unwrap_or_else(|| panic!("{handle} ends twice: {self}"));
                    assert!(self.seconds >= known.may_be_over, "{handle} ends too early: {self}");
                }
                Event::Missed { .. } => panic!("events are lost: {self}"),
                _ => {}
            }
        }
    }

    /// Compares every count with the model's, and if `deep` with the content of the files.
    fn check(&self, deep: bool) {
        let expected = self.known.len() as u64;
        self.agrees(&self.store, "after a step", |found| found.sessions == expected);
        let stats = self.store.stats();
        if let Some(limit) = self.settings.max_sessions {
            assert!(stats.sessions <= limit, "{self}");
        }
        if let Some((limit, _)) = self.settings.of_owner {
            for owner in OWNERS {
                // If a power cut lost a session's last use, the store may find that it is over.
                let alive = self.known.values().filter(|known| known.owner == Some(owner) && self.seconds < known.may_be_over);
                let alive: Vec<_> = alive.collect();
                assert!(alive.len() <= limit, "{owner} has {alive:?}: {self}");
            }
        }
        if !deep || self.is_full {
            return;
        }
        self.store.flush().wait().unwrap();
        assert_eq!(self.store.stats().disk_sessions, stats.sessions, "{self}");
        // As the next process finds it, after a kill and after a clean close.
        let copy = self.disk.copy();
        for opened in ["after a kill", "after a close"] {
            let store = self.settings.builder(&self.clock).open_on(&copy).unwrap();
            self.agrees(&store, opened, |found| (found.sessions, found.disk_sessions) == (expected, expected));
            store.close().unwrap();
        }
    }

    /// A store without a bound counts what a killed process left after it is open: before its next sweep, which deletes nothing
    /// if nothing is over.
    fn agrees(&self, store: &Store, when: &str, is_right: impl Fn(&Stats) -> bool) {
        if !self.is_full && self.known.values().all(|known| self.seconds < known.may_be_over) {
            store.sweep().wait().unwrap();
        }
        let (began, is_bounded) =
            (Instant::now(), self.settings.max_sessions.is_some() || self.settings.max_disk_bytes.is_some());
        while !is_right(&store.stats()) && !is_bounded && began.elapsed() < PATIENCE {
            thread::yield_now();
        }
        let found = store.stats();
        assert!(is_right(&found), "{when}: {} sessions, {} in the file: {self}", found.sessions, found.disk_sessions);
    }
}

impl std::fmt::Display for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let last = self.log.len().saturating_sub(60);
        writeln!(f, "\n{}\n...", self.log[0])?;
        self.log[last.max(1).min(self.log.len())..].iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}
