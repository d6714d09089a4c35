//! The list, through an entry.

use std::{borrow::Cow, collections::BTreeSet, fmt::Debug};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sessile_codec::{Entry, Error, Limits};

use crate::list::{Check, all};

/// What became of each shape.
#[derive(Default)]
struct Outcomes {
    names: BTreeSet<&'static str>,
    refused: BTreeSet<&'static str>,
    lost: Vec<String>,
}

impl Check for Outcomes {
    fn shape<T: Serialize + DeserializeOwned + PartialEq + Debug>(&mut self, name: &'static str, value: T) {
        assert!(self.names.insert(name), "{name} is there twice");
        let entry = match Entry::serde(&value, &Limits::default()) {
            Ok(entry) => entry,
            Err(Error::Unsupported { .. }) => {
                self.refused.insert(name);
                return;
            }
            Err(error) => panic!("{name}: {error}"),
        };
        match entry.get::<T>() {
            Ok(read) if read == value => {}
            Ok(read) => self.lost.push(format!("{name}: {value:?} came back as {read:?}")),
            Err(error) => self.lost.push(format!("{name}: {value:?} cannot be read: {error}")),
        }
    }
}

/// What is refused: each of these names, and what begins with one and a comma.
const REFUSED: [&str; 13] = [
    // Integers of 128 bits in types of the application's own.
    "times by functions",
    "u128 that fits",
    "i128 that fits",
    "wide",
    "wide and negative",
    "wide in a newtype",
    "wide in a variant",
    // Values of which one would hide another.
    "flattened map with a field's name",
    "flattened map with another field's name",
    "tagged map with the tag's name",
    "tagged struct with the tag's name",
    // Names of serde_json's own.
    "JSON with a key that serde_json takes for a number",
    "JSON with a key that serde_json takes for JSON",
];

/// What is stored although its name begins as one above.
const STORED: [&str; 2] = ["u128 that fits", "i128 that fits"];

#[test]
fn what_is_accepted_comes_back() {
    let mut outcomes = Outcomes::default();
    all(&mut outcomes);
    assert!(outcomes.lost.is_empty(), "{} lost:\n{}", outcomes.lost.len(), outcomes.lost.join("\n"));
    let is_refused = |name: &&&str| {
        let beginning = name.split_once(", ").map_or(**name, |(beginning, _)| beginning);
        (REFUSED.contains(name) || REFUSED.contains(&beginning)) && !STORED.contains(name)
    };
    let refused: BTreeSet<&str> = outcomes.names.iter().filter(is_refused).copied().collect();
    assert_eq!(outcomes.refused, refused, "of {} shapes", outcomes.names.len());
    assert!(refused.len() < outcomes.names.len() / 10, "{} of {}", refused.len(), outcomes.names.len());
}

/// Borrows from the bytes.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Borrowed<'a> {
    text: &'a str,
    #[serde(with = "serde_bytes")]
    bytes: &'a [u8],
    #[serde(borrow)]
    cow: Cow<'a, str>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum BorrowedUntagged<'a> {
    #[serde(borrow)]
    Struct(Borrowed<'a>),
    Text(&'a str),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct BorrowedFlat<'a> {
    id: u8,
    #[serde(flatten, borrow)]
    inner: Borrowed<'a>,
}

#[track_caller]
fn is_borrowed<'a, T: Serialize + Deserialize<'a> + PartialEq + Debug>(entry: &'a Entry, value: &T) {
    assert_eq!(entry.get::<T>().as_ref(), Ok(value));
}

#[test]
fn what_borrows_comes_back() {
    let borrowed = || Borrowed { text: "text", bytes: &[0xff, 0], cow: Cow::Borrowed("cow") };
    let stored = |value: &dyn Fn(&Limits) -> Result<Entry, Error>| value(&Limits::default()).unwrap();
    is_borrowed(&stored(&|limits| Entry::serde("text", limits)), &"text");
    is_borrowed(&stored(&|limits| Entry::serde(&borrowed(), limits)), &borrowed());
    is_borrowed(&stored(&|limits| Entry::serde(&(1, Some("a"), ["b"]), limits)), &(1, Some("a"), ["b"]));
    let untagged = [BorrowedUntagged::Struct(borrowed()), BorrowedUntagged::Text("text")];
    is_borrowed(&stored(&|limits| Entry::serde(&untagged, limits)), &untagged);
    let flat = BorrowedFlat { id: 1, inner: borrowed() };
    is_borrowed(&stored(&|limits| Entry::serde(&flat, limits)), &flat);
}
