//! The demo as a process: its options, how it starts, how it stops.

use std::{fs, path::Path};
#[cfg(unix)]
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

#[cfg(unix)]
use crate::support::{Answer, PASSWORD};
use crate::support::{Browser, Demo, FIREFOX, between, path_text, run};

#[cfg(unix)]
#[test]
fn ctrl_c_stops_it_and_signs_nobody_out() {
    let mut demo = Demo::start();
    let mut browser = Browser::new(FIREFOX);
    browser.sign_up(&demo, "Ada");
    // A connection on which nothing is asked must not hold it up.
    let _idle = TcpStream::connect(demo.address()).unwrap();

    demo.signal("INT");
    let (code, rest) = demo.wait();
    assert_eq!(code, Some(0), "{rest:?}");
    assert!(rest.ends_with("Stopped\n"), "{rest:?}");

    demo.restart();
    browser.get(&demo, "/").assert_signed_in("Ada");
}

#[cfg(unix)]
#[test]
fn sigterm_lets_open_requests_finish_and_closes_the_store() {
    let mut demo = Demo::start();
    Browser::new(FIREFOX).sign_up(&demo, "Bob");
    let body = format!("name=Ada&password={}", PASSWORD.replace(' ', "+"));
    let (host, length) = (demo.address(), body.len());
    let mut stream = TcpStream::connect(&host).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    // "Expect" makes the server say when a handler waits for the form: from then on the request is open.
    let head = format!(
        "POST /sign-up HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nConnection: close\r\nExpect: 100-continue\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).unwrap();
    assert!(go_on.starts_with(b"HTTP/1.1 100"), "{go_on:?}");
    assert!(!demo.journals().is_empty(), "while it runs there is a journal");

    demo.signal("TERM");
    demo.read_until("Stopping");
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let answer = Answer::parse(&answer);
    assert_eq!(answer.status, 303, "{}", answer.body);
    let mut browser = Browser::new(FIREFOX);
    browser.keep(&answer.set_cookies[0]);

    let (code, rest) = demo.wait();
    assert_eq!(code, Some(0), "{rest:?}");
    assert!(rest.ends_with("Stopped\n"), "{rest:?}");
    assert_eq!(demo.journals(), [""; 0], "a clean close leaves no journal");

    demo.restart();
    browser.get(&demo, "/").assert_signed_in("Ada");
}

#[cfg(unix)]
#[test]
fn a_store_that_cannot_be_closed_is_an_error() {
    let mut demo = Demo::start();
    Browser::new(FIREFOX).sign_up(&demo, "Ada");
    fs::remove_dir_all(demo.data.path()).unwrap();
    demo.signal("TERM");
    demo.read_until("Stopping");
    let (code, rest) = demo.wait();
    assert_eq!(code, Some(1), "{rest:?}");
    assert!(!rest.is_empty() && !rest.contains("Stopped"), "{rest:?}");
}

#[test]
fn git_ignores_what_a_run_leaves_behind() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let ignored = fs::read_to_string(root.join(".gitignore")).unwrap();
    assert!(ignored.lines().any(|line| line == "demo-data/"), "{ignored}");
    let demo = Demo::start();
    Browser::new(FIREFOX).sign_up(&demo, "Ada");
    assert!(!demo.journals().is_empty());
    for file in demo.files() {
        // Enough of git's patterns: a text with a star before it, and maybe behind it.
        let matches = |pattern: &str| match pattern.strip_prefix('*').map(|rest| (rest, rest.strip_suffix('*'))) {
            Some((_, Some(middle))) => file.contains(middle),
            Some((end, None)) => file.ends_with(end),
            None => file == pattern,
        };
        assert!(ignored.lines().any(matches), "{file} is not ignored");
    }
}

#[test]
fn the_readme_example_is_short_and_stops_as_the_demo_does() {
    let readme = fs::read_to_string(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join("README.md")).unwrap();
    let example = between(&readme, "```rust", "```");
    assert!(example.lines().count() <= 25 + 1, "{example}");
    for part in ["SignalKind::terminate()", "SignalKind::interrupt()", ".with_graceful_shutdown(", "store.close()?"] {
        assert!(example.contains(part), "no {part} in {example}");
    }
}

#[test]
fn help_names_the_options() {
    let output = run(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    for option in ["--port N", "--data DIR", "--help", "3000", "demo-data", "SIGTERM"] {
        assert!(text.contains(option), "{option} in {text}");
    }
}

#[test]
fn a_wrong_option_is_named() {
    for (args, named) in [
        (&["--prot", "1"][..], "`--prot`"),
        (&["--port", "x"], "`x`"),
        (&["--port", "65536"], "65535"),
        (&["--port"], "--port needs a value"),
        (&["--data", ""], "--data needs a value"),
        (&["there"], "`there`"),
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(named), "{args:?}: {text}");
    }
}

#[test]
fn a_port_or_a_directory_in_use_is_named() {
    let demo = Demo::start();
    let port = demo.port.to_string();
    let elsewhere = tempfile::tempdir().unwrap();
    let output = run(&["--port", &port, "--data", path_text(elsewhere.path())]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains(&format!("port {port} is in use")) && text.contains("--port 0"), "{text}");

    let output = run(&["--port", "0", "--data", path_text(demo.data.path())]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("sessions.redb"), "{text}");
}
