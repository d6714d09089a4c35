//! The races that lose sessions and updates elsewhere, by name. Threads meet in any order; whichever wins, the guarantees hold.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
    routing::get,
};
use sessile::{Durability, Error, Session, SessionLayer, Store, Token};
use tower::ServiceExt;

use crate::support::{DAY, OnDisk, SECOND, n_of, saved};

const ROUNDS: u64 = 200;

/// A store whose commits do not wait, so that threads meet more often.
fn relaxed() -> OnDisk {
    OnDisk::with(|builder| builder.durability(Durability::Relaxed))
}

/// Runs `one` and `other` at the same moment.
fn at_once<A: Send, B: Send>(one: impl FnOnce() -> A + Send, other: impl FnOnce() -> B + Send) -> (A, B) {
    let start = Barrier::new(2);
    thread::scope(|scope| {
        let one = scope.spawn(|| {
            start.wait();
            one()
        });
        start.wait();
        let other = other();
        (one.join().unwrap(), other)
    })
}

fn request(store: &Store, token: &Token) -> Session {
    store.session(Some(token)).unwrap()
}

/// Saves, unless the session has ended.
fn save(session: &Session) {
    if let Err(error) = session.save().wait() {
        assert!(matches!(error, Error::SessionEnded), "{error}");
    }
}

#[test]
fn g4_two_tabs_write_different_keys() {
    let disk = relaxed();
    for _ in 0..ROUNDS {
        let (_, token) = saved(&disk.store, 1);
        let (one, two) = (request(&disk.store, &token), request(&disk.store, &token));
        one.insert("one", 1).unwrap();
        two.insert("two", 2).unwrap();
        at_once(|| save(&one), || save(&two));
        assert_eq!(request(&disk.store, &token).keys(), ["n", "one", "two"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn g4_sixty_four_concurrent_increments_through_http() {
    async fn count(session: Session) -> Result<String, Error> {
        // The others load the same value meanwhile.
        tokio::task::yield_now().await;
        session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1).map(|n| n.to_string())
    }
    let disk = relaxed();
    let (_, token) = saved(&disk.store, 0);
    let app: Router = Router::new().route("/", get(count)).layer(SessionLayer::new(disk.store.clone()));
    let cookie = format!("__Host-id={}", token.expose());
    for round in 1..=1000 {
        let mut requests = tokio::task::JoinSet::new();
        for _ in 0..64 {
            let request = Request::get("/").header("cookie", &cookie).body(Body::empty()).unwrap();
            let app = app.clone();
            requests.spawn(async move { app.oneshot(request).await.unwrap().status() });
        }
        assert!(requests.join_all().await.iter().all(StatusCode::is_success));
        assert_eq!(n_of(&disk.store, &token), Some(64 * round));
    }
}

#[test]
fn g3_logout_during_a_slow_write() {
    let disk = relaxed();
    // Its logouts are always durable, and share no syncs.
    for _ in 0..5 * ROUNDS {
        let (_, token) = saved(&disk.store, 1);
        let (write, logout) = (request(&disk.store, &token), request(&disk.store, &token));
        write.insert("n", 2_u64).unwrap();
        logout.destroy();
        at_once(|| save(&write), || save(&logout));
        assert_eq!(n_of(&disk.store, &token), None);
    }
    disk.store.flush().wait().unwrap();
    assert_eq!(disk.store.stats().disk_sessions, 0);
}

#[test]
fn g3_login_in_two_tabs() {
    let disk = relaxed();
    for n in 0..ROUNDS {
        let (_, old) = saved(&disk.store, n);
        let login = || {
            let session = request(&disk.store, &old);
            session.sign_in("ada").unwrap();
            session.rotate();
            save(&session);
            session.token().filter(|token| *token != old)
        };
        let (one, two) = at_once(login, login);
        // One is dropped, or came when the old token found nothing any more and began a new session.
        assert_eq!(n_of(&disk.store, &old), None, "the old token signs no user in");
        let with_data = [one, two].into_iter().flatten().filter(|token| n_of(&disk.store, token) == Some(n)).count();
        assert_eq!(with_data, 1, "the data went to exactly one");
        let listed = disk.store.sessions_of("ada").unwrap().len();
        assert_eq!(listed, [one, two].into_iter().flatten().count());
        disk.store.destroy_sessions_of("ada").wait().unwrap();
    }
}

#[test]
fn g3_rotate_while_reading() {
    let disk = relaxed();
    let (session, first) = saved(&disk.store, 1);
    let rotations = AtomicU64::new(0);
    let mut tokens = vec![first];
    thread::scope(|scope| {
        scope.spawn(|| {
            while rotations.load(Ordering::Acquire) < ROUNDS {
                // Either the session as it was, or nothing: never another, never half of it.
                assert!(matches!(n_of(&disk.store, &first), Some(1) | None));
            }
        });
        for _ in 0..ROUNDS {
            session.rotate();
            save(&session);
            let old = tokens.last().unwrap();
            assert_eq!(n_of(&disk.store, old), None, "out at once");
            tokens.push(session.token().unwrap());
            assert_eq!(n_of(&disk.store, tokens.last().unwrap()), Some(1));
            rotations.fetch_add(1, Ordering::Release);
        }
    });
    assert!(tokens[..tokens.len() - 1].iter().all(|token| n_of(&disk.store, token).is_none()));
}

#[test]
fn g4_renew_while_writing() {
    let disk = relaxed();
    let (session, first) = saved(&disk.store, 0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    // By the first token, whose grace does not end: the clock stands still.
                    let session = request(&disk.store, &first);
                    session.update("n", |n: Option<u64>| n.unwrap() + 1).unwrap();
                    save(&session);
                }
            });
        }
        for _ in 0..20 {
            session.rotate_with_grace();
            save(&session);
        }
    });
    assert_eq!(n_of(&disk.store, &session.token().unwrap()), Some(2 * ROUNDS));
    assert_eq!(disk.store.stats().dropped_commits, 0);
}

#[test]
fn g3_expire_while_committing() {
    let disk = relaxed();
    for _ in 0..ROUNDS / 2 {
        let (session, token) = saved(&disk.store, 1);
        session.insert("n", 2_u64).unwrap();
        disk.clock.advance((7 * DAY).checked_sub(SECOND).unwrap());
        at_once(
            || save(&session),
            || {
                disk.clock.advance(SECOND);
                disk.store.sweep().wait().unwrap();
            },
        );
        // It was in time, and lasts for another idle timeout from then on, or it was dropped.
        let found = n_of(&disk.store, &token);
        assert_eq!(found, session.token().map(|_| 2), "the request and the store agree");
        disk.clock.advance(7 * DAY);
        assert_eq!(n_of(&disk.store, &token), None);
    }
}

#[test]
fn g5_evict_while_committing() {
    for durability in [Durability::Relaxed, Durability::Quick] {
        let disk = OnDisk::with(|builder| builder.memory_budget(8 << 10).durability(durability));
        let tokens: Vec<_> = (0..100).map(|_| saved(&disk.store, 0).1).collect();
        thread::scope(|scope| {
            for thread in 0..4 {
                let (tokens, store) = (&tokens, &disk.store);
                scope.spawn(move || {
                    for at in 0..600 {
                        // All threads use a quarter of them, so that they meet there.
                        let token = &tokens[(at * 7 + thread * 13) % 100 / (1 + at % 4)];
                        let session = request(store, token);
                        session.update("n", |n: Option<u64>| n.unwrap() + 1).unwrap();
                        save(&session);
                        if at % 20 == 0 {
                            // Durable records may be evicted.
                            store.flush().wait().unwrap();
                        }
                    }
                });
            }
        });
        let sum: u64 = tokens.iter().map(|token| n_of(&disk.store, token).unwrap()).sum();
        assert_eq!(sum, 2400, "{durability:?}");
        assert!(disk.store.stats().evictions > 100, "{:?}", disk.store.stats());
    }
}

#[test]
fn g3_destroy_all_while_creating() {
    let disk = relaxed();
    for _ in 0..ROUNDS / 2 {
        let login = || {
            let session = disk.store.session(None).unwrap();
            session.insert("n", 1_u64).unwrap();
            session.sign_in("ada").unwrap();
            save(&session);
            session.token().unwrap()
        };
        let before = login();
        let (during, destroyed) = at_once(login, || disk.store.destroy_sessions_of("ada").wait().unwrap());
        assert_eq!(n_of(&disk.store, &before), None);
        // Created before, and ended; or created after, and listed.
        let listed = disk.store.sessions_of("ada").unwrap().len();
        assert_eq!((n_of(&disk.store, &during).is_some(), destroyed + listed), (listed == 1, 2));
        disk.store.destroy_sessions_of("ada").wait().unwrap();
    }
}

#[test]
fn g3_destroy_all_while_moving_to_a_new_token() {
    let disk = relaxed();
    let moves: [fn(&Session); 2] = [Session::rotate, Session::rotate_with_grace];
    for round in 0..ROUNDS {
        let (session, first) = saved(&disk.store, 1);
        session.sign_in("ada").unwrap();
        save(&session);
        moves[usize::from(round % 2 == 0)](&session);
        let ((), destroyed) = at_once(|| save(&session), || disk.store.destroy_sessions_of("ada").wait().unwrap());
        assert_eq!(destroyed, 1, "wherever it was at that moment");
        let tokens = [Some(first), session.token()];
        assert!(tokens.iter().flatten().all(|token| n_of(&disk.store, token).is_none()));
        assert!(disk.store.sessions_of("ada").unwrap().is_empty());
    }
}
