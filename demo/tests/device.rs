//! The demo in Chromium, behind nginx: what it shows of a session that is bound to the device.
#![cfg(unix)]

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use sessile_web_tests::{Browser, Front, Page};

const LONG: &str = "__Host-id";
const SHORT: &str = "__Host-id-device";

/// The demo as a process. It is killed when this is dropped.
struct Demo {
    process: Child,
    _output: BufReader<ChildStdout>,
    port: u16,
}

impl Demo {
    fn start(data: &Path, origin: &str) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_sessile-demo"))
            .args(["--port", "0", "--origin", origin, "--data"])
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut listening = String::new();
        output.read_line(&mut listening).unwrap();
        let port = listening.trim_end().rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        Self { process, _output: output, port: port.unwrap_or_else(|| panic!("no address in {listening:?}")) }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It fails only if the process has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Loads the first page until its session is bound: the browser registers beside what its visitor does.
fn becomes_bound(visitor: &Page<'_>) {
    reload_until(visitor, || visitor.text("#bound").contains("is bound") && !visitor.cookies(SHORT).is_empty());
}

/// Loads the page again until `is_so` returns `true`.
fn reload_until(visitor: &Page<'_>, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_mins(1), "{}", visitor.text("body"));
        visitor.reload();
    }
}

#[test]
fn the_page_shows_that_its_session_is_bound_and_a_copied_cookie_is_worth_nothing_without_a_proof() {
    let data = tempfile::tempdir().unwrap();
    let front = Front::bind();
    let origin = front.origin("demo.example.test");
    let demo = Demo::start(data.path(), &origin);
    let proxy = front.nginx(demo.port, "");
    let (browser, elsewhere) = (Browser::with_device_keys(), Browser::with_device_keys());
    let visitor = browser.page();
    visitor.go(&proxy.origin("demo.example.test"));
    visitor.submit("form[action='/sign-up']", &[("name", "Ada"), ("password", "correct horse battery staple")]);
    becomes_bound(&visitor);
    assert!(visitor.text(".devices").contains("bound to the device"));
    assert_eq!(visitor.cookies(SHORT).len(), 1);

    // A thief has the long cookie, and no key. In the first seconds after the registration no request needs a proof.
    let thief = elsewhere.page();
    thief.set_cookie(&visitor.cookie(LONG));
    thief.go(&proxy.origin("demo.example.test"));
    reload_until(&thief, || !thief.text("h1").contains("Hello"));
    assert!(thief.text("h1").contains("Sign in"));
    visitor.reload();
    assert!(visitor.text("h1").contains("Ada") && visitor.text("#bound").contains("is bound"));
}
