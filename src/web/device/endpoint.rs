//! The two requests that a browser makes by itself: to register a key, and to prove that it has it.
//!
//! Facts (the protocol as Chromium speaks it): a registration is a POST with the cookie and a proof that brings the key. A refresh is
//! a POST with the session's identifier: without a proof it is answered by 403 and a challenge, with one by 200. `"continue":
//! false` ends the browser's side of a session.
//!
//! Invariant: a refresh writes nothing to the store.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use serde_json::{Value, json};

use super::Devices;
use crate::{
    Error, Handle, Session,
    proof::{Proof, Purpose, Refusal},
    session::Device,
    web::{
        arrived::{Arrived, Carried},
        body,
        config::Config,
        cookie::{CookieTemplate, forbid_caching},
    },
};

const PROOF: HeaderName = HeaderName::from_static("secure-session-response");
const IDENTIFIER: HeaderName = HeaderName::from_static("sec-secure-session-id");
/// The longest identifier that is repeated in an answer. Ours have 16 characters.
const MOST_IDENTIFIER: usize = 64;

/// A request that the layer answers by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::web) enum Endpoint {
    Register,
    Refresh,
}

impl Devices {
    /// Returns which of the two requests this is, if any.
    pub(in crate::web) fn endpoint(&self, method: &Method, path: &str) -> Option<Endpoint> {
        if method != Method::POST {
            return None;
        }
        match path {
            _ if *path == *self.register => Some(Endpoint::Register),
            _ if *path == *self.refresh => Some(Endpoint::Refresh),
            _ => None,
        }
    }

    /// Answers one of them. Returns the session too, if the answer must wait for its commit.
    pub(in crate::web) fn answer<B: Default + 'static>(
        &self,
        endpoint: Endpoint,
        config: &Config,
        template: &CookieTemplate,
        arrived: &Arrived,
        headers: &HeaderMap,
    ) -> (Option<Session>, Response<B>) {
        let carried = Carried::of(headers, config.carrier.asks());
        let session = match config.load_unproved(arrived, &carried) {
            Ok(session) => session,
            Err(error) => return (None, body::empty(error.status())),
        };
        match endpoint {
            Endpoint::Register => match self.register(&session, template, headers) {
                Ok(Ok(response)) => (Some(session), response),
                Ok(Err(refusal)) => (None, self.refused(&session, refusal, headers)),
                Err(error) => (None, body::empty(error.status())),
            },
            Endpoint::Refresh => (None, self.refresh(&session, template, headers)),
        }
    }

    /// Binds the session to the key of a proof.
    fn register<B: Default + 'static>(
        &self,
        session: &Session,
        template: &CookieTemplate,
        headers: &HeaderMap,
    ) -> Result<Result<Response<B>, Refusal>, Error> {
        let state = session.handle().filter(|_| session.owner().is_some() && session.device() == Device::Unbound);
        let checked = state.ok_or(Refusal::State).and_then(|handle| {
            let proof = proof_of(headers)?;
            let now_ms = session.now_ms();
            let challenge = self.challenges.check(proof.challenge(), Purpose::Register, handle, now_ms)?;
            let key = proof.own_key()?;
            self.challenges.take(challenge, now_ms)?;
            Ok((handle, key))
        });
        let (handle, key) = match checked {
            Ok(checked) => checked,
            Err(refusal) => return Ok(Err(refusal)),
        };
        session.bind_device(&key)?;
        let mut response = self.described(handle, template);
        self.prove(session, handle, template, response.headers_mut());
        Ok(Ok(response))
    }

    /// Renews the short cookie for a proof.
    fn refresh<B: Default + 'static>(&self, session: &Session, template: &CookieTemplate, headers: &HeaderMap) -> Response<B> {
        let identifier = identifier(headers);
        let Some((handle, key)) = session.device_key() else {
            // The session has ended, or was signed in again: the browser forgets its key.
            return json_answer(&json!({ "session_identifier": identifier, "continue": false }));
        };
        match identifier.parse::<Handle>() {
            Ok(named) if named == handle => {}
            // Another session had the cookie before: the browser forgets that one's key.
            Ok(_) => return json_answer(&json!({ "session_identifier": identifier, "continue": false })),
            Err(_) => return self.refused(session, Refusal::State, headers),
        }
        let now_ms = session.now_ms();
        let proved = proof_of(headers).and_then(|proof| {
            let challenge = self.challenges.check(proof.challenge(), Purpose::Refresh, handle, now_ms)?;
            proof.verify(&key)?;
            self.challenges.take(challenge, now_ms)
        });
        match proved {
            Ok(()) => {
                session.note_refreshed();
                let mut response = self.described(handle, template);
                self.prove(session, handle, template, response.headers_mut());
                // No challenge is sent ahead: the next refresh comes when it is too old, and would take a second signature.
                response
            }
            Err(refusal) => self.refused(session, refusal, headers),
        }
    }

    /// Returns the answer to a request that is refused. That for a bound session has a challenge.
    fn refused<B: Default + 'static>(&self, session: &Session, refusal: Refusal, headers: &HeaderMap) -> Response<B> {
        // A refresh begins without a proof: the browser asks for a challenge.
        if headers.contains_key(PROOF) {
            session.note_refused(refusal);
        }
        let mut response = body::with_text(StatusCode::FORBIDDEN, refusal.to_string());
        if let Some((handle, _)) = session.device_key() {
            self.ask(handle, session.now_ms(), response.headers_mut());
        }
        response
    }

    /// Returns the answer that names the session, its refresh path and its short cookie. The browser adds the origin: a proxy
    /// may have changed the `Host` header.
    fn described<B: Default + 'static>(&self, handle: Handle, template: &CookieTemplate) -> Response<B> {
        let credential = json!({ "type": "cookie", "name": template.name(), "attributes": template.attributes() });
        json_answer(&json!({
            "session_identifier": handle.to_string(),
            "refresh_url": self.refresh,
            "scope": { "include_site": false, "scope_specification": [] },
            "credentials": [credential],
        }))
    }
}

/// Reads the proof of a request.
fn proof_of(headers: &HeaderMap) -> Result<Proof<'_>, Refusal> {
    let mut values = headers.get_all(PROOF).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Proof::parse(value.as_bytes()),
        (None, _) => Err(Refusal::Missing),
        (Some(_), Some(_)) => Err(Refusal::Malformed),
    }
}

/// Returns the identifier of the session that the browser speaks of, if it is short and visible.
fn identifier(headers: &HeaderMap) -> &str {
    let text = headers.get(IDENTIFIER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let text = text.trim_matches('"');
    if text.len() <= MOST_IDENTIFIER && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) { text } else { "" }
}

fn json_answer<B: Default + 'static>(value: &Value) -> Response<B> {
    let mut response = body::with_text(StatusCode::OK, value.to_string());
    let headers = response.headers_mut();
    forbid_caching(headers);
    if headers.contains_key(header::CONTENT_TYPE) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    response
}
