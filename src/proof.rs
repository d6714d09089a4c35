//! Keys of devices, and proofs that a client has one: Device Bound Session Credentials (W3C), as Chromium speaks them.
//!
//! A browser makes a key pair in its device's secure hardware and registers the public key with the session. A proof is a JWS:
//! a challenge of ours, signed with that key. `jws.rs` reads proofs, `key.rs` and `rsa.rs` verify them, `challenge.rs` makes and
//! takes challenges, `possession.rs` is the value of the short cookie that says that a proof was given lately.
//!
//! Invariant: nothing here does I/O. What a client sends is bounded before it is read.

mod challenge;
mod jws;
mod key;
mod possession;
#[cfg(feature = "device-bound-rs256")]
mod rsa;

use std::fmt;

use sessile_codec::Meta;

#[cfg(feature = "device-bound-rs256")]
pub(crate) use self::rsa::RsaKey;
pub(crate) use self::{
    challenge::{Challenges, Purpose},
    jws::Proof,
    key::{ALGORITHMS, DeviceKey},
    possession::Possession,
};

/// Flag of a session that is bound to a device, so that a request for any other looks for no key.
const BOUND: u16 = 8;

/// Whether the session with this metadata is bound to a device.
#[inline]
pub(crate) fn is_bound(meta: &Meta) -> bool {
    meta.flags & BOUND != 0
}

/// Returns `flags` of a session that is bound to a device, or of one that is not.
pub(crate) fn marked(flags: u16, is_bound: bool) -> u16 {
    if is_bound { flags | BOUND } else { flags & !BOUND }
}

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

/// Reads `data` in each of the ways in which what a client sends is read; for the fuzz target and its corpus.
#[cfg(any(test, fuzzing))]
pub(crate) fn check(data: &[u8]) {
    use crate::{Handle, keys::KeyRing};

    let session = Handle::from_bits(7);
    if let Ok(proof) = Proof::parse(data) {
        // No input is signed with this key.
        let key = DeviceKey::of_point(GENERATOR).expect("it is a point of the curve");
        assert!(matches!(proof.verify(&key), Err(Refusal::Signature | Refusal::Algorithm)));
        if let Ok(own) = proof.own_key() {
            assert_eq!(proof.verify(&own), Ok(()));
        }
        let challenges = Challenges::default();
        assert_eq!(challenges.check(proof.challenge(), Purpose::Refresh, session, 1), Err(Refusal::Challenge));
    }
    let ring = KeyRing::generate().expect("there is randomness");
    assert_eq!(Possession::read(data, &ring, &Meta::default()), None);
    let text = String::from_utf8_lossy(data);
    let challenges = Challenges::default();
    let own = challenges.issue(Purpose::Refresh, session, 1).expect("there is randomness");
    assert!(*text == own || challenges.check(&text, Purpose::Refresh, session, 1).is_err());
    if let Some(bytes) = crate::token::decode_any(data) {
        assert!(bytes.len() * 4 / 3 <= data.len());
    }
}

/// The generator of P-256, whose private key is 1.
#[cfg(any(test, fuzzing))]
const GENERATOR: [u8; 64] = [
    0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40, 0xf2, 0x77, 0x03, 0x7d, 0x81,
    0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96, 0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a, 0x7f, 0x9b,
    0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16, 0x2b, 0xce, 0x33, 0x57, 0x6b, 0x31, 0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68,
    0x37, 0xbf, 0x51, 0xf5,
];

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    #[test]
    fn the_corpus_of_the_fuzz_target_passes() {
        let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/device");
        let files: Vec<_> = fs::read_dir(files).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(files.len() >= 5, "{} files", files.len());
        for file in &files {
            super::check(&fs::read(file).unwrap());
        }
    }
}
