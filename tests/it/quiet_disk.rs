//! A disk that takes no writes, and a store that is closed: requests that only read are not disturbed.

use axum::{Router, extract::Path, http::StatusCode, routing::get};
use sessile::{Error, Keys, Session, SessionLayer, Store, testing::ManualClock};
use sessile_fault_disk::FaultDisk;

use crate::support::{Answer, DAY, ask, ask_with};

async fn act(Path(what): Path<String>, session: Session) -> Result<String, Error> {
    match what.as_str() {
        "set" => session.insert("n", 1_u64)?,
        "quick" => session.insert_quick("quick", 1_u64)?,
        "in" => session.sign_in("ada")?,
        "out" => session.sign_out(),
        _ => {}
    }
    Ok(session.get::<u64>("n")?.unwrap_or(0).to_string())
}

/// A store with three visitors, on a disk that is then full, or closed.
async fn refusing(is_closed: bool, sealed: bool) -> (Store, FaultDisk, ManualClock, Router, Vec<String>) {
    let (disk, clock) = (FaultDisk::new(0), ManualClock::default());
    let store = Store::builder().clock(clock.clone()).journal_bytes(192 << 10).open_on(&disk).unwrap();
    let mut layer = SessionLayer::new(store.clone());
    if sealed {
        layer = layer.sealed_cookies(&Keys::from([1; 32]), 1024).unwrap();
    }
    let app = Router::new().route("/{what}", get(act)).layer(layer);
    let mut visitors = Vec::new();
    for _ in 0..3 {
        let cookie = ask(&app, "/set", &[]).await.cookie();
        let renewed = ask_with(&app, "/read", &cookie).await;
        visitors.push(renewed.set_cookies().first().map_or(cookie, |set| set.split(';').next().unwrap().to_owned()));
    }
    if is_closed {
        store.close().unwrap();
    } else {
        disk.set_capacity(Some(disk.used_bytes()));
        let filler = |_| {
            let session = store.session(None).unwrap();
            session.insert("filler", "x".repeat(2000)).unwrap();
            session.save().wait()
        };
        assert!((0..1000).map(filler).any(|saved| saved.is_err()), "the disk does not fill up");
    }
    (store, disk, clock, app, visitors)
}

async fn each(app: &Router, path: &str, visitors: &[String]) -> Vec<Answer> {
    let mut answers = Vec::new();
    for visitor in visitors {
        answers.push(ask_with(app, path, visitor).await);
    }
    answers
}

#[tokio::test]
async fn a_page_that_only_reads_goes_out_whatever_the_disk_does() {
    for (is_closed, sealed) in [(false, false), (true, false), (false, true), (true, true)] {
        let (store, _disk, clock, app, mut visitors) = refusing(is_closed, sealed).await;
        for _ in 0..10 {
            // Each of these is due to be written.
            clock.advance(2 * DAY);
            for path in ["/read", "/quick"] {
                let answers = each(&app, path, &visitors).await;
                for (answer, visitor) in answers.iter().zip(&mut visitors) {
                    let found = (answer.status, answer.body.as_str());
                    assert_eq!(
                        found,
                        (StatusCode::OK, "1"),
                        "{path}, closed {is_closed}, sealed {sealed}: the session goes on"
                    );
                    // The cookie is still renewed.
                    let moves = answer.set_cookies().iter().any(|cookie| cookie.contains("Max-Age=756000"));
                    assert!(moves || sealed || path == "/quick", "closed {is_closed}");
                    if !answer.set_cookies().is_empty() {
                        *visitor = answer.cookie();
                    }
                }
            }
        }
        if !sealed {
            let written = each(&app, "/set", &visitors).await;
            assert!(written.iter().all(|answer| answer.status.is_server_error()), "a change is not stored, and reports it");
            let sessions = store.stats().sessions;
            assert!(ask(&app, "/in", &[]).await.status.is_server_error());
            assert_eq!(store.stats().sessions, sessions);
        }
    }
}

#[tokio::test]
async fn what_stayed_in_memory_while_the_disk_was_full_is_written_when_it_has_room() {
    let (store, disk, clock, app, visitors) = refusing(false, false).await;
    for _ in 0..4 {
        clock.advance(2 * DAY);
        each(&app, "/read", &visitors).await;
    }
    disk.set_capacity(None);
    disk.heal();
    let session = store.session(None).unwrap();
    session.insert("n", 2_u64).unwrap();
    // The store notices by itself that there is room; until then a commit reports an error.
    while session.save().wait().is_err() {
        std::thread::yield_now();
    }
    clock.advance(DAY);
    assert!(each(&app, "/read", &visitors).await.iter().all(|answer| answer.status == StatusCode::OK));
    store.close().unwrap();
    let store = Store::builder().clock(clock).open_on(&disk).unwrap();
    let app = Router::new().route("/{what}", get(act)).layer(SessionLayer::new(store));
    for answer in each(&app, "/read", &visitors).await {
        assert_eq!(answer.body, "1", "nine days after its last write that the disk took before");
    }
}
