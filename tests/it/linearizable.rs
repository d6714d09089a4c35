//! Histories of eight threads over few sessions. Each is checked against sessions that do one thing at a time.
//!
//! Every operation notes a time before and after it. A history is linearizable if its operations can be ordered so that each
//! falls between its two times and returns its result. The search for such an order is that of Wing and Gong (1993) with the
//! memory of Lowe (2017). Sessions are independent of each other, so each is checked alone.

use std::{
    collections::HashSet,
    sync::{
        Barrier,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use sessile::{Durability, Error, Store, Token};

use crate::support::{OnDisk, saved};

/// What one operation did and found. `None` means a session that is over.
#[derive(Clone, Copy, Debug)]
enum Op {
    Read(Option<u64>),
    /// The value written, and whether a session accepted it.
    Write(u64, bool),
    /// The value after one was added to it.
    Add(Option<u64>),
    /// The value that was there and the one that replaced it, strictly.
    Swap(u64, u64),
    /// The session is over, ended by this or by an earlier operation.
    Destroy,
}

#[derive(Clone, Copy, Debug)]
struct Done {
    began: u64,
    ended: u64,
    op: Op,
}

/// Returns the state of a session after `op`, if it was `state` before; `Err` if `op` cannot have found that state.
fn step(state: Option<u64>, op: Op) -> Result<Option<u64>, ()> {
    match (op, state) {
        (Op::Read(found), _) if found == state => Ok(state),
        (Op::Write(value, true), Some(_)) => Ok(Some(value)),
        (Op::Add(Some(after)), Some(before)) if after == before + 1 => Ok(Some(after)),
        (Op::Swap(before, after), Some(now)) if before == now => Ok(Some(after)),
        (Op::Destroy, _) | (Op::Write(_, false) | Op::Add(None), None) => Ok(None),
        _ => Err(()),
    }
}

/// Whether there is an order of `history` that is possible for a session that begins with `start`.
fn is_linearizable(history: &[Done], start: u64) -> bool {
    assert!(history.len() <= 64);
    let all = if history.len() == 64 { u64::MAX } else { (1 << history.len()) - 1 };
    let mut known = HashSet::new();
    let mut open = vec![(0_u64, Some(start))];
    while let Some((taken, state)) = open.pop() {
        if taken == all {
            return true;
        }
        let left = || (0..history.len()).filter(|at| taken & 1 << at == 0);
        // An operation that began after another had ended comes after it.
        let first_end = left().map(|at| history[at].ended).min().expect("some are left");
        for at in left().filter(|at| history[*at].began <= first_end) {
            if let Ok(after) = step(state, history[at].op)
                && known.insert((taken | 1 << at, after))
            {
                open.push((taken | 1 << at, after));
            }
        }
    }
    false
}

/// A generator of numbers that need no quality (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Does something to the session of `token`. `None`: a strict commit was refused, which shows nothing of the current value.
fn act(store: &Store, token: &Token, random: &mut Random, unique: u64) -> Option<Op> {
    let session = store.session(Some(token)).unwrap();
    let was = session.get::<u64>("n").unwrap();
    let is_over = session.token().is_none();
    let classes = [Durability::Quick, Durability::Relaxed];
    session.set_durability(classes[usize::from(random.below(2) == 0)]);
    let op = random.below(16);
    if is_over && op > 5 {
        return Some(Op::Read(None));
    }
    Some(match op {
        0..=5 => Op::Read(was),
        6..=8 => {
            session.insert("n", unique).unwrap();
            match session.save().wait() {
                Ok(()) => Op::Write(unique, true),
                Err(Error::SessionEnded) => Op::Write(unique, false),
                Err(error) => panic!("{error}"),
            }
        }
        9..=11 => {
            session.update("n", |n: Option<u64>| n.unwrap() + 1).unwrap();
            // A new token changes nothing, and the old one still leads here: the clock stands still.
            if random.below(2) == 0 {
                session.rotate_with_grace();
            }
            if let Err(error) = session.save().wait() {
                assert!(matches!(error, Error::SessionEnded), "{error}");
            }
            Op::Add(session.get("n").unwrap())
        }
        12..=14 => {
            session.insert("n", unique).unwrap();
            match session.save_if_unchanged().wait() {
                Ok(()) => Op::Swap(was.unwrap(), unique),
                Err(Error::Conflict { .. }) => return None,
                Err(Error::SessionEnded) => Op::Write(unique, false),
                Err(error) => panic!("{error}"),
            }
        }
        _ => {
            session.destroy();
            session.save().wait().unwrap();
            Op::Destroy
        }
    })
}

const THREADS: u64 = 8;
const SESSIONS: usize = 2;
const STEPS: u64 = 5;

/// Returns one history for each session.
fn record(store: &Store, seed: u64) -> Vec<Vec<Done>> {
    let tokens: Vec<_> = (0..SESSIONS).map(|_| saved(store, 0).1).collect();
    let (clock, start) = (AtomicU64::new(0), Barrier::new(THREADS.try_into().unwrap()));
    let done: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (tokens, clock, start) = (&tokens, &clock, &start);
                scope.spawn(move || {
                    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (thread + 1));
                    start.wait();
                    let mut done = Vec::new();
                    for step in 0..STEPS {
                        let at = usize::try_from(random.below(SESSIONS as u64)).unwrap();
                        let began = clock.fetch_add(1, Ordering::SeqCst);
                        let op = act(store, &tokens[at], &mut random, 1000 * (thread * STEPS + step + 1));
                        let ended = clock.fetch_add(1, Ordering::SeqCst);
                        done.extend(op.map(|op| (at, Done { began, ended, op })));
                    }
                    done
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    (0..SESSIONS).map(|wanted| done.iter().filter(|(at, _)| *at == wanted).map(|(_, done)| *done).collect()).collect()
}

#[test]
fn g4_a_thousand_histories_of_eight_threads_are_linearizable() {
    // So little memory that sessions constantly move between memory and disk.
    let disk = OnDisk::with(|builder| builder.memory_budget(0).durability(Durability::Relaxed));
    for run in 0..1000 {
        for history in record(&disk.store, run) {
            assert!(is_linearizable(&history, 0), "run {run}: {history:#?}");
        }
        if run % 10 == 0 {
            disk.store.flush().wait().unwrap();
        }
    }
}

#[test]
fn the_checker_finds_a_lost_update_a_stale_read_and_a_session_back_from_the_dead() {
    let done = |began, ended, op| Done { began, ended, op };
    let lost = [done(0, 3, Op::Add(Some(1))), done(1, 2, Op::Add(Some(1)))];
    let kept = [done(0, 3, Op::Add(Some(2))), done(1, 2, Op::Add(Some(1)))];
    assert_eq!((is_linearizable(&lost, 0), is_linearizable(&kept, 0)), (false, true));
    let stale = [done(0, 1, Op::Write(7, true)), done(2, 3, Op::Read(Some(0)))];
    let during = [done(0, 3, Op::Write(7, true)), done(1, 2, Op::Read(Some(0)))];
    assert_eq!((is_linearizable(&stale, 0), is_linearizable(&during, 0)), (false, true));
    let undead = [done(0, 1, Op::Destroy), done(2, 3, Op::Read(None)), done(4, 5, Op::Read(Some(0)))];
    assert!(!is_linearizable(&undead, 0));
    assert!(!is_linearizable(&[done(0, 1, Op::Destroy), done(2, 3, Op::Write(7, true))], 0));
    assert!(is_linearizable(&undead[..2], 0));
}
