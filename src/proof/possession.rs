//! The value of the short cookie: that the client of this session proved lately that it has the device's key.
//!
//! Sixteen characters: the second of the proof, and a MAC of the store over it, the session and the sign-in. It is checked without
//! I/O, without a lock and without an allocation.
//!
//! The MAC contains the time of the sign-in instead of the key. A sign-in removes the key, and only a session without a key gets
//! one, so each sign-in has one key. The time is in the record's header, which is read faster than the key.

use sessile_codec::Meta;

use crate::{keys::KeyRing, token};

/// The short cookie's value, in bytes and in characters.
const BYTES: usize = 12;
pub(crate) const CHARACTERS: usize = 16;

/// A proof that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Possession {
    /// When, in seconds since 1970.
    proved_s: u32,
}

impl Possession {
    /// A proof that is given now.
    pub(crate) fn now(now_ms: u64) -> Self {
        Self { proved_s: seconds(now_ms) }
    }

    /// Returns the value of the cookie for the session with this metadata.
    pub(crate) fn sign(self, ring: &KeyRing, session: &Meta) -> String {
        let mut bytes = [0; BYTES];
        bytes[..4].copy_from_slice(&self.proved_s.to_le_bytes());
        bytes[4..].copy_from_slice(&ring.sign(&self.message(session)));
        let mut text = String::with_capacity(CHARACTERS);
        token::encode(&bytes, &mut text);
        text
    }

    /// Reads the value of a cookie; `None` if it is not one of this store for this session and sign-in.
    #[inline]
    pub(crate) fn read(value: &[u8], ring: &KeyRing, session: &Meta) -> Option<Self> {
        let bytes: [u8; BYTES] = token::decode_exact(value)?;
        let (proved, tag) = (bytes.first_chunk::<4>()?, bytes.last_chunk::<8>()?);
        let possession = Self { proved_s: u32::from_le_bytes(*proved) };
        ring.verify_message(&possession.message(session), *tag).then_some(possession)
    }

    /// Returns how long ago it was given, in seconds; 0 if the clock was set back since.
    pub(crate) fn age_s(self, now_ms: u64) -> u32 {
        seconds(now_ms).saturating_sub(self.proved_s)
    }

    /// Of another length than what else the keys sign.
    fn message(self, session: &Meta) -> [u8; 20] {
        let mut message = [0; 20];
        message[..4].copy_from_slice(&self.proved_s.to_le_bytes());
        message[4..12].copy_from_slice(&session.handle.to_le_bytes());
        message[12..].copy_from_slice(&session.authenticated_ms.to_le_bytes());
        message
    }
}

/// Until the year 2106.
fn seconds(ms: u64) -> u32 {
    u32::try_from(ms / 1000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_000;

    #[test]
    fn a_possession_is_of_one_store_one_session_and_one_sign_in() {
        let ring = KeyRing::generate().unwrap();
        let session = Meta { handle: 7, authenticated_ms: NOW, ..Meta::default() };
        let others = [Meta { handle: 8, ..session }, Meta { authenticated_ms: NOW + 1, ..session }];
        let value = Possession::now(NOW).sign(&ring, &session);
        assert_eq!(value.len(), CHARACTERS);
        let read = Possession::read(value.as_bytes(), &ring, &session).unwrap();
        assert_eq!([NOW - 5000, NOW, NOW + 999, NOW + 60_000].map(|now| read.age_s(now)), [0, 0, 0, 60]);
        for other in &others {
            assert_eq!(Possession::read(value.as_bytes(), &ring, other), None);
        }
        assert_eq!(Possession::read(value.as_bytes(), &KeyRing::generate().unwrap(), &session), None);
        for at in 0..value.len() {
            let mut other = value.clone();
            other.replace_range(at..=at, if &value[at..=at] == "A" { "B" } else { "A" });
            assert_eq!(Possession::read(other.as_bytes(), &ring, &session), None, "at {at}");
        }
        for bad in ["", "AAAA", &value[1..], &format!("{value}AAAA"), "AAAAAAAAAAAAAAA."] {
            assert_eq!(Possession::read(bad.as_bytes(), &ring, &session), None, "{bad}");
        }
    }
}
