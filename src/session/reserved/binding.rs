//! Properties of the client that a session is bound to.
//!
//! Only hashes are stored, 64 bits of each: enough to see a change. They hide a user agent from a reader of the file. They do
//! not hide an IPv4 address: there are few enough to try them all.

use sessile_codec::{Entry, Limits, Model, ModelPart, Shape, Tag, rkyv, shape};

use crate::session::state::State;

const KEY: &str = "sessile.binding";

/// Properties of a client: hashes, 0 if not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
#[rkyv(crate = sessile_codec::rkyv)]
pub(crate) struct Bound {
    pub(crate) user_agent: u64,
    pub(crate) address: u64,
}

impl ModelPart for Bound {
    const SHAPE: &'static Shape = shape!(user_agent: u64, address: u64);
}

impl Model for Bound {
    const TAG: Tag = Tag::new("binding");
}

impl Bound {
    fn is_known(self) -> bool {
        self != Self::default()
    }

    /// Returns these properties, with those of `other` where this one has none.
    fn or(self, other: Self) -> Self {
        let or = |one, other| if one == 0 { other } else { one };
        Self { user_agent: or(self.user_agent, other.user_agent), address: or(self.address, other.address) }
    }
}

#[cfg(feature = "tower")]
impl crate::Session {
    /// Returns the properties that the session was bound to, and its client's now; `None` if either is not known.
    pub(crate) fn bound(&self) -> Option<(Bound, Bound)> {
        let state = self.state();
        let now = Some(state.client()).filter(|now| now.is_known())?;
        Some((stored(&state)?, now))
    }

    /// Binds the session to its client's current properties.
    pub(crate) fn rebind(&self) {
        bind(&mut self.state(), self.store().limits());
    }
}

/// Binds the session if it is not bound yet or gets a new token.
pub(in crate::session) fn keep(state: &mut State, limits: &Limits) {
    if state.client().is_known() && (state.will_rotate() || stored(state).is_none()) {
        bind(state, limits);
    }
}

fn bind(state: &mut State, limits: &Limits) {
    let bound = state.client().or(stored(state).unwrap_or_default());
    let entry = Entry::model(&bound, &Limits::UNLIMITED).expect("two numbers are within every limit");
    // A session that the application has filled to its last byte stays unbound. Otherwise each of its commits would fail.
    let _ = state.set(KEY, entry, limits);
}

fn stored(state: &State) -> Option<Bound> {
    let entry = state.get(KEY)?;
    let view = entry.view::<Bound>().ok()?;
    Some(Bound { user_agent: view.user_agent.to_native(), address: view.address.to_native() })
}
