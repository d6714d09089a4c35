//! The extractor for axum, and what an error looks like to a client.

use axum_core::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use http::request::Parts;

use super::{Named, SessionName, body, request_scope};
use crate::{Error, Session, log};

/// Gives the request's session, loading it the first time. It is synchronous inside: from memory, or one read of the file.
///
/// # Errors
/// [`Error::NoLayer`] outside a [`SessionLayer`](crate::SessionLayer), [`Error::Degraded`] if the disk has to be asked and
/// refuses.
impl<S: Sync> FromRequestParts<S> for Session {
    type Rejection = Error;

    fn from_request_parts(parts: &mut Parts, _: &S) -> impl Future<Output = Result<Self, Error>> + Send {
        std::future::ready(request_scope::session(&parts.headers, None))
    }
}

/// `None` if the client came without a session, so that a page that needs none creates none.
impl<S: Sync> OptionalFromRequestParts<S> for Session {
    type Rejection = Error;

    fn from_request_parts(parts: &mut Parts, _: &S) -> impl Future<Output = Result<Option<Self>, Error>> + Send {
        let session = request_scope::session(&parts.headers, None);
        std::future::ready(session.map(|session| Some(session).filter(Session::exists)))
    }
}

/// Gives the request's session of that name.
///
/// # Errors
/// As [`Named::of_request`].
impl<N: SessionName, S: Sync> FromRequestParts<S> for Named<N> {
    type Rejection = Error;

    fn from_request_parts(parts: &mut Parts, _: &S) -> impl Future<Output = Result<Self, Error>> + Send {
        std::future::ready(Self::of_request(&parts.headers))
    }
}

/// `None` if the client came without a session of that name.
impl<N: SessionName, S: Sync> OptionalFromRequestParts<S> for Named<N> {
    type Rejection = Error;

    fn from_request_parts(parts: &mut Parts, _: &S) -> impl Future<Output = Result<Option<Self>, Error>> + Send {
        let named = Self::of_request(&parts.headers);
        std::future::ready(named.map(|named| Some(named).filter(|named| named.exists())))
    }
}

/// 503 for what may work later, 409 for what the visitor can settle by looking again, signing in or ending another session, else 500.
///
/// For a mistake in the application's code or set-up, such as no layer or a value read as another type, the body is the error's text, which
/// says what to do and holds no value of the session. It is also an event, or, without the feature `tracing` and in builds with debug
/// assertions, a line on stderr, once for each text. Any other error is an event alone: what happened is not for the client.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        if self.is_mistake() {
            return body::of_mistake(&self);
        }
        let status = self.status();
        if status.is_server_error() {
            log::failed_request(&self);
        }
        (status, status.canonical_reason().unwrap_or_default()).into_response()
    }
}
