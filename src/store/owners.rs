//! The sessions of one owner.

use super::{SessionInfo, Store, ending::Meant};
use crate::{
    Ack, Error,
    disk::Ticket,
    token::{Handle, owner_hash},
};

impl Store {
    /// The sessions of `owner` that are alive, the one used last first.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// for device in ["laptop", "phone"] {
    ///     let session = store.session(None)?;
    ///     session.bind_owner("ada");
    ///     session.set_label(device);
    ///     session.save().wait()?;
    /// }
    /// let sessions = store.sessions_of("ada")?;
    /// assert_eq!(sessions.len(), 2);
    ///
    /// let phone = sessions.iter().find(|session| session.label.as_deref() == Some("phone")).unwrap();
    /// assert!(store.destroy_one("ada", &phone.handle).wait()?);
    /// assert_eq!(store.sessions_of("ada")?.len(), 1);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Degraded`] if the disk refuses.
    pub fn sessions_of(&self, owner: impl AsRef<[u8]>) -> Result<Vec<SessionInfo>, Error> {
        let owner = owner_hash(owner.as_ref());
        let mut sessions = Vec::new();
        for key in self.0.disk.of_owner(&owner)? {
            if let Some((record, seen_ms)) = self.inspect(&key)?.filter(|(record, _)| record.meta().owner == owner) {
                sessions.push(SessionInfo::new(&key, &record, seen_ms));
            }
        }
        sessions.sort_by_key(|session| std::cmp::Reverse(session.last_seen));
        Ok(sessions)
    }

    /// Ends the session of `owner` that `handle` names. `false`: this owner has no such session, or not any more.
    ///
    /// Durable whatever the store's class, and effective for the next read of any thread.
    pub fn destroy_one(&self, owner: impl AsRef<[u8]>, handle: &Handle) -> Ack<bool> {
        map_ack(self.destroy_where(owner.as_ref(), Meant::One(*handle)), |count| count > 0)
    }

    /// Ends every session of `owner`, and tells how many. See [`destroy_one`](Self::destroy_one).
    pub fn destroy_all(&self, owner: impl AsRef<[u8]>) -> Ack<usize> {
        map_ack(self.destroy_where(owner.as_ref(), Meant::All), |count| count)
    }

    /// Ends every session of `owner` but the one that `kept` names, and tells how many. See [`destroy_one`](Self::destroy_one).
    pub fn destroy_others(&self, owner: impl AsRef<[u8]>, kept: &Handle) -> Ack<usize> {
        map_ack(self.destroy_where(owner.as_ref(), Meant::AllBut(*kept)), |count| count)
    }

    fn destroy_where(&self, owner: &[u8], meant: Meant) -> Result<(usize, Ticket), Error> {
        let owner = owner_hash(owner);
        let (mut destroyed, mut last) = (0, Ticket::done());
        // Before the list is read, or a session that rotates after that would be missed.
        let _ending = self.0.endings.begin(owner, meant);
        for key in self.0.disk.of_owner(&owner)? {
            if meant.covers(&key)
                && let Some(ticket) = self.destroy(&key, |record| record.meta().owner == owner)?
            {
                destroyed += 1;
                // Groups become durable in their order, so the last one speaks for all.
                last = ticket;
            }
        }
        Ok((destroyed, last))
    }
}

fn map_ack<T>(result: Result<(usize, Ticket), Error>, value: impl FnOnce(usize) -> T) -> Ack<T> {
    match result {
        Ok((count, ticket)) => Ack::new(ticket, value(count)),
        Err(error) => Ack::settled(Err(error)),
    }
}
