//! What callers' code does while it is called: a panic, a value stored on the way, a thread that ends.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rkyv::{
    Archive, Place,
    rancor::Fallible,
    ser::Writer,
    vec::{ArchivedVec, VecResolver},
};
use serde::{Serialize, Serializer, ser::SerializeSeq};
use sessile_codec::{Entry, Error, Limits, Meta, Model, ModelPart, Patch, Record, Shape, Tag, rkyv, shape};

use crate::fuzz::{KEY, models::Nothing};

const LIMITS: Limits = Limits { record_bytes: 1 << 20, keys: 10, key_bytes: 10 };

/// What a value does after the first half of it was written.
#[derive(Clone, Copy)]
enum Then {
    Panic,
    Fail,
    StoreAnother,
    Nothing,
}

impl Then {
    fn run(self) -> bool {
        match self {
            Self::Panic => panic!("as it should"),
            Self::StoreAnother => assert_eq!(record().get("k").unwrap().get(), Ok("text")),
            Self::Fail | Self::Nothing => {}
        }
        matches!(self, Self::Fail)
    }
}

/// A record of a model and a serde value.
fn record() -> Record {
    let mut patch = Patch::new();
    patch.set("k", Entry::serde("text", &LIMITS).unwrap(), &LIMITS).unwrap();
    patch.set("m", Entry::model(&Odd(Then::Nothing), &LIMITS).unwrap(), &LIMITS).unwrap();
    patch.apply(None, &KEY, &Meta::default(), &LIMITS).unwrap()
}

/// A model and a serde value that is written as sixteen bytes, or not to the end.
struct Odd(Then);

impl Archive for Odd {
    type Archived = [u8; 16];
    type Resolver = ();

    fn resolve(&self, (): (), out: Place<[u8; 16]>) {
        self.0.run();
        [7_u8; 16].resolve([(); 16], out);
    }
}

impl<S: Fallible + Writer + ?Sized> rkyv::Serialize<S> for Odd {
    fn serialize(&self, serializer: &mut S) -> Result<(), S::Error> {
        serializer.write(&[9; 1000])?;
        self.0.run();
        // Too much for the limit, which is how a model fails.
        if matches!(self.0, Then::Fail) { serializer.write(&vec![9; 2 << 20]) } else { Ok(()) }
    }
}

impl ModelPart for Odd {
    const SHAPE: &'static Shape = shape!();
}

impl<D: Fallible + ?Sized> rkyv::Deserialize<Odd, D> for [u8; 16] {
    fn deserialize(&self, _: &mut D) -> Result<Odd, D::Error> {
        Ok(Odd(Then::Nothing))
    }
}

impl Model for Odd {
    const TAG: Tag = Tag::new("odd");
}

impl Serialize for Odd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(2))?;
        seq.serialize_element("the first half")?;
        if self.0.run() {
            return Err(serde::ser::Error::custom("as it should"));
        }
        seq.serialize_element("the second half")?;
        seq.end()
    }
}

#[test]
fn a_value_that_panics_or_fails_leaves_nothing_behind() {
    let before = record();
    for then in [Then::Panic, Then::Fail, Then::StoreAnother] {
        let model = catch_unwind(|| Entry::model(&Odd(then), &LIMITS));
        assert_eq!(record().bytes(), before.bytes());
        let serde = catch_unwind(|| Entry::serde(&Odd(then), &LIMITS));
        assert_eq!(record().bytes(), before.bytes());
        match then {
            Then::Panic => assert!(model.is_err() && serde.is_err()),
            Then::Fail => {
                assert!(matches!(model, Ok(Err(Error::ValueTooLarge { .. }))));
                assert!(matches!(serde, Ok(Err(Error::Unsupported { .. }))));
            }
            Then::StoreAnother | Then::Nothing => {
                assert_eq!(model.unwrap().unwrap().as_ref().bytes()[1000 - 1000 % 16..].len(), 16 + 1000 % 16);
                assert_eq!(serde.unwrap().unwrap().get(), Ok(("the first half", "the second half")));
            }
        }
    }
}

/// Stores values when its thread ends.
struct AtThreadEnd(std::sync::mpsc::Sender<Vec<u8>>);

impl Drop for AtThreadEnd {
    fn drop(&mut self) {
        let bytes = catch_unwind(AssertUnwindSafe(|| record().bytes().to_vec()));
        self.0.send(bytes.unwrap_or_default()).unwrap();
    }
}

#[test]
fn a_thread_that_ends_can_still_store() {
    thread_local! {
        static LAST: std::cell::RefCell<Option<AtThreadEnd>> = const { std::cell::RefCell::new(None) };
    }
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        // First, so that it is dropped last: after the buffers of the codec, which come with the first record.
        LAST.set(Some(AtThreadEnd(sender)));
        drop(record());
    });
    assert_eq!(receiver.recv().unwrap(), record().bytes());
}

/// A model that does not write what it says.
struct Liar;

impl Archive for Liar {
    type Archived = ArchivedVec<u8>;
    type Resolver = ();

    fn resolve(&self, (): (), out: Place<Self::Archived>) {
        // Ten bytes behind the end of the archive.
        ArchivedVec::resolve_from_len(10, VecResolver::from_pos(4096), out);
    }
}

impl<S: Fallible + ?Sized> rkyv::Serialize<S> for Liar {
    fn serialize(&self, _: &mut S) -> Result<(), S::Error> {
        Ok(())
    }
}

impl ModelPart for Liar {
    const SHAPE: &'static Shape = shape!();
}

impl<D: Fallible + ?Sized> rkyv::Deserialize<Liar, D> for ArchivedVec<u8> {
    fn deserialize(&self, _: &mut D) -> Result<Liar, D::Error> {
        Ok(Liar)
    }
}

impl Model for Liar {
    const TAG: Tag = Tag::new("liar");
}

#[test]
fn a_model_that_could_not_be_read_is_refused_when_it_is_set() {
    assert_eq!(Entry::model(&Liar, &LIMITS).unwrap_err(), Error::BadArchive);
}

#[test]
fn no_debug_print_shows_a_value() {
    let mut patch = Patch::new();
    patch.set("name", Entry::serde("hunter2", &LIMITS).unwrap(), &LIMITS).unwrap();
    patch.set("none", Entry::model(&Nothing, &LIMITS).unwrap(), &LIMITS).unwrap();
    let record = patch.apply(None, &KEY, &Meta::default(), &LIMITS).unwrap();
    let entry = record.entry("name").unwrap();
    let printed = format!("{record:?} {patch:?} {entry:?} {:?}", entry.as_ref());
    // As text, and as the list of bytes that a slice would be printed as.
    assert!(!printed.contains("hunter2") && !printed.contains("104, 117"), "{printed}");
    assert!(printed.contains("EntryRef { lane: Serde, bytes: 8 }"), "{printed}");
}
