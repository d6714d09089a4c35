//! Each type of field comes back as it was stored.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use sessile::{
    Model,
    error::CodecError,
    model::{Lane, Limits, ModelPart, Shape, Stored, Tag, shape},
};

use crate::{back, seen};

#[derive(Clone, Debug, PartialEq, ModelPart)]
enum Choice {
    Nothing,
    Text(String),
    Pair(u8, i64),
    Numbers { list: Vec<u32>, array: [u8; 3] },
}

#[derive(Clone, Debug, PartialEq, ModelPart)]
struct Unit;

#[derive(Clone, Debug, PartialEq, ModelPart)]
struct Wrapper(String, pub u16);

#[derive(Clone, Debug, PartialEq, Model)]
struct Kinds {
    bytes: (u8, i8, u16, i16, u32, i32, u64, i64, u128, i128),
    floats: (f32, f64),
    flag: bool,
    letter: char,
    text: String,
    raw: Vec<u8>,
    #[allow(clippy::option_option)]
    options: Option<Option<u8>>,
    boxed: Box<i16>,
    short: Box<str>,
    array: [Option<String>; 2],
    pairs: Vec<(String, Option<Box<i16>>)>,
    map: BTreeMap<String, Vec<u64>>,
    set: BTreeSet<u32>,
    duration: Duration,
    at: SystemTime,
    maybe_at: Option<SystemTime>,
    all_at: Vec<SystemTime>,
    addresses: (IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr),
    choices: Vec<Choice>,
    unit: Unit,
    wrapper: Wrapper,
    r#type: (),
}

fn kinds() -> Kinds {
    let at = UNIX_EPOCH + Duration::new(1_234_567_890, 987_654_321);
    Kinds {
        bytes: (u8::MAX, i8::MIN, u16::MAX, i16::MIN, u32::MAX, i32::MIN, u64::MAX, i64::MIN, u128::MAX, i128::MIN),
        floats: (1.5, -0.0),
        flag: true,
        letter: 'ä',
        text: "a text that does not fit in place".to_owned(),
        raw: vec![0, 255],
        options: Some(None),
        boxed: Box::new(-3),
        short: "x".into(),
        array: [None, Some("y".to_owned())],
        pairs: vec![("z".to_owned(), Some(Box::new(7))), (String::new(), None)],
        map: BTreeMap::from([("a".to_owned(), vec![1, 2]), ("b".to_owned(), vec![])]),
        set: BTreeSet::from([3, 1, 2]),
        duration: Duration::new(9, 999_999_999),
        at,
        maybe_at: Some(at),
        all_at: vec![UNIX_EPOCH, at],
        addresses: (
            Ipv4Addr::LOCALHOST.into(),
            Ipv4Addr::BROADCAST,
            Ipv6Addr::LOCALHOST,
            SocketAddr::from((Ipv6Addr::LOCALHOST, 443)),
        ),
        choices: vec![
            Choice::Nothing,
            Choice::Text("t".to_owned()),
            Choice::Pair(1, -2),
            Choice::Numbers { list: vec![5], array: [1, 2, 3] },
        ],
        unit: Unit,
        wrapper: Wrapper("w".to_owned(), 3),
        r#type: (),
    }
}

#[test]
fn every_type_of_field_comes_back_as_it_was() {
    assert_eq!(back(&kinds()), kinds());
    let less = Kinds { maybe_at: None, options: None, all_at: vec![], ..kinds() };
    assert_eq!(back(&less), less);
}

#[test]
fn a_view_is_of_the_archived_type() {
    let view = seen::<Kinds, Kinds>(&kinds());
    let archived: &ArchivedKinds = &view;
    assert_eq!(archived.text, "a text that does not fit in place");
    assert_eq!(archived.map.get("a").unwrap().len(), 2);
    assert!(matches!(&archived.choices[2], ArchivedChoice::Pair(1, number) if *number == -2));
    assert_eq!(archived.wrapper.1, 3);
}

#[derive(Debug, PartialEq, Model)]
struct Empty;

#[derive(Debug, PartialEq, Model)]
struct NoField {}

#[derive(Debug, PartialEq, Model)]
struct Tuple(u8, String);

#[derive(Debug, PartialEq, Model)]
enum State {
    Off,
    On { since: u64 },
    Failed(String, u8),
}

#[test]
fn a_model_has_every_form_of_a_struct_and_of_an_enum() {
    assert_eq!(back(&Empty), Empty);
    assert_eq!(back(&NoField {}), NoField {});
    assert_eq!(back(&Tuple(1, "x".to_owned())), Tuple(1, "x".to_owned()));
    for state in [|| State::Off, || State::On { since: 7 }, || State::Failed("why".to_owned(), 2)] {
        assert_eq!(back(&state()), state());
    }
}

#[derive(Model)]
#[model(name = "Named-1", version = 65535, migrate = refuse)]
struct ANameThatIsTooLong;

fn refuse(old: Stored<'_>) -> Result<ANameThatIsTooLong, CodecError> {
    Err(old.no_migration())
}

#[derive(Model)]
#[allow(non_camel_case_types)]
struct r#struct(#[allow(dead_code)] u8);

#[test]
fn a_model_is_called_as_it_says_or_as_its_type() {
    assert_eq!((ANameThatIsTooLong::TAG, ANameThatIsTooLong::VERSION), (Tag::new("Named-1"), 65535));
    assert_eq!((NoField::TAG, NoField::VERSION), (Tag::new("nofield"), 1));
    assert_eq!(r#struct::TAG, Tag::new("struct"));
}

#[test]
fn a_crate_may_have_another_name_for_sessile() {
    mod renamed {
        pub(super) use sessile_codec::__derive;
    }
    #[derive(Debug, PartialEq, Model)]
    #[model(crate = renamed, version = 2)]
    struct Other(#[model(since = 2)] u8);
    assert_eq!(back(&Other(3)), Other(3));
}

#[test]
fn a_time_before_1970_is_refused() {
    #[derive(Model)]
    struct Login {
        at: SystemTime,
    }

    let before = Login { at: UNIX_EPOCH - Duration::from_secs(1) };
    let error = testing_session().insert_model("k", &before).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the value cannot be stored exactly: a time before 1970, or after what this machine can represent; store it \
         in another form"
    );
    assert!(testing_session().insert_model("k", &Login { at: UNIX_EPOCH }).is_ok());
}

#[test]
fn a_stored_time_that_cannot_be_represented_is_an_error() {
    use sessile::model::{Entry, Fingerprint};

    #[derive(Model)]
    struct Login {
        at: Option<SystemTime>,
    }

    // The bytes of the greatest duration are those of a time at the end of all seconds.
    #[derive(Model)]
    #[model(name = "login")]
    struct Forged {
        at: Option<Duration>,
    }

    let forged = Entry::model(&Forged { at: Some(Duration::MAX) }, &Limits::UNLIMITED).unwrap();
    let lane = Lane::Model { tag: Login::TAG, version: 1, fingerprint: Fingerprint::of::<Login>() };
    let entry = Entry::from_parts(lane, forged.as_ref().bytes(), &Limits::UNLIMITED).unwrap();
    let view = entry.view::<Login>().unwrap();
    assert!(matches!(view.to_model().map(drop), Err(CodecError::Unsupported { .. })));
}

#[test]
fn a_uuid_comes_back_as_it_was() {
    #[derive(Debug, Model, PartialEq)]
    struct Device {
        id: uuid_1::Uuid,
        others: Vec<Option<uuid_1::Uuid>>,
    }

    let id = uuid_1::Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
    let device = Device { id, others: vec![None, Some(uuid_1::Uuid::nil())] };
    assert_eq!(back(&device), device);
    assert_eq!(Device::SHAPE.to_string(), "{ id: Uuid, others: Vec<Option<Uuid>> }");
}

fn testing_session() -> sessile::Session {
    sessile::testing::session()
}

#[test]
fn a_model_is_the_same_bytes_as_with_rkyvs_derives() {
    #[derive(Model)]
    struct Derived {
        small: u8,
        text: String,
        list: Vec<u64>,
    }

    #[derive(sessile::rkyv::Archive, sessile::rkyv::Serialize, sessile::rkyv::Deserialize)]
    #[rkyv(crate = sessile::rkyv)]
    struct Manual {
        small: u8,
        text: String,
        list: Vec<u64>,
    }

    impl ModelPart for Manual {
        const SHAPE: &'static Shape = shape!(small: u8, text: String, list: Vec<u64>);
    }

    impl Model for Manual {
        const TAG: Tag = Tag::new("derived");
    }

    let text = || "a text that does not fit in place".to_owned();
    let manual = Manual { small: 1, text: text(), list: vec![2, 3] };
    let derived = Derived { small: 1, text: text(), list: vec![2, 3] };
    let session = testing_session();
    session.insert_model("manual", &manual).unwrap();
    session.insert_model("derived", &derived).unwrap();
    let bytes = |key: &str| session.entry(key).unwrap().as_ref().bytes().to_vec();
    assert_eq!(bytes("manual"), bytes("derived"));
}
