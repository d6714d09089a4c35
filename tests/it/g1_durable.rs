//! G1: an acknowledged durable commit survives.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
    thread,
};

use sessile::Durability;
use sessile_fault_disk::FaultDisk;

use crate::{
    failures::open,
    support::{OnDisk, n_of, saved},
};

#[test]
fn g1_an_acknowledged_commit_is_in_the_file() {
    let disk = OnDisk::new();
    let tokens: Vec<_> = (0..50).map(|n| saved(&disk.store, n).1).collect();
    let (_dir, crashed) = disk.after_crash();
    for (n, token) in tokens.iter().enumerate() {
        assert_eq!(n_of(&crashed, token), Some(n as u64));
    }
}

#[test]
fn g1_acknowledged_concurrent_commits_are_in_the_file() {
    let disk = OnDisk::new();
    let commit =
        |thread: u64| (0..50).map(move |n| thread * 1000 + n).map(|n| (n, saved(&disk.store, n).1)).collect::<Vec<_>>();
    let tokens: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|thread| scope.spawn(move || commit(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(disk.store.stats().syncs < 400, "commits that wait at the same time share syncs");
    let (_dir, crashed) = disk.after_crash();
    for (n, token) in tokens {
        assert_eq!(n_of(&crashed, &token), Some(n));
    }
}

#[test]
fn g1_an_acknowledged_end_or_rotation_is_in_the_file_in_the_relaxed_class_too() {
    let disk = OnDisk::with(|builder| builder.durability(Durability::Relaxed));
    let (ended, ended_token) = saved(&disk.store, 1);
    let (rotated, old_token) = saved(&disk.store, 2);
    ended.destroy();
    ended.save().wait().unwrap();
    rotated.rotate();
    rotated.save().wait().unwrap();
    let (_dir, crashed) = disk.after_crash();
    assert_eq!(n_of(&crashed, &ended_token), None);
    assert_eq!(n_of(&crashed, &old_token), None);
    assert_eq!(n_of(&crashed, &rotated.token().unwrap()), Some(2));
}

#[test]
fn g1_a_clean_close_keeps_relaxed_commits() {
    let mut disk = OnDisk::with(|builder| builder.durability(Durability::Relaxed).flush_interval(std::time::Duration::MAX / 4));
    let (_, token) = saved(&disk.store, 7);
    disk.reopen();
    assert_eq!(n_of(&disk.store, &token), Some(7));
}

#[test]
fn g1_a_flush_makes_relaxed_commits_durable() {
    let disk =
        OnDisk::with(|builder| builder.durability(Durability::Relaxed).flush_interval(std::time::Duration::from_hours(1)));
    let (_, token) = saved(&disk.store, 7);
    disk.store.flush().wait().unwrap();
    assert_eq!(n_of(&disk.after_crash().1, &token), Some(7));
}

#[test]
fn g1_a_commit_whose_future_is_dropped_is_written_all_the_same() {
    let mut disk = OnDisk::new();
    let session = disk.store.session(None).unwrap();
    session.insert("n", 1_u64).unwrap();
    {
        let mut ack = pin!(session.save());
        // Polled once, so that it has a waker in the group, and dropped.
        assert!(matches!(ack.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending | Poll::Ready(Ok(()))));
    }
    drop(session.save());
    let token = session.token().unwrap();
    drop(session);
    disk.reopen();
    assert_eq!(n_of(&disk.store, &token), Some(1));
}

#[tokio::test]
async fn g1_async_callers_are_woken() {
    let disk = OnDisk::new();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..64_u64 {
        let store = disk.store.clone();
        tasks.spawn(async move {
            let session = store.session(None).unwrap();
            session.insert("n", n).unwrap();
            session.save().await.unwrap();
            (n, session.token().unwrap())
        });
    }
    let (_dir, crashed) = {
        let tokens = tasks.join_all().await;
        let crashed = disk.after_crash();
        for (n, token) in tokens {
            assert_eq!(n_of(&crashed.1, &token), Some(n));
        }
        crashed
    };
    drop(crashed);
}

#[test]
fn g1_what_a_killed_process_had_written_is_durable_once_it_is_served() {
    let disk = FaultDisk::new(0);
    let store = open(&disk);
    saved(&store, 1);
    disk.stall_syncs();
    let session = store.session(None).unwrap();
    session.insert("n", 2).unwrap();
    let _ack = session.save();
    let token = session.token().unwrap();
    // Until the frame is written: other threads write to the disk, too.
    while n_of(&open(&disk.copy()), &token).is_none() {
        thread::yield_now();
    }
    let next = disk.kill();
    let store = open(&next);
    assert_eq!(n_of(&store, &token), Some(2), "written, and not synced");
    for seed in 0..50 {
        assert_eq!(n_of(&open(&next.crash(seed)), &token), Some(2), "{seed}");
    }
}
