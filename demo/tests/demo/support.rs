//! What the tests drive: the program as a process, and a browser with a cookie jar.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::{self, BufRead, BufReader, PipeReader, Read, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use tempfile::TempDir;

pub(crate) const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0";
pub(crate) const SAFARI: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                      Version/18.6 Mobile/15E148 Safari/604.1";

const PROGRAM: &str = env!("CARGO_BIN_EXE_sessile-demo");

pub(crate) const PASSWORD: &str = "correct horse battery staple";
pub(crate) const SIGN_IN_PAGE: &str = r#"action="/sign-in""#;

/// The program, running on a free port and in a directory of its own.
pub(crate) struct Demo {
    process: Process,
    output: BufReader<PipeReader>,
    pub(crate) port: u16,
    pub(crate) data: TempDir,
}

impl Demo {
    #[track_caller]
    pub(crate) fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let (process, output, port) = spawn(data.path());
        Self { process, output, port, data }
    }

    /// Ends it as `kill -9` does, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.process.0.kill().unwrap();
        self.process.0.wait().unwrap();
    }

    /// Sends it a signal, by the name that `kill` takes.
    #[cfg(unix)]
    #[track_caller]
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.process.0.id().to_string();
        assert!(Command::new("sh").args(["-c", "kill -$0 $1", name, &pid]).status().unwrap().success());
    }

    /// Waits until it prints this line.
    #[cfg(unix)]
    #[track_caller]
    pub(crate) fn read_until(&mut self, line: &str) {
        let found = self.output.by_ref().lines().map(Result::unwrap).find(|found| found == line);
        assert!(found.is_some(), "it ended without the line {line:?}");
    }

    /// Waits until it has ended by itself. Returns its exit code and the rest of its output.
    #[cfg(unix)]
    pub(crate) fn wait(&mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        (self.process.0.wait().unwrap().code(), rest)
    }

    #[track_caller]
    pub(crate) fn restart(&mut self) {
        (self.process, self.output, self.port) = spawn(self.data.path());
    }

    /// The names of the files that it keeps.
    pub(crate) fn files(&self) -> Vec<String> {
        let files = fs::read_dir(self.data.path()).unwrap();
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
    }

    pub(crate) fn journals(&self) -> Vec<String> {
        self.files().into_iter().filter(|name| name.contains(".journal")).collect()
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn origin(&self) -> String {
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
fn spawn(data: &Path) -> (Process, BufReader<PipeReader>, u16) {
    // What it prints as errors comes in order with the rest.
    let (output, stdout) = io::pipe().unwrap();
    let stderr = stdout.try_clone().unwrap();
    let arguments = ["--port", "0", "--data", path_text(data)];
    let process = Command::new(PROGRAM).args(arguments).stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn();
    let (process, mut output) = (Process(process.unwrap()), BufReader::new(output));
    let (mut listening, mut place) = (String::new(), String::new());
    output.read_line(&mut listening).unwrap();
    output.read_line(&mut place).unwrap();
    assert_eq!(place.trim_end(), format!("Data in {}", data.display()), "after {listening:?}");
    let port = listening.trim_end().strip_prefix("Listening on http://127.0.0.1:").and_then(|port| port.parse().ok());
    (process, output, port.unwrap_or_else(|| panic!("no address in {listening:?}")))
}

/// Runs the program with arguments at which it ends by itself.
pub(crate) fn run(args: &[&str]) -> Output {
    Command::new(PROGRAM).args(args).stdin(Stdio::null()).output().unwrap()
}

pub(crate) fn path_text(path: &Path) -> &str {
    path.to_str().expect("temporary directories have plain names")
}

/// A browser: cookies, and how it names itself.
#[derive(Clone)]
pub(crate) struct Browser {
    user_agent: &'static str,
    pub(crate) cookies: BTreeMap<String, String>,
}

impl Browser {
    pub(crate) fn new(user_agent: &'static str) -> Self {
        Self { user_agent, cookies: BTreeMap::new() }
    }

    #[track_caller]
    pub(crate) fn sign_up(&mut self, demo: &Demo, name: &str) {
        self.enter(demo, "/sign-up", name);
    }

    #[track_caller]
    pub(crate) fn sign_in(&mut self, demo: &Demo, name: &str) {
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
    pub(crate) fn get(&mut self, demo: &Demo, path: &str) -> Answer {
        let answer = self.send(demo, "GET", path, &[], "");
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer
    }

    /// Sends a form from a page of the demo, and follows the redirect that answers it.
    #[track_caller]
    pub(crate) fn post(&mut self, demo: &Demo, path: &str, form: &[(&str, &str)]) -> Answer {
        let answer = self.send(demo, "POST", path, &[("Origin", &demo.origin())], &encode(form));
        assert_eq!(answer.status, 303, "{}", answer.body);
        let location = answer.header("location").expect("a redirect says where to").to_owned();
        self.get(demo, &location)
    }

    /// Sends a form from a page of the demo, which answers with the form again and what is wrong.
    #[track_caller]
    pub(crate) fn post_refused(&mut self, demo: &Demo, path: &str, form: &[(&str, &str)]) -> Answer {
        let answer = self.send(demo, "POST", path, &[("Origin", &demo.origin())], &encode(form));
        assert_eq!(answer.status, 422, "{}", answer.body);
        answer.assert_has(SIGN_IN_PAGE);
        answer
    }

    #[track_caller]
    pub(crate) fn send(&mut self, demo: &Demo, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let address = demo.address();
        let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nUser-Agent: {}\r\n", self.user_agent);
        let length = body.len().to_string();
        let mut usual = vec![("Host", &*address)];
        if method == "POST" {
            usual.extend([("Content-Type", "application/x-www-form-urlencoded"), ("Content-Length", &length)]);
        }
        usual.retain(|(name, _)| headers.iter().all(|(given, _)| given != name));
        for (name, value) in headers.iter().chain(&usual) {
            write!(request, "{name}: {value}\r\n").expect("a string takes all");
        }
        if !self.cookies.is_empty() {
            let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            write!(request, "Cookie: {}\r\n", cookies.join("; ")).expect("a string takes all");
        }
        write!(request, "\r\n{body}").expect("a string takes all");
        let answer = exchange(&address, &request);
        for cookie in &answer.set_cookies {
            self.keep(cookie);
        }
        answer
    }

    pub(crate) fn keep(&mut self, cookie: &str) {
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

pub(crate) fn encode(form: &[(&str, &str)]) -> String {
    let text = |text: &str| {
        text.bytes().fold(String::new(), |mut all, byte| {
            write!(all, "%{byte:02X}").expect("a string takes all");
            all
        })
    };
    form.iter().map(|(name, value)| format!("{name}={}", text(value))).collect::<Vec<_>>().join("&")
}

/// What the server answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) set_cookies: Vec<String>,
    pub(crate) body: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn parse(text: &str) -> Self {
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

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| &**value)
    }

    #[track_caller]
    pub(crate) fn assert_signed_in(&self, name: &str) {
        self.assert_has(&format!("<bdi>{name}</bdi>"));
        self.assert_has_not(SIGN_IN_PAGE);
    }

    #[track_caller]
    pub(crate) fn assert_has(&self, text: &str) {
        assert!(self.body.contains(text), "no {text:?} in {}", self.body);
    }

    #[track_caller]
    pub(crate) fn assert_has_not(&self, text: &str) {
        assert!(!self.body.contains(text), "{text:?} in {}", self.body);
    }

    /// The input with this id, from its name to its last attribute.
    #[track_caller]
    pub(crate) fn input(&self, id: &str) -> &str {
        let inputs = self.body.split("<input ").skip(1).filter_map(|input| input.split('>').next());
        inputs
            .into_iter()
            .find(|input| input.contains(&format!("id=\"{id}\"")))
            .unwrap_or_else(|| panic!("no {id} in {}", self.body))
    }

    /// The number in the element with this id.
    #[track_caller]
    pub(crate) fn number(&self, id: &str) -> u64 {
        between(&self.body, &format!(r#"id="{id}">"#), "<").parse().unwrap()
    }

    /// The entries of the list of devices.
    #[track_caller]
    pub(crate) fn devices(&self) -> Vec<&str> {
        between(&self.body, r#"<ul class="devices" role="list">"#, "</ul>").split("<li>").skip(1).collect()
    }

    /// The one entry of the list of devices that has this label.
    #[track_caller]
    pub(crate) fn device(&self, label: &str) -> &str {
        let label = format!("<bdi>{label}</bdi>");
        let found: Vec<_> = self.devices().into_iter().filter(|device| device.contains(&label)).collect();
        assert_eq!(found.len(), 1, "{label} in {}", self.body);
        found[0]
    }
}

#[track_caller]
pub(crate) fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let rest = text.split_once(before).map(|(_, rest)| rest);
    let found = rest.and_then(|rest| rest.split_once(after)).map(|(found, _)| found);
    found.unwrap_or_else(|| panic!("nothing between {before:?} and {after:?} in {text}"))
}
