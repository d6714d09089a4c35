//! The description of a session in the list of its owner's sessions.

use sessile_codec::{Entry, Limits, Model, ModelPart, Record, Shape, Tag, rkyv, shape};

/// The label's key in a record.
pub(crate) const KEY: &str = "sessile.label";

/// The longest label: enough for the names of a device and a browser; a long `User-Agent` is cut.
const MOST_BYTES: usize = 256;

#[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
#[rkyv(crate = sessile_codec::rkyv)]
struct Label(String);

impl ModelPart for Label {
    const SHAPE: &'static Shape = shape!(0: String);
}

impl Model for Label {
    const TAG: Tag = Tag::new("label");
}

/// Returns the entry for `text`, cut to the limit; `None` if `old` is the same.
pub(crate) fn changed(old: Option<&Entry>, text: &str) -> Option<Entry> {
    let text = &text[..text.floor_char_boundary(MOST_BYTES)];
    let same = old.and_then(|old| old.view::<Label>().ok()).is_some_and(|old| *old.0 == *text);
    let label = || Entry::model(&Label(text.to_owned()), &Limits::UNLIMITED).expect("a short text is within every limit");
    (!same).then(label)
}

/// Returns the label in `record`.
pub(crate) fn of(record: &Record) -> Option<String> {
    Some(record.entry(KEY)?.view::<Label>().ok()?.0.as_str().to_owned())
}
