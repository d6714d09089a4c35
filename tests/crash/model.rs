//! A naive model of what the disk may contain after a crash: for each visitor, every state since the last certain one.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};

use sessile::{Clock, Session, Store, Token, testing::ManualClock};

pub(crate) const IDLE: Duration = Duration::from_hours(1);
pub(crate) const ABSOLUTE: Duration = Duration::from_hours(6);
pub(crate) const OWNERS: [&str; 3] = ["ada", "bob", "eve"];

/// The broken guarantee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An acknowledged commit is missing, or the store does not open.
    Lost,
    /// An ended session, or a replaced token, is served.
    Resurrected,
    /// A session is served in a state that was never committed.
    Mixed,
}

#[derive(Debug)]
pub(crate) struct Violation {
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

pub(crate) fn violation<T>(kind: Kind, text: impl Into<String>) -> Result<T, Violation> {
    Err(Violation { kind, text: text.into() })
}

/// The values of a session.
pub(crate) type Values = BTreeMap<String, String>;

/// A live session.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Live {
    pub(crate) token: Token,
    pub(crate) values: Values,
    pub(crate) owner: Option<usize>,
    pub(crate) created: SystemTime,
}

/// A visitor's session after one commit.
#[derive(Clone, Debug)]
pub(crate) struct State {
    /// The number of the visitor's state.
    number: usize,
    /// The time of the commit. The deadline on disk counts from here.
    pub(crate) at: SystemTime,
    /// `None`: no session.
    pub(crate) live: Option<Live>,
}

impl State {
    /// Returns what is served of it at `now`, if it was not used since.
    fn visible(&self, now: SystemTime) -> Option<&Live> {
        self.live.as_ref().filter(|live| now < self.at + IDLE && now < live.created + ABSOLUTE)
    }
}

/// One visitor: a session, and its states after commits and rotations.
#[derive(Clone)]
pub(crate) struct Visitor {
    /// The states that the disk may contain, oldest first. The store serves the last one.
    states: Vec<State>,
    next_number: usize,
    /// Past states, to distinguish an old state from one that was never committed.
    past: Vec<Live>,
    tokens: Vec<Token>,
    /// The time of the last use.
    seen: SystemTime,
    /// Whether the last commits may have been refused before they were queued.
    unsure: bool,
}

impl Visitor {
    fn new(now: SystemTime) -> Self {
        Self {
            states: vec![State { number: 0, at: now, live: None }],
            next_number: 1,
            past: Vec::new(),
            tokens: Vec::new(),
            seen: now,
            unsure: false,
        }
    }

    pub(crate) fn current(&self) -> &State {
        self.states.last().expect("there is always a state")
    }

    /// Adds a commit. Returns its number, for [`Model::certain`].
    pub(crate) fn push(&mut self, at: SystemTime, live: Option<Live>) -> usize {
        if let Some(live) = &live {
            if !self.tokens.contains(&live.token) {
                self.tokens.push(live.token);
            }
            self.past.push(live.clone());
        }
        self.seen = at;
        let number = self.next_number;
        self.next_number += 1;
        self.states.push(State { number, at, live });
        number
    }

    fn certain(&mut self, number: usize) -> Result<(), Violation> {
        match self.states.iter().position(|state| state.number == number) {
            Some(at) => drop(self.states.drain(..at)),
            None if number < self.states[0].number => {}
            None => return violation(Kind::Lost, format!("a commit was acknowledged, and {:?} is served", self.current())),
        }
        Ok(())
    }

    /// The running store shows which commits it accepted. A refused one was never queued, so it cannot come back.
    fn settle_on(&mut self, found: Option<&(Token, Values)>, now: SystemTime) {
        let is_found = |state: &State| match (&state.live, found) {
            (Some(live), Some((token, values))) => live.token == *token && live.values == *values,
            (Some(_), None) => state.visible(now).is_none(),
            (None, found) => found.is_none(),
        };
        if let Some(last) = self.states.iter().rposition(is_found) {
            self.states.truncate(last + 1);
            self.unsure = false;
        }
    }

    /// Checks that the running store may serve `found`, and updates the model.
    fn check_served(&mut self, found: Option<&(Token, Values)>, now: SystemTime) -> Result<(), Violation> {
        if self.unsure {
            self.settle_on(found, now);
        }
        let Some(live) = &self.current().live else {
            return match found {
                None => Ok(()),
                Some(found) => violation(Kind::Resurrected, format!("served {found:?} after its end")),
            };
        };
        let over = now >= (self.seen + IDLE).min(live.created + ABSOLUTE);
        match found {
            Some(found) if over => violation(Kind::Resurrected, format!("served {found:?} after its deadline")),
            Some((token, values)) if *token == live.token && *values == live.values => Ok(()),
            Some(found) => violation(Kind::Mixed, format!("served {found:?}, committed was {live:?}")),
            None if self.current().visible(now).is_some() => violation(Kind::Lost, format!("{live:?} is not served")),
            None => Ok(()),
        }
    }

    /// Checks that the disk may contain `found` after a crash. From now on, that is the only state.
    fn check_recovered(&mut self, found: Option<(Token, Values)>, now: SystemTime) -> Result<(), Violation> {
        let is_found = |state: &State| match (state.visible(now), &found) {
            (Some(live), Some((token, values))) => live.token == *token && live.values == *values,
            (None, None) => true,
            _ => false,
        };
        if let Some(first) = self.states.iter().position(is_found) {
            let last = self.states.iter().rposition(is_found).unwrap_or(first);
            self.states.truncate(last + 1);
            self.states.drain(..first);
            // Several states may look the same; the disk may have any of them.
            self.states.retain(is_found);
            self.seen = if found.is_some() { now } else { self.seen };
            self.unsure = false;
            return Ok(());
        }
        let text = format!("found {found:?}, may be {:?}", self.states);
        let Some((token, values)) = found else { return violation(Kind::Lost, text) };
        let was = self.past.iter().any(|live| live.token == token && live.values == values);
        let certain = self.states[0].visible(now);
        violation(
            match certain {
                _ if !was => Kind::Mixed,
                Some(certain) if certain.token == token => Kind::Lost,
                _ => Kind::Resurrected,
            },
            text,
        )
    }
}

/// All visitors.
#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) clock: ManualClock,
    pub(crate) visitors: Vec<Visitor>,
    next_value: u64,
}

impl Model {
    pub(crate) fn new(visitors: usize) -> Self {
        // Whole minutes and one second: expiry indexes count minutes, deadlines do not.
        let clock = ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(60 * 29_000_000 + 1));
        let visitors = vec![Visitor::new(clock.now()); visitors];
        Self { clock, visitors, next_value: 0 }
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// A copy that changes of the clock do not affect.
    pub(crate) fn fork(&self) -> Self {
        Self { clock: ManualClock::at(self.now()), ..self.clone() }
    }

    /// Returns a value that no other commit has written.
    pub(crate) fn value(&mut self) -> String {
        self.next_value += 1;
        self.next_value.to_string()
    }

    /// Commit `number` of `visitor` was acknowledged as durable.
    pub(crate) fn certain(&mut self, visitor: usize, number: usize) -> Result<(), Violation> {
        self.visitors[visitor].certain(number)
    }

    /// The last commit of `visitor` may have been refused: the next session served shows whether it was.
    pub(crate) fn unsure(&mut self, visitor: usize) {
        self.visitors[visitor].unsure = true;
    }

    /// Every accepted commit was acknowledged as durable.
    pub(crate) fn all_certain(&mut self) {
        for visitor in self.visitors.iter_mut().filter(|visitor| !visitor.unsure) {
            visitor.states.drain(..visitor.states.len() - 1);
        }
    }

    /// Asks the store for every token that `visitor` ever had. `Ok(None)`: the disk could not be read.
    #[expect(
        clippy::option_option,
        reason = "a store that refuses, a session that is over and one that is not are three answers"
    )]
    fn look(store: &Store, visitor: &Visitor) -> Result<Option<Option<(Token, Values)>>, Violation> {
        let mut found = None;
        for token in &visitor.tokens {
            let Ok(session) = store.session(Some(token)) else { return Ok(None) };
            if session.token().is_none() {
                continue;
            }
            let served = (*token, values_of(&session));
            if let Some(other) = found.replace(served) {
                let text = format!("two tokens of one session are served: {other:?} and {found:?}");
                return violation(Kind::Resurrected, text);
            }
        }
        Ok(Some(found))
    }

    /// Checks what the running store serves for `visitor`. `false`: the disk could not be read.
    pub(crate) fn check_served(&mut self, store: &Store, visitor: usize) -> Result<bool, Violation> {
        let now = self.now();
        let visitor = &mut self.visitors[visitor];
        let Some(found) = Self::look(store, visitor)? else { return Ok(false) };
        visitor.check_served(found.as_ref(), now)?;
        if found.is_some() {
            visitor.seen = now;
        }
        Ok(true)
    }

    /// Checks what a store serves after a crash.
    pub(crate) fn check_recovered(&mut self, store: &Store) -> Result<(), Violation> {
        let now = self.now();
        for (nth, visitor) in self.visitors.iter_mut().enumerate() {
            let found = Self::look(store, visitor)?;
            let Some(found) = found else { return violation(Kind::Lost, "the store cannot be read") };
            let named = |problem: Violation| Violation { text: format!("visitor {nth}: {}", problem.text), ..problem };
            visitor.check_recovered(found, now).map_err(named)?;
        }
        self.check_owners(store)?;
        self.check_count(store)
    }

    /// The sessions that are certainly alive.
    fn alive(&self) -> impl Iterator<Item = &Live> {
        let now = self.now();
        self.visitors.iter().filter_map(move |visitor| visitor.current().visible(now))
    }

    fn check_owners(&self, store: &Store) -> Result<(), Violation> {
        for (nth, owner) in OWNERS.iter().enumerate() {
            let expected: BTreeSet<String> = self
                .alive()
                .filter(|live| live.owner == Some(nth))
                .filter_map(|live| Some(store.session(Some(&live.token)).ok()?.handle()?.to_string()))
                .collect();
            let Ok(found) = store.sessions_of(*owner) else { return violation(Kind::Lost, "the owners cannot be read") };
            let found: BTreeSet<String> = found.iter().map(|info| info.handle.to_string()).collect();
            if found != expected {
                return violation(Kind::Mixed, format!("{owner} has {found:?} by the index, {expected:?} by the records"));
            }
        }
        Ok(())
    }

    /// Without the expired sessions, the store contains exactly what it serves.
    fn check_count(&self, store: &Store) -> Result<(), Violation> {
        let expected = self.alive().count() as u64;
        let mut found = 0;
        for _ in 0..2 {
            if let Err(error) = store.sweep().wait() {
                return violation(Kind::Lost, format!("a sweep after the recovery fails: {error:?}"));
            }
            found = store.stats().disk_sessions;
            if found == expected {
                return Ok(());
            }
            // A clock that is far ahead of the time in the file deletes nothing until that much time has passed.
            self.clock.freeze(Duration::from_mins(10));
        }
        violation(Kind::Mixed, format!("the store counts {found} sessions, {expected} are alive"))
    }
}

fn values_of(session: &Session) -> Values {
    session.keys().into_iter().filter_map(|key| Some((key.clone(), session.get(&key).ok()??))).collect()
}
