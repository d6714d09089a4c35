//! Answers that the library itself sends: a status, and a text for the developer or the operator.
//!
//! A text contains what was found and what to do. It may repeat parts of the request, so it is plain text that browsers do not
//! interpret otherwise, and caches do not keep it.
//!
//! Invariant: an answer has a `Content-Type` only if it has a text. Layers are generic over the body, so only the types listed
//! in [`body_of`] can hold one; any other body is empty.

use std::any::Any;

use http::{HeaderValue, Response, StatusCode, header};

use super::cookie::forbid_caching;
use crate::{Error, log};

/// Returns an answer without a text.
pub(super) fn empty<B: Default>(status: StatusCode) -> Response<B> {
    let mut response = Response::new(B::default());
    *response.status_mut() = status;
    response
}

/// Returns an answer with `text`, if a body of the type `B` can hold it.
pub(super) fn with_text<B: Default + 'static>(status: StatusCode, text: String) -> Response<B> {
    let mut response = empty(status);
    forbid_caching(response.headers_mut());
    if let Some(body) = body_of(text) {
        *response.body_mut() = body;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    response
}

/// Returns the answer to a request that met a developer's mistake. The text is the error's own, which contains no value of a
/// session.
pub(super) fn of_mistake<B: Default + 'static>(error: &Error) -> Response<B> {
    let text = error.to_string();
    log::mistake(&text, &text);
    with_text(error.status(), text)
}

/// Returns a value of a request in a form that a text can repeat: visible, and not too long.
pub(super) fn shown(value: &[u8]) -> String {
    // Enough to recognize a host or an origin; a request may have kilobytes of either.
    const MOST_BYTES: usize = 128;
    let (shown, rest) = value.split_at(value.len().min(MOST_BYTES));
    let ellipsis = if rest.is_empty() { "" } else { "..." };
    format!("`{}{ellipsis}`", shown.escape_ascii())
}

/// Returns `text` as a body of the type `B`, if that is one of these.
fn body_of<B: 'static>(text: String) -> Option<B> {
    let mut text = text;
    text.push('\n');
    #[cfg(feature = "axum")]
    if is::<B, axum_core::body::Body>() {
        return same(axum_core::body::Body::from(text));
    }
    if is::<B, Vec<u8>>() { same(text.into_bytes()) } else { same(text) }
}

fn is<A: 'static, B: 'static>() -> bool {
    std::any::TypeId::of::<A>() == std::any::TypeId::of::<B>()
}

/// Returns `value` if it is a `B`.
fn same<A: 'static, B: 'static>(value: A) -> Option<B> {
    let mut value = Some(value);
    let value: &mut dyn Any = &mut value;
    value.downcast_mut::<Option<B>>()?.take()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Unknown;

    #[test]
    fn a_text_is_in_every_body_that_can_hold_one() {
        let answer = with_text::<String>(StatusCode::FORBIDDEN, "no".to_owned());
        assert_eq!((answer.status(), answer.body().as_str()), (StatusCode::FORBIDDEN, "no\n"));
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/plain; charset=utf-8");
        assert_eq!(answer.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
        let answer = with_text::<Vec<u8>>(StatusCode::FORBIDDEN, "no".to_owned());
        assert_eq!((answer.body().as_slice(), answer.headers().contains_key(header::CONTENT_TYPE)), (&b"no\n"[..], true));
        let answer = with_text::<Unknown>(StatusCode::FORBIDDEN, "no".to_owned());
        assert_eq!((answer.status(), answer.headers().contains_key(header::CONTENT_TYPE)), (StatusCode::FORBIDDEN, false));
        let answer = empty::<String>(StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!((answer.body().as_str(), answer.headers().len()), ("", 0));
    }

    #[test]
    fn what_is_repeated_of_a_request_is_visible_and_short() {
        assert_eq!(shown(b"https://example.com"), "`https://example.com`");
        assert_eq!(shown(b"\x1b[2J\r\n\xff`<b>"), r"`\x1b[2J\r\n\xff`<b>`");
        assert_eq!(shown(&[b'a'; 128]), format!("`{}`", "a".repeat(128)));
        assert_eq!(shown(&vec![b'a'; 60_000]), format!("`{}...`", "a".repeat(128)));
    }
}
