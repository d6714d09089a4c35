//! Changing a session: every change is made on the record that is current, or not at all.
//!
//! Invariant: a change of a session that is over is dropped and counted, never stored.

use sessile_codec::Record;

use super::{Store, count, find::Current};
use crate::{
    Error, Token,
    disk::{Op, Ticket, Urgency},
    memory::Swap,
    token::Key,
};

/// A commit that is queued.
pub(crate) struct Committed {
    pub(crate) record: Record,
    pub(crate) ticket: Ticket,
}

impl Store {
    /// Makes a session of what `make` writes for its record key. `is_urgent`: durable whatever the class.
    pub(crate) fn create(
        &self,
        is_urgent: bool,
        make: impl FnOnce(&Key) -> Result<Record, Error>,
    ) -> Result<(Token, Committed), Error> {
        self.0.disk.admit()?;
        let token = self.0.ring.issue()?;
        let key = token.key();
        let record = make(&key)?;
        let op = Op::Put { key, record: record.clone() };
        let urgency = if is_urgent { Urgency::Now } else { self.0.urgency };
        let ticket = self.0.memory.insert(&key, &record, || self.0.disk.enqueue(op, urgency));
        count(&self.0.counters.commits);
        Ok((token, Committed { record, ticket }))
    }

    /// Puts what `merge` makes of the current record of `key` in its place, as soon as no other commit comes between. `None`: the
    /// session is over, and the commit is dropped. `is_touch`: it changes nothing but when the session was last used.
    pub(crate) fn commit(
        &self,
        key: &Key,
        is_touch: bool,
        mut merge: impl FnMut(&Record) -> Result<Record, Error>,
    ) -> Result<Option<Committed>, Error> {
        let urgency = if is_touch { Urgency::Soon } else { self.0.urgency };
        self.change(key, |current| {
            let record = merge(&current.record)?;
            let op = Op::Put { key: *key, record: record.clone() };
            let swap = self.0.memory.swap(key, current.base(), &record, || self.0.disk.enqueue(op, urgency));
            Ok((swap, record))
        })
        .map(|done| done.map(|(ticket, record)| Committed { record, ticket }))
    }

    /// Moves the session to a new token. `merge` gets the current record and the new record key. Durable whatever the class: the old
    /// token must not come back.
    pub(crate) fn rotate(
        &self,
        key: &Key,
        mut merge: impl FnMut(&Record, &Key) -> Result<Record, Error>,
    ) -> Result<Option<(Token, Committed)>, Error> {
        let token = self.0.ring.issue()?;
        let new_key = token.key();
        self.change(key, |current| {
            let record = merge(&current.record, &new_key)?;
            let op = Op::Rekey { key: *key, new_key, record: record.clone() };
            let enqueue = || self.0.disk.enqueue(op, Urgency::Now);
            let rekey = || self.0.memory.rekey(key, current.base(), &new_key, &record, enqueue);
            let swap = self.0.endings.rekey(current.record.meta().owner, key, rekey);
            Ok((swap, record))
        })
        .map(|done| done.map(|(ticket, record)| (token, Committed { record, ticket })))
    }

    /// Ends the session, if `is_meant` says so of its record now. `None`: it was over before, or not meant.
    pub(crate) fn destroy(&self, key: &Key, is_meant: impl Fn(&Record) -> bool) -> Result<Option<Ticket>, Error> {
        while let Some(current) = self.current(key)?.filter(|current| is_meant(&current.record)) {
            let enqueue = || self.0.disk.enqueue(Op::Delete { key: *key }, Urgency::Now);
            match self.0.memory.kill(key, current.base(), enqueue) {
                Swap::Done(ticket) => return Ok(Some(ticket)),
                Swap::Changed => {}
                Swap::Dead => break,
            }
        }
        Ok(None)
    }

    fn change<T, U>(
        &self,
        key: &Key,
        mut attempt: impl FnMut(&Current<'_>) -> Result<(Swap<T>, U), Error>,
    ) -> Result<Option<(T, U)>, Error> {
        self.0.disk.admit()?;
        while let Some(current) = self.current(key)? {
            match attempt(&current)? {
                (Swap::Done(done), with) => {
                    count(&self.0.counters.commits);
                    return Ok(Some((done, with)));
                }
                (Swap::Changed, _) => {}
                (Swap::Dead, _) => break,
            }
        }
        self.drop_commit(key);
        Ok(None)
    }

    /// Notes a commit that came after its session had ended.
    pub(crate) fn drop_commit(&self, key: &Key) {
        count(&self.0.counters.dropped_commits);
        crate::event::dropped_commit(key);
    }
}
