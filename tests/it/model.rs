//! The store beside the simplest model of it: a list of sessions with their values and times, and every token that ever
//! existed.
//!
//! Each case is a sequence of requests, waits, flushes and restarts. After each step the two are compared as a client sees
//! them: by every token, and by every owner's list.

use std::{collections::BTreeMap, time::Duration};

use proptest::{collection::vec, prelude::*, sample::Index};
use sessile::{Builder, Durability, Store, Token, testing::ManualClock};
use tempfile::TempDir;

const IDLE: u64 = 3600;
const ABSOLUTE: u64 = 4 * 3600;
const GRACE: u64 = 300;
/// Longer than a use on disk may be out of date.
const TICK: u64 = 61;

/// One step. An index selects one of all tokens so far.
#[derive(Clone, Copy, Debug)]
enum Step {
    Create { quick: bool, owner: Option<u8> },
    Insert { token: Index, key: u8, value: u32, quick: bool },
    Remove { token: Index, key: u8, quick: bool },
    Add { token: Index, key: u8 },
    Clear { token: Index },
    Bind { token: Index, owner: Option<u8> },
    IdleTimeout { token: Index, ticks: u64 },
    Rotate { token: Index },
    Renew { token: Index },
    Destroy { token: Index },
    DestroyAll { owner: u8 },
    Wait { ticks: u64 },
    Flush,
    Sweep,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let token = any::<Index>;
    let (key, owner) = (0..3_u8, 0..2_u8);
    let some_owner = || prop::option::of(0..2_u8);
    prop_oneof![
        3 => (any::<bool>(), some_owner()).prop_map(|(quick, owner)| Step::Create { quick, owner }),
        6 => (token(), key.clone(), any::<u32>(), any::<bool>())
            .prop_map(|(token, key, value, quick)| Step::Insert { token, key, value, quick }),
        2 => (token(), key.clone(), any::<bool>()).prop_map(|(token, key, quick)| Step::Remove { token, key, quick }),
        3 => (token(), key).prop_map(|(token, key)| Step::Add { token, key }),
        1 => token().prop_map(|token| Step::Clear { token }),
        1 => (token(), some_owner()).prop_map(|(token, owner)| Step::Bind { token, owner }),
        1 => (token(), 2..100_u64).prop_map(|(token, ticks)| Step::IdleTimeout { token, ticks }),
        2 => token().prop_map(|token| Step::Rotate { token }),
        2 => token().prop_map(|token| Step::Renew { token }),
        1 => token().prop_map(|token| Step::Destroy { token }),
        1 => owner.prop_map(|owner| Step::DestroyAll { owner }),
        4 => (1..80_u64).prop_map(|ticks| Step::Wait { ticks }),
        1 => Just(Step::Flush),
        1 => Just(Step::Sweep),
        1 => Just(Step::Restart),
    ]
}

/// A session in the model. Times are seconds.
#[derive(Clone, Debug)]
struct Modelled {
    values: BTreeMap<String, u32>,
    owner: Option<u8>,
    /// When its life began: at its creation, and again when its owner changed.
    begun: u64,
    seen: u64,
    idle: u64,
    /// Whether it has its own idle timeout.
    own_idle: bool,
    alive: bool,
}

#[derive(Default)]
struct Model {
    now: u64,
    sessions: Vec<Modelled>,
    /// Each token, the session that it led to, and until when: permanently, or to the end of its grace.
    tokens: Vec<(Token, usize, u64)>,
}

impl Model {
    fn end_what_is_over(&mut self) {
        for session in &mut self.sessions {
            let deadline = (session.seen + session.idle).min(session.begun + ABSOLUTE);
            session.alive &= deadline > self.now;
        }
    }

    /// Finds the session of the token, and notes its use.
    fn find(&mut self, at: usize) -> Option<&mut Modelled> {
        self.end_what_is_over();
        let (_, session, until) = self.tokens[at];
        let session = &mut self.sessions[session];
        if !session.alive || until <= self.now {
            return None;
        }
        session.seen = self.now;
        Some(session)
    }
}

struct Both {
    dir: TempDir,
    clock: ManualClock,
    budget: usize,
    store: Store,
    model: Model,
}

impl Both {
    fn new(budget: usize) -> Self {
        let (dir, clock) = (tempfile::tempdir().unwrap(), ManualClock::default());
        let store = builder(&clock, budget).open(dir.path().join("sessions.redb")).unwrap();
        Self { dir, clock, budget, store, model: Model::default() }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Create { quick, owner } => self.create(quick, owner),
            Step::Insert { token, key, value, quick } => {
                let name = format!("k{key}");
                self.request(token, |session, model| {
                    let insert = if quick { sessile::Session::insert_quick } else { sessile::Session::insert };
                    insert(session, &name, value).unwrap();
                    model.values.insert(name, value);
                });
            }
            Step::Remove { token, key, quick } => {
                let name = format!("k{key}");
                self.request(token, |session, model| {
                    let remove = if quick { sessile::Session::remove_quick } else { sessile::Session::remove };
                    assert_eq!(remove(session, &name).unwrap(), model.values.remove(&name).is_some());
                });
            }
            Step::Add { token, key } => {
                let name = format!("k{key}");
                self.request(token, |session, model| {
                    let sum = session.update(&name, |n: Option<u32>| n.unwrap_or(0).wrapping_add(1)).unwrap();
                    let value = model.values.entry(name).or_default();
                    *value = value.wrapping_add(1);
                    assert_eq!(sum, *value);
                });
            }
            Step::Clear { token } => self.request(token, |session, model| {
                session.clear();
                model.values.clear();
            }),
            Step::Bind { token, owner } => {
                let now = self.model.now;
                let changed = |model: &mut Modelled| {
                    if owner.is_none() {
                        model.own_idle = false;
                    }
                    if !model.own_idle {
                        model.idle = IDLE;
                    }
                    (model.owner, model.begun) = (owner, now);
                };
                self.renew(token, |session| bind(session, owner), changed, 0);
            }
            Step::IdleTimeout { token, ticks } => self.request(token, |session, model| {
                session.set_idle_timeout(Duration::from_secs(ticks * TICK)).unwrap();
                (model.idle, model.own_idle) = (ticks * TICK, true);
            }),
            Step::Rotate { token } => self.renew(token, sessile::Session::rotate, |_| {}, 0),
            Step::Renew { token } => self.renew(token, sessile::Session::rotate_with_grace, |_| {}, GRACE),
            Step::Destroy { token } => self.request(token, |session, model| {
                session.destroy();
                model.alive = false;
            }),
            Step::DestroyAll { owner } => {
                self.model.end_what_is_over();
                let mut ended = 0;
                for session in self.model.sessions.iter_mut().filter(|session| session.alive && session.owner == Some(owner)) {
                    session.alive = false;
                    ended += 1;
                }
                assert_eq!(self.store.destroy_sessions_of(owner).wait().unwrap(), ended);
            }
            Step::Wait { ticks } => {
                self.clock.advance(Duration::from_secs(ticks * TICK));
                self.model.now += ticks * TICK;
            }
            Step::Flush => self.store.flush().wait().unwrap(),
            Step::Sweep => self.store.sweep().wait().unwrap(),
            Step::Restart => {
                self.store.close().unwrap();
                self.store = builder(&self.clock, self.budget).open(self.dir.path().join("sessions.redb")).unwrap();
                // A grace does not outlive the process.
                let now = self.model.now;
                self.model.tokens.iter_mut().filter(|(_, _, until)| *until != u64::MAX).for_each(|(_, _, until)| *until = now);
            }
        }
    }

    fn create(&mut self, quick: bool, owner: Option<u8>) {
        let session = self.store.session(None).unwrap();
        let insert = if quick { sessile::Session::insert_quick } else { sessile::Session::insert };
        insert(&session, "k0", 1_u32).unwrap();
        if owner.is_some() {
            bind(&session, owner);
        }
        session.save().wait().unwrap();
        let now = self.model.now;
        let values = BTreeMap::from([("k0".to_owned(), 1)]);
        self.model.tokens.push((session.token().unwrap(), self.model.sessions.len(), u64::MAX));
        self.model.sessions.push(Modelled { values, owner, begun: now, seen: now, idle: IDLE, own_idle: false, alive: true });
    }

    /// One request with one of the tokens.
    fn request(&mut self, token: Index, work: impl FnOnce(&sessile::Session, &mut Modelled)) {
        if self.model.tokens.is_empty() {
            return;
        }
        let at = token.index(self.model.tokens.len());
        let session = self.store.session(Some(&self.model.tokens[at].0)).unwrap();
        let found = self.model.find(at);
        assert_eq!(session.token().is_some(), found.is_some());
        if let Some(found) = found {
            work(&session, found);
            session.save().wait().unwrap();
        }
    }

    /// A request that rotates the token; all other tokens of its session lead there for `grace`.
    fn renew(&mut self, token: Index, ask: impl FnOnce(&sessile::Session), change: impl FnOnce(&mut Modelled), grace: u64) {
        if self.model.tokens.is_empty() {
            return;
        }
        let at = token.index(self.model.tokens.len());
        let old = self.model.tokens[at];
        let session = self.store.session(Some(&old.0)).unwrap();
        let Some(found) = self.model.find(at) else { return };
        change(found);
        ask(&session);
        session.save().wait().unwrap();
        let new = session.token().unwrap();
        if old.2 != u64::MAX && grace > 0 {
            assert_eq!(new, old.0, "a token in its grace is not renewed again");
            return;
        }
        assert_ne!(new, old.0);
        let until = self.model.now + grace;
        for (_, session, old_until) in &mut self.model.tokens {
            if *session == old.1 {
                *old_until = until.min(*old_until);
            }
        }
        self.model.tokens.push((new, old.1, u64::MAX));
    }

    fn compare(&mut self) {
        self.model.end_what_is_over();
        for owner in 0..2_u8 {
            let listed = self.store.sessions_of(owner).unwrap().len();
            let alive = |session: &&Modelled| session.alive && session.owner == Some(owner);
            assert_eq!(listed, self.model.sessions.iter().filter(alive).count(), "sessions of owner {owner}");
        }
        for at in 0..self.model.tokens.len() {
            let session = self.store.session(Some(&self.model.tokens[at].0)).unwrap();
            let found: BTreeMap<_, _> =
                session.keys().into_iter().map(|key| (key.clone(), session.get::<u32>(&key).unwrap().unwrap())).collect();
            let found = session.token().map(|_| found);
            assert_eq!(found, self.model.find(at).map(|session| session.values.clone()), "token {at}");
        }
    }
}

fn bind(session: &sessile::Session, owner: Option<u8>) {
    match owner {
        Some(owner) => session.sign_in(owner).unwrap(),
        None => session.unbind_owner(),
    }
}

fn builder(clock: &ManualClock, memory_budget: usize) -> Builder {
    Store::builder()
        .clock(clock.clone())
        .memory_budget(memory_budget)
        .durability(Durability::Relaxed)
        .unconfirmed_timeout(Duration::MAX)
        .idle_timeout(Duration::from_secs(IDLE))
        .absolute_timeout(Duration::from_secs(ABSOLUTE))
        .rotation_grace(Duration::from_secs(GRACE))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn prop_store_matches_a_model(budget in prop::sample::select(vec![0, 64 << 20]), steps in vec(step(), 1..50)) {
        let mut both = Both::new(budget);
        for step in steps {
            both.take(step);
            both.compare();
        }
    }
}
