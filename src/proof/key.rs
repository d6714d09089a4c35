//! Public keys of devices: read from a JWK (RFC 7517), and used to verify a signature.
//!
//! Invariant: a key verifies with its own algorithm only, whatever a proof names.

use p256::ecdsa::{Signature, VerifyingKey, signature::Verifier as _};
use serde_json::Value;

use super::Refusal;
#[cfg(feature = "device-bound-rs256")]
use super::rsa::RsaKey;
use crate::token::decode_any;

/// Length of a coordinate of P-256.
const COORDINATE: usize = 32;
/// The algorithms that this build verifies, as a registration offers them.
pub(crate) const ALGORITHMS: &str = if cfg!(feature = "device-bound-rs256") { "(ES256 RS256)" } else { "(ES256)" };

/// The algorithm of a key and its signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Es256,
    #[cfg(feature = "device-bound-rs256")]
    Rs256,
}

impl Algorithm {
    /// Reads the name in the header of a proof.
    pub(super) fn named(name: &Value) -> Result<Self, Refusal> {
        match name.as_str() {
            Some("ES256") => Ok(Self::Es256),
            #[cfg(feature = "device-bound-rs256")]
            Some("RS256") => Ok(Self::Rs256),
            _ => Err(Refusal::Algorithm),
        }
    }
}

/// A device's public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DeviceKey {
    /// A point on P-256: its two coordinates.
    P256([u8; 2 * COORDINATE]),
    #[cfg(feature = "device-bound-rs256")]
    Rsa(RsaKey),
}

impl DeviceKey {
    /// Checks the two coordinates of a point, as they are stored.
    pub(crate) fn of_point(point: [u8; 2 * COORDINATE]) -> Result<Self, Refusal> {
        verifying(&point).map(|_| Self::P256(point))
    }

    /// Reads the JWK of a proof.
    pub(super) fn of_jwk(jwk: &Value) -> Result<Self, Refusal> {
        match jwk["kty"].as_str() {
            Some("EC") if jwk["crv"] == "P-256" => {
                let mut point = [0; 2 * COORDINATE];
                for (name, half) in ["x", "y"].into_iter().zip(point.chunks_exact_mut(COORDINATE)) {
                    let coordinate = member(jwk, name)?;
                    if coordinate.len() != half.len() {
                        return Err(Refusal::Key);
                    }
                    half.copy_from_slice(&coordinate);
                }
                Self::of_point(point)
            }
            #[cfg(feature = "device-bound-rs256")]
            Some("RSA") => RsaKey::new(member(jwk, "n")?, member(jwk, "e")?).map(Self::Rsa),
            _ => Err(Refusal::Key),
        }
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        match self {
            Self::P256(_) => Algorithm::Es256,
            #[cfg(feature = "device-bound-rs256")]
            Self::Rsa(_) => Algorithm::Rs256,
        }
    }

    /// Checks that `signature` over `text` was made with the key.
    pub(super) fn verify(&self, text: &[u8], signature: &[u8]) -> Result<(), Refusal> {
        match self {
            Self::P256(point) => {
                let signature = Signature::from_slice(signature).map_err(|_| Refusal::Signature)?;
                verifying(point)?.verify(text, &signature).map_err(|_| Refusal::Signature)
            }
            #[cfg(feature = "device-bound-rs256")]
            Self::Rsa(key) => key.verify(text, signature),
        }
    }
}

/// Returns a member of a JWK, which is base64url.
fn member(jwk: &Value, name: &str) -> Result<Vec<u8>, Refusal> {
    jwk[name].as_str().and_then(|text| decode_any(text.as_bytes())).ok_or(Refusal::Key)
}

fn verifying(coordinates: &[u8; 2 * COORDINATE]) -> Result<VerifyingKey, Refusal> {
    // SEC 1: a point that is not compressed.
    let mut point = [4; 1 + 2 * COORDINATE];
    point[1..].copy_from_slice(coordinates);
    VerifyingKey::from_sec1_bytes(&point).map_err(|_| Refusal::Key)
}
