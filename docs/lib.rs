//! The guide's examples, compiled and run as documentation tests: `cargo test -p sessile-guide`.

/// Makes a module of each page, so that a failing example names its page.
macro_rules! pages {
    ($($page:ident: $path:literal,)*) => {
        $(#[doc = include_str!($path)] mod $page {})*
    };
}

pages! {
    start: "src/start.md",
    sign_in: "src/sign-in.md",
    timeouts: "src/timeouts.md",
    devices: "src/devices.md",
    stolen: "src/stolen.md",
    values: "src/values.md",
    forms: "src/forms.md",
    durability: "src/durability.md",
    encryption: "src/encryption.md",
    apis: "src/apis.md",
    backup: "src/backup.md",
    testing: "src/testing.md",
    proxies: "src/proxies.md",
    migrating: "src/migrating.md",
    when_not: "src/when-not.md",
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    #[test]
    fn every_page_is_in_the_contents_and_its_examples_are_tests() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let names = fs::read_dir(root.join("src")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let pages: BTreeSet<_> = names.filter(|name| !["README.md", "SUMMARY.md"].contains(&&**name)).collect();
        let (contents, tested) = (include_str!("src/SUMMARY.md"), include_str!("lib.rs"));
        assert!(pages.len() >= 13, "{pages:?}");
        for page in pages {
            assert!(contents.contains(&format!("]({page})")), "{page} is not in SUMMARY.md");
            assert!(tested.contains(&format!("\"src/{page}\"")), "{page} is not in lib.rs");
        }
    }
}
