//! Hot sessions read by one thread and by two, beside a map that needs no lock because nobody writes to it.

use std::{
    collections::HashMap,
    hint::black_box,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use sessile::{Store, Token};
use sessile_benches::{Random, Target, USER_ID, median, report, row, sessile_store, sized};

const SESSIONS: usize = 10_000;

fn main() {
    let (store, tokens) = sessile_store(SESSIONS as u64);
    assert_eq!(user_of(&store, &tokens[7]), Some(7));
    let map: HashMap<String, u64> = tokens.iter().map(Token::expose).zip(0..).collect();
    let names: Vec<String> = tokens.iter().map(Token::expose).collect();

    let entry = |at: usize| user_of(&store, &tokens[at]).is_some();
    let session = |at: usize| store.session(Some(&tokens[at])).is_ok_and(|session| session.contains_key(USER_ID));
    let bare = |at: usize| map.contains_key(&names[at]);
    let contestants: [(&str, &(dyn Fn(usize) -> bool + Sync)); 3] =
        [("sessile, `Store::entry`", &entry), ("sessile, `Store::session`", &session), ("map without a lock", &bare)];

    let mut rates: [[Vec<f64>; 2]; 3] = Default::default();
    for _ in 0..sized(2_000, 50) {
        for (which, (_, find)) in contestants.iter().enumerate() {
            for threads in [1, 2] {
                rates[which][threads - 1].push(rate(threads, find));
            }
        }
    }
    let rates = rates.map(|rates| rates.map(median));
    let gain = |which: usize| rates[which][1] / rates[which][0];
    report("scaling", "hot sessions, two threads", gain(0), "x one thread", Target::AtLeast(1.8));
    for (which, (name, _)) in contestants.iter().enumerate() {
        row(name, &[(rates[which][0], "M/s with 1"), (rates[which][1], "M/s with 2"), (gain(which), "x")]);
    }
}

fn user_of(store: &Store, token: &Token) -> Option<u64> {
    store.entry(token, USER_ID).expect("memory does not fail")?.get().ok()
}

/// Millions of calls a second that `threads` threads make together.
fn rate(threads: usize, find: &(dyn Fn(usize) -> bool + Sync)) -> f64 {
    const CALLS: u32 = 1_000;
    let barrier = Barrier::new(threads);
    let work = &|seed: u64| {
        let mut random = Random(seed);
        barrier.wait();
        let start = Instant::now();
        for _ in 0..CALLS {
            assert!(black_box(find(random.below(SESSIONS))));
        }
        start.elapsed()
    };
    let longest: Duration = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads as u64).map(|seed| scope.spawn(move || work(seed))).collect();
        workers.into_iter().map(|worker| worker.join().expect("it only reads")).max().expect("there is a thread")
    });
    threads as f64 * f64::from(CALLS) / longest.as_secs_f64() / 1e6
}
