//! F5: any one operation of the disk fails, once or from then on until it heals.

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    thread,
    time::{Duration, Instant},
};

use sessile::{Error, Token};
use sessile_fault_disk::{FaultDisk, IoKind};

use crate::{
    failures::{all, assert_transient, builder, checkpoint, heal, open},
    support::saved,
};

#[test]
fn f5_whichever_operation_fails_once_or_for_a_while_nothing_is_lost() {
    let survived = |kind| [false, true].map(|lasts| (0..10_000).take_while(|n| survives_failure(kind, *n, lasts)).count());
    // Each waits for its store to retry.
    let failures: usize = thread::scope(|scope| {
        let threads = IoKind::ALL.map(|kind| scope.spawn(move || survived(kind)));
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).sum()
    });
    println!("{failures} failures survived");
    assert!(failures > 100, "only {failures}: the test has lost its grip");
}

/// Runs a store whose `n`-th operation of `kind` fails, and those after it too if `lasts`. Returns `false` if the store made fewer operations.
fn survives_failure(kind: IoKind, n: u64, lasts: bool) -> bool {
    let disk = FaultDisk::new(n);
    if lasts {
        disk.fail_from(kind, n, ErrorKind::Other);
    } else {
        disk.fail_nth(kind, n, ErrorKind::Other);
    }
    let store = builder().open_on(&disk).unwrap_or_else(|error| {
        assert!(matches!(error, Error::Open { .. }), "{kind:?} {n}: {error:?}");
        disk.heal();
        open(&disk)
    });
    let mut tokens = Vec::new();
    // What each token leads to, as far as the store has acknowledged it.
    let mut acknowledged = BTreeMap::new();
    for step in 0..6 {
        let session = store.session(None).unwrap();
        let mut save = |leads_to: Option<u64>, before: Option<Token>| {
            let saved = session.save().wait();
            let known = session.token().into_iter().map(|token| (token, leads_to)).chain(before.map(|token| (token, None)));
            for (token, leads_to) in known {
                let at = tokens.iter().position(|other| *other == token).unwrap_or_else(|| {
                    tokens.push(token);
                    tokens.len() - 1
                });
                match &saved {
                    Ok(()) => drop(acknowledged.insert(at, leads_to)),
                    // It may have happened.
                    Err(error) => {
                        assert_transient(error);
                        acknowledged.remove(&at);
                    }
                }
            }
        };
        session.insert("n", step).unwrap();
        save(Some(step), None);
        let token = session.token();
        match step {
            1 => {
                session.rotate();
                save(Some(step), token);
            }
            2 => {
                session.destroy();
                save(None, token);
            }
            3 => drop(store.sweep().wait()),
            _ => {}
        }
    }
    heal(&disk, &store);
    // Memory is right about what was accepted, and now all of it is durable.
    let expected = all(&store, &tokens);
    for (at, leads_to) in acknowledged {
        assert_eq!(expected[at], leads_to, "{kind:?} {n}: {expected:?}");
    }
    for seed in 0..2 {
        assert_eq!(all(&open(&disk.crash(seed)), &tokens), expected, "{kind:?} {n}");
    }
    store.close().unwrap();
    assert_eq!(all(&open(&disk.crash(3)), &tokens), expected, "{kind:?} {n}, closed");
    disk.counts().operations.get(&kind).is_some_and(|count| *count > n)
}

#[test]
fn f5_a_store_is_degraded_no_longer_than_its_disk_although_nobody_asks_for_anything() {
    const AT_MOST: Duration = Duration::from_secs(20);
    for (kind, has_work) in IoKind::ALL.into_iter().flat_map(|kind| [(kind, false), (kind, true)]) {
        let disk = FaultDisk::new(0);
        // The next timed sweep is in an hour.
        let store = open(&disk);
        checkpoint(&store);
        if has_work {
            saved(&store, 1);
        }
        disk.fail_from(kind, 0, ErrorKind::Other);
        let swept = store.sweep().wait();
        disk.heal();
        let healed = Instant::now();
        while store.stats().degraded {
            assert!(healed.elapsed() < AT_MOST, "{kind:?}, {has_work}: still degraded, after {swept:?}");
            thread::sleep(Duration::from_millis(1));
        }
    }
}
