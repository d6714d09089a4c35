//! The steps of a run, and their effects on the model.

use std::{collections::BTreeMap, thread, time::Duration};

use sessile::{Ack, Session, Store};

use crate::{
    model::{Kind, Live, Model, OWNERS, Violation, violation},
    rng::Rng,
};

/// One step of a run. The numbers are visitors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// Creates a session, with an owner if there is one.
    Create(usize, Option<usize>),
    /// Changes one value, or all of them (`true`).
    Update(usize, bool),
    Rotate(usize),
    Destroy(usize),
    /// Ends every session of an owner.
    DestroyAll(usize),
    /// A request that only reads and saves.
    Touch(usize),
    Read(usize),
    /// Advances the clock by this number of minutes.
    Advance(u64),
    /// Waits for all pending acknowledgements.
    Await,
    Flush,
    Sweep,
    /// Waits longer than a journal needs to be idle.
    Pause,
}

/// A run in progress, and its pending acknowledgements.
pub(crate) struct Run<'a> {
    pub(crate) store: &'a Store,
    pub(crate) model: &'a mut Model,
    /// Whether an acknowledged change of values is durable.
    pub(crate) is_durable: bool,
    /// Whether the disk fails and works again, so that the store may refuse a commit and continue.
    pub(crate) may_refuse: bool,
    pub(crate) pending: Vec<Pending>,
}

/// An acknowledgement, and the states that it makes certain.
pub(crate) struct Pending {
    ack: PendingAck,
    /// Pairs of a visitor and a number.
    states: Vec<(usize, usize)>,
    /// Whether it confirms that they are durable.
    is_durable: bool,
}

enum PendingAck {
    One(Ack),
    Many(Ack<usize>),
}

/// The result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Done,
    /// The store returned an error: the disk is gone.
    Refused,
}

impl Run<'_> {
    pub(crate) fn step(&mut self, op: Op, rng: &mut Rng) -> Result<Step, Violation> {
        match op {
            Op::Create(visitor, owner) => self.create(visitor, owner, rng),
            Op::Update(visitor, all) => self.update(visitor, all, rng),
            Op::Rotate(visitor) => self.rotate(visitor),
            Op::Destroy(visitor) => self.destroy(visitor),
            Op::DestroyAll(owner) => self.destroy_sessions_of(owner),
            Op::Touch(visitor) => self.touch(visitor),
            Op::Read(visitor) => {
                self.model.check_served(self.store, visitor)?;
                Ok(Step::Done)
            }
            Op::Advance(minutes) => {
                self.model.clock.advance(Duration::from_mins(minutes));
                Ok(Step::Done)
            }
            Op::Await => self.settle(),
            Op::Flush => {
                let flushed = self.store.flush().wait();
                self.settle()?;
                if flushed.is_ok() {
                    self.model.all_certain();
                }
                Ok(step(flushed.is_ok()))
            }
            Op::Sweep => Ok(step(self.store.sweep().wait().is_ok())),
            Op::Pause => {
                thread::sleep(Duration::from_millis(15));
                Ok(Step::Done)
            }
        }
    }

    /// Waits for every acknowledgement.
    pub(crate) fn settle(&mut self) -> Result<Step, Violation> {
        let mut went_well = true;
        for Pending { ack, states, is_durable } in self.pending.drain(..) {
            let result = match ack {
                PendingAck::One(ack) => ack.wait(),
                PendingAck::Many(ack) => ack.wait().map(drop),
            };
            went_well &= result.is_ok();
            if result.is_ok() && is_durable {
                states.into_iter().try_for_each(|(visitor, number)| self.model.certain(visitor, number))?;
            }
        }
        Ok(step(went_well))
    }

    /// Returns the session of `visitor`, if the store serves it.
    fn session(&mut self, visitor: usize) -> Result<Option<(Session, Live)>, Violation> {
        if !self.model.check_served(self.store, visitor)? {
            return Ok(None);
        }
        let Some(live) = self.model.visitors[visitor].current().live.clone() else { return Ok(None) };
        let session = self.store.session(Some(&live.token));
        Ok(session.ok().filter(|session| session.token().is_some()).map(|session| (session, live)))
    }

    fn create(&mut self, visitor: usize, owner: Option<usize>, rng: &mut Rng) -> Result<Step, Violation> {
        if self.session(visitor)?.is_some() {
            return self.update(visitor, false, rng);
        }
        if !self.model.check_served(self.store, visitor)? {
            // While the old session cannot be checked, no new one is created.
            return Ok(Step::Refused);
        }
        let Ok(session) = self.store.session(None) else { return Ok(Step::Refused) };
        let mut values = BTreeMap::new();
        set_values(&session, &mut values, &self.model.value(), true, rng);
        if let Some(owner) = owner {
            session.sign_in(OWNERS[owner]).unwrap();
        }
        let ack = session.save();
        let now = self.model.now();
        // Without a token, the commit was refused before it was queued.
        let Some(token) = session.token() else { return Ok(Step::Refused) };
        let number = self.model.visitors[visitor].push(now, Some(Live { token, values, owner, created: now }));
        self.wait_for(ack, visitor, number, self.is_durable);
        Ok(Step::Done)
    }

    fn update(&mut self, visitor: usize, all: bool, rng: &mut Rng) -> Result<Step, Violation> {
        let Some((session, mut live)) = self.session(visitor)? else { return Ok(Step::Done) };
        set_values(&session, &mut live.values, &self.model.value(), all, rng);
        self.commit(&session, visitor, Some(live), self.is_durable);
        Ok(Step::Done)
    }

    fn rotate(&mut self, visitor: usize) -> Result<Step, Violation> {
        let Some((session, live)) = self.session(visitor)? else { return Ok(Step::Done) };
        session.rotate();
        let ack = session.save();
        let Some(token) = session.token().filter(|token| *token != live.token) else { return Ok(Step::Refused) };
        let now = self.model.now();
        let number = self.model.visitors[visitor].push(now, Some(Live { token, ..live }));
        self.wait_for(ack, visitor, number, true);
        Ok(Step::Done)
    }

    fn destroy(&mut self, visitor: usize) -> Result<Step, Violation> {
        let Some((session, _)) = self.session(visitor)? else { return Ok(Step::Done) };
        session.destroy();
        self.commit(&session, visitor, None, true);
        Ok(Step::Done)
    }

    fn destroy_sessions_of(&mut self, owner: usize) -> Result<Step, Violation> {
        let now = self.model.now();
        for visitor in 0..self.model.visitors.len() {
            // A session that has expired by this clock is over for all callers from here on.
            if !self.model.check_served(self.store, visitor)? {
                return Ok(Step::Refused);
            }
        }
        let ack = self.store.destroy_sessions_of(OWNERS[owner]);
        let mut states = Vec::new();
        for (nth, visitor) in self.model.visitors.iter_mut().enumerate() {
            if visitor.current().live.as_ref().is_some_and(|live| live.owner == Some(owner)) {
                states.push((nth, visitor.push(now, None)));
            }
        }
        self.push(Pending { ack: PendingAck::Many(ack), states, is_durable: true });
        Ok(Step::Done)
    }

    fn touch(&mut self, visitor: usize) -> Result<Step, Violation> {
        let Some((session, live)) = self.session(visitor)? else { return Ok(Step::Done) };
        self.commit(&session, visitor, Some(live), false);
        Ok(Step::Done)
    }

    fn commit(&mut self, session: &Session, visitor: usize, live: Option<Live>, is_durable: bool) {
        let ack = session.save();
        let now = self.model.now();
        let number = self.model.visitors[visitor].push(now, live);
        self.wait_for(ack, visitor, number, is_durable);
    }

    fn wait_for(&mut self, ack: Ack, visitor: usize, number: usize, is_durable: bool) {
        self.push(Pending { ack: PendingAck::One(ack), states: vec![(visitor, number)], is_durable });
    }

    fn push(&mut self, pending: Pending) {
        if self.may_refuse {
            pending.states.iter().for_each(|(visitor, _)| self.model.unsure(*visitor));
        }
        self.pending.push(pending);
    }
}

fn step(went_well: bool) -> Step {
    if went_well { Step::Done } else { Step::Refused }
}

/// Sets one value of a session or all of them, sometimes a long one.
fn set_values(session: &Session, values: &mut BTreeMap<String, String>, value: &str, all: bool, rng: &mut Rng) {
    let keys = ["a", "b", "c", "d"];
    let one = rng.pick(&keys);
    let mut set = |key: &str, value: String| {
        session.insert(key, &value).expect("it is short");
        values.insert(key.to_owned(), value);
    };
    for key in keys.iter().filter(|key| all || **key == one) {
        set(key, value.to_owned());
    }
    if rng.one_in(3) {
        let longest = if rng.one_in(10) { 30_000 } else { 1000 };
        set("long", value.to_owned() + &".".repeat(rng.below(longest)));
    }
}

/// Returns a step that suits a run over `visitors`.
pub(crate) fn draw(visitors: usize, rng: &mut Rng) -> Op {
    let visitor = rng.below(visitors);
    match rng.below(40) {
        0..8 => Op::Create(visitor, if rng.one_in(2) { None } else { Some(rng.below(OWNERS.len())) }),
        8..20 => Op::Update(visitor, rng.one_in(3)),
        20..24 => Op::Rotate(visitor),
        24..27 => Op::Destroy(visitor),
        27 => Op::DestroyAll(rng.below(OWNERS.len())),
        28..30 => Op::Touch(visitor),
        30..32 => Op::Read(visitor),
        32 => Op::Advance(rng.below(12) as u64),
        33 => Op::Advance(if rng.one_in(4) { 61 } else { 3 }),
        34..37 => Op::Await,
        37 => Op::Flush,
        38 => Op::Sweep,
        _ => Op::Pause,
    }
}

/// Returns the violation that a store does not open after a crash.
pub(crate) fn violation_of_open<T>(error: &sessile::Error) -> Result<T, Violation> {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    violation(Kind::Lost, format!("the store does not open after a crash: {error} ({cause:?})"))
}
