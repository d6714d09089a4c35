//! The application in a frame of other sites, with a cookie for each of them.

use axum::{response::Html, routing::get};
use serde_json::json;
use sessile::{Cookie, SessionLayer, testing, web::SameSite};
use sessile_web_tests::{Browser, Page, Server, application, site};

const HOST: &str = "app.example.test";

/// Sends the form that the surrounding page requests, and answers with the user who is signed in afterwards.
const FRAME: &str = r##"<!doctype html>
<title>frame</title>
<script>
onmessage = async ({ data, source, origin }) => {
    if (data.path) await fetch(data.path, { method: "POST", body: new URLSearchParams(data.fields) });
    const page = new DOMParser().parseFromString(await (await fetch("account")).text(), "text/html");
    source.postMessage(page.querySelector("#user").textContent, origin);
};
</script>
"##;

#[test]
fn a_session_in_a_frame_is_one_of_its_own_for_each_site_around_it() {
    let store = testing::store();
    let partitioned = Cookie::new().same_site(SameSite::None).partitioned();
    let sessions = SessionLayer::new(store.clone()).cookie(partitioned).unwrap();
    let pages = application(&store, sessions, "").route("/frame", get(async || Html(FRAME)));
    let server = Server::https(pages);
    let around = Server::https(site([("/", format!(r#"<iframe src="{}/frame"></iframe>"#, server.origin(HOST)))]));
    let browser = Browser::start();
    let visitor = browser.page();

    visitor.go(&around.origin("first.test"));
    assert_eq!(frame_says(&visitor, "", ""), "nobody");
    assert_eq!(frame_says(&visitor, "sign-in", "ada"), "ada");
    visitor.reload();
    assert_eq!(frame_says(&visitor, "", ""), "ada");
    visitor.go(&around.origin("second.test"));
    assert_eq!(frame_says(&visitor, "sign-in", "bob"), "bob");

    visitor.go(&(server.origin(HOST) + "/account"));
    assert_eq!(visitor.user(), "nobody");
    visitor.sign_in("eve");
    assert_eq!(visitor.user(), "eve");
    assert_eq!(visitor.cookies("__Host-id").len(), 3);

    visitor.go(&around.origin("first.test"));
    assert_eq!(frame_says(&visitor, "", ""), "ada");
    assert_eq!(frame_says(&visitor, "sign-out", ""), "nobody");
    visitor.go(&around.origin("second.test"));
    assert_eq!(frame_says(&visitor, "", ""), "bob");
    visitor.go(&(server.origin(HOST) + "/account"));
    assert_eq!(visitor.user(), "eve");
}

/// Returns the user who is signed in within the frame, after a form was sent to `path` there, if that is not empty.
#[track_caller]
fn frame_says(page: &Page<'_>, path: &str, user: &str) -> String {
    let said = page.eval(&format!(
        "new Promise(done => {{
            onmessage = message => done(message.data);
            document.querySelector('iframe').contentWindow.postMessage({}, '*');
        }})",
        json!({ "path": path, "fields": { "user": user } })
    ));
    said.as_str().unwrap().to_owned()
}
