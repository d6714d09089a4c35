//! Deletes expired records, in bounded batches, by the expiry index.
//!
//! Invariant: a session that memory knows to be alive is not deleted, whatever its record says: its last use may not be on
//! disk yet. Expired sessions are not served whether this runs or not; it only makes room. So it goes by the certain time, which no
//! jump of the clock moves ahead, and notes it: a clock that is set back does not bring back the neighbours of what was deleted.

use redb::Database;

use super::{form::Form, tables};
use crate::{
    timeline::Mark,
    token::{Handle, Key},
};

/// What one batch did.
#[derive(Debug)]
pub(super) struct Swept {
    pub(super) expired: Vec<(Key, Option<Handle>)>,
    /// How many records there are, if any was deleted.
    pub(super) records: Option<u64>,
    /// Whether the index may have more that is due.
    pub(super) more: bool,
}

/// Deletes what has expired by `clock`, of the first `most` entries. `deadline_ms` tells when a session ends, if somebody knows better
/// than redb.
pub(super) fn batch(
    db: &Database,
    form: &Form,
    clock: Mark,
    most: usize,
    deadline_ms: impl Fn(&Key) -> Option<u64>,
) -> Result<Swept, redb::Error> {
    let now_ms = clock.certain_ms;
    let due = tables::due(db, now_ms, most)?;
    let (mut expired, mut moved, mut records) = (Vec::new(), 0, None);
    if !due.is_empty() {
        let left = tables::write(db, form, |tables| {
            for (minute, key) in &due {
                let stored_ms = tables.outline(key)?.map_or(0, |outline| outline.deadline_ms);
                let deadline_ms = deadline_ms(key).unwrap_or(0).max(stored_ms);
                // The index counts minutes, a deadline milliseconds: what ends later in this minute stays for the next run.
                if deadline_ms / 60_000 > now_ms / 60_000 {
                    tables.relist(key, *minute, deadline_ms)?;
                    moved += 1;
                } else if deadline_ms <= now_ms {
                    let handle = tables.handle(key)?;
                    tables.delete(key)?;
                    expired.push((*key, handle));
                }
            }
            tables.set_clock(clock)
        })?;
        records = Some(left);
    }
    Ok(Swept { more: due.len() == most && expired.len() + moved > 0, expired, records })
}
