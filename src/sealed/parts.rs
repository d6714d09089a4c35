//! Splits a text into as many cookies as it needs, and joins it again.
//!
//! Knows nothing of the text's content.

use http::HeaderValue;

use super::super::cookie::{self, CookieTemplate};
use crate::token;

/// The most cookies of one session.
pub(super) const MOST_PARTS: usize = 4;
/// The most characters of all values together. Servers commonly read 8 KiB of a `Cookie` header, or of all headers together:
/// this leaves a quarter of that for other cookies.
pub(super) const LINE_BYTES: usize = 6144;
/// `~` and the number of parts, before the first part.
const MARK_BYTES: usize = 2;
/// What HTTP/1 adds to a header's value.
const FIELD_BYTES: usize = "set-cookie: \r\n".len();

/// Whether the value can only be a sealed session. A token has no such character.
pub(super) fn is_sealed(value: &[u8]) -> bool {
    value.first() == Some(&b'~')
}

/// Returns the characters that fit into a part, in groups of four: each part is base64 by itself.
fn room_of(part: &CookieTemplate) -> usize {
    part.room_bytes().saturating_sub(MARK_BYTES) / 4 * 4
}

/// Returns the length of the longest text that fits, as every shorter one does: into the parts, and into `limit_bytes` of
/// `Set-Cookie` lines. Parts that the client `sent` and that a text does not need are deleted in the same answer, which takes
/// lines as well.
pub(super) fn room(parts: &[CookieTemplate], sent: u8, limit_bytes: usize) -> usize {
    let (mut room, mut line_bytes) = (0, MARK_BYTES);
    for (at, part) in parts.iter().enumerate() {
        let stale = parts.iter().enumerate().skip(at + 1).filter(|(later, _)| is_sent(sent, *later));
        let deletions: usize = stale.map(|(_, stale)| FIELD_BYTES + stale.deletion_bytes()).sum();
        line_bytes += FIELD_BYTES + part.frame_bytes();
        let fits = limit_bytes.saturating_sub(line_bytes + deletions) / 4 * 4;
        room += fits.min(room_of(part));
        if fits < room_of(part) {
            break;
        }
        line_bytes += room_of(part);
    }
    room
}

/// Whether the client sent the part, by the bits of [`sent`].
pub(super) fn is_sent(sent: u8, part: usize) -> bool {
    sent & 1 << part != 0
}

/// Returns the values of the cookies that carry `text`, which fits.
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

/// Returns which additional cookies the client sent, one bit each.
pub(super) fn sent(headers: &[HeaderValue], parts: &[CookieTemplate]) -> u8 {
    let is_there = |part: &CookieTemplate| cookie::candidates(headers, part.name().as_bytes()).next().is_some();
    parts.iter().enumerate().skip(1).filter(|(_, part)| is_there(part)).map(|(at, _)| 1 << at).sum()
}

/// A text in the cookies of a request.
pub(super) struct Presented<'a> {
    values: [&'a [u8]; MOST_PARTS],
    len: usize,
}

impl<'a> Presented<'a> {
    /// Returns the text that begins with `value`. `None`: a part is missing or has two different values, or the text is longer
    /// than any that this layer sets.
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
            // Only trying all combinations could show which of two is ours.
            if candidates.any(|other| other != values[at]) {
                return None;
            }
        }
        let len = values.iter().map(|value| value.len()).sum();
        let is_whole = values.iter().all(|value| value.len().is_multiple_of(4));
        (len <= LINE_BYTES && is_whole).then_some(Self { values, len })
    }

    /// Returns its first bytes, decoded.
    pub(super) fn begins<const N: usize>(&self) -> Option<[u8; N]> {
        let mut bytes = Vec::with_capacity(N.next_multiple_of(3));
        let text = self.values[0].get(..N.div_ceil(3) * 4)?;
        token::decode(text, &mut bytes).then_some(*bytes.first_chunk()?)
    }

    /// Returns all its bytes, decoded.
    pub(super) fn bytes(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(self.len / 4 * 3);
        self.values.iter().all(|value| token::decode(value, &mut bytes)).then_some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::super::Cookie, *};

    /// Bytes of the `Set-Cookie` lines of an answer with a text of `len` characters, to a client that sent those parts.
    fn line_bytes(parts: &[CookieTemplate], sent: u8, len: usize) -> usize {
        let values = split(&"A".repeat(len), parts);
        let headers = parts.iter().zip(&values).map(|(part, value)| part.set(value, Some(Duration::MAX)));
        let stale =
            parts.iter().enumerate().skip(values.len()).filter(|(at, _)| is_sent(sent, *at)).map(|(_, part)| part.delete());
        headers.chain(stale).map(|line| "set-cookie: ".len() + line.len() + 2).sum()
    }

    #[test]
    fn the_room_is_what_fits_with_every_deletion_and_no_less() {
        let path = format!("/{}", "p".repeat(300));
        let cookies = [
            Cookie::new(),
            Cookie::new().name("n"),
            Cookie::new().browser_session().same_site(crate::web::SameSite::None).partitioned(),
            Cookie::new().path(path.clone()).domain("example.com"),
            Cookie::new().name("n".repeat(200)).path(path).domain(format!("d{}", ".d".repeat(100))),
            Cookie::new().name("n".repeat(1500)),
            Cookie::new().name("n".repeat(4000)),
        ];
        for cookie in cookies {
            let cookie = cookie.build().unwrap();
            let parts: Vec<_> = (0..MOST_PARTS).map(|part| cookie.part(part)).collect();
            let capacity: usize = parts.iter().map(room_of).sum();
            assert_eq!(room(&parts, 0b1110, usize::MAX), capacity);
            let begin = |sum: &mut usize, part| {
                *sum += room_of(part);
                Some(*sum)
            };
            let begins: Vec<_> = parts.iter().scan(0, begin).collect();
            for sent in (0..1 << MOST_PARTS).step_by(2) {
                let limits = [0, 100, 500, 1000, 3500, 4000, 4200, 5000, 7500, 9000, 13_000, 16_384, 20_000];
                // Some parts are full to the byte, and there is room for the deletions of the others.
                let exact = begins.iter().map(|len| line_bytes(&parts, sent, *len));
                for limit in limits.into_iter().chain(exact) {
                    let room = room(&parts, sent, limit);
                    assert!(room.is_multiple_of(4) && room <= capacity);
                    // Shorter lengths: around the start of each part, and others.
                    let at_begins = begins.iter().flat_map(|at| [*at, at + 4]);
                    for len in at_begins.chain((4..=room).step_by(404)).chain([room]) {
                        if (1..=room).contains(&len) {
                            assert!(line_bytes(&parts, sent, len) <= limit, "{len} of {room}, {sent:b}, {limit}");
                        }
                    }
                    if room < capacity {
                        let more = line_bytes(&parts, sent, room + 4);
                        assert!(more > limit, "{} would fit: {more} of {limit}", room + 4);
                    }
                }
            }
        }
    }
    #[test]
    fn a_text_is_read_from_as_many_cookies_as_it_says_and_no_other_number() {
        let cookie = Cookie::new().name("n").build().unwrap();
        let parts: Vec<_> = (0..MOST_PARTS).map(|part| cookie.part(part)).collect();
        let header = |part: usize| HeaderValue::try_from(format!("{}=AAA{part}", parts[part].name())).unwrap();
        let headers: Vec<_> = (1..MOST_PARTS).map(header).collect();
        let read = |value: &str| Presented::read(&headers, value.as_bytes(), &parts).map(|presented| presented.len);
        for count in 0..=9 {
            let expected = (1..=MOST_PARTS).contains(&count).then_some(count * 4);
            assert_eq!(read(&format!("~{count}AAA0")), expected, "{count}");
            assert_eq!(read(&format!("!{count}AAA0")), None, "no mark");
        }
        for value in ["", "~", "~/AAA0", "~:AAA0", "~1AAA"] {
            assert_eq!(read(value), None, "{value}");
        }
    }

    #[test]
    fn each_cookie_behind_the_first_that_came_is_a_bit() {
        let cookie = Cookie::new().name("n").build().unwrap();
        let parts: Vec<_> = (0..MOST_PARTS).map(|part| cookie.part(part)).collect();
        for expected in 0_u8..1 << MOST_PARTS {
            let came = (0..MOST_PARTS).filter(|part| expected & 1 << part != 0);
            // Twice, as from two paths.
            let pairs: Vec<_> = came.flat_map(|part| [part; 2]).map(|part| format!("{}=A", parts[part].name())).collect();
            let sent = sent(&[HeaderValue::try_from(pairs.join("; ")).unwrap()], &parts);
            assert_eq!(sent, expected & !1, "{pairs:?}");
            for part in 1..MOST_PARTS {
                assert_eq!(is_sent(sent, part), expected & 1 << part != 0);
            }
        }
    }
}
