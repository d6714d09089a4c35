//! The ends of sealed sessions, in a build without the feature `sealed`.
//!
//! This build opens no sealed session. It cannot record which of them end either, such as those of an owner who is signed out
//! everywhere. So when it opens a file that has ends of sealed sessions, it replaces their epoch by a record without content. The next
//! build with the feature takes that for a lost epoch, and refuses every session that was sealed before.
//!
//! Invariant: the records that are no sessions are never counted as sessions.

use std::collections::HashSet;

use parking_lot::Mutex;
use sessile_codec::{Limits, Meta, Patch};

use crate::{
    Error,
    disk::{Disk, ENDED, Op, SEALED_EPOCH, Urgency},
    token::Key,
};

/// The keys of the records that are no sessions.
#[derive(Default)]
pub(super) struct Revoked(Mutex<HashSet<Key>>);

impl Revoked {
    /// Reads the keys from the index of owners, and replaces the epoch if there are any.
    pub(super) fn load(&self, disk: &Disk) -> Result<(), Error> {
        let mut keys = self.0.lock();
        // The index of owners may list deleted records.
        keys.extend(disk.existing(disk.of_owner(&ENDED)?)?);
        if !keys.is_empty() {
            let meta = Meta { revision: if keys.insert(SEALED_EPOCH) { 1 } else { 2 }, ..without_content() };
            let record = Patch::new().apply(None, &SEALED_EPOCH, &meta, &Limits::UNLIMITED)?;
            // Not waited for: if the disk refuses, it is retried as every write is.
            drop(disk.enqueue(Op::Put { key: SEALED_EPOCH, record }, Urgency::Now));
        }
        Ok(())
    }

    /// Returns the number of records in the file that are no sessions.
    pub(super) fn len(&self) -> u64 {
        self.0.lock().len() as u64
    }

    /// Whether a build with the feature ever sealed sessions of this store.
    pub(super) fn is_in_use(&self) -> bool {
        !self.0.lock().is_empty()
    }

    /// Notes that the file has deleted the record of `key`. Returns `false` if that was a session.
    pub(super) fn expire(&self, key: &Key, _now_ms: u64) -> bool {
        self.0.lock().remove(key)
    }

    /// The deadline in the file is the only one.
    #[cfg(not(feature = "sealed"))]
    #[expect(clippy::unused_self, reason = "as in a build with the feature")]
    pub(super) fn deadline_ms(&self, _key: &Key) -> Option<u64> {
        None
    }
}

fn without_content() -> Meta {
    Meta { idle_deadline_ms: u64::MAX, absolute_deadline_ms: u64::MAX, owner: ENDED, ..Meta::default() }
}

#[cfg(not(feature = "sealed"))]
impl super::Store {
    /// Does nothing: no sealed session of `owner` is valid any more.
    #[expect(clippy::unused_self, reason = "as in a build with the feature")]
    pub(super) fn cut_off(
        &self,
        _owner: &crate::owner::OwnerHash,
        _kept: Option<&crate::token::Handle>,
    ) -> Option<crate::disk::Ticket> {
        None
    }
}

#[cfg(all(test, feature = "sealed", feature = "test-util"))]
mod tests {
    use super::*;
    use crate::{Store, disk::InMemory, owner::NOBODY, store::SealedId, token::Handle};

    #[test]
    fn a_build_without_the_feature_ends_what_was_sealed_and_counts_no_revocation() {
        let disk = InMemory::default();
        let open = || Store::builder().open_on(&disk).unwrap();
        let is_alive = |store: &Store, id: &SealedId| store.sealed_again(id).is_some();
        let id = |epoch| SealedId { key: [3; 16], handle: Handle::first(&[3; 16]), owner: NOBODY, epoch };
        let store = open();
        store.begin_sealing();
        let sealed = id(store.sealing_epoch());
        // The index of owners lists it until the deletion reaches redb.
        store.revoke(&SealedId { key: [5; 16], ..sealed }, &store.timeouts().begin(store.now_ms())).unwrap();
        store.close().unwrap();
        assert!(is_alive(&open(), &sealed));

        let store = open();
        store.0.disk.enqueue(Op::Delete { key: [5; 16] }, Urgency::Now).1.wait().unwrap();
        let other = Revoked::default();
        other.load(&store.0.disk).unwrap();
        assert_eq!((other.len(), other.is_in_use()), (1, true));
        assert!(!other.expire(&[4; 16], 0) && other.expire(&SEALED_EPOCH, 0) && other.len() == 0);
        store.close().unwrap();

        let store = open();
        assert!(!is_alive(&store, &sealed), "who ended meanwhile was not recorded");
        assert!(is_alive(&store, &id(store.sealing_epoch())));
        assert_eq!(store.stats().disk_sessions, 0);
    }
}
