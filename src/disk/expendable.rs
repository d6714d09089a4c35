//! Finds sessions that may go when the store is full: those without an owner and those that are over, in the journal and in redb.
//!
//! Invariants: one thread searches redb at a time, and each search goes on where the last one ended, so that sessions with an owner are not
//! looked at again for each session that has to go; what one search did not find is not searched for again before redb has changed.

use std::collections::VecDeque;

use parking_lot::Mutex;

use super::{Disk, tables};
use crate::{Error, token::Key};

/// How many are looked up at once.
const BATCH: usize = 32;

/// How far the searches of redb have come.
#[derive(Debug, Default)]
pub(super) struct Search(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// What was found and not tried yet.
    found: VecDeque<Key>,
    /// Where to go on after that; `None`: at the beginning.
    position: Option<tables::Position>,
    /// The version of redb in which nothing was found.
    barren: Option<u64>,
}

impl Disk {
    /// Shows sessions that may go to `end`, until it returns that it has ended one. Those that it does not end were used since, or have an
    /// owner now. `now_ms`: sessions that are over then may go, too. Returns whether one was ended.
    pub(crate) fn end_one(&self, now_ms: u64, mut end: impl FnMut(&Key) -> Result<bool, Error>) -> Result<bool, Error> {
        let mut after = None;
        loop {
            let keys = self.journal.pending().read().anonymous(after.as_ref(), BATCH);
            let Some(last) = keys.last() else { break };
            after = Some(*last);
            for key in &keys {
                if end(key)? {
                    return Ok(true);
                }
            }
        }
        self.end_one_in_redb(now_ms, end)
    }

    fn end_one_in_redb(&self, now_ms: u64, mut end: impl FnMut(&Key) -> Result<bool, Error>) -> Result<bool, Error> {
        let mut search = self.search.0.lock();
        let version = self.journal.pending().read().version();
        // Once more from the beginning, if it does not begin there.
        let mut rounds = if search.position.is_some() || !search.found.is_empty() { 2 } else { 1 };
        loop {
            while let Some(key) = search.found.pop_front() {
                if end(&key)? {
                    return Ok(true);
                }
            }
            if rounds == 0 || search.barren == Some(version) {
                search.barren = Some(version);
                return Ok(false);
            }
            let (form, from) = (self.database.form(), search.position);
            let (found, position) = self.read(|redb| tables::expendable(redb, form, from, now_ms, BATCH))?;
            search.found.extend(found);
            search.position = position;
            rounds -= u8::from(position.is_none());
        }
    }
}
