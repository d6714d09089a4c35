//! Keys of devices whose secure hardware has RSA only.

use std::ops::RangeInclusive;

use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};

use super::Refusal;

/// From 2,048 bits, as hardware has them, to 4,096.
const MODULUS_BYTES: RangeInclusive<usize> = 256..=512;
/// An exponent is at most 33 bits long.
const MOST_EXPONENT_BYTES: usize = 5;

/// A public key: modulus and exponent, big-endian without leading zeros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RsaKey {
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

impl RsaKey {
    pub(crate) fn new(modulus: Vec<u8>, exponent: Vec<u8>) -> Result<Self, Refusal> {
        let is_plain = |number: &[u8]| number.first().is_some_and(|first| *first != 0);
        let fits = MODULUS_BYTES.contains(&modulus.len()) && exponent.len() <= MOST_EXPONENT_BYTES;
        if fits && is_plain(&modulus) && is_plain(&exponent) { Ok(Self { modulus, exponent }) } else { Err(Refusal::Key) }
    }

    pub(crate) fn modulus(&self) -> &[u8] {
        &self.modulus
    }

    pub(crate) fn exponent(&self) -> &[u8] {
        &self.exponent
    }

    /// Checks that `signature` over `text` was made with the key: RSASSA-PKCS1-v1_5 with SHA-256.
    pub(super) fn verify(&self, text: &[u8], signature: &[u8]) -> Result<(), Refusal> {
        let key = RsaPublicKeyComponents { n: &self.modulus, e: &self.exponent };
        key.verify(&RSA_PKCS1_2048_8192_SHA256, text, signature).map_err(|_| Refusal::Signature)
    }
}
