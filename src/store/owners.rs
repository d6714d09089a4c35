//! Lists, ends and limits the sessions of one owner.
//!
//! Invariant: while one of these lists an owner's sessions, none of them moves to another key and none is added. Both need the
//! owner's lock.

use parking_lot::{Mutex, MutexGuard};

use super::{EndReason, SessionInfo, Store, find::Current};
use crate::{
    Ack, Error, Owner, OwnerLimit,
    disk::Ticket,
    owner::{NOBODY, OwnerHash},
    token::{Handle, Key},
    wake::Deferred,
};

/// Locks for owners, fewer than there are owners.
#[derive(Default)]
pub(super) struct OwnerLocks([Mutex<()>; LOCKS]);

/// A lock is held only while an owner signs in or out or a list is read, so logins seldom collide even at thousands a second.
const LOCKS: usize = 32;

/// While this guard lives, the owners' lists do not change and no waker runs. The locks are released before the wakers run.
pub(super) struct OwnersLocked<'a> {
    _locks: [Option<MutexGuard<'a, ()>>; 2],
    _deferred: Deferred,
}

fn lock_of(owner: &OwnerHash) -> usize {
    usize::from(owner[0]) % LOCKS
}

impl Store {
    /// Returns the live sessions of `owner`, the most recently used first.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// for device in ["laptop", "phone"] {
    ///     let session = store.session(None)?;
    ///     session.sign_in("ada")?;
    ///     session.set_label(device)?;
    ///     session.save().wait()?;
    /// }
    /// let sessions = store.sessions_of("ada")?;
    /// assert_eq!(sessions.len(), 2);
    ///
    /// let phone = sessions.iter().find(|session| session.label.as_deref() == Some("phone")).unwrap();
    /// assert!(store.destroy_session_of("ada", &phone.handle).wait()?);
    /// assert_eq!(store.sessions_of("ada")?.len(), 1);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Degraded`] if the disk refuses.
    pub fn sessions_of(&self, owner: impl Into<Owner>) -> Result<Vec<SessionInfo>, Error> {
        let owner = owner.into().hash();
        let _lock = self.lock_owners([owner, NOBODY]);
        Ok(self.list(&owner)?.into_iter().map(|(_, info)| info).collect())
    }

    /// Returns the keys and details of the owner's sessions, the most recently used first.
    fn list(&self, owner: &OwnerHash) -> Result<Vec<(Key, SessionInfo)>, Error> {
        let mut sessions = Vec::new();
        for key in self.0.disk.of_owner(owner)? {
            if let Some((record, seen_ms)) = self.inspect(&key)?.filter(|(record, _)| record.meta().owner == *owner) {
                sessions.push((key, SessionInfo::new(&record, seen_ms)));
            }
        }
        sessions.sort_by_key(|(_, session)| std::cmp::Reverse((session.last_seen, session.created)));
        Ok(sessions)
    }

    /// Ends the session of `owner` that `handle` names. Returns false if this owner has no such session, or no longer has it.
    ///
    /// Always durable, and effective for the next read of any thread.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// let session = store.session(None)?;
    /// session.sign_in("ada")?;
    /// session.save().wait()?;
    /// let handle = session.handle().unwrap();
    /// assert!(!store.destroy_session_of("bob", &handle).wait()?, "it is not his");
    /// assert!(store.destroy_session_of("ada", &handle).wait()?);
    /// assert!(store.sessions_of("ada")?.is_empty());
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[doc(alias = "destroy_one")]
    pub fn destroy_session_of(&self, owner: impl Into<Owner>, handle: &Handle) -> Ack<bool> {
        map_ack(self.destroy_where(&owner.into(), |_| None, |found| found == *handle), |count| count > 0)
    }

    /// Ends every session of `owner`, and returns how many. See [`destroy_session_of`](Self::destroy_session_of).
    ///
    /// Sessions sealed in cookies end too, and are not counted: their number is unknown.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// for _ in 0..2 {
    ///     let session = store.session(None)?;
    ///     session.sign_in("ada")?;
    ///     session.save().wait()?;
    /// }
    /// assert_eq!(store.destroy_sessions_of("ada").wait()?, 2);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[doc(alias = "destroy_all")]
    pub fn destroy_sessions_of(&self, owner: impl Into<Owner>) -> Ack<usize> {
        map_ack(self.destroy_where(&owner.into(), |owner| self.cut_off(owner, None), |_| true), |count| count)
    }

    /// Ends every session of `owner` except `kept`, and returns how many. See [`destroy_session_of`](Self::destroy_session_of).
    ///
    /// `kept` is a [`Session`](crate::Session), usually the request's own, or a [`Handle`]. A session that was not stored yet
    /// keeps none.
    ///
    /// Sessions sealed in cookies end too, as with [`destroy_sessions_of`](Self::destroy_sessions_of).
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// # let (laptop, phone) = (store.session(None)?, store.session(None)?);
    /// for session in [&laptop, &phone] {
    ///     session.sign_in("ada")?;
    ///     session.save().wait()?;
    /// }
    /// // On the laptop: "sign out everywhere else".
    /// assert_eq!(store.destroy_other_sessions_of("ada", &laptop).wait()?, 1);
    /// assert!(store.session(phone.token().as_ref())?.owner().is_none());
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[doc(alias = "destroy_others")]
    pub fn destroy_other_sessions_of(&self, owner: impl Into<Owner>, kept: impl Into<Option<Handle>>) -> Ack<usize> {
        let kept = kept.into();
        let cut_off = |owner: &_| self.cut_off(owner, kept.as_ref());
        map_ack(self.destroy_where(&owner.into(), cut_off, |found| Some(found) != kept), |count| count)
    }

    /// `cut_off` ends the sessions outside the store. A session leaves the store either before both steps, or after both and
    /// ends here.
    fn destroy_where(
        &self,
        owner: &Owner,
        cut_off: impl FnOnce(&OwnerHash) -> Option<Ticket>,
        is_meant: impl Fn(Handle) -> bool,
    ) -> Result<(usize, Ticket), Error> {
        let owner = owner.hash();
        let _lock = self.lock_owners([owner, NOBODY]);
        let (mut destroyed, mut last) = (0, cut_off(&owner).unwrap_or_else(Ticket::done));
        for key in self.0.disk.of_owner(&owner)? {
            let is_meant = |current: &Current<'_>| is_at(current, &key, &owner) && is_meant(Handle::of(&current.record.meta()));
            if let Some(ticket) = self.destroy_if(&key, EndReason::Revoked, is_meant)? {
                destroyed += 1;
                // Groups become durable in order, so the last ticket stands for all.
                last = ticket;
            }
        }
        Ok((destroyed, last))
    }

    /// Makes room for one more session of `owner`, under `key`, or refuses it. Returns whether another was evicted. The owner
    /// is locked.
    pub(super) fn limit_owner(&self, owner: &OwnerHash, key: &Key) -> Result<bool, Error> {
        let Some((limit, policy)) = self.0.settings.owner_limit.filter(|_| *owner != NOBODY) else { return Ok(false) };
        let mut others = self.list(owner)?;
        others.retain(|(other, _)| other != key);
        if others.len() < limit {
            return Ok(false);
        }
        if policy == OwnerLimit::Refuse {
            return Err(Error::OwnerLimit { found: others.len(), limit });
        }
        let mut evicted = false;
        for (other, _) in &others[limit - 1..] {
            evicted |= self.destroy_if(other, EndReason::OwnerLimit, |current| is_at(current, other, owner))?.is_some();
        }
        Ok(evicted)
    }

    /// Locks these owners' lists. `NOBODY` locks nothing.
    pub(super) fn lock_owners(&self, owners: [OwnerHash; 2]) -> OwnersLocked<'_> {
        let deferred = Deferred::begin();
        let mut wanted = owners.map(|owner| (owner != NOBODY).then(|| lock_of(&owner)));
        // Always in the same order and none twice, so that threads cannot deadlock.
        wanted.sort_unstable();
        if wanted[0] == wanted[1] {
            wanted[0] = None;
        }
        OwnersLocked { _locks: wanted.map(|at| at.map(|at| self.0.owner_locks.0[at].lock())), _deferred: deferred }
    }
}

/// Whether the session is the owner's and still under `key`: a session that has moved since is also listed under its new key.
fn is_at(current: &Current<'_>, key: &Key, owner: &OwnerHash) -> bool {
    current.key == *key && current.record.meta().owner == *owner
}

fn map_ack<T>(result: Result<(usize, Ticket), Error>, value: impl FnOnce(usize) -> T) -> Ack<T> {
    match result {
        Ok((count, ticket)) => Ack::new(ticket, value(count)),
        Err(error) => Ack::settled(Err(error)),
    }
}
