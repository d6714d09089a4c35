//! Commits that wait for a stuck disk: each gets an answer in time, and what is not written takes bounded memory.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use sessile::{Ack, Durability, Error, Session, Store};
use sessile_fault_disk::FaultDisk;

use crate::{
    failures::{assert_transient, builder, heal, open},
    support::{SECOND, n_of, saved},
};

const JOURNAL: &str = "store.journal0";
/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Heals the disk, even if a test fails: a store that is dropped waits for its disk.
struct Healed<'a>(&'a FaultDisk);

impl Drop for Healed<'_> {
    fn drop(&mut self) {
        self.0.heal();
    }
}

/// A session with `n`, and the acknowledgement of its commit.
fn begin(store: &Store, n: u64) -> (Session, Ack) {
    let session = store.session(None).unwrap();
    session.insert("n", n).unwrap();
    let ack = session.save();
    (session, ack)
}

/// Returns the answer, which must come soon.
#[track_caller]
fn answer(ack: Ack) -> Result<(), Error> {
    let (mut ack, began) = (pin!(ack), Instant::now());
    loop {
        match ack.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => return result,
            Poll::Pending => assert!(began.elapsed() < PATIENCE, "there is no answer"),
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Returns what `commit` begins, once the journal's thread is stuck with it.
fn stuck(disk: &FaultDisk, commit: impl FnOnce() -> (Session, Ack)) -> (Session, Ack) {
    let before = disk.contents(JOURNAL).expect("a journal is in use");
    disk.stall_syncs();
    let first = commit();
    let began = Instant::now();
    // It is written, and its sync does not return.
    while disk.contents(JOURNAL).as_ref() == Some(&before) {
        assert!(began.elapsed() < PATIENCE, "it is not written");
        thread::yield_now();
    }
    first
}

#[test]
fn f19_whoever_queues_behind_a_stuck_write_is_answered_in_time_too() {
    let disk = FaultDisk::new(0);
    let patience = Duration::from_millis(100);
    let store = builder().commit_timeout(patience).open_on(&disk).unwrap();
    let _healed = Healed(&disk);
    let (ended, ended_token) = saved(&store, 7);
    let (first, written) = stuck(&disk, || begin(&store, 1));
    let (second, queued) = begin(&store, 2);
    ended.destroy();
    let end = ended.save();
    let flush = store.flush();
    let is_timeout = |answer: Result<(), Error>| matches!(answer, Err(Error::TimedOut { after }) if after == patience);
    for (who, ack) in [("in the write", written), ("behind it", queued), ("an end behind it", end), ("a flush", flush)] {
        assert!(is_timeout(answer(ack)), "{who}");
    }
    // A commit after that waits as long, and no longer.
    let began = Instant::now();
    let (third, late) = begin(&store, 3);
    assert!(is_timeout(answer(late)));
    assert!(began.elapsed() >= patience, "{:?}", began.elapsed());
    heal(&disk, &store);
    let found = open(&disk.crash(0));
    for (session, n) in [(first, 1), (second, 2), (third, 3)] {
        assert_eq!(n_of(&found, &session.token().unwrap()), Some(n), "late is not lost");
    }
    assert_eq!(n_of(&found, &ended_token), None);
}

#[test]
fn f19_whoever_signs_in_while_the_disk_is_stuck_is_listed_and_signed_out_everywhere() {
    let disk = FaultDisk::new(0);
    let store = builder().memory_budget(0).open_on(&disk).unwrap();
    let _healed = Healed(&disk);
    saved(&store, 0);
    let signing_in = |store: &Store| {
        let session = store.session(None).unwrap();
        session.sign_in("ada").unwrap();
        let ack = session.save();
        (session, ack)
    };
    // One in the write, and one behind it.
    let (in_write, written) = stuck(&disk, || signing_in(&store));
    let (behind, queued) = signing_in(&store);
    assert_eq!(store.sessions_of("ada").unwrap().len(), 2);
    let everywhere = store.destroy_sessions_of("ada");
    assert_eq!(store.sessions_of("ada").unwrap().len(), 0);
    disk.heal();
    assert_eq!(everywhere.wait().unwrap(), 2);
    answer(written).unwrap();
    answer(queued).unwrap();
    for session in [in_write, behind] {
        for store in [&store, &open(&disk.crash(0))] {
            assert!(store.session(session.token().as_ref()).unwrap().owner().is_none());
        }
    }
}

#[test]
fn f19_relaxed_commits_wait_once_more_is_queued_than_the_high_water_mark() {
    const MARK: usize = 16 << 20;
    const LONG: usize = 256 << 10;
    let disk = FaultDisk::new(0);
    let builder = Store::builder().memory_budget(0).record_limit(1 << 20);
    let store = builder.commit_timeout(Duration::from_hours(1)).flush_interval(3600 * SECOND).open_on(&disk).unwrap();
    let _healed = Healed(&disk);
    saved(&store, 0);
    let (_, written) = stuck(&disk, || begin(&store, 1));
    let relaxed = || {
        let session = store.session(None).unwrap();
        session.insert("long", "x".repeat(LONG)).unwrap();
        let ack = session.save_with(Durability::Relaxed);
        (session, ack)
    };
    let is_ready = |ack: &mut Ack| pin!(ack).poll(&mut Context::from_waker(Waker::noop())).is_ready();
    let mut queued = 0;
    let (last, mut waits) = loop {
        let (session, mut ack) = relaxed();
        queued += LONG;
        if !is_ready(&mut ack) {
            break (session, ack);
        }
        assert!(queued < 2 * MARK, "no commit waits, and {queued} bytes are queued");
    };
    assert!((MARK - 2 * LONG..MARK + 2 * LONG).contains(&queued), "{queued} bytes are queued");
    assert!(!is_ready(&mut relaxed().1), "nor does anybody get by");
    assert!(!is_ready(&mut waits), "it waits for the disk");
    disk.heal();
    answer(written).unwrap();
    answer(waits).unwrap();
    let found = Store::builder().record_limit(1 << 20).open_on(&disk.crash(0)).unwrap();
    let token = last.token().unwrap();
    assert_eq!(found.session(Some(&token)).unwrap().get::<String>("long").unwrap().map(|long| long.len()), Some(LONG));
    // And then no commit waits any more.
    assert!(is_ready(&mut relaxed().1));
}

#[test]
fn f19_commits_are_refused_once_more_is_queued_than_memory_may_hold_and_ends_are_not() {
    const FULL: usize = 64 << 20;
    const LONG: usize = 1 << 20;
    let disk = FaultDisk::new(0);
    let builder = || Store::builder().memory_budget(0).record_limit(2 << 20);
    let store = builder().commit_timeout(Duration::from_hours(1)).open_on(&disk).unwrap();
    let _healed = Healed(&disk);
    let (ended, ended_token) = saved(&store, 0);
    let (_, written) = stuck(&disk, || begin(&store, 1));
    let mut waiting = Vec::new();
    let error = loop {
        let session = store.session(None).unwrap();
        session.insert("long", "x".repeat(LONG)).unwrap();
        let mut ack = session.save();
        match pin!(&mut ack).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => waiting.push((session, ack)),
            Poll::Ready(result) => break result.unwrap_err(),
        }
        assert!(waiting.len() < 2 * FULL / LONG, "no commit is refused");
    };
    assert_transient(&error);
    assert!((FULL / LONG - 1..=FULL / LONG).contains(&waiting.len()), "{} MiB are queued", waiting.len());
    ended.destroy();
    let end = ended.save();
    assert_eq!(n_of(&store, &ended_token), None);
    disk.heal();
    for ack in [written, end].into_iter().chain(waiting.into_iter().map(|(_, ack)| ack)) {
        answer(ack).unwrap();
    }
    let (last, ack) = begin(&store, 2);
    answer(ack).expect("there is room again");
    let found = builder().open_on(&disk.crash(0)).unwrap();
    assert_eq!((n_of(&found, &ended_token), n_of(&found, &last.token().unwrap())), (None, Some(2)));
}
