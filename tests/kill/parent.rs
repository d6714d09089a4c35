//! The process that kills, and then checks what is left.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fmt, fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use sessile::{Store, Token};

use crate::{
    child::{SLOTS, STORE},
    record::{Dice, Found, read},
};

const FILE: &str = "sessions.redb";
/// The longest time that a child may work, in milliseconds.
const LONGEST_MS: u64 = 80;
/// Sessions of earlier rounds that each round checks again; the end checks all of them.
const AGAIN: u64 = 100;

/// The results.
#[derive(Default)]
pub(crate) struct Verdict {
    kills: u64,
    acknowledged: u64,
    lost: u64,
    resurrected: u64,
    mixed: u64,
}

impl Verdict {
    pub(crate) fn is_clean(&self) -> bool {
        // Without an acknowledgement the test would show nothing.
        self.acknowledged > 0 && self.lost + self.resurrected + self.mixed == 0
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, acknowledged, lost, resurrected, mixed } = self;
        write!(f, "kills: {kills}, acknowledged {acknowledged}, lost {lost}, resurrected {resurrected}, mixed {mixed}")
    }
}

/// What must be under one token.
#[derive(Clone, Debug)]
struct Expected {
    name: String,
    acknowledged: u64,
    attempted: u64,
    fate: Fate,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    /// A commit from `acknowledged` to `attempted`, or nothing if none was acknowledged.
    Alive,
    /// It may have moved to another token, which is this one if the child got to print it.
    Leaving(Option<String>),
    /// It may have come from this other token.
    Arriving(String),
    /// It may be over.
    Ending,
    /// Nothing.
    Gone,
}

type Sessions = BTreeMap<String, Expected>;

pub(crate) fn run(kills: u64, seed: u64) -> Verdict {
    let dir = tempfile::tempdir().expect("there is room for a directory");
    let (mut dice, mut verdict, mut sessions) = (Dice::new(seed), Verdict::default(), Sessions::new());
    let mut recent = BTreeSet::new();
    for round in 0..kills {
        let lines = kill_one(dir.path(), round, &resumable(&sessions, &recent), &mut dice);
        verdict.kills += 1;
        recent = BTreeSet::new();
        for line in &lines {
            verdict.acknowledged += u64::from(hear(line, &mut sessions, &mut recent));
        }
        let again = usize::try_from(dice.below(AGAIN)).expect("it is small");
        let step = sessions.len() / (again + 1) + 1;
        let checked = recent.iter().cloned().chain(sessions.keys().step_by(step).cloned()).collect();
        if round % 2 == 0 {
            // In a copy, so that the next child finds what this one left behind.
            let copy = copy_of(dir.path());
            check(copy.path(), &checked, &mut sessions, &mut verdict);
        } else {
            check(dir.path(), &checked, &mut sessions, &mut verdict);
        }
    }
    let all = sessions.keys().cloned().collect();
    check(dir.path(), &all, &mut sessions, &mut verdict);
    verdict
}

/// Sessions for the next child to continue with.
fn resumable(sessions: &Sessions, recent: &BTreeSet<String>) -> String {
    let alive = recent.iter().filter_map(|token| Some((token, sessions.get(token)?)));
    let alive = alive.filter(|(_, expected)| expected.fate == Fate::Alive).take(2 * SLOTS);
    let lines: Vec<_> = alive.map(|(token, expected)| format!("{token} {} {}", expected.name, expected.attempted)).collect();
    lines.join("\n")
}

/// Starts a child, kills it at some moment, and returns what it printed.
fn kill_one(dir: &Path, round: u64, resumable: &str, dice: &mut Dice) -> Vec<String> {
    let mut child = Command::new(env::current_exe().expect("this process runs from a file"))
        .env(STORE, dir.join(FILE))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process starts");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    stdin.write_all(format!("{round}\n{resumable}").as_bytes()).expect("the child reads");
    drop(stdin);
    let (ready, is_ready) = mpsc::channel();
    let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
    let listener = thread::spawn(move || {
        let lines = stdout.lines().map(|line| line.expect("stdout is text"));
        lines
            .inspect(|line| {
                if line == "ready" {
                    ready.send(()).expect("the parent waits");
                }
            })
            .collect::<Vec<_>>()
    });
    // Some die while they open the store, perhaps while it recovers from the previous death.
    let is_early = round > 0 && dice.below(8) == 0;
    if !is_early {
        is_ready.recv().expect("the child gets ready");
    }
    let span_us = if is_early { 10_000 } else { LONGEST_MS * 1000 };
    thread::sleep(Duration::from_micros(dice.below(span_us)));
    kill(&mut child);
    // Its receiver must outlive the listener, in case a child becomes ready after all.
    let lines = listener.join().expect("the listener lives");
    drop(is_ready);
    lines
}

fn kill(child: &mut Child) {
    child.kill().expect("the child is ours");
    let status = child.wait().expect("the child is ours");
    #[cfg(unix)]
    let is_killed = std::os::unix::process::ExitStatusExt::signal(&status) == Some(9);
    #[cfg(not(unix))]
    let is_killed = !status.success();
    assert!(is_killed, "the child ended by itself: {status}");
}

/// Notes what one line guarantees. Returns whether it is an acknowledgement.
fn hear(line: &str, sessions: &mut Sessions, recent: &mut BTreeSet<String>) -> bool {
    let words: Vec<_> = line.split(' ').collect();
    let (token, number) = (words.get(1).copied().unwrap_or_default(), || words[words.len() - 1].parse().expect("a number"));
    let at = |sessions: &mut Sessions, token: &str, change: &dyn Fn(&mut Expected)| {
        change(sessions.get_mut(token).expect("the session was spoken of before"));
    };
    recent.extend((!token.is_empty()).then(|| token.to_owned()));
    match words[..] {
        ["ready"] => return false,
        ["try", _, name, _] => {
            let new = || Expected { name: name.to_owned(), acknowledged: 0, attempted: 0, fate: Fate::Alive };
            sessions.entry(token.to_owned()).or_insert_with(new).attempted = number();
        }
        ["ack", ..] => at(sessions, token, &|expected| expected.acknowledged = number()),
        ["leave", ..] => at(sessions, token, &|expected| expected.fate = Fate::Leaving(None)),
        ["arrive", _, new, name, _] => {
            at(sessions, token, &|expected| expected.fate = Fate::Leaving(Some(new.to_owned())));
            let (name, n) = (name.to_owned(), number());
            let fate = Fate::Arriving(token.to_owned());
            sessions.insert(new.to_owned(), Expected { name, acknowledged: n, attempted: n, fate });
            recent.insert(new.to_owned());
        }
        ["left", _, new, _, _] => {
            at(sessions, token, &|expected| expected.fate = Fate::Gone);
            at(sessions, new, &|expected| expected.fate = Fate::Alive);
        }
        ["end", _] => at(sessions, token, &|expected| expected.fate = Fate::Ending),
        ["ended", _] => at(sessions, token, &|expected| expected.fate = Fate::Gone),
        _ => panic!("the child said {line:?}"),
    }
    matches!(words[0], "ack" | "left" | "ended")
}

/// A copy of all files of the store.
fn copy_of(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("there is room for a directory");
    for entry in fs::read_dir(dir).expect("the directory is ours") {
        let entry = entry.expect("the directory is ours");
        fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("there is room for a copy");
    }
    copy
}

/// Opens the store as a crash left it, and compares these sessions with what was guaranteed. What is found is expected from
/// then on.
fn check(dir: &Path, checked: &BTreeSet<String>, sessions: &mut Sessions, verdict: &mut Verdict) {
    let store = Store::open(dir.join(FILE)).expect("the store opens after a crash");
    for text in checked {
        let token = Token::parse(text.as_bytes()).expect("the child prints tokens");
        let expected = sessions[text].clone();
        let found = read(&store, &token);
        let problem = judge(&expected, &found, sessions);
        if let Some(problem) = problem {
            eprintln!("{problem:?}: expected {expected:?}, found {found:?}");
        }
        match problem {
            None => {}
            Some(Problem::Lost) => verdict.lost += 1,
            Some(Problem::Resurrected) => verdict.resurrected += 1,
            Some(Problem::Mixed) => verdict.mixed += 1,
        }
        sessions.insert(text.clone(), expected.now(&found));
    }
    let corrupt = store.stats().corrupt;
    if corrupt > 0 {
        eprintln!("{corrupt} records cannot be read");
        verdict.mixed += corrupt;
    }
    store.close().expect("the disk works");
}

impl Expected {
    /// Returns what must be found the next time.
    fn now(self, found: &Found) -> Self {
        match found {
            Found::Commit { n, .. } => Self { acknowledged: *n, attempted: *n, fate: Fate::Alive, ..self },
            Found::Nothing | Found::Mixture(_) => Self { fate: Fate::Gone, ..self },
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Problem {
    Lost,
    Resurrected,
    Mixed,
}

/// Returns what is wrong with what was found, compared with what was guaranteed.
fn judge(expected: &Expected, found: &Found, sessions: &Sessions) -> Option<Problem> {
    let fate = |token: &String| &sessions[token].fate;
    match found {
        Found::Mixture(_) => Some(Problem::Mixed),
        Found::Commit { name, .. } if *name != expected.name => Some(Problem::Mixed),
        Found::Nothing => match &expected.fate {
            Fate::Alive if expected.acknowledged > 0 => Some(Problem::Lost),
            // Neither token leads anywhere.
            Fate::Leaving(Some(other)) | Fate::Arriving(other) if *fate(other) == Fate::Gone => Some(Problem::Lost),
            _ => None,
        },
        Found::Commit { n, .. } => match &expected.fate {
            Fate::Gone => Some(Problem::Resurrected),
            // Both tokens lead to a session.
            Fate::Leaving(Some(other)) | Fate::Arriving(other) if *fate(other) == Fate::Alive => Some(Problem::Resurrected),
            _ if *n < expected.acknowledged => Some(Problem::Lost),
            // A value that was never written.
            _ if *n > expected.attempted => Some(Problem::Mixed),
            _ => None,
        },
    }
}
