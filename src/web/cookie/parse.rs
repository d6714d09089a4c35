//! Finds the session's cookie among a request's cookies.
//!
//! Facts: anyone on a sibling host can add bytes to the `Cookie` header. Servers were deceived wherever they parse it more
//! generously than browsers write it: by Unicode spaces around a name, by names in another case or percent-encoded, by quotes
//! that swallow a `;`, by values without a name. Here a pair always ends at `;`, only SP and HTAB are trimmed, and the name is
//! compared byte for byte.
//!
//! Invariants: nothing is allocated, and no byte is read more than a fixed number of times, whatever the header. At most
//! [`MOST_CANDIDATES`] values are returned. A byte of one pair never changes the meaning of another.
//!
//! Knows nothing of tokens: the session decides which of several candidates counts, if any.

use std::slice;

use http::HeaderValue;

/// Values returned for one request. A browser sends more than one only if the name was set for several paths or domains.
const MOST_CANDIDATES: usize = 8;

/// Returns the values of the cookies named `name` in all `Cookie` `headers`, in order. `name` is a token.
pub(crate) fn candidates<'a>(headers: &'a [HeaderValue], name: &'a [u8]) -> Candidates<'a> {
    debug_assert!(!name.is_empty(), "`Cookie::build` refuses an empty name");
    Candidates { headers: headers.iter(), rest: None, name, left: MOST_CANDIDATES }
}

/// See [`candidates`].
pub(crate) struct Candidates<'a> {
    headers: slice::Iter<'a, HeaderValue>,
    /// The rest of a header; `None` after its end.
    rest: Option<&'a [u8]>,
    name: &'a [u8],
    left: usize,
}

// A manual loop: from nested iterators the compiler makes calls, with 310 more instructions for a request.
impl<'a> Iterator for Candidates<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        loop {
            let Some(rest) = self.rest else {
                self.rest = Some(self.headers.next()?.as_bytes());
                continue;
            };
            let end = semicolon(rest);
            self.rest = end.map(|end| &rest[end + 1..]);
            let value = value_of(&rest[..end.unwrap_or(rest.len())], self.name);
            if value.is_some() {
                return value;
            }
        }
    }
}

/// Returns the position of the first `;`.
#[inline]
fn semicolon(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGHS: u64 = u64::from_le_bytes([0x80; 8]);
    let (words, last) = bytes.as_chunks::<8>();
    for (nth, word) in words.iter().enumerate() {
        // Zero where a `;` is. When one is subtracted from each byte, the lowest byte that borrows is the first that is zero.
        let word = u64::from_le_bytes(*word) ^ (ONES * u64::from(b';'));
        let found = word.wrapping_sub(ONES) & !word & HIGHS;
        if found != 0 {
            return Some(8 * nth + found.trailing_zeros() as usize / 8);
        }
    }
    let at = last.iter().position(|byte| *byte == b';')?;
    Some(8 * words.len() + at)
}

/// Returns the value of a pair, if its name is `name`.
#[inline]
fn value_of<'a>(pair: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    // The name is a token, without `=` or a space: only spaces and the first `=` can follow it.
    let rest = trim_start(trim_start(pair).strip_prefix(name)?);
    Some(trim_end(trim_start(rest.strip_prefix(b"=")?)))
}

fn trim_start(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

fn trim_end(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        path::Path,
        time::{Duration, Instant},
    };

    use http::HeaderValue;
    use proptest::prelude::*;

    use super::{super::plain::check, *};

    fn headers(values: &[&[u8]]) -> Vec<HeaderValue> {
        let values = values.iter().map(|value| HeaderValue::from_bytes(value).expect("no control character"));
        values.collect()
    }

    /// Checks the values of `__Host-id` in a request with these `Cookie` headers.
    #[track_caller]
    fn finds(values: &[&[u8]], expected: &[&[u8]]) {
        let headers = headers(values);
        assert_eq!(candidates(&headers, b"__Host-id").collect::<Vec<_>>(), expected, "{values:?}");
    }

    #[test]
    fn all_pairs_of_all_headers_are_read_in_order() {
        finds(&[], &[]);
        finds(&[b""], &[]);
        finds(&[b"__Host-id=x"], &[b"x"]);
        finds(&[b"a=1; __Host-id=x; b=2"], &[b"x"]);
        finds(&[b"a=1", b"b=2; __Host-id=x", b"c=3"], &[b"x"]);
        finds(&[b"__Host-id=x; __Host-id=y", b"__Host-id=x;__Host-id="], &[b"x", b"y", b"x", b""]);
        finds(&[b";;; __Host-id=x;;"], &[b"x"]);
    }

    #[test]
    fn no_more_than_eight_are_given() {
        let many: Vec<String> = (0..20).map(|value| format!("__Host-id={value}")).collect();
        let expected: [&[u8]; 8] = [b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"7"];
        finds(&[many.join("; ").as_bytes()], &expected);
        finds(&many.iter().map(String::as_bytes).collect::<Vec<_>>(), &expected);
    }

    #[test]
    fn a_nameless_value_stands_for_no_name() {
        finds(&[b"__Host-id"], &[]);
        finds(&[b"__Host-id; =x; x"], &[]);
        finds(&[b"=__Host-id=x"], &[]);
        finds(&[b" =__Host-id=x", b"\t= __Host-id=x", b"==__Host-id=x"], &[]);
        finds(&[b"__Host-id", b"=x"], &[]);
    }

    #[test]
    fn other_cookies_may_be_any_bytes() {
        finds(&[b"a=\xff\xfe; __Host-id=x; \xc3=\x80"], &[b"x"]);
        finds(&[b"\xff=\xff", b"__Host-id=x"], &[b"x"]);
        finds(&[b"\xff__Host-id=x; __Host-id\xff=x; __Host-id=\xff"], &[b"\xff"]);
    }

    #[test]
    fn the_name_is_compared_byte_for_byte() {
        finds(&[b"__host-id=x; __HOST-ID=x; __Host-ID=x"], &[]);
        finds(&[b"%5F_Host-id=x; __Host_id=x; ..Host-id=x; __Host.id=x"], &[]);
        finds(&[b"__Host-idx=x; x__Host-id=x; id=x; __Host-i=x; __Host-id x=x; __Host-id id=x"], &[]);
        finds(&[b"__Host-id[]=x; __Host-id[=x; \"__Host-id\"=x; '__Host-id'=x"], &[]);
        finds(&[b"$Version=1; $Path=/; __Host-id=x"], &[b"x"]);
    }

    #[test]
    fn only_sp_and_htab_are_trimmed() {
        finds(&[b" \t __Host-id \t = \t x y \t "], &[b"x y"]);
        for space in ["\u{a0}", "\u{3000}", "\u{2028}", "\u{2000}", "\u{85}", "\u{feff}"] {
            finds(&[format!("{space}__Host-id=x").as_bytes(), format!("__Host-id{space}=x").as_bytes()], &[]);
            finds(&[format!("a=1;{space}__Host-id=x; {space} __Host-id=x").as_bytes()], &[]);
            let value = format!("{space}x{space}");
            finds(&[format!("__Host-id={value}").as_bytes()], &[value.as_bytes()]);
        }
        // Single bytes that some readers take for spaces.
        finds(&[b"\xa0__Host-id=x; \x85__Host-id=x; __Host-id\xa0=x"], &[]);
    }

    #[test]
    fn quotes_and_equals_signs_mean_nothing() {
        finds(&[b"__Host-id=\"x\""], &[b"\"x\""]);
        finds(&[b"a=\"1; __Host-id=x; b=\""], &[b"x"]);
        finds(&[b"__Host-id=\"x; a=y\""], &[b"\"x"]);
        finds(&[b"__Host-id=a=b==, __Host-id=c"], &[b"a=b==, __Host-id=c"]);
    }

    #[test]
    fn a_huge_header_takes_linear_time() {
        for unit in [";", "id=", "id=;", "__Host-id", "__Host-id=", "__Host-id ", "=", " ", "\t", " ;", "a=b; ", "\"", "_"] {
            let huge = unit.repeat((1 << 20) / unit.len());
            let padded = format!("{huge};__Host-id={huge}");
            let headers = headers(&[huge.as_bytes(), padded.as_bytes()]);
            let start = Instant::now();
            assert!(candidates(&headers, b"__Host-id").count() <= MOST_CANDIDATES);
            // It takes some hundredths of a second, even without optimization; a quadratic reader takes hours.
            assert!(start.elapsed() < Duration::from_secs(10), "{unit:?} took {:?}", start.elapsed());
        }
    }

    #[test]
    fn a_flood_of_cookies_allocates_nothing() {
        // As many bytes, and as many headers, as a server such as hyper accepts.
        let long = [vec![b'x'; 400_000], b"; __Host-id=x".to_vec()].concat();
        let pairs = ["a=b; ".repeat(50_000).as_bytes(), b"__Host-id=x"].concat();
        let many: Vec<Vec<u8>> = (0..100).map(|n| if n == 99 { b"__Host-id=x".to_vec() } else { vec![b'y'; 4000] }).collect();
        for values in [vec![long], vec![pairs], many] {
            let headers = headers(&values.iter().map(Vec::as_slice).collect::<Vec<_>>());
            let info = allocation_counter::measure(|| assert_eq!(candidates(&headers, b"__Host-id").count(), 1));
            assert_eq!(info.count_total, 0, "{info:?}");
        }
    }

    #[test]
    fn the_corpus_of_the_fuzz_target_passes() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/cookie");
        let files: Vec<_> = fs::read_dir(corpus).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(files.len() >= 5, "{} files", files.len());
        for file in files {
            println!("{}", file.display());
            check(&fs::read(&file).unwrap());
        }
    }

    /// Bytes that are mostly special to the reader.
    fn cookie_bytes() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            4 => prop::sample::select(vec!["id", "__Host-id", "a", "=", ";", "; ", " ", "\t", "\n", "\"", "\u{a0}", "\u{3000}"])
                .prop_map(|piece| piece.as_bytes().to_vec()),
            1 => any::<u8>().prop_map(|byte| vec![byte]),
        ];
        prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn prop_candidates_match_the_plain_reading(data in cookie_bytes()) {
            check(&data);
        }

        #[test]
        fn prop_arbitrary_bytes_match_the_plain_reading(data in prop::collection::vec(any::<u8>(), 0..300)) {
            check(&data);
        }
    }
}
