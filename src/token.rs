//! The visitor's token, and the record key that is stored.
//!
//! Facts: a token is 128 random bits, a 56-bit MAC and the 8-bit id of the MAC's key: 32 characters of base64url, so there are
//! no padding bits and only one spelling. The file contains only the record key, a truncated SHA-256 of the random bits: 128
//! random bits need no salt and no slow hash, and a stolen file does not let an attacker log in.
//!
//! Invariant: only [`Token::expose`] returns a token's characters; `Debug` does not print them.

use std::{
    fmt,
    hash::{BuildHasherDefault, Hasher},
};

use sha2::{Digest, Sha256, block_api::compress256};

use crate::Error;
pub(crate) use sessile_codec::{Key, Meta};

/// Random bytes of a token.
pub(crate) const RANDOM: usize = 16;
/// Bytes of MAC and key id.
pub(crate) const TAG: usize = 8;
const LEN: usize = RANDOM + TAG;
/// The initial state of SHA-256 (FIPS 180-4, 5.3.3).
const SHA_256_START: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
/// Characters of a token.
const CHARS: usize = LEN / 3 * 4;

/// A visitor's secret, which the client presents.
///
/// `Debug` does not print it, and there is no `Display`: only [`Token::expose`] returns its characters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Token {
    bytes: [u8; LEN],
    name: NameHash,
}

/// The hash of the name of a kind of sessions; 0 for those without a name.
pub(crate) type NameHash = u64;

/// See [`NameHash`].
pub(crate) fn name_hash(name: &str) -> NameHash {
    let hash = Sha256::new_with_prefix(b"sessile name").chain_update(name).finalize();
    u64::from_le_bytes(*hash.first_chunk().expect("a SHA-256 has 32 bytes"))
}

impl Token {
    /// Reads a token from a client's bytes: exactly 32 characters of base64url.
    ///
    /// A token that parses may still have no session.
    #[must_use]
    #[inline]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text: &[u8; CHARS] = text.try_into().ok()?;
        let mut bytes = [0; LEN];
        let mut bad = 0;
        for (four, three) in text.as_chunks::<4>().0.iter().zip(bytes.as_chunks_mut::<3>().0) {
            let mut bits = 0_u32;
            for character in four {
                let value = VALUES[usize::from(*character)];
                bad |= value;
                // Invalid characters set higher bits, and the token is refused below.
                bits = bits << 6 | u32::from(value);
            }
            three.copy_from_slice(&bits.to_be_bytes()[1..]);
        }
        (bad & NOT_BASE64 == 0).then_some(Self { bytes, name: 0 })
    }

    /// Returns the token for the sessions of the layer with this name, for [`Store::session`](crate::Store::session).
    ///
    /// The client's characters are the same, but they lead to different sessions: a visitor's token is worthless in an
    /// administrator's layer.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        self.with_name(name_hash(name))
    }

    pub(crate) fn with_name(self, name: NameHash) -> Self {
        Self { name, ..self }
    }

    pub(crate) fn name(&self) -> NameHash {
        self.name
    }

    /// Returns the token's characters: send them only to the client that it belongs to.
    #[must_use]
    pub fn expose(&self) -> String {
        let mut text = String::with_capacity(CHARS);
        encode(&self.bytes, &mut text);
        text
    }

    /// Returns the record key.
    #[inline]
    pub(crate) fn key(&self) -> Key {
        // One block of SHA-256 with the standard's padding: the message, a bit, zeros, the number of the message's bits.
        // Knowing that it is the only block saves half of the work. A name makes the message longer and costs nothing.
        let mut block = [0; 64];
        block[..RANDOM].copy_from_slice(self.random());
        let mut len = RANDOM;
        if self.name != 0 {
            len += size_of::<NameHash>();
            block[RANDOM..len].copy_from_slice(&self.name.to_le_bytes());
        }
        block[len] = 0x80;
        block[56..].copy_from_slice(&(8 * len as u64).to_be_bytes());
        let mut state = SHA_256_START;
        compress256(&mut state, &[block]);
        let mut key = [0; 16];
        for (bytes, word) in key.as_chunks_mut().0.iter_mut().zip(state) {
            *bytes = word.to_be_bytes();
        }
        key
    }

    pub(crate) fn new(random: &[u8; RANDOM], tag: [u8; TAG]) -> Self {
        let mut bytes = [0; LEN];
        bytes[..RANDOM].copy_from_slice(random);
        bytes[RANDOM..].copy_from_slice(&tag);
        Self { bytes, name: 0 }
    }

    pub(crate) fn random(&self) -> &[u8; RANDOM] {
        self.bytes.first_chunk().expect("a token is longer than its random part")
    }

    /// Returns the MAC of the random part, and the id of its key.
    pub(crate) fn tag(&self) -> [u8; TAG] {
        *self.bytes.last_chunk().expect("a token is longer than its tag")
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token([redacted])")
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const NOT_BASE64: u8 = 0x80;

/// The six bits of each character, or [`NOT_BASE64`].
const VALUES: [u8; 256] = {
    let mut values = [NOT_BASE64; 256];
    let mut at = 0;
    while at < ALPHABET.len() {
        #[expect(clippy::cast_possible_truncation, reason = "the alphabet has 64 characters")]
        {
            values[ALPHABET[at] as usize] = at as u8;
        }
        at += 1;
    }
    values
};

/// Appends `bytes`, a multiple of three, as base64url.
pub(crate) fn encode(bytes: &[u8], into: &mut String) {
    for three in bytes.as_chunks::<3>().0 {
        let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        into.extend([18, 12, 6, 0].map(|shift| char::from(ALPHABET[(bits >> shift & 63) as usize])));
    }
}

/// Decodes base64url of any length without padding; `None` if it is anything else.
#[cfg(feature = "device-bound")]
pub(crate) fn decode_any(text: &[u8]) -> Option<Vec<u8>> {
    let missing = text.len().next_multiple_of(4) - text.len();
    if missing == 3 {
        return None;
    }
    let padded = [text, &b"AAA"[..missing]].concat();
    let mut bytes = Vec::with_capacity(padded.len() / 4 * 3);
    if !decode(&padded, &mut bytes) {
        return None;
    }
    // The unused bits must be zero, so that no two texts decode to the same bytes.
    let rest = bytes.split_off(bytes.len() - missing);
    rest.iter().all(|byte| *byte == 0).then_some(bytes)
}

/// Decodes exactly `N` bytes of base64url, a multiple of three, without an allocation; `None` if the text is anything else.
#[cfg(feature = "device-bound")]
pub(crate) fn decode_exact<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    const { assert!(N.is_multiple_of(3), "three bytes are four characters") };
    let (fours, rest) = text.as_chunks::<4>();
    if !rest.is_empty() || fours.len() * 3 != N {
        return None;
    }
    let (mut bytes, mut bad) = ([0; N], 0);
    for (four, three) in fours.iter().zip(bytes.chunks_exact_mut(3)) {
        three.copy_from_slice(&decode_four(*four, &mut bad));
    }
    (bad & NOT_BASE64 == 0).then_some(bytes)
}

/// Decodes four characters. Sets the bits of `NOT_BASE64` in `bad` if one of them is invalid.
#[cfg(any(feature = "sealed", feature = "device-bound"))]
fn decode_four(four: [u8; 4], bad: &mut u8) -> [u8; 3] {
    let bits = four.iter().fold(0_u32, |bits, character| {
        let value = VALUES[usize::from(*character)];
        *bad |= value;
        bits << 6 | u32::from(value & 63)
    });
    let [_, bytes @ ..] = bits.to_be_bytes();
    bytes
}

/// Decodes `text`, a multiple of four characters of base64url, and appends the bytes. Returns false if it is invalid.
#[cfg(any(feature = "sealed", feature = "device-bound"))]
pub(crate) fn decode(text: &[u8], into: &mut Vec<u8>) -> bool {
    let (fours, rest) = text.as_chunks::<4>();
    let mut bad = if rest.is_empty() { 0 } else { NOT_BASE64 };
    for four in fours {
        into.extend_from_slice(&decode_four(*four, &mut bad));
    }
    bad & NOT_BASE64 == 0
}

pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|source| Error::NoRandomness { source: source.into() })?;
    Ok(bytes)
}

/// Names a session for as long as it exists, also when its token changes. It is not the token, and does not lead to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle(u64);

impl Handle {
    /// Returns the handle of a session that is stored under `key` for the first time.
    pub(crate) fn first(key: &Key) -> Self {
        // Hashed once more, so that a page never shows a key of the file.
        let hash = Sha256::new_with_prefix(b"sessile handle").chain_update(key).finalize();
        // 0 means no handle.
        Self(u64::from_be_bytes(*hash.first_chunk().expect("a SHA-256 has 32 bytes")).max(1))
    }

    /// Returns the handle of the session with this metadata.
    pub(crate) fn of(meta: &Meta) -> Self {
        Self(meta.handle)
    }

    /// Returns the handle as a number for storage.
    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    #[cfg(any(feature = "sealed", all(feature = "device-bound", any(test, fuzzing))))]
    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The text is not a [`Handle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseHandleError;

impl fmt::Display for ParseHandleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a handle is 16 lower-case hexadecimal digits, found another text; take it from `sessions_of`")
    }
}

impl std::error::Error for ParseHandleError {}

impl std::str::FromStr for Handle {
    type Err = ParseHandleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let handle = u64::from_str_radix(text, 16).map(Self).map_err(|_| ParseHandleError)?;
        if handle.to_string() == text { Ok(handle) } else { Err(ParseHandleError) }
    }
}

/// Hashes record keys, and parts of them.
pub(crate) type KeyState = BuildHasherDefault<KeyHasher>;

/// Keys are hashes already: their first bytes are used.
#[derive(Debug, Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    /// The last write counts: an array writes its length before its bytes.
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_ne_bytes(*first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KeyRing;

    #[test]
    fn a_token_is_32_characters_and_comes_back() {
        let ring = KeyRing::generate().unwrap();
        for _ in 0..1000 {
            let token = ring.issue().unwrap();
            let text = token.expose();
            assert_eq!(text.len(), 32);
            assert_eq!(Token::parse(text.as_bytes()), Some(token));
            assert!(ring.verify(&token));
        }
    }

    #[test]
    fn a_record_key_is_a_truncated_sha_256() {
        for n in 0..100_u8 {
            let random = [n; RANDOM].map(|byte| byte.wrapping_mul(31) ^ n);
            let token = Token::new(&random, [n; TAG]);
            assert_eq!(token.key()[..], Sha256::digest(random)[..16]);
            let named = token.named("admin");
            let message = [&random[..], &named.name().to_le_bytes()].concat();
            assert_eq!(named.key()[..], Sha256::digest(message)[..16]);
        }
    }

    #[test]
    fn every_other_text_is_no_token() {
        let text = KeyRing::generate().unwrap().issue().unwrap().expose();
        assert_eq!(Token::parse(&text.as_bytes()[1..]), None);
        assert_eq!(Token::parse(format!("{text}A").as_bytes()), None);
        assert_eq!(Token::parse(b""), None);
        for bad in [b'+', b'/', b'=', b' ', b'"', 0, 0x80, 0xff] {
            for at in 0..32 {
                let mut text = text.clone().into_bytes();
                text[at] = bad;
                assert_eq!(Token::parse(&text), None, "{bad} at {at}");
            }
        }
    }

    #[test]
    fn randomness_has_no_duplicate_and_no_biased_bit() {
        const TOKENS: u32 = 100_000;
        let ring = KeyRing::generate().unwrap();
        let mut seen = std::collections::HashSet::new();
        let mut ones = [0_u32; RANDOM * 8];
        for _ in 0..TOKENS {
            let token = ring.issue().unwrap();
            assert!(seen.insert(token.bytes));
            for (bit, count) in ones.iter_mut().enumerate() {
                *count += u32::from(token.bytes[bit / 8] >> (bit % 8) & 1);
            }
        }
        // Six standard deviations of a fair coin.
        let bound = 6.0 * (f64::from(TOKENS) / 4.0).sqrt();
        for (bit, count) in ones.iter().enumerate() {
            assert!((f64::from(*count) - f64::from(TOKENS) / 2.0).abs() < bound, "bit {bit} was set {count} times");
        }
    }

    #[test]
    fn g8_debug_prints_no_secret() {
        let token = KeyRing::generate().unwrap().issue().unwrap();
        assert_eq!(format!("{token:?}"), "Token([redacted])");
    }

    #[test]
    fn a_name_leads_elsewhere() {
        let token = KeyRing::generate().unwrap().issue().unwrap();
        let keys = [token.key(), token.named("admin").key(), token.named("visitor").key(), token.named("").key()];
        for (at, key) in keys.iter().enumerate() {
            assert!(!keys[..at].contains(key));
        }
        assert_eq!(token.named("admin").expose(), token.expose());
        assert_eq!(token.named("admin").named("visitor").key(), token.named("visitor").key());
    }

    #[test]
    fn a_handle_comes_back_in_one_spelling_only() {
        let handle = Handle::first(&[7; 16]);
        assert_eq!(handle.to_string().parse(), Ok(handle));
        assert_eq!(handle.to_string().len(), 16);
        assert_eq!("+00000000000001".parse::<Handle>(), Err(ParseHandleError));
        assert_eq!("00000000000000AB".parse::<Handle>(), Err(ParseHandleError));
    }
}
