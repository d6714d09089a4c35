//! Nesting is limited to 64 levels, and no depth exhausts a small stack.

use std::collections::BTreeMap;

use serde::{
    Deserialize, Serialize, Serializer,
    de::{DeserializeOwned, IgnoredAny},
    ser::SerializeSeq,
};
use sessile_codec::{Entry, Error, Limits, MAX_DEPTH};

use crate::{
    forge::{self, Forged},
    fuzz::models::{Chain, Tree},
};

const DEEP: usize = 200_000;
const TOO_DEEP: Error = Error::TooDeep { limit: 64 };
const LIMITS: Limits = Limits::UNLIMITED;

/// Runs `test` where one frame for each of [`DEEP`] levels has no room.
fn on_a_small_stack(test: fn()) {
    std::thread::Builder::new().stack_size(256 << 10).spawn(test).unwrap().join().unwrap();
}

/// Arrays in arrays, which are not in memory.
struct Arrays(usize);

impl Serialize for Arrays {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(usize::from(self.0 > 1)))?;
        if self.0 > 1 {
            seq.serialize_element(&Self(self.0 - 1))?;
        }
        seq.end()
    }
}

/// Options in options.
struct Options(usize);

impl Serialize for Options {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 == 0 { serializer.serialize_u8(0) } else { serializer.serialize_some(&Self(self.0 - 1)) }
    }
}

#[derive(Serialize, Deserialize)]
enum Variants {
    End,
    More(Box<Variants>),
}

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Lists(Vec<Lists>);

#[derive(Serialize, Deserialize)]
struct Newtypes(Option<Box<Newtypes>>);

/// Reads the serde bytes as a `T`, out of a record.
fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<(), Error> {
    forge::read(vec![Forged::serde("k", bytes)]).get("k").unwrap().get::<T>().map(drop)
}

#[test]
fn serde_values_are_written_down_to_64_levels() {
    assert_eq!(MAX_DEPTH, 64);
    on_a_small_stack(|| {
        assert!(Entry::serde(&Arrays(64), &LIMITS).is_ok());
        assert!(Entry::serde(&Options(64), &LIMITS).is_ok());
        for levels in [65, DEEP] {
            assert_eq!(Entry::serde(&Arrays(levels), &LIMITS).unwrap_err(), TOO_DEEP);
            assert_eq!(Entry::serde(&Options(levels), &LIMITS).unwrap_err(), TOO_DEEP);
        }
    });
}

#[test]
fn serde_values_are_read_down_to_64_levels() {
    on_a_small_stack(|| {
        let nested = |level: &[u8], levels: usize, end: &[u8]| [&level.repeat(levels), end].concat();
        let arrays = |levels| nested(&[0x91], levels - 1, &[0x90]);
        assert_eq!(read::<IgnoredAny>(&arrays(64)), Ok(()));
        assert_eq!(read::<serde_json::Value>(&arrays(64)), Ok(()));
        assert_eq!(read::<Lists>(&arrays(64)), Ok(()));
        let variants = |levels| nested(b"\x81\xa4More", levels, b"\xa3End");
        assert_eq!(read::<Variants>(&variants(64)), Ok(()));
        for levels in [65, DEEP] {
            assert_eq!(read::<IgnoredAny>(&arrays(levels)), Err(TOO_DEEP));
            assert_eq!(read::<serde_json::Value>(&arrays(levels)), Err(TOO_DEEP));
            assert_eq!(read::<Lists>(&arrays(levels)), Err(TOO_DEEP));
            assert_eq!(read::<Variants>(&variants(levels)), Err(TOO_DEEP));
            // Maps nested in their keys, and in their values.
            assert_eq!(read::<IgnoredAny>(&nested(&[0x81], levels, &[0xc0].repeat(levels + 1))), Err(TOO_DEEP));
            assert_eq!(read::<serde_json::Value>(&nested(&[0x81, 0xa1, b'k'], levels, &[0xc0])), Err(TOO_DEEP));
        }
        assert!(read::<BTreeMap<Vec<u8>, ()>>(&nested(&[0x81], DEEP, &[0xc0].repeat(DEEP + 1))).is_err());
        // The levels are all in the type here: any scalar could be one more option.
        assert_eq!(read::<Newtypes>(&[5]), Err(TOO_DEEP));
    });
}

/// A chain of so many links, and so many levels.
fn chain(links: usize) -> Chain {
    (1..links).fold(Chain { next: None }, |next, _| Chain { next: Some(Box::new(next)) })
}

/// Drops it link by link, which its own `Drop` would do by recursion.
fn dismantle(mut chain: Chain) {
    while let Some(next) = chain.next.take() {
        chain = *next;
    }
}

/// What an archive of [`chain`] is: each link a tag and a pointer to the one before it.
fn archived_chain(links: usize) -> Vec<u8> {
    let mut bytes = vec![0; 8];
    for _ in 1..links {
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend((-12_i32).to_le_bytes());
    }
    bytes
}

#[test]
fn models_are_written_down_to_64_levels() {
    on_a_small_stack(|| {
        let entry = Entry::model(&chain(64), &LIMITS).unwrap();
        assert_eq!(entry.as_ref().bytes(), archived_chain(64));
        assert_eq!(entry.view::<Chain>().unwrap().count(), 64);
        for links in [65, 66, DEEP] {
            let chain = chain(links);
            assert_eq!(Entry::model(&chain, &LIMITS).unwrap_err(), TOO_DEEP);
            dismantle(chain);
        }
    });
}

#[test]
fn a_model_that_does_not_say_that_it_nests_is_refused_too() {
    let tree = |levels| {
        let leaf = Tree { label: "leaf".to_owned(), children: vec![] };
        (2..levels).fold(leaf, |inner, _| Tree { label: "a longer label".to_owned(), children: vec![inner] })
    };
    assert!(Entry::model(&tree(64), &LIMITS).unwrap().view::<Tree>().unwrap().is(&tree(64)));
    for levels in [65, 100, 500] {
        assert_eq!(Entry::model(&tree(levels), &LIMITS).unwrap_err(), TOO_DEEP);
    }
}

#[test]
fn models_are_read_down_to_64_levels() {
    on_a_small_stack(|| {
        let view = |links| {
            let record = forge::read(vec![Forged::model::<Chain>("k", "chain", 1, &archived_chain(links))]);
            record.entry("k").unwrap().view::<Chain>().map(|view| view.count())
        };
        assert_eq!(view(64), Ok(64));
        for links in [65, DEEP] {
            assert_eq!(view(links), Err(TOO_DEEP));
        }
    });
}

#[test]
fn depth_is_an_error_that_says_so() {
    assert_eq!(TOO_DEEP.to_string(), "a value is nested more than 64 levels deep; store it flatter");
}
