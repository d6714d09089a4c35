//! Closures of the application run while nothing is locked: they may use the session, the store and the owner's list.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use sessile::{Error, Model, Session, Store};

use crate::support::saved;

/// Fails the test if `work` deadlocks.
fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(work()));
    receiver.recv_timeout(Duration::from_secs(20)).expect("it panicked, or waits for itself")
}

/// A session that `ada` owns, and another handle of it that is loaded separately.
fn twice(store: &Store) -> (Session, Session) {
    let (session, _) = saved(store, 1);
    session.sign_in("ada").unwrap();
    session.save().wait().unwrap();
    let other = store.session(session.token().as_ref()).unwrap();
    (session, other)
}

#[test]
fn an_update_may_use_its_session_and_the_store() {
    in_time(|| {
        let store = sessile::testing::store();
        let (session, _) = twice(&store);
        let (inner, in_store) = (session.clone(), store.clone());
        let n = session
            .update("sum", move |sum: Option<u64>| {
                inner.insert("seen", in_store.sessions_of("ada").unwrap().len()).unwrap();
                inner.update("times", |n: Option<u64>| n.unwrap_or(0) + 1).unwrap();
                sum.unwrap_or(0) + inner.get::<u64>("n").unwrap().unwrap()
            })
            .unwrap();
        session.save().wait().unwrap();
        assert_eq!((n, session.get("seen").unwrap(), session.get("times").unwrap()), (1, Some(1), Some(1)));
    });
}

#[test]
fn an_update_that_a_commit_runs_again_may_use_its_session_and_the_store() {
    for rotates in [false, true] {
        in_time(move || {
            let store = sessile::testing::store();
            let (session, other) = twice(&store);
            let (inner, in_store) = (other.clone(), store.clone());
            other
                .update("sum", move |sum: Option<u64>| {
                    let devices = in_store.sessions_of("ada").unwrap();
                    let loaded = in_store.session(inner.token().as_ref()).unwrap();
                    inner.insert("devices", devices.len()).unwrap();
                    sum.unwrap_or(0) + loaded.get::<u64>("n").unwrap().unwrap()
                })
                .unwrap();
            if rotates {
                other.rotate();
            }
            session.insert("sum", 10).unwrap();
            session.save().wait().unwrap();
            other.save().wait().unwrap();
            assert_eq!((other.get("sum").unwrap(), other.get("devices").unwrap()), (Some(11), Some(1)));
            let found = store.session(other.token().as_ref()).unwrap();
            assert_eq!(found.get("sum").unwrap(), Some(11), "rotates: {rotates}");
        });
    }
}

#[test]
fn an_update_in_a_session_that_has_ended_runs_again_at_a_sign_in() {
    in_time(|| {
        let store = sessile::testing::store();
        let (session, other) = twice(&store);
        let inner = other.clone();
        other.update("n", move |n: Option<u64>| n.unwrap_or(0) + u64::from(inner.owner().is_some())).unwrap();
        other.sign_in("ada").unwrap();
        session.destroy();
        session.save().wait().unwrap();
        other.save().wait().unwrap();
        assert_eq!(other.get("n").unwrap(), Some(1), "of nothing");
    });
}

#[test]
fn a_save_within_a_commit_of_its_session_is_an_error_and_the_commit_stands() {
    in_time(|| {
        let store = sessile::testing::store();
        let (session, other) = twice(&store);
        let (inner, errors) = (other.clone(), Arc::new(Mutex::new(Vec::new())));
        let noted = errors.clone();
        other
            .update("n", move |n: Option<u64>| {
                noted.lock().unwrap().push(inner.save().wait().err());
                n.unwrap_or(0) + 1
            })
            .unwrap();
        session.insert("n", 10).unwrap();
        session.save().wait().unwrap();
        other.save().wait().unwrap();
        assert_eq!(other.get("n").unwrap(), Some(11));
        let errors = errors.lock().unwrap();
        assert!(matches!(errors[..], [None, Some(Error::NestedSave)]), "{errors:?}");
    });
}

#[test]
fn a_commit_of_another_clone_waits_for_one_that_runs_updates_again() {
    in_time(|| {
        let store = sessile::testing::store();
        let (session, other) = twice(&store);
        let (entered, enter) = mpsc::channel();
        let (leave, left) = mpsc::channel::<()>();
        let mut runs = 0;
        other
            .update("n", move |n: Option<u64>| {
                runs += 1;
                if runs == 2 {
                    entered.send(()).unwrap();
                    left.recv().unwrap();
                }
                n.unwrap_or(0) + 1
            })
            .unwrap();
        session.insert("n", 10).unwrap();
        session.save().wait().unwrap();
        let clone = other.clone();
        let first = thread::spawn(move || clone.save().wait());
        enter.recv().unwrap();
        // Everything except a commit continues.
        other.insert("late", true).unwrap();
        assert_eq!(other.get("late").unwrap(), Some(true));
        let clone = other.clone();
        let second = thread::spawn(move || clone.save().wait());
        thread::yield_now();
        leave.send(()).unwrap();
        first.join().unwrap().unwrap();
        second.join().unwrap().unwrap();
        let found = store.session(other.token().as_ref()).unwrap();
        assert_eq!((found.get("n").unwrap(), found.get("late").unwrap()), (Some(11), Some(true)));
    });
}

#[test]
fn what_the_session_sets_while_its_update_runs_again_counts() {
    in_time(|| {
        let store = sessile::testing::store();
        let (session, other) = twice(&store);
        let inner = other.clone();
        let mut runs = 0;
        other
            .update("n", move |n: Option<u64>| {
                runs += 1;
                if runs == 2 {
                    inner.insert("n", 100).unwrap();
                }
                n.unwrap_or(0) + 1
            })
            .unwrap();
        session.insert("n", 10).unwrap();
        session.save().wait().unwrap();
        other.save().wait().unwrap();
        assert_eq!(other.get("n").unwrap(), Some(100), "set by itself, so it depends on nothing");
    });
}

#[test]
fn updates_run_again_at_each_conflict_and_each_for_its_own_key() {
    in_time(|| {
        let store = sessile::testing::store();
        let (session, other) = twice(&store);
        let between = session.clone();
        let mut runs = 0;
        other
            .update("a", move |a: Option<u64>| {
                runs += 1;
                if runs == 2 {
                    // Another request is faster once more.
                    between.insert("a", 20).unwrap();
                    between.insert("b", 200).unwrap();
                    between.save().wait().unwrap();
                }
                a.unwrap_or(0) + 1
            })
            .unwrap();
        other.update("b", |b: Option<u64>| b.unwrap_or(0) + 2).unwrap();
        session.insert("a", 10).unwrap();
        session.insert("b", 100).unwrap();
        session.save().wait().unwrap();
        other.save().wait().unwrap();
        assert_eq!((other.get("a").unwrap(), other.get("b").unwrap()), (Some(21), Some(202)));
    });
}

#[test]
fn an_update_that_panics_in_a_commit_locks_nobody_out() {
    in_time(|| {
        let store = sessile::testing::store();
        let (session, other) = twice(&store);
        let mut runs = 0;
        other
            .update("n", move |n: Option<u64>| {
                runs += 1;
                assert_ne!(runs, 2, "a fault of the application");
                n.unwrap_or(0) + 1
            })
            .unwrap();
        session.insert("n", 10).unwrap();
        session.save().wait().unwrap();
        let clone = other.clone();
        assert!(thread::spawn(move || clone.save().wait()).join().is_err());
        other.save().wait().unwrap();
        assert_eq!(other.get("n").unwrap(), Some(11));
    });
}

#[test]
fn clones_that_update_one_key_at_once_lose_nothing() {
    in_time(|| {
        let store = sessile::testing::store();
        let (session, _) = saved(&store, 0);
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let session = session.clone();
                thread::spawn(move || {
                    for _ in 0..50 {
                        session
                            .update("n", |n: Option<u64>| {
                                thread::yield_now();
                                n.unwrap_or(0) + 1
                            })
                            .unwrap();
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(session.get("n").unwrap(), Some(400));
    });
}

#[test]
fn an_update_that_writes_its_own_key_comes_to_an_end() {
    in_time(|| {
        let session = sessile::testing::session();
        let inner = session.clone();
        let mut runs = 0;
        let n = session.update("n", move |_: Option<u64>| {
            runs += 1;
            inner.insert("n", runs * 10).unwrap();
            runs
        });
        assert_eq!(session.get("n").unwrap(), Some(n.unwrap()));
    });
}

static MIGRATED_BY: Mutex<Option<Session>> = Mutex::new(None);
static MIGRATIONS: AtomicU32 = AtomicU32::new(0);

#[derive(Model)]
#[model(name = "migrated")]
struct Old {
    n: u64,
}

#[derive(Model)]
#[model(name = "migrated", version = 2, migrate = migrate_old)]
struct New {
    n: u64,
    at: String,
}

fn migrate_old(old: sessile::model::Stored<'_>) -> Result<New, sessile::error::CodecError> {
    let session = MIGRATED_BY.lock().unwrap().clone().unwrap();
    session.insert("migrations", MIGRATIONS.fetch_add(1, Ordering::Relaxed) + 1).unwrap();
    Ok(New { n: old.read::<Old>()?.n, at: session.get("at").unwrap().unwrap() })
}

#[test]
fn a_migration_may_use_its_session() {
    in_time(|| {
        let session = sessile::testing::session();
        session.insert("at", "home").unwrap();
        session.insert_model("model", &Old { n: 7 }).unwrap();
        session.save().wait().unwrap();
        *MIGRATED_BY.lock().unwrap() = Some(session.clone());
        let view = session.view::<New>("model").unwrap().unwrap();
        assert_eq!((view.n.to_native(), view.at.as_str()), (7, "home"));
        assert_eq!(session.get("migrations").unwrap(), Some(1));
    });
}
