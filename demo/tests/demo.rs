//! Drives the demo as people would: the real program, over HTTP, with a cookie jar for each browser, killed and started again.
//!
//! Invariants: every test has a server, a port and a directory of its own, and no server outlives its test. Traffic goes to loopback
//! only. Knows nothing of the library: what a test knows, a browser could see.
//!
//! Here: who is signed in, and for how long. The other files of this crate: what the pages hold, what is refused, and the process.

#[path = "demo/pages.rs"]
mod pages;
#[path = "demo/process.rs"]
mod process;
#[path = "demo/refusals.rs"]
mod refusals;
#[path = "demo/support.rs"]
mod support;

use support::{Browser, Demo, FIREFOX, PASSWORD, SAFARI, SIGN_IN_PAGE, between};

#[test]
fn who_signed_in_still_is_after_a_kill() {
    let mut demo = Demo::start();
    let (mut laptop, mut phone) = (Browser::new(FIREFOX), Browser::new(SAFARI));
    laptop.sign_up(&demo, "Zoë <3");
    laptop.get(&demo, "/");
    phone.get(&demo, "/");
    phone.sign_in(&demo, "zoë  <3 ");
    let page = phone.get(&demo, "/");
    assert_eq!(page.number("views"), 3);
    assert_eq!(page.number("views-since-login"), 2);

    demo.kill();
    demo.restart();
    let page = laptop.get(&demo, "/");
    page.assert_signed_in("Zoë &lt;3");
    assert_eq!(page.number("views"), 3, "laptop: sign-up's page, one more, and this one");
    page.assert_has("<dd>disk</dd>");
    laptop.get(&demo, "/").assert_has("<dd>memory</dd>");
    let page = phone.get(&demo, "/");
    page.assert_signed_in("Zoë &lt;3");
    assert_eq!((page.number("views"), page.number("views-since-login")), (4, 3));
    assert!(page.set_cookies.is_empty(), "no new cookie was needed: {:?}", page.set_cookies);
}

#[test]
fn a_sign_up_gives_the_session_a_new_id_and_keeps_its_data() {
    let demo = Demo::start();
    let mut browser = Browser::new(FIREFOX);

    let page = browser.get(&demo, "/signed-out");
    assert!(page.set_cookies.is_empty(), "nothing was stored: {:?}", page.set_cookies);
    let page = browser.get(&demo, "/");
    page.assert_has(SIGN_IN_PAGE);
    let [cookie] = &page.set_cookies[..] else { panic!("one cookie for the first count: {:?}", page.set_cookies) };
    let attributes = cookie.to_ascii_lowercase();
    assert!(
        attributes.contains("; httponly") && attributes.contains("; samesite=") && attributes.contains("; path=/"),
        "{cookie}"
    );
    assert!(!attributes.contains("; domain="), "{cookie}");
    browser.get(&demo, "/").assert_has("page 2 that you view here");

    let mut thief = browser.clone();
    browser.sign_up(&demo, "Ada");
    assert_ne!(browser.cookies, thief.cookies, "the id was rotated");
    let page = thief.get(&demo, "/");
    page.assert_has(SIGN_IN_PAGE);
    page.assert_has_not("Ada");
    page.assert_has("your first page here");

    let page = browser.get(&demo, "/");
    page.assert_signed_in("Ada");
    assert_eq!((page.number("views"), page.number("views-since-login")), (4, 2));

    let mut thief = browser.clone();
    browser.sign_in(&demo, "ADA");
    assert_ne!(browser.cookies, thief.cookies, "the id was rotated");
    thief.get(&demo, "/").assert_has(SIGN_IN_PAGE);
    assert_eq!(browser.get(&demo, "/").number("views-since-login"), 2);
}

#[test]
fn a_message_is_shown_once_and_to_whom_it_is_meant() {
    let demo = Demo::start();
    let mut browser = Browser::new(FIREFOX);
    let form = [("name", "O'Hara & \"Sons\""), ("password", PASSWORD)];
    let page = browser.post(&demo, "/sign-up", &form);
    assert_eq!(page.body.matches("Welcome, <bdi>O&#39;Hara &amp; &quot;Sons&quot;</bdi>.").count(), 1, "{}", page.body);
    Browser::new(SAFARI).get(&demo, "/").assert_has_not("Welcome");
    browser.get(&demo, "/").assert_has_not("class=\"flash");
}

#[test]
fn one_device_signs_out_another_then_all_others_then_itself() {
    let demo = Demo::start();
    let [mut laptop, mut phone, mut tablet] = [FIREFOX, SAFARI, "nobody knows me"].map(Browser::new);
    laptop.sign_up(&demo, "Ada");
    phone.sign_in(&demo, "Ada");
    tablet.sign_in(&demo, "Ada");
    let mut stranger = Browser::new(SAFARI);
    stranger.sign_up(&demo, "Bob");

    let page = laptop.get(&demo, "/");
    assert_eq!(page.devices().len(), 3, "{}", page.body);
    assert!(page.device("Firefox on Linux").contains("this device"));
    assert!(page.device("Safari on iPhone").contains("<small>Signed in "));
    assert!(page.device("Unknown browser").contains(r#"action="/devices/sign-out""#));
    let handle = between(page.device("Safari on iPhone"), r#"name="handle" value=""#, r#"""#);
    assert!(phone.get(&demo, "/").device("Safari on iPhone").contains("this device"));

    // Bob has Ada's handle, but she is not his to sign out.
    stranger.post(&demo, "/devices/sign-out", &[("handle", handle)]).assert_has("was signed out already");
    phone.get(&demo, "/").assert_signed_in("Ada");

    laptop.post(&demo, "/devices/sign-out", &[("handle", handle)]).assert_has("That device is signed out.");
    phone.get(&demo, "/").assert_has(SIGN_IN_PAGE);
    assert_eq!(laptop.get(&demo, "/").devices().len(), 2);
    laptop.post(&demo, "/devices/sign-out", &[("handle", handle)]).assert_has("was signed out already");
    laptop.post(&demo, "/devices/sign-out", &[("handle", "<b>")]).assert_has("was signed out already");

    phone.sign_in(&demo, "Ada");
    phone.post(&demo, "/devices/sign-out-others", &[]).assert_has("2 other devices are signed out.");
    laptop.get(&demo, "/").assert_has(SIGN_IN_PAGE);
    tablet.get(&demo, "/").assert_has(SIGN_IN_PAGE);
    stranger.get(&demo, "/").assert_signed_in("Bob");

    let mut thief = phone.clone();
    phone.post(&demo, "/sign-out", &[]).assert_has("You are signed out");
    assert!(phone.cookies.is_empty(), "the cookie was deleted: {:?}", phone.cookies);
    thief.get(&demo, "/").assert_has(SIGN_IN_PAGE);
    phone.get(&demo, "/").assert_has("your first page here");
    phone.post(&demo, "/devices/sign-out-others", &[]).assert_has(SIGN_IN_PAGE);
}

#[test]
fn a_sign_out_is_not_undone_by_a_kill() {
    let mut demo = Demo::start();
    let (mut laptop, mut phone) = (Browser::new(FIREFOX), Browser::new(SAFARI));
    laptop.sign_up(&demo, "Ada");
    phone.sign_in(&demo, "Ada");
    let mut thief = laptop.clone();
    laptop.post(&demo, "/devices/sign-out-others", &[]).assert_has("One other device is signed out.");
    laptop.post(&demo, "/sign-out", &[]).assert_has("You are signed out");
    demo.kill();
    demo.restart();
    thief.get(&demo, "/").assert_has(SIGN_IN_PAGE);
    phone.get(&demo, "/").assert_has(SIGN_IN_PAGE);
}
