//! Messages for the next page, and a session's label in lists.
//!
//! Both are models under reserved keys. Messages are changed by `update`, so that concurrent requests lose none.

use std::fmt;

use sessile_codec::{Entry, Limits, Model, ModelPart, Shape, Tag, rkyv, shape};

use crate::session::state::State;
use crate::{Error, label};

const FLASHES: &str = "sessile.flashes";

/// A message that is shown once.
#[derive(Clone, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
#[rkyv(crate = sessile_codec::rkyv, archived = ArchivedFlash)]
#[non_exhaustive]
pub struct Flash {
    /// The kind of message: a [`Level`] as a word, or a word of the application's own.
    pub level: String,
    /// The message. It is text, not HTML: escape it.
    pub text: String,
}

impl Flash {
    /// Returns the level, if it is a [`Level`] and not a word of the application's own.
    pub fn level(&self) -> Option<Level> {
        Level::ALL.into_iter().find(|level| level.as_str() == self.level)
    }
}

/// How important a message is, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Level {
    /// For developers: "debug".
    Debug,
    /// For information: "info".
    Info,
    /// The requested action is done: "success".
    Success,
    /// It is done, with reservations: "warning".
    Warning,
    /// It is not done: "error".
    Error,
}

impl Level {
    const ALL: [Self; 5] = [Self::Debug, Self::Info, Self::Success, Self::Warning, Self::Error];

    /// Returns the level as one lower-case word, usable as a CSS class.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Success => "success",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl From<Level> for String {
    fn from(level: Level) -> Self {
        level.as_str().to_owned()
    }
}

#[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
#[rkyv(crate = sessile_codec::rkyv)]
struct Flashes(Vec<Flash>);

impl ModelPart for Flash {
    const SHAPE: &'static Shape = shape!(level: String, text: String);
}

impl ModelPart for Flashes {
    const SHAPE: &'static Shape = shape!(0: Vec<Flash>);
}

impl Model for Flashes {
    const TAG: Tag = Tag::new("flashes");
}

/// Returns the messages in `entry`; none if they cannot be read, which must not make a page fail.
fn read(entry: Option<&Entry>) -> Vec<Flash> {
    let view = entry.and_then(|entry| entry.view::<Flashes>().ok());
    let owned = |flash: &ArchivedFlash| Flash { level: flash.level.as_str().to_owned(), text: flash.text.as_str().to_owned() };
    view.map_or_else(Vec::new, |view| view.0.iter().map(owned).collect())
}

fn write(flashes: Vec<Flash>, limits: &Limits) -> Result<Option<Entry>, Error> {
    if flashes.is_empty() { Ok(None) } else { Ok(Some(Entry::model(&Flashes(flashes), limits)?)) }
}

pub(in crate::session) fn push(state: &mut State, flash: Flash, limits: &Limits) -> Result<(), Error> {
    let limits = *limits;
    let change = move |old: Option<&Entry>| {
        let mut flashes = read(old);
        flashes.push(flash.clone());
        write(flashes, &limits)
    };
    let new = change(state.get(FLASHES).as_ref())?;
    state.update(FLASHES, new, Box::new(change), &limits)
}

pub(in crate::session) fn take(state: &mut State, limits: &Limits) -> Vec<Flash> {
    let taken = read(state.get(FLASHES).as_ref());
    if !taken.is_empty() {
        let (shown, limits) = (taken.clone(), *limits);
        // At commit there may be more messages, from another request: those stay.
        let change = move |old: Option<&Entry>| {
            let mut flashes = read(old);
            for shown in &shown {
                if let Some(at) = flashes.iter().position(|flash| flash == shown) {
                    flashes.remove(at);
                }
            }
            write(flashes, &limits)
        };
        let removed = state.update(FLASHES, None, Box::new(change), &limits);
        debug_assert!(removed.is_ok(), "to remove a value exceeds no limit");
    }
    taken
}

pub(in crate::session) fn set_label(state: &mut State, text: &str, limits: &Limits) -> Result<(), Error> {
    label::changed(state.get(label::KEY).as_ref(), text).map_or(Ok(()), |entry| state.set(label::KEY, entry, limits))
}
