//! The ends of sessions that are not in the store, but sealed in their clients' cookies.
//!
//! What a client holds cannot be deleted, so the store keeps what must not be believed any more: a revocation for each such session
//! that ended, and for an owner whose sessions were all ended an *epoch*. Every end of an owner's sessions begins a new epoch of the
//! store; a sealed session carries the epoch that it was sealed in, and is refused if its owner's is later. An epoch is the time at which
//! it began, and not a count: a crash or a restored backup forgets epochs in which sessions were sealed, and none that begins
//! after it may be one of those again.
//!
//! Invariants:
//! - A revocation is effective for the next look of any thread, and on disk before it is acknowledged; what was sealed before it is
//!   refused for as long as it could be valid: no timeouts change under one id, and nothing sealed is valid for longer than 400 days.
//! - Nothing here is read from the disk after the store was opened: a sealed session costs no I/O.
//! - What the store cannot remember, it refuses: a damaged revocation cuts off everything sealed before; too many of nobody's
//!   sessions, all of those.
//! - No token leads to a revocation: its record key is no hash of one.
//!
//! On disk a revocation is a record like a session's, of an owner that no application has: so it is journaled, found when the store
//! is opened, and swept when its time is over, as sessions are.

#[cfg(feature = "sealed")]
mod sealed;

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
};

use parking_lot::{Mutex, MutexGuard, RwLock};
use sessile_codec::{Entry, Limits, Meta, Model, Patch, Record, Tag, rkyv};

#[cfg(feature = "sealed")]
pub(crate) use self::sealed::{Opened, SealedEnd, SealedId, has_left};
use super::Store;
use crate::{
    Error,
    disk::{Disk, ENDED, Op, Ticket, Urgency},
    token::{Handle, Key},
};

/// What turns an owner's hash into the record key of its epoch, and back. The hash itself would be the record key of a token too, of
/// one whose random bytes are what the owner's hash is of.
const OF_OWNERS: [u8; 16] = *b"sessile epoch of";
/// Where the store's epoch stands.
const EPOCH: Key = [0xff; 16];
/// How long what is sealed may be valid, whatever its timeouts: as long as browsers keep a cookie (RFC 6265bis, 5.5).
const LONGEST_MS: u64 = 400 * 86_400_000;

/// Epochs that may begin in a millisecond before they run ahead of the time.
const EPOCHS_PER_MS: u64 = 1 << 16;

/// One revocation, as it is stored under what it is about.
#[derive(Clone, Copy, Default, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
#[rkyv(crate = sessile_codec::rkyv)]
struct StoredRevocation {
    /// 0: of a session.
    kind: u8,
    epoch: u64,
    /// Of the store: the least epoch that is believed. Of an owner: that of the session which is kept.
    least: u64,
    /// Of an owner: the handle of the session that is kept, if there is one.
    kept: Option<u64>,
    /// Of a session: until when its old cookie leads to `to`, and whether it was nobody's.
    grace_ms: u64,
    to: Option<[u8; 16]>,
    of_nobody: bool,
}

impl Model for StoredRevocation {
    const TAG: Tag = Tag::new("revoked");
}

const OF_OWNER: u8 = 1;
const OF_STORE: u8 = 2;

/// A session that ended, or moved into the store.
#[derive(Clone, Copy)]
#[cfg_attr(not(feature = "sealed"), expect(dead_code, reason = "only who opens sealed sessions looks"))]
struct Revocation {
    /// Where it is now, and until when its old cookie leads there.
    moved: Option<(Key, u64)>,
    /// A request is taking it into the store just now, and looks here again when it has.
    is_moving: bool,
    of_nobody: bool,
}

/// An owner whose sessions were ended.
#[derive(Clone, Copy)]
struct OwnerRevocation {
    epoch: u64,
    /// The session that was kept, if it was sealed in this epoch or later.
    kept: Option<(Handle, u64)>,
    /// Until when what it refuses could be valid.
    until_ms: u64,
}

#[derive(Default)]
pub(super) struct Revoked {
    /// Whether any layer over this store ever sealed.
    in_use: AtomicBool,
    state: RwLock<State>,
    /// One owner is cut off at a time, so that epochs reach the disk in their order.
    cutting: Mutex<()>,
}

#[derive(Default)]
struct State {
    epoch: u64,
    /// What was sealed in an earlier one is refused, whoever's it is.
    least: u64,
    sessions: HashMap<Key, Revocation>,
    of_nobody: usize,
    owners: HashMap<[u8; 16], OwnerRevocation>,
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

    /// The time of the owner's epoch under `key` is over, unless another has begun since. `false`: there is none.
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
    /// What the file knows. Also gives what could not be read, if not all of it could.
    pub(super) fn load(&self, disk: &Disk) -> Result<Option<Vec<Key>>, Error> {
        let keys = disk.of_owner(&ENDED)?;
        let mut state = self.state.write();
        let (mut lost, is_counted) = (Vec::new(), keys.is_empty() || keys.contains(&EPOCH));
        for key in &keys {
            // The index of owners may list what is gone.
            let Some(found) = disk.load_end(key)? else { continue };
            let Some((record, stored)) = found.record.ok().and_then(|record| read(&record).map(|stored| (record, stored)))
            else {
                lost.push(*key);
                continue;
            };
            state.take(*key, &stored, record.meta().deadline_ms());
            if found.is_outdated {
                // Or a store could not be opened any more without a key that no session needs: most of these are never written again.
                let meta = Meta { revision: 2, ..record.meta() };
                disk.enqueue(Op::Put { key: *key, record: record.with_meta(key, &meta) }, Urgency::Soon);
            }
        }
        self.in_use.store(!keys.is_empty(), Ordering::SeqCst);
        Ok((!lost.is_empty() || !is_counted).then_some(lost))
    }

    /// How many records of the file are revocations.
    pub(super) fn len(&self) -> u64 {
        let state = self.state.read();
        let in_use = usize::from(self.is_in_use());
        (state.sessions.len() + state.owners.len() + in_use) as u64
    }

    /// Whether any layer over this store ever sealed.
    pub(super) fn is_in_use(&self) -> bool {
        self.in_use.load(Ordering::SeqCst)
    }

    /// The file has deleted what is under `key`, because its time is over by now. `false`: that was no revocation.
    pub(super) fn expire(&self, key: &Key, now_ms: u64) -> bool {
        if !self.is_in_use() {
            return false;
        }
        let mut state = self.state.write();
        state.remove(key) || state.expire_owner(key, now_ms)
    }

    /// Until when the owner's epoch under `key` is kept, if there is one: the file may have heard of an earlier one only.
    pub(super) fn deadline_ms(&self, key: &Key) -> Option<u64> {
        let is_in_use = self.is_in_use();
        is_in_use.then(|| self.state.read().owners.get(&turned(key)).map(|cut| cut.until_ms)).flatten()
    }
}

/// The record key of an owner's epoch; and the owner's hash, of that.
fn turned(key: &[u8; 16]) -> [u8; 16] {
    std::array::from_fn(|at| key[at] ^ OF_OWNERS[at])
}

fn read(record: &Record) -> Option<StoredRevocation> {
    let entry = record.entry("revoked")?;
    let view = entry.view::<StoredRevocation>().ok()?;
    rkyv::deserialize::<StoredRevocation, rkyv::rancor::Error>(&*view).ok()
}

impl Store {
    /// Cuts off every session of `owner` that is sealed now, but the one that `kept` names. A store that never sealed has none.
    pub(super) fn cut_off(&self, owner: &[u8; 16], kept: Option<&Handle>) -> Option<Ticket> {
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

    /// Ends every session that travels sealed in a cookie, of whatever owner and layer. Sessions in the store go on.
    ///
    /// For when keys may have leaked: change them first; and for a store that was restored from a backup, which knows of no
    /// later logout. Durable whatever the store's class, and effective for the next request.
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
        // Also by a file that knows of no sealed session: an older backup was one of a store that did.
        crate::Ack::new(self.cut_off_everybody(&self.0.revoked.cutting.lock()), ())
    }

    /// Refuses whatever was sealed until now, by whatever this file was before.
    fn cut_off_everybody(&self, _cutting: &MutexGuard<'_, ()>) -> Ticket {
        let mut state = self.0.revoked.state.write();
        let epoch = state.begin_epoch(self.now_ms());
        state.least = epoch;
        drop(state);
        let is_new = !self.0.revoked.in_use.swap(true, Ordering::SeqCst);
        self.put_epoch(epoch, epoch, is_new)
    }

    /// Revocations are gone, those under `lost` and who knows what else: whatever was sealed is refused.
    pub(super) fn cut_off_lost(&self, lost: &[Key]) {
        crate::log::lost_revocations();
        drop(self.cut_off_everybody(&self.0.revoked.cutting.lock()));
        // After the epoch, which stands for them now; or each start would do so again.
        for key in lost.iter().filter(|key| **key != EPOCH) {
            self.0.disk.enqueue(Op::Delete { key: *key }, Urgency::Soon);
        }
    }

    fn put_epoch(&self, epoch: u64, least: u64, is_new: bool) -> Ticket {
        self.put_revocation(
            EPOCH,
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
