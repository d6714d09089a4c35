//! The shape of a model is stored with it, and a value of another shape is not read.

use std::collections::BTreeMap;

use sessile_codec::{Entry, Error, Fingerprint, Limits, ModelPart, Shape, Tag};
use sessile_derive::{Model, ModelPart};

use crate::fuzz::models::{Choice, Kinds};

fn limits() -> Limits {
    Limits::default()
}

/// One model in the words of two builds.
mod first {
    #[derive(super::Model)]
    #[model(crate = sessile_codec)]
    pub(super) struct Account {
        pub(super) id: u32,
        pub(super) paid: u64,
        pub(super) open: u64,
    }
}

mod second {
    /// Two fields of one type were swapped, and the version is the same.
    #[derive(super::Model)]
    #[model(crate = sessile_codec)]
    #[allow(dead_code, reason = "it is never read")]
    pub(super) struct Account {
        pub(super) id: u32,
        pub(super) open: u64,
        pub(super) paid: u64,
    }
}

#[test]
fn two_fields_that_were_swapped_are_an_error_that_names_the_first() {
    let stored = Entry::model(&first::Account { id: 1, paid: 7, open: 9 }, &limits()).unwrap();
    let error = stored.view::<second::Account>().unwrap_err();
    let (found, expected) = (Fingerprint::of::<first::Account>(), Fingerprint::of::<second::Account>());
    let field = Some("open: u64".to_owned());
    assert_eq!(error, Error::ShapeChanged { tag: Tag::new("account"), version: 1, found, expected, field });
    assert_eq!(
        error.to_string(),
        format!(
            "model `account` of version 1 was stored with the shape {found}, this build has {expected}; the first that differs \
             is `open: u64` or is in its place; raise the model's version and state the change, or undo it: the value stays as \
             it is until it is set again"
        )
    );
    assert!(matches!(stored.upgraded::<second::Account>(), Err(Error::ShapeChanged { .. })));
    assert!(!stored.is_older::<second::Account>());
    // The build that stored it still reads it.
    assert_eq!(stored.view::<first::Account>().unwrap().paid.to_native(), 7);
}

mod third {
    /// It says of version 1 what version 1 was not.
    #[derive(super::Model)]
    #[model(crate = sessile_codec, name = "account", version = 2)]
    #[allow(dead_code, reason = "it is never read")]
    pub(super) struct Account {
        pub(super) id: u32,
        #[model(since = 2, was = "due")]
        pub(super) paid: u64,
        pub(super) open: u64,
    }
}

#[test]
fn an_older_version_of_another_shape_is_not_migrated() {
    let stored = Entry::model(&first::Account { id: 1, paid: 7, open: 9 }, &limits()).unwrap();
    let Err(Error::ShapeChanged { version: 1, field: Some(field), .. }) = stored.view::<third::Account>() else {
        panic!("version 1 had another shape");
    };
    assert_eq!(field, "due: u64");
}

#[derive(ModelPart)]
#[model(crate = sessile_codec)]
#[allow(dead_code, reason = "only its shape is of use")]
enum Answer {
    No,
    Yes(u8, Option<String>),
    Later { at: std::time::SystemTime },
}

#[derive(Model)]
#[model(crate = sessile_codec)]
#[allow(dead_code, reason = "only its shape is of use")]
struct Poll {
    answers: Vec<Answer>,
    by: BTreeMap<[u8; 4], (bool, char)>,
    parent: Option<Box<Poll>>,
    unit: (),
}

#[test]
fn a_shape_prints_as_its_declaration() {
    assert_eq!(
        Poll::SHAPE.to_string(),
        "{ answers: Vec<enum { No, Yes { 0: u8, 1: Option<String> }, Later { at: SystemTime } }>, \
         by: BTreeMap<[u8; 4], (bool, char)>, parent: Option<Box<Itself>>, unit: () }"
    );
}

/// Two types that contain each other.
#[derive(Model)]
#[model(crate = sessile_codec)]
#[allow(dead_code, reason = "only its shape is of use")]
struct Folder {
    #[model(nested)]
    files: Vec<File>,
}

#[derive(ModelPart)]
#[model(crate = sessile_codec)]
#[allow(dead_code, reason = "only its shape is of use")]
struct File {
    size: u64,
    #[model(nested)]
    inner: Option<Box<Folder>>,
}

#[test]
fn a_shape_includes_types_that_contain_each_other_once() {
    assert_eq!(Folder::SHAPE.to_string(), "{ files: Vec<{ size: u64, inner: Option<Box<Folder>> }> }");
    assert_eq!(File::SHAPE.to_string(), "{ size: u64, inner: Option<Box<{ files: Vec<File> }>> }");
}

/// Every shape that differs from `shape` in one place: a name, a type, the order, a field more or less.
fn mutations(shape: &'static Shape) -> Vec<Shape> {
    const NAME: &str = "another";
    let leak =
        |shapes: Vec<Shape>| -> Vec<&'static Shape> { shapes.into_iter().map(|shape| &*Box::leak(Box::new(shape))).collect() };
    match shape {
        Shape::Plain { name } => {
            let plain = ["u64", "i64", "u32", "String", "bool"].into_iter().filter(|other| other != name);
            plain.map(|name| Shape::Plain { name }).chain([Shape::Struct { fields: &[] }]).collect()
        }
        Shape::Of { name, parts } => {
            let mut found = vec![Shape::Of { name: NAME, parts }];
            for (at, part) in parts.iter().enumerate() {
                found.extend(leak(mutations(part)).into_iter().map(|part| {
                    let mut parts = parts.to_vec();
                    parts[at] = part;
                    Shape::Of { name, parts: parts.leak() }
                }));
            }
            found
        }
        Shape::Array { item, len } => {
            let items = leak(mutations(item)).into_iter().map(|item| Shape::Array { item, len: *len });
            items.chain([Shape::Array { item, len: len + 1 }]).collect()
        }
        Shape::Struct { fields } => field_mutations(fields).into_iter().map(|fields| Shape::Struct { fields }).collect(),
        Shape::Enum { variants } => {
            let all = || variants.to_vec();
            let mut found = Vec::new();
            for at in 0..variants.len() {
                let mut change = |change: &dyn Fn(&mut Vec<sessile_codec::ShapeVariant>)| {
                    let mut variants = all();
                    change(&mut variants);
                    found.push(Shape::Enum { variants: variants.leak() });
                };
                change(&|variants| variants[at].name = NAME);
                change(&|variants| {
                    variants.remove(at);
                });
                change(&|variants| variants.insert(at, sessile_codec::ShapeVariant { name: NAME, fields: &[] }));
                if at > 0 {
                    change(&|variants| variants.swap(at - 1, at));
                }
                for fields in field_mutations(variants[at].fields) {
                    change(&|variants| variants[at].fields = fields);
                }
            }
            found
        }
    }
}

fn field_mutations(fields: &'static [sessile_codec::ShapeField]) -> Vec<&'static [sessile_codec::ShapeField]> {
    use sessile_codec::ShapeField;

    let all = || fields.to_vec();
    let new = || ShapeField { name: "another", shape: u8::SHAPE };
    let mut found: Vec<Vec<ShapeField>> = Vec::new();
    for at in 0..fields.len() {
        let mut change = |change: &dyn Fn(&mut Vec<ShapeField>)| {
            let mut fields = all();
            change(&mut fields);
            found.push(fields);
        };
        change(&|fields| fields[at].name = "another");
        change(&|fields| {
            fields.remove(at);
        });
        change(&|fields| fields.insert(at, new()));
        if at > 0 {
            change(&|fields| fields.swap(at - 1, at));
        }
        for shape in mutations(fields[at].shape) {
            let shape: &'static Shape = Box::leak(Box::new(shape));
            change(&|fields| fields[at].shape = shape);
        }
    }
    found.push({
        let mut fields = all();
        fields.push(new());
        fields
    });
    found.into_iter().map(|fields| &*fields.leak()).collect()
}

#[test]
fn every_change_of_one_place_of_a_shape_changes_its_fingerprint() {
    let mut seen = BTreeMap::new();
    for shape in [Kinds::SHAPE, Choice::SHAPE, Poll::SHAPE, Folder::SHAPE, first::Account::SHAPE, <(u8, [String; 3])>::SHAPE] {
        let found = mutations(shape);
        assert!(found.len() >= 10, "{shape}");
        for other in found {
            assert_ne!(other.fingerprint(), shape.fingerprint(), "{shape} and {other}");
            if let Some(same) = seen.insert(other.fingerprint(), other.to_string()) {
                assert_eq!(same, other.to_string(), "two shapes have one fingerprint");
            }
        }
    }
}

#[test]
fn a_fingerprint_shows_which_of_the_first_eight_fields_is_another() {
    // Four bits for each, so one in sixteen that are others looks the same: most must be found, and none be named too early.
    let (mut named, mut all) = (0, 0);
    let Shape::Enum { variants } = Answer::SHAPE else { panic!("it is an enum") };
    for (at, variant) in variants.iter().enumerate() {
        for fields in field_mutations(variant.fields) {
            let other = variants.iter().enumerate().map(|(other, variant)| sessile_codec::ShapeVariant {
                name: variant.name,
                fields: if other == at { fields } else { variant.fields },
            });
            let other = Shape::Enum { variants: other.collect::<Vec<_>>().leak() };
            all += 1;
            match Answer::SHAPE.difference(other.fingerprint()) {
                Some(text) => {
                    assert_eq!(text, variant.to_string());
                    named += 1;
                }
                None => assert_ne!(other.fingerprint(), Answer::SHAPE.fingerprint()),
            }
        }
    }
    assert!(named * 10 >= all * 8, "{named} of {all}");
}

#[test]
fn of_several_fields_that_are_others_the_first_is_named() {
    use sessile_codec::ShapeField;

    let shape_of = |names: [&'static str; 4]| Shape::Struct {
        fields: names.map(|name| ShapeField { name, shape: u8::SHAPE }).to_vec().leak(),
    };
    let shape = shape_of(["a", "b", "c", "d"]);
    let others = ["p", "q", "r", "s", "t", "u", "v", "w", "x", "y", "z"].map(|name| shape_of(["a", name, "other", "last"]));
    let named = others.iter().filter_map(|other| shape.difference(other.fingerprint()));
    assert!(named.filter(|text| text == "b: u8").count() >= 9);
}

#[test]
fn a_fingerprint_is_the_same_in_every_build() {
    // Stored in files: a change of these numbers makes every stored model unreadable.
    let found =
        [Kinds::SHAPE, Choice::SHAPE, Poll::SHAPE, Folder::SHAPE, u64::SHAPE].map(|shape| shape.fingerprint().to_string());
    assert_eq!(found, ["fa9a47b2dec3b13e", "6b4ca37300000311", "b50be7800000041c", "e5667adf00000002", "74fae6f10000000c"]);
}
