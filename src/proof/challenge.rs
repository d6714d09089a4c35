//! Challenges: what a device signs to prove that it has its key.
//!
//! A challenge is made without memory: a random number, the time, and a MAC over both, the session and the purpose. The key of the
//! MAC is this process's own, so a challenge from before a restart is refused, and the browser asks for another. What is
//! remembered is which challenges a valid signature has used, for as long as they would be accepted.
//!
//! Invariant: a challenge is accepted at most once, also when the memory is full: then those that are as old as what is forgotten
//! are refused.

use std::{
    collections::{HashSet, VecDeque},
    sync::OnceLock,
};

use parking_lot::Mutex;
use siphasher::sip::SipHasher24;
use zeroize::Zeroizing;

use super::Refusal;
use crate::{
    Error, Handle,
    token::{decode_any, encode, random_bytes},
};

/// How long a challenge is accepted: longer than a browser with slow hardware takes, and short enough that few must be remembered.
const LIFETIME_MS: u64 = 5 * 60 * 1000;
/// Remembered challenges: some 200 refreshes a second for five minutes, in 2 MiB.
const MOST_USED: usize = 1 << 16;

/// Length of a challenge in bytes: a number, a time with the purpose in its last byte, and a MAC.
const BYTES: usize = 24;

/// What a challenge is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To register a key.
    Register = 1,
    /// To prove that the client still has it.
    Refresh = 2,
}

/// Makes and takes the challenges of one layer.
#[derive(Default)]
pub(crate) struct Challenges {
    /// Made with the first challenge.
    key: OnceLock<Zeroizing<[u8; 16]>>,
    used: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    numbers: HashSet<u64>,
    /// The same, with the times at which they were made, in the order in which they were used.
    order: VecDeque<(u64, u64)>,
    /// Challenges that were made at this time or before are refused.
    floor_ms: u64,
}

/// A challenge that was made here and is young enough, and may have been used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checked {
    number: u64,
    made_ms: u64,
}

impl Challenges {
    /// Returns a new challenge.
    ///
    /// # Errors
    /// [`Error::NoRandomness`].
    pub(crate) fn issue(&self, purpose: Purpose, session: Handle, now_ms: u64) -> Result<String, Error> {
        if self.key.get().is_none() {
            // If another thread was faster, its key counts.
            let _ = self.key.set(Zeroizing::new(random_bytes()?));
        }
        let number = u64::from_le_bytes(random_bytes()?);
        let body = body(number, now_ms, purpose);
        let mut text = String::with_capacity(BYTES / 3 * 4);
        let mac = self.mac(&body, session).unwrap_or_default();
        encode(&[&body[..], &mac.to_le_bytes()].concat(), &mut text);
        Ok(text)
    }

    /// Checks that a challenge was made here, for this session and purpose, and is not too old.
    pub(crate) fn check(&self, text: &str, purpose: Purpose, session: Handle, now_ms: u64) -> Result<Checked, Refusal> {
        let bytes = decode_any(text.as_bytes()).ok_or(Refusal::Challenge)?;
        let bytes: [u8; BYTES] = bytes.try_into().map_err(|_| Refusal::Challenge)?;
        let (body, mac) = bytes.split_at(BYTES - 8);
        let (Some(body), Some(mac)) = (body.first_chunk::<16>(), mac.first_chunk::<8>()) else {
            return Err(Refusal::Challenge);
        };
        // Eight bytes are compared as one integer: in constant time.
        if self.mac(body, session) != Some(u64::from_le_bytes(*mac)) || body[15] != purpose as u8 {
            return Err(Refusal::Challenge);
        }
        let [number, time] =
            [&body[..8], &body[8..]].map(|half| half.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte)));
        let made_ms = time & TIME;
        if made_ms > now_ms || now_ms - made_ms > LIFETIME_MS || made_ms <= self.used.lock().floor_ms {
            return Err(Refusal::Stale);
        }
        Ok(Checked { number, made_ms })
    }

    /// Uses a challenge up, once the signature over it was verified.
    pub(crate) fn take(&self, challenge: Checked, now_ms: u64) -> Result<(), Refusal> {
        let mut used = self.used.lock();
        while let Some((number, made_ms)) = used.order.front().copied()
            && (used.order.len() >= MOST_USED || now_ms.saturating_sub(made_ms) > LIFETIME_MS)
        {
            used.order.pop_front();
            used.numbers.remove(&number);
            used.floor_ms = used.floor_ms.max(made_ms);
        }
        if challenge.made_ms <= used.floor_ms {
            return Err(Refusal::Stale);
        }
        if !used.numbers.insert(challenge.number) {
            return Err(Refusal::Replayed);
        }
        used.order.push_back((challenge.number, challenge.made_ms));
        Ok(())
    }

    /// `None` before the first challenge.
    fn mac(&self, body: &[u8; 16], session: Handle) -> Option<u64> {
        let mut message = [0; 24];
        message[..16].copy_from_slice(body);
        message[16..].copy_from_slice(&session.bits().to_le_bytes());
        Some(SipHasher24::new_with_key(self.key.get()?).hash(&message))
    }
}

/// The bits of a time that a challenge has: enough until the year 4000.
const TIME: u64 = (1 << 56) - 1;

/// The bytes of a challenge before its MAC.
fn body(number: u64, now_ms: u64, purpose: Purpose) -> [u8; 16] {
    let mut body = [0; 16];
    body[..8].copy_from_slice(&number.to_le_bytes());
    body[8..].copy_from_slice(&(now_ms & TIME).to_le_bytes());
    body[15] = purpose as u8;
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: fn() -> Handle = || Handle::from_bits(7);
    const NOW: u64 = 1_800_000_000_000;

    fn check(challenges: &Challenges, text: &str, now_ms: u64) -> Result<Checked, Refusal> {
        challenges.check(text, Purpose::Refresh, SESSION(), now_ms)
    }

    #[test]
    fn a_challenge_is_for_one_session_one_purpose_one_process_and_five_minutes() {
        let challenges = Challenges::default();
        let text = challenges.issue(Purpose::Refresh, SESSION(), NOW).unwrap();
        assert_eq!(text.len(), 32);
        assert!(check(&challenges, &text, NOW).is_ok());
        assert!(check(&challenges, &text, NOW + LIFETIME_MS).is_ok());
        assert_eq!(check(&challenges, &text, NOW + LIFETIME_MS + 1), Err(Refusal::Stale));
        assert_eq!(check(&challenges, &text, NOW - 1), Err(Refusal::Stale), "a clock that was set back");
        let of_another = challenges.check(&text, Purpose::Refresh, Handle::from_bits(8), NOW);
        assert_eq!(of_another, Err(Refusal::Challenge));
        assert_eq!(challenges.check(&text, Purpose::Register, SESSION(), NOW), Err(Refusal::Challenge));
        assert_eq!(check(&Challenges::default(), &text, NOW), Err(Refusal::Challenge));
    }

    #[test]
    fn any_changed_character_is_refused() {
        let challenges = Challenges::default();
        let text = challenges.issue(Purpose::Refresh, SESSION(), NOW).unwrap();
        for at in 0..text.len() {
            let mut other = text.clone();
            other.replace_range(at..=at, if &text[at..=at] == "A" { "B" } else { "A" });
            assert_eq!(check(&challenges, &other, NOW), Err(Refusal::Challenge), "at {at}");
        }
        for bad in ["", "A", &text[1..], &format!("{text}A"), &format!("{text}AAAA"), "ä"] {
            assert_eq!(check(&challenges, bad, NOW), Err(Refusal::Challenge), "{bad}");
        }
    }

    #[test]
    fn a_challenge_is_used_once() {
        let challenges = Challenges::default();
        let text = challenges.issue(Purpose::Refresh, SESSION(), NOW).unwrap();
        let checked = check(&challenges, &text, NOW).unwrap();
        assert_eq!(challenges.take(checked, NOW), Ok(()));
        assert_eq!(challenges.take(checked, NOW), Err(Refusal::Replayed));
        assert_eq!(challenges.take(checked, NOW + LIFETIME_MS), Err(Refusal::Replayed));
        // When it is forgotten, it is too old.
        let later = NOW + LIFETIME_MS + 1;
        let other = challenges.issue(Purpose::Refresh, SESSION(), later).unwrap();
        challenges.take(check(&challenges, &other, later).unwrap(), later).unwrap();
        assert_eq!(challenges.take(checked, later), Err(Refusal::Stale));
        assert_eq!(challenges.used.lock().order.len(), 1);
    }

    #[test]
    fn a_full_memory_forgets_and_accepts_none_of_what_it_forgot() {
        let challenges = Challenges::default();
        let used: Vec<_> = (0..=MOST_USED as u64).map(|n| Checked { number: n, made_ms: NOW + n / 100 }).collect();
        for challenge in &used {
            assert_eq!(challenges.take(*challenge, NOW + 1000), Ok(()));
        }
        assert_eq!(challenges.used.lock().numbers.len(), MOST_USED);
        for challenge in &used {
            assert_ne!(challenges.take(*challenge, NOW + 1000), Ok(()), "{challenge:?}");
        }
    }
}
