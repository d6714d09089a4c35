//! What the disk may hold after a crash, by the dullest means: for each visitor, every state since the last one that is certain.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};

use sessile::{Clock, Session, Store, Token, testing::ManualClock};

pub(crate) const IDLE: Duration = Duration::from_hours(1);
pub(crate) const ABSOLUTE: Duration = Duration::from_hours(6);
pub(crate) const OWNERS: [&str; 3] = ["ada", "bob", "eve"];

/// Which promise was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An acknowledged commit is not there, or the store does not open.
    Lost,
    /// A session that had ended, or a token that had been replaced, is served.
    Resurrected,
    /// A session is served that never was like that.
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

/// A session that is alive.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Live {
    pub(crate) token: Token,
    pub(crate) values: Values,
    pub(crate) owner: Option<usize>,
    pub(crate) created: SystemTime,
}

/// What one commit made of a visitor's session.
#[derive(Clone, Debug)]
pub(crate) struct State {
    /// Counts the visitor's states.
    number: usize,
    /// When. The deadline on disk is counted from here.
    pub(crate) at: SystemTime,
    /// `None`: there is none.
    pub(crate) live: Option<Live>,
}

impl State {
    /// What is served of it at `now`, if nobody used it since.
    fn visible(&self, now: SystemTime) -> Option<&Live> {
        self.live.as_ref().filter(|live| now < self.at + IDLE && now < live.created + ABSOLUTE)
    }
}

/// One visitor: a session, and what became of it by commits and rotations.
#[derive(Clone)]
pub(crate) struct Visitor {
    /// What the disk may hold, oldest first. The last is what the store serves.
    states: Vec<State>,
    next_number: usize,
    /// The states that are over, to tell an old one from one that never was.
    past: Vec<Live>,
    tokens: Vec<Token>,
    /// When it was used last.
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

    /// A commit was made. Gives its number, for [`Model::certain`].
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

    /// What the store serves while it runs tells which commits it took. A refused one is nowhere, so it cannot come back.
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

    /// Whether the store is right to serve `found` while it runs, and what follows from it.
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

    /// Whether the disk may hold `found` after a crash. From now on, it holds that.
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
            // Which of several that look the same it is cannot be seen; each of them may be it.
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
        // Whole minutes and one second: expiry indexes have minutes, deadlines have not.
        let clock = ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(60 * 29_000_000 + 1));
        let visitors = vec![Visitor::new(clock.now()); visitors];
        Self { clock, visitors, next_value: 0 }
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// A copy that a change of the clock does not reach.
    pub(crate) fn fork(&self) -> Self {
        Self { clock: ManualClock::at(self.now()), ..self.clone() }
    }

    /// A value that no other commit has written.
    pub(crate) fn value(&mut self) -> String {
        self.next_value += 1;
        self.next_value.to_string()
    }

    /// Commit `number` of `visitor` was acknowledged as durable.
    pub(crate) fn certain(&mut self, visitor: usize, number: usize) -> Result<(), Violation> {
        self.visitors[visitor].certain(number)
    }

    /// The last commit of `visitor` may have been refused: what is served next tells.
    pub(crate) fn unsure(&mut self, visitor: usize) {
        self.visitors[visitor].unsure = true;
    }

    /// Everything was acknowledged as durable that was taken.
    pub(crate) fn all_certain(&mut self) {
        for visitor in self.visitors.iter_mut().filter(|visitor| !visitor.unsure) {
            visitor.states.drain(..visitor.states.len() - 1);
        }
    }

    /// Asks the store for every token that `visitor` ever had. `Ok(None)`: the disk could not be asked.
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

    /// Checks what the running store serves of `visitor`. `false`: the disk could not be asked.
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

    /// Checks what a store serves that was opened after a crash.
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

    /// The sessions that are alive for sure.
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

    /// Without the expired ones, the store holds exactly what is served.
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
            // A clock that is far ahead of where the file has it deletes nothing before so much time has gone by.
            self.clock.freeze(Duration::from_mins(10));
        }
        violation(Kind::Mixed, format!("the store counts {found} sessions, {expected} are alive"))
    }
}

fn values_of(session: &Session) -> Values {
    session.keys().into_iter().filter_map(|key| Some((key.clone(), session.get(&key).ok()??))).collect()
}
