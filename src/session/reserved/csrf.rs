//! Proves that a form was written by the application itself: a token bound to the session.
//!
//! Facts: a page that is compressed together with an attacker's text leaks its secrets bit by bit (BREACH, 2013). So a page
//! contains the secret under a mask that differs each time. Two pages opened at once must not create two secrets, or one of
//! their forms would be refused. So a session's first secret is derived from its token, or from its id if it is sealed; only a
//! reader of the session can read that.
//!
//! Invariants: a secret does not outlive a rotation, because an attacker who planted the old token may know it. Secrets are
//! compared in constant time.

use std::fmt::Write;

use sessile_codec::{Entry, Limits, Model, ModelPart, Shape, Tag, rkyv, shape};
use sha2::{Digest, Sha256};

use crate::session::state::State;
use crate::{Error, token::random_bytes};

const KEY: &str = "sessile.csrf";
/// 128 bits, which cannot be guessed.
const BYTES: usize = 16;

#[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
#[rkyv(crate = sessile_codec::rkyv)]
struct Secret([u8; BYTES]);

impl ModelPart for Secret {
    const SHAPE: &'static Shape = shape!(0: [u8; BYTES]);
}

impl Model for Secret {
    const TAG: Tag = Tag::new("csrf");
}

/// Returns the mask and the masked secret, in hexadecimal.
pub(in crate::session) fn token(state: &mut State, limits: &Limits) -> Result<String, Error> {
    let secret = match secret(state) {
        Some(secret) => secret,
        None => begin(state, limits)?,
    };
    let mask: [u8; BYTES] = random_bytes()?;
    let mut text = String::with_capacity(4 * BYTES);
    for byte in mask.into_iter().chain(xor(secret, mask)) {
        write!(text, "{byte:02x}").expect("a `String` takes all that is written");
    }
    Ok(text)
}

pub(in crate::session) fn is_token(state: &State, text: &str) -> bool {
    let (Some(secret), Some((mask, masked))) = (secret(state), parse(text)) else { return false };
    // As one integer: in constant time.
    u128::from_ne_bytes(xor(masked, mask)) == u128::from_ne_bytes(secret)
}

/// The session gets a new token. Removes the secret of the old one, even if another request is just creating it.
pub(in crate::session) fn forget(state: &mut State) {
    state.remove(KEY);
}

fn secret(state: &State) -> Option<[u8; BYTES]> {
    Some(state.get(KEY)?.view::<Secret>().ok()?.0)
}

fn begin(state: &mut State, limits: &Limits) -> Result<[u8; BYTES], Error> {
    let secret = match state.seed().filter(|_| !state.will_rotate()) {
        Some(seed) => {
            let hash = Sha256::new_with_prefix(b"sessile csrf").chain_update(seed).finalize();
            *hash.first_chunk().expect("a SHA-256 has 32 bytes")
        }
        None => random_bytes()?,
    };
    state.set(KEY, Entry::model(&Secret(secret), limits)?, limits)?;
    Ok(secret)
}

fn parse(text: &str) -> Option<([u8; BYTES], [u8; BYTES])> {
    let text: &[u8; 4 * BYTES] = text.as_bytes().try_into().ok()?;
    let mut bytes = [0; 2 * BYTES];
    for (pair, byte) in text.as_chunks::<2>().0.iter().zip(&mut bytes) {
        let digit = |character: u8| char::from(character).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
    }
    Some((*bytes.first_chunk()?, *bytes.last_chunk()?))
}

fn xor(one: [u8; BYTES], other: [u8; BYTES]) -> [u8; BYTES] {
    std::array::from_fn(|at| one[at] ^ other[at])
}
