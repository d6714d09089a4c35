//! Bytes from outside: whatever they are, there is an error or a record of which everything can be read.

use std::collections::{BTreeMap, HashMap};

use serde::de::{Deserialize, IgnoredAny};
use sessile_codec::{
    Entry, Error, Limits, MAX_DEPTH, Patch, Record,
    rkyv::{self, rancor::Panic},
};

use super::{
    KEY, content,
    models::{Chain, Kinds, Nothing, Profile, ProfileV1, Tree},
    seal,
    value::Value,
};

/// Reads `data` as it is, and once more with a header that is right.
pub fn run(data: &[u8]) {
    if let Ok(record) = Record::check(data, &KEY, 1 << 20) {
        assert_eq!(record.bytes(), data);
        walk(&record);
    }
    let mut sealed = data.to_vec();
    seal(&mut sealed);
    match Record::check(&sealed, &KEY, 1 << 20) {
        Ok(record) => walk(&record),
        Err(Error::BadArchive | Error::TooDeep { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

/// Reads everything in `record`, in every way.
pub fn walk(record: &Record) {
    let mut last = None;
    for (key, entry) in record.iter() {
        assert!(last.is_none_or(|last| last < key), "keys rise");
        last = Some(key);
        assert!(record.contains_key(key));
        let shared = record.entry(key).expect("it was listed");
        assert_eq!(content::parts(entry), content::parts(shared.as_ref()));
        assert_eq!(entry.bytes().as_ptr().addr() % 16, 0);
        serde_types(&shared);
        models(&shared);
    }
    // It can be written again, without a change and with one.
    let limits = Limits::UNLIMITED;
    let mut patch = Patch::new();
    let again = patch.apply(Some(record), &KEY, &record.meta(), &limits).expect("within every limit");
    assert!(
        again
            .iter()
            .map(|(key, entry)| (key, content::parts(entry)))
            .eq(record.iter().map(|(key, entry)| (key, content::parts(entry))))
    );
    patch.set("name", Entry::serde(&1, &limits).expect("a number can be stored"), &limits).expect("the key is short");
    let changed = patch.apply(Some(&again), &KEY, &record.meta(), &limits).expect("within every limit");
    let changed = Record::check(changed.bytes(), &KEY, limits.record_bytes).expect("it was written just now");
    assert_eq!(changed.get("name").expect("it was set").get(), Ok(1));
}

fn serde_types(entry: &Entry) {
    fn read<'a, T: Deserialize<'a>>(entry: &'a Entry) {
        match entry.get::<T>() {
            Ok(_) | Err(Error::WrongType { .. } | Error::WrongLane { .. } | Error::TooDeep { limit: MAX_DEPTH }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    read::<IgnoredAny>(entry);
    read::<Value>(entry);
    read::<serde_json::Value>(entry);
    read::<&str>(entry);
    read::<&[u8]>(entry);
    read::<(i128, u128, char, f32)>(entry);
    read::<Vec<Option<Option<u64>>>>(entry);
    read::<HashMap<String, [u64; 2]>>(entry);
    read::<BTreeMap<u8, ()>>(entry);
}

fn models(entry: &Entry) {
    if let Ok(view) = entry.view::<Kinds>() {
        assert!(view.is(&rkyv::deserialize::<Kinds, Panic>(&*view).expect("it was checked")));
    }
    if let Ok(view) = entry.view::<Profile>() {
        assert!(view.is(&rkyv::deserialize::<Profile, Panic>(&*view).expect("it was checked")));
    }
    if let Ok(view) = entry.view::<ProfileV1>() {
        assert!(view.name.as_str().len() <= entry.as_ref().bytes().len());
    }
    if let Ok(view) = entry.view::<Tree>() {
        assert!(view.count() > 0);
    }
    if let Ok(view) = entry.view::<Chain>() {
        assert!((1..=MAX_DEPTH).contains(&view.count()));
    }
    let _ = entry.view::<Nothing>();
}
