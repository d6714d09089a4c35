//! Finds sessions to remove when the store is full: those without an owner and those that are over, in the journal and in redb.
//!
//! Invariants: one thread searches redb at a time, and each search continues where the last one ended, so that sessions with an
//! owner are not read again for each removed session. A search reads the whole index at most twice. If it finds nothing, the
//! next one waits until redb has changed or a minute of the index is over.

use std::collections::VecDeque;

use parking_lot::Mutex;

use super::{Disk, meta::Minute, tables};
use crate::{Error, token::Key};

/// Keys per look at the journal or read of redb: enough that most searches need one, and few to read in vain.
const BATCH: usize = 32;

/// How far the searches of redb have come.
#[derive(Debug, Default)]
pub(super) struct Search(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Keys that were found and not tried yet.
    found: VecDeque<Key>,
    /// Where to continue after that; `None`: at the beginning.
    position: Option<tables::Position>,
    /// The version of redb, and the minute, in which a search found nothing.
    barren: Option<(u64, Minute)>,
}

impl Disk {
    /// Calls `end` with sessions that have no owner or are over at `now_ms`, until it returns `true`: it has ended one. It
    /// returns `false` for a session that was used since, or has an owner now. Returns whether one was ended.
    pub(crate) fn end_one(&self, now_ms: u64, mut end: impl FnMut(&Key) -> Result<bool, Error>) -> Result<bool, Error> {
        self.check_process()?;
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
        let version = (self.journal.pending().read().version(), tables::minute(now_ms));
        // Another round from the beginning, if the search does not begin there.
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
            let (form, from) = (self.database.at_rest(), search.position);
            let (found, position) = self.read(|redb| tables::expendable(redb, form, from, now_ms, BATCH))?;
            search.found.extend(found);
            search.position = position;
            rounds -= u8::from(position.is_none());
        }
    }
}
