//! What is on the demo's pages, for everybody who reads them: with a screen reader, in forced colours, by keyboard.

use std::{collections::BTreeSet, fs};

use crate::support::{Browser, Demo, FIREFOX, SAFARI, between};

#[test]
fn what_a_background_marks_has_a_border_too() {
    // In forced colours (high contrast), browsers replace backgrounds: without a border, a button is text.
    let demo = Demo::start();
    let page = Browser::new(FIREFOX).get(&demo, "/");
    let style = between(&page.body, "<style>", "</style>");
    for selector in ["button", "input", ".card", ".flash"] {
        let rule = between(style, &format!("\n{selector} {{"), "}");
        let border = between(rule, "border: ", ";");
        assert!(border.contains("px solid"), "{selector} has border {border:?}");
    }
    let forced = between(style, "@media (forced-colors: active) {", "\n}");
    assert!(forced.contains(":focus-visible") && forced.contains("Highlight"), "{forced}");
    // An error is told from a success by more than its colour.
    assert!(style.contains("\n.error { border-width: "), "{style}");
}

#[test]
fn every_control_of_a_page_has_a_name_of_its_own() {
    let demo = Demo::start();
    let mut laptop = Browser::new(FIREFOX);
    let front = laptop.get(&demo, "/");
    assert_eq!(names(&front.body).len(), 6, "two fields and a button in each form: {}", front.body);
    laptop.sign_up(&demo, "Ada");
    for browser in [FIREFOX, FIREFOX, SAFARI, FIREFOX] {
        Browser::new(browser).sign_in(&demo, "Ada");
    }
    let home = laptop.get(&demo, "/");
    let names = names(&home.body);
    assert_eq!(
        names.iter().filter(|name| name.starts_with("Sign out ") && name.contains("Firefox on Linux, last seen")).count(),
        3
    );
    assert_eq!(
        names.iter().filter(|name| name.starts_with("Sign out ") && name.contains("Safari on iPhone, last seen")).count(),
        1
    );
}

/// The accessible names of the page's controls. No two may be alike, and none empty.
#[track_caller]
fn names(body: &str) -> BTreeSet<String> {
    let mut names = Vec::new();
    for (tag, end) in [("<button", "</button>"), ("<a ", "</a>"), ("<label", "</label>")] {
        for element in body.split(tag).skip(1) {
            let (attributes, rest) = element.split_once('>').unwrap();
            let label = attributes.contains("aria-label=").then(|| between(attributes, "aria-label=\"", "\""));
            names.push(label.unwrap_or(rest.split(end).next().unwrap()).to_owned());
        }
    }
    let visible_inputs = body.split("<input ").skip(1).filter(|input| !input.starts_with("type=\"hidden\"")).count();
    assert_eq!(body.matches("<label for=").count(), visible_inputs, "each field has a label: {body}");
    let distinct: BTreeSet<_> = names.iter().cloned().collect();
    assert_eq!(distinct.len(), names.len(), "two are alike: {names:?}");
    assert!(!distinct.contains(""), "{names:?}");
    distinct
}

#[test]
fn what_users_typed_cannot_turn_the_text_around_it() {
    let demo = Demo::start();
    let mut browser = Browser::new(FIREFOX);
    let name = "!נועה (1)";
    let form = [("name", name), ("password", crate::support::PASSWORD)];
    let after_sign_up = browser.post(&demo, "/sign-up", &form);
    let after_sign_in = browser.post(&demo, "/sign-in", &form);
    for page in [after_sign_up, after_sign_in, browser.get(&demo, "/")] {
        let isolated = page.body.matches(&format!("<bdi>{name}</bdi>")).count();
        assert!(isolated > 0 && isolated == page.body.matches(name).count(), "{}", page.body);
        let labels = page.body.matches("<bdi>Firefox on Linux</bdi>").count();
        assert_eq!(labels, page.devices().len(), "{}", page.body);
    }
    // In a field that is filled in again there are no elements; its direction comes from its text.
    let page = browser.post_refused(&demo, "/sign-in", &[("name", name), ("password", "a wrong password")]);
    assert!(page.input("sign-in-name").contains("dir=\"auto\""), "{}", page.body);
    assert_eq!(page.body.matches(name).count(), 1, "{}", page.body);
}

#[test]
fn the_footer_shows_the_file_and_its_journal() {
    let demo = Demo::start();
    let mut browser = Browser::new(FIREFOX);
    browser.sign_up(&demo, "Ada");
    let sizes = |names: Vec<String>| -> Vec<u64> {
        names.into_iter().map(|name| fs::metadata(demo.data.path().join(name)).unwrap().len()).collect()
    };
    let file = || sizes(vec!["sessions.redb".to_owned()])[0];
    let (before, page, after) = (file(), browser.get(&demo, "/"), file());
    // The next file of the journal is made ahead of its use, and counted when it is ready.
    let journal = sizes(demo.journals());
    let one = journal.iter().copied().min().expect("there is a journal");
    assert!(one > after, "the test cannot distinguish them: {after} and {journal:?}");
    for (name, least, most) in [("File size", before, after), ("Journal size", one, journal.iter().sum())] {
        let value = between(&page.body, &format!("<dt>{name}</dt><dd>"), "</dd>");
        let (number, unit) = value.split_once(' ').unwrap_or_else(|| panic!("{name} has no unit: {value:?}"));
        let shift = match unit {
            "bytes" => 0,
            "KiB" => 10,
            "MiB" => 20,
            _ => panic!("{name} is {value:?}"),
        };
        let number: u64 = number.parse().unwrap();
        assert!((least >> shift..=most >> shift).contains(&number), "{name} is {value:?}, {least} to {most} bytes on disk");
    }
}

#[test]
fn every_page_has_a_title_a_language_and_one_heading_of_the_first_level() {
    let demo = Demo::start();
    let mut browser = Browser::new(FIREFOX);
    let front = browser.get(&demo, "/");
    let refused = browser.post_refused(&demo, "/sign-in", &[("name", "Ada"), ("password", "")]);
    browser.sign_up(&demo, "Ada");
    let home = browser.get(&demo, "/");
    let signed_out = browser.post(&demo, "/sign-out", &[]);
    let missing = browser.send(&demo, "GET", "/none", &[], "");
    let mut titles = BTreeSet::new();
    for page in [front, refused, home, signed_out, missing] {
        page.assert_has("<html lang=\"en\">");
        assert_eq!(page.body.matches("<h1").count(), 1, "{}", page.body);
        assert!(titles.insert(between(&page.body, "<title>", "</title>").to_owned()), "twice: {titles:?}");
    }
}
