//! Runs each example as a program of its own and visits it as a browser does, over a `kill` and a restart.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

/// An example that runs, until it is dropped.
struct Program {
    child: Child,
    address: SocketAddr,
    /// Kept open: a program that goes on to print would fail otherwise.
    _output: BufReader<ChildStdout>,
}

impl Program {
    fn start(name: &str, store: &Path) -> Self {
        let mut command = Command::new(built(name));
        let mut child = command.arg("0").arg(store).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let address = loop {
            let mut line = String::new();
            assert!(output.read_line(&mut line).unwrap() > 0, "{name} ended before it listened");
            if let Some((_, address)) = line.split_once("listening on http://") {
                break address.trim().parse().unwrap();
            }
        };
        Self { child, address, _output: output }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // As in a crash: nothing is said before, and what was acknowledged has to be there afterwards.
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Cargo builds the examples of a package before it runs its tests, beside them.
fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let directory = test.parent().and_then(Path::parent).unwrap().join("examples");
    directory.join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

/// A browser with one cookie.
#[derive(Default)]
struct Browser {
    cookie: Option<String>,
}

impl Browser {
    fn ask(&mut self, program: &Program, method: &str, path: &str) -> String {
        let mut connection = TcpStream::connect(program.address).unwrap();
        connection.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let cookie = self.cookie.as_ref().map_or_else(String::new, |cookie| format!("Cookie: {cookie}\r\n"));
        let host = program.address;
        write!(
            connection,
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: 0\r\n{cookie}\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        for line in head.lines() {
            if let Some((name, value)) = line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie")) {
                let ends = value.contains("Max-Age=0");
                assert!(value.contains("HttpOnly") || ends, "{name}: {value}");
                self.cookie = (!ends).then(|| value.split(';').next().unwrap().to_owned());
            }
        }
        body.to_owned()
    }

    fn get(&mut self, program: &Program, path: &str) -> String {
        self.ask(program, "GET", path)
    }
}

/// Visits `name`, kills it, starts it again and goes on.
fn counts_visits(name: &str) {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("sessions.redb");
    let (mut ada, mut grace) = (Browser::default(), Browser::default());
    let says = |body: String, visits: u32| assert!(body.contains(&format!("visit {visits}")), "{name} says {body}");
    let program = Program::start(name, &store);
    says(ada.get(&program, "/"), 1);
    says(ada.get(&program, "/"), 2);
    says(grace.get(&program, "/"), 1);
    drop(program);
    let program = Program::start(name, &store);
    says(ada.get(&program, "/"), 3);
    says(grace.get(&program, "/"), 2);
    says(Browser { cookie: Some("session=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned()) }.get(&program, "/"), 1);
}

#[test]
fn threads() {
    counts_visits("threads");
}

#[test]
fn hyper() {
    counts_visits("hyper");
}

#[test]
fn warp() {
    counts_visits("warp");
}

/// Calls the service with the token, and takes a new one that the answer brings.
async fn call(program: &Program, token: &mut Option<String>) -> String {
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", program.address)).unwrap();
    let mut grpc = tonic::client::Grpc::new(endpoint.connect().await.unwrap());
    grpc.ready().await.unwrap();
    let mut request = tonic::Request::new(());
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    let path = http::uri::PathAndQuery::from_static("/tour.Visits/Count");
    let response = grpc.unary(request, path, tonic_prost::ProstCodec::<(), String>::default()).await.unwrap();
    if let Some(new) = response.metadata().get("session-token") {
        *token = Some(new.to_str().unwrap().to_owned());
    }
    response.into_inner()
}

#[tokio::test]
async fn tonic() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("sessions.redb");
    let (mut ada, mut grace) = (None, None);
    let program = Program::start("tonic", &store);
    assert_eq!(call(&program, &mut ada).await, "visit 1");
    assert_eq!(call(&program, &mut ada).await, "visit 2");
    assert_eq!(call(&program, &mut grace).await, "visit 1");
    drop(program);
    let program = Program::start("tonic", &store);
    assert_eq!(call(&program, &mut ada).await, "visit 3");
    assert_eq!(call(&program, &mut Some("made up".to_owned())).await, "visit 1");
}

#[test]
fn rocket() {
    counts_visits("rocket");
}

#[test]
fn actix() {
    counts_visits("actix");
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start("actix", &directory.path().join("sessions.redb"));
    let mut browser = Browser::default();
    assert!(browser.get(&program, "/").contains("visit 1 of nobody"));
    let before = browser.cookie.clone();
    assert!(browser.ask(&program, "POST", "/in/Ada").contains("hello Ada"));
    let signed_in = browser.cookie.clone();
    assert_ne!(signed_in, before);
    assert!(browser.get(&program, "/").contains("visit 2 of Ada"));
    assert!(
        Browser { cookie: before }.get(&program, "/").contains("visit 1 of nobody"),
        "the id before signing in is worth nothing"
    );
    assert!(browser.ask(&program, "POST", "/out").contains("goodbye"));
    assert_eq!(browser.cookie, None);
    assert!(Browser { cookie: signed_in }.get(&program, "/").contains("visit 1 of nobody"), "signed out is signed out");
}

#[test]
fn metrics() {
    counts_visits("metrics");
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start("metrics", &directory.path().join("sessions.redb"));
    let mut browser = Browser::default();
    for _ in 0..3 {
        browser.get(&program, "/");
    }
    let text = Browser::default().get(&program, "/metrics");
    let value = |wanted: &[&str]| {
        let mut lines = text.lines().filter(|line| !line.starts_with('#') && wanted.iter().all(|part| line.contains(part)));
        let line = lines.next().unwrap_or_else(|| panic!("no metric with {wanted:?} in {text}"));
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(value(&["sessile_requests", "store=\"main\"", "outcome=\"hit\"", "tier=\"memory\""]), 2);
    assert_eq!(value(&["sessile_sessions", "tier=\"all\""]), 1);
    assert!(value(&["sessile_commits", "outcome=\"stored\""]) >= 3);
    assert!(value(&["sessile_memory_usage"]) > 0 && value(&["sessile_memory_limit"]) > 0);
    assert!(text.contains("# HELP sessile_requests Sessions asked for"));
    let cookie = browser.cookie.unwrap();
    assert!(!text.contains(cookie.split('=').nth(1).unwrap()), "a token is no label");
}
