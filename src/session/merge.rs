//! Merges a request's changes into a record.
//!
//! Invariants: values that the request did not change stay as they are in the record. A value that depends on one that another
//! request wrote is recomputed from that one.

use sessile_codec::{EntryRef, Limits, Meta, Patch, Record};

#[cfg(feature = "device-bound")]
use super::reserved::device;
use super::{
    commit::SaveOptions,
    cookie_update::CookieEnd,
    state::{Changes, OwnerChange, Stored},
    updates::same_entry,
};
use crate::{
    Durability, Error, Store,
    expiry::{self, cookie_lasts},
    owner::NOBODY,
    store::MergeInput,
};

/// How a session in the store is committed.
#[derive(Clone, Copy)]
pub(super) struct CommitPlan {
    pub(super) now_ms: u64,
    pub(super) durability: Durability,
    /// Whether to note only its last use, or to replace only its token.
    pub(super) is_touch: bool,
}

impl Changes {
    /// Returns how to commit these changes; `None` if there is nothing to write. `asked` is the request's durability, if it set
    /// one.
    pub(super) fn plan(
        &mut self,
        store: &Store,
        stored: &Stored,
        asked: Option<Durability>,
        how: SaveOptions,
    ) -> Option<CommitPlan> {
        self.lasts = self.lasts.filter(|wanted| *wanted != cookie_lasts(&stored.record.meta()));
        let (now_ms, is_touch) = (store.now_ms(), self.is_empty());
        let is_due = expiry::use_is_due(&stored.record.meta(), expiry::seen(stored.seen_ms, now_ms));
        if self.are_none() && !how.strict && !is_due {
            return None;
        }
        let durability = match self.class(store, asked, how) {
            // No caller waits for a touch.
            _ if is_touch => Durability::Relaxed,
            Durability::Quick if is_due => Durability::Relaxed,
            class => class,
        };
        Some(CommitPlan { now_ms, durability, is_touch })
    }

    /// Merges these changes into the record in `onto`. Returns the new record, and the end of the client's cookie if it gets
    /// one.
    pub(super) fn merge(
        &self,
        store: &Store,
        stored: &Stored,
        onto: &MergeInput<'_>,
        plan: CommitPlan,
    ) -> Result<(Record, Option<CookieEnd>), Error> {
        let MergeInput { current, key, .. } = onto;
        let mut meta = self.meta(store, &current.meta(), plan.durability, plan.now_ms);
        let cookie = stored.cookie_end(onto, self.lasts, plan.durability, &mut meta);
        if plan.is_touch {
            return Ok((current.with_meta(key, &meta), cookie));
        }
        let patch = self.merged(&stored.record, current, store.limits())?;
        let record = patch.as_ref().unwrap_or(&self.patch).apply(Some(current), key, &meta, store.limits())?;
        Ok((record, cookie))
    }

    /// The durability of these changes; `asked` is the request's, if it set one.
    pub(super) fn class(&self, store: &Store, asked: Option<Durability>, how: SaveOptions) -> Durability {
        let unasked = || if self.are_quick() { Durability::Quick } else { asked.unwrap_or(store.durability()) };
        match self.owner {
            OwnerChange::Keep => how.durability.unwrap_or_else(unasked),
            OwnerChange::SignIn(_) | OwnerChange::Unbind => Durability::Durable,
        }
    }

    /// Returns the metadata `now` after these changes.
    pub(super) fn meta(&self, store: &Store, now: &Meta, durability: Durability, now_ms: u64) -> Meta {
        // A quick commit keeps the last use as on file. So a touch is still due after a tenth of the idle timeout.
        let mut meta = if durability == Durability::Quick { *now } else { expiry::touched(now, now_ms) };
        meta = match self.owner {
            OwnerChange::Keep => meta,
            OwnerChange::SignIn(owner) => store.timeouts().signed_in(&Meta { owner, ..meta }),
            OwnerChange::Unbind => store.timeouts().signed_out(&Meta { owner: NOBODY, ..meta }),
        };
        if meta.owner != NOBODY {
            meta = store.timeouts().confirmed(&meta);
        }
        meta.revision += u64::from(!self.is_empty());
        #[cfg(feature = "device-bound")]
        {
            meta = device::marked(meta, &self.patch);
        }
        expiry::with_timeouts(&meta, self.idle, self.absolute)
    }

    /// Returns the patch for `current` if it differs from the one for the loaded record. The [updates](Changes::updates) have
    /// run on `current`.
    pub(super) fn merged(&self, loaded: &Record, current: &Record, limits: &Limits) -> Result<Option<Patch>, Error> {
        let mut merged = if current.is_same(loaded) { None } else { self.updates.applied_to(&self.patch, limits)? };
        for (key, entry) in &self.migrated {
            // Migrate only the value that was read.
            if self.patch.get(key).is_none() && same_entry(loaded, current, key) {
                merged.get_or_insert_with(|| self.patch.clone()).set(key, entry.clone(), &Limits::UNLIMITED)?;
            }
        }
        if !self.cleared.is_empty() && !current.is_same(loaded) {
            for (key, _) in current.iter().filter(|(key, _)| self.is_cleared(key) && self.patch.get(key).is_none()) {
                merged.get_or_insert_with(|| self.patch.clone()).remove(key);
            }
        }
        Ok(merged)
    }
}

/// Whether the value has expired.
pub(super) fn is_over(entry: EntryRef<'_>, now_ms: u64) -> bool {
    entry.until_ms() != 0 && entry.until_ms() <= now_ms
}
