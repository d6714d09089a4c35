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
            "model `account` of version 1 was stored with the shape {found}, this build has {expected}; they differ at \
             `open: u64`; raise the model's version and state the change, or undo it: the value stays as it is until it is set \
             again"
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
    assert_eq!(Folder::SHAPE.to_string(), "{ files: Vec<{ size: u64, inner: Option<Box<Enclosing<1>>> }> }");
    assert_eq!(File::SHAPE.to_string(), "{ size: u64, inner: Option<Box<{ files: Vec<Enclosing<1>> }>> }");
}

/// Three types that contain each other, each marked, in two builds; the last of them has two numbers in another order.
macro_rules! cycle {
    ($build:ident: $($field:ident),*) => {
        mod $build {
            use sessile_derive::{Model, ModelPart};

            #[derive(Model)]
            #[model(crate = sessile_codec)]
            #[allow(dead_code, reason = "only its shape is of use")]
            pub(super) struct First {
                #[model(nested)]
                second: Vec<Second>,
                own: Vec<(First, Plain)>,
            }

            #[derive(ModelPart)]
            #[model(crate = sessile_codec)]
            #[allow(dead_code, reason = "only its shape is of use")]
            pub(super) struct Second {
                #[model(nested)]
                third: Vec<Third>,
            }

            #[derive(ModelPart)]
            #[model(crate = sessile_codec)]
            #[allow(dead_code, reason = "only its shape is of use")]
            pub(super) struct Third {
                $($field: u64,)*
                #[model(nested)]
                first: Option<Box<First>>,
            }

            #[derive(ModelPart)]
            #[model(crate = sessile_codec)]
            #[allow(dead_code, reason = "only its shape is of use")]
            pub(super) struct Plain {
                n: u8,
            }
        }
    };
}

cycle!(one: paid, open);
cycle!(other: open, paid);

/// [`Folder`] with other names of types.
mod renamed {
    #[derive(super::Model)]
    #[model(crate = sessile_codec, name = "folder")]
    #[allow(dead_code, reason = "only its shape is of use")]
    pub(super) struct Directory {
        #[model(nested)]
        files: Vec<Document>,
    }

    #[derive(super::ModelPart)]
    #[model(crate = sessile_codec)]
    #[allow(dead_code, reason = "only its shape is of use")]
    pub(super) struct Document {
        size: u64,
        #[model(nested)]
        inner: Option<Box<Directory>>,
    }
}

#[test]
fn every_type_of_a_cycle_is_in_the_shape_and_no_name_of_a_type() {
    assert_eq!(
        one::First::SHAPE.to_string(),
        "{ second: Vec<{ third: Vec<{ paid: u64, open: u64, first: Option<Box<Enclosing<2>>> }> }>, own: Vec<(Itself, { n: u8 })> }"
    );
    assert_ne!(Fingerprint::of::<one::First>(), Fingerprint::of::<other::First>());
    assert_ne!(Fingerprint::of::<one::Second>(), Fingerprint::of::<other::Second>());
    assert_eq!(one::First::SHAPE.lines()[1], "own: Vec<(Itself, { n: u8 })>");

    assert_eq!(Fingerprint::of::<renamed::Directory>(), Fingerprint::of::<Folder>());
}

#[test]
fn a_shape_that_is_written_without_the_macro_is_the_same() {
    struct Manual;

    impl ModelPart for Manual {
        const SHAPE: &'static Shape = sessile_codec::shape!(r#type: u8, next: Option<Box<sessile_codec::Itself>>);
    }

    #[derive(ModelPart)]
    #[model(crate = sessile_codec)]
    #[allow(dead_code, reason = "only its shape is of use")]
    struct Derived {
        r#type: u8,
        next: Option<Box<Derived>>,
    }

    assert_eq!(Manual::SHAPE.to_string(), "{ type: u8, next: Option<Box<Itself>> }");
    assert_eq!(Fingerprint::of::<Manual>(), Fingerprint::of::<Derived>());
}

#[test]
fn of_more_than_eight_fields_none_is_named() {
    use sessile_codec::ShapeField;

    let shape_of = |last: &'static str| Shape::Struct {
        fields: ["a", "b", "c", "d", "e", "f", "g", "h", last]
            .map(|name| ShapeField { name, shape: u8::SHAPE })
            .to_vec()
            .leak(),
    };
    assert_ne!(shape_of("i").fingerprint(), shape_of("j").fingerprint());
    assert_eq!(shape_of("i").difference(shape_of("j").fingerprint()), None);
}

/// Every shape that differs from `shape` in one place: a name, a type, the order, a field more or less.
fn mutations(shape: &'static Shape, around: &[u64]) -> Vec<Shape> {
    const NAME: &str = "another";
    let leak =
        |shapes: Vec<Shape>| -> Vec<&'static Shape> { shapes.into_iter().map(|shape| &*Box::leak(Box::new(shape))).collect() };
    match shape {
        // A type within itself is a reference to it.
        Shape::Declared { id, .. } if around.contains(id) => vec![Shape::Plain { name: NAME }],
        Shape::Declared { id, shape } => {
            let inner = leak(mutations(shape, &[around, &[*id]].concat())).into_iter();
            inner.map(|shape| Shape::Declared { id: *id, shape }).collect()
        }
        Shape::Enclosing { .. } => vec![Shape::Plain { name: NAME }],
        Shape::Plain { name } => {
            let plain = ["u64", "i64", "u32", "String", "bool"].into_iter().filter(|other| other != name);
            plain.map(|name| Shape::Plain { name }).chain([Shape::Struct { fields: &[] }]).collect()
        }
        Shape::Generic { name, parts } => {
            let mut found = vec![Shape::Generic { name: NAME, parts }];
            for (at, part) in parts.iter().enumerate() {
                found.extend(leak(mutations(part, around)).into_iter().map(|part| {
                    let mut parts = parts.to_vec();
                    parts[at] = part;
                    Shape::Generic { name, parts: parts.leak() }
                }));
            }
            found
        }
        Shape::Array { item, len } => {
            let items = leak(mutations(item, around)).into_iter().map(|item| Shape::Array { item, len: *len });
            items.chain([Shape::Array { item, len: len + 1 }]).collect()
        }
        Shape::Struct { fields } => {
            field_mutations(fields, around).into_iter().map(|fields| Shape::Struct { fields }).collect()
        }
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
                for fields in field_mutations(variants[at].fields, around) {
                    change(&|variants| variants[at].fields = fields);
                }
            }
            found
        }
        other => panic!("{other} has no mutations"),
    }
}

fn field_mutations(fields: &'static [sessile_codec::ShapeField], around: &[u64]) -> Vec<&'static [sessile_codec::ShapeField]> {
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
        for shape in mutations(fields[at].shape, around) {
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
        let found = mutations(shape, &[]);
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
    let Shape::Declared { shape: Shape::Enum { variants }, .. } = Answer::SHAPE else { panic!("it is an enum") };
    for (at, variant) in variants.iter().enumerate() {
        for fields in field_mutations(variant.fields, &[]) {
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
    assert_eq!(found, ["fa9a47b2dec3b13e", "6b4ca37300000311", "426fdee70000031c", "5b579dcc00000004", "74fae6f10000000c"]);
}
