//! A client that speaks the protocol of device-bound sessions as Chromium does.

use std::collections::BTreeMap;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode, header},
};
use p256::ecdsa::{Signature, SigningKey, signature::Signer};
use ring::{
    rand::SystemRandom,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents},
};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{REFRESH, REGISTER, SHORT};

fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for part in bytes.chunks(3) {
        let bits = part.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - part.len()));
        text.extend((0..=part.len()).map(|at| char::from(ALPHABET[(bits >> (18 - 6 * at) & 63) as usize])));
    }
    text
}

/// The private half of a device's key.
#[derive(Clone)]
pub(super) enum Key {
    P256(SigningKey),
    Rsa,
}

impl Key {
    pub(super) fn p256(byte: u8) -> Self {
        Self::P256(SigningKey::from_slice(&[byte; 32]).unwrap())
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::P256(_) => "ES256",
            Self::Rsa => "RS256",
        }
    }

    fn jwk(&self) -> Value {
        match self {
            Self::P256(key) => {
                let point = key.verifying_key().to_sec1_point(false);
                let point = point.as_bytes();
                json!({ "kty": "EC", "crv": "P-256", "x": base64url(&point[1..33]), "y": base64url(&point[33..]) })
            }
            Self::Rsa => {
                let public = RsaPublicKeyComponents::<Vec<u8>>::from(rsa().public());
                json!({ "kty": "RSA", "n": base64url(&public.n), "e": base64url(&public.e) })
            }
        }
    }

    fn sign(&self, text: &str) -> Vec<u8> {
        match self {
            Self::P256(key) => {
                let signature: Signature = key.sign(text.as_bytes());
                signature.to_bytes().to_vec()
            }
            Self::Rsa => {
                let key = rsa();
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
                signature
            }
        }
    }
}

fn rsa() -> RsaKeyPair {
    RsaKeyPair::from_der(include_bytes!("key.der")).unwrap()
}

/// A browser: a cookie jar and a key.
#[derive(Clone)]
pub(super) struct Browser {
    pub(super) cookies: BTreeMap<String, String>,
    pub(super) key: Key,
    /// What the server said of the session.
    pub(super) session: Option<Value>,
}

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Answer {
    /// Returns the challenge in a header, and whether the header names what it should.
    pub(super) fn challenge(&self, name: &str) -> Option<String> {
        let value = self.headers.get(name)?.to_str().unwrap();
        let (_, rest) = if name == "secure-session-registration" {
            let algorithms = if cfg!(feature = "device-bound-rs256") { "(ES256 RS256)" } else { "(ES256)" };
            assert!(value.starts_with(&format!("{algorithms};path=\"{REGISTER}\";")), "{value}");
            value.split_once("challenge=\"").unwrap()
        } else {
            value.split_once('"').unwrap()
        };
        Some(rest.split_once('"').unwrap().0.to_owned())
    }
}

impl Browser {
    pub(super) fn new(key: u8) -> Self {
        Self::with(Key::p256(key))
    }

    pub(super) fn with(key: Key) -> Self {
        Self { cookies: BTreeMap::new(), key, session: None }
    }

    fn request(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Request<Body> {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, "app.example");
        if !cookies.is_empty() {
            request = request.header(header::COOKIE, cookies.join("; "));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Body::empty()).unwrap()
    }

    /// Returns the request that registers the key, for an answer that asks for one.
    pub(super) fn registration(&self, asked: &Answer) -> Request<Body> {
        let challenge = asked.challenge("secure-session-registration").expect("the answer asks for a key");
        let proof = self.proof(&challenge, true);
        self.request("POST", REGISTER, &[("secure-session-response", &proof)])
    }

    pub(super) async fn send(&mut self, app: &Router, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let response = app.clone().oneshot(self.request(method, path, headers)).await.unwrap();
        let (parts, body) = response.into_parts();
        for set in parts.headers.get_all(header::SET_COOKIE) {
            let set = set.to_str().unwrap();
            let (name, value) = set.split(';').next().unwrap().split_once('=').unwrap();
            if set.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let body = String::from_utf8(to_bytes(body, 1 << 20).await.unwrap().to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub(super) fn proof(&self, challenge: &str, with_key: bool) -> String {
        let mut header = json!({ "alg": self.key.algorithm(), "typ": "dbsc+jwt" });
        if with_key {
            header["jwk"] = self.key.jwk();
        }
        let payload = json!({ "jti": challenge });
        let text = format!("{}.{}", base64url(header.to_string().as_bytes()), base64url(payload.to_string().as_bytes()));
        format!("{text}.{}", base64url(&self.key.sign(&text)))
    }

    /// Registers a key, as a browser does when an answer asks for it.
    pub(super) async fn register(&mut self, app: &Router, asked: &Answer) -> Answer {
        let challenge = asked.challenge("secure-session-registration").expect("the answer asks for a key");
        let proof = self.proof(&challenge, true);
        let answer = self.send(app, "POST", REGISTER, &[("secure-session-response", &proof)]).await;
        if answer.status == StatusCode::OK {
            self.session = Some(serde_json::from_str(&answer.body).unwrap());
        }
        answer
    }

    pub(super) fn identifier(&self) -> String {
        self.session.as_ref().unwrap()["session_identifier"].as_str().unwrap().to_owned()
    }

    /// Proves, as a browser does before a request without the short cookie: asks for a challenge, and answers it.
    pub(super) async fn refresh(&mut self, app: &Router) -> Answer {
        let identifier = self.identifier();
        let asked = self.send(app, "POST", REFRESH, &[("sec-secure-session-id", &identifier)]).await;
        let Some(challenge) = asked.challenge("secure-session-challenge") else { return asked };
        assert_eq!(asked.status, StatusCode::FORBIDDEN);
        let proof = self.proof(&challenge, false);
        let headers = [("sec-secure-session-id", &*identifier), ("secure-session-response", &proof)];
        self.send(app, "POST", REFRESH, &headers).await
    }

    /// Returns the challenge that comes with a page for whom has no short cookie.
    pub(super) async fn unproved(&mut self, app: &Router) -> String {
        self.cookies.remove(SHORT);
        self.send(app, "GET", "/", &[]).await.challenge("secure-session-challenge").unwrap()
    }

    pub(super) async fn page(&mut self, app: &Router) -> String {
        self.send(app, "GET", "/", &[]).await.body
    }
}
