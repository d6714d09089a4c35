//! What is on the demo's pages, for everybody who reads them: with a screen reader, in forced colours, by keyboard.

use std::collections::BTreeSet;

use crate::support::{Browser, Demo, FIREFOX, between};

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
