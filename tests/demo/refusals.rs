//! What the demo refuses, and what the visitor reads then.

use crate::support::{Browser, Demo, FIREFOX, PASSWORD, SAFARI, SIGN_IN_PAGE};

#[test]
fn wrong_names_and_passwords_are_refused_alike() {
    let demo = Demo::start();
    let (mut laptop, mut phone) = (Browser::new(FIREFOX), Browser::new(SAFARI));
    laptop.sign_up(&demo, "Ada");

    for (name, password) in [("Ada", "a wrong password"), ("Bob", PASSWORD), ("", ""), ("Ada", "short")] {
        let page = phone.post(&demo, "/sign-in", &[("name", name), ("password", password)]);
        page.assert_has("There is no account with this name and password.");
        page.assert_has(SIGN_IN_PAGE);
    }
    phone.get(&demo, "/").assert_has_not("class=\"flash");

    let long = "x".repeat(129);
    for (name, password, answer) in [
        (" aDA ", "another password", "This name is taken."),
        (" \t ", PASSWORD, "A name has 1 to 64 characters."),
        (&long[..65], PASSWORD, "A name has 1 to 64 characters."),
        ("a\u{7}b", PASSWORD, "A name has 1 to 64 characters."),
        ("Bob", "1234567", "A password has 8 to 128 characters."),
        ("Bob", &long, "A password has 8 to 128 characters."),
    ] {
        let page = phone.post(&demo, "/sign-up", &[("name", name), ("password", password)]);
        page.assert_has(answer);
        page.assert_has(SIGN_IN_PAGE);
    }
    phone.sign_in(&demo, "Ada");

    // The longest that is allowed, in letters of four bytes, fits into a request.
    let (name, password) = ("𝒜".repeat(64), "🔑".repeat(128));
    let page = Browser::new(FIREFOX).post(&demo, "/sign-up", &[("name", &name), ("password", &password)]);
    page.assert_signed_in(&name);
}

#[test]
fn other_sites_and_other_hosts_are_refused() {
    let demo = Demo::start();
    let mut browser = Browser::new(FIREFOX);
    browser.sign_up(&demo, "Ada");

    let here = demo.origin();
    let foreign: [&[(&str, &str)]; 8] = [
        &[],
        &[("Origin", "null")],
        &[("Origin", "http://evil.example")],
        &[("Origin", "http://127.0.0.1")],
        &[("Origin", "https://127.0.0.1")],
        &[("Sec-Fetch-Site", "cross-site")],
        &[("Sec-Fetch-Site", "same-site"), ("Origin", &here)],
        &[("Sec-Fetch-Site", "cross-site"), ("Origin", &here)],
    ];
    for headers in foreign {
        let answer = browser.send(&demo, "POST", "/sign-out", headers, "");
        assert_eq!(answer.status, 403, "{headers:?}");
        assert!(answer.set_cookies.is_empty(), "{headers:?}");
    }
    browser.get(&demo, "/").assert_signed_in("Ada");

    for host in ["evil.example", "127.0.0.1.evil.example", "192.0.2.1"] {
        let answer = browser.send(&demo, "GET", "/", &[("Host", host)], "");
        assert_eq!(answer.status, 421, "{host}");
        answer.assert_has_not("Ada");
    }

    let local = here.replace("127.0.0.1", "localhost");
    let host = local.strip_prefix("http://").expect("an origin begins with its scheme");
    browser.send(&demo, "GET", "/", &[("Host", host)], "").assert_signed_in("Ada");
    let ok: &[(&str, &str)] = &[("Sec-Fetch-Site", "same-origin")];
    let answer = browser.send(&demo, "POST", "/sign-out", ok, "");
    assert_eq!((answer.status, answer.header("location")), (303, Some("/signed-out")));
}

#[test]
fn every_answer_forbids_scripts_and_copies() {
    let demo = Demo::start();
    let mut browser = Browser::new(FIREFOX);
    for (method, path, status) in [("GET", "/", 200), ("GET", "/none", 404), ("GET", "/sign-out", 405), ("POST", "/", 403)] {
        let answer = browser.send(&demo, method, path, &[], "");
        assert_eq!(answer.status, status, "{method} {path}");
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(policy.contains("default-src 'none'") && !policy.contains("script-src"), "{method} {path}: {policy:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{method} {path}");
        answer.assert_has_not("<script");
    }
}
