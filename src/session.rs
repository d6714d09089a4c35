//! One request's view of a session, which a handler works with.
//!
//! Invariants: nothing is stored before the first value is set. A token that leads nowhere is never adopted. Reads see earlier
//! changes of the same request. Changes reach the store in one commit.

mod commit;
mod cookie_update;
#[cfg(feature = "tower")]
mod finish;
mod lifetime;
mod merge;
mod metadata;
mod models;
mod reserved;
mod scope;
#[cfg(feature = "sealed")]
#[path = "sealed/session.rs"]
mod sealed;
mod state;
mod updates;
mod values;

use std::{fmt, sync::Arc};

use parking_lot::{Condvar, Mutex, MutexGuard};
use sessile_codec::Entry;

#[cfg(feature = "device-bound")]
pub use self::reserved::device::Device;
#[cfg(all(feature = "device-bound", feature = "foreign"))]
pub(crate) use self::reserved::device::with_device;
#[cfg(feature = "sealed")]
pub(crate) use self::sealed::SealedSession;
use self::{commit::SaveOptions, state::Rival};
#[cfg(feature = "tower")]
pub(crate) use self::{
    cookie_update::CookieUpdate,
    finish::{Ending, Finish},
};
pub(crate) use self::{reserved::binding::Bound, state::State};
pub use self::{
    reserved::flash::{Flash, Level},
    scope::Scope,
};
use crate::{
    Ack, Durability, Error, Handle, Store, Token,
    events::Watch,
    store::{Lease, Presented},
    token::NameHash,
};

/// A visitor's session.
///
/// Sessions are lazy. A new session is created with its first value. Changes are collected until the layer commits them all at
/// once, before it sends the response's headers ([`save`](Self::save) commits earlier). A commit is a merge: values that this
/// request did not change keep what other requests wrote meanwhile. Once another request has ended the session or replaced its
/// token, this one stores nothing more: a commit returns [`Error::SessionEnded`] and is counted in
/// [`Stats::dropped_commits`](crate::Stats::dropped_commits). Only [`sign_in`](Self::sign_in) begins a new session then.
///
/// Clones are the same session. Every method except [`save`](Self::save) is synchronous and needs no I/O.
///
/// # Examples
/// ```
/// # let store = sessile::testing::store();
/// # let session = store.session(None)?;
/// session.insert("theme", "dark")?;
/// let visits = session.update("visits", |n: Option<u32>| n.unwrap_or(0) + 1)?;
/// assert_eq!((session.get("theme")?, visits), (Some("dark".to_owned()), 1));
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Clone)]
pub struct Session(Arc<Inner>);

/// One allocation for all clones of a session.
struct Inner {
    store: Lease,
    state: Mutex<State>,
    /// Notified when a commit has finished running updates again; other threads' commits wait for that.
    recomputed: Condvar,
}

/// What the sessions of one layer have in common.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SessionKind {
    pub(crate) name: NameHash,
    /// Whether the cookie ends with the browser, unless the session sets it.
    pub(crate) ends_with_browser: bool,
    /// The client's properties, if sessions are bound to them.
    pub(crate) client: Bound,
    /// The largest session that is sealed into the cookie, in bytes; 0 if none is.
    #[cfg(feature = "sealed")]
    pub(crate) seal_bytes: usize,
    /// The additional cookies that the client sent, beyond the first.
    #[cfg_attr(not(feature = "tower"), expect(dead_code, reason = "only the layer sends cookies"))]
    pub(crate) parts: u8,
}

/// Keys with this prefix belong to this crate.
const RESERVED: &str = "sessile.";

fn check_key(key: &str) -> Result<(), Error> {
    if key.starts_with(RESERVED) { Err(Error::ReservedKey) } else { Ok(()) }
}

impl Store {
    /// Returns the session of `token`. If there is none, returns a new one, which is created with its first value.
    ///
    /// For use without a web framework; with one, use the layer's extractor.
    ///
    /// # Errors
    /// [`Error::Degraded`] if the session must be read from disk and the disk refuses.
    ///
    /// # Examples
    /// ```
    /// # use sessile::Store;
    /// # let store = sessile::testing::store();
    /// let session = store.session(None)?;
    /// session.insert("name", "Ada")?;
    /// session.save().wait()?;
    ///
    /// let again = store.session(session.token().as_ref())?;
    /// assert_eq!(again.get("name")?, Some("Ada".to_owned()));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn session(&self, token: Option<&Token>) -> Result<Session, Error> {
        let kind = SessionKind { name: token.map_or(0, Token::name), ..SessionKind::default() };
        Session::load(self, kind, token.copied().into_iter(), || false, |_, _| ())
    }

    /// Returns one value of the session of `token`, without a [`Session`]; `None` if there is no such session or value. The
    /// shortest way for a caller that only reads one value, such as a check of every message on a connection. It counts as a
    /// use of the session, which moves its idle deadline in memory.
    ///
    /// # Errors
    /// [`Error::Degraded`] if the session must be read from disk and the disk refuses; [`Error::ReservedKey`].
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// # let session = store.session(None)?;
    /// session.insert("user", 7_u64)?;
    /// session.save().wait()?;
    /// let token = session.token().unwrap();
    ///
    /// let user = store.entry(&token, "user")?.map(|entry| entry.get::<u64>()).transpose()?;
    /// assert_eq!(user, Some(7));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn entry(&self, token: &Token, key: &str) -> Result<Option<Entry>, Error> {
        check_key(key)?;
        let entry = self.find(*token)?.and_then(|found| found.record.into_entry(key));
        Ok(entry.filter(|entry| !merge::is_over(entry.as_ref(), self.now_ms())))
    }
}

impl Session {
    /// Loads the session of one of `tokens`, or a new one of this kind. `is_withheld` is called if the request presents no
    /// session. It returns whether another site made the request and the browser may have withheld the cookie: a new session
    /// would then replace the visitor's.
    #[inline]
    pub(crate) fn load(
        store: &Store,
        kind: SessionKind,
        tokens: impl Iterator<Item = Token>,
        is_withheld: impl FnOnce() -> bool,
        admit: impl FnOnce(&Store, &mut State),
    ) -> Result<Self, Error> {
        let mut state = match store.find_all(tokens.map(|token| token.with_name(kind.name)))? {
            Presented::None => State::without(kind, is_withheld()),
            Presented::One(token, found) => State::new(kind, Some((token, found))),
            Presented::Several(live) => {
                store.note_ambiguous();
                State::among(kind, None, live.into_iter().map(|(_, found)| Rival::Stored(found.key)).collect())
            }
        };
        admit(store, &mut state);
        Ok(Self::of_state(store, state))
    }

    /// Returns a session that does not exist yet.
    #[cfg(feature = "tower")]
    pub(crate) fn new(store: &Store, kind: SessionKind) -> Self {
        Self::of_state(store, State::new(kind, None))
    }

    fn of_state(store: &Store, state: State) -> Self {
        Self(Arc::new(Inner { store: store.lease(), state: Mutex::new(state), recomputed: Condvar::new() }))
    }

    fn store(&self) -> &Store {
        &self.0.store
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock()
    }

    /// Describes the session in the list of its owner's sessions, for example by the browser's name. Cut to 256 bytes.
    ///
    /// # Errors
    /// [`Error::Codec`] if it makes the session too large.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// # let session = store.session(None)?;
    /// session.sign_in("ada")?;
    /// session.set_label("Firefox on Linux")?;
    /// session.save().wait()?;
    /// assert_eq!(store.sessions_of("ada")?[0].label.as_deref(), Some("Firefox on Linux"));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn set_label(&self, label: &str) -> Result<(), Error> {
        reserved::flash::set_label(&mut self.state(), label, self.store().limits())
    }

    /// Leaves a message for the next page that takes it. `level` is a [`Level`], or a word of the application's own.
    ///
    /// Concurrent requests that leave messages lose none.
    ///
    /// # Errors
    /// [`Error::Codec`] if it makes the session too large.
    ///
    /// # Examples
    /// ```
    /// # let session = sessile::testing::session();
    /// use sessile::Level;
    ///
    /// session.flash(Level::Success, "Saved")?;
    /// let [shown] = &session.take_flashes()[..] else { panic!() };
    /// assert_eq!((shown.level.as_str(), shown.text.as_str()), ("success", "Saved"));
    /// assert!(shown.level() >= Some(Level::Info));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn flash(&self, level: impl Into<String>, text: impl Into<String>) -> Result<(), Error> {
        reserved::flash::push(&mut self.state(), Flash { level: level.into(), text: text.into() }, self.store().limits())
    }

    /// Returns the messages left so far, oldest first, and removes them.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// # let session = store.session(None)?;
    /// session.flash("info", "Saved")?;
    /// assert_eq!(session.take_flashes().len(), 1);
    /// assert!(session.take_flashes().is_empty());
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn take_flashes(&self) -> Vec<Flash> {
        reserved::flash::take(&mut self.state(), self.store().limits())
    }

    /// Returns a token for a hidden field of a form of this session. The text differs each time. Each is valid until an owner
    /// [signs in](Self::sign_in) or the session [rotates](Self::rotate), is cleared or ends.
    ///
    /// For forms that need more than a [`CsrfLayer`](crate::CsrfLayer), which needs no tokens. Creates a session if there is
    /// none.
    ///
    /// # Errors
    /// [`Error::NoRandomness`], and [`Error::Codec`] if it makes the session too large.
    ///
    /// # Examples
    /// ```
    /// # let session = sessile::testing::session();
    /// let field = session.csrf_token()?;
    /// // When the form is submitted:
    /// assert!(session.is_csrf_token(&field));
    /// assert!(!session.is_csrf_token("guessed"));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn csrf_token(&self) -> Result<String, Error> {
        reserved::csrf::token(&mut self.state(), self.store().limits())
    }

    /// Whether `text` is a [`csrf_token`](Self::csrf_token) of this session. If not, refuse the request with 403.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// # let session = store.session(None)?;
    /// let token = session.csrf_token()?;
    /// assert!(session.is_csrf_token(&token));
    /// session.rotate();
    /// session.save().wait()?;
    /// assert!(!session.is_csrf_token(&token), "it was of the token before");
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn is_csrf_token(&self, text: &str) -> bool {
        reserved::csrf::is_token(&self.state(), text)
    }

    /// Commits now, instead of before the response's headers are sent: for example before a stream begins, or in a WebSocket.
    ///
    /// When this returns, the commit is queued; the returned [`Ack`] waits until it is durable. The response sends the cookie
    /// of what was saved, even if it is a server error: the visitor is then signed in. Later changes are committed with the
    /// response, or with the next `save`. So a WebSocket's task keeps the session and calls this after each change.
    ///
    /// # Errors
    /// [`Error::SessionEnded`] if the session has ended meanwhile, or got a new token from another request: nothing is stored,
    /// and the changes are dropped. [`Error::HeadersSent`] if this would need a new token (a first value, a sign-in, a
    /// rotation) after the response's headers were sent: the client could not receive it, and nothing is changed.
    /// [`Error::CookieWithheld`], [`Error::OwnerLimit`], [`Error::StoreFull`]; [`Error::Degraded`], [`Error::TimedOut`] and
    /// [`Error::Closed`] of the store. [`Error::NestedSave`] in a closure of [`update`](Self::update) that a commit runs again.
    ///
    /// # Examples
    /// ```
    /// # use sessile::{Error, Session};
    /// async fn chat(session: Session) -> Result<(), Error> {
    ///     session.insert("room", 7)?;
    ///     // The session exists, and the response that begins the stream sets its cookie.
    ///     session.save().await?;
    ///     # async fn next_message() -> Option<()> { None }
    ///     while next_message().await.is_some() {
    ///         session.update("messages", |n: Option<u64>| n.unwrap_or(0) + 1)?;
    ///         session.save().await?;
    ///     }
    ///     Ok(())
    /// }
    /// # let session = sessile::testing::session();
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(chat(session.clone()))?;
    /// # assert!(session.token().is_some());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn save(&self) -> Ack {
        self.save_as(SaveOptions::default())
    }

    /// Commits like [`save`](Self::save), with this durability.
    ///
    /// A new token, a change of owner and the end of a session are always durable.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// # let session = store.session(None)?;
    /// use sessile::Durability;
    ///
    /// session.insert("position", 7)?;
    /// session.save_with(Durability::Relaxed).wait()?; // it is in memory, and on disk within the flush interval
    /// assert_eq!(store.session(session.token().as_ref())?.get("position")?, Some(7));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn save_with(&self, durability: Durability) -> Ack {
        self.save_as(SaveOptions { durability: Some(durability), strict: false })
    }

    /// Commits like [`save`](Self::save), but only if no value, owner or timeout of the session has changed since it was loaded
    /// or last saved here. A use is no change.
    ///
    /// # Errors
    /// Those of [`save`](Self::save), and [`Error::Conflict`] if another request changed the session. Then nothing is stored,
    /// the changes are dropped, and the session shows its current values, so that the caller can decide again.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// # let session = store.session(None)?;
    /// session.insert("seats", 1)?;
    /// session.save().wait()?;
    ///
    /// let other = store.session(session.token().as_ref())?;
    /// other.insert("seats", 0)?;
    /// other.save().wait()?;
    ///
    /// session.insert("seats", 2)?;
    /// assert!(matches!(session.save_if_unchanged().wait(), Err(sessile::Error::Conflict { .. })));
    /// assert_eq!(session.get("seats")?, Some(0));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[doc(alias = "commit_if_unchanged")]
    pub fn save_if_unchanged(&self) -> Ack {
        self.save_as(SaveOptions { durability: None, strict: true })
    }

    fn save_as(&self, how: SaveOptions) -> Ack {
        match self.commit(&mut self.state(), how) {
            Ok(ticket) => Ack::new(ticket, ()),
            Err(error) => Ack::settled(Err(error)),
        }
    }

    /// Returns a future for the end of this session, for a WebSocket or an event stream that must not outlive it. `None` before
    /// the session is stored for the first time, and while it is sealed in its client's cookie.
    ///
    /// The watch follows the session to a new token that has a grace. It ends with
    /// [`SessionEnd::Rotated`](crate::events::SessionEnd::Rotated) when an owner signs in or the session rotates: what was
    /// opened with the old token must end. An expired session is noticed when it is looked up, and within
    /// [`Builder::sweep_interval`](crate::Builder::sweep_interval) plus one minute. A watch does not count as a use; its
    /// connection may [save](Self::save) now and then to keep the session alive.
    ///
    /// # Errors
    /// [`Error::Degraded`] if the session must be read from disk and the disk refuses.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// # let session = store.session(None)?;
    /// use std::time::Duration;
    ///
    /// use sessile::events::{EndReason, SessionEnd};
    ///
    /// session.insert("name", "Ada")?;
    /// session.save().wait()?;
    /// let watch = session.watch()?.unwrap();
    ///
    /// session.destroy();
    /// session.save().wait()?;
    /// assert_eq!(watch.wait(Duration::ZERO), Some(SessionEnd::Destroyed(EndReason::Logout))); // or `watch.await`
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn watch(&self) -> Result<Option<Watch>, Error> {
        let key = self.state().key();
        key.map(|key| self.store().watch(&key)).transpose()
    }

    /// Whether there is a session, in the store or in the cookie.
    #[cfg(feature = "axum")]
    pub(crate) fn exists(&self) -> bool {
        self.state().record().is_some()
    }
}

/// Values set after the response was sent reach the store only by `save`. Those dropped without it are counted.
impl Drop for Inner {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        if state.answered && state.changes.set_values() {
            self.store.drop_commit(state.handle());
        }
    }
}

impl From<&Session> for Option<Handle> {
    fn from(session: &Session) -> Self {
        session.handle()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The handle names it. A token or a value would leak a secret into a log.
        f.debug_struct("Session").field("handle", &self.handle().map(|handle| handle.to_string())).finish_non_exhaustive()
    }
}
