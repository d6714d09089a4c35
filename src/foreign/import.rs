//! Imports sessions from elsewhere into a [`Store`], and exports all sessions of one: the interface for importers.
//!
//! The crate `sessile-import` is built on it; applications use that crate. An importer reads sessions from a source and passes
//! each of them to an [`Import`]. The store notes what it took from which source, so the same source can be imported any number
//! of times: [`Came`] is the result for a session.
//!
//! # Examples
//! ```
//! use sessile::foreign::{
//!     ForeignKind, New, Sessions,
//!     import::{Came, Import, sources},
//! };
//!
//! # let store = sessile::testing::store(); // Store::open("sessions.redb")?
//! let sessions = Sessions::new(store.clone(), ForeignKind::TowerSessions);
//! let (ada, bob) = (sessions.key(b"the id of Ada's session"), sessions.key(b"the id of Bob's session"));
//! let values = sessions.values([("user_id", &7)])?;
//! let new = New { values: &values, ends_ms: sessions.now_ms() + 60_000, owner: None };
//!
//! let mut import = Import::begin(&store, Some("the old server"))?;
//! assert_eq!(import.take(&sessions, &ada, &new)?, Came::Created);
//! assert_eq!(import.take(&sessions, &bob, &new)?, Came::Created);
//! import.finish(true, || ())?;
//!
//! // Later Ada has signed out here, and the old server no longer has Bob's session.
//! sessions.delete(&ada).wait()?;
//! let mut again = Import::begin(&store, Some("the old server"))?;
//! assert_eq!(again.take(&sessions, &ada, &new)?, Came::EndedHere);
//! let mut gone = 0;
//! again.finish(true, || gone += 1)?;
//! assert_eq!(gone, 1);
//! assert!(sessions.load(&bob)?.is_none());
//! assert_eq!(sources(&store)?[0].sessions, 1);
//! # Ok::<(), sessile::Error>(())
//! ```

use std::time::SystemTime;

pub use sessile_codec::Meta;
use sessile_codec::{Entry, EntryRef, Limits, Patch};

use super::{
    New, SessionKey, Sessions,
    values::{check_key, key_of},
};
pub use crate::store::Came;
use crate::{
    Error, Owner, Store,
    clock::from_ms,
    expiry,
    owner::{self, NOBODY},
    store::{self, ForeignKind, Incoming},
};

/// A running import. A store has one at a time.
///
/// An import that is dropped without [`finish`](Self::finish) was interrupted: what it took stays, and the next one continues.
#[must_use = "an import that is not finished ends no session that is gone from its source"]
pub struct Import<'s> {
    store: &'s Store,
    run: store::Import<'s>,
    /// The store's id in its exports.
    export_id: [u8; 16],
}

/// A source of imported sessions, and when it was imported; from [`sources`].
///
/// # Examples
/// ```
/// use sessile::foreign::import::{Import, sources};
///
/// # let store = sessile::testing::store();
/// Import::begin(&store, None)?.finish(true, || ())?;
/// let source = &sources(&store)?[0];
/// assert_eq!((source.name.as_deref(), source.sessions), (None, 0));
/// assert!(source.first <= source.last);
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Source {
    /// The source's name, if it has one.
    pub name: Option<String>,
    /// When the first import from it began.
    pub first: SystemTime,
    /// When the last import from it began that was not interrupted.
    pub last: SystemTime,
    /// The number of sessions that this import found in the source.
    pub sessions: u64,
}

/// A session without its values, as [`export`] returns it and [`Import::take_exported`] takes it.
///
/// # Examples
/// ```
/// use sessile::foreign::import::{Exported, Meta};
/// use sessile::foreign::SessionKey;
///
/// let meta = Meta { revision: 1, idle_deadline_ms: u64::MAX, absolute_deadline_ms: u64::MAX, ..Meta::default() };
/// let exported = Exported { store: None, key: SessionKey::from_bytes([7; 16]), meta, owner: None };
/// assert_eq!(exported.key.to_bytes(), [7; 16]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// The id of the store that exported it, unique to that store. If it is the importing store's own, the session in the store
    /// is always newer. `None`: the session is taken as one of any source.
    pub store: Option<[u8; 16]>,
    /// The session's key.
    pub key: SessionKey,
    /// When it began and ends, and the record's other metadata.
    pub meta: Meta,
    /// The session's owner. The owner's hash is in `meta`, even if the name is not known.
    pub owner: Option<Owner>,
}

impl<'s> Import<'s> {
    /// Begins an import from the source `source`. Blocks the thread until a running import is finished or dropped, and until
    /// the store has written its queue.
    ///
    /// The name identifies a set of sessions. Sessions that an import of the same name took and that are gone from the source
    /// end in [`finish`](Self::finish). Without a name, no session ends for that reason.
    ///
    /// # Errors
    /// [`Error::Degraded`] and the like if the disk refuses.
    ///
    /// # Examples
    /// ```
    /// use sessile::foreign::import::{Import, sources};
    ///
    /// # let store = sessile::testing::store();
    /// drop(Import::begin(&store, Some("redis"))?);
    /// assert!(sources(&store)?.is_empty(), "it was interrupted");
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn begin(store: &'s Store, source: Option<&str>) -> Result<Self, Error> {
        Ok(Self { store, run: store.begin_import(source)?, export_id: store.export_id() })
    }

    /// Returns the largest size of a session in the store: [`Builder::record_limit`](crate::Builder::record_limit).
    ///
    /// # Examples
    /// ```
    /// use sessile::{Store, foreign::import::Import};
    ///
    /// let store = Store::builder().record_limit(4096).open_in_memory()?;
    /// assert_eq!(Import::begin(&store, None)?.record_limit_bytes(), 4096);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[must_use]
    pub fn record_limit_bytes(&self) -> usize {
        self.store.limits().record_bytes
    }

    /// Notes that the source has the session under `key`, though it cannot be read, so it is not gone. [`take`](Self::take) and
    /// [`take_exported`](Self::take_exported) do so themselves.
    ///
    /// # Examples
    /// ```
    /// use sessile::foreign::{ForeignKind, New, Sessions, import::Import};
    ///
    /// # let store = sessile::testing::store();
    /// let sessions = Sessions::new(store.clone(), ForeignKind::Poem);
    /// let (key, values) = (sessions.key(b"id"), sessions.values([("n", &1)])?);
    /// let new = New { values: &values, ends_ms: sessions.now_ms() + 60_000, owner: None };
    /// let mut import = Import::begin(&store, Some("old"))?;
    /// import.take(&sessions, &key, &new)?;
    /// import.finish(true, || ())?;
    ///
    /// let mut again = Import::begin(&store, Some("old"))?;
    /// again.see(&key);
    /// again.finish(true, || panic!("no session is gone"))?;
    /// assert!(sessions.load(&key)?.is_some());
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn see(&mut self, key: &SessionKey) {
        self.run.see(&key.0);
    }

    /// Imports a session of another crate. If `new.owner` is `None`, the session keeps the owner that it has in the store.
    ///
    /// The limit of [`Builder::sessions_per_owner`](crate::Builder::sessions_per_owner) is not applied: it counts when the owner begins
    /// another session.
    ///
    /// # Errors
    /// [`Error::Codec`] for a key or a value over a limit and [`Error::StoreFull`], both of this session alone: the import can
    /// continue. [`Error::Config`] if `sessions` belong to another store. [`Error::Degraded`] and the like if the disk refuses.
    ///
    /// # Examples
    /// ```
    /// use sessile::{Error, foreign::{ForeignKind, New, Sessions, import::{Came, Import}}};
    ///
    /// # let store = sessile::testing::store();
    /// let sessions = Sessions::new(store.clone(), ForeignKind::ActixSession);
    /// let (key, values) = (sessions.key(b"id"), sessions.values([("n", &1)])?);
    /// let now_ms = sessions.now_ms();
    /// let mut import = Import::begin(&store, None)?;
    /// assert_eq!(import.take(&sessions, &key, &New { values: &values, ends_ms: now_ms, owner: None })?, Came::Expired);
    /// assert_eq!(import.take(&sessions, &key, &New { values: &values, ends_ms: now_ms + 60_000, owner: None })?, Came::Created);
    ///
    /// let other = Sessions::new(sessile::testing::store(), ForeignKind::ActixSession);
    /// let refused = import.take(&other, &key, &New { values: &values, ends_ms: now_ms + 60_000, owner: None });
    /// assert!(matches!(refused, Err(Error::Config { .. })));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn take(&mut self, sessions: &Sessions, key: &SessionKey, new: &New<'_>) -> Result<Came, Error> {
        self.see(key);
        if !sessions.store().is_same(self.store) {
            let detail = "the sessions are those of another store than the import; make `Sessions` of the store that imports";
            return Err(Error::Config { detail: detail.to_owned() });
        }
        sessions.check_keys(&new.values.0)?;
        let (meta, limits) = (sessions.meta(&key.0, new), self.store.foreign_limits());
        let knows_owner = new.owner.is_some();
        self.run.take(&Incoming { key: key.0, meta, values: &new.values.0, limits, knows_owner, is_ours: false })
    }

    /// Imports a session from an [`export`], with all of its values.
    ///
    /// # Errors
    /// As [`take`](Self::take), and [`Error::BadOwner`] for an owner that is empty or too long. [`Error::Config`] if the key or
    /// the owner is one that the store uses for its own notes. Whether a value is damaged shows when it is read.
    ///
    /// # Examples
    /// ```
    /// use sessile::{Error, foreign::import::{Came, Exported, Import, export}, model::{Entry, Limits}};
    ///
    /// # let store = sessile::testing::store();
    /// # let other = sessile::testing::store();
    /// let session = store.session(None)?;
    /// session.insert("name", "Ada")?;
    /// session.save().wait()?;
    /// let mut exported = Vec::new();
    /// export(&store, |session, _| {
    ///     exported.push(session.clone());
    ///     Ok::<(), Error>(())
    /// })?;
    ///
    /// let take = |store, session: &Exported| {
    ///     let name = Entry::serde("Ada", &Limits::default())?;
    ///     Import::begin(store, None)?.take_exported(session, [("name", name)])
    /// };
    /// assert_eq!(take(&other, &exported[0])?, Came::Created);
    /// session.destroy();
    /// session.save().wait()?;
    /// assert_eq!(take(&store, &exported[0])?, Came::EndedHere, "its own export brings back nothing");
    ///
    /// exported[0].meta.owner = *b"sessile notes\0\0\0";
    /// assert!(matches!(take(&other, &exported[0]), Err(Error::Config { .. })));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn take_exported<'v>(
        &mut self,
        exported: &Exported,
        values: impl IntoIterator<Item = (&'v str, Entry)>,
    ) -> Result<Came, Error> {
        let Exported { store, key, meta, owner } = exported;
        self.see(key);
        if crate::disk::is_note(&key.0) || [crate::disk::NOTES, crate::disk::ENDED].contains(&meta.owner) {
            let detail =
                "the key or the owner of the exported session is one that the store keeps its own notes under; leave it out";
            return Err(Error::Config { detail: detail.to_owned() });
        }
        let values = self.values(meta, owner.as_ref(), values)?;
        #[cfg(feature = "device-bound")]
        let meta = &crate::session::with_device(*meta, &values);
        let (limits, is_ours) = (self.store.foreign_limits(), *store == Some(self.export_id));
        let knows_owner = meta.owner != NOBODY || ForeignKind::of(meta.flags).is_none();
        self.run.take(&Incoming { key: key.0, meta: *meta, values: &values, limits, knows_owner, is_ours })
    }

    fn values<'v>(
        &self,
        meta: &Meta,
        owner: Option<&Owner>,
        pairs: impl IntoIterator<Item = (&'v str, Entry)>,
    ) -> Result<Patch, Error> {
        // They include sessions of other crates, whose names here may be a byte longer than their keys.
        let (mut values, limits) = (Patch::new(), self.store.foreign_limits());
        let is_foreign = ForeignKind::of(meta.flags).is_some();
        if let Some(owner) = owner {
            values.set(owner::KEY, owner.entry(limits)?, limits)?;
        }
        for (name, value) in pairs {
            check_key(if is_foreign { key_of(name) } else { name }, limits.key_bytes)?;
            values.set(name, value, &Limits { key_bytes: usize::MAX, ..*limits })?;
        }
        Ok(values)
    }

    /// Finishes the import. If the source has a name, ends the sessions that an import from it took, that were not seen this
    /// time and that have not changed here since, and calls `gone` for each.
    ///
    /// `is_whole`: every session of the source was seen. With `false`, or if none was seen, no session ends.
    ///
    /// # Errors
    /// [`Error::Degraded`] and the like if the disk refuses; then import again.
    ///
    /// # Examples
    /// ```
    /// use sessile::foreign::{ForeignKind, New, Sessions, import::Import};
    ///
    /// # let store = sessile::testing::store();
    /// let sessions = Sessions::new(store.clone(), ForeignKind::Poem);
    /// let values = sessions.values([("n", &1)])?;
    /// let new = New { values: &values, ends_ms: sessions.now_ms() + 60_000, owner: None };
    /// let import = |ids: &[&str], is_whole| {
    ///     let (mut import, mut gone) = (Import::begin(&store, Some("old"))?, 0);
    ///     for id in ids {
    ///         import.take(&sessions, &sessions.key(id.as_bytes()), &new)?;
    ///     }
    ///     import.finish(is_whole, || gone += 1)?;
    ///     Ok::<_, sessile::Error>(gone)
    /// };
    /// assert_eq!(import(&["a", "b"], true)?, 0);
    /// assert_eq!(import(&["a"], false)?, 0);
    /// assert_eq!(import(&["a"], true)?, 1);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn finish(self, is_whole: bool, gone: impl FnMut()) -> Result<(), Error> {
        self.run.finish(is_whole, gone)
    }
}

impl std::fmt::Debug for Import<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Import").finish_non_exhaustive()
    }
}

/// Returns the imported sources, ordered by their first import. All sources without a name count as one.
///
/// # Errors
/// [`Error::Degraded`] and the like if the disk refuses.
///
/// # Examples
/// ```
/// use sessile::foreign::import::{Import, sources};
///
/// # let store = sessile::testing::store();
/// Import::begin(&store, Some("the old server"))?.finish(true, || ())?;
/// assert_eq!(sources(&store)?[0].name.as_deref(), Some("the old server"));
/// # Ok::<(), sessile::Error>(())
/// ```
pub fn sources(store: &Store) -> Result<Vec<Source>, Error> {
    let sources = store.sources()?.into_iter().map(|source| {
        let store::Source { name, first_ms, last_ms, sessions } = source;
        let name = Some(name).filter(|name| !name.is_empty());
        Source { name, first: from_ms(first_ms), last: from_ms(last_ms), sessions }
    });
    Ok(sources.collect())
}

/// Calls `visit` with every living session and its values, in no order, on this thread. Stops at the first error that `visit`
/// returns. Sessions sealed in cookies are not in the store, and not included.
///
/// The times in [`Exported::meta`] are those of the last use, even if only memory has it.
///
/// # Errors
/// What `visit` returns; [`Error::Degraded`] and the like if the disk refuses.
///
/// # Examples
/// ```
/// use sessile::{Error, foreign::import::export};
///
/// # let store = sessile::testing::store();
/// let session = store.session(None)?;
/// session.insert("name", "Ada")?;
/// session.sign_in(7_u64)?;
/// session.save().wait()?;
///
/// let mut found = Vec::new();
/// export(&store, |session, values| {
///     let names: Vec<_> = values.map(|(name, _)| name.to_owned()).collect();
///     found.push((session.owner.clone(), names));
///     Ok::<(), Error>(())
/// })?;
/// assert_eq!(found, [(Some(7_u64.into()), vec!["name".to_owned()])]);
/// # Ok::<(), Error>(())
/// ```
pub fn export<E: From<Error>>(
    store: &Store,
    mut visit: impl FnMut(&Exported, &mut dyn Iterator<Item = (&str, EntryRef<'_>)>) -> Result<(), E>,
) -> Result<(), E> {
    let export_id = store.export_id();
    store.scan(|key, record, seen_ms| {
        let meta = expiry::touched(&record.meta(), seen_ms);
        let owner = record.entry(owner::KEY).and_then(|entry| Owner::of_entry(&entry));
        let exported = Exported { store: Some(export_id), key: SessionKey(*key), meta, owner };
        visit(&exported, &mut record.iter().filter(|(name, _)| *name != owner::KEY))
    })
}
