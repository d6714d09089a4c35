//! Deletes expired records, in bounded batches, by the expiry index.
//!
//! Invariants:
//! - A session is over when the latest of its deadlines in memory, the journal and redb has passed. If memory or the journal
//!   has the session, it ends there; only a session that redb alone has is deleted here.
//! - Expired sessions are never served; a sweep only makes room. So it uses the certain time, which no jump of the clock moves
//!   ahead, and stores it: a clock that is set back does not bring back sessions next to deleted ones.

use redb::Database;

use super::{form::AtRest, tables};
use crate::{
    timeline::Mark,
    token::{Handle, Key},
};

/// The result of one batch.
#[derive(Debug)]
pub(super) struct Swept {
    pub(super) expired: Vec<(Key, Option<Handle>)>,
    /// The number of records, if any was deleted or moved.
    pub(super) records: Option<u64>,
    /// Whether the index may have more due entries.
    pub(super) more: bool,
}

/// What to do with a record that the index lists as due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExpiryStatus {
    /// Its session ends at this time, in milliseconds since 1970.
    Ends(u64),
    /// A newer write is on its way to redb.
    Busy,
    /// The session is over, and no write can bring it back.
    Over,
}

/// Deletes what has expired by `clock`, among the first `most` entries that `may_go` accepts. `status` gets a key and the end
/// of its session according to redb.
pub(super) fn batch(
    db: &Database,
    form: &AtRest,
    clock: Mark,
    most: usize,
    may_go: impl Fn(&Key) -> bool,
    status: impl Fn(&Key, u64) -> ExpiryStatus,
) -> Result<Swept, redb::Error> {
    let now_ms = clock.certain_ms;
    let due = tables::due(db, now_ms, most, may_go)?;
    let (mut expired, mut moved, mut records) = (Vec::new(), 0, None);
    if !due.is_empty() {
        let left = tables::write(db, form, |tables| {
            for (minute, key) in &due {
                let stored_ms = tables.outline(key)?.map_or(0, |outline| outline.deadline_ms);
                match status(key, stored_ms) {
                    // The index counts minutes, a deadline milliseconds: what ends later in this minute stays for the next
                    // sweep.
                    ExpiryStatus::Ends(ms) if ms / 60_000 > now_ms / 60_000 => {
                        tables.relist(key, *minute, ms)?;
                        moved += 1;
                    }
                    ExpiryStatus::Ends(_) | ExpiryStatus::Busy => {}
                    ExpiryStatus::Over => {
                        let handle = tables.handle(key)?;
                        tables.delete(key)?;
                        expired.push((*key, handle));
                    }
                }
            }
            tables.set_clock(clock)
        })?;
        records = Some(left);
    }
    Ok(Swept { more: due.len() == most && expired.len() + moved > 0, expired, records })
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;
    use sessile_codec::{Limits, Meta, Patch};
    use zeroize::Zeroizing;

    use super::*;
    use crate::disk::meta::StoreMeta;

    const MINUTE_MS: u64 = 60_000;

    /// Sweeps three records that are listed under the tenth minute, in the twelfth, two at a time, until nothing is left to do. Returns
    /// what each batch deleted.
    fn sweep(status: impl Fn(u8) -> ExpiryStatus) -> Vec<Vec<u8>> {
        let db = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
        tables::create(&db, &StoreMeta::new([7; 16], Zeroizing::new(Vec::new()), &AtRest::Plain)).unwrap();
        let meta = Meta { idle_deadline_ms: 10 * MINUTE_MS, absolute_deadline_ms: 10 * MINUTE_MS, ..Meta::default() };
        tables::write(&db, &AtRest::Plain, |tables| {
            (1..=3).map(|n| [n; 16]).try_for_each(|key| {
                let record = Patch::new().apply(None, &key, &meta, &Limits::default()).unwrap();
                tables.change(&key, Some(&record))
            })
        })
        .unwrap();
        let clock = Mark { certain_ms: 12 * MINUTE_MS + 7, ..Mark::default() };
        let mut batches = Vec::new();
        loop {
            let swept = batch(&db, &AtRest::Plain, clock, 2, |_| true, |key, _| status(key[0])).unwrap();
            batches.push(swept.expired.iter().map(|(key, _)| key[0]).collect());
            assert!(batches.len() < 10, "it has no end: {batches:?}");
            if !swept.more {
                return batches;
            }
        }
    }

    #[test]
    fn what_ends_in_a_later_minute_makes_way_for_what_is_over() {
        let later = |key| if key == 3 { ExpiryStatus::Over } else { ExpiryStatus::Ends(13 * MINUTE_MS) };
        assert_eq!(sweep(later), [vec![], vec![3]]);
    }

    #[test]
    fn what_ends_later_in_this_minute_waits_for_the_next_sweep() {
        let nothing = [Vec::<u8>::new()];
        assert_eq!(sweep(|_| ExpiryStatus::Ends(12 * MINUTE_MS + 8)), nothing);
        assert_eq!(sweep(|_| ExpiryStatus::Busy), nothing);
    }

    #[test]
    fn what_is_over_is_deleted_batch_by_batch() {
        assert_eq!(sweep(|_| ExpiryStatus::Over), [vec![1, 2], vec![3]]);
    }
}
