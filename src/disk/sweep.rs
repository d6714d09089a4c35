//! Deletes expired records, in bounded batches, by the expiry index.
//!
//! Invariant: a session that memory knows to be alive is not deleted, whatever its record says: its last use may not be on
//! disk yet. Expired sessions are not served whether this runs or not; it only makes room.

use redb::Database;

use super::{Upstream, tables};
use crate::token::Key;

/// Entries in one transaction, so that commits never wait long behind it.
const BATCH: usize = 500;

/// What one batch did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Swept {
    pub(super) deleted: u64,
    /// Whether the index may have more that is due.
    pub(super) more: bool,
}

pub(super) fn batch(db: &Database, now_ms: u64, upstream: &dyn Upstream) -> Result<Swept, redb::Error> {
    let due = tables::due(db, now_ms, BATCH)?;
    let mut expired: Vec<Key> = Vec::new();
    let mut moved = 0;
    if !due.is_empty() {
        tables::write(db, |tables| {
            for (minute, key) in &due {
                let stored_ms = tables.meta(key)?.map_or(0, |meta| meta.deadline_ms());
                let deadline_ms = upstream.deadline_ms(key).unwrap_or(0).max(stored_ms);
                // The index counts minutes, a deadline milliseconds: what ends later in this minute stays for the next run.
                if deadline_ms / 60_000 > now_ms / 60_000 {
                    tables.relist(key, *minute, deadline_ms)?;
                    moved += 1;
                } else if deadline_ms <= now_ms {
                    tables.delete(key)?;
                    expired.push(*key);
                }
            }
            Ok(())
        })?;
    }
    for key in &expired {
        upstream.expired(key);
    }
    Ok(Swept { deleted: expired.len() as u64, more: due.len() == BATCH && expired.len() + moved > 0 })
}
