//! The file of an application's models: what is written, and each report.

use std::path::PathBuf;

use sessile_codec::{ModelPart, ShapeField, ShapeVariant, Stored, Tag, rkyv};

use super::*;

/// A file that does not exist yet.
fn file() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("models.lock");
    (directory, file)
}

fn struct_of(fields: &[(&'static str, &'static Shape)]) -> &'static Shape {
    let fields: Vec<_> = fields.iter().map(|(name, shape)| ShapeField { name, shape }).collect();
    Box::leak(Box::new(Shape::Struct { fields: fields.leak() }))
}

fn enum_of(variants: &[(&'static str, &[(&'static str, &'static Shape)])]) -> &'static Shape {
    let variants: Vec<_> = variants
        .iter()
        .map(|(name, fields)| {
            let fields: Vec<_> = fields.iter().map(|(name, shape)| ShapeField { name, shape }).collect();
            ShapeVariant { name, fields: fields.leak() }
        })
        .collect();
    Box::leak(Box::new(Shape::Enum { variants: variants.leak() }))
}

/// A model with this shape, which reads every older version.
fn declared(version: u16, shape: &'static Shape) -> Declared {
    Declared { type_name: "Cart", tag: "cart".to_owned(), version, shape, migrate: |_, _| Ok(()) }
}

fn cart() -> &'static Shape {
    struct_of(&[("items", Vec::<u64>::SHAPE), ("paid", u64::SHAPE), ("open", u64::SHAPE)])
}

/// What is reported about a model of version 1 with `shape`, where the file has one with [`cart`].
#[track_caller]
fn reported(shape: &'static Shape) -> String {
    reported_of(cart(), shape)
}

#[track_caller]
fn reported_of(old: &'static Shape, new: &'static Shape) -> String {
    let (_directory, file) = file();
    compare(&file, &[declared(1, old)], true).unwrap();
    let before = fs::read_to_string(&file).unwrap();
    let problem = compare(&file, &[declared(1, new)], true).unwrap_err();
    assert_eq!(fs::read_to_string(&file).unwrap(), before, "a failure changes nothing");
    let head = format!("{}:\n- `Cart` has changed and still has version 1: ", file.display());
    let tail = "; or, if no session has version 1 yet, remove its lines from the file";
    problem.strip_prefix(&head).and_then(|text| text.strip_suffix(tail)).unwrap_or_else(|| panic!("{problem}")).to_owned()
}

#[test]
fn the_first_run_writes_the_file_and_later_ones_read_it() {
    let (_directory, file) = file();
    compare(&file, &[declared(1, cart())], true).unwrap();
    let text = fs::read_to_string(&file).unwrap();
    let fingerprint = cart().fingerprint();
    assert_eq!(
        text,
        format!("{HEAD}\nmodel cart version 1 shape {fingerprint}\n    items: Vec<u64>\n    paid: u64\n    open: u64\n")
    );
    compare(&file, &[declared(1, cart())], false).unwrap();
    // A new version is added, and the old one stays.
    let second = struct_of(&[("items", Vec::<u64>::SHAPE)]);
    compare(&file, &[declared(2, second)], true).unwrap();
    let both = fs::read_to_string(&file).unwrap();
    assert_eq!(both, format!("{text}\nmodel cart version 2 shape {}\n    items: Vec<u64>\n", second.fingerprint()));
    compare(&file, &[declared(2, second)], false).unwrap();
}

#[test]
fn a_field_that_changed_is_named_with_what_to_write() {
    let (list, number) = (Vec::<u64>::SHAPE, u64::SHAPE);
    assert_eq!(
        reported(struct_of(&[("items", list), ("open", number), ("paid", number)])),
        "`paid: u64` has another place: put it back, or set `#[model(version = 2)]` and `migrate = path`"
    );
    assert_eq!(
        reported(struct_of(&[("items", list), ("due", number), ("open", number)])),
        "`paid: u64` is now `due: u64`: set `#[model(version = 2)]`, and `#[model(since = 2, was = \"paid\")]` at it"
    );
    assert_eq!(
        reported(struct_of(&[("items", list), ("paid", u32::SHAPE), ("open", number)])),
        "`paid: u64` is now `paid: u32`: set `#[model(version = 2)]`, and \
         `#[model(since = 2, from = OldType, convert = path)]` at it"
    );
    assert_eq!(
        reported(struct_of(&[("items", list), ("due", u32::SHAPE), ("open", number)])),
        "`paid: u64` is now `due: u32`: set `#[model(version = 2)]`, and \
         `#[model(since = 2, was = \"paid\", from = OldType, convert = path)]` at it"
    );
    let added = "`new: u64` was added: set `#[model(version = 2)]`, and `#[model(since = 2)]` at it";
    assert_eq!(reported(struct_of(&[("items", list), ("paid", number), ("open", number), ("new", number)])), added);
    assert_eq!(reported(struct_of(&[("new", number), ("items", list), ("paid", number), ("open", number)])), added);
    assert_eq!(
        reported(struct_of(&[("items", list), ("open", number)])),
        "`paid: u64` was removed: set `#[model(version = 2)]` and `removed(paid: u64, until = 2, ...)`, or `migrate = path`"
    );
    assert_eq!(reported(struct_of(&[("items", list)])), "several changed: set `#[model(version = 2)]`, and state each change");
}

#[test]
fn a_tuple_that_changed_is_reported() {
    let tuple = |shapes: &[&'static Shape]| {
        struct_of(&shapes.iter().enumerate().map(|(at, shape)| (["0", "1", "2"][at], *shape)).collect::<Vec<_>>())
    };
    assert_eq!(
        reported_of(tuple(&[u64::SHAPE, u8::SHAPE]), tuple(&[u8::SHAPE])),
        "the tuple has 1 fields in place of 2: set `#[model(version = 2)]`, and state the change or `migrate = path`"
    );
}

#[test]
fn lines_that_do_not_belong_together_are_reported() {
    let (_directory, file) = file();
    compare(&file, &[declared(1, cart())], true).unwrap();
    let text = fs::read_to_string(&file).unwrap().replace(&cart().fingerprint().to_string(), "0123456789abcdef");
    fs::write(&file, text).unwrap();
    let problem = compare(&file, &[declared(1, cart())], true).unwrap_err();
    assert!(problem.contains("the file has the same fields and another fingerprint"), "{problem}");
}

#[test]
fn a_variant_that_changed_is_named_with_what_to_write() {
    let old = || enum_of(&[("Off", &[]), ("On", &[("level", u8::SHAPE)])]);
    assert_eq!(
        reported_of(old(), enum_of(&[("Off", &[]), ("Running", &[("level", u8::SHAPE)])])),
        "`On { level: u8 }` is now `Running { level: u8 }`: set `#[model(version = 2)]`, and \
         `#[model(since = 2, was = \"On\")]` at it"
    );
    assert_eq!(
        reported_of(old(), enum_of(&[("Off", &[]), ("On", &[("level", u16::SHAPE)])])),
        "`On { level: u8 }` is now `On { level: u16 }`: set `#[model(version = 2)]`, and the change of its field at it"
    );
    assert_eq!(
        reported_of(old(), enum_of(&[("Off", &[]), ("Broken", &[]), ("On", &[("level", u8::SHAPE)])])),
        "`Broken` was added: set `#[model(version = 2)]`, and `#[model(since = 2)]` at it, at the end of the enum"
    );
    assert_eq!(
        reported_of(old(), enum_of(&[("Off", &[])])),
        "`On { level: u8 }` was removed: set `#[model(version = 2)]` and \
         `removed(On { level: u8 }, until = 2, ..., convert = path)`, or `migrate = path`"
    );
    assert_eq!(
        reported_of(u64::SHAPE, u32::SHAPE),
        "`u64` is now `u32`: set `#[model(version = 2)]`, and `#[model(since = 2, was = \"u64\")]` at it"
    );
}

/// A model in two versions, the second of which reads the first only if it had `n: u32`.
#[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
#[rkyv(crate = sessile_codec::rkyv)]
struct Second {
    n: u64,
}

impl ModelPart for Second {
    const SHAPE: &'static Shape = sessile_codec::shape!(n: u64);
}

#[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
#[rkyv(crate = sessile_codec::rkyv)]
struct First {
    n: u32,
}

impl ModelPart for First {
    const SHAPE: &'static Shape = sessile_codec::shape!(n: u32);
}

impl Model for Second {
    const TAG: Tag = Tag::new("number");
    const VERSION: u16 = 3;

    fn migrate(old: Stored<'_>) -> Result<Self, Codec> {
        match old.version() {
            2 => old.read::<First>().map(|first| Self { n: first.n.into() }),
            _ => Err(old.no_migration()),
        }
    }
}

fn numbers(version: u16, shape: &'static Shape) -> Declared {
    Declared { type_name: "Number", tag: "number".to_owned(), version, shape, migrate: |_, _| Ok(()) }
}

#[test]
fn an_older_version_must_stay_readable_in_its_shape() {
    let second = || [Declared::of::<Second>("Second")];
    let (_directory, file) = file();
    compare(&file, &[numbers(2, First::SHAPE)], true).unwrap();
    compare(&file, &second(), true).unwrap();
    compare(&file, &second(), false).unwrap();

    let (_directory, file) = self::file();
    compare(&file, &[numbers(1, First::SHAPE)], true).unwrap();
    let problem = compare(&file, &second(), true).unwrap_err();
    assert!(problem.ends_with(
        "- `Second` does not read version 1 of `number` any more, and sessions may contain it: state what changed since, or \
         remove its lines from the file when no session has it"
    ), "{problem}");

    let (_directory, file) = self::file();
    compare(&file, &[numbers(2, sessile_codec::shape!(m: u32))], true).unwrap();
    let problem = compare(&file, &second(), true).unwrap_err();
    assert!(
        problem.ends_with("- what `Second` says of version 2 is not what version 2 was, first at `n: u32`: it had { m: u32 }"),
        "{problem}"
    );

    let (_directory, file) = self::file();
    compare(&file, &[numbers(4, First::SHAPE)], true).unwrap();
    let problem = compare(&file, &second(), true).unwrap_err();
    assert!(
        problem.ends_with(
            "- `Second` has version 3 and the file has version 4 of `number`, which sessions may contain: set \
         `#[model(version = 4)]`"
        ),
        "{problem}"
    );
}

#[test]
fn a_name_belongs_to_one_model_and_is_not_dropped() {
    let (_directory, file) = file();
    let other = || Declared { type_name: "Basket", ..declared(1, cart()) };
    let problem = compare(&file, &[declared(1, cart()), other()], true).unwrap_err();
    assert!(problem.contains("- `Cart` and `Basket` are both named `cart`, so each reads the other's values"), "{problem}");
    assert!(!file.exists());

    compare(&file, &[declared(1, cart()), numbers(1, First::SHAPE)], true).unwrap();
    let problem = compare(&file, &[declared(1, cart())], true).unwrap_err();
    assert!(problem.contains("- no model is named `number` any more, and sessions may contain one"), "{problem}");
}

#[test]
fn nothing_is_written_where_it_would_be_lost() {
    let (_directory, file) = file();
    let problem = compare(&file, &[declared(1, cart())], false).unwrap_err();
    assert!(
        problem.ends_with(
            "- version 1 of model `cart` is not in the file: run this test where `CI` is not set, and commit the file"
        ),
        "{problem}"
    );
    assert!(!file.exists());
}

#[test]
fn a_file_that_is_something_else_is_an_error_with_its_line() {
    let (_directory, file) = file();
    for (text, line) in [
        ("<<<<<<< HEAD\n", "line 1 is `<<<<<<< HEAD`"),
        ("# a comment\n\nmodel cart version one shape 00\n", "line 3 is `model cart version one shape 00`"),
        ("    items: Vec<u64>\n", "line 1 is `    items: Vec<u64>`"),
    ] {
        fs::write(&file, text).unwrap();
        let problem = compare(&file, &[declared(1, cart())], true).unwrap_err();
        assert!(problem.contains(line), "{problem}");
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
    }
    fs::write(&file, [0xff]).unwrap();
    assert!(compare(&file, &[declared(1, cart())], true).unwrap_err().contains("cannot be read"));
    let nowhere = file.join("models.lock");
    assert!(compare(&nowhere, &[declared(1, cart())], true).is_err());
}
