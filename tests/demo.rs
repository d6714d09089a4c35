//! Drives the demo as people would: the real program, over HTTP, with a cookie jar for each browser, killed and started again.
//!
//! Invariants: every test has a server, a port and a directory of its own, and no server outlives its test. Traffic goes to loopback
//! only. Knows nothing of the library: what a test knows, a browser could see.

use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    io::{BufRead, BufReader, Read, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Output, Stdio},
    time::Duration,
};

use tempfile::TempDir;

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0";
const SAFARI: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                      Version/18.6 Mobile/15E148 Safari/604.1";

const PASSWORD: &str = "correct horse battery staple";
const SIGN_IN_PAGE: &str = r#"action="/sign-in""#;

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
    assert_eq!(page.body.matches("Welcome, O&#39;Hara &amp; &quot;Sons&quot;.").count(), 1, "{}", page.body);
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

#[cfg(unix)]
#[test]
fn ctrl_c_stops_it_and_signs_nobody_out() {
    let mut demo = Demo::start();
    let mut browser = Browser::new(FIREFOX);
    browser.sign_up(&demo, "Ada");
    // A connection on which nothing is asked must not hold it up.
    let _idle = TcpStream::connect(demo.address()).unwrap();

    let pid = demo.process.0.id().to_string();
    assert!(Command::new("sh").args(["-c", "kill -INT $0", &pid]).status().unwrap().success());
    let mut rest = String::new();
    demo.stdout.read_to_string(&mut rest).unwrap();
    let status = demo.process.0.wait().unwrap();
    assert!(status.success(), "{status}");
    assert!(rest.ends_with("Stopped\n"), "{rest:?}");

    demo.restart();
    browser.get(&demo, "/").assert_signed_in("Ada");
}

#[test]
fn help_tells_the_options() {
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
fn a_port_or_a_directory_in_use_is_told() {
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

/// The program, running on a free port and in a directory of its own.
struct Demo {
    process: Process,
    stdout: BufReader<ChildStdout>,
    port: u16,
    data: TempDir,
}

impl Demo {
    #[track_caller]
    fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let (process, stdout, port) = spawn(data.path());
        Self { process, stdout, port, data }
    }

    /// Ends it as `kill -9` does, and waits until it is gone.
    fn kill(&mut self) {
        self.process.0.kill().unwrap();
        self.process.0.wait().unwrap();
    }

    #[track_caller]
    fn restart(&mut self) {
        (self.process, self.stdout, self.port) = spawn(self.data.path());
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn origin(&self) -> String {
        format!("http://{}", self.address())
    }
}

/// Killed when dropped, as a panicking test does.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[track_caller]
fn spawn(data: &Path) -> (Process, BufReader<ChildStdout>, u16) {
    let mut command = Command::new(binary());
    command.args(["--port", "0", "--data", path_text(data)]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut process = Process(command.spawn().unwrap());
    let mut stdout = BufReader::new(process.0.stdout.take().expect("stdout is piped"));
    let (mut listening, mut place) = (String::new(), String::new());
    stdout.read_line(&mut listening).unwrap();
    stdout.read_line(&mut place).unwrap();
    assert_eq!(place.trim_end(), format!("Data in {}", data.display()), "after {listening:?}");
    let port = listening.trim_end().strip_prefix("Listening on http://127.0.0.1:").and_then(|port| port.parse().ok());
    (process, stdout, port.unwrap_or_else(|| panic!("no address in {listening:?}")))
}

/// Runs the program with arguments at which it ends by itself.
fn run(args: &[&str]) -> Output {
    Command::new(binary()).args(args).stdin(Stdio::null()).output().unwrap()
}

/// Cargo tells tests where the package's programs are, but not where its examples are: beside the directory of the tests.
fn binary() -> PathBuf {
    let test = env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).expect("cargo runs tests from <target>/<profile>/deps");
    let path = profile.join("examples").join(format!("demo{}", env::consts::EXE_SUFFIX));
    assert!(
        path.exists(),
        "{} is not there; `cargo test` builds it, but before `cargo test --test demo` build it with \
         `cargo build --example demo`",
        path.display()
    );
    path
}

fn path_text(path: &Path) -> &str {
    path.to_str().expect("temporary directories have plain names")
}

/// A browser: cookies, and how it names itself.
#[derive(Clone)]
struct Browser {
    user_agent: &'static str,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    fn new(user_agent: &'static str) -> Self {
        Self { user_agent, cookies: BTreeMap::new() }
    }

    #[track_caller]
    fn sign_up(&mut self, demo: &Demo, name: &str) {
        self.enter(demo, "/sign-up", name);
    }

    #[track_caller]
    fn sign_in(&mut self, demo: &Demo, name: &str) {
        self.enter(demo, "/sign-in", name);
    }

    /// Signs up or in, which leads to the first page of the new session.
    #[track_caller]
    fn enter(&mut self, demo: &Demo, path: &str, name: &str) {
        let page = self.post(demo, path, &[("name", name), ("password", PASSWORD)]);
        page.assert_has(r#"<p class="flash ok" role="status">Welcome"#);
        page.assert_has_not(SIGN_IN_PAGE);
        assert_eq!(page.number("views-since-login"), 1);
    }

    #[track_caller]
    fn get(&mut self, demo: &Demo, path: &str) -> Answer {
        let answer = self.send(demo, "GET", path, &[], "");
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer
    }

    /// Sends a form from a page of the demo, and follows the redirect that answers it.
    #[track_caller]
    fn post(&mut self, demo: &Demo, path: &str, form: &[(&str, &str)]) -> Answer {
        let answer = self.send(demo, "POST", path, &[("Origin", &demo.origin())], &encode(form));
        assert_eq!(answer.status, 303, "{}", answer.body);
        let location = answer.header("location").expect("a redirect says where to").to_owned();
        self.get(demo, &location)
    }

    #[track_caller]
    fn send(&mut self, demo: &Demo, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let address = demo.address();
        let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nUser-Agent: {}\r\n", self.user_agent);
        let host = ("Host", &*address);
        let given = headers.iter().any(|(name, _)| *name == "Host");
        for (name, value) in headers.iter().copied().chain((!given).then_some(host)) {
            write!(request, "{name}: {value}\r\n").expect("a string takes all");
        }
        if !self.cookies.is_empty() {
            let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            write!(request, "Cookie: {}\r\n", cookies.join("; ")).expect("a string takes all");
        }
        if method == "POST" {
            let length = body.len();
            write!(request, "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n")
                .expect("a string takes all");
        }
        write!(request, "\r\n{body}").expect("a string takes all");
        let answer = exchange(&address, &request);
        for cookie in &answer.set_cookies {
            self.keep(cookie);
        }
        answer
    }

    fn keep(&mut self, cookie: &str) {
        let mut parts = cookie.split(';').map(str::trim);
        let (name, value) = parts.next().and_then(|pair| pair.split_once('=')).expect("a cookie begins with name=value");
        if parts.any(|attribute| attribute.eq_ignore_ascii_case("Max-Age=0")) {
            self.cookies.remove(name);
        } else {
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
    }
}

#[track_caller]
fn exchange(address: &str, request: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    // A server that hangs fails the test instead of hanging it too.
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    Answer::parse(&answer)
}

fn encode(form: &[(&str, &str)]) -> String {
    let text = |text: &str| {
        text.bytes().fold(String::new(), |mut all, byte| {
            write!(all, "%{byte:02X}").expect("a string takes all");
            all
        })
    };
    form.iter().map(|(name, value)| format!("{name}={}", text(value))).collect::<Vec<_>>().join("&")
}

/// What the server answered.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    set_cookies: Vec<String>,
    body: String,
}

impl Answer {
    #[track_caller]
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no end of the headers in {text:?}"));
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let headers: Vec<_> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let set_cookies = headers.iter().filter(|(name, _)| name == "set-cookie").map(|(_, value)| value.clone()).collect();
        Self { status: status.expect("an answer begins with its status"), headers, set_cookies, body: body.to_owned() }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| &**value)
    }

    #[track_caller]
    fn assert_signed_in(&self, name: &str) {
        self.assert_has(&format!("<bdi>{name}</bdi>"));
        self.assert_has_not(SIGN_IN_PAGE);
    }

    #[track_caller]
    fn assert_has(&self, text: &str) {
        assert!(self.body.contains(text), "no {text:?} in {}", self.body);
    }

    #[track_caller]
    fn assert_has_not(&self, text: &str) {
        assert!(!self.body.contains(text), "{text:?} in {}", self.body);
    }

    /// The number in the element with this id.
    #[track_caller]
    fn number(&self, id: &str) -> u64 {
        between(&self.body, &format!(r#"id="{id}">"#), "<").parse().unwrap()
    }

    /// The entries of the list of devices.
    #[track_caller]
    fn devices(&self) -> Vec<&str> {
        between(&self.body, r#"<ul class="devices">"#, "</ul>").split("<li>").skip(1).collect()
    }

    /// The one entry of the list of devices that has this label.
    #[track_caller]
    fn device(&self, label: &str) -> &str {
        let label = format!("<strong>{label}</strong>");
        let found: Vec<_> = self.devices().into_iter().filter(|device| device.contains(&label)).collect();
        assert_eq!(found.len(), 1, "{label} in {}", self.body);
        found[0]
    }
}

#[track_caller]
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let rest = text.split_once(before).map(|(_, rest)| rest);
    let found = rest.and_then(|rest| rest.split_once(after)).map(|(found, _)| found);
    found.unwrap_or_else(|| panic!("nothing between {before:?} and {after:?} in {text}"))
}
