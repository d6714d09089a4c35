//! How a handler finds its request's session: through the thread that polls it.
//!
//! While a request's future is polled, its scope lies on this thread's stack of scopes; nothing is put into the request, so a
//! handler that does not ask for the session costs no allocation. Tokio's task-local values work the same way.
//!
//! Invariant: a scope is on the stack exactly while its own future runs, also when that panics.

use std::{cell::RefCell, sync::Arc};

use http::HeaderMap;

use super::layer::Config;
use crate::{Error, Session, token::Token};

/// What one layer knows of one request.
pub(super) struct Scope {
    pub(super) config: Arc<Config>,
    pub(super) used: Use,
}

/// What the request made of its session.
pub(super) enum Use {
    /// Nobody asked for it.
    Untouched,
    /// Somebody asked, and there was no answer.
    Failed,
    /// Somebody has it.
    Loaded(Session),
}

thread_local! {
    static SCOPES: RefCell<Vec<Scope>> = const { RefCell::new(Vec::new()) };
}

/// Runs `work` with `scope` as the innermost one of this thread.
pub(super) fn enter<T>(scope: &mut Option<Scope>, work: impl FnOnce() -> T) -> T {
    /// Takes the scope back, also when `work` panics.
    struct Exit<'a>(&'a mut Option<Scope>);

    impl Drop for Exit<'_> {
        fn drop(&mut self) {
            *self.0 = SCOPES.with_borrow_mut(Vec::pop);
        }
    }

    let Some(inner) = scope.take() else { return work() };
    SCOPES.with_borrow_mut(|scopes| scopes.push(inner));
    let _exit = Exit(scope);
    work()
}

impl Session {
    /// The session of a request, in a service within a [`SessionLayer`](crate::SessionLayer); `headers` are the request's.
    ///
    /// For tower services of every kind. In axum, name a `Session` among the handler's arguments instead.
    ///
    /// # Errors
    /// [`Error::NoLayer`] if no layer's future runs on this thread, as in a task of its own; [`Error::Degraded`] if the disk
    /// has to be asked and refuses.
    pub fn of_request(headers: &HeaderMap) -> Result<Self, Error> {
        session(headers)
    }
}

/// The session of the request whose handler runs on this thread; loaded if this is the first time that somebody asks.
fn session(headers: &HeaderMap) -> Result<Session, Error> {
    let config = SCOPES.with_borrow(|scopes| match scopes.last() {
        None => Err(Error::NoLayer),
        Some(Scope { used: Use::Loaded(session), .. }) => Ok(Err(session.clone())),
        Some(scope) => Ok(Ok(scope.config.clone())),
    })?;
    let config = match config {
        Ok(config) => config,
        Err(session) => return Ok(session),
    };
    let tokens = super::cookie::candidates(headers, config.cookie.name().as_bytes()).filter_map(Token::parse);
    // Not under the borrow: this may read the disk and ask a clock of the application's.
    let loaded = Session::load(&config.store, tokens);
    SCOPES.with_borrow_mut(|scopes| {
        let scope = scopes.last_mut().expect("the scope found above stays until its future was polled");
        scope.used = loaded.as_ref().map_or(Use::Failed, |session| Use::Loaded(session.clone()));
    });
    loaded
}
