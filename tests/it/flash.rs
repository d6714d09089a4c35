//! What `Builder::flash_friendly` writes: flash memory wears out with it.

use std::{collections::BTreeMap, time::Duration};

use sessile::{Store, Token, testing::ManualClock};
use sessile_fault_disk::{FaultDisk, IoKind};

/// 20 updates in each of the 10 seconds of an interval, over 100 sessions of some 600 bytes, for 20 minutes.
const SESSIONS: usize = 100;
const UPDATES: usize = 20 * 10;
const INTERVALS: usize = 120;

#[test]
fn flash_friendly_writes_little_more_than_what_changed_within_each_interval() {
    let (disk, clock) = (FaultDisk::new(0), ManualClock::default());
    let store = Store::builder().flash_friendly().clock(clock.clone()).open_on(&disk).unwrap();
    let tokens: Vec<Token> = (0..SESSIONS).map(|n| update(&store, None, n).0).collect();
    store.flush().wait().unwrap();
    let before = disk.counts();

    let (mut changed_bytes, mut random) = (0, 1_u64);
    for interval in 0..INTERVALS {
        let mut changed = BTreeMap::new();
        for n in 0..UPDATES {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let token = &tokens[usize::try_from(random >> 33).unwrap() % SESSIONS];
            let (_, bytes) = update(&store, Some(token), interval * UPDATES + n);
            changed.insert(token.expose(), bytes);
        }
        changed_bytes += changed.values().sum::<usize>();
        // Instead of waiting for the end of the interval.
        clock.advance(Duration::from_secs(10));
        store.flush().wait().unwrap();
    }
    // What is left for the close counts, too.
    store.close().unwrap();

    let after = disk.counts();
    let written = after.bytes_written - before.bytes_written;
    let changed_bytes = u64::try_from(changed_bytes).unwrap();
    let percent = written * 100 / changed_bytes;
    assert!(percent <= 200, "{written} bytes were written for {changed_bytes} that changed: {percent} %");
    let syncs = after.operations[&IoKind::Sync] - before.operations[&IoKind::Sync];
    assert!(syncs >= INTERVALS as u64, "only {syncs} syncs: the intervals were not written one by one");
}

/// Changes the session of `token`, or a new one. Returns its token and size.
#[track_caller]
fn update(store: &Store, token: Option<&Token>, n: usize) -> (Token, usize) {
    let session = store.session(token).unwrap();
    session.insert("data", format!("{n:0480}")).unwrap();
    session.save().wait().unwrap();
    (session.token().unwrap(), session.record_bytes())
}
