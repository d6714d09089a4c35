//! The memory tier alone: what is pinned, what leaves, and whom a change is refused.

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
    Memory::new((Content::Live(record(0, 0)).cost_bytes() * sessions) * SHARDS)
}

fn fill(memory: &Memory, n: u64) {
    let load = memory.begin_load(&key(n)).expect("it is not there yet");
    assert!(memory.fill(&load, &record(n, 0), 0));
}

fn peek(memory: &Memory, n: u64) -> Option<Record> {
    match memory.peek(&key(n), 0) {
        Lookup::Hit(record, _) => Some(record),
        _ => None,
    }
}

fn kill(memory: &Memory, n: u64, seq: Seq) {
    let current = peek(memory, n).expect("only what is there is destroyed");
    assert_eq!(memory.kill(&key(n), Base::Record(&current), || (seq, ())), Swap::Done(()));
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
        memory.insert(&key(n), &record(n, 0), || (n, ()));
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
    assert_eq!(memory.swap(&key(1), Base::Record(&current), &record(1, 1), || (1, ())), Swap::Done(()));
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
    memory.insert(&key(1), &record(1, 0), || (1, ()));
    let current = peek(&memory, 1).unwrap();
    assert_eq!(memory.swap(&key(1), Base::Record(&current), &record(1, 1), || (2, ())), Swap::Done(()));
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
    // While it reads the old record from disk, another loads it too and destroys it, durably.
    let other = memory.begin_load(&key(1)).unwrap();
    assert_eq!(memory.kill(&key(1), Base::Load(&other), || (1, ())), Swap::Done(()));
    assert!(matches!(memory.get(&key(1), 0), Lookup::Dead));
    memory.unpin(&key(1), 1);
    assert!(!memory.fill(&load, &record(1, 0), 0));
    assert!(peek(&memory, 1).is_none());
}

#[test]
fn g3_a_commit_onto_a_destroyed_session_is_refused() {
    let memory = memory(10);
    memory.insert(&key(1), &record(1, 0), || (1, ()));
    let current = peek(&memory, 1).unwrap();
    kill(&memory, 1, 2);
    assert_eq!(memory.swap(&key(1), Base::Record(&current), &record(1, 1), || (3, ())), Swap::Dead);
    memory.unpin(&key(1), 2);
    assert_eq!(memory.swap(&key(1), Base::Record(&current), &record(1, 1), || (3, ())), Swap::Changed);
}

#[test]
fn g3_looking_at_an_expired_session_does_not_revive_it() {
    let memory = memory(10);
    let meta = Meta { idle_deadline_ms: 100, absolute_deadline_ms: 1000, ..Meta::default() };
    let short = Patch::new().apply(None, &key(1), &meta, &Limits::default()).unwrap();
    memory.insert(&key(1), &short, || (1, ()));
    assert!(matches!(memory.get(&key(1), 99), Lookup::Hit(..)));
    assert!(matches!(memory.get(&key(1), 199), Lookup::Expired));
    assert!(matches!(memory.get(&key(1), 199), Lookup::Expired));
}

#[test]
fn destroyed_sessions_leave_nothing_behind() {
    let memory = memory(10);
    for n in 0..1000 {
        memory.insert(&key(n), &record(n, 0), || (1, ()));
        memory.unpin(&key(n), 1);
        kill(&memory, n, 2);
        memory.unpin(&key(n), 2);
    }
    let shard = memory.shards[0].0.lock();
    assert_eq!((shard.used_bytes, shard.index.len(), shard.order.len()), (0, 0, 0));
}

#[test]
fn g4_a_commit_onto_an_older_record_is_refused() {
    let memory = memory(10);
    memory.insert(&key(1), &record(1, 0), || (1, ()));
    let current = peek(&memory, 1).unwrap();
    assert_eq!(memory.swap(&key(1), Base::Record(&current), &record(1, 1), || (2, ())), Swap::Done(()));
    assert_eq!(memory.swap(&key(1), Base::Record(&current), &record(1, 2), || (3, ())), Swap::Changed);
}

#[test]
fn rekeying_within_and_between_shards_moves_the_session() {
    for other_shard in [0, 1] {
        let memory = memory(10);
        let mut new_key = key(2);
        new_key[15] = other_shard;
        memory.insert(&key(1), &record(1, 0), || (1, ()));
        let current = peek(&memory, 1).unwrap();
        assert_eq!(memory.rekey(&key(1), Base::Record(&current), &new_key, &record(2, 1), || (2, ())), Swap::Done(()));
        assert!(matches!(memory.get(&key(1), 0), Lookup::Dead));
        assert!(matches!(memory.get(&new_key, 0), Lookup::Hit(..)));
    }
}
