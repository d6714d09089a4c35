//! Keys of devices, and proofs that a client has one: Device Bound Session Credentials (W3C), as Chromium speaks them.
//!
//! A browser makes a key pair in its device's secure hardware and registers the public key with the session. A proof is a JWS:
//! a challenge of ours, signed with that key. `jws.rs` reads and verifies proofs, `challenge.rs` makes and takes challenges,
//! `possession.rs` is the value of the short cookie that says that a proof was given lately.
//!
//! Invariant: nothing here does I/O. What a client sends is bounded before it is read.

mod challenge;
mod jws;
mod possession;

use std::fmt;

pub(crate) use self::{
    challenge::{Challenges, Purpose},
    jws::{DeviceKey, Proof},
    possession::Possession,
};

/// The longest proof that is read: some ten times what a browser sends.
pub(crate) const MOST_PROOF_BYTES: usize = 4096;

/// Why a proof of possession was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// The request has no proof.
    Missing,
    /// The proof is longer than 4,096 bytes.
    Oversized,
    /// The proof is not a JWS of three parts with the header and the payload of a proof.
    Malformed,
    /// The signature's algorithm is none that this build verifies.
    Algorithm,
    /// The key is none that this build verifies with, or is not one at all.
    Key,
    /// The challenge was not made by this process for this session and this purpose.
    Challenge,
    /// The challenge is older than five minutes.
    Stale,
    /// The challenge was used before.
    Replayed,
    /// The signature does not fit the key.
    Signature,
    /// The session is not bound to a device, or is bound already.
    State,
}

impl Refusal {
    /// Returns the reason as one lower-case word, for a metric or a log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Oversized => "oversized",
            Self::Malformed => "malformed",
            Self::Algorithm => "algorithm",
            Self::Key => "key",
            Self::Challenge => "challenge",
            Self::Stale => "stale",
            Self::Replayed => "replayed",
            Self::Signature => "signature",
            Self::State => "state",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "the request has no proof: send the challenge, and the browser answers with one",
            Self::Oversized => "the proof is longer than 4,096 bytes, which no browser sends",
            Self::Malformed => "the proof is not a JWS with a header and a challenge",
            Self::Algorithm => "the proof is signed with an algorithm that this build does not verify",
            Self::Key => "the key of the proof is not one that this build verifies with",
            Self::Challenge => "the challenge is not one of this process for this session: the browser asks for another",
            Self::Stale => "the challenge is older than five minutes: the browser asks for another",
            Self::Replayed => "the challenge was used before",
            Self::Signature => "the signature does not fit the key of the session",
            Self::State => {
                "the session is not in the state for this: only an unbound session registers, only a bound one proves"
            }
        })
    }
}
