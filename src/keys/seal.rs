//! Sealing bytes for a place where they may neither be read nor changed.
//!
//! Facts behind it: XChaCha20-Poly1305, by RustCrypto's `chacha20poly1305`. Its nonces have 192 bits, so random ones never meet:
//! after 2^64 seals by one key the chance is still below 2^-64, where 96-bit nonces, as of AES-GCM, allow 2^32 seals (NIST SP
//! 800-38D, 8.3). Nothing has to be counted, which a restored backup or a resumed virtual machine would count twice. AES-GCM-SIV
//! would forgive a nonce used twice, which only a broken generator of the operating system makes, and is slow, or not of constant
//! time, on the small boards without AES instructions.
//!
//! ```text
//! version u8 | key id [4] | nonce [24] | ciphertext | tag [16]
//! ```
//!
//! Invariants: a key is found by its id, never by trial; what does not open is nothing, whatever else it might be read as; what is
//! bound to a seal must be the same when it is opened; each purpose has keys of its own, derived from the application's, so that
//! nothing sealed for one passes for another; keys are overwritten when they are dropped.

use std::fmt;

use chacha20poly1305::{
    KeyInit, Tag, XChaCha20Poly1305, XNonce,
    aead::{AeadInOut, inout::InOutBuf},
};
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

use super::Keys;
use crate::{Error, token::random_bytes};

/// The layout that this build writes and reads.
pub(crate) const VERSION: u8 = 1;
const ID: usize = 4;
const NONCE: usize = 24;
const TAG: usize = 16;
/// Bytes before the ciphertext.
pub(crate) const HEAD: usize = 1 + ID + NONCE;
/// Bytes that a seal adds.
pub(crate) const OVERHEAD: usize = HEAD + TAG;
/// Bytes that say whether a key could open a seal.
pub(crate) const NAMES_KEY: usize = 1 + ID;

/// What messages call a key that seals: 32 bits that are derived from it and tell nothing of it. They stand beside what it sealed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SealKeyId([u8; ID]);

impl fmt::Display for SealKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Debug for SealKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealKeyId({self})")
    }
}

/// One key. It is overwritten when it is dropped.
#[derive(Clone)]
pub(super) struct SealKey {
    key: [u8; 32],
    id: [u8; ID],
}

impl SealKey {
    /// The key of a secret of any length, another one than the secret's MAC key.
    pub(super) fn derive(secret: &[u8]) -> Self {
        let key: [u8; 32] = Sha256::new_with_prefix(b"sessile seal key").chain_update(secret).finalize().into();
        let id = Sha256::new_with_prefix(b"sessile seal key id").chain_update(key).finalize();
        Self { key, id: *id.first_chunk().expect("a SHA-256 has 32 bytes") }
    }

    /// Another key of the same id.
    #[cfg(feature = "encryption")]
    fn for_purpose(&self, purpose: &str) -> Self {
        let key: [u8; 32] = Sha256::new_with_prefix(purpose).chain_update(self.key).finalize().into();
        Self { key, id: self.id }
    }

    pub(super) fn id(&self) -> SealKeyId {
        SealKeyId(self.id)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&self.key).into())
    }
}

impl Drop for SealKey {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

/// The keys that seal and open: the first seals, all open.
#[derive(Clone)]
pub(crate) struct SealRing(Vec<SealKey>);

/// Why something does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CannotOpen {
    /// It has another layout: another release sealed it.
    OtherVersion(u8),
    /// The key that it names is not in the ring.
    UnknownKey(SealKeyId),
    /// It was changed, is bound to something else, or was never sealed.
    Altered,
}

impl SealRing {
    /// The ring of `keys`, which have been checked: there is at least one. For cookies; for anything else there is
    /// [`for_purpose`](Self::for_purpose).
    #[cfg(feature = "sealed")]
    pub(crate) fn of(keys: &Keys) -> Self {
        Self(keys.seals.clone())
    }

    /// The same, for another purpose. No other use of the keys may have the same one.
    #[cfg(feature = "encryption")]
    pub(crate) fn for_purpose(keys: &Keys, purpose: &str) -> Self {
        Self(keys.seals.iter().map(|key| key.for_purpose(purpose)).collect())
    }

    /// Seals `content`, bound to `bound`.
    #[cfg(feature = "sealed")]
    pub(crate) fn seal(&self, content: &[u8], bound: &[u8]) -> Result<Vec<u8>, Error> {
        let mut sealed = vec![0; content.len() + OVERHEAD];
        sealed[HEAD..HEAD + content.len()].copy_from_slice(content);
        self.seal_in_place(&mut sealed, bound)?;
        Ok(sealed)
    }

    /// Seals what stands in `sealed` between its first [`HEAD`] bytes and its last 16, bound to `bound`.
    pub(crate) fn seal_in_place(&self, sealed: &mut [u8], bound: &[u8]) -> Result<(), Error> {
        let (key, nonce) = (&self.0[0], random_bytes::<NONCE>()?);
        let (head, rest) = sealed.split_at_mut(HEAD);
        let (content, tag) = rest.split_at_mut(rest.len() - TAG);
        head[0] = VERSION;
        head[1..NAMES_KEY].copy_from_slice(&key.id);
        head[NAMES_KEY..].copy_from_slice(&nonce);
        let made = key.cipher().encrypt_inout_detached(&XNonce::from(nonce), bound, InOutBuf::from(content));
        tag.copy_from_slice(&made.expect("nothing that is sealed is near the 256 GiB that one nonce allows"));
        Ok(())
    }

    /// Opens `sealed` where it lies, and gives its content.
    pub(crate) fn open_in_place<'a>(&self, sealed: &'a mut [u8], bound: &[u8]) -> Result<&'a [u8], CannotOpen> {
        let (head, rest) = sealed.split_first_chunk_mut::<HEAD>().ok_or(CannotOpen::Altered)?;
        let (content, tag) = rest.split_last_chunk_mut::<TAG>().ok_or(CannotOpen::Altered)?;
        let (names_key, nonce) = head.split_first_chunk::<NAMES_KEY>().ok_or(CannotOpen::Altered)?;
        let [version, id @ ..] = *names_key;
        let nonce = XNonce::try_from(nonce).map_err(|_| CannotOpen::Altered)?;
        if version != VERSION {
            return Err(CannotOpen::OtherVersion(version));
        }
        let mut why = CannotOpen::UnknownKey(SealKeyId(id));
        // Two keys share an id once in four billion.
        for key in self.0.iter().filter(|key| key.id == id) {
            // A failed check leaves the bytes as they were.
            if key.cipher().decrypt_inout_detached(&nonce, bound, InOutBuf::from(&mut *content), &Tag::from(*tag)).is_ok() {
                return Ok(content);
            }
            why = CannotOpen::Altered;
        }
        Err(why)
    }

    /// Whether a seal that begins so can be opened by a key of this ring.
    #[cfg(feature = "sealed")]
    pub(crate) fn knows(&self, head: [u8; NAMES_KEY]) -> bool {
        let [version, id @ ..] = head;
        version == VERSION && self.0.iter().any(|key| key.id == id)
    }

    /// What messages call the keys.
    #[cfg(feature = "encryption")]
    pub(crate) fn ids(&self) -> Box<[SealKeyId]> {
        self.0.iter().map(SealKey::id).collect()
    }

    /// Whether what begins so was sealed with another key than the one that seals now.
    #[cfg(feature = "encryption")]
    pub(crate) fn is_outdated(&self, sealed: &[u8]) -> bool {
        sealed.get(1..NAMES_KEY) != Some(&self.0[0].id)
    }
}

impl fmt::Debug for SealRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealRing({} keys, [redacted])", self.0.len())
    }
}

#[cfg(all(test, feature = "encryption", feature = "sealed"))]
mod tests {
    use super::*;

    fn ring(primary: u8, old: &[u8]) -> SealRing {
        SealRing::for_purpose(&keys(primary, old), "test")
    }

    fn keys(primary: u8, old: &[u8]) -> Keys {
        old.iter().fold(Keys::from([primary; 32]), |keys, old| keys.accept([*old; 32]))
    }

    fn sealed(ring: &SealRing, content: &[u8], bound: &[u8]) -> Vec<u8> {
        let mut sealed = vec![0; content.len() + OVERHEAD];
        sealed[HEAD..HEAD + content.len()].copy_from_slice(content);
        ring.seal_in_place(&mut sealed, bound).unwrap();
        sealed
    }

    fn opened(ring: &SealRing, sealed: &[u8], bound: &[u8]) -> Result<Vec<u8>, CannotOpen> {
        ring.open_in_place(&mut sealed.to_vec(), bound).map(<[u8]>::to_vec)
    }

    #[test]
    fn what_is_sealed_opens_and_shows_nothing() {
        let ring = ring(1, &[2, 3]);
        for content in [&b""[..], b"x", &[b'a'; 1000]] {
            let bytes = sealed(&ring, content, b"bound");
            assert_eq!(opened(&ring, &bytes, b"bound").as_deref(), Ok(content));
            assert!(!bytes.windows(8).any(|window| window == [b'a'; 8]));
        }
        let seals: std::collections::HashSet<_> = (0..1000).map(|_| sealed(&ring, b"same", b"")).collect();
        assert_eq!(seals.len(), 1000, "equal contents give unequal seals");
    }

    #[test]
    fn every_changed_bit_every_cut_and_every_other_place_is_refused() {
        let ring = ring(1, &[2, 3]);
        let bytes = sealed(&ring, b"content", b"bound");
        for bit in 0..bytes.len() * 8 {
            let mut forged = bytes.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            let is_id = (8..NAMES_KEY * 8).contains(&bit);
            assert_eq!(matches!(opened(&ring, &forged, b"bound"), Err(CannotOpen::UnknownKey(_))), is_id, "bit {bit}");
            assert!(opened(&ring, &forged, b"bound").is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(opened(&ring, &bytes[..len], b"bound").is_err(), "{len} bytes");
            assert!(opened(&ring, &bytes[bytes.len() - len..], b"bound").is_err(), "the last {len} bytes");
        }
        for bound in [&b"Bound"[..], b"", b"bound "] {
            assert_eq!(opened(&ring, &bytes, bound), Err(CannotOpen::Altered));
        }
    }

    #[test]
    fn a_seal_of_another_release_is_told_by_its_layout() {
        let ring = ring(1, &[]);
        let mut bytes = sealed(&ring, b"content", b"");
        bytes[0] = VERSION + 1;
        assert_eq!(opened(&ring, &bytes, b""), Err(CannotOpen::OtherVersion(VERSION + 1)));
    }

    #[test]
    fn old_keys_open_and_the_first_seals() {
        let (old, both, new) = (ring(1, &[]), ring(2, &[1]), ring(2, &[]));
        let by_old = sealed(&old, b"x", b"");
        let id = keys(1, &[]).seal_ids().next().unwrap();
        assert_eq!(opened(&new, &by_old, b""), Err(CannotOpen::UnknownKey(id)));
        assert!(opened(&both, &by_old, b"").is_ok() && both.is_outdated(&by_old));
        let by_both = sealed(&both, b"x", b"");
        assert!(opened(&old, &by_both, b"").is_err());
        assert!(opened(&new, &by_both, b"").is_ok() && !both.is_outdated(&by_both));
        // A seal that is moved to another key of the ring does not open, so there is no weaker one to choose.
        let mut moved = by_both;
        moved[1..NAMES_KEY].copy_from_slice(&old.0[0].id);
        assert_eq!(opened(&both, &moved, b""), Err(CannotOpen::Altered));
    }

    #[test]
    fn what_is_sealed_for_one_purpose_does_not_open_for_another() {
        let keys = keys(1, &[]);
        let bytes = sealed(&SealRing::for_purpose(&keys, "one"), b"x", b"");
        assert_eq!(opened(&SealRing::for_purpose(&keys, "other"), &bytes, b""), Err(CannotOpen::Altered));
    }

    /// What a release wrote, every later one opens.
    #[test]
    fn a_seal_of_the_first_release_opens() {
        let ring = SealRing::of(&keys(9, &[7]));
        let bytes = include_bytes!("seal.golden");
        assert!(ring.knows(*bytes.first_chunk().unwrap()) && !SealRing::of(&keys(9, &[])).knows(*bytes.first_chunk().unwrap()));
        assert_eq!(opened(&ring, bytes, b"bound").unwrap(), b"a session of version 1");
        assert_eq!(opened(&ring, &ring.seal(b"content", b"bound").unwrap(), b"bound").unwrap(), b"content");
    }

    #[test]
    fn g8_debug_prints_no_key() {
        assert_eq!(format!("{:?}", ring(1, &[2])), "SealRing(2 keys, [redacted])");
        let id = keys(1, &[]).seal_ids().next().unwrap();
        assert_eq!(format!("{id:?}"), format!("SealKeyId({id})"));
        assert_eq!(id.to_string().len(), 8);
    }
}
