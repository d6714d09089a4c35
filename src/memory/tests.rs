//! The memory tier alone: what is pinned, what is evicted, and which changes are refused.

use sessile_codec::{Limits, Meta, Patch};

use super::*;

fn key(n: u64) -> Key {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&n.to_le_bytes());
    key
}

fn record(n: u64, revision: u64) -> Record {
    let meta = Meta { revision, idle_deadline_ms: u64::MAX, absolute_deadline_ms: u64::MAX, ..Meta::default() };
    Patch::new().apply(None, &key(n), &meta, &Limits::default()).expect("an empty record is within every limit")
}

/// Room for `sessions` empty records in the one shard that the keys of these tests fall in.
fn memory(sessions: usize) -> Memory {
    Memory::new((Content::Live(record(0, 0)).cost_bytes() * sessions) * SHARDS, true)
}

fn fill(memory: &Memory, n: u64) {
    let load = memory.begin_load(&key(n)).expect("it is not there yet");
    assert!(memory.fill(&load, &record(n, 0), 0, &Disk::default()));
}

/// Keeps the records it is handed, and numbers them from 100 on.
#[derive(Default)]
struct Disk(std::cell::RefCell<Vec<(Key, Record)>>);

impl WriteBack for Disk {
    fn write_back(&self, key: &Key, record: Record, _: bool) -> Seq {
        let mut written = self.0.borrow_mut();
        written.push((*key, record));
        100 + written.len() as Seq
    }
}

fn peek(memory: &Memory, n: u64) -> Option<Record> {
    match memory.peek(&key(n), 0) {
        Lookup::Hit(record, _) => Some(record),
        _ => None,
    }
}

fn kill(memory: &Memory, n: u64, seq: Seq) {
    let current = peek(memory, n).expect("only what is there is destroyed");
    assert_eq!(memory.kill(&key(n), Base::Record(&current), |_| (seq, ())), Swap::Done(()));
}

#[test]
fn g5_clean_records_stay_within_the_budget() {
    let memory = memory(8);
    for n in 0..1000 {
        fill(&memory, n);
    }
    let counts = memory.counts();
    assert_eq!(counts.sessions, 8);
    assert_eq!(counts.evictions, 992);
    assert!(counts.bytes <= memory.budget_bytes() as u64 / SHARDS as u64);
}

#[test]
fn g5_a_record_not_yet_on_disk_is_not_evicted() {
    let memory = memory(4);
    for n in 0..20 {
        memory.insert(&key(n), &record(n, 0), &Disk::default(), || (Some(n), ()));
    }
    assert_eq!(memory.counts().sessions, 20);
    for n in 0..20 {
        memory.unpin(&key(n), n);
    }
    assert_eq!(memory.counts().sessions, 4);
}

#[test]
fn g5_a_clean_record_that_is_changed_is_not_evicted_before_the_change_is_on_disk() {
    let memory = memory(4);
    fill(&memory, 1);
    let current = peek(&memory, 1).expect("it was just filled");
    assert_eq!(
        memory.swap(&key(1), Base::Record(&current), &record(1, 1), &Disk::default(), |_| (Some(1), ())),
        Swap::Done(())
    );
    for n in 2..20 {
        fill(&memory, n);
    }
    assert_eq!(peek(&memory, 1).map(|record| record.meta().revision), Some(1), "the disk still has revision 0");
    memory.unpin(&key(1), 1);
    for n in 20..40 {
        fill(&memory, n);
    }
    assert!(peek(&memory, 1).is_none());
}

#[test]
fn only_the_latest_write_unpins() {
    let memory = memory(1);
    memory.insert(&key(1), &record(1, 0), &Disk::default(), || (Some(1), ()));
    let current = peek(&memory, 1).unwrap();
    assert_eq!(
        memory.swap(&key(1), Base::Record(&current), &record(1, 1), &Disk::default(), |_| (Some(2), ())),
        Swap::Done(())
    );
    memory.unpin(&key(1), 1);
    fill(&memory, 2);
    fill(&memory, 3);
    assert!(peek(&memory, 1).is_some(), "write 2 is not durable yet");
    memory.unpin(&key(1), 2);
    fill(&memory, 4);
    fill(&memory, 5);
    assert!(peek(&memory, 1).is_none());
}

#[test]
fn one_shot_visitors_do_not_flush_the_regulars() {
    let memory = memory(100);
    for n in 0..50 {
        fill(&memory, n);
    }
    for round in 0..20 {
        for n in 0..50 {
            assert!(matches!(memory.get(&key(n), 0), Lookup::Hit(..)), "{n} in round {round}");
        }
        for n in 0..60 {
            fill(&memory, 1000 + round * 100 + n);
        }
    }
}

#[test]
fn g3_a_reader_that_was_overtaken_does_not_fill() {
    let memory = memory(10);
    let load = memory.begin_load(&key(1)).unwrap();
    // While it reads the old record from disk, another thread loads it too and destroys it, durably.
    let other = memory.begin_load(&key(1)).unwrap();
    assert_eq!(memory.kill(&key(1), Base::Load(&other), |_| (1, ())), Swap::Done(()));
    assert!(matches!(memory.get(&key(1), 0), Lookup::Dead));
    memory.unpin(&key(1), 1);
    assert!(!memory.fill(&load, &record(1, 0), 0, &Disk::default()));
    assert!(peek(&memory, 1).is_none());
}

#[test]
fn g3_a_commit_onto_a_destroyed_session_is_refused() {
    let memory = memory(10);
    memory.insert(&key(1), &record(1, 0), &Disk::default(), || (Some(1), ()));
    let current = peek(&memory, 1).unwrap();
    kill(&memory, 1, 2);
    assert_eq!(memory.swap(&key(1), Base::Record(&current), &record(1, 1), &Disk::default(), |_| (Some(3), ())), Swap::Dead);
    memory.unpin(&key(1), 2);
    assert_eq!(memory.swap(&key(1), Base::Record(&current), &record(1, 1), &Disk::default(), |_| (Some(3), ())), Swap::Changed);
}

#[test]
fn g3_looking_at_an_expired_session_does_not_revive_it() {
    let memory = memory(10);
    let meta = Meta { idle_deadline_ms: 100, absolute_deadline_ms: 1000, ..Meta::default() };
    let short = Patch::new().apply(None, &key(1), &meta, &Limits::default()).unwrap();
    memory.insert(&key(1), &short, &Disk::default(), || (Some(1), ()));
    assert!(matches!(memory.get(&key(1), 99), Lookup::Hit(..)));
    assert!(matches!(memory.get(&key(1), 199), Lookup::Expired));
    assert!(matches!(memory.get(&key(1), 199), Lookup::Expired));
}

#[test]
fn destroyed_sessions_leave_nothing_behind() {
    let memory = memory(10);
    for n in 0..1000 {
        memory.insert(&key(n), &record(n, 0), &Disk::default(), || (Some(1), ()));
        memory.unpin(&key(n), 1);
        kill(&memory, n, 2);
        memory.unpin(&key(n), 2);
    }
    let shard = memory.shards[0].0.lock();
    assert_eq!((shard.used_bytes, shard.index.len(), shard.order.probation_bytes()), (0, 0, 0));
    assert!(shard.order.names() <= 100, "{} stale names", shard.order.names());
}

#[test]
fn g4_a_commit_onto_an_older_record_is_refused() {
    let memory = memory(10);
    memory.insert(&key(1), &record(1, 0), &Disk::default(), || (Some(1), ()));
    let current = peek(&memory, 1).unwrap();
    assert_eq!(
        memory.swap(&key(1), Base::Record(&current), &record(1, 1), &Disk::default(), |_| (Some(2), ())),
        Swap::Done(())
    );
    assert_eq!(memory.swap(&key(1), Base::Record(&current), &record(1, 2), &Disk::default(), |_| (Some(3), ())), Swap::Changed);
}

#[test]
fn rekeying_within_and_between_shards_moves_the_session() {
    for other_shard in [0, 1] {
        let memory = memory(10);
        let mut new_key = key(2);
        new_key[15] = other_shard;
        memory.insert(&key(1), &record(1, 0), &Disk::default(), || (Some(1), ()));
        let current = peek(&memory, 1).unwrap();
        let moved = record(2, 1);
        let to = Rekey { key: &new_key, record: &moved, grace: None };
        assert_eq!(memory.rekey(&key(1), Base::Record(&current), &to, &Disk::default(), |_| (2, ())), Swap::Done(()));
        assert!(matches!(memory.get(&key(1), 0), Lookup::Dead));
        assert!(matches!(memory.get(&new_key, 0), Lookup::Hit(..)));
    }
}

fn insert_quick(memory: &Memory, n: u64, disk: &Disk) {
    memory.insert(&key(n), &record(n, 1), disk, || (None, ()));
}

#[test]
fn g5_a_quick_change_is_handed_to_the_disk_before_it_leaves() {
    let (memory, disk) = (memory(2), Disk::default());
    for n in 0..10 {
        insert_quick(&memory, n, &disk);
    }
    let written: Vec<_> = disk.0.borrow().iter().map(|(key, _)| *key).collect();
    assert_eq!(written, (0..8).map(key).collect::<Vec<_>>(), "as many as leave, the oldest first, and each once");
    assert_eq!(memory.counts().sessions, 10, "none is gone before it is durable");
    for n in 0..8 {
        memory.unpin(&key(n), 101 + n);
    }
    assert_eq!((memory.counts().sessions, memory.counts().evictions), (2, 8));
    assert!(peek(&memory, 7).is_none());
    assert!(peek(&memory, 8).is_some());
}

#[test]
fn what_is_used_or_changed_while_it_leaves_stays() {
    let (memory, disk) = (memory(2), Disk::default());
    for n in 0..4 {
        insert_quick(&memory, n, &disk);
    }
    assert!(matches!(memory.get(&key(0), 0), Lookup::Hit(..)));
    let current = peek(&memory, 1).unwrap();
    assert_eq!(memory.swap(&key(1), Base::Record(&current), &record(1, 2), &disk, |_| (None, ())), Swap::Done(()));
    memory.unpin(&key(0), 101);
    memory.unpin(&key(1), 102);
    assert!(peek(&memory, 0).is_some());
    assert_eq!(peek(&memory, 1).map(|record| record.meta().revision), Some(2), "the disk has revision 1");
}

#[test]
fn a_write_back_hands_over_what_is_dirty_once() {
    let (memory, disk) = (memory(10), Disk::default());
    for n in 0..3 {
        insert_quick(&memory, n, &disk);
    }
    fill(&memory, 5);
    for _ in 0..2 {
        memory.write_back(&disk, true);
        assert_eq!(disk.0.borrow().len(), 3);
    }
    let current = peek(&memory, 0).unwrap();
    assert_eq!(memory.swap(&key(0), Base::Record(&current), &record(0, 2), &disk, |_| (None, ())), Swap::Done(()));
    // The earlier write does not cover it.
    memory.unpin(&key(0), 101);
    memory.write_back(&disk, false);
    let written = disk.0.borrow();
    assert_eq!(written.last().map(|(key, record)| (*key, record.meta().revision)), Some((key(0), 2)));
}

#[test]
fn a_last_use_is_written_back_if_it_is_worth_it() {
    let (memory, disk) = (memory(10), Disk::default());
    let meta = Meta { idle_deadline_ms: 600_000, absolute_deadline_ms: u64::MAX, ..Meta::default() };
    for n in 0..2 {
        let record = Patch::new().apply(None, &key(n), &meta, &Limits::default()).unwrap();
        memory.insert(&key(n), &record, &disk, || (Some(n), ()));
        memory.unpin(&key(n), n);
    }
    assert!(matches!(memory.get(&key(0), 5_999), Lookup::Hit(..)));
    assert!(matches!(memory.get(&key(1), 6_000), Lookup::Hit(..)));
    memory.write_back(&disk, false);
    assert!(disk.0.borrow().is_empty(), "a use is no change");
    memory.write_back(&disk, true);
    let written: Vec<_> = disk.0.borrow().iter().map(|(key, record)| (*key, record.meta().last_seen_ms)).collect();
    assert_eq!(written, [(key(1), 6_000)]);
    assert_eq!(disk.0.borrow()[0].1.meta().idle_deadline_ms, 606_000);
}

#[test]
fn g3_a_session_that_ended_in_memory_is_not_written_back() {
    let (memory, disk) = (memory(10), Disk::default());
    insert_quick(&memory, 1, &disk);
    kill(&memory, 1, 1);
    memory.write_back(&disk, true);
    assert!(disk.0.borrow().is_empty());
}

#[test]
fn without_a_disk_at_hand_nothing_dirty_leaves() {
    let (memory, disk) = (memory(1), Disk::default());
    memory.insert(&key(1), &record(1, 0), &disk, || (Some(1), ()));
    let current = peek(&memory, 1).unwrap();
    assert_eq!(memory.swap(&key(1), Base::Record(&current), &record(1, 1), &disk, |_| (None, ())), Swap::Done(()));
    memory.insert(&key(2), &record(2, 0), &disk, || (Some(2), ()));
    memory.unpin(&key(1), 1);
    memory.unpin(&key(2), 2);
    assert_eq!(peek(&memory, 1).map(|record| record.meta().revision), Some(1));
}

fn use_once(memory: &Memory, n: u64) {
    assert!(matches!(memory.get(&key(n), 0), Lookup::Hit(..)));
}

/// Adds a session with or without an owner, which the disk knows.
fn add(memory: &Memory, n: u64, has_owner: bool) {
    let meta = Meta { owner: [u8::from(has_owner); 16], ..record(n, 0).meta() };
    memory.insert(&key(n), &record(n, 0).with_meta(&key(n), &meta), &Disk::default(), || (Some(n + 1), ()));
    memory.unpin(&key(n), n + 1);
}

#[test]
fn a_session_without_an_owner_is_found_among_others() {
    let memory = memory(10);
    assert_eq!(memory.anonymous(), None);
    for n in 0..5 {
        add(&memory, n, n != 3);
    }
    assert_eq!(memory.anonymous(), Some(key(3)));
    // It is not lost by being found.
    assert_eq!(memory.anonymous(), Some(key(3)));
    // A used one is found if there is no other.
    use_once(&memory, 3);
    assert_eq!(memory.anonymous(), Some(key(3)));
    kill(&memory, 3, 9);
    assert_eq!(memory.anonymous(), None);
}

#[test]
fn whoever_came_first_goes_first_and_used_ones_later() {
    let memory = memory(1000);
    for n in 0..10 {
        add(&memory, n, false);
    }
    use_once(&memory, 0);
    use_once(&memory, 2);
    for n in [1, 3, 4, 5, 6, 7, 8, 9, 0, 2] {
        let found = memory.anonymous().unwrap();
        assert_eq!(found, key(n));
        kill(&memory, n, 100 + n);
    }
}

#[test]
fn the_list_of_those_without_an_owner_holds_no_more_names_than_sessions() {
    let memory = memory(1000);
    for n in 0..20_000 {
        add(&memory, n, false);
        kill(&memory, n, n + 1);
        memory.unpin(&key(n), n + 1);
    }
    let listed: usize = memory.shards.iter().map(|shard| shard.0.lock().listed()).sum();
    assert!(listed <= 64 * 40, "{listed} names for no session");
    add(&memory, 30_000, false);
    assert_eq!(memory.anonymous(), Some(key(30_000)));
}

/// Adds a session that ends at `deadline_ms`; quick if it has no `seq`.
fn add_until(memory: &Memory, n: u64, deadline_ms: u64, seq: Option<Seq>) {
    let meta = Meta { idle_deadline_ms: deadline_ms, absolute_deadline_ms: deadline_ms, ..record(n, 0).meta() };
    memory.insert(&key(n), &record(n, 0).with_meta(&key(n), &meta), &Disk::default(), || (seq, ()));
}

#[test]
fn a_session_is_claimed_only_if_it_is_over_and_nothing_of_it_is_on_its_way() {
    let memory = memory(100);
    add_until(&memory, 1, 1000, Some(1));
    assert_eq!(memory.claim(&key(1), 2000), Claim::Busy, "its write is on its way");
    memory.unpin(&key(1), 1);
    assert_eq!(memory.claim(&key(1), 999), Claim::Alive(1000));
    assert_eq!(memory.claim(&key(1), 1000), Claim::Claimed);
    assert_eq!(memory.claim(&key(1), 1000), Claim::Busy);
    // No thread can recreate it meanwhile, and nothing is left of it afterwards.
    assert!(matches!(memory.peek(&key(1), 0), Lookup::Dead) && memory.begin_load(&key(1)).is_none());
    memory.release(&key(1));
    assert!(matches!(memory.peek(&key(1), 0), Lookup::Miss));
    // If memory does not have the session, a load is overtaken.
    let load = memory.begin_load(&key(2)).unwrap();
    assert_eq!(memory.claim(&key(2), 1000), Claim::Claimed);
    assert!(!memory.fill(&load, &record(2, 0), 0, &Disk::default()));
    // A pending deletion is left alone.
    add_until(&memory, 3, 1000, Some(3));
    kill(&memory, 3, 4);
    assert_eq!(memory.claim(&key(3), 2000), Claim::Busy);
    // So is a token that leads to another for its grace, although its write is durable.
    add_until(&memory, 4, 3000, None);
    let grace = Some(Grace { now_ms: 0, until_ms: 3000 });
    let rekey = Rekey { key: &key(5), record: &record(5, 0), grace };
    let current = peek(&memory, 4).unwrap();
    assert_eq!(memory.rekey(&key(4), Base::Record(&current), &rekey, &Disk::default(), |_| (6, ())), Swap::Done(()));
    memory.unpin(&key(4), 6);
    assert_eq!(memory.claim(&key(4), 2000), Claim::Busy);
    assert!(matches!(memory.peek(&key(4), 0), Lookup::Moved(to) if to == key(5)));
}

#[test]
fn sessions_that_only_memory_has_end_by_time() {
    let memory = memory(100);
    add_until(&memory, 1, 1000, None);
    add_until(&memory, 2, 2000, None);
    add_until(&memory, 3, 3000, Some(1));
    // The disk has an older state of this one.
    let current = peek(&memory, 3).unwrap();
    let shorter = current.with_meta(&key(3), &Meta { absolute_deadline_ms: 1000, ..current.meta() });
    assert_eq!(memory.swap(&key(3), Base::Record(&current), &shorter, &Disk::default(), |_| (None, ())), Swap::Done(()));
    let keys = |ended: Vec<(Key, Handle)>| ended.into_iter().map(|(key, _)| key).collect::<Vec<_>>();
    assert_eq!(keys(memory.expire_unsaved(1000, None)), [key(1)], "without a disk to take the deletion, the third stays");
    let deleted = std::cell::RefCell::new(Vec::new());
    let delete = |key: &Key| {
        deleted.borrow_mut().push(*key);
        7
    };
    assert_eq!(keys(memory.expire_unsaved(1000, Some(&delete))), [key(3)]);
    assert_eq!(deleted.take(), [key(3)]);
    assert!(matches!(memory.peek(&key(3), 0), Lookup::Dead), "until its deletion is durable");
    assert!(peek(&memory, 2).is_some());
}

#[test]
fn what_renewals_leave_behind_goes_after_the_grace() {
    let memory = memory(1000);
    let renew = |from: u64, to: u64, now_ms: u64, seq: Seq| {
        let current = peek(&memory, from).expect("it was just put there");
        let grace = Some(Grace { now_ms, until_ms: now_ms + 10 });
        let rekey = Rekey { key: &key(to), record: &record(to, 0), grace };
        assert_eq!(memory.rekey(&key(from), Base::Record(&current), &rekey, &Disk::default(), |_| (seq, ())), Swap::Done(()));
        memory.unpin(&key(from), seq);
        memory.unpin(&key(to), seq);
    };
    let kept = || {
        let shard = memory.shard(&key(0));
        (shard.index.len(), shard.moved.len())
    };
    fill(&memory, 0);
    // Ten at a time within a grace of 10 ms.
    for n in 0..1000 {
        renew(n, n + 1, n, n + 1);
        assert!(kept().0 <= 11 && kept().1 <= 10, "{:?} after {n}", kept());
    }
    // Many within one grace all lead to the next, and are removed with the next one.
    for n in 1000..2000 {
        renew(n, n + 1, 2000, n + 1);
    }
    assert_eq!(kept(), (1001, 1000));
    renew(2000, 2001, 2010, 2001);
    assert_eq!(kept(), (2, 1));
    // Even one that is not durable yet when its grace ends: it is removed once it is.
    let current = peek(&memory, 2001).unwrap();
    let grace = Some(Grace { now_ms: 2020, until_ms: 2030 });
    let rekey = Rekey { key: &key(2002), record: &record(2002, 0), grace };
    assert_eq!(memory.rekey(&key(2001), Base::Record(&current), &rekey, &Disk::default(), |_| (2002, ())), Swap::Done(()));
    renew(2002, 2003, 2030, 2003);
    assert_eq!(kept(), (3, 1));
    memory.unpin(&key(2001), 2002);
    assert_eq!(kept(), (2, 1));
}
