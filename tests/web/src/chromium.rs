//! Chromium, driven by the protocol of its developer tools.
//!
//! The commands are sent through a pipe instead of a port: nothing else can connect, and the browser ends when the pipe closes,
//! even if the test process is killed. Each browser has its own profile, which is removed with it. Every host name leads to
//! 127.0.0.1.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Page, certificate, programs};

/// How long an answer may take. One that takes longer fails the test instead of hanging it.
const PATIENCE: Duration = Duration::from_mins(1);

/// Makes standard input and output the descriptors 3 and 4, which the protocol is read from and written to.
const START: &str = r#"exec chromium "$@" 3<&0 4>&1 </dev/null >/dev/null"#;

const FLAGS: [&str; 14] = [
    "--headless=new",
    // Root cannot use the sandbox, and CI is root.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--disable-breakpad",
    "--password-store=basic",
    "--host-resolver-rules=MAP * 127.0.0.1",
    "--remote-debugging-pipe",
];

/// Device Bound Session Credentials, with keys in software: a virtual machine has no secure hardware. Without a quota, because a
/// browser signs six times in nine minutes else, and a test lets hours go by.
const DEVICE_KEYS: &str = "--enable-features=DeviceBoundSessions:RefreshQuota/false,\
    EnableBoundSessionCredentialsSoftwareKeysForManualTesting";

/// A browser with an empty profile. It ends when it is dropped.
#[derive(Debug)]
pub struct Browser {
    process: Child,
    commands: RefCell<Option<ChildStdin>>,
    messages: Receiver<Value>,
    events: RefCell<VecDeque<Value>>,
    last_id: Cell<u64>,
    home: TempDir,
}

impl Browser {
    /// Starts a browser that does not support keys of its device.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with("--disable-features=DeviceBoundSessions")
    }

    /// Starts a browser that supports keys of its device.
    #[track_caller]
    pub fn with_device_keys() -> Self {
        Self::start_with(DEVICE_KEYS)
    }

    #[track_caller]
    fn start_with(features: &str) -> Self {
        programs::install();
        let home = tempfile::tempdir().expect("a temporary directory can be made");
        let log = File::create(home.path().join("log")).expect("the directory was just made");
        let mut process = Command::new("sh")
            .args(["-c", START, "sh"])
            .args(FLAGS)
            .arg(features)
            .arg(format!("--ignore-certificate-errors-spki-list={}", certificate::key_hash()))
            .arg(format!("--user-data-dir={}", home.path().join("profile").display()))
            .arg("about:blank")
            .env("HOME", home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("there is a shell");
        let commands = RefCell::new(process.stdin.take());
        let mut output = BufReader::new(process.stdout.take().expect("it is piped"));
        let (sender, messages) = mpsc::channel();
        // Ends with the pipe. A message ends with a zero byte.
        thread::spawn(move || {
            let mut message = Vec::new();
            while output.read_until(0, &mut message).is_ok_and(|len| len > 0) {
                let parsed = serde_json::from_slice(message.strip_suffix(&[0]).unwrap_or(&message));
                let Ok(Ok(())) = parsed.map(|message: Value| sender.send(message)) else { return };
                message.clear();
            }
        });
        Self { process, commands, messages, events: RefCell::default(), last_id: Cell::new(0), home }
    }

    /// Opens a tab of this browser.
    #[track_caller]
    pub fn page(&self) -> Page<'_> {
        Page::open(self, None)
    }

    /// Opens a tab of another visitor: it shares no cookie, cache or service worker with any other.
    #[track_caller]
    pub fn somebody_else(&self) -> Page<'_> {
        let context = self.call(None, "Target.createBrowserContext", json!({}));
        Page::open(self, context["browserContextId"].as_str().map(str::to_owned))
    }

    /// Calls a method of the protocol, of `session` or of the browser, and returns its result.
    #[track_caller]
    pub(crate) fn call(&self, session: Option<&str>, method: &str, params: Value) -> Value {
        let id = self.last_id.get() + 1;
        self.last_id.set(id);
        let mut command = json!({ "id": id, "method": method });
        command["params"] = params;
        if let Some(session) = session {
            command["sessionId"] = session.into();
        }
        self.send(&command);
        loop {
            let mut message = self.receive(method);
            if message["id"] != id {
                self.events.borrow_mut().push_back(message);
                continue;
            }
            assert!(message["error"].is_null(), "{method}: {}", message["error"]);
            return message["result"].take();
        }
    }

    /// Waits for the first event since [`forget_events`](Self::forget_events) that `is_it` accepts, and returns its parameters.
    /// Earlier events are dropped.
    #[track_caller]
    pub(crate) fn event(&self, session: &str, awaited: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            let queued = self.events.borrow_mut().pop_front();
            let mut message = queued.unwrap_or_else(|| self.receive(awaited));
            if message["sessionId"] == session && message["method"] == awaited && is_it(&message["params"]) {
                return message["params"].take();
            }
        }
    }

    /// Drops the events until now.
    pub(crate) fn forget_events(&self) {
        self.events.borrow_mut().clear();
        while self.messages.try_recv().is_ok() {}
    }

    #[track_caller]
    fn send(&self, command: &Value) {
        let sent = self.commands.borrow_mut().as_mut().map(|pipe| pipe.write_all(format!("{command}\0").as_bytes()));
        assert!(matches!(sent, Some(Ok(()))), "Chromium has ended: {}", self.log());
    }

    #[track_caller]
    fn receive(&self, awaited: &str) -> Value {
        match self.messages.recv_timeout(PATIENCE) {
            Ok(message) => message,
            Err(error) => panic!("{awaited}: nothing from Chromium ({error}): {}", self.log()),
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends by itself when the pipe closes, and only then have all of its processes finished with the profile.
        drop(self.commands.take());
        while self.messages.recv_timeout(PATIENCE).is_ok() {}
        // In case it did not end. If it did, there is nothing to kill.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
