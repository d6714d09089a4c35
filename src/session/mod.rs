//! One request's view of a session: what a handler works with.
//!
//! Invariants: nothing is stored before the first value is set; a token that leads nowhere is never adopted; reads see the
//! changes made before them; changes reach the store in one commit.

mod binding;
mod commit;
mod cookie_update;
mod csrf;
#[cfg(feature = "tower")]
mod finish;
mod flash;
mod lifetime;
mod merge;
mod scope;
#[cfg(feature = "sealed")]
mod sealed;
mod state;
mod updates;
mod values;

use std::{fmt, sync::Arc, time::SystemTime};

use parking_lot::{Condvar, Mutex, MutexGuard};
use sessile_codec::Entry;

pub(crate) use self::binding::Bound;
#[cfg(feature = "sealed")]
pub(crate) use self::sealed::SealedSession;
use self::{
    commit::SaveOptions,
    state::{Rival, State},
};
#[cfg(feature = "tower")]
pub(crate) use self::{
    cookie_update::CookieUpdate,
    finish::{Ending, Finish},
};
pub use self::{
    flash::{Flash, Level},
    scope::Scope,
};
use crate::{
    Ack, Durability, Error, Handle, Owner, Store, Tier, Token,
    clock::from_ms,
    events::Watch,
    store::{Lease, Presented},
    token::NameHash,
};

/// A visitor's session.
///
/// It is lazy at both ends: a session that does not exist yet comes to be with the first value that is set, and changes gather
/// until the layer commits them, once, before the response's headers leave ([`save`](Self::save) does so earlier). A commit is
/// a merge: values that this request did not change keep what other requests wrote meanwhile. Once another request has ended the
/// session, or given it another token, this one stores nothing more: a commit is [`Error::SessionEnded`], and counted in
/// [`Stats::dropped_commits`](crate::Stats::dropped_commits). Only [`sign_in`](Self::sign_in) begins a new session then.
///
/// Clones are the same session. Every call but [`save`](Self::save) is synchronous and needs no I/O.
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
    /// Notified when a commit has run updates again: other threads' commits wait for that.
    recomputed: Condvar,
}

/// What the sessions of one layer have in common.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SessionKind {
    pub(crate) name: NameHash,
    /// Whether the cookie ends with the browser, if the session does not say otherwise.
    pub(crate) ends_with_browser: bool,
    /// What the request's client is like, if sessions are bound to that.
    pub(crate) client: Bound,
    /// How large a session may be that travels in the cookie; 0 if none does.
    #[cfg(feature = "sealed")]
    pub(crate) seal_bytes: usize,
    /// Which cookies behind the first the client sent.
    #[cfg_attr(not(feature = "tower"), expect(dead_code, reason = "only the layer tells clients"))]
    pub(crate) parts: u8,
}

/// Keys that begin so belong to this crate.
const RESERVED: &str = "sessile.";

fn check_key(key: &str) -> Result<(), Error> {
    if key.starts_with(RESERVED) { Err(Error::ReservedKey) } else { Ok(()) }
}

impl Store {
    /// The session of `token`, or one that does not exist yet if there is no such session: it comes to be with its first value.
    ///
    /// For use without a web framework; with one, take the [`Session`] from the layer's extractor.
    ///
    /// # Errors
    /// [`Error::Degraded`] if the disk has to be asked and refuses.
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
        Session::load(self, kind, token.copied().into_iter(), || false)
    }

    /// One value of the session of `token`, without a [`Session`]: the shortest way for who only reads it, such as a check of
    /// every message on a connection. `None` if there is no such session or no such value. It counts as a use of the session,
    /// which moves its idle deadline in memory.
    ///
    /// # Errors
    /// [`Error::Degraded`] if the disk has to be asked and refuses; [`Error::ReservedKey`].
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
    /// The session that one of `tokens` leads to, or a new one; of this kind in any case. `is_withheld` says of a request that presents none
    /// whether another site made it and the browser may have withheld the cookie: then a new session would replace the visitor's.
    #[inline]
    pub(crate) fn load(
        store: &Store,
        kind: SessionKind,
        tokens: impl Iterator<Item = Token>,
        is_withheld: impl FnOnce() -> bool,
    ) -> Result<Self, Error> {
        let state = match store.find_all(tokens.map(|token| token.with_name(kind.name)))? {
            Presented::None => State::without(kind, is_withheld()),
            Presented::One(token, found) => State::new(kind, Some((token, found))),
            Presented::Several(live) => {
                store.note_ambiguous();
                State::among(kind, None, live.into_iter().map(|(_, found)| Rival::Stored(found.key)).collect())
            }
        };
        Ok(Self::of_state(store, state))
    }

    /// A session that does not exist yet.
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

    /// Describes the session in a list of its owner's sessions; the browser's name, say. Cut to 256 bytes.
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
        flash::set_label(&mut self.state(), label, self.store().limits())
    }

    /// Leaves a message for the next page that takes it. `level` is a [`Level`], or a word of the application's own.
    ///
    /// Two requests that leave messages at once lose none.
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
        flash::push(&mut self.state(), Flash { level: level.into(), text: text.into() }, self.store().limits())
    }

    /// The messages left so far, oldest first. They are taken: the next call finds none.
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
        flash::take(&mut self.state(), self.store().limits())
    }

    /// A token for a form of this session's, for a hidden field; another text each time, each of them good until an owner
    /// [signs in](Self::sign_in), or the session [rotates](Self::rotate), is cleared or ends.
    ///
    /// For forms that need more than a [`CsrfLayer`](crate::CsrfLayer), which needs no tokens. It makes a session where there is
    /// none.
    ///
    /// # Errors
    /// [`Error::NoRandomness`], and [`Error::Codec`] if it makes the session too large.
    ///
    /// # Examples
    /// ```
    /// # let session = sessile::testing::session();
    /// let field = session.csrf_token()?;
    /// // When the form comes back:
    /// assert!(session.is_csrf_token(&field));
    /// assert!(!session.is_csrf_token("guessed"));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn csrf_token(&self) -> Result<String, Error> {
        csrf::token(&mut self.state(), self.store().limits())
    }

    /// Whether `text` is a [`csrf_token`](Self::csrf_token) of this session. If not, refuse the request, by 403.
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
        csrf::is_token(&self.state(), text)
    }

    /// The token that leads to this session; `None` before it is stored for the first time, and while it travels sealed in its
    /// client's cookie.
    ///
    /// A request that came with a sealed cookie whose session has moved into the store a moment ago does not know the session's token: what
    /// this gives is random then, and leads nowhere. The answer to the request that moved it tells the client.
    ///
    /// It is a secret: for the client, not for a log. The layer sends it by itself.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// # let session = store.session(None)?;
    /// assert!(session.token().is_none());
    /// session.insert("name", "Ada")?;
    /// session.save().wait()?;
    /// let cookie = session.token().unwrap().expose();
    /// assert_eq!(cookie.len(), 32);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[doc(alias = "id")]
    #[doc(alias = "session_id")]
    pub fn token(&self) -> Option<Token> {
        self.state().token()
    }

    /// Names this session for as long as it exists, over every change of its token; `None` before it is stored for the first time.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// # let session = store.session(None)?;
    /// session.insert("name", "Ada")?;
    /// session.save().wait()?;
    /// let handle = session.handle();
    /// session.rotate();
    /// session.save().wait()?;
    /// assert_eq!(session.handle(), handle);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[doc(alias = "id")]
    #[doc(alias = "session_id")]
    pub fn handle(&self) -> Option<Handle> {
        self.state().handle()
    }

    /// Where the session came from; `None` if it is new.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// # let session = store.session(None)?;
    /// use sessile::Tier;
    ///
    /// session.insert("name", "Ada")?;
    /// session.save().wait()?;
    /// assert_eq!(store.session(session.token().as_ref())?.tier(), Some(Tier::Memory));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn tier(&self) -> Option<Tier> {
        self.state().tier()
    }

    /// Size of the session as it was loaded or last saved, in bytes; 0 if it is new.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// # let session = store.session(None)?;
    /// assert_eq!(session.record_bytes(), 0);
    /// session.insert("name", "Ada")?;
    /// session.save().wait()?;
    /// assert!((96..256).contains(&session.record_bytes()));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn record_bytes(&self) -> usize {
        self.state().record().map_or(0, |record| record.bytes().len())
    }

    /// Whose session this is; `None` if it is nobody's, and after [`sign_in`](Self::sign_in) its owner at once.
    ///
    /// # Examples
    /// ```
    /// # let session = sessile::testing::session();
    /// session.sign_in(7_u64)?;
    /// assert_eq!(session.owner().unwrap().as_str(), "7");
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[doc(alias = "user_id")]
    #[doc(alias = "identity")]
    pub fn owner(&self) -> Option<Owner> {
        self.state().owner()
    }

    /// When its owner signed in, as it was loaded or last saved; `None` if it has no owner.
    ///
    /// # Examples
    /// For what asks for a fresh sign-in ("sudo mode"):
    /// ```
    /// # use std::time::Duration;
    /// # let store = sessile::testing::store();
    /// # let session = store.session(None)?;
    /// session.sign_in("ada")?;
    /// session.save().wait()?;
    /// let age = session.authenticated_at().and_then(|at| store.now().duration_since(at).ok());
    /// let is_fresh = age.is_some_and(|age| age < Duration::from_mins(10));
    /// assert!(is_fresh);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn authenticated_at(&self) -> Option<SystemTime> {
        let authenticated_ms = self.state().record().map_or(0, |record| record.meta().authenticated_ms);
        (authenticated_ms != 0).then(|| from_ms(authenticated_ms))
    }

    /// When the session began; `None` if it is new.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// # let session = store.session(None)?;
    /// assert_eq!(session.created(), None);
    /// session.insert("name", "Ada")?;
    /// session.save().wait()?;
    /// assert!(session.created().unwrap() <= store.now());
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn created(&self) -> Option<SystemTime> {
        self.state().record().map(|record| from_ms(record.meta().created_ms))
    }

    /// When the session was last used before this request, as far as it is on record; `None` if it is new.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// # let session = store.session(None)?;
    /// session.insert("name", "Ada")?;
    /// session.save().wait()?;
    /// assert!(session.last_seen().unwrap() <= store.now());
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn last_seen(&self) -> Option<SystemTime> {
        self.state().record().map(|record| from_ms(record.meta().last_seen_ms))
    }

    /// Commits now, instead of when the response's headers leave: before a stream begins, or in a WebSocket.
    ///
    /// The commit is queued when this returns; the answer tells when it is durable. The response that follows tells the client of
    /// what was saved, also if it is a server error: a saved login is one. What is set after this is committed with the response, or
    /// with the next `save`; so a WebSocket's task keeps the session and calls this after each change.
    ///
    /// # Errors
    /// [`Error::SessionEnded`] if the session has ended meanwhile, or got a new token from another request: nothing is stored, and the changes
    /// are given up. [`Error::HeadersSent`] if this would need a new token (a first value, a sign-in, a rotation) and the response's headers
    /// have left: the client could not learn of it. Nothing is changed then. [`Error::CookieWithheld`], [`Error::OwnerLimit`],
    /// [`Error::StoreFull`]; [`Error::Degraded`], [`Error::TimedOut`] and [`Error::Closed`] of the store. [`Error::NestedSave`] in a closure of
    /// [`update`](Self::update) that a commit runs again.
    ///
    /// # Examples
    /// ```
    /// # use sessile::{Error, Session};
    /// async fn chat(session: Session) -> Result<(), Error> {
    ///     session.insert("room", 7)?;
    ///     // The session exists, and its cookie goes out with the answer that begins the stream.
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

    /// As [`save`](Self::save), in this durability class.
    ///
    /// A new token, a change of owner and the end of a session are durable whatever the class.
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

    /// As [`save`](Self::save), but only if nobody changed the session since it was loaded or last saved here: any value, its owner or its
    /// timeouts. To be used is no change.
    ///
    /// # Errors
    /// What [`save`](Self::save) returns, and [`Error::Conflict`] if another request changed it. Then nothing is stored, the changes are given
    /// up, and the session shows what it is now, to decide anew.
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

    /// Waits for the end of this session, by whomever: for a WebSocket or an event stream that must not outlive it. `None` before the
    /// session is stored for the first time, and while it travels sealed in its client's cookie.
    ///
    /// The watch follows the session to a new token that has a grace, and ends with [`SessionEnd::Rotated`](crate::events::SessionEnd::Rotated) when an owner
    /// signs in or the session rotates: what was opened with the old token must not go on. That a session's time is over is noticed when somebody asks for the session, and
    /// within [`Builder::sweep_interval`](crate::Builder::sweep_interval) and a minute. To keep a watch is no use of the session, which
    /// its connection may want to [save](Self::save) now and then.
    ///
    /// # Errors
    /// [`Error::Degraded`] if the disk has to be asked and refuses.
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

/// A value set once the response has left reaches the store by `save` alone. What is dropped without it is counted.
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
        // The handle names it; a token or a value would be a secret in a log.
        f.debug_struct("Session").field("handle", &self.handle().map(|handle| handle.to_string())).finish_non_exhaustive()
    }
}
