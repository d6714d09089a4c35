//! What older releases of an application stored is read as the newest version.

use sessile::{
    Model, Session,
    error::CodecError,
    model::{ModelPart, Stored},
    testing,
};

use crate::seen;

mod v1 {
    #[derive(sessile::Model)]
    pub(super) struct Profile {
        pub name: String,
        pub legacy: u64,
        pub age: u8,
        pub old_tail: String,
    }

    #[derive(sessile::Model)]
    pub(super) enum State {
        Off,
        On { level: u8 },
    }

    #[derive(sessile::Model)]
    pub(super) struct Point(pub u8, pub u16);

    #[derive(sessile::Model)]
    pub(super) struct Gone {
        pub first: u32,
    }
}

mod v2 {
    #[derive(sessile::Model)]
    #[model(version = 2, removed(old_tail: String, until = 2))]
    pub(super) struct Profile {
        pub name: String,
        pub legacy: u64,
        #[model(since = 2)]
        pub between: (u8, u8),
        #[model(since = 2, from = u8, convert = u16::from)]
        pub age: u16,
        #[model(since = 2)]
        pub newsletter: bool,
    }

    #[derive(sessile::Model)]
    #[model(version = 2)]
    pub(super) enum State {
        Off,
        On {
            level: u8,
        },
        #[model(since = 2)]
        Broken(String),
    }
}

fn keep(profile: &mut Profile, legacy: u64) {
    profile.kept = Some(legacy);
}

#[derive(Model)]
#[model(
    version = 3,
    removed(legacy: u64, until = 3, after = "display_name", convert = keep),
    removed(between: (u8, u8), since = 2, until = 3, before = "age"),
    removed(old_tail: String, until = 2),
)]
struct Profile {
    #[model(since = 3, was = "name")]
    display_name: String,
    #[model(since = 2, from = u8, convert = u16::from)]
    #[model(since = 3, from = u16, convert = older)]
    age: u32,
    #[model(since = 2)]
    newsletter: bool,
    #[model(since = 3, default = 7)]
    theme: u8,
    #[model(since = 3, default = default_tags())]
    tags: Vec<String>,
    #[model(since = 3)]
    kept: Option<u64>,
}

fn older(age: u16) -> u32 {
    u32::from(age) + 1000
}

fn default_tags() -> Vec<String> {
    vec!["a".to_owned()]
}

#[track_caller]
fn check_profile(profile: &ArchivedProfile, name: &str, age: u32, newsletter: bool, kept: u64) {
    assert_eq!(profile.display_name, name);
    assert_eq!((profile.age.to_native(), profile.newsletter, profile.theme), (age, newsletter, 7));
    assert_eq!(profile.tags.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a"]);
    assert_eq!(profile.kept.as_ref().map(|kept| kept.to_native()), Some(kept));
}

fn first() -> v1::Profile {
    let old_tail = "a text that does not fit in place".to_owned();
    v1::Profile { name: "Ada Lovelace, a longer name".to_owned(), legacy: 99, age: 36, old_tail }
}

#[test]
fn the_first_version_is_read_as_the_third() {
    check_profile(&seen::<_, Profile>(&first()), "Ada Lovelace, a longer name", 1036, false, 99);
}

#[test]
fn the_second_version_is_read_as_the_third() {
    let old = v2::Profile { name: "Grace".to_owned(), legacy: 5, between: (1, 2), age: 300, newsletter: true };
    check_profile(&seen::<_, Profile>(&old), "Grace", 1300, true, 5);
}

#[test]
fn the_third_version_is_read_as_it_is() {
    let profile =
        Profile { display_name: "x".to_owned(), age: 1, newsletter: true, theme: 7, tags: default_tags(), kept: Some(2) };
    check_profile(&seen::<_, Profile>(&profile), "x", 1, true, 2);
}

/// Stores a model, and returns whether it can be read as another, and how many values could not be read.
fn readable<M: Model, N: Model>(model: &M) -> (bool, u64) {
    let store = testing::store();
    let session: Session = store.session(None).unwrap();
    session.insert_model("k", model).unwrap();
    (session.view::<N>("k").unwrap().is_some(), store.stats().unreadable)
}

#[test]
fn an_older_build_does_not_read_a_newer_version() {
    let old = v2::Profile { name: "Grace".to_owned(), legacy: 5, between: (1, 2), age: 300, newsletter: true };
    assert_eq!(readable::<_, v1::Profile>(&old), (false, 1));
    assert_eq!(readable::<_, Profile>(&old), (true, 0));
}

#[derive(Debug, PartialEq, Model)]
#[model(version = 3)]
enum State {
    Off,
    On {
        #[model(since = 3, from = u8, convert = u64::from)]
        level: u64,
        #[model(since = 2, default = true)]
        warm: bool,
    },
    #[model(since = 3)]
    Broken,
    #[model(since = 3)]
    Unknown(u8),
}

#[test]
fn an_enum_gets_variants_at_its_end_and_fields_in_them() {
    assert!(matches!(&*seen::<_, State>(&v1::State::Off), ArchivedState::Off));
    let on = seen::<_, State>(&v1::State::On { level: 200 });
    assert!(matches!(&*on, ArchivedState::On { level, warm: true } if level.to_native() == 200));
    assert!(matches!(&*seen::<_, State>(&State::Broken), ArchivedState::Broken));
    assert!(matches!(&*seen::<_, State>(&State::Unknown(1)), ArchivedState::Unknown(1)));
    let variant = v2::State::Broken(String::new());
    let _ = (v2::State::Off, v2::State::On { level: 1 });
    assert_eq!(readable::<_, v1::State>(&variant), (false, 1));
}

#[derive(Model)]
#[model(version = 2, removed(first: u8, until = 2, before = "0"))]
struct Point(u16, #[model(since = 2)] String);

#[test]
fn a_field_of_a_tuple_is_named_by_its_number() {
    let point = seen::<_, Point>(&v1::Point(1, 2));
    assert_eq!((point.0.to_native(), point.1.as_str()), (2, ""));
}

#[derive(Model)]
#[model(version = 2, removed(first: u32, until = 2))]
struct Gone;

#[test]
fn a_struct_may_lose_its_last_field() {
    let _: sessile::View<Gone> = seen(&v1::Gone { first: 1 });
}

#[test]
fn a_function_of_the_application_migrates_in_place_of_the_macro() {
    #[derive(Model)]
    #[model(name = "profile", version = 2, migrate = shorten)]
    struct Short {
        letters: u64,
    }

    fn shorten(old: Stored<'_>) -> Result<Short, CodecError> {
        match old.version() {
            1 => old.read::<v1::Profile>().map(|old| Short { letters: old.name.len() as u64 }),
            _ => Err(old.no_migration()),
        }
    }

    assert_eq!(seen::<_, Short>(&first()).letters.to_native(), 27);
}

#[test]
fn a_part_that_changed_is_converted_from_the_old_part() {
    #[derive(ModelPart)]
    struct OldItem {
        id: u32,
    }

    #[derive(ModelPart)]
    struct Item {
        id: u64,
    }

    mod first {
        #[derive(sessile::Model)]
        pub(super) struct Cart {
            pub items: Vec<super::v1_item::Item>,
        }
    }

    #[derive(Model)]
    #[model(version = 2)]
    struct Cart {
        #[model(since = 2, from = Vec<OldItem>, convert = widen)]
        items: Vec<Item>,
    }

    fn widen(items: Vec<OldItem>) -> Vec<Item> {
        items.into_iter().map(|item| Item { id: item.id.into() }).collect()
    }

    let cart = seen::<_, Cart>(&first::Cart { items: vec![v1_item::Item { id: 7 }] });
    assert_eq!(cart.items[0].id.to_native(), 7);
}

mod v1_item {
    #[derive(sessile::model::ModelPart)]
    pub(super) struct Item {
        pub id: u32,
    }
}

#[test]
fn a_field_that_was_renamed_twice_is_read_from_each_name() {
    mod second {
        #[derive(sessile::Model)]
        #[model(version = 2)]
        pub(super) struct Gone {
            #[model(since = 2, was = "first")]
            pub(super) second: u32,
        }
    }

    #[derive(Model)]
    #[model(name = "gone", version = 3)]
    struct Renamed {
        #[model(since = 2, was = "first")]
        #[model(since = 3, was = "second")]
        third: u32,
    }

    assert_eq!(seen::<_, Renamed>(&v1::Gone { first: 8 }).third.to_native(), 8);
    assert_eq!(seen::<_, Renamed>(&second::Gone { second: 9 }).third.to_native(), 9);
}

#[test]
fn a_name_that_is_a_word_of_rust_can_be_changed_and_removed() {
    mod first {
        #[derive(sessile::Model)]
        pub(super) struct Item {
            pub(super) r#type: u8,
            pub(super) r#match: u16,
        }
    }

    #[derive(Model)]
    #[model(version = 2, removed(match: u16, until = 2))]
    struct Item {
        #[model(since = 2, was = "type")]
        kind: u8,
    }

    #[derive(Model)]
    #[model(name = "item", version = 2)]
    struct Raw {
        #[model(since = 2, was = "r#type")]
        kind: u8,
        r#match: u16,
    }

    let first = first::Item { r#type: 3, r#match: 4 };
    assert_eq!(seen::<_, Item>(&first).kind, 3);
    let raw = seen::<_, Raw>(&first);
    assert_eq!((raw.kind, raw.r#match.to_native()), (3, 4));
}

#[test]
fn a_variant_that_was_renamed_is_read_by_its_new_name() {
    #[derive(Model)]
    #[model(name = "state", version = 2)]
    enum Renamed {
        #[model(since = 2, was = "Off")]
        Stopped,
        #[model(since = 2, was = "On")]
        Running {
            #[model(since = 2, was = "level")]
            speed: u8,
        },
    }

    assert!(matches!(*seen::<_, Renamed>(&v1::State::Off), ArchivedRenamed::Stopped));
    assert!(matches!(*seen::<_, Renamed>(&v1::State::On { level: 4 }), ArchivedRenamed::Running { speed: 4 }));
}

#[test]
fn a_variant_that_was_removed_becomes_what_its_function_says() {
    mod first {
        #[derive(sessile::Model)]
        pub(super) enum Payment {
            Cash,
            Cheque { bank: String, number: u32 },
            Coin(u8),
            Card(u16),
        }
    }

    #[allow(clippy::needless_pass_by_value, reason = "the macro passes the fields")]
    fn of_cheque(bank: String, number: u32) -> Payment {
        Payment::Transfer { text: format!("{bank} {number}") }
    }

    fn of_coin(_: u8) -> Payment {
        Payment::Cash
    }

    #[derive(Model)]
    #[model(
        version = 2,
        removed(Cheque { bank: String, number: u32 }, until = 2, after = "Cash", convert = of_cheque),
        removed(Coin(u8), until = 2, after = "Cheque", convert = of_coin),
    )]
    enum Payment {
        Cash,
        Card(u16),
        #[model(since = 2)]
        Transfer {
            text: String,
        },
    }

    let cheque = first::Payment::Cheque { bank: "a bank".to_owned(), number: 7 };
    assert!(matches!(&*seen::<_, Payment>(&cheque), ArchivedPayment::Transfer { text } if *text == "a bank 7"));
    assert!(matches!(*seen::<_, Payment>(&first::Payment::Coin(2)), ArchivedPayment::Cash));
    assert!(matches!(*seen::<_, Payment>(&first::Payment::Cash), ArchivedPayment::Cash));
    assert!(matches!(*seen::<_, Payment>(&first::Payment::Card(4242)), ArchivedPayment::Card(number) if number == 4242));
}
