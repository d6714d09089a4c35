//! What lints cannot check: which module may depend on which, what may be named where, and how long a file may get.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The layers of `src`, lowest first; those in one line are equals. A module names modules of lower lines, of its own line only
/// as listed in [`PEERS`], and of [`SHARED`].
const LAYERS: [&[&str]; 7] = [
    &["token", "expiry", "label", "owner", "wake"],
    &["keys"],
    &["proof"],
    &["memory", "disk"],
    &["store"],
    &["session"],
    &["web", "foreign"],
];

/// What any module may name. These modules are beside the layers, and name modules of the layers only as listed in [`PEERS`].
const SHARED: [&str; 12] =
    ["error", "events", "log", "model", "clock", "timeline", "ack", "stats", "builder", "testing", "device", "operate"];

/// Modules that name one of their own line or, from beside the layers, one within them; and the reason.
const PEERS: [(&str, &str, &str); 13] = [
    ("disk", "memory", "the number of a write, which both tiers speak of"),
    ("error", "keys", "the name of a key that is missing"),
    ("error", "token", "what is no handle"),
    ("events", "store", "the events, which the store sends"),
    ("ack", "disk", "the ticket inside an acknowledgement"),
    ("builder", "disk", "its settings"),
    ("builder", "expiry", "the timeouts"),
    ("testing", "disk", "the traits that a test's own disk implements"),
    ("log", "token", "the handle, which is all that an event tells of a session"),
    ("log", "proof", "why a proof was refused"),
    ("device", "proof", "why a proof was refused"),
    ("device", "session", "how a request stands"),
    ("device", "web", "the settings and the layer"),
];

/// A file is shorter than this.
const MOST_LINES: usize = 600;

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file under `directory`, with its path from the root and its text.
pub(crate) fn files(directory: &str) -> Vec<(String, String)> {
    fn visit(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            // Separate workspaces are built in their own directories.
            if path.is_dir() && !path.ends_with("target") {
                visit(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut paths = Vec::new();
    visit(&root().join(directory), &mut paths);
    assert!(!paths.is_empty(), "{directory} has files");
    let named = |path: PathBuf| {
        let name = path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
        (name, fs::read_to_string(path).unwrap())
    };
    paths.into_iter().map(named).collect()
}

/// Returns the code of a file, without comments, text in quotes, and the tests at its end.
fn code(text: &str) -> String {
    let code = code_with_comments(text);
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| {
        let unquoted = line.split('"').step_by(2).collect::<Vec<_>>().join(" ");
        unquoted.split("//").next().unwrap_or_default().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns the words of a text: the parts between characters that no identifier has.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| !character.is_alphanumeric() && character != '_')
}

/// Returns the module of `src` that a file belongs to.
fn module(file: &str) -> &str {
    let path = file.strip_prefix("src/").expect("the file is in src");
    // One folder and one feature, but each part belongs to its layer, and `#[path]` attributes put it there.
    if let Some(part) = path.strip_prefix("sealed/") {
        return match part {
            "revoked.rs" | "ends.rs" | "ends/tests.rs" => "store",
            "session.rs" => "session",
            "cookie.rs" | "parts.rs" | "check.rs" => "web",
            _ => panic!("{file} has no layer"),
        };
    }
    path.split(['/', '.']).next().expect("a path has a first part")
}

/// Returns the modules of this crate that a text names: `name` in `crate::name` and in `crate::{name, ...}`.
fn named_modules(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for rest in code.split("crate::").skip(1) {
        let Some(group) = rest.strip_prefix('{') else {
            names.extend(words(rest).next().map(str::to_owned));
            continue;
        };
        let (mut depth, mut item) = (0, String::new());
        for character in group.chars() {
            match character {
                '}' if depth == 0 => break,
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => names.push(std::mem::take(&mut item)),
                _ if depth == 0 => item.push(character),
                _ => {}
            }
        }
        names.push(item);
    }
    let first_words = names.iter().filter_map(|name| words(name.trim()).next());
    // A name that begins with a capital is a type that `lib.rs` exports.
    first_words.filter(|name| name.starts_with(|first: char| first.is_lowercase())).map(str::to_owned).collect()
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn may_name(from: &str, to: &str) -> bool {
    if from == to || SHARED.contains(&to) || PEERS.iter().any(|(user, used, _)| (*user, *used) == (from, to)) {
        return true;
    }
    match (layer(from), layer(to)) {
        (Some(from), Some(to)) => to < from,
        _ => false,
    }
}

#[test]
fn dependencies_point_one_way() {
    let mut named = 0;
    for (file, text) in files("src") {
        let from = module(&file);
        // `lib.rs` exports what is public, `fuzzing.rs` what the fuzz targets call.
        if matches!(from, "lib" | "fuzzing") {
            continue;
        }
        assert!(layer(from).is_some() || SHARED.contains(&from), "{file} has no place: give it one in tests/it/tidy.rs");
        for to in named_modules(&code(&text)) {
            assert!(may_name(from, &to), "{file} names `crate::{to}`, which does not lie below it");
            named += 1;
        }
    }
    assert!(named > 30, "only {named} were found, so the search does not work");
}

#[test]
fn every_exception_is_needed() {
    let files = files("src");
    for (user, used, what) in PEERS {
        let is_used =
            files.iter().any(|(file, text)| module(file) == user && named_modules(&code(text)).iter().any(|name| name == used));
        assert!(is_used, "`{user}` does not name `{used}` for {what} any more: take the exception away");
    }
}

#[test]
fn the_database_the_tables_and_the_archives_stay_in_their_places() {
    // What may be named where; a place is the beginning of a path.
    let rules: [(&str, &[&str]); 9] = [
        ("redb", &["src/disk.rs", "src/disk/"]),
        ("rustix", &["src/disk/directory/held.rs"]),
        ("hashbrown", &["src/memory.rs", "src/memory/"]),
        // Two models of this crate derive it through the codec, as a user's do; `lib.rs` reexports it to users.
        (
            "rkyv",
            &[
                "codec/",
                "src/lib.rs",
                "src/label.rs",
                "src/owner.rs",
                "src/session/reserved/",
                "src/sealed/ends.rs",
                "src/sealed/revoked.rs",
                "src/testing/models/tests.rs",
            ],
        ),
        ("chacha20poly1305", &["src/keys/seal.rs"]),
        ("http", &["src/web.rs", "src/web/", "src/sealed/", "src/testing/login.rs"]),
        ("axum_core", &["src/web/body.rs", "src/web/extract.rs"]),
        ("tower_service", &["src/web.rs", "src/web/"]),
        ("serde_json", &["codec/src/messagepack/tests", "src/proof/jws.rs", "src/proof/key.rs", "src/web/device/endpoint.rs"]),
    ];
    for (name, places) in rules {
        let (mut inside, mut outside) = (0, Vec::new());
        for (file, text) in files("src").into_iter().chain(files("codec/src")) {
            if words(&code(&text)).any(|word| word == name) {
                if places.iter().any(|place| file.starts_with(place)) {
                    inside += 1;
                } else {
                    outside.push(file);
                }
            }
        }
        assert!(inside > 0, "nobody names `{name}`: the rule, or the search, is out of date");
        assert!(outside.is_empty(), "`{name}` is named outside {places:?}: {outside:?}");
    }
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let (_, own) = manifest.split_once("\n[dependencies]\n").unwrap();
    let own = own.split("\n[").next().unwrap();
    assert!(!own.contains("rkyv"), "rkyv reaches this package through the codec alone");
}

#[test]
fn the_codec_knows_nothing_of_files_clocks_chance_and_locks() {
    // Times and addresses are types that a model can contain: `parts.rs` lists them, `unix_time.rs` converts them.
    let is_exempt =
        |file: &str| file.ends_with("/tests.rs") || ["codec/src/parts.rs", "codec/src/unix_time.rs"].contains(&file);
    for (file, text) in files("codec/src").into_iter().filter(|(file, _)| !is_exempt(file)) {
        for word in words(&code(&text)) {
            let is_known =
                matches!(word, "fs" | "net" | "thread" | "time" | "SystemTime" | "Instant" | "Mutex" | "RwLock" | "getrandom");
            assert!(!is_known, "{file} names `{word}`");
        }
    }
}

#[test]
fn unsafe_code_stands_in_one_file() {
    let mut with_unsafe = Vec::new();
    for directory in ["src", "codec/src", "crates", "demo", "examples", "tests", "codec/tests", "fuzz/src"] {
        for (file, text) in files(directory) {
            // This word as code, which this line is not.
            let keyword = concat!("uns", "afe");
            if words(&code(&text)).any(|word| word == keyword) {
                with_unsafe.push(file);
            }
        }
    }
    assert_eq!(with_unsafe, ["codec/src/record.rs"]);
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    assert!(lib.contains("#![forbid(unsafe_code)]"));
}

#[test]
fn no_file_gets_too_long_to_read() {
    for directory in ["src", "codec/src", "crates", "demo", "examples", "tests", "codec/tests", "benches", "fuzz/src"] {
        for (file, text) in files(directory) {
            let lines = text.lines().count();
            assert!(
                lines < MOST_LINES,
                "{file} has {lines} lines, fewer than {MOST_LINES} are the rule: cut it where it thinks"
            );
        }
    }
}

#[test]
fn every_file_says_what_it_decides() {
    for directory in ["src", "codec/src", "crates", "tests"] {
        // That file is generated and included with `include!`.
        for (file, text) in
            files(directory).into_iter().filter(|(file, _)| file != "crates/derive/tests/histories/generated.rs")
        {
            assert!(text.starts_with("//!"), "{file} begins without a `//!` comment");
        }
    }
}

/// The most names in the crate's root, beside modules by theme. Nobody would read a longer list.
const MOST_NAMES: usize = 25;

#[test]
fn the_root_has_few_names() {
    let text = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let exported = text.split("pub use crate::").skip(1).map(|rest| rest.split(';').next().unwrap_or_default());
    let names: Vec<_> = exported.flat_map(words).filter(|word| word.starts_with(|first: char| first.is_uppercase())).collect();
    assert!(names.contains(&"Store") && names.len() <= MOST_NAMES, "{} names: {names:?}", names.len());
}

/// Words and phrases that make a comment hard to read, each with a plain one in its place.
const OBSCURE: [(&str, &str); 12] = [
    ("whoever", "the caller, the client, the thread"),
    ("somebody", "another thread, an attacker, a user"),
    ("everybody", "all of them, by name"),
    ("so many", "the number"),
    ("so much", "the number, or the parameter's name"),
    ("anew", "again"),
    ("thereby", "so"),
    ("comes between", "was first"),
    ("go on", "continue"),
    ("for good", "permanently"),
    ("by hand", "manually"),
    ("of no use", "useless"),
];

#[test]
fn comments_are_in_plain_words() {
    let mut obscure = Vec::new();
    for (file, text) in files("src").into_iter().chain(files("codec/src")) {
        for (before, line) in text.lines().enumerate() {
            let Some((_, comment)) = line.split_once("//") else { continue };
            let comment = format!(" {} ", words(comment).collect::<Vec<_>>().join(" ").to_lowercase());
            for (phrase, plain) in OBSCURE {
                if comment.contains(&format!(" {phrase} ")) {
                    obscure.push(format!("{file}:{}: `{phrase}`; write {plain}", before + 1));
                }
            }
        }
    }
    assert!(obscure.is_empty(), "{obscure:#?}");
}

/// Types whose methods each have an example with an assertion.
const SHOWN: [&str; 4] = ["Session", "Store", "Builder", "SessionLayer"];
/// What only a recorder of metrics sees: the tests of `src/store/metrics.rs` have one.
const UNSHOWN: [&str; 1] = ["publish_metrics"];

/// Returns the public methods in a file, each with its type and its documentation.
fn public_calls(text: &str) -> Vec<(&str, &str, String)> {
    let (mut calls, mut owner, mut doc) = (Vec::new(), "", String::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("impl") {
            owner = words(rest).find(|word| !word.is_empty()).unwrap_or_default();
        }
        let line = line.trim_start();
        if let Some(text) = line.strip_prefix("///") {
            doc.push_str(text);
            doc.push('\n');
        } else if let Some(rest) = line.strip_prefix("pub fn ").or_else(|| line.strip_prefix("pub async fn ")) {
            calls.push((owner, words(rest).next().unwrap_or_default(), std::mem::take(&mut doc)));
        } else if !line.starts_with("#[") {
            doc.clear();
        }
    }
    calls
}

#[test]
fn every_call_of_the_main_types_has_an_example_that_asserts() {
    let (mut found, mut missing) = (0, Vec::new());
    for (file, text) in files("src") {
        for (owner, name, doc) in public_calls(code_with_comments(&text)) {
            if SHOWN.contains(&owner) && !UNSHOWN.contains(&name) {
                found += 1;
                if !doc.contains("```") || !doc.contains("assert") {
                    missing.push(format!("{file}: {owner}::{name}"));
                }
            }
        }
    }
    assert!(found > 90 && missing.is_empty(), "of {found}: {missing:#?}");
}

/// Returns a file without the tests at its end.
fn code_with_comments(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or_default()
}
