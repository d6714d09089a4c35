//! The keys: MAC keys, with which a store recognizes its tokens before any I/O, and keys for encryption.
//!
//! Facts: the MAC is SipHash-2-4, made for short inputs (Aumasson and Bernstein, 2012). A tag has eight bytes: 56 bits of MAC
//! and the 8-bit id of the key, which is derived from the key. The id costs 8 bits: one of 2^56 forged tokens reaches the disk,
//! and finds nothing there. The MAC is a shield, not the lock: the lock is the token's 128 random bits. In return a token is
//! checked only with the keys of its id, however many the ring has; two keys share an id once in 256.
//!
//! Invariants: the first key signs, all verify. The client cannot choose the key that verifies a tag, because each key has one
//! id. Keys are overwritten when they are dropped.

#[cfg(any(feature = "encryption", feature = "sealed"))]
mod seal;

use std::fmt;

use sha2::{Digest, Sha256};
use siphasher::sip::SipHasher24;
use zeroize::{Zeroize, Zeroizing};

#[cfg(any(feature = "encryption", feature = "sealed"))]
pub use self::seal::SealKeyId;
#[cfg(feature = "encryption")]
pub(crate) use self::seal::{CannotOpen, HEAD, VERSION};
#[cfg(any(feature = "encryption", feature = "sealed"))]
pub(crate) use self::seal::{NAMES_KEY, OVERHEAD, SealRing};
#[cfg(any(test, feature = "device-bound"))]
use crate::token::RANDOM;
use crate::{
    Error, Token,
    token::{TAG, random_bytes},
};

/// The length that a secret of the application needs.
const LEAST_BYTES: usize = 32;
/// The key id follows the MAC.
const MAC_BITS: u32 = 56;

/// Keys of the application: one that signs and encrypts, and older ones that still verify and decrypt.
/// [`Builder::keys`](crate::Builder::keys) derives MAC keys from them. `Builder::encrypt` (feature `encryption`) and
/// `SessionLayer::sealed_cookies` (feature `sealed`) derive keys that encrypt sessions. All three may use the same keys.
///
/// Generate at least 32 random bytes, for example with `openssl rand -hex 32`, whose 64 characters can be used as they are.
/// Keep them with your other secrets. To replace a key, sign with the new one and accept the old one until the last session
/// made with it has ended, at the latest after the absolute timeout: no user is logged out.
///
/// With a leaked MAC key, an attacker cannot log in: forged tokens only reach the disk, and find nothing there. With the keys
/// and the files of an encrypted store, an attacker can read it; without the keys, not. With the keys of sealed cookies, an
/// attacker can read each of them, and write one for any user.
///
/// Keys are overwritten in memory when the store and its builder are dropped, and not printed by `Debug`.
///
/// # Examples
/// ```
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("sessions.redb");
/// use sessile::{Keys, Store};
/// # let (this_year, last_year) = ([1; 32], [0; 32]);
///
/// let store = Store::builder().keys(Keys::from(this_year).accept(last_year)).open(&path)?;
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "keys do nothing until they are passed to the builder"]
pub struct Keys {
    macs: Vec<MacKey>,
    #[cfg(any(feature = "encryption", feature = "sealed"))]
    seals: Vec<seal::SealKey>,
    /// Length of the shortest secret.
    shortest_bytes: usize,
}

impl<K: AsRef<[u8]>> From<K> for Keys {
    /// `primary` signs and encrypts.
    fn from(primary: K) -> Self {
        let none = Self {
            macs: Vec::new(),
            #[cfg(any(feature = "encryption", feature = "sealed"))]
            seals: Vec::new(),
            shortest_bytes: usize::MAX,
        };
        none.accept(primary)
    }
}

impl Keys {
    /// Accepts tokens that were signed with `old`, and decrypts what was encrypted with it.
    pub fn accept(mut self, old: impl AsRef<[u8]>) -> Self {
        self.shortest_bytes = self.shortest_bytes.min(old.as_ref().len());
        self.macs = with(&self.macs, MacKey::derive(old.as_ref()));
        #[cfg(any(feature = "encryption", feature = "sealed"))]
        {
            self.seals = with(&self.seals, seal::SealKey::derive(old.as_ref()));
        }
        self
    }

    /// Returns the ids of the keys in errors about encrypted data, the encrypting key first.
    #[cfg(any(feature = "encryption", feature = "sealed"))]
    pub fn seal_ids(&self) -> impl ExactSizeIterator<Item = SealKeyId> {
        self.seals.iter().map(seal::SealKey::id)
    }

    /// Whether every key is long enough.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let found_bytes = self.shortest_bytes;
        if found_bytes < LEAST_BYTES { Err(Error::ShortKey { found_bytes, least_bytes: LEAST_BYTES }) } else { Ok(()) }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({} keys, [redacted])", self.macs.len())
    }
}

/// Returns `keys` and one more. A vector that grows in place, or whose content is moved out, leaves its content behind, where
/// it would not be overwritten.
fn with<K: Clone>(keys: &[K], another: K) -> Vec<K> {
    let mut all = Vec::with_capacity(keys.len() + 1);
    all.extend_from_slice(keys);
    all.push(another);
    all
}

/// The keys in use.
pub(crate) struct KeyRing {
    keys: Vec<MacKey>,
}

impl KeyRing {
    pub(crate) fn generate() -> Result<Self, Error> {
        Ok(Self { keys: vec![MacKey::new(random_bytes()?)] })
    }

    /// Returns the application's keys, followed by the store's own: tokens from before there were others stay valid.
    pub(crate) fn of(keys: &Keys, stored: &Self) -> Self {
        Self { keys: [&keys.macs[..], &stored.keys[..]].concat() }
    }

    /// Reads a ring from the bytes of [`KeyRing::to_bytes`]; `None` if the length is wrong.
    #[expect(clippy::needless_pass_by_value, reason = "the bytes are to be gone when the ring is there")]
    pub(crate) fn from_bytes(bytes: Zeroizing<Vec<u8>>) -> Option<Self> {
        let (keys, rest) = bytes.as_chunks();
        (rest.is_empty() && !keys.is_empty()).then(|| Self { keys: keys.iter().copied().map(MacKey::new).collect() })
    }

    pub(crate) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Vec::with_capacity(self.keys.len() * size_of::<[u8; 16]>());
        self.keys.iter().for_each(|key| bytes.extend_from_slice(&*key.key));
        Zeroizing::new(bytes)
    }

    /// Issues a new token from the operating system's randomness: a generator of our own could repeat itself after a fork or in
    /// a resumed VM.
    pub(crate) fn issue(&self) -> Result<Token, Error> {
        let random = random_bytes()?;
        Ok(Token::new(&random, self.keys[0].tag(&random)))
    }

    /// Whether this store, or one with the same keys, issued the token.
    pub(crate) fn verify(&self, token: &Token) -> bool {
        // Eight bytes are compared as one integer: in constant time.
        let found = u64::from_le_bytes(token.tag());
        self.keys_of(token.tag()).any(|key| u64::from_le_bytes(key.tag(token.random())) == found)
    }

    /// Returns the tag of a message that is not as long as a token's random bytes, so that none is taken for the other.
    #[cfg(feature = "device-bound")]
    pub(crate) fn sign<const N: usize>(&self, message: &[u8; N]) -> [u8; TAG] {
        const { assert!(N != RANDOM, "a message could be a token") };
        self.keys[0].tag(message)
    }

    /// Whether this store, or one with the same keys, made the tag of the message.
    #[cfg(feature = "device-bound")]
    pub(crate) fn verify_message<const N: usize>(&self, message: &[u8; N], tag: [u8; TAG]) -> bool {
        const { assert!(N != RANDOM, "a message could be a token") };
        self.keys_of(tag).any(|key| u64::from_le_bytes(key.tag(message)) == u64::from_le_bytes(tag))
    }

    /// Returns the keys that can have made a tag. The id is no secret: it is in every token.
    fn keys_of(&self, tag: [u8; TAG]) -> impl Iterator<Item = &MacKey> {
        let [.., id] = tag;
        self.keys.iter().filter(move |key| key.id == id)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRing({} keys, [redacted])", self.keys.len())
    }
}

/// One key. It is overwritten when it is dropped.
#[derive(Clone)]
struct MacKey {
    key: Zeroizing<[u8; 16]>,
    id: u8,
}

impl MacKey {
    fn new(key: [u8; 16]) -> Self {
        // Of another length than what is signed, so that it is never a valid MAC.
        let [id, ..] = SipHasher24::new_with_key(&key).hash(b"sessile key id").to_le_bytes();
        Self { key: Zeroizing::new(key), id }
    }

    /// Derives the key from a secret of any length.
    fn derive(secret: &[u8]) -> Self {
        let mut hash: [u8; 32] = Sha256::new_with_prefix(b"sessile mac key").chain_update(secret).finalize().into();
        let key = Self::new(*hash.first_chunk().expect("a SHA-256 has 32 bytes"));
        hash.zeroize();
        key
    }

    /// Returns what follows the random bytes in a token: the MAC, and the id of its key.
    fn tag(&self, signed: &[u8]) -> [u8; TAG] {
        let mac = SipHasher24::new_with_key(&self.key).hash(signed);
        let mac = mac & ((1 << MAC_BITS) - 1);
        (mac + (u64::from(self.id) << MAC_BITS)).to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ring of keys made of these numbers.
    fn ring(secrets: impl IntoIterator<Item = u8>) -> KeyRing {
        KeyRing { keys: secrets.into_iter().map(|n| MacKey::derive(&[n; 32])).collect() }
    }

    #[test]
    fn any_changed_bit_fails_the_mac() {
        let ring = ring(0..8);
        let token = ring.issue().unwrap();
        let bytes: [u8; RANDOM + TAG] = [&token.random()[..], &token.tag()].concat().try_into().unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut forged = bytes;
            forged[bit / 8] ^= 1 << (bit % 8);
            let forged = Token::new(forged.first_chunk().unwrap(), *forged.last_chunk().unwrap());
            assert!(!ring.verify(&forged), "bit {bit}");
        }
        assert!(ring.verify(&token));
        assert!(!KeyRing::generate().unwrap().verify(&token));
    }

    #[test]
    fn the_newest_key_signs_and_all_verify() {
        let old = ring([1]);
        let token = old.issue().unwrap();
        let both = ring([2, 1]);
        assert!(both.verify(&token));
        assert!(!old.verify(&both.issue().unwrap()), "the newest key signs");
        let again = KeyRing::from_bytes(both.to_bytes()).unwrap();
        assert!(again.verify(&token) && again.verify(&both.issue().unwrap()));
        assert!(both.verify(&again.issue().unwrap()));
        for bad in [vec![], vec![0; 15], vec![0; 17]] {
            assert!(KeyRing::from_bytes(Zeroizing::new(bad)).is_none());
        }
    }

    #[test]
    fn a_token_is_tried_with_the_keys_of_its_id_alone() {
        let ring = ring(0..=255);
        let mut tried = 0;
        for signer in &ring.keys {
            let random = random_bytes().unwrap();
            let token = Token::new(&random, signer.tag(&random));
            assert!(ring.verify(&token));
            let keys: Vec<_> = ring.keys_of(token.tag()).collect();
            assert!(keys.iter().all(|key| key.id == signer.id) && keys.len() < 8, "{} keys", keys.len());
            tried += keys.len();
        }
        // 256 keys with 256 possible ids: on average each meets one other.
        assert!(tried < 3 * 256, "{tried} MACs for 256 tokens");
    }

    #[test]
    fn a_tag_moved_to_another_key_is_forged() {
        let ring = ring(0..=255);
        let token = ring.issue().unwrap();
        let mut tag = token.tag();
        let id = tag[TAG - 1];
        for other in (0..=255).filter(|other| *other != id) {
            tag[TAG - 1] = other;
            assert!(!ring.verify(&Token::new(token.random(), tag)), "id {other}");
        }
    }

    #[test]
    fn keys_of_any_length_are_checked_by_the_shortest() {
        let check = |keys: Keys| keys.check();
        assert!(check(Keys::from([7; 32])).is_ok());
        assert!(check(Keys::from("0123456789abcdef0123456789abcdef").accept(vec![1; 64])).is_ok());
        for short in [Keys::from([7; 31]), Keys::from([7; 64]).accept([7; 31]), Keys::from([7; 31]).accept([7; 64])] {
            assert!(matches!(check(short), Err(Error::ShortKey { found_bytes: 31, least_bytes: 32 })));
        }
        assert!(matches!(check(Keys::from("")), Err(Error::ShortKey { found_bytes: 0, .. })));
    }

    #[test]
    fn g8_debug_prints_no_key() {
        let keys = Keys::from([7; 32]).accept([8; 32]);
        assert_eq!(format!("{keys:?}"), "Keys(2 keys, [redacted])");
        assert_eq!(format!("{:?}", ring([1])), "KeyRing(1 keys, [redacted])");
    }
}
