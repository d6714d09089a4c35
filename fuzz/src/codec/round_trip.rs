//! What is put into a record comes out of its bytes, and the same content gives the same bytes.

use arbitrary::Unstructured;
use sessile_codec::{Limits, Meta, Record};

use super::{KEY, content};

/// Writes a record of what `data` describes, reads it back and writes it again in another way.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let (Ok(meta), Ok(entries)) = (content::meta(&mut input), content::entries(&mut input)) else { return };
    let record = content::record_of(&meta, &entries);
    let stored = record.bytes().to_vec();
    content::check(&record, &entries);

    let read = Record::check(&stored, &KEY, Limits::default().record_bytes).expect("it was written just now");
    assert_eq!(read.meta(), meta);
    assert_eq!(read.bytes(), stored);
    content::check(&read, &entries);

    assert_eq!(content::record_of(&meta, entries.iter().rev()).bytes(), stored, "set in another order");
    assert_eq!(read.with_meta(&KEY, &meta).bytes(), stored, "copied under the same header");
    let mut other_key = KEY;
    other_key[0] ^= 1;
    assert!(Record::check(&stored, &other_key, stored.len()).is_err(), "read under another record key");
    let other_meta = Meta { revision: !meta.revision, ..meta };
    let moved = Record::check(read.with_meta(&other_key, &other_meta).bytes(), &other_key, stored.len());
    let moved = moved.expect("it was written under this key just now");
    assert_eq!(moved.meta(), other_meta);
    content::check(&moved, &entries);
}
