//! The demo as a process: its options, how it starts, how it stops.

#[cfg(unix)]
use std::net::TcpStream;

use crate::support::{Browser, Demo, FIREFOX, path_text, run};

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

#[test]
fn help_names_the_options() {
    let output = run(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    for option in ["--port N", "--data DIR", "--help", "3000", "demo-data"] {
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
