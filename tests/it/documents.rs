//! Checks that what the documents name exists: files, functions in them, and items by the name of their type.

use std::{fs, path::Path};

use crate::tidy::{files, root, words};

/// Each document with its text.
fn documents() -> Vec<(String, String)> {
    let mut found: Vec<_> = ["README", "ARCHITECTURE", "CONTRIBUTING", "SECURITY", "benches/README"]
        .map(|name| format!("{name}.md"))
        .into_iter()
        .collect();
    for page in fs::read_dir(root().join("docs/src")).unwrap() {
        found.push(format!("docs/src/{}", page.unwrap().file_name().to_string_lossy()));
    }
    let read = |name: String| (fs::read_to_string(root().join(&name)).unwrap(), name);
    found.into_iter().map(read).map(|(text, name)| (name, text)).collect()
}

/// Every Rust file of the repository, with its path and its text.
fn sources() -> Vec<(String, String)> {
    ["src", "codec", "crates", "tests", "benches", "demo", "examples", "docs", "fuzz"].into_iter().flat_map(files).collect()
}

/// The texts in backquotes, in order. Blocks of code are left out.
struct Quoted<'a> {
    text: &'a str,
    /// The text between this and the previous one in its line.
    before: &'a str,
    after: &'a str,
}

fn quoted(text: &str) -> Vec<Quoted<'_>> {
    let mut found = Vec::new();
    for block in text.split("```").step_by(2) {
        for line in block.lines() {
            let parts: Vec<_> = line.split('`').collect();
            for at in (1..parts.len()).step_by(2) {
                let (before, after) = (parts[at - 1], parts.get(at + 1).copied().unwrap_or_default());
                found.push(Quoted { text: parts[at], before: if at == 1 { "|" } else { before }, after });
            }
        }
    }
    found
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
}

/// Returns the path if the text is one of a Rust file and not a pattern for several.
fn rust_file(text: &str) -> Option<&str> {
    let is_path = text.chars().all(|character| character.is_ascii_alphanumeric() || "_-/.".contains(character));
    (is_path && Path::new(text).extension().is_some_and(|extension| extension == "rs")).then_some(text)
}

/// Returns the files that a path means, from the root or from any folder.
fn meant<'a>(sources: &'a [(String, String)], path: &str) -> Vec<&'a str> {
    let within = format!("/{path}");
    let is_meant = |file: &str| file == path || file.ends_with(&within);
    sources.iter().filter(|(file, _)| is_meant(file)).map(|(_, text)| &**text).collect()
}

#[test]
fn every_file_and_every_item_that_a_document_names_exists() {
    let (sources, mut wrong) = (sources(), Vec::new());
    for (document, text) in documents() {
        // The file that was named last, in this cell of a table or in this line.
        let mut current = None;
        for Quoted { text: quoted, before, after } in quoted(&text) {
            if before.contains('|') {
                current = None;
            }
            if let Some(path) = rust_file(quoted) {
                let files = meant(&sources, path);
                if files.is_empty() {
                    wrong.push(format!("{document}: there is no file `{path}`"));
                }
                current = Some((path, files));
            } else if let Some((path, files)) = current.as_ref().filter(|_| before == ", " || after.starts_with(':')) {
                let name = quoted.rsplit("::").next().unwrap_or_default();
                if is_name(name) && !files.iter().any(|text| words(text).any(|word| word == name)) {
                    wrong.push(format!("{document}: `{path}` has no `{quoted}`"));
                }
            }
            let Some((owner, name)) = quoted.split_once("::") else { continue };
            let is_type = owner.starts_with(|first: char| first.is_ascii_uppercase());
            let has = |text: &str| words(text).any(|word| word == owner) && words(text).any(|word| word == name);
            if is_type && is_name(owner) && is_name(name) && !sources.iter().any(|(_, text)| has(text)) {
                wrong.push(format!("{document}: there is no `{quoted}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_missing_is_found() {
    let found: Vec<_> =
        quoted("a `b`, `c`: `d`\n```\n`e`\n```\n`f`").into_iter().map(|it| (it.text, it.before, it.after)).collect();
    assert_eq!(found, [("b", "|", ", "), ("c", ", ", ": "), ("d", ": ", ""), ("f", "|", "")]);
    assert_eq!(["src/lib.rs", "lib.rs", "*.rs", "lib.md"].map(rust_file), [Some("src/lib.rs"), Some("lib.rs"), None, None]);
    let sources = [("src/store/find.rs".to_owned(), "fn find() {}".to_owned())];
    assert_eq!(meant(&sources, "store/find.rs"), ["fn find() {}"]);
    assert!(meant(&sources, "ind.rs").is_empty() && meant(&sources, "other.rs").is_empty());
}
