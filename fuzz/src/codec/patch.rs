//! Patches do to a record what the same edits do to a sorted map.

use std::collections::BTreeMap;

use arbitrary::{Arbitrary, Unstructured};
use sessile_codec::{Limits, Meta, Patch, Record};

use super::{
    KEY,
    content::{self, Content, absent, parts},
};

/// One edit.
enum Edit {
    Set(String, Content),
    Remove(String),
    Clear,
}

impl Edit {
    fn new(input: &mut Unstructured<'_>) -> arbitrary::Result<Self> {
        Ok(match input.int_in_range(0..=15)? {
            0..=9 => Self::Set(content::key(input)?, Content::arbitrary(input)?),
            10..=14 => Self::Remove(content::key(input)?),
            _ => Self::Clear,
        })
    }
}

/// Applies the patches that `data` describes, one after the other.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let (mut record, mut map) = (None, BTreeMap::new());
    for revision in 1..8 {
        let Ok(edits) = edits(&mut input) else { return };
        let meta = Meta { revision, ..Meta::default() };
        let patched = apply(record.as_ref(), &mut map, edits, &meta);
        content::check(&patched, &map);
        // Only what a patch makes of the record counts, not the way to it.
        assert_eq!(patched.bytes(), content::record_of(&meta, &map).bytes());
        record = Some(patched);
    }
}

fn edits(input: &mut Unstructured<'_>) -> arbitrary::Result<Vec<Edit>> {
    let mut edits = Vec::new();
    while !input.is_empty() && input.ratio(7, 8)? {
        edits.push(Edit::new(input)?);
    }
    Ok(edits)
}

/// Edits the map, and the record by a patch, which must be right before it is applied too.
fn apply(record: Option<&Record>, map: &mut BTreeMap<String, Content>, edits: Vec<Edit>, meta: &Meta) -> Record {
    let limits = Limits::default();
    let mut patch = Patch::new();
    let (mut cleared, mut touched) = (false, BTreeMap::new());
    for edit in edits {
        match edit {
            Edit::Set(key, content) => {
                let Some(entry) = content.entry() else { continue };
                patch.set(&key, entry, &limits).expect("keys are short");
                touched.insert(key.clone(), true);
                map.insert(key, content);
            }
            Edit::Remove(key) => {
                patch.remove(&key);
                map.remove(&key);
                touched.insert(key, false);
            }
            Edit::Clear => {
                patch.clear();
                map.clear();
                touched.clear();
                cleared = true;
            }
        }
    }
    assert_eq!(patch.is_cleared(), cleared);
    assert_eq!(patch.is_empty(), !cleared && touched.is_empty());
    assert!(patch.keys().eq(touched.iter().map(|(key, is_set)| (key.as_str(), *is_set))));
    for (key, is_set) in &touched {
        assert_eq!(patch.get(key).map(|change| change.is_some()), Some(*is_set));
    }
    assert_eq!(patch.get(&absent(touched.keys())).map(|change| change.is_some()), cleared.then_some(false));

    let patched = patch.apply(record, &KEY, meta, &limits).expect("test records are small");
    for (key, entry) in record.iter().flat_map(|record| record.iter()) {
        if !cleared && !touched.contains_key(key) {
            assert_eq!(patched.get(key).map(parts), Some(parts(entry)), "{key:?} was not touched");
        }
    }
    patched
}
