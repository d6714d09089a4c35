//! What the demo refuses, and what the visitor reads then.

use crate::support::{Browser, Demo, FIREFOX, PASSWORD, SAFARI, between};

#[test]
fn wrong_names_and_passwords_are_refused_alike() {
    let demo = Demo::start();
    let (mut laptop, mut phone) = (Browser::new(FIREFOX), Browser::new(SAFARI));
    laptop.sign_up(&demo, "Ada");

    for (name, password) in [("Ada", "a wrong password"), ("Bob", PASSWORD), ("", ""), ("Ada", "short")] {
        let page = phone.post_refused(&demo, "/sign-in", &[("name", name), ("password", password)]);
        page.assert_has("There is no account with this name and password.");
    }
    assert!(phone.cookies.is_empty(), "nothing was stored for a stranger: {:?}", phone.cookies);
    phone.get(&demo, "/").assert_has_not("class=\"flash");

    let long = "x".repeat(129);
    for (name, password, answer) in [
        (" aDA ", "another password", "This name is taken."),
        (" \t ", PASSWORD, "A name has 1 to 64 characters."),
        (&long[..65], PASSWORD, "A name has 1 to 64 characters."),
        ("Bob", "1234567", "A password has 8 to 128 characters."),
        ("Bob", &long, "A password has 8 to 128 characters."),
    ] {
        phone.post_refused(&demo, "/sign-up", &[("name", name), ("password", password)]).assert_has(answer);
    }
    phone.sign_in(&demo, "Ada");

    // The longest that is allowed, in letters of four bytes, fits into a request.
    let (name, password) = ("𝒜".repeat(64), "🔑".repeat(128));
    let page = Browser::new(FIREFOX).post(&demo, "/sign-up", &[("name", &name), ("password", &password)]);
    page.assert_signed_in(&name);
}

#[test]
fn a_refused_form_keeps_the_name_and_says_at_the_field_what_is_wrong() {
    let demo = Demo::start();
    Browser::new(FIREFOX).sign_up(&demo, "Ada");
    let mut browser = Browser::new(FIREFOX);
    for (form, name, password, field, text) in [
        ("sign-in", "Zoë \"<3", "a wrong password", "password", "There is no account with this name and password."),
        ("sign-up", "Zoë \"<3", "short", "password", "A password has 8 to 128 characters."),
        ("sign-up", "ada", PASSWORD, "name", "This name is taken."),
    ] {
        let page = browser.post_refused(&demo, &format!("/{form}"), &[("name", name), ("password", password)]);
        let typed = name.replace('"', "&quot;").replace('<', "&lt;");
        assert_eq!(page.body.matches(&format!("value=\"{typed}\"")).count(), 1, "the other form stays empty: {}", page.body);
        assert!(page.input(&format!("{form}-name")).contains(&format!("value=\"{typed}\"")), "{}", page.body);
        page.assert_has_not(password);

        let problem = format!("{form}-problem");
        assert!(between(&page.body, &format!(r#"id="{problem}""#), "</p>").contains(text), "{}", page.body);
        assert_eq!(page.body.matches(" autofocus").count(), 1, "{}", page.body);
        assert_eq!(page.body.matches(" aria-invalid=\"true\"").count(), 1, "{}", page.body);
        let wrong = page.input(&format!("{form}-{field}"));
        assert!(wrong.contains(" autofocus") && wrong.contains(" aria-invalid"), "{wrong}");
        assert!(between(wrong, "aria-describedby=\"", "\"").split(' ').any(|id| id == problem), "{wrong}");
        page.assert_has("<title>Error: ");
    }

    let page = browser.get(&demo, "/");
    for absent in ["Zoë", "problem\"", " autofocus", " aria-invalid", "<title>Error"] {
        page.assert_has_not(absent);
    }
    // Reloading the address of a form leads back to it.
    for path in ["/sign-in", "/sign-up"] {
        let answer = browser.send(&demo, "GET", path, &[], "");
        assert_eq!((answer.status, answer.header("location")), (303, Some("/")), "{path}");
    }
}

#[test]
fn names_that_mislead_are_refused() {
    let demo = Demo::start();
    let mut browser = Browser::new(FIREFOX);
    let mut refused = |name: &str, text: &str| {
        let page = browser.post_refused(&demo, "/sign-up", &[("name", name), ("password", PASSWORD)]);
        assert!(between(&page.body, r#"id="sign-up-problem""#, "</p>").contains(text), "{name:?} in {}", page.body);
    };
    let invisible = concat!(
        "\0\u{8}\t\n\r\u{1f}\u{7f}\u{85}\u{9f}", // control characters, tab and line breaks among them
        "\u{200e}\u{200f}\u{61c}\u{202a}\u{202e}\u{2066}\u{2069}", // what changes the direction of text
        "\u{200b}\u{200c}\u{200d}\u{2060}\u{2064}\u{feff}\u{ad}\u{180e}\u{fffb}\u{e0041}", // no width
        "\u{115f}\u{1160}\u{3164}\u{ffa0}\u{2800}\u{2028}\u{2029}", // letters that are blank, and separators of lines
    );
    for found in invisible.chars() {
        refused(&format!("A{found}da"), &format!("U+{:04X}", u32::from(found)));
    }
    refused("\u{200b}", "U+200B");
    refused("\u{202e}Ada", "U+202E");
    for blank in ["\u{301}", "\u{fe0f}", "...", " - "] {
        refused(blank, "A name has at least one letter or digit.");
    }

    for (name, shown) in [
        ("Ada  \u{a0} Lovelace\n", "Ada Lovelace"),
        ("נועה", "נועה"),
        ("山田", "山田"),
        ("R2-D2 ❤\u{fe0f}", "R2-D2 ❤\u{fe0f}"),
        ("7", "7"),
    ] {
        let mut browser = Browser::new(FIREFOX);
        browser.sign_up(&demo, name);
        browser.get(&demo, "/").assert_signed_in(shown);
    }
    for same in ["\u{3000}ADA LOVELACE ", "r2-d2 ❤"] {
        Browser::new(FIREFOX).sign_in(&demo, same);
    }
}

#[test]
fn every_error_is_a_page_with_a_way_back() {
    let demo = Demo::start();
    let mut browser = Browser::new(FIREFOX);
    let here = demo.origin();
    let ours = ("Origin", &*here);
    let long = format!("name={}&password=x", "x".repeat(5000));
    for (status, method, path, headers, body) in [
        (404, "GET", "/none", &[][..], ""),
        (404, "POST", "/none", &[ours], ""),
        (405, "GET", "/sign-out", &[], ""),
        (405, "POST", "/", &[ours], ""),
        (405, "DELETE", "/", &[ours], ""),
        (413, "POST", "/sign-in", &[ours], &long),
        (413, "POST", "/devices/sign-out", &[ours], &long),
        (415, "POST", "/sign-in", &[ours, ("Content-Type", "application/json")], "{}"),
        (422, "POST", "/sign-in", &[ours], "name=Ada"),
        (422, "POST", "/sign-up", &[ours], "name=%FF&password=%FF&name=x"),
        (422, "POST", "/devices/sign-out", &[ours], ""),
        (400, "POST", "/sign-in", &[ours, ("Transfer-Encoding", "chunked"), ("Content-Length", "0")], "zz\r\n"),
        (403, "POST", "/sign-in", &[], "name=Ada&password=x"),
        (403, "POST", "/none", &[("Sec-Fetch-Site", "cross-site")], ""),
        (421, "GET", "/", &[("Host", "evil.example")], ""),
    ] {
        let answer = browser.send(&demo, method, path, headers, body);
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"), "{method} {path}: {}", answer.body);
        assert_eq!(answer.header("allow").is_some(), status == 405, "{method} {path}");
        answer.assert_has("<html lang=\"en\">");
        let title = between(&answer.body, "<h1>", "</h1>");
        answer.assert_has(&format!("<title>{title} - sessile demo</title>"));
        let sentence = between(&answer.body, "</h1>\n<p>", "</p>");
        assert!(sentence.ends_with('.') && sentence.len() > 20, "{method} {path}: {sentence:?}");
        // Under a name that is refused, a link without a host leads to the same refusal.
        answer.assert_has(&if status == 421 { format!("<a href=\"{here}/\">") } else { "<a href=\"/\">".to_owned() });
    }
    let answer = browser.send(&demo, "HEAD", "/none", &[], "");
    assert_eq!((answer.status, &*answer.body), (404, ""));
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
