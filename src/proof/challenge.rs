//! Challenges: what a device signs to prove that it has its key.
//!
//! Making a challenge stores nothing: it is a random number, the time, and a MAC over both, the session and the purpose. The key of
//! the MAC is this process's own, so a challenge from before a restart is refused, and the browser asks for another. Stored are
//! only the challenges that a valid signature has used, for as long as they would be accepted.
//!
//! Invariant: a challenge is accepted at most once, also when too many are stored: then the first is dropped, and all that are
//! as old or older are refused.

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
    token::{decode_exact, encode, random_bytes},
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
        let key = if let Some(key) = self.key.get() {
            key
        } else {
            let key = Zeroizing::new(random_bytes()?);
            // If another thread was faster, its key counts.
            self.key.get_or_init(|| key)
        };
        let number = u64::from_le_bytes(random_bytes()?);
        let time = now_ms & TIME | purpose.bits();
        let words = [number, time, mac(key, number, time, session)];
        let mut text = String::with_capacity(BYTES / 3 * 4);
        encode(words.map(u64::to_le_bytes).as_flattened(), &mut text);
        Ok(text)
    }

    /// Checks that a challenge was made here, for this session and purpose, and is not too old.
    pub(crate) fn check(&self, text: &str, purpose: Purpose, session: Handle, now_ms: u64) -> Result<Checked, Refusal> {
        let bytes: [u8; BYTES] = decode_exact(text.as_bytes()).ok_or(Refusal::Challenge)?;
        let [number, time, found] = *bytes.as_chunks::<8>().0 else { return Err(Refusal::Challenge) };
        let [number, time, found] = [number, time, found].map(u64::from_le_bytes);
        // A MAC is compared as one integer: in constant time. Before the first challenge there is no key.
        let is_own = self.key.get().is_some_and(|key| mac(key, number, time, session) == found);
        if !is_own || time & !TIME != purpose.bits() {
            return Err(Refusal::Challenge);
        }
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
}

/// The bits of a time, in milliseconds, that a challenge has: enough for two million years. The purpose is in the others.
const TIME: u64 = (1 << 56) - 1;

impl Purpose {
    /// Returns the number of the purpose, in the bits that a time leaves.
    const fn bits(self) -> u64 {
        (self as u64) << 56
    }
}

fn mac(key: &[u8; 16], number: u64, time: u64, session: Handle) -> u64 {
    let words = [number, time, session.bits()].map(u64::to_le_bytes);
    SipHasher24::new_with_key(key).hash(words.as_flattened())
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
