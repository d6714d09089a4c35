//! What the client was like when its session was bound to it.
//!
//! Only hashes are kept, 64 bits of each: enough to see a change. They hide a user agent from who reads the file, but not an
//! IPv4 address, of which there are few enough to try them all.

use sessile_codec::{Entry, Limits, Model, Tag, rkyv};

use super::state::State;

const KEY: &str = "sessile.binding";

/// What a client is like: hashes, 0 for what is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
#[rkyv(crate = sessile_codec::rkyv)]
pub(crate) struct Bound {
    pub(crate) user_agent: u64,
    pub(crate) address: u64,
}

impl Model for Bound {
    const TAG: Tag = Tag::new("binding");
}

impl Bound {
    fn is_known(self) -> bool {
        self != Self::default()
    }

    /// This, and of `other` what this does not know.
    fn or(self, other: Self) -> Self {
        let or = |one, other| if one == 0 { other } else { one };
        Self { user_agent: or(self.user_agent, other.user_agent), address: or(self.address, other.address) }
    }
}

#[cfg(feature = "tower")]
impl super::Session {
    /// What the session was bound to, and what its client is like now; `None` if one of them is not known.
    pub(crate) fn bound(&self) -> Option<(Bound, Bound)> {
        let state = self.state();
        let now = Some(state.client()).filter(|now| now.is_known())?;
        Some((stored(&state)?, now))
    }

    /// Binds the session to what its client is like now.
    pub(crate) fn rebind(&self) {
        bind(&mut self.state(), self.store().limits());
    }
}

/// Binds the session, if it is not bound yet or gets a new token.
pub(super) fn keep(state: &mut State, limits: &Limits) {
    if state.client().is_known() && (state.will_rotate() || stored(state).is_none()) {
        bind(state, limits);
    }
}

fn bind(state: &mut State, limits: &Limits) {
    let bound = state.client().or(stored(state).unwrap_or_default());
    let entry = Entry::model(&bound, &Limits::UNLIMITED).expect("two numbers are within every limit");
    // A session that the application has filled to its last byte stays unbound, rather than fail each of its commits.
    let _ = state.set(KEY, entry, limits);
}

fn stored(state: &State) -> Option<Bound> {
    let entry = state.get(KEY)?;
    let view = entry.view::<Bound>().ok()?;
    Some(Bound { user_agent: view.user_agent.to_native(), address: view.address.to_native() })
}
