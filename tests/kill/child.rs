//! The process that is killed.
//!
//! It prints on stdout what it is about to do and what was acknowledged, one line each:
//!
//! ```text
//! ready                       the store is open
//! try TOKEN NAME N            commit N may be there from now on
//! ack TOKEN NAME N            ... and must be
//! leave TOKEN NAME N          the session may get another token, with commit N
//! arrive TOKEN NEW NAME N     ... which is NEW
//! left TOKEN NEW NAME N       ... and must have
//! end TOKEN                   the session may be over from now on
//! ended TOKEN                 ... and must be
//! ```

use std::{
    io::{self, BufRead, Write},
    path::Path,
    process, thread,
};

use sessile::{Ack, Store, Token};

use crate::record::{Dice, fill};

/// The variable that makes a process a child; it contains the path of the store.
pub(crate) const STORE: &str = "SESSILE_KILL_STORE";

const THREADS: usize = 4;
/// Commits that one thread has in progress at once.
pub(crate) const SLOTS: usize = 4;

/// A session that a thread works on.
struct Slot {
    name: String,
    stored: Option<(Token, u64)>,
}

/// Works until it is killed. The first line on stdin names the round, the others the sessions to continue with.
pub(crate) fn run(store: &Path) -> ! {
    let store = Store::open(store).expect("the store opens again");
    let mut lines = io::stdin().lock().lines().map(|line| line.expect("stdin works"));
    let round: u64 = lines.next().and_then(|line| line.parse().ok()).expect("the first line is the round");
    let mut resumed = lines.map(|line| resume(&line)).collect::<Vec<_>>();
    say("ready");
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let mine = resumed.split_off(resumed.len().saturating_sub(SLOTS / 2));
            let store = &store;
            scope.spawn(move || work(store, round, thread, mine));
        }
    });
    unreachable!("the threads work for ever")
}

fn resume(line: &str) -> Slot {
    let [token, name, n] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("not a session: {line}") };
    let token = Token::parse(token.as_bytes()).expect("it is a token");
    Slot { name: name.to_owned(), stored: Some((token, n.parse().expect("it is a number"))) }
}

fn work(store: &Store, round: u64, thread: usize, mut slots: Vec<Slot>) {
    let mut dice = Dice::new((round << 8 | thread as u64) + 1);
    let mut names = (0..).map(|n| format!("{round}-{thread}-{n}"));
    while slots.len() < SLOTS {
        slots.push(Slot { name: names.next().expect("there is always another"), stored: None });
    }
    loop {
        let under_way: Vec<_> = slots.iter_mut().map(|slot| begin(store, slot, &mut dice)).collect();
        for (ack, news) in under_way {
            ack.wait().expect("the disk works");
            say(&news);
        }
        for slot in slots.iter_mut().filter(|slot| slot.stored.is_none()) {
            slot.name = names.next().expect("there is always another");
        }
    }
}

/// Begins one change. Returns the line to print when it is acknowledged.
fn begin(store: &Store, slot: &mut Slot, dice: &mut Dice) -> (Ack, String) {
    let name = &slot.name;
    let Some((token, n)) = &mut slot.stored else {
        let session = store.session(None).expect("a new session needs no I/O");
        fill(&session, name, 1);
        let ack = session.save();
        let token = session.token().expect("the session is queued");
        say(&format!("try {} {name} 1", token.expose()));
        slot.stored = Some((token, 1));
        return (ack, format!("ack {} {name} 1", token.expose()));
    };
    let session = store.session(Some(token)).expect("the disk works");
    let old = token.expose();
    if session.token().is_none() {
        // Exits, and so reports it to the parent, which accepts no death except by its own kill.
        eprintln!("{name}, acknowledged with {n}, is not there");
        process::exit(1);
    }
    match dice.below(12) {
        0 => {
            say(&format!("end {old}"));
            session.destroy();
            slot.stored = None;
            (session.save(), format!("ended {old}"))
        }
        1 | 2 => {
            *n += 1;
            say(&format!("leave {old} {name} {n}"));
            fill(&session, name, *n);
            session.rotate();
            let ack = session.save();
            *token = session.token().expect("no other thread ends this session");
            let new = token.expose();
            say(&format!("arrive {old} {new} {name} {n}"));
            (ack, format!("left {old} {new} {name} {n}"))
        }
        _ => {
            *n += 1;
            say(&format!("try {old} {name} {n}"));
            fill(&session, name, *n);
            (session.save(), format!("ack {old} {name} {n}"))
        }
    }
}

/// Writes one line at once: a pipe accepts it whole or not at all.
fn say(line: &str) {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).expect("the parent listens");
}
