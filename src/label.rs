//! How a session is described in a list of its owner's sessions: what the session writes and the store's list reads.

use sessile_codec::{Entry, Limits, Model, Record, Tag, rkyv};

/// Where it stands in a record.
pub(crate) const KEY: &str = "sessile.label";

/// Longest label kept: enough for a device and a browser by name; a long `User-Agent` is cut.
const MOST_BYTES: usize = 256;

#[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
#[rkyv(crate = sessile_codec::rkyv)]
struct Label(String);

impl Model for Label {
    const TAG: Tag = Tag::new("label");
}

/// The entry for `text`, cut to what is kept; `None` if `old` says the same.
pub(crate) fn changed(old: Option<&Entry>, text: &str) -> Option<Entry> {
    let text = &text[..text.floor_char_boundary(MOST_BYTES)];
    let same = old.and_then(|old| old.view::<Label>().ok()).is_some_and(|old| *old.0 == *text);
    let label = || Entry::model(&Label(text.to_owned()), &Limits::UNLIMITED).expect("a short text is within every limit");
    (!same).then(label)
}

/// The label in `record`.
pub(crate) fn of(record: &Record) -> Option<String> {
    Some(record.entry(KEY)?.view::<Label>().ok()?.0.as_str().to_owned())
}
