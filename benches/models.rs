//! T12, models: beside prost, bincode and the crate `revision`: encode, read one field, read an older version, size.

use std::hint::black_box;

use prost::Message;
use revision::revisioned;
use sessile_benches::{compare, row, sized};
use sessile_codec::{Entry, Key, Limits, Meta, Patch, Record, View};

const KEY: Key = [7; 16];

/// One profile in each crate's types, in the first version of an application and in the second, which has one field more.
mod ours {
    use sessile::Model;

    #[derive(Model)]
    #[model(name = "profile")]
    pub(crate) struct First {
        pub(crate) user_id: u64,
        pub(crate) name: String,
        pub(crate) email: String,
        pub(crate) roles: Vec<String>,
    }

    #[derive(Model)]
    #[model(name = "profile", version = 2)]
    pub(crate) struct Second {
        pub(crate) user_id: u64,
        pub(crate) name: String,
        pub(crate) email: String,
        pub(crate) roles: Vec<String>,
        #[model(since = 2, default = 7)]
        pub(crate) theme: u32,
    }
}

#[derive(Clone, PartialEq, Message)]
struct ProstFirst {
    #[prost(uint64, tag = "1")]
    user_id: u64,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    email: String,
    #[prost(string, repeated, tag = "4")]
    roles: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct ProstSecond {
    #[prost(uint64, tag = "1")]
    user_id: u64,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    email: String,
    #[prost(string, repeated, tag = "4")]
    roles: Vec<String>,
    #[prost(uint32, optional, tag = "5")]
    theme: Option<u32>,
}

/// bincode has no versions: the application keeps the old type, and a number before the bytes.
#[derive(bincode::Encode, bincode::Decode)]
struct BincodeFirst {
    user_id: u64,
    name: String,
    email: String,
    roles: Vec<String>,
}

#[derive(bincode::Encode, bincode::Decode)]
struct BincodeSecond {
    user_id: u64,
    name: String,
    email: String,
    roles: Vec<String>,
    theme: u32,
}

#[derive(bincode::Encode, bincode::Decode)]
enum BincodeProfile {
    First(BincodeFirst),
    Second(BincodeSecond),
}

mod revision_first {
    use super::revisioned;

    #[revisioned(revision = 1)]
    pub(crate) struct Profile {
        pub(crate) user_id: u64,
        pub(crate) name: String,
        pub(crate) email: String,
        pub(crate) roles: Vec<String>,
    }
}

mod revision_second {
    use super::revisioned;

    #[revisioned(revision = 2)]
    pub(crate) struct Profile {
        pub(crate) user_id: u64,
        pub(crate) name: String,
        pub(crate) email: String,
        pub(crate) roles: Vec<String>,
        #[revision(start = 2, default_fn = "theme")]
        pub(crate) theme: u32,
    }

    impl Profile {
        #[allow(clippy::unnecessary_wraps, reason = "the crate asks for this signature")]
        fn theme(_revision: u16) -> Result<u32, revision::Error> {
            Ok(7)
        }
    }
}

const CONFIG: bincode::config::Configuration = bincode::config::standard();

fn name() -> String {
    "Ada Lovelace".to_owned()
}

fn email() -> String {
    "ada.lovelace@analytical-engine.example".to_owned()
}

fn roles() -> Vec<String> {
    ["admin", "editor", "viewer"].map(str::to_owned).to_vec()
}

fn record_of(entry: Entry, limits: &Limits) -> Record {
    let mut patch = Patch::new();
    patch.set("profile", entry, limits).expect("it is small");
    patch.apply(None, &KEY, &Meta::default(), limits).expect("it is small")
}

fn view(record: &Record) -> View<ours::Second> {
    // As `Session::view`.
    let view = record.clone().into_current_view("profile");
    view.unwrap_or_else(|| record.entry("profile").expect("it is there").into_view().expect("it is a profile"))
}

fn theme_of_bincode(bytes: &[u8]) -> u32 {
    let (profile, _) = bincode::decode_from_slice(bytes, CONFIG).expect("it was written by bincode");
    match profile {
        BincodeProfile::First(_) => 7,
        BincodeProfile::Second(second) => second.theme,
    }
}

fn repeat<T>(mut call: impl FnMut() -> T) -> impl FnMut(usize) {
    move |calls| (0..calls).for_each(|_| drop(black_box(call())))
}

fn main() {
    let limits = Limits::default();
    let (rounds, calls) = (sized(500, 20), 200);

    let old = ours::First { user_id: 7, name: name(), email: email(), roles: roles() };
    let new = ours::Second { user_id: 7, name: name(), email: email(), roles: roles(), theme: 7 };
    let prost_old = ProstFirst { user_id: 7, name: name(), email: email(), roles: roles() };
    let prost_new = ProstSecond { user_id: 7, name: name(), email: email(), roles: roles(), theme: Some(7) };
    let bincode_old = BincodeProfile::First(BincodeFirst { user_id: 7, name: name(), email: email(), roles: roles() });
    let bincode_new =
        BincodeProfile::Second(BincodeSecond { user_id: 7, name: name(), email: email(), roles: roles(), theme: 7 });
    let revision_old = revision_first::Profile { user_id: 7, name: name(), email: email(), roles: roles() };
    let revision_new = revision_second::Profile { user_id: 7, name: name(), email: email(), roles: roles(), theme: 7 };

    let [ours, prost, bincode, revision] = compare(
        rounds,
        calls,
        [
            &mut repeat(|| Entry::model(&new, &limits).expect("it is small")),
            &mut repeat(|| prost_new.encode_to_vec()),
            &mut repeat(|| bincode::encode_to_vec(&bincode_new, CONFIG).expect("it is small")),
            &mut repeat(|| revision::to_vec(&revision_new).expect("it is small")),
        ],
    );
    print("encode", ours, [prost, bincode, revision]);

    let record = record_of(Entry::model(&new, &limits).expect("it is small"), &limits);
    let prost_bytes = prost_new.encode_to_vec();
    let bincode_bytes = bincode::encode_to_vec(&bincode_new, CONFIG).expect("it is small");
    let revision_bytes = revision::to_vec(&revision_new).expect("it is small");
    read("read one field", &record, &prost_bytes, &bincode_bytes, &revision_bytes);

    let record = record_of(Entry::model(&old, &limits).expect("it is small"), &limits);
    let bincode_old = bincode::encode_to_vec(&bincode_old, CONFIG).expect("it is small");
    let revision_old = revision::to_vec(&revision_old).expect("it is small");
    read("read one field of an older version", &record, &prost_old.encode_to_vec(), &bincode_old, &revision_old);

    let ours = Entry::model(&new, &limits).expect("it is small").as_ref().bytes().len() + 8;
    let others = [prost_bytes.len(), bincode_bytes.len(), revision_bytes.len()];
    println!("\nsize of one profile");
    for (name, len) in
        ["sessile, with the fingerprint", "prost", "bincode", "revision"].into_iter().zip([ours].into_iter().chain(others))
    {
        row(name, &[(len as f64, "bytes"), (len as f64 / ours as f64, "x")]);
    }
}

/// Reads one field in each crate's way, from what each has stored.
fn read(what: &str, record: &Record, prost: &[u8], bincode: &[u8], revision: &[u8]) {
    let [ours, prost, bincode, revision] = compare(
        sized(500, 20),
        200,
        [
            &mut repeat(|| view(record).theme.to_native()),
            &mut repeat(|| ProstSecond::decode(prost).expect("it was written by prost").theme.unwrap_or(7)),
            &mut repeat(|| theme_of_bincode(bincode)),
            &mut repeat(|| revision::from_slice::<revision_second::Profile>(revision).expect("it was written so").theme),
        ],
    );
    print(what, ours, [prost, bincode, revision]);
}

/// Prints what each crate took, and its ratio to ours.
fn print(what: &str, ours: f64, others: [f64; 3]) {
    println!("\n{what}");
    row("sessile", &[(ours, "ns")]);
    for (name, other) in ["prost", "bincode", "revision"].into_iter().zip(others) {
        row(name, &[(other, "ns"), (other / ours, "x")]);
    }
}
