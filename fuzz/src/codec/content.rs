//! What is in a record: values of both lanes by their keys, and how to compare a record with it.

use std::collections::BTreeMap;

use arbitrary::{Arbitrary, Unstructured};
use sessile_codec::{Entry, EntryRef, Error, Lane, Limits, MAX_DEPTH, Meta, Patch, Record};

use super::{
    KEY,
    models::{Kinds, Nothing, Profile, ProfileV1, Tree},
    value::Value,
};

/// A value of either lane.
#[derive(Arbitrary, Clone, Debug, PartialEq)]
pub enum Content {
    Value(Value),
    Wide((i128, Vec<u128>)),
    Kinds(Kinds),
    Profile(Profile),
    OldProfile(ProfileV1),
    Tree(Tree),
    Nothing(Nothing),
}

impl Content {
    /// The entry for it, or `None` if it is nested too deep, which must be true then.
    pub fn entry(&self) -> Option<Entry> {
        let limits = Limits::default();
        let entry = match self {
            Self::Value(value) => Entry::serde(value, &limits),
            Self::Wide(integers) => Entry::serde(integers, &limits),
            Self::Kinds(kinds) => Entry::model(kinds, &limits),
            Self::Profile(profile) => Entry::model(profile, &limits),
            Self::OldProfile(profile) => Entry::model(profile, &limits),
            Self::Tree(tree) => Entry::model(tree, &limits),
            Self::Nothing(nothing) => Entry::model(nothing, &limits),
        };
        let levels = match self {
            Self::Value(value) => value.levels(),
            Self::Tree(tree) => tree.levels(),
            _ => 0,
        };
        match entry {
            Ok(entry) => {
                assert!(levels <= MAX_DEPTH, "{levels} levels were written");
                Some(entry)
            }
            Err(error) => {
                assert_eq!(error, Error::TooDeep { limit: MAX_DEPTH });
                assert!(levels > MAX_DEPTH, "{levels} levels were refused");
                None
            }
        }
    }

    /// Checks that `entry` is this value.
    #[track_caller]
    pub fn check(&self, entry: &Entry) {
        assert_eq!(entry.as_ref().bytes().as_ptr().addr() % 16, 0);
        match self {
            Self::Value(value) => assert_eq!(entry.get::<Value>().as_ref(), Ok(value)),
            Self::Wide(integers) => assert_eq!(entry.get().as_ref(), Ok(integers)),
            Self::Kinds(kinds) => assert!(entry.view::<Kinds>().unwrap().is(kinds), "{kinds:?}"),
            Self::Profile(profile) => assert!(entry.view::<Profile>().unwrap().is(profile), "{profile:?}"),
            Self::OldProfile(ProfileV1 { name, tags, .. }) => {
                assert!(entry.is_older::<Profile>());
                let migrated = Profile { display_name: name.clone(), theme: None, tags: tags.clone() };
                assert!(entry.view::<Profile>().unwrap().is(&migrated), "{migrated:?}");
            }
            Self::Tree(tree) => assert!(entry.view::<Tree>().unwrap().is(tree), "{tree:?}"),
            Self::Nothing(_) => drop(entry.view::<Nothing>().unwrap()),
        }
        let is_model = matches!(entry.as_ref().lane(), Lane::Model { .. });
        assert_ne!(is_model, matches!(self, Self::Value(_) | Self::Wide(_)));
    }
}

/// A name of an entry: one of a few, so that they meet, or any.
pub fn key(input: &mut Unstructured<'_>) -> arbitrary::Result<String> {
    const NAMES: [&str; 8] = ["a", "b", "name", "namesake", "a key of more than eight bytes", "ä", "z", "\0"];
    if input.ratio(7, 8)? {
        return input.choose(&NAMES).map(|name| (*name).to_owned());
    }
    let key = String::arbitrary(input)?;
    if Limits::default().key_bytes >= key.len() && !key.is_empty() { Ok(key) } else { Ok("other".to_owned()) }
}

/// Meta data of any content.
pub fn meta(input: &mut Unstructured<'_>) -> arbitrary::Result<Meta> {
    Ok(Meta {
        revision: input.arbitrary()?,
        created_ms: input.arbitrary()?,
        last_seen_ms: input.arbitrary()?,
        idle_deadline_ms: input.arbitrary()?,
        absolute_deadline_ms: input.arbitrary()?,
        owner: input.arbitrary()?,
        cookie_deadline_ms: input.arbitrary()?,
        handle: input.arbitrary()?,
        authenticated_ms: input.arbitrary()?,
        flags: input.arbitrary()?,
    })
}

/// Values by key that can all be stored.
pub fn entries(input: &mut Unstructured<'_>) -> arbitrary::Result<BTreeMap<String, Content>> {
    let mut entries = BTreeMap::new();
    while !input.is_empty() && input.ratio(9, 10)? {
        let (key, content) = (key(input)?, Content::arbitrary(input)?);
        if content.entry().is_some() {
            entries.insert(key, content);
        }
    }
    Ok(entries)
}

/// The record of `entries`, whose values can all be stored.
pub fn record_of<'a>(meta: &Meta, entries: impl IntoIterator<Item = (&'a String, &'a Content)>) -> Record {
    let limits = Limits::default();
    let mut patch = Patch::new();
    for (key, content) in entries {
        patch.set(key, content.entry().expect("it can be stored"), &limits).expect("keys are short");
    }
    patch.apply(None, &KEY, meta, &limits).expect("test records are small")
}

/// Checks that `record` holds `entries` and nothing else.
#[track_caller]
pub fn check(record: &Record, entries: &BTreeMap<String, Content>) {
    assert!(record.iter().map(|(key, _)| key).eq(entries.keys().map(String::as_str)));
    assert_eq!((record.len(), record.is_empty()), (entries.len(), entries.is_empty()));
    for (key, content) in entries {
        assert!(record.contains_key(key));
        content.check(&record.entry(key).expect("it is in the list of keys"));
    }
    assert!(record.entry(&absent(entries.keys())).is_none());
}

/// A key that is none of `keys`: a fuzzer finds out any that always is the same.
pub fn absent<'a>(keys: impl Iterator<Item = &'a String>) -> String {
    let longest = keys.max_by_key(|key| key.len()).map_or("", String::as_str);
    format!("{longest}x")
}

/// What an entry is made of.
pub fn parts(entry: EntryRef<'_>) -> (Lane, Vec<u8>) {
    (entry.lane(), entry.bytes().to_vec())
}
