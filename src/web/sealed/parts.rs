//! One text in as many cookies as it takes, and back.
//!
//! Knows nothing of what the text says.

use http::HeaderValue;

use super::super::cookie::{self, CookieTemplate};
use crate::token;

/// Cookies that one session may take.
pub(super) const MOST_PARTS: usize = 4;
/// Characters that all values together may have. Servers commonly read 8 KiB of a `Cookie` header, or of all headers together:
/// this leaves a quarter of that for other cookies.
pub(super) const LINE_BYTES: usize = 6144;
/// `~` and the number of parts, before the first part.
const MARK_BYTES: usize = 2;

/// Whether the value is of a sealed session, if it is anything. A token has no such character.
pub(super) fn is_sealed(value: &[u8]) -> bool {
    value.first() == Some(&b'~')
}

/// Characters that fit into a part, in groups of four: each part is base64 by itself.
fn room_of(part: &CookieTemplate) -> usize {
    part.room_bytes().saturating_sub(MARK_BYTES) / 4 * 4
}

/// Characters that fit into all parts.
pub(super) fn room(parts: &[CookieTemplate]) -> usize {
    parts.iter().map(room_of).sum()
}

/// The values of the cookies that carry `text`, which fits.
pub(super) fn split(text: &str, parts: &[CookieTemplate]) -> Vec<String> {
    let (mut rest, mut values) = (text, Vec::new());
    for part in parts.iter().take_while(|_| !text.is_empty()) {
        let (value, later) = rest.split_at(rest.len().min(room_of(part)));
        values.push(value.to_owned());
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    debug_assert!(rest.is_empty(), "`Prepared::most_bytes` was counted with the same room");
    let count = values.len();
    if let Some(first) = values.first_mut() {
        first.insert_str(0, &format!("~{count}"));
    }
    values
}

/// Which cookies behind the first the client sent, a bit each.
pub(super) fn sent(headers: &[HeaderValue], parts: &[CookieTemplate]) -> u8 {
    let is_there = |part: &CookieTemplate| cookie::candidates(headers, part.name().as_bytes()).next().is_some();
    parts.iter().enumerate().skip(1).filter(|(_, part)| is_there(part)).fold(0, |sent, (at, _)| sent | 1 << at)
}

/// A text in the cookies of a request.
pub(super) struct Presented<'a> {
    values: [&'a [u8]; MOST_PARTS],
    len: usize,
}

impl<'a> Presented<'a> {
    /// The text that begins with `value`. `None`: a part is missing, is there twice and not the same, or it is longer than any
    /// that this layer sets.
    pub(super) fn read(headers: &'a [HeaderValue], value: &'a [u8], parts: &'a [CookieTemplate]) -> Option<Self> {
        let (mark, first) = value.split_first_chunk::<MARK_BYTES>()?;
        let count = usize::from(mark[1].checked_sub(b'0')?);
        if mark[0] != b'~' || !(1..=parts.len()).contains(&count) {
            return None;
        }
        let mut values: [&[u8]; MOST_PARTS] = [&[]; MOST_PARTS];
        values[0] = first;
        for (at, part) in parts.iter().enumerate().take(count).skip(1) {
            let mut candidates = cookie::candidates(headers, part.name().as_bytes());
            values[at] = candidates.next()?;
            // Which of two is ours, only trying all combinations could tell.
            if candidates.any(|other| other != values[at]) {
                return None;
            }
        }
        let len = values.iter().map(|value| value.len()).sum();
        let is_whole = values.iter().all(|value| value.len().is_multiple_of(4));
        (len <= LINE_BYTES && is_whole).then_some(Self { values, len })
    }

    /// The first bytes that it stands for.
    pub(super) fn begins<const N: usize>(&self) -> Option<[u8; N]> {
        let mut bytes = Vec::with_capacity(N.next_multiple_of(3));
        let text = self.values[0].get(..N.div_ceil(3) * 4)?;
        token::decode(text, &mut bytes).then_some(*bytes.first_chunk()?)
    }

    /// All of them.
    pub(super) fn bytes(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(self.len / 4 * 3);
        self.values.iter().all(|value| token::decode(value, &mut bytes)).then_some(bytes)
    }
}
