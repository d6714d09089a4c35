//! The ends of sessions that are not in the store, but sealed in their clients' cookies.
//!
//! A sealed cookie cannot be deleted, so the store keeps what it must refuse: a revocation for each sealed session that ended,
//! and an *epoch* for each owner whose sessions were all ended. Every end of an owner's sessions begins a new epoch of the
//! store. A sealed session carries the epoch that it was sealed in, and is refused if its owner's is later. An epoch is the
//! time at which it began, not a count: after a crash or a restored backup, epochs in which sessions were sealed may be
//! forgotten, and a new epoch must not repeat one of them.
//!
//! Invariants:
//! - A revocation is effective for the next lookup of any thread, and on disk before it is acknowledged. It refuses what was
//!   sealed before for as long as that could be valid: timeouts never change under one id, and nothing sealed is valid for more
//!   than 400 days.
//! - Nothing here is read from the disk after the store was opened: a sealed session costs no I/O.
//! - What the store cannot remember, it refuses. A damaged revocation cuts off everything sealed before; too many revocations
//!   of sessions without an owner cut off all of those.
//! - No token leads to a revocation: its record key is no hash of one.
//!
//! On disk a revocation is a record of an owner that no application has. So it is journaled, found when the store is opened,
//! and swept when it expires, like a session's record.

mod ends;

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
};

use parking_lot::{Mutex, MutexGuard, RwLock};
use sessile_codec::{Entry, Limits, Meta, Model, ModelPart, Patch, Record, Shape, Tag, rkyv, shape};

pub(crate) use self::ends::{Opened, SealedEnd, SealedId, has_left};
use super::Store;
use crate::{
    Error,
    disk::{Disk, ENDED, Op, SEALED_EPOCH, Ticket, Urgency},
    owner::OwnerHash,
    token::{Handle, Key},
};

/// XORed with an owner's hash, this makes the record key of the owner's epoch, and back. The hash alone could also be the
/// record key of a token: one whose random bytes are the owner hash's input.
const OF_OWNERS: [u8; 16] = *b"sessile epoch of";
/// How long a sealed session may be valid, whatever its timeouts: as long as browsers keep a cookie (RFC 6265bis, 5.5).
const LONGEST_MS: u64 = 400 * 86_400_000;

/// Epochs that may begin in a millisecond before they run ahead of the time.
const EPOCHS_PER_MS: u64 = 1 << 16;

/// One revocation, stored under the key of what it revokes.
#[derive(Clone, Copy, Default, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
#[rkyv(crate = sessile_codec::rkyv)]
struct StoredRevocation {
    /// 0: of a session.
    kind: u8,
    epoch: u64,
    /// Of the store: the lowest epoch that is accepted. Of an owner: the lowest epoch of the session that is kept.
    least: u64,
    /// Of an owner: the handle of the session that is kept, if any.
    kept: Option<u64>,
    /// Of a session: until when its old cookie leads to `to`, and whether it had no owner.
    grace_ms: u64,
    to: Option<[u8; 16]>,
    of_nobody: bool,
}

impl ModelPart for StoredRevocation {
    const SHAPE: &'static Shape = shape!(kind: u8,
        epoch: u64,
        least: u64,
        kept: Option<u64>,
        grace_ms: u64,
        to: Option<[u8; 16]>,
        of_nobody: bool);
}

impl Model for StoredRevocation {
    const TAG: Tag = Tag::new("revoked");
}

const OF_OWNER: u8 = 1;
const OF_STORE: u8 = 2;

/// A session that ended, or moved into the store.
#[derive(Clone, Copy)]
struct Revocation {
    /// Its key in the store, and until when its old cookie leads there.
    moved: Option<(Key, u64)>,
    /// A request is moving it into the store right now, and checks here again afterwards.
    is_moving: bool,
    of_nobody: bool,
}

/// An owner whose sessions were ended.
#[derive(Clone, Copy)]
struct OwnerRevocation {
    epoch: u64,
    /// The handle of the session that was kept, and the lowest epoch in which it is accepted.
    kept: Option<(Handle, u64)>,
    /// Until when anything that it refuses could be valid.
    until_ms: u64,
}

#[derive(Default)]
pub(super) struct Revoked {
    /// Whether any layer over this store ever sealed.
    in_use: AtomicBool,
    state: RwLock<State>,
    /// Owners are cut off one at a time, so that epochs reach the disk in order.
    cutting: Mutex<()>,
}

#[derive(Default)]
struct State {
    epoch: u64,
    /// Anything sealed in an earlier epoch is refused, whatever its owner.
    least: u64,
    sessions: HashMap<Key, Revocation>,
    of_nobody: usize,
    owners: HashMap<OwnerHash, OwnerRevocation>,
}

impl State {
    fn take(&mut self, key: Key, stored: &StoredRevocation, until_ms: u64) {
        match stored.kind {
            OF_OWNER => {
                let kept = stored.kept.map(|bits| (Handle::from_bits(bits), stored.least));
                self.owners.insert(turned(&key), OwnerRevocation { epoch: stored.epoch, kept, until_ms });
                self.epoch = self.epoch.max(stored.epoch);
            }
            OF_STORE => {
                self.epoch = self.epoch.max(stored.epoch);
                self.least = stored.least;
            }
            _ => {
                let moved = stored.to.map(|to| (to, stored.grace_ms));
                self.insert(key, Revocation { moved, is_moving: false, of_nobody: stored.of_nobody });
            }
        }
    }

    /// Begins another epoch.
    fn begin_epoch(&mut self, now_ms: u64) -> u64 {
        self.epoch = self.epoch.saturating_add(1).max(now_ms.saturating_mul(EPOCHS_PER_MS));
        self.epoch
    }

    fn insert(&mut self, key: Key, gone: Revocation) {
        self.of_nobody += usize::from(gone.of_nobody);
        if let Some(before) = self.sessions.insert(key, gone) {
            self.of_nobody -= usize::from(before.of_nobody);
        }
    }

    fn remove(&mut self, key: &Key) -> bool {
        let session = self.sessions.remove(key);
        self.of_nobody -= session.map_or(0, |gone| usize::from(gone.of_nobody));
        session.is_some()
    }

    /// The owner's epoch under `key` has expired, unless another has begun since. Returns false if there is none.
    fn expire_owner(&mut self, key: &Key, now_ms: u64) -> bool {
        let owner = turned(key);
        let Some(cut) = self.owners.get(&owner) else { return false };
        if cut.until_ms <= now_ms {
            self.owners.remove(&owner);
        }
        true
    }
}

impl Revoked {
    /// Loads the file's revocations. Returns the keys of those that could not be read, or an empty list if that is only the
    /// store's epoch.
    pub(super) fn load(&self, disk: &Disk) -> Result<Option<Vec<Key>>, Error> {
        let keys = disk.of_owner(&ENDED)?;
        let mut state = self.state.write();
        let (mut lost, mut has_epoch) = (Vec::new(), keys.is_empty() || keys.contains(&SEALED_EPOCH));
        for key in &keys {
            // The index of owners may list deleted records.
            let Some(found) = disk.load_end(key)? else { continue };
            let Some((record, stored)) = found.record.ok().and_then(|record| read(&record).map(|stored| (record, stored)))
            else {
                if *key == SEALED_EPOCH {
                    has_epoch = false;
                } else {
                    lost.push(*key);
                }
                continue;
            };
            state.take(*key, &stored, record.meta().deadline_ms());
            if found.is_outdated {
                // Otherwise the store could not be opened any more without an old key that no session needs: most revocations
                // are never rewritten.
                let meta = Meta { revision: 2, ..record.meta() };
                disk.enqueue(Op::Put { key: *key, record: record.with_meta(key, &meta) }, Urgency::Soon);
            }
        }
        self.in_use.store(keys.contains(&SEALED_EPOCH), Ordering::SeqCst);
        Ok((!lost.is_empty() || !has_epoch).then_some(lost))
    }

    /// The number of records in the file that are revocations.
    pub(super) fn len(&self) -> u64 {
        let state = self.state.read();
        let in_use = usize::from(self.is_in_use());
        (state.sessions.len() + state.owners.len() + in_use) as u64
    }

    /// Whether any layer over this store ever sealed.
    pub(super) fn is_in_use(&self) -> bool {
        self.in_use.load(Ordering::SeqCst)
    }

    /// The file has deleted the record under `key` because it expired. Returns false if that was no revocation.
    pub(super) fn expire(&self, key: &Key, now_ms: u64) -> bool {
        if !self.is_in_use() {
            return false;
        }
        let mut state = self.state.write();
        state.remove(key) || state.expire_owner(key, now_ms)
    }

    /// Until when the owner's epoch under `key` is kept, if there is one. The file may know only an earlier one.
    pub(super) fn deadline_ms(&self, key: &Key) -> Option<u64> {
        let is_in_use = self.is_in_use();
        is_in_use.then(|| self.state.read().owners.get(&turned(key)).map(|cut| cut.until_ms)).flatten()
    }
}

/// Converts an owner's hash to the record key of its epoch, and back.
fn turned(key: &[u8; 16]) -> [u8; 16] {
    std::array::from_fn(|at| key[at] ^ OF_OWNERS[at])
}

fn read(record: &Record) -> Option<StoredRevocation> {
    let entry = record.entry("revoked")?;
    let view = entry.view::<StoredRevocation>().ok()?;
    rkyv::deserialize::<StoredRevocation, rkyv::rancor::Error>(&*view).ok()
}

impl Store {
    /// Cuts off every session of `owner` that is sealed now, except the one that `kept` names. Does nothing if the store never
    /// sealed.
    pub(super) fn cut_off(&self, owner: &OwnerHash, kept: Option<&Handle>) -> Option<Ticket> {
        let revoked = &self.0.revoked;
        if !revoked.is_in_use() {
            return None;
        }
        let _cutting = revoked.cutting.lock();
        let mut state = revoked.state.write();
        let epoch = state.begin_epoch(self.now_ms());
        let before = state.owners.get(owner).copied();
        let kept = kept.map(|handle| match before.and_then(|cut| cut.kept) {
            Some((still, least)) if still == *handle => (still, least),
            _ => (*handle, before.map_or(0, |cut| cut.epoch)),
        });
        let until_ms = self.now_ms().saturating_add(LONGEST_MS);
        state.owners.insert(*owner, OwnerRevocation { epoch, kept, until_ms });
        let store_least = state.least;
        drop(state);
        self.put_epoch(epoch, store_least, false);
        let kept_bits = kept.map(|(handle, _)| handle.bits());
        let stored = StoredRevocation {
            kind: OF_OWNER,
            epoch,
            kept: kept_bits,
            least: kept.map_or(0, |(_, least)| least),
            ..StoredRevocation::default()
        };
        Some(self.put_revocation(turned(owner), until_ms, before.is_none(), &stored))
    }

    /// Ends every session that is sealed in a cookie, of any owner and layer. Sessions in the store stay.
    ///
    /// Call it if keys may have leaked, after changing them; and on a store that was restored from a backup, which does not
    /// know of later logouts. Always durable, and effective for the next request.
    ///
    /// # Examples
    /// ```
    /// # let store = sessile::testing::store();
    /// let session = store.session(None)?;
    /// session.insert("name", "Ada")?;
    /// session.save().wait()?;
    /// store.revoke_sealed().wait()?;
    /// assert!(store.session(session.token().as_ref())?.token().is_some(), "it is in the store, not in a cookie");
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn revoke_sealed(&self) -> crate::Ack {
        // Even if this file knows of no sealed session: it may be an older backup of a store that does.
        crate::Ack::new(self.cut_off_everybody(&self.0.revoked.cutting.lock()), ())
    }

    /// Refuses everything that was sealed until now with any earlier version of this file.
    fn cut_off_everybody(&self, _cutting: &MutexGuard<'_, ()>) -> Ticket {
        let mut state = self.0.revoked.state.write();
        let epoch = state.begin_epoch(self.now_ms());
        state.least = epoch;
        drop(state);
        let is_new = !self.0.revoked.in_use.swap(true, Ordering::SeqCst);
        self.put_epoch(epoch, epoch, is_new)
    }

    /// Revocations were lost: those under `lost` and possibly others. So everything that was sealed is refused.
    pub(super) fn cut_off_lost(&self, lost: &[Key]) {
        crate::log::lost_revocations();
        drop(self.cut_off_everybody(&self.0.revoked.cutting.lock()));
        // After the epoch, which covers them now. Otherwise each start would cut everything off again.
        for key in lost {
            self.0.disk.enqueue(Op::Delete { key: *key }, Urgency::Soon);
        }
    }

    fn put_epoch(&self, epoch: u64, least: u64, is_new: bool) -> Ticket {
        self.put_revocation(
            SEALED_EPOCH,
            u64::MAX,
            is_new,
            &StoredRevocation { kind: OF_STORE, epoch, least, ..StoredRevocation::default() },
        )
    }

    /// `is_new`: the file has no such revocation yet.
    fn put_revocation(&self, key: Key, until_ms: u64, is_new: bool, stored: &StoredRevocation) -> Ticket {
        let now_ms = self.now_ms();
        let meta = Meta {
            revision: if is_new { 1 } else { 2 },
            created_ms: now_ms,
            last_seen_ms: now_ms,
            idle_deadline_ms: until_ms,
            absolute_deadline_ms: until_ms,
            owner: ENDED,
            ..Meta::default()
        };
        let (mut patch, limits) = (Patch::new(), Limits::UNLIMITED);
        let entry = Entry::model(stored, &limits).expect("some numbers are within every limit");
        patch.set("revoked", entry, &limits).expect("the key is within every limit");
        let record = patch.apply(None, &key, &meta, &limits).expect("one small entry is within every limit");
        self.0.disk.enqueue(Op::Put { key, record }, Urgency::Now).1
    }
}
