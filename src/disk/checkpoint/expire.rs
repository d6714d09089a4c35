//! Ends the sessions that have expired, in each of the three places: memory alone, the journal, redb.
//!
//! Invariants: a session expires once, and is counted and reported once; one that the journal has, or that memory has changes
//! of, ends by a deletion through the journal, like any other end; one that only redb has is deleted there.

use std::{cell::RefCell, sync::atomic::Ordering};

use super::{Checkpointer, SLICE, SWEPT};
use crate::{
    Error,
    disk::{
        Op, Urgency,
        op::{ENDED, NOTES},
        pending::Entry,
        sweep::{self, ExpiryStatus},
    },
    memory::{Before, Claim, Seq},
    timeline::Mark,
    token::{Handle, Key},
};

impl Checkpointer {
    /// Ends expired sessions: all of them, or one batch of those in redb, so that checkpoints can run in between. Returns
    /// whether there are more.
    pub(super) fn sweep(&self, all: bool) -> Result<bool, Error> {
        let clock = self.timeline.mark();
        self.sweep_memory(clock.certain_ms);
        if self.may_enqueue() {
            self.sweep_journal(clock.certain_ms);
        }
        loop {
            let more = self.sweep_redb(clock)?;
            if !(more && all) {
                return self.mark_time(super::MARK_AGE).map(|()| more);
            }
        }
    }

    /// Whether the journal has room for more than the ends that callers wait for.
    fn may_enqueue(&self) -> bool {
        !self.journal.is_starved() && !self.journal.is_closing()
    }

    fn delete(&self, key: &Key, before: Before) -> Seq {
        self.queue.push(Op::Delete { key: *key }, Urgency::Soon, before).0
    }

    fn sweep_memory(&self, now_ms: u64) {
        let enqueue = |key: &Key| self.delete(key, Before::default());
        self.upstream.expire_unsaved(now_ms, self.may_enqueue().then_some(&enqueue));
    }

    fn sweep_journal(&self, now_ms: u64) {
        let due = self.journal.pending().write().take_due(now_ms);
        let mut earliest_ms = u64::MAX;
        for keys in due.iter().flat_map(|keys| keys.chunks(SLICE.0)) {
            for (key, handle) in self.over_in_journal(keys, now_ms, &mut earliest_ms) {
                let is_over = || self.journal.pending().read().get(&key).and_then(deadline_ms).is_some_and(|ms| ms <= now_ms);
                if self.upstream.expire(&key, now_ms, &is_over, &|before| self.delete(&key, before)) {
                    self.swept.fetch_add(1, Ordering::Relaxed);
                    self.upstream.expired(&key, Some(handle));
                }
            }
        }
        self.journal.pending().write().note_deadline(earliest_ms);
    }

    /// Returns the sessions of `keys` that are over at `now_ms` by their records in the journal, and lowers `earliest_ms` to
    /// the earliest deadline.
    fn over_in_journal(&self, keys: &[Key], now_ms: u64, earliest_ms: &mut u64) -> Vec<(Key, Handle)> {
        let mut over = Vec::new();
        let pending = self.journal.pending().read();
        for key in keys {
            let Some(record) = pending.get(key).and_then(|entry| entry.record.as_ref()) else { continue };
            let meta = record.meta();
            *earliest_ms = meta.deadline_ms().min(*earliest_ms);
            // Other records expire when redb has them.
            if meta.deadline_ms() <= now_ms && meta.owner != ENDED && meta.owner != NOTES {
                over.push((*key, Handle::of(&meta)));
            }
        }
        over
    }

    fn sweep_redb(&self, clock: Mark) -> Result<bool, Error> {
        let claimed = RefCell::new(Vec::new());
        let in_journal = |key: &Key| self.journal.pending().read().get(key).is_some();
        let status = |key: &Key, stored_ms: u64| {
            if stored_ms > clock.certain_ms {
                return ExpiryStatus::Ends(self.upstream.deadline_ms(key).unwrap_or(0).max(stored_ms));
            }
            match self.upstream.claim(key, clock.certain_ms) {
                Claim::Alive(ms) => ExpiryStatus::Ends(ms),
                Claim::Busy => ExpiryStatus::Busy,
                Claim::Claimed => {
                    claimed.borrow_mut().push(*key);
                    // Checked again after the claim: a write that was on its way to the journal at the first check is there by
                    // now.
                    if in_journal(key) { ExpiryStatus::Busy } else { ExpiryStatus::Over }
                }
            }
        };
        let most = self.in_transaction(SWEPT);
        let form = self.database.at_rest();
        let swept = self.database.with(|redb| sweep::batch(redb, form, clock, most, |key| !in_journal(key), status));
        if let Ok(swept) = &swept {
            if let Some(records) = swept.records {
                self.journal.pending().write().set_in_file(records);
                *self.marked.lock() = clock;
            }
            self.swept.fetch_add(swept.expired.len() as u64, Ordering::Relaxed);
            for (key, handle) in &swept.expired {
                self.upstream.expired(key, *handle);
            }
        }
        for key in &claimed.take() {
            self.upstream.release(key);
        }
        swept.map(|swept| swept.more)
    }

    /// Moves damaged records to the quarantine table. A record of another release stays, and so does one that is being
    /// replaced.
    pub(super) fn quarantine(&self, keys: &[Key]) -> Result<(), Error> {
        // At the time 0 no session is over, so sessions in memory are left alone.
        let claimed: Vec<Key> = keys.iter().filter(|key| self.upstream.claim(key, 0) == Claim::Claimed).copied().collect();
        if claimed.is_empty() {
            return Ok(());
        }
        let in_journal = |key: &Key| self.journal.pending().read().get(key).is_some();
        let mut put_aside = Vec::new();
        let done = self.transact(|tables| {
            for key in claimed.iter().filter(|key| !in_journal(key)) {
                if tables.quarantine(key, |bytes| self.database.at_rest().is_damaged(bytes, key))? {
                    put_aside.push(*key);
                }
            }
            Ok(())
        });
        if done.is_ok() {
            self.quarantined.fetch_add(put_aside.len() as u64, Ordering::Relaxed);
            for key in &put_aside {
                self.upstream.expired(key, None);
            }
        }
        for key in &claimed {
            self.upstream.release(key);
        }
        done
    }
}

fn deadline_ms(entry: &Entry) -> Option<u64> {
    Some(entry.record.as_ref()?.meta().deadline_ms())
}
