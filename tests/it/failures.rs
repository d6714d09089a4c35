//! What a store does while its disk fails, and afterwards: each kind of failure by its name. The crash test meets them at
//! random.

use std::{
    future::Future,
    io::ErrorKind,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use sessile::{Builder, Error, Session, Store, Token};
use sessile_fault_disk::{FaultDisk, IoKind};

use crate::{
    f13_journals::{journals, two_moments},
    support::{SECOND, n_of, saved},
};

pub(crate) const STORE: &str = "store";
pub(crate) const JOURNAL: &str = "store.journal0";
/// Where writes begin.
const SECTOR: usize = 512;

pub(crate) fn builder() -> Builder {
    // Small, so that a few commits fill it.
    Store::builder().journal_bytes(192 << 10)
}

#[track_caller]
pub(crate) fn open(disk: &FaultDisk) -> Store {
    builder().open_on(disk).unwrap()
}

/// Waits until the store works again, soon after the disk does.
#[track_caller]
pub(crate) fn heal(disk: &FaultDisk, store: &Store) {
    const AT_MOST: Duration = Duration::from_mins(1);
    disk.heal();
    let healed = Instant::now();
    while let Err(error) = store.flush().wait() {
        assert!(healed.elapsed() < AT_MOST, "still {error:?}");
        thread::sleep(Duration::from_millis(1));
    }
    while store.stats().degraded {
        assert!(healed.elapsed() < AT_MOST, "still degraded");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Moves everything from the journal into redb.
#[track_caller]
pub(crate) fn checkpoint(store: &Store) {
    store.sweep().wait().unwrap();
}

#[track_caller]
pub(crate) fn assert_transient(error: &Error) {
    assert!(matches!(error, Error::Degraded { .. }) && error.is_transient(), "{error:?}");
}

/// Returns what `tokens` lead to.
pub(crate) fn all(store: &Store, tokens: &[Token]) -> Vec<Option<u64>> {
    tokens.iter().map(|token| n_of(store, token)).collect()
}

/// A disk before a write and the journal after it, the tokens of both sessions, and the position of the write.
fn one_write() -> (FaultDisk, Vec<u8>, Vec<Token>, Range<usize>) {
    const PUT: u8 = 1;
    const HEADER: usize = 48;
    for _ in 0..1000 {
        let disk = FaultDisk::new(0);
        let store = open(&disk);
        let mut tokens = vec![saved(&store, 1).1];
        let before = disk.copy();
        tokens.push(saved(&store, 2).1);
        let (old, new) = (before.contents(JOURNAL).unwrap(), disk.contents(JOURNAL).unwrap());
        let differs: Vec<_> = (0..old.len()).filter(|at| old[*at] != new[*at]).collect();
        // A write begins with a sector, and a salt whose bytes may equal the zeros that were there before.
        let (start, end) = (differs[0] / SECTOR * SECTOR, differs[differs.len() - 1] + 1);
        let frame = &new[start..];
        let len = HEADER + u32::from_le_bytes(frame[12..16].try_into().unwrap()) as usize;
        // On a busy machine the mark that follows 10 ms after a write is among them.
        if frame[24] == PUT && end <= start + len {
            return (before, new, tokens, start..end);
        }
    }
    panic!("no write is ever alone");
}

#[test]
fn f3_a_write_cut_at_any_byte_is_there_or_not() {
    let (before, new, tokens, Range { start, end }) = one_write();
    let old = before.contents(JOURNAL).unwrap();
    let salt = start..start + 8;
    for cut in start..=end {
        let torn = before.copy();
        let bytes = [&new[..cut], &old[cut..]].concat();
        torn.replace(JOURNAL, &bytes);
        let found = open(&torn);
        let is_torn = cut < end && bytes[salt.clone()] == new[salt.clone()];
        assert_eq!(all(&found, &tokens), [Some(1), (cut == end).then_some(2)], "cut at {cut} of {start}..{end}");
        assert_eq!(found.stats().torn_writes, u64::from(is_torn), "cut at {cut} of {start}..{end}");
    }
}

#[test]
fn f3_a_header_cut_at_any_byte_is_no_journal() {
    let disk = FaultDisk::new(0);
    let store = open(&disk);
    let token = saved(&store, 1).1;
    let journal = disk.contents(JOURNAL).unwrap();
    store.close().unwrap();
    let closed = disk.copy();
    for cut in (0..60).chain(4090..4160) {
        let torn = closed.copy();
        let mut bytes = vec![0; journal.len()];
        bytes[..cut].copy_from_slice(&journal[..cut]);
        torn.replace("store.journal7", &bytes);
        assert_eq!(n_of(&open(&torn), &token), Some(1), "cut at {cut}");
    }
}

#[test]
fn f6_a_failed_sync_acknowledges_nothing_and_is_not_believed_later() {
    for seed in 0..20 {
        let disk = FaultDisk::new(seed);
        let store = open(&disk);
        let first = saved(&store, 1).1;
        disk.fail_from(IoKind::Sync, 0, ErrorKind::Other);
        let session = store.session(None).unwrap();
        session.insert("n", 2_u64).unwrap();
        assert_transient(&session.save().wait().unwrap_err());
        let abandoned = disk.contents(JOURNAL).unwrap();
        disk.heal();
        let second = session.token().unwrap();
        assert_eq!(n_of(&open(&disk.crash(seed)), &first), Some(1));
        // The next sync of the same file would report success.
        let third = saved(&store, 3).1;
        assert_eq!(all(&open(&disk.crash(seed)), &[first, second, third]), [Some(1), Some(2), Some(3)]);
        // If it is still there, or another one of its name.
        if let Some(journal) = disk.contents(JOURNAL).filter(|journal| journal[..56] == abandoned[..56]) {
            assert!(journal == abandoned, "nothing is written to a file whose sync has failed");
        }
    }
}

#[test]
fn f7_a_full_disk_serves_reads_and_takes_logouts_and_heals() {
    let disk = FaultDisk::new(0);
    let store = builder().memory_budget(0).open_on(&disk).unwrap();
    let sessions: Vec<_> = (0..60).map(|n| saved(&store, n)).collect();
    checkpoint(&store);
    disk.set_capacity(Some(disk.used_bytes()));
    let mut acknowledged = Vec::new();
    let error = loop {
        let session = store.session(None).unwrap();
        session.insert("n", 1000_u64).unwrap();
        session.insert("long", "x".repeat(2000)).unwrap();
        match session.save().wait() {
            Ok(()) => acknowledged.push(session.token().unwrap()),
            Err(error) => break error,
        }
        assert!(acknowledged.len() < 1000, "the disk does not fill up");
    };
    assert_transient(&error);
    assert!(store.stats().degraded);
    for (n, (_, token)) in sessions.iter().enumerate() {
        assert_eq!(n_of(&store, token), Some(n as u64), "reads go on");
    }
    let log_out = |session: &Session| {
        session.destroy();
        session.save()
    };
    for (session, _) in &sessions[..8] {
        log_out(session).wait().expect("logging out works on a full disk");
    }
    let together: Vec<_> = sessions[8..50].iter().map(|(session, _)| log_out(session)).collect();
    for ack in together {
        ack.wait().expect("logging out works on a full disk");
    }
    let crashed = disk.crash(1);
    crashed.heal();
    let crashed = open(&crashed);
    for (n, (_, token)) in sessions.iter().enumerate() {
        assert_eq!(n_of(&crashed, token), (n >= 50).then_some(n as u64), "a logout outlasts a crash");
    }
    heal(&disk, &store);
    acknowledged.push(saved(&store, 1000).1);
    let crashed = open(&disk.crash(2));
    assert!(all(&crashed, &acknowledged).iter().all(|n| *n == Some(1000)));
}

#[test]
fn f7_reads_go_on_while_redb_closes_again_and_again() {
    let disk = FaultDisk::new(0);
    let store = builder().memory_budget(0).open_on(&disk).unwrap();
    let tokens: Vec<_> = (0..60)
        .map(|n| {
            let (session, token) = saved(&store, n);
            // Separate pages, which redb must read again each time it is opened.
            session.insert("long", "x".repeat(5000)).unwrap();
            session.save().wait().unwrap();
            token
        })
        .collect();
    checkpoint(&store);
    for n in 0..20 {
        heal(&disk, &store);
        let _ = saved(&store, n);
        // The journal marks its last frame, and redb cannot write what it takes over: that closes it.
        disk.fail_from(IoKind::Write, 1, ErrorKind::StorageFull);
        assert_transient(&store.sweep().wait().unwrap_err());
        disk.heal();
        assert_eq!(all(&store, &tokens), (0..60).map(Some).collect::<Vec<_>>());
    }
    heal(&disk, &store);
}

#[test]
fn f7_a_record_too_long_for_a_full_disk_loses_nothing_that_was_acknowledged() {
    let disk = FaultDisk::new(0);
    let store = open(&disk);
    let kept = saved(&store, 1).1;
    let sessions: Vec<_> = (10..15).map(|n| saved(&store, n)).collect();
    let second = Instant::now();
    while !disk.names().iter().any(|name| name == "store.journal1") || store.stats().journal_bytes < 2 * (64 << 10) {
        assert!(second.elapsed() < 10 * SECOND, "no segment is made ready");
        thread::sleep(Duration::from_millis(1));
    }
    // Room for a checkpoint, not for a segment that holds the record.
    disk.set_capacity(Some(disk.used_bytes() + (64 << 10)));
    let long = store.session(None).unwrap();
    long.insert("n", 2_u64).unwrap();
    long.insert("long", "x".repeat(200_000)).unwrap();
    assert_transient(&long.save().wait().unwrap_err());
    for (session, _) in &sessions {
        session.destroy();
        session.save().wait().expect("logging out works behind it");
        thread::sleep(Duration::from_millis(20));
    }
    let crashed = disk.crash(1);
    crashed.heal();
    let crashed = open(&crashed);
    assert_eq!(n_of(&crashed, &kept), Some(1));
    assert!(sessions.iter().all(|(_, token)| n_of(&crashed, token).is_none()));
    heal(&disk, &store);
    assert_eq!(n_of(&open(&disk.crash(2)), &long.token().unwrap()), Some(2), "it is stored once there is room");
}

#[test]
fn f8_commits_grow_no_file_and_leave_no_holes() {
    let disk = FaultDisk::new(0);
    let store = open(&disk);
    saved(&store, 0);
    let (len, counts) = (disk.contents(JOURNAL).unwrap().len(), disk.counts());
    while disk.contents("store.journal1").is_none_or(|next| next.len() < len) {
        // The next one is being created, off the commit path.
        thread::yield_now();
    }
    let used = disk.used_bytes();
    for n in 0..20 {
        saved(&store, n);
    }
    assert_eq!((disk.contents(JOURNAL).unwrap().len(), disk.used_bytes()), (len, used));
    assert_eq!(disk.counts().operations.get(&IoKind::SetLen), counts.operations.get(&IoKind::SetLen));
}

/// Bytes that are stored unchanged.
struct Raw(Vec<u8>);

impl serde::Serialize for Raw {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

#[test]
fn f9_frames_in_a_value_and_of_earlier_generations_are_never_replayed() {
    let disk = FaultDisk::new(0);
    let store = open(&disk);
    let (session, ended) = saved(&store, 1);
    let old = disk.contents(JOURNAL).unwrap();
    session.destroy();
    session.save().wait().unwrap();
    store.close().unwrap();
    drop((session, store));

    // A visitor who chooses a session's values may know every earlier frame, at worst.
    let store = open(&disk);
    let kept = saved(&store, 2).1;
    let before = disk.contents(JOURNAL).unwrap();
    let session = store.session(None).unwrap();
    session.insert("frames", Raw(old[8192..12_288].repeat(4))).unwrap();
    session.save().wait().unwrap();
    let after = disk.contents(JOURNAL).unwrap();
    let start = (0..before.len()).find(|at| before[*at] != after[*at]).unwrap();
    for lost in [8, 48, 512, 1024, 4096] {
        let torn = disk.copy();
        let mut bytes = after.clone();
        bytes[start..start + lost].copy_from_slice(&before[start..start + lost]);
        torn.replace(JOURNAL, &bytes);
        assert_eq!(all(&open(&torn), &[ended, kept]), [None, Some(2)], "{lost} bytes lost");
    }
    // Space that an earlier generation left full of its frames.
    let reused = disk.copy();
    let mut bytes = after.clone();
    bytes[start..start + 4096].copy_from_slice(&old[8192..12_288]);
    reused.replace(JOURNAL, &bytes);
    assert_eq!(all(&open(&reused), &[ended, kept]), [None, Some(2)]);
}

#[test]
fn f12_a_journal_that_was_cut_or_has_gone_is_told() {
    let (disk, _) = two_moments();
    let journal = disk.contents(JOURNAL).unwrap();
    for len in [8192, 8700, 9000, 20_000, journal.len() - 1] {
        let cut = disk.copy();
        cut.replace(JOURNAL, &journal[..len]);
        let error = builder().open_on(&cut).unwrap_err();
        assert!(matches!(error, Error::JournalDamaged { .. }), "{len}: {error:?}");
    }
    let gone = disk.copy();
    for name in journals(&gone) {
        gone.delete(name);
    }
    let error = builder().open_on(&gone).unwrap_err();
    assert!(matches!(error, Error::JournalMismatch { journal: None, .. }), "{error:?}");
}

#[test]
fn f14_a_disk_that_is_read_only_degrades_the_store_and_heals() {
    let disk = FaultDisk::new(0);
    let store = builder().memory_budget(0).open_on(&disk).unwrap();
    let first = saved(&store, 1).1;
    for kind in [IoKind::Write, IoKind::SetLen, IoKind::Create, IoKind::Remove] {
        disk.fail_from(kind, 0, ErrorKind::ReadOnlyFilesystem);
    }
    let session = store.session(None).unwrap();
    session.insert("n", 2_u64).unwrap();
    assert_transient(&session.save().wait().unwrap_err());
    assert!(store.stats().degraded);
    assert_eq!(n_of(&store, &first), Some(1));
    let error = builder().open_on(&disk.copy()).map(drop);
    assert!(error.is_ok(), "a copy may be written: {error:?}");
    heal(&disk, &store);
    assert_eq!(all(&open(&disk.crash(0)), &[first, session.token().unwrap()]), [Some(1), Some(2)]);
}

#[test]
fn f14_another_store_in_the_place_of_the_open_one_is_not_taken_for_it() {
    let (disk, other) = (FaultDisk::new(0), FaultDisk::new(1));
    let store = builder().memory_budget(0).disk_cache(0).open_on(&disk).unwrap();
    let token = saved(&store, 1).1;
    checkpoint(&store);
    open(&other).close().unwrap();
    // After a read error the store opens its file again, and another file is there by then.
    let own = disk.contents(STORE).unwrap();
    disk.replace(STORE, &other.contents(STORE).unwrap());
    disk.fail_nth(IoKind::Read, 0, ErrorKind::Other);
    let until = Instant::now() + Duration::from_millis(300);
    while Instant::now() < until {
        match store.session(Some(&token)).map(|session| session.get::<u64>("n").unwrap()) {
            Ok(found) => assert_eq!(found, Some(1)),
            Err(error) => assert_transient(&error),
        }
    }
    disk.replace(STORE, &own);
    heal(&disk, &store);
    while store.session(Some(&token)).is_err() {
        assert!(until.elapsed() < 2 * SECOND, "it does not find its own file again");
    }
    assert_eq!(n_of(&store, &token), Some(1));
}

#[test]
fn f14_a_directory_that_has_gone_is_told_once_a_file_is_needed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sub").join("sessions.redb");
    assert!(matches!(Store::open(&path), Err(Error::Open { .. })));
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    let store = builder().open(&path).unwrap();
    let token = saved(&store, 1).1;
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    // Open files keep working without a name; the next one cannot be created.
    let error = (0..2000).find_map(|_| {
        let session = store.session(None).unwrap();
        session.insert("long", "x".repeat(2000)).unwrap();
        session.save().wait().err()
    });
    assert_transient(&error.expect("a journal is soon full"));
    assert_eq!(n_of(&store, &token), Some(1));
}

#[test]
fn f15_a_second_open_is_refused_and_one_that_waits_gets_the_disk_at_once() {
    let disk = FaultDisk::new(0);
    let store = open(&disk);
    let token = saved(&store, 1).1;
    assert!(matches!(builder().open_on(&disk), Err(Error::AlreadyOpen { .. })));
    let waiting = thread::spawn({
        let disk = disk.clone();
        move || (builder().wait_for_lock(60 * SECOND).open_on(&disk), Instant::now())
    });
    while disk.counts().operations.get(&IoKind::Lock).is_none_or(|count| *count < 3) {
        thread::yield_now();
    }
    store.close().unwrap();
    let closed = Instant::now();
    let (opened, at) = waiting.join().unwrap();
    assert_eq!(n_of(&opened.unwrap(), &token), Some(1));
    assert!(at.saturating_duration_since(closed) < SECOND / 2, "{:?}", at - closed);
}

#[test]
fn f16_a_panic_in_a_change_leaves_everything_as_it_was() {
    let disk = FaultDisk::new(0);
    let store = open(&disk);
    let (session, token) = saved(&store, 1);
    let panics = |_: Option<u64>| -> u64 { panic!("a bug of the application") };
    catch_unwind(AssertUnwindSafe(|| session.update("n", panics))).unwrap_err();
    assert_eq!(session.get::<u64>("n").unwrap(), Some(1));
    session.insert("m", 2_u64).unwrap();
    session.save().wait().unwrap();

    // At commit, because another request wrote in between.
    let (mine, others) = (store.session(Some(&token)).unwrap(), store.session(Some(&token)).unwrap());
    let mut calls = 0;
    mine.update("n", move |n: Option<u64>| {
        calls += 1;
        assert!(calls < 2, "a bug of the application");
        n.unwrap_or(0) + 1
    })
    .unwrap();
    others.insert("n", 10_u64).unwrap();
    others.save().wait().unwrap();
    catch_unwind(AssertUnwindSafe(|| mine.save())).unwrap_err();
    assert_eq!(n_of(&store, &token), Some(10));
    others.insert("n", 11_u64).unwrap();
    others.save().wait().unwrap();
    assert_eq!(n_of(&open(&disk.crash(0)), &token), Some(11));
}

#[test]
fn f17_a_future_that_is_dropped_while_it_waits_takes_nothing_with_it() {
    let disk = FaultDisk::new(0);
    let store = open(&disk);
    let (ended, ended_token) = saved(&store, 1);
    disk.stall_syncs();
    let session = store.session(None).unwrap();
    session.insert("n", 2_u64).unwrap();
    for save in [session.save(), {
        ended.destroy();
        ended.save()
    }] {
        let mut save = pin!(save);
        assert!(matches!(save.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending));
    }
    disk.heal();
    store.flush().wait().unwrap();
    assert_eq!(all(&open(&disk.crash(0)), &[ended_token, session.token().unwrap()]), [None, Some(2)]);
}

#[test]
fn f19_a_stuck_disk_keeps_memory_served_and_tells_committers_in_time() {
    let disk = FaultDisk::new(0);
    let patience = Duration::from_millis(100);
    let store = builder().commit_timeout(patience).open_on(&disk).unwrap();
    let token = saved(&store, 1).1;
    disk.stall_syncs();
    let began = Instant::now();
    let session = store.session(None).unwrap();
    session.insert("n", 2_u64).unwrap();
    let error = session.save().wait().unwrap_err();
    assert!(matches!(error, Error::TimedOut { after } if after == patience) && error.is_transient(), "{error:?}");
    assert!(began.elapsed() >= patience && began.elapsed() < 20 * patience, "{:?}", began.elapsed());
    assert_eq!(n_of(&store, &token), Some(1), "memory does not wait for the disk");
    heal(&disk, &store);
    assert_eq!(n_of(&open(&disk.crash(0)), &session.token().unwrap()), Some(2), "late is not lost");
}

#[test]
fn f19_a_slow_disk_is_waited_for() {
    let disk = FaultDisk::new(0);
    let store = open(&disk);
    disk.delay_syncs(Duration::from_millis(50));
    let began = Instant::now();
    let token = saved(&store, 1).1;
    assert!(began.elapsed() >= Duration::from_millis(50));
    disk.heal();
    assert_eq!(n_of(&open(&disk.crash(0)), &token), Some(1));
}

#[test]
fn f20_a_file_that_cannot_be_opened_again_is_tried_again() {
    let disk = FaultDisk::new(0);
    let store = builder().memory_budget(0).disk_cache(0).open_on(&disk).unwrap();
    let token = saved(&store, 1).1;
    checkpoint(&store);
    disk.fail_nth(IoKind::Read, 0, ErrorKind::Other);
    // As if no descriptor were left.
    disk.fail_from(IoKind::Open, 0, ErrorKind::Other);
    assert_transient(&store.session(Some(&token)).unwrap_err());
    let opens = || disk.counts().operations.get(&IoKind::Open).copied().unwrap_or(0);
    let before = opens();
    while opens() < before + 3 {
        assert_transient(&store.session(Some(&token)).unwrap_err());
        thread::yield_now();
    }
    disk.heal();
    let healed = Instant::now();
    while store.session(Some(&token)).is_err() {
        assert!(healed.elapsed() < SECOND, "it does not heal");
        thread::yield_now();
    }
    assert_eq!(n_of(&store, &token), Some(1));
}
