//! Reads and verifies a proof: a compact JWS (RFC 7515) with the header `dbsc+jwt`.
//!
//! Invariants: a proof is verified with a key of ours, never with one that it brings itself, except at registration, where
//! the key is what is registered. Its algorithm must be the key's. Nothing of it is read before its length was checked.

use serde_json::Value;

use super::{
    MOST_PROOF_BYTES, Refusal,
    key::{Algorithm, DeviceKey},
};
use crate::token::decode_any;

/// A proof whose form was checked, and not its signature.
#[derive(Debug)]
pub(crate) struct Proof<'a> {
    /// What is signed.
    signed: &'a str,
    algorithm: Algorithm,
    signature: Vec<u8>,
    challenge: String,
    /// The key that it brings, at registration.
    key: Option<DeviceKey>,
}

impl<'a> Proof<'a> {
    /// Reads the value of a `Secure-Session-Response` header.
    pub(crate) fn parse(value: &'a [u8]) -> Result<Self, Refusal> {
        if value.len() > MOST_PROOF_BYTES {
            return Err(Refusal::Oversized);
        }
        let text = std::str::from_utf8(value).map_err(|_| Refusal::Malformed)?.trim();
        // A structured header (RFC 9651) quotes a string.
        let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
        let (signed, signature) = text.rsplit_once('.').ok_or(Refusal::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Refusal::Malformed)?;
        let header = object(header)?;
        if header["typ"] != "dbsc+jwt" {
            return Err(Refusal::Malformed);
        }
        let algorithm = Algorithm::named(&header["alg"])?;
        let key = match &header["jwk"] {
            Value::Null => None,
            jwk => Some(DeviceKey::of_jwk(jwk)?),
        };
        let challenge = object(payload)?["jti"].as_str().ok_or(Refusal::Malformed)?.to_owned();
        let signature = decode_any(signature.as_bytes()).ok_or(Refusal::Malformed)?;
        Ok(Self { signed, algorithm, signature, challenge, key })
    }

    pub(crate) fn challenge(&self) -> &str {
        &self.challenge
    }

    /// Returns the key that the proof brings, if it is signed with it: for a registration.
    pub(crate) fn own_key(&self) -> Result<DeviceKey, Refusal> {
        let key = self.key.clone().ok_or(Refusal::Key)?;
        self.verify(&key)?;
        Ok(key)
    }

    /// Checks that the proof is signed with `key`.
    pub(crate) fn verify(&self, key: &DeviceKey) -> Result<(), Refusal> {
        if self.algorithm != key.algorithm() {
            return Err(Refusal::Algorithm);
        }
        key.verify(self.signed.as_bytes(), &self.signature)
    }
}

/// Reads a part of a JWS as a JSON object.
fn object(part: &str) -> Result<Value, Refusal> {
    let bytes = decode_any(part.as_bytes()).ok_or(Refusal::Malformed)?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|_| Refusal::Malformed)?;
    if value.is_object() { Ok(value) } else { Err(Refusal::Malformed) }
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::{Signature, SigningKey, signature::Signer};

    use super::*;

    fn base64url(bytes: &[u8]) -> String {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut text = String::new();
        for part in bytes.chunks(3) {
            let bits = part.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - part.len()));
            let characters = (0..=part.len()).map(|at| char::from(ALPHABET[(bits >> (18 - 6 * at) & 63) as usize]));
            text.extend(characters);
        }
        text
    }

    fn key() -> SigningKey {
        SigningKey::from_slice(&[7; 32]).unwrap()
    }

    fn jwk(key: &SigningKey) -> Value {
        let point = key.verifying_key().to_sec1_point(false);
        let (x, y) = (&point.as_bytes()[1..33], &point.as_bytes()[33..]);
        serde_json::json!({ "kty": "EC", "crv": "P-256", "x": base64url(x), "y": base64url(y) })
    }

    fn signed(key: &SigningKey, header: &Value, payload: &Value) -> String {
        let text = format!("{}.{}", base64url(header.to_string().as_bytes()), base64url(payload.to_string().as_bytes()));
        let signature: Signature = key.sign(text.as_bytes());
        format!("{text}.{}", base64url(&signature.to_bytes()))
    }

    fn registration() -> String {
        signed(
            &key(),
            &serde_json::json!({ "alg": "ES256", "typ": "dbsc+jwt", "jwk": jwk(&key()) }),
            &serde_json::json!({ "jti": "a challenge" }),
        )
    }

    fn refusal_of(value: &str) -> Refusal {
        Proof::parse(value.as_bytes()).and_then(|proof| proof.own_key()).unwrap_err()
    }

    #[test]
    fn the_signature_of_rfc_7515_is_verified() {
        let jwk = serde_json::json!({
            "kty": "EC",
            "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        });
        let signature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
        let proof = Proof {
            signed: "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ",
            algorithm: Algorithm::Es256,
            signature: decode_any(signature.as_bytes()).unwrap(),
            challenge: String::new(),
            key: None,
        };
        let key = DeviceKey::of_jwk(&jwk).unwrap();
        assert_eq!(proof.verify(&key), Ok(()));
        let other = Proof { signed: "eyJhbGciOiJFUzI1NiJ9.e30", ..proof };
        assert_eq!(other.verify(&key), Err(Refusal::Signature));
    }

    #[cfg(feature = "device-bound-rs256")]
    #[test]
    fn the_rsa_signature_of_rfc_7515_is_verified() {
        let modulus = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yR\
            T-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS\
            -UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2et\
            hFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
        let signature = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9\
            uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN\
            9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIh\
            WkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
        let key = DeviceKey::of_jwk(&serde_json::json!({ "kty": "RSA", "n": modulus, "e": "AQAB" })).unwrap();
        let proof = Proof {
            signed: "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ",
            algorithm: Algorithm::Rs256,
            signature: decode_any(signature.as_bytes()).unwrap(),
            challenge: String::new(),
            key: None,
        };
        assert_eq!(proof.verify(&key), Ok(()));
        let mut other = proof;
        other.signature[0] ^= 1;
        assert_eq!(other.verify(&key), Err(Refusal::Signature));
        other.algorithm = Algorithm::Es256;
        assert_eq!(other.verify(&key), Err(Refusal::Algorithm));
        for (n, e) in [
            ("AA", "AQAB"),
            ("_w", "AQAB"),
            (modulus, ""),
            (modulus, "AA"),
            (modulus, "AQABAQABAQAB"),
            (&format!("AAAA{modulus}"), "AQAB"),
        ] {
            let jwk = serde_json::json!({ "kty": "RSA", "n": n, "e": e });
            assert_eq!(DeviceKey::of_jwk(&jwk), Err(Refusal::Key), "{n} {e}");
        }
    }

    #[test]
    fn a_registration_brings_its_key_and_its_challenge() {
        for value in [registration(), format!("\"{}\"", registration())] {
            let proof = Proof::parse(value.as_bytes()).unwrap();
            assert_eq!(proof.challenge(), "a challenge");
            let found = proof.own_key().unwrap();
            let point = key().verifying_key().to_sec1_point(false).as_bytes()[1..].try_into().unwrap();
            assert_eq!((Ok(found), DeviceKey::of_point(point)), (DeviceKey::of_point(point), Ok(DeviceKey::P256(point))));
        }
    }

    #[test]
    fn a_proof_by_another_key_is_refused() {
        let header = serde_json::json!({ "alg": "ES256", "typ": "dbsc+jwt" });
        let value = signed(&SigningKey::from_slice(&[8; 32]).unwrap(), &header, &serde_json::json!({ "jti": "c" }));
        let proof = Proof::parse(value.as_bytes()).unwrap();
        let own = registration();
        let own = Proof::parse(own.as_bytes()).unwrap().own_key().unwrap();
        assert_eq!(proof.verify(&own), Err(Refusal::Signature));
        assert_eq!(proof.own_key(), Err(Refusal::Key), "it brings none");
        // The key that it brings is not the one that signed it.
        let header = serde_json::json!({ "alg": "ES256", "typ": "dbsc+jwt", "jwk": jwk(&key()) });
        let value = signed(&SigningKey::from_slice(&[8; 32]).unwrap(), &header, &serde_json::json!({ "jti": "c" }));
        assert_eq!(refusal_of(&value), Refusal::Signature);
    }

    #[test]
    fn what_is_no_proof_is_refused_with_a_reason() {
        let payload = || serde_json::json!({ "jti": "c" });
        let with = |header: Value, payload: Value| signed(&key(), &header, &payload);
        let header = |alg: &str, typ: &str| serde_json::json!({ "alg": alg, "typ": typ, "jwk": jwk(&key()) });
        assert_eq!(refusal_of(&with(header("none", "dbsc+jwt"), payload())), Refusal::Algorithm);
        assert_eq!(refusal_of(&with(header("HS256", "dbsc+jwt"), payload())), Refusal::Algorithm);
        assert_eq!(refusal_of(&with(header("ES256", "JWT"), payload())), Refusal::Malformed);
        assert_eq!(refusal_of(&with(header("ES256", "dbsc+jwt"), serde_json::json!({ "jti": 7 }))), Refusal::Malformed);
        assert_eq!(refusal_of(&with(header("ES256", "dbsc+jwt"), serde_json::json!([]))), Refusal::Malformed);
        for (name, value) in [("kty", "RSA"), ("crv", "P-384"), ("x", "AA"), ("y", "")] {
            let mut other = jwk(&key());
            other[name] = value.into();
            let header = serde_json::json!({ "alg": "ES256", "typ": "dbsc+jwt", "jwk": other });
            assert_eq!(refusal_of(&with(header, payload())), Refusal::Key, "{name}");
        }
        // A point that is not on the curve.
        let mut other = jwk(&key());
        other["y"] = other["x"].clone();
        let header = serde_json::json!({ "alg": "ES256", "typ": "dbsc+jwt", "jwk": other });
        assert_eq!(refusal_of(&with(header, payload())), Refusal::Key);
        for bad in ["", ".", "..", "a.b.c", "e30.e30.", "ä.ä.ä", "e30.e30.e30"] {
            assert_eq!(refusal_of(bad), Refusal::Malformed, "{bad}");
        }
        assert_eq!(refusal_of(&"a".repeat(MOST_PROOF_BYTES + 1)), Refusal::Oversized);
    }

    #[test]
    fn a_proof_with_any_character_changed_is_refused() {
        let value = registration();
        for at in 0..value.len() {
            let mut other = value.clone();
            other.replace_range(at..=at, if &value[at..=at] == "A" { "B" } else { "A" });
            let refused = Proof::parse(other.as_bytes()).and_then(|proof| proof.own_key());
            assert!(refused.is_err(), "at {at}");
        }
    }
}
