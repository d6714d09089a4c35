//! The axum extractor, and the response for an error.

use axum_core::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use http::request::Parts;

use super::{Named, SessionName, body, request_scope};
use crate::{Error, Session, log};

/// Returns the request's session, and loads it the first time. It is synchronous inside: from memory, or one read of the file.
///
/// # Errors
/// [`Error::NoLayer`] outside a [`SessionLayer`](crate::SessionLayer), [`Error::Degraded`] if the session must be read from
/// disk and the disk refuses.
impl<S: Sync> FromRequestParts<S> for Session {
    type Rejection = Error;

    fn from_request_parts(parts: &mut Parts, _: &S) -> impl Future<Output = Result<Self, Error>> + Send {
        std::future::ready(request_scope::session(&parts.headers, None))
    }
}

/// Returns `None` if the client came without a session, so that a page that needs none creates none.
impl<S: Sync> OptionalFromRequestParts<S> for Session {
    type Rejection = Error;

    fn from_request_parts(parts: &mut Parts, _: &S) -> impl Future<Output = Result<Option<Self>, Error>> + Send {
        let session = request_scope::session(&parts.headers, None);
        std::future::ready(session.map(|session| Some(session).filter(Session::exists)))
    }
}

/// Returns the request's session of that name.
///
/// # Errors
/// Those of [`Named::of_request`].
impl<N: SessionName, S: Sync> FromRequestParts<S> for Named<N> {
    type Rejection = Error;

    fn from_request_parts(parts: &mut Parts, _: &S) -> impl Future<Output = Result<Self, Error>> + Send {
        std::future::ready(Self::of_request(&parts.headers))
    }
}

/// Returns `None` if the client came without a session of that name.
impl<N: SessionName, S: Sync> OptionalFromRequestParts<S> for Named<N> {
    type Rejection = Error;

    fn from_request_parts(parts: &mut Parts, _: &S) -> impl Future<Output = Result<Option<Self>, Error>> + Send {
        let named = Self::of_request(&parts.headers);
        std::future::ready(named.map(|named| Some(named).filter(|named| named.exists())))
    }
}

/// Returns 503 for what may work later, 409 for what the visitor can settle by reloading, signing in or ending another session,
/// else 500.
///
/// For a mistake in the application's code or set-up, such as no layer or a value read as another type, the body is the error's
/// text. It says what to do and contains no value of the session. It is also an event or, in builds with debug assertions
/// without the feature `tracing`, a line on stderr, once for each text. Any other error is only an event: the client gets no
/// details.
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
