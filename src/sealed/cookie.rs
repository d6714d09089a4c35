//! Small sessions sealed in the cookie itself: what a layer with [`SessionLayer::sealed_cookies`] reads and writes.
//!
//! ```text
//! cookie    name=~N, then base64url;  name.1=base64url, up to name.3      N: in how many cookies it is, 1 to 4
//! content   id [16] | epoch u64 LE | length of the record u32 LE | record | zeros up to a multiple of 48 bytes of the whole seal
//! ```
//!
//! Invariants: a value that begins with `~` is a sealed session or nothing, and any other is a token or nothing. After a failed
//! check, no byte is ever read as the other kind. Nothing is allocated for more than a cookie that this layer could have set,
//! nor for one whose key is not in the ring. Every `Set-Cookie` is at most 4,096 bytes long. All of a sealing answer together
//! are within the layer's limit, and all values together leave servers room for other cookies.
//!
//! A seal is bound to the store, the sessions' name and the cookie's name. Its length reveals only the size in steps of 48
//! bytes.

#[cfg(any(test, fuzzing))]
mod check;
mod parts;

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header::SET_COOKIE};
use sessile_codec::{Key, Record};

#[cfg(fuzzing)]
pub(crate) use self::check::check as check_sealed;
use self::parts::{LINE_BYTES, MOST_PARTS, Presented};
use super::{
    SessionLayer,
    arrived::Carried,
    config::Config,
    cookie::{self, CookieTemplate},
    transport::Carrier,
};
use crate::{
    Error, Keys, Store,
    keys::{NAMES_KEY, OVERHEAD, SealRing},
    session::{CookieUpdate, SealedSession},
    token::{self, NameHash},
};

/// The largest session that may be sealed in cookies. With its seal, and as text, it is some 5.6 KB of a `Cookie` header, of
/// which servers commonly read 8 KiB.
const MOST_SESSION_BYTES: usize = 4096;
/// The default limit of all `Set-Cookie` lines of an answer: nginx reads the headers of an answer into a buffer of 4 KiB, and
/// other headers need room as well.
pub(in crate::web) const LIMIT_BYTES: usize = 3500;
/// Id, epoch and length of the record.
const HEAD: usize = 16 + 8 + 4;
/// The length of a seal is a multiple of this: three bytes are four characters, so there is no base64 padding either.
const GRAIN: usize = 48;

/// Seals and opens the sessions of one layer.
#[derive(Clone)]
pub(in crate::web) struct Sealer {
    ring: SealRing,
    store_id: [u8; 16],
    threshold_bytes: usize,
    limit_bytes: usize,
    prepared: Prepared,
}

/// What depends on the cookie.
#[derive(Clone)]
struct Prepared {
    /// The associated data of a seal.
    bound: Vec<u8>,
    /// The cookies, the session's own first.
    parts: Vec<CookieTemplate>,
    /// The largest record, for each combination of parts that a client can have sent.
    most_bytes: [usize; 1 << (MOST_PARTS - 1)],
}

impl Prepared {
    fn new(store_id: [u8; 16], threshold_bytes: usize, limit_bytes: usize, cookie: &CookieTemplate, name: NameHash) -> Self {
        let parts: Vec<_> = (0..MOST_PARTS).map(|part| cookie.part(part)).collect();
        let most_bytes = |behind_the_first: u8| {
            let text_bytes = parts::room(&parts, behind_the_first << 1, limit_bytes).min(LINE_BYTES);
            let seal_bytes = text_bytes / 4 * 3 / GRAIN * GRAIN;
            seal_bytes.saturating_sub(OVERHEAD + HEAD).min(threshold_bytes)
        };
        let most_bytes = [0, 1, 2, 3, 4, 5, 6, 7].map(most_bytes);
        let bound = [b"sessile session ".as_slice(), &store_id, &name.to_le_bytes(), cookie.name().as_bytes()].concat();
        Self { bound, parts, most_bytes }
    }
}

impl SessionLayer {
    /// Seals small sessions in the cookie itself, instead of the store: they cost only bytes on the wire. Default: none are
    /// sealed.
    ///
    /// A session of at most `threshold` bytes, which is at most 4,096, is encrypted and authenticated by the first of `keys`
    /// (XChaCha20-Poly1305; all of them open) and bound to this store and this cookie's name. It takes up to four cookies, of
    /// 3,500 bytes together unless [`sealed_cookies_limit`](Self::sealed_cookies_limit) allows more. When it outgrows that, it
    /// moves into the store; when it has shrunk to half of that, it moves back.
    /// [`Session::record_bytes`](crate::Session::record_bytes) returns its size. So no value is refused for being too large for
    /// a cookie.
    ///
    /// The costs, compared with a session in the store:
    /// - **An older cookie shows older values.** A client can send an older cookie until that expires. So nothing that is
    ///   counted down, used up or deliberately removed belongs in such a session. Changes that end a privilege cut older
    ///   cookies off: [`sign_in`](crate::Session::sign_in), [`destroy`](crate::Session::destroy),
    ///   [`rotate`](crate::Session::rotate), [`clear`](crate::Session::clear), `clear_scope`, a change of a timeout. A
    ///   [`remove`](crate::Session::remove) does not.
    /// - **The last answer wins.** Concurrent requests overwrite each other's changes, even those by
    ///   [`update`](crate::Session::update). [`save_if_unchanged`](crate::Session::save_if_unchanged) moves the session into
    ///   the store, which detects conflicts.
    /// - Nothing can be changed once a response has begun ([`Error::HeadersSent`]), so not from a WebSocket.
    /// - [`sessions_of`](Store::sessions_of) does not list it, and [`destroy_session_of`](Store::destroy_session_of) does not
    ///   find it. [`destroy_sessions_of`](Store::destroy_sessions_of) and
    ///   [`destroy_other_sessions_of`](Store::destroy_other_sessions_of) do end it. With a limit by
    ///   [`sessions_per_owner`](crate::Builder::sessions_per_owner), sessions with an owner stay in the store.
    ///
    /// The end of one is a small write to the store, which refuses it until it would have expired. It is valid for at most 400
    /// days.
    ///
    /// Only cookies carry sealed sessions: with another [`transport`](Self::transport), none is sealed.
    ///
    /// # Errors
    /// [`Error::ShortKey`]; [`Error::Config`] for a threshold of more than 4,096 bytes.
    ///
    /// # Examples
    /// ```
    /// # use sessile::{Keys, SessionLayer};
    /// # let store = sessile::testing::store();
    /// # let (this_year, last_year) = ([1; 32], [0; 32]);
    /// let keys = Keys::from(this_year).accept(last_year);
    /// let layer = SessionLayer::new(store.clone()).sealed_cookies(&keys, 1024)?;
    /// assert!(SessionLayer::new(store).sealed_cookies(&keys, 1 << 20).is_err(), "no browser keeps such cookies");
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn sealed_cookies(self, keys: &Keys, threshold: usize) -> Result<Self, Error> {
        keys.check()?;
        if threshold > MOST_SESSION_BYTES {
            let detail = format!(
                "the threshold for sealed cookies is {threshold} bytes, more than {MOST_SESSION_BYTES} do not fit; set a lower one, larger \
                 sessions go to the store"
            );
            return Err(Error::Config { detail });
        }
        Ok(self.change(|config| {
            let (ring, store_id) = (SealRing::of(keys), config.store.begin_sealing());
            let cookie = config.template().expect("the cookie was checked when it was set");
            let limit_bytes = config.sealed_limit_bytes;
            let prepared = Prepared::new(store_id, threshold, limit_bytes, &cookie, config.name);
            config.sealer = Some(Sealer { ring, store_id, threshold_bytes: threshold, limit_bytes, prepared });
        }))
    }

    /// Sets the most bytes that the `Set-Cookie` lines of one answer may have together if the session is sealed; a session that
    /// does not fit goes to the store. Default: 3,500, so that sessions of some 2.4 KB fit.
    ///
    /// nginx reads the headers of an answer into one buffer, of 4 KiB unless configured otherwise, and answers 502 if they do
    /// not fit (`upstream sent too big header`). Other proxies have their own limits. To seal larger sessions, set
    /// `proxy_buffer_size 8k;` in nginx and 7,500 here.
    ///
    /// The limit counts the lines of this layer, with names, attributes and line ends, and including those that delete unneeded
    /// cookies. It does not count cookies of the application or of other layers. All values together have at most 6,144 bytes,
    /// whatever the limit.
    ///
    /// # Examples
    /// ```
    /// # use axum::{Router, body::Body, http::Request, routing::get};
    /// # use sessile::{Error, Keys, Session, SessionLayer};
    /// # use tower::ServiceExt;
    /// # let (store, keys) = (sessile::testing::store(), Keys::from([1; 32]));
    /// async fn home(session: Session) -> Result<(), Error> { session.insert("text", "x".repeat(3000)) }
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// for (limit, in_store) in [(7500, 0), (3500, 1)] {
    ///     // With 7,500, behind nginx with `proxy_buffer_size 8k;`.
    ///     let layer = SessionLayer::new(store.clone()).sealed_cookies(&keys, 4096)?.sealed_cookies_limit(limit);
    ///     let app = Router::new().route("/", get(home)).layer(layer);
    ///     # let request = Request::get("/").body(Body::empty()).unwrap();
    ///     app.oneshot(request).await.unwrap();
    ///     assert_eq!(store.stats().sessions, in_store);
    /// }
    /// # Ok::<(), Error>(())
    /// # })?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn sealed_cookies_limit(self, bytes: usize) -> Self {
        self.change(|config| {
            config.sealed_limit_bytes = bytes;
            let cookie = config.template().expect("the cookie was checked when it was set");
            if let Some(sealer) = &mut config.sealer {
                sealer.limit_bytes = bytes;
                sealer.adapt(&cookie, config.name);
            }
        })
    }
}

impl Config {
    /// Returns the sessions that came sealed, each once.
    pub(in crate::web) fn sealed_sessions(&self, carried: &Carried<'_>) -> Vec<SealedSession> {
        let (Some(sealer), Carrier::Cookie(cookie)) = (&self.sealer, &self.carrier) else { return Vec::new() };
        let mut found: Vec<(&[u8], SealedSession)> = Vec::new();
        let headers = carried.values();
        for value in cookie::candidates(headers, cookie.name().as_bytes()).filter(|value| parts::is_sealed(value)) {
            if !found.iter().any(|(before, _)| *before == value) {
                found.extend(sealer.open(&self.store, headers, value).map(|opened| (value, opened)));
            }
        }
        found.into_iter().map(|(_, sealed)| sealed).collect()
    }

    /// Returns the additional cookies that the client sent, and the size of the largest session that is sealed.
    pub(in crate::web) fn sealing(&self, carried: &Carried<'_>) -> (u8, usize) {
        match (&self.sealer, &self.carrier) {
            (Some(Sealer { prepared, .. }), Carrier::Cookie(_)) => {
                let sent = parts::sent(carried.values(), &prepared.parts);
                (sent, prepared.most_bytes[usize::from(sent >> 1)])
            }
            _ => (0, 0),
        }
    }
}

impl Sealer {
    /// Prepares the sealer for another cookie.
    pub(in crate::web) fn adapt(&mut self, cookie: &CookieTemplate, name: NameHash) {
        self.prepared = Prepared::new(self.store_id, self.threshold_bytes, self.limit_bytes, cookie, name);
    }

    /// Opens the sealed session that begins with `value`.
    fn open(&self, store: &Store, headers: &[HeaderValue], value: &[u8]) -> Option<SealedSession> {
        match self.read(headers, value) {
            None => {
                store.note_forged();
                None
            }
            Some((key, _, Err(error))) => {
                store.note_corrupt(&key, &error);
                None
            }
            Some((key, epoch, Ok(record))) => Some(SealedSession { key, epoch, record }),
        }
    }

    /// Returns id, epoch and record, which another release may have written.
    fn read(&self, headers: &[HeaderValue], value: &[u8]) -> Option<(Key, u64, Result<Record, sessile_codec::Error>)> {
        let presented = Presented::read(headers, value, &self.prepared.parts)?;
        // Before anything is allocated for it.
        presented.begins().filter(|begins: &[u8; NAMES_KEY]| self.ring.knows(*begins))?;
        let mut bytes = presented.bytes()?;
        let (key, epoch, record) = parse(self.ring.open_in_place(&mut bytes, &self.prepared.bound).ok()?)?;
        Some((key, epoch, Record::check(record, &key, MOST_SESSION_BYTES)))
    }

    /// Writes the update of the client's cookies; `sent` are the additional cookies that it has.
    pub(in crate::web) fn tell(
        &self,
        carrier: &Carrier,
        update: &CookieUpdate,
        sent: u8,
        now_ms: u64,
        headers: &mut HeaderMap,
    ) -> Result<(), Error> {
        let parts = &self.prepared.parts;
        let used = match update {
            CookieUpdate::Nothing => return Ok(()),
            CookieUpdate::Sealed { sealed, deadline_ms } => {
                let text = self.seal(&sealed.key, sealed.epoch, &sealed.record)?;
                let max_age = deadline_ms.map(|deadline_ms| Duration::from_millis(deadline_ms.saturating_sub(now_ms)));
                let values = parts::split(&text, parts);
                for (cookie, value) in parts.iter().zip(&values) {
                    headers.append(SET_COOKIE, cookie.set(value, max_age));
                }
                cookie::forbid_caching(headers);
                values.len()
            }
            // The first cookie contains a token now, or is deleted.
            CookieUpdate::Token { .. } | CookieUpdate::Forget => {
                carrier.tell(update, now_ms, headers);
                1
            }
        };
        for (_, stale) in parts.iter().enumerate().skip(used).filter(|(at, _)| parts::is_sent(sent, *at)) {
            headers.append(SET_COOKIE, stale.delete());
        }
        Ok(())
    }

    fn seal(&self, key: &Key, epoch: u64, record: &Record) -> Result<String, Error> {
        let record = record.bytes();
        let len = u32::try_from(record.len()).expect("a session that is sealed is small");
        let mut content = Vec::with_capacity(HEAD + record.len() + GRAIN);
        content.extend_from_slice(key);
        content.extend_from_slice(&epoch.to_le_bytes());
        content.extend_from_slice(&len.to_le_bytes());
        content.extend_from_slice(record);
        self.text_of(content)
    }

    /// Returns `content`, sealed, as text.
    fn text_of(&self, mut content: Vec<u8>) -> Result<String, Error> {
        content.resize((OVERHEAD + content.len()).next_multiple_of(GRAIN) - OVERHEAD, 0);
        let sealed = self.ring.seal(&content, &self.prepared.bound)?;
        let mut text = String::with_capacity(sealed.len() / 3 * 4);
        token::encode(&sealed, &mut text);
        Ok(text)
    }
}

/// Returns id, epoch and record.
fn parse(content: &[u8]) -> Option<(Key, u64, &[u8])> {
    let (key, rest) = content.split_first_chunk()?;
    let (epoch, rest) = rest.split_first_chunk()?;
    let (len, rest) = rest.split_first_chunk()?;
    let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
    let (record, padding) = rest.split_at_checked(len)?;
    padding.iter().all(|byte| *byte == 0).then_some((*key, u64::from_le_bytes(*epoch), record))
}
