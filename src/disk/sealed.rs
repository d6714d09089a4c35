//! A sealed record: its bytes on disk in an encrypted store.
//!
//! ```text
//! deadline, minute u32 | owner [16] | crc u32 | sealed record, see `src/keys/seal.rs`
//! ```
//!
//! The deadline and the owner are in clear, as in the indexes beside the record, so that expired sessions are removed and an
//! owner's are found with any keys. They are bound to the record as associated data, with the store's id and the record key: a
//! record that was moved to another key or store does not open. The CRC-32 covers the record key, the clear fields and the id
//! of the sealing key. It distinguishes damage from a missing key: the first makes a session absent, the second is an error.
//!
//! Invariant: every write draws its own nonce, so a record that is written to the journal and then to redb is sealed twice.

use sessile_codec::Record;
use zeroize::Zeroizing;

use super::{
    form::{IndexedFields, Unreadable},
    tables::{last_ms, minute},
};
use crate::{
    Error, Keys,
    error::SealKeyId,
    keys::{self, CannotOpen, HEAD, NAMES_KEY, SealRing},
    token::Key,
};

/// Deadline (4 bytes) and owner (16), which the sweep and the index of owners read without a key.
const CLEAR: usize = 20;
/// Bytes before the sealed part.
const START: usize = CLEAR + 4;
pub(super) const OVERHEAD: usize = START + keys::OVERHEAD;

/// Seals the records of one store.
#[derive(Debug)]
pub(super) struct RecordSealer {
    ring: SealRing,
    store_id: [u8; 16],
}

impl RecordSealer {
    pub(super) fn new(keys: &Keys, store_id: [u8; 16]) -> Self {
        Self { ring: SealRing::for_purpose(keys, "sessile encryption at rest"), store_id }
    }

    pub(super) fn write(&self, into: &mut [u8], key: &Key, record: &Record) -> Result<(), Error> {
        let (meta, bytes) = (record.meta(), record.bytes());
        into[..4].copy_from_slice(&minute(meta.deadline_ms()).to_le_bytes());
        into[4..CLEAR].copy_from_slice(&meta.owner);
        let associated = self.associated(key, &into[..CLEAR]);
        let sealed = &mut into[START..];
        sealed[HEAD..HEAD + bytes.len()].copy_from_slice(bytes);
        self.ring.seal_in_place(sealed, &associated)?;
        let crc = checksum(key, into);
        into[CLEAR..START].copy_from_slice(&crc.to_le_bytes());
        Ok(())
    }

    pub(super) fn open<'a>(&self, bytes: &'a mut [u8], key: &Key) -> Result<&'a [u8], Unreadable> {
        if bytes.len() < OVERHEAD {
            return Err(Unreadable::Altered);
        }
        // Damage to the key id would look like a missing key.
        let is_sound = bytes[CLEAR..START] == checksum(key, bytes).to_le_bytes();
        let associated = self.associated(key, &bytes[..CLEAR]);
        match self.ring.open_in_place(&mut bytes[START..], &associated) {
            Ok(record) => Ok(record),
            Err(CannotOpen::UnknownKey(id)) if is_sound => Err(Unreadable::UnknownKey(id)),
            Err(CannotOpen::OtherVersion(found)) if is_sound => Err(Unreadable::OtherSeal(found)),
            Err(_) => Err(Unreadable::Altered),
        }
    }

    /// Returns the ids of the keys, for messages.
    pub(super) fn ids(&self) -> Box<[SealKeyId]> {
        self.ring.ids()
    }

    #[cfg(feature = "sealed")]
    pub(super) fn is_outdated(&self, bytes: &[u8]) -> bool {
        bytes.get(START..).is_some_and(|sealed| self.ring.is_outdated(sealed))
    }

    /// Seals a secret of the store for its `meta` table.
    pub(super) fn seal_secret(&self, secret: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut sealed = Zeroizing::new(vec![0; secret.len() + keys::OVERHEAD]);
        sealed[HEAD..HEAD + secret.len()].copy_from_slice(secret);
        self.ring.seal_in_place(&mut sealed, &self.store_id)?;
        Ok(sealed)
    }

    /// Returns the secret, and whether it should be sealed again because an old key sealed it.
    pub(super) fn open_secret(&self, sealed: &[u8]) -> Result<(Zeroizing<Vec<u8>>, bool), CannotOpen> {
        let mut bytes = Zeroizing::new(sealed.to_vec());
        let secret = Zeroizing::new(self.ring.open_in_place(&mut bytes, &self.store_id)?.to_vec());
        Ok((secret, self.ring.is_outdated(sealed)))
    }

    fn associated(&self, key: &Key, clear: &[u8]) -> [u8; 32 + CLEAR] {
        let mut associated = [0; 32 + CLEAR];
        associated[..16].copy_from_slice(&self.store_id);
        associated[16..32].copy_from_slice(key);
        associated[32..].copy_from_slice(clear);
        associated
    }
}

pub(super) fn outline(bytes: &[u8]) -> Option<IndexedFields> {
    let clear = bytes.first_chunk::<CLEAR>()?;
    let (minute, owner) = clear.split_first_chunk()?;
    Some(IndexedFields { deadline_ms: last_ms(u32::from_le_bytes(*minute)), owner: owner.try_into().ok()? })
}

/// Returns the CRC-32 of the record key, the clear fields, and the id of the sealing key in the sealed part.
fn checksum(key: &Key, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(&bytes[..CLEAR]);
    hasher.update(&bytes[START..START + NAMES_KEY]);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use sessile_codec::{Limits, Meta, Patch};

    use super::*;
    use crate::disk::form::AtRest;

    const KEY: Key = [5; 16];
    const STORE: [u8; 16] = [6; 16];

    fn form(secret: u8, store_id: [u8; 16]) -> AtRest {
        AtRest::Sealed(Box::new(RecordSealer::new(&Keys::from([secret; 32]), store_id)))
    }

    fn record() -> Record {
        let meta = Meta { idle_deadline_ms: 90_000, absolute_deadline_ms: u64::MAX, owner: [8; 16], ..Meta::default() };
        Patch::new().apply(None, &KEY, &meta, &Limits::default()).unwrap()
    }

    fn sealed(form: &AtRest) -> Vec<u8> {
        let mut bytes = vec![0; form.len_bytes(&record())];
        form.write(&mut bytes, &KEY, &record()).unwrap();
        bytes
    }

    #[test]
    fn every_changed_bit_and_every_cut_is_damage() {
        let (ours, bytes) = (form(1, STORE), sealed(&form(1, STORE)));
        assert_eq!(ours.read(&bytes, &KEY).unwrap().bytes(), record().bytes());
        for bit in 0..bytes.len() * 8 {
            let mut forged = bytes.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            // The checksum only distinguishes damage from a missing key; with the key it has no effect.
            let is_checksum = (CLEAR * 8..START * 8).contains(&bit);
            assert_eq!(ours.is_damaged(&forged, &KEY), !is_checksum, "bit {bit}");
            assert_eq!(ours.read(&forged, &KEY).is_ok(), is_checksum, "bit {bit}");
        }
        // Unless the version is another release's and the checksum fits.
        let mut newer = bytes.clone();
        newer[START] += 1;
        let crc = checksum(&KEY, &newer).to_le_bytes();
        newer[CLEAR..START].copy_from_slice(&crc);
        assert!(matches!(ours.read(&newer, &KEY), Err(Unreadable::OtherSeal(_))) && !ours.is_damaged(&newer, &KEY));
        for len in 0..bytes.len() {
            assert!(ours.is_damaged(&bytes[..len], &KEY), "{len} bytes");
        }
        assert!(ours.is_damaged(record().bytes(), &KEY), "nothing that is plain is read");
    }

    #[test]
    fn it_opens_under_its_key_and_in_its_store_alone() {
        let bytes = sealed(&form(1, STORE));
        // Checked by the seal alone, without the record's own checksum.
        let opens = |store_id, key| RecordSealer::new(&Keys::from([1; 32]), store_id).open(&mut bytes.clone(), key).is_ok();
        assert!(opens(STORE, &KEY));
        assert!(!opens(STORE, &[4; 16]) && !opens([7; 16], &KEY));
        assert!(AtRest::Plain.is_damaged(&bytes, &KEY));
    }

    #[test]
    fn a_missing_key_is_no_damage_and_damage_is_no_missing_key() {
        let (other, bytes) = (form(2, STORE), sealed(&form(1, STORE)));
        let id = Keys::from([1; 32]).seal_ids().next().unwrap();
        assert!(matches!(other.read(&bytes, &KEY), Err(Unreadable::UnknownKey(found)) if found == id));
        assert!(!other.is_damaged(&bytes, &KEY));
        for bit in START * 8..(START + NAMES_KEY) * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(form(1, STORE).is_damaged(&damaged, &KEY) && other.is_damaged(&damaged, &KEY), "bit {bit}");
        }
        assert!(other.is_damaged(&bytes, &[4; 16]), "it belongs elsewhere");
    }

    #[test]
    fn what_stands_in_clear_is_what_the_record_says() {
        for (deadline_ms, expected_ms) in [(0, 59_999), (90_000, 119_999), (119_999, 119_999), (u64::MAX, u64::MAX)] {
            let meta =
                Meta { idle_deadline_ms: deadline_ms, absolute_deadline_ms: u64::MAX, owner: [8; 16], ..Meta::default() };
            let form = form(1, STORE);
            let record = record().with_meta(&KEY, &meta);
            let mut bytes = vec![0; form.len_bytes(&record)];
            form.write(&mut bytes, &KEY, &record).unwrap();
            let outline = form.outline(&bytes).unwrap();
            assert_eq!((outline.deadline_ms, outline.owner), (expected_ms, [8; 16]));
        }
        assert!(form(1, STORE).outline(&[0; CLEAR - 1]).is_none());
    }
}
