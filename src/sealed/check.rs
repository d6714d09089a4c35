//! Checks the code that opens sealed sessions, with keys that never change: for tests and the fuzz target.

use http::HeaderValue;

use super::{
    super::{Cookie, cookie},
    MOST_SESSION_BYTES, Prepared, Sealer, parse,
    parts::{self, LINE_BYTES, MOST_PARTS},
};
use crate::{
    Keys,
    keys::{OVERHEAD, SealRing},
};

/// Returns a sealer whose keys and settings are all known.
fn sealer() -> Sealer {
    let ring = SealRing::of(&Keys::from([1; 32]).accept([2; 32]));
    let cookie = Cookie::new().build().expect("the default cookie is valid");
    let (store_id, threshold_bytes, limit_bytes) = ([7; 16], MOST_SESSION_BYTES, usize::MAX);
    let prepared = Prepared::new(store_id, threshold_bytes, limit_bytes, &cookie, 0);
    Sealer { ring, store_id, threshold_bytes, limit_bytes, prepared }
}

/// Reads `data` as `Cookie` headers, one per line, and then as the content of a valid seal.
pub(crate) fn check(data: &[u8]) {
    let sealer = sealer();
    let lines = data.split(|byte| *byte == b'\n');
    let headers: Vec<HeaderValue> = lines.filter_map(|line| HeaderValue::from_bytes(line).ok()).collect();
    check_headers(&sealer, &headers);
    let most = LINE_BYTES / 4 * 3 - OVERHEAD - super::GRAIN;
    check_content(&sealer, &data[..data.len().min(most)]);
}

/// Checks that whatever opens is what this sealer once wrote.
fn check_headers(sealer: &Sealer, headers: &[HeaderValue]) {
    let template = &sealer.prepared.parts[0];
    assert!(parts::sent(headers, &sealer.prepared.parts) < 1 << MOST_PARTS);
    for value in cookie::candidates(headers, template.name().as_bytes()) {
        let read = sealer.read(headers, value);
        assert!(read.is_none() || parts::is_sealed(value));
        if let Some((key, epoch, Ok(record))) = read {
            let again = sealer.seal(&key, epoch, &record).expect("the system has random bytes");
            let (key_again, epoch_again, record_again) = opened(sealer, &again).expect("it was sealed just now");
            assert_eq!((key_again, epoch_again), (key, epoch));
            assert_eq!(record_again.expect("its content is the same").bytes(), record.bytes());
        }
    }
}

/// Checks that authentic content is still read with care: an older release may have written it.
fn check_content(sealer: &Sealer, content: &[u8]) {
    let text = sealer.text_of(content.to_vec()).expect("the system has random bytes");
    let found = opened(sealer, &text);
    // Content that parses by itself is found unchanged: the added zeros are no content.
    if let Some((key, epoch, record)) = parse(content) {
        let (found_key, found_epoch, found_record) = found.expect("it parses");
        assert_eq!((found_key, found_epoch), (key, epoch));
        if let Ok(found_record) = found_record {
            assert_eq!(found_record.bytes(), record);
        }
    }
}

/// Returns the result of reading a text from the cookies that carry it.
fn opened(
    sealer: &Sealer,
    text: &str,
) -> Option<(sessile_codec::Key, u64, Result<sessile_codec::Record, sessile_codec::Error>)> {
    let values = parts::split(text, &sealer.prepared.parts);
    let cookies = sealer.prepared.parts.iter().zip(&values);
    let header = |(cookie, value): (&cookie::CookieTemplate, &String)| format!("{}={value}", cookie.name());
    let headers: Vec<_> = cookies.map(|pair| HeaderValue::try_from(header(pair)).expect("it is base64url")).collect();
    sealer.read(&headers, values[0].as_bytes())
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_corpus_of_the_fuzz_target_passes() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/sealed_cookie");
        let files: Vec<_> = fs::read_dir(corpus).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(files.len() >= 5, "{} files", files.len());
        for file in files {
            println!("{}", file.display());
            check(&fs::read(&file).unwrap());
        }
    }

    /// Every later release opens what the first one set.
    #[test]
    fn a_cookie_of_the_first_release_opens() {
        let golden = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/sealed_cookie/good")).unwrap();
        let headers = [HeaderValue::from_bytes(&golden).unwrap()];
        let value = golden.strip_prefix(b"__Host-id=").unwrap();
        let (key, epoch, record) = sealer().read(&headers, value).unwrap();
        let record = record.unwrap();
        assert_eq!((key, epoch, record.meta().revision), ([9; 16], 3, 5));
        #[cfg(feature = "serde")]
        assert_eq!(record.get("name").unwrap().get::<&str>(), Ok("Ada"));
    }

    #[test]
    fn nothing_is_allocated_in_proportion_to_garbage() {
        let sealer = sealer();
        let good = sealer.text_of(vec![0; 100]).unwrap();
        let known = &good[..40];
        let long = [format!("~1{}", "A".repeat(400_000)), format!("~1{known}{}", "A".repeat(400_000)), "~".repeat(400_000)];
        for value in long.iter().map(String::as_bytes) {
            let info = allocation_counter::measure(|| assert!(sealer.read(&[], value).is_none()));
            assert_eq!(info.bytes_total, 0, "longer than any that is set");
        }
        // One that could be ours, except its key is unknown: eight characters of it are decoded.
        let value = format!("~1{}", "A".repeat(4000));
        let info = allocation_counter::measure(|| assert!(sealer.read(&[], value.as_bytes()).is_none()));
        assert!(info.bytes_total <= 16, "{info:?}");
        // And for a known one, no more than one of our cookies takes.
        let value = format!("~1{known}{}", "A".repeat(4000));
        let info = allocation_counter::measure(|| assert!(sealer.read(&[], value.as_bytes()).is_none()));
        assert!(info.bytes_total <= 4096, "{info:?}");
    }

    #[test]
    fn the_largest_session_that_is_sealed_fits_and_one_byte_more_does_not() {
        /// Id, epoch and length.
        const BEFORE_THE_RECORD: usize = 28;
        let (sealer, cookie) = (sealer(), Cookie::new().build().unwrap());
        for limit in [1000, 3500, 4150, 7500, usize::MAX] {
            let prepared = Prepared::new([7; 16], usize::MAX, limit, &cookie, 0);
            for (behind_the_first, most) in (0_u8..).zip(prepared.most_bytes) {
                let room = parts::room(&prepared.parts, behind_the_first << 1, limit).min(LINE_BYTES);
                let text_bytes = |record: usize| sealer.text_of(vec![0; BEFORE_THE_RECORD + record]).unwrap().len();
                assert!(most > 0 && text_bytes(most) <= room, "{limit}, {behind_the_first:b}: {most}");
                assert!(text_bytes(most + 1) > room, "{limit}, {behind_the_first:b}: {most}");
            }
        }
    }

    proptest! {
        #[test]
        fn prop_whatever_a_seal_holds_is_read_or_refused(data in prop::collection::vec(any::<u8>(), 0..300)) {
            check(&data);
        }
    }
}
