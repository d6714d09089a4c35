//! What subscribers and watchers receive.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use sessile::{
    Builder, Durability, OwnerLimit, Session, Store,
    events::{EndReason, Event, SessionEnd},
};

use crate::support::{DAY, OnDisk, SECOND, saved};

fn handle(session: &Session) -> sessile::Handle {
    session.handle().unwrap()
}

#[test]
fn a_subscriber_hears_of_a_sessions_life() {
    let disk = OnDisk::with(|builder| builder.sessions_per_owner(1, OwnerLimit::EvictOldest));
    saved(&disk.store, 0);
    let mut events = disk.store.subscribe();
    let (session, _) = saved(&disk.store, 1);
    let first = handle(&session);
    session.insert("n", 2_u64).unwrap();
    session.save().wait().unwrap();
    session.rotate();
    session.save().wait().unwrap();
    session.rotate_with_grace();
    session.save().wait().unwrap();
    session.sign_in("ada").unwrap();
    session.save().wait().unwrap();
    assert_eq!(handle(&session), first, "it is the same session under each token");
    let (other, _) = saved(&disk.store, 2);
    other.sign_in("ada").unwrap();
    other.save().wait().unwrap();
    disk.store.destroy_sessions_of("ada").wait().unwrap();
    let (logout, _) = saved(&disk.store, 3);
    let last = handle(&logout);
    logout.destroy();
    logout.save().wait().unwrap();
    let heard: Vec<_> = std::iter::from_fn(|| events.try_next()).collect();
    let expected = [
        Event::Created { handle: first },
        Event::Rotated { handle: first },
        Event::Rotated { handle: first },
        Event::Rotated { handle: first },
        Event::Created { handle: handle(&other) },
        Event::Destroyed { handle: first, reason: EndReason::OwnerLimit },
        Event::Rotated { handle: handle(&other) },
        Event::Destroyed { handle: handle(&other), reason: EndReason::Revoked },
        Event::Created { handle: last },
        Event::Destroyed { handle: last, reason: EndReason::Logout },
    ];
    assert_eq!(heard, expected);
}

#[test]
fn an_expired_session_is_told_once() {
    let disk = OnDisk::new();
    let mut events = disk.store.subscribe();
    let (session, token) = saved(&disk.store, 1);
    let expired = Event::Expired { handle: handle(&session) };
    disk.clock.advance(8 * DAY);
    assert!(disk.store.session(Some(&token)).unwrap().token().is_none());
    disk.store.sweep().wait().unwrap();
    disk.store.sweep().wait().unwrap();
    let heard: Vec<_> = std::iter::from_fn(|| events.try_next()).collect();
    assert_eq!(heard[1..], [expired]);
}

#[test]
fn a_session_evicted_from_a_full_store_is_told() {
    let disk = OnDisk::with(|builder| builder.max_sessions(1));
    let (session, _) = saved(&disk.store, 1);
    let mut events = disk.store.subscribe();
    saved(&disk.store, 2);
    assert_eq!(events.try_next(), Some(Event::Destroyed { handle: handle(&session), reason: EndReason::StoreFull }));
}

#[test]
fn a_slow_subscriber_learns_how_many_it_missed() {
    let store = Store::builder().durability(Durability::Quick).open_in_memory().unwrap();
    let mut slow = store.subscribe();
    let handles: Vec<_> = (0..1500).map(|n| handle(&saved(&store, n).0)).collect();
    assert_eq!(slow.try_next(), Some(Event::Missed { count: 1500 - 1024 }));
    for handle in &handles[1500 - 1024..] {
        assert_eq!(slow.try_next(), Some(Event::Created { handle: *handle }));
    }
    assert_eq!(slow.try_next(), None);
}

#[test]
fn the_end_of_the_store_is_the_end_of_its_events() {
    let disk = OnDisk::new();
    let (mut events, dropped) = (disk.store.subscribe(), disk.store.subscribe());
    drop(dropped);
    let (session, _) = saved(&disk.store, 1);
    let watch = session.watch().unwrap().unwrap();
    assert_eq!(watch.ended(), None);
    disk.store.close().unwrap();
    assert_eq!(events.wait(Duration::MAX), Some(Event::Created { handle: handle(&session) }));
    assert_eq!(events.wait(Duration::MAX), None);
    assert_eq!(watch.wait(Duration::MAX), Some(SessionEnd::StoreClosed));
    assert_eq!(session.watch().unwrap().unwrap().ended(), Some(SessionEnd::StoreClosed));
}

#[tokio::test]
async fn async_subscribers_and_watchers_are_woken() {
    let disk = OnDisk::new();
    let (session, _) = saved(&disk.store, 1);
    let (watch, mut events) = (session.watch().unwrap().unwrap(), disk.store.subscribe());
    let name = handle(&session);
    let told = tokio::spawn(watch);
    let heard = tokio::spawn(async move { events.recv().await });
    tokio::task::yield_now().await;
    session.destroy();
    session.save().await.unwrap();
    assert_eq!(told.await.unwrap(), SessionEnd::Destroyed(EndReason::Logout));
    assert_eq!(heard.await.unwrap(), Some(Event::Destroyed { handle: name, reason: EndReason::Logout }));
}

#[test]
fn a_watch_hears_of_the_end_by_whomever() {
    let disk = OnDisk::with(|builder| builder.sessions_per_owner(1, OwnerLimit::EvictOldest));
    let watched = |n| {
        let (session, _) = saved(&disk.store, n);
        session.sign_in(format!("user {n}")).unwrap();
        session.save().wait().unwrap();
        let token = session.token().unwrap();
        let watch = session.watch().unwrap().unwrap();
        assert_eq!(watch.wait(Duration::ZERO), None);
        (session, token, watch)
    };
    let (session, _, watch) = watched(1);
    session.destroy();
    session.save().wait().unwrap();
    assert_eq!(watch.ended(), Some(SessionEnd::Destroyed(EndReason::Logout)));

    let (_session, _, watch) = watched(2);
    disk.store.destroy_sessions_of("user 2").wait().unwrap();
    assert_eq!(watch.ended(), Some(SessionEnd::Destroyed(EndReason::Revoked)));

    let (_session, _, watch) = watched(3);
    let (other, _) = saved(&disk.store, 4);
    other.sign_in("user 3").unwrap();
    other.save().wait().unwrap();
    assert_eq!(watch.ended(), Some(SessionEnd::Destroyed(EndReason::OwnerLimit)));

    let (_session, token, watch) = watched(5);
    disk.clock.advance(7 * DAY);
    assert!(disk.store.session(Some(&token)).unwrap().token().is_none());
    assert_eq!(watch.ended(), Some(SessionEnd::Expired), "noticed by a reader");

    let (_session, _, watch) = watched(6);
    disk.clock.advance(7 * DAY + 60 * SECOND);
    disk.store.sweep().wait().unwrap();
    assert_eq!(watch.ended(), Some(SessionEnd::Expired), "noticed by the sweeper");
}

#[test]
fn a_watch_follows_its_session_over_a_grace() {
    let disk = OnDisk::new();
    let (session, old) = saved(&disk.store, 1);
    let late = disk.store.session(Some(&old)).unwrap();
    let watches = [session.watch(), session.watch(), late.watch()].map(|watch| watch.unwrap().unwrap());
    session.rotate_with_grace();
    session.save().wait().unwrap();
    // Begun by a request that knows only the old token.
    let within = late.watch().unwrap().unwrap();
    for watch in watches.iter().chain([&within]) {
        assert_eq!(watch.ended(), None);
    }
    session.destroy();
    session.save().wait().unwrap();
    for watch in watches.iter().chain([&within]) {
        assert_eq!(watch.ended(), Some(SessionEnd::Destroyed(EndReason::Logout)));
    }
}

#[test]
fn a_watch_ends_with_a_token_that_is_replaced_without_a_grace() {
    type Replace = fn(&Session);
    let replace: [(&str, Replace); 3] = [
        ("rotate", Session::rotate),
        ("sign_in", |session| session.sign_in("ada").unwrap()),
        ("unbind_owner", Session::unbind_owner),
    ];
    for (name, replace) in replace {
        let disk = OnDisk::new();
        let (session, old) = saved(&disk.store, 1);
        let planted = disk.store.session(Some(&old)).unwrap();
        let stream = planted.watch().unwrap().unwrap();
        session.rotate_with_grace();
        session.save().wait().unwrap();
        let renewed = session.watch().unwrap().unwrap();
        assert_eq!((stream.ended(), renewed.ended()), (None, None), "{name}");
        replace(&session);
        session.save().wait().unwrap();
        assert_eq!((stream.ended(), renewed.ended()), (Some(SessionEnd::Rotated), Some(SessionEnd::Rotated)), "{name}");
        assert_eq!(planted.watch().unwrap().unwrap().ended(), Some(SessionEnd::Before), "{name}: the old token finds nothing");
        assert_eq!(session.watch().unwrap().unwrap().ended(), None, "{name}: the session goes on");
    }
}

/// An executor that polls a task within `wake`, on the thread that wakes it.
struct Inline {
    store: Store,
    owner: &'static str,
    listed: AtomicUsize,
}

impl Wake for Inline {
    fn wake(self: Arc<Self>) {
        // Takes the owner's lock, ends the session and watches another: all that a task may do.
        let listed = self.store.sessions_of(self.owner).unwrap().len();
        let session = self.store.session(None).unwrap();
        session.sign_in(self.owner).unwrap();
        session.save().wait().unwrap();
        drop(session.watch().unwrap());
        session.destroy();
        session.save().wait().unwrap();
        drop(self.store.subscribe());
        self.listed.store(listed + 1, Ordering::SeqCst);
    }
}

#[test]
fn a_waker_runs_under_no_lock_of_the_store() {
    type End = fn(&Store, &Session);
    let ends: [(&str, End); 4] = [
        ("destroy_sessions_of", |store, _| assert!(store.destroy_sessions_of("ada").wait().unwrap() > 0)),
        ("destroy", |_, session| {
            session.destroy();
            session.save().wait().unwrap();
        }),
        ("sign_in", |_, session| {
            session.sign_in("ada").unwrap();
            session.save().wait().unwrap();
        }),
        ("close", |store, _| store.close().unwrap()),
    ];
    for (name, end) in &ends[..3] {
        let disk = OnDisk::new();
        let (session, _) = saved(&disk.store, 1);
        session.sign_in("ada").unwrap();
        session.save().wait().unwrap();
        let inline = Arc::new(Inline { store: disk.store.clone(), owner: "ada", listed: AtomicUsize::new(0) });
        let waker = Waker::from(inline.clone());
        let mut watch = session.watch().unwrap().unwrap();
        let mut events = disk.store.subscribe();
        let mut event = pin!(events.recv());
        let mut context = Context::from_waker(&waker);
        assert!(Pin::new(&mut watch).poll(&mut context).is_pending() && event.as_mut().poll(&mut context).is_pending());
        end(&disk.store, &session);
        assert_eq!(inline.listed.load(Ordering::SeqCst), usize::from(*name == "sign_in") + 1, "{name}");
    }
    let (close, disk) = (ends[3].1, OnDisk::new());
    let (session, _) = saved(&disk.store, 1);
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    let mut watch = session.watch().unwrap().unwrap();
    assert!(Pin::new(&mut watch).poll(&mut Context::from_waker(&waker)).is_pending());
    close(&disk.store, &session);
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_session_that_is_not_stored_cannot_be_watched_and_one_that_ended_says_so() {
    let disk = OnDisk::new();
    assert!(disk.store.session(None).unwrap().watch().unwrap().is_none());
    let (session, token) = saved(&disk.store, 1);
    let other = disk.store.session(Some(&token)).unwrap();
    session.destroy();
    session.save().wait().unwrap();
    assert_eq!(other.watch().unwrap().unwrap().ended(), Some(SessionEnd::Before));
}

#[test]
fn a_watch_that_is_dropped_is_not_woken() {
    #[derive(Default)]
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let disk = OnDisk::new();
    let (session, _) = saved(&disk.store, 1);
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    let mut kept = pin!(session.watch().unwrap().unwrap());
    assert_eq!(kept.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Pending);
    {
        let mut dropped = pin!(session.watch().unwrap().unwrap());
        assert_eq!(dropped.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Pending);
    }
    session.destroy();
    session.save().wait().unwrap();
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    assert_eq!(kept.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Ready(SessionEnd::Destroyed(EndReason::Logout)));
}

#[test]
fn a_quiet_store_reports_the_end_of_a_session_by_time_wherever_it_is() {
    for memory_budget in [0, 16 << 20] {
        let settings = |builder: Builder| builder.sweep_interval(SECOND).idle_timeout(DAY).memory_budget(memory_budget);
        let disk = OnDisk::with(settings);
        let (in_redb, _) = saved(&disk.store, 1);
        disk.store.sweep().wait().unwrap();
        let (in_journal, _) = saved(&disk.store, 2);
        let in_memory = disk.store.session(None).unwrap();
        in_memory.insert("n", 3_u64).unwrap();
        in_memory.save_with(Durability::Quick).wait().unwrap();
        let sessions = [in_redb, in_journal, in_memory];
        let watches = sessions.each_ref().map(|session| session.watch().unwrap().unwrap());
        let mut events = disk.store.subscribe();
        disk.clock.advance(DAY);
        // They are neither read nor written.
        for watch in &watches {
            assert_eq!(watch.wait(20 * SECOND), Some(SessionEnd::Expired));
        }
        let mut reported: Vec<_> = (0..3).map(|_| events.wait(20 * SECOND)).collect();
        reported.sort_by_key(|event| format!("{event:?}"));
        let mut expected = sessions.each_ref().map(|session| Some(Event::Expired { handle: handle(session) })).to_vec();
        expected.sort_by_key(|event| format!("{event:?}"));
        assert_eq!(reported, expected);
        disk.store.flush().wait().unwrap();
        assert_eq!((disk.store.stats().sessions, disk.store.stats().disk_sessions), (0, 0));
        // Each once.
        disk.store.sweep().wait().unwrap();
        assert_eq!(events.try_next(), None);
    }
}
