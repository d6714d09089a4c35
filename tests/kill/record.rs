//! What the child writes into a session, so that a mixture shows; and pseudo-random numbers.

use sessile::{Session, Store, Token};

/// Bytes of the longest payload.
const MOST_BYTES: u64 = 4000;

/// Sets all values of commit `n` of the session called `name`.
pub(crate) fn fill(session: &Session, name: &str, n: u64) {
    session.insert("name", name).expect("a name fits");
    session.insert("first", n).expect("a number fits");
    session.insert("payload", payload(n)).expect("a payload fits");
    session.insert("zlast", n).expect("a number fits");
}

/// Its length and its content both depend on `n`.
fn payload(n: u64) -> String {
    let byte = char::from(b'a' + u8::try_from(n % 26).expect("it is less than 26"));
    let len = n.wrapping_mul(2_654_435_761) % MOST_BYTES;
    std::iter::repeat_n(byte, usize::try_from(len).expect("it is small")).collect()
}

/// What a token leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    /// The values of one commit.
    Commit {
        name: String,
        n: u64,
    },
    /// Values of several commits, or none at all.
    Mixture(String),
}

pub(crate) fn read(store: &Store, token: &Token) -> Found {
    let session = store.session(Some(token)).expect("the disk works");
    if session.token().is_none() {
        return Found::Nothing;
    }
    let number = |key| session.get::<u64>(key).ok().flatten();
    let text = |key| session.get::<String>(key).ok().flatten();
    match (text("name"), number("first"), text("payload"), number("zlast")) {
        (Some(name), Some(n), Some(found), Some(last)) if n == last && found == payload(n) => Found::Commit { name, n },
        (name, first, found, last) => {
            Found::Mixture(format!("{name:?}: {first:?}, {:?} bytes, {last:?}", found.map(|found| found.len())))
        }
    }
}

/// Pseudo-random numbers (xorshift64*), from a seed.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.max(1))
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }
}
