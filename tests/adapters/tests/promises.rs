//! What every adapter guarantees beyond the contract: when commits are durable, how it handles a full or closed disk, and its
//! limits.

use std::time::{Duration, Instant};

use sessile::{Builder, Durability, Error, OwnerLimit, testing::ManualClock};
use sessile_fault_disk::FaultDisk;
use session_store_contract::{Data, Failure};

use crate::support::{Adapter, OnDisk, error_text};

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

for_each_adapter! {
    an_end_that_moves_fails_no_request_while_the_disk_is_full
    an_end_that_moves_fails_no_request_of_a_closed_store
    an_end_that_comes_nearer_is_durable_when_it_is_acknowledged
    an_end_that_moves_is_on_disk_after_a_tenth_of_the_time
    a_save_that_is_acknowledged_is_durable
    a_store_holds_no_more_sessions_than_it_may
    a_session_that_is_over_and_only_on_disk_is_never_served_again
    a_record_that_cannot_be_read_is_no_session_and_hides_no_new_one
    a_record_that_a_later_release_wrote_is_replaced_by_nothing
    keys_of_every_kind_come_back_and_longer_ones_than_a_mebibyte_are_refused
    keys_have_the_limits_that_the_application_set
    a_value_and_a_session_that_are_too_large_are_refused_by_their_limit
    a_key_limit_that_was_lowered_refuses_no_save_that_leaves_the_key_alone
    a_save_that_stored_nothing_is_an_error_and_counted
}

/// A clock on a whole second: axum_session rounds to seconds.
fn clock() -> ManualClock {
    ManualClock::at(std::time::UNIX_EPOCH + Duration::from_hours(500_000))
}

fn durable<A: Adapter>(disk: &FaultDisk) -> A {
    A::over(OnDisk::at(disk, clock(), |builder| builder.durability(Durability::Durable)))
}

/// What a power cut leaves of the adapter's store, at the same time of day.
fn after_power_cut<A: Adapter>(adapter: &A, disk: &FaultDisk) -> A {
    A::over(OnDisk::at(&disk.crash(1), ManualClock::at(adapter.disk().now()), |builder| builder))
}

fn values(name: &str) -> Data {
    Data::from([("name".to_owned(), format!("{name:?}")), ("visits".to_owned(), "1".to_owned())])
}

/// Moves the deadline by each call that the adapter has for it.
fn move_end<A: Adapter>(adapter: &A, id: &A::Id, data: &Data, life: Duration) -> Result<(), Failure> {
    adapter.touch(id, life).unwrap_or(Ok(()))?;
    adapter.save(id, data, life)
}

fn fill<A: Adapter>(adapter: &A, disk: &FaultDisk) {
    disk.set_capacity(Some(disk.used_bytes()));
    let long = Data::from([("long".to_owned(), format!("{:?}", "x".repeat(2000)))]);
    let refused = (0..1000).any(|_| adapter.create(&long, HOUR).is_err());
    assert!(refused, "the disk is full");
}

fn an_end_that_moves_fails_no_request_while_the_disk_is_full<A: Adapter>() {
    let disk = FaultDisk::new(0);
    let adapter: A = durable(&disk);
    let id = adapter.create(&values("Ada"), HOUR).unwrap();
    fill(&adapter, &disk);
    // A tenth of the time later, it would be written.
    for _ in 0..10 {
        adapter.advance(10 * MINUTE);
        move_end(&adapter, &id, &values("Ada"), HOUR).expect("the page goes out");
        assert_eq!(adapter.load(&id).unwrap(), Some(values("Ada")));
    }
    assert!(adapter.save(&id, &values("Grace"), HOUR).is_err(), "a value that cannot be stored is an error");
    assert!(adapter.save(&id, &values("Ada"), MINUTE).is_err(), "and a session that should end sooner");
    disk.heal();
    let began = Instant::now();
    while adapter.store().flush().wait().is_err() || adapter.store().stats().degraded {
        assert!(began.elapsed() < Duration::from_secs(10), "the disk has room again");
        std::thread::yield_now();
    }
    adapter.advance(30 * MINUTE);
    assert_eq!(after_power_cut(&adapter, &disk).load(&id).unwrap(), Some(values("Ada")), "then the end is written");
}

fn an_end_that_moves_fails_no_request_of_a_closed_store<A: Adapter>() {
    let disk = FaultDisk::new(0);
    let adapter: A = durable(&disk);
    let id = adapter.create(&values("Ada"), HOUR).unwrap();
    adapter.store().close().unwrap();
    adapter.advance(10 * MINUTE);
    move_end(&adapter, &id, &values("Ada"), HOUR).expect("the page goes out");
    assert!(adapter.save(&id, &values("Grace"), HOUR).is_err());
}

fn an_end_that_comes_nearer_is_durable_when_it_is_acknowledged<A: Adapter>() {
    let disk = FaultDisk::new(0);
    let adapter: A = durable(&disk);
    for touches in [false, true] {
        let id = adapter.create(&values("Ada"), HOUR).unwrap();
        let moved = if touches { adapter.touch(&id, MINUTE) } else { Some(adapter.save(&id, &values("Ada"), MINUTE)) };
        let Some(moved) = moved else { continue };
        moved.unwrap();
        let found = after_power_cut(&adapter, &disk);
        assert!(found.load(&id).unwrap().is_some());
        found.advance(MINUTE);
        assert_eq!(found.load(&id).unwrap(), None, "touched: {touches}");
    }
}

fn an_end_that_moves_is_on_disk_after_a_tenth_of_the_time<A: Adapter>() {
    for (seconds, is_written) in [(359, false), (360, true)] {
        let disk = FaultDisk::new(0);
        let adapter: A = durable(&disk);
        let id = adapter.create(&values("Ada"), HOUR).unwrap();
        adapter.advance(Duration::from_secs(seconds));
        move_end(&adapter, &id, &values("Ada"), HOUR).unwrap();
        // A group of commits writes everything that is queued, and nothing that stays in memory.
        adapter.create(&values("Grace"), HOUR).unwrap();
        let found = after_power_cut(&adapter, &disk);
        found.advance(Duration::from_secs(3600 - seconds));
        assert_eq!(found.load(&id).unwrap().is_some(), is_written, "after {seconds} s");
    }
}

fn a_save_that_is_acknowledged_is_durable<A: Adapter>() {
    let disk = FaultDisk::new(0);
    let adapter: A = durable(&disk);
    let id = adapter.create(&values("Ada"), HOUR).unwrap();
    assert_eq!(after_power_cut(&adapter, &disk).load(&id).unwrap(), Some(values("Ada")));
    adapter.save(&id, &values("Grace"), HOUR).unwrap();
    assert_eq!(after_power_cut(&adapter, &disk).load(&id).unwrap(), Some(values("Grace")));
    adapter.delete(&id).unwrap();
    assert_eq!(after_power_cut(&adapter, &disk).load(&id).unwrap(), None);
}

fn a_store_holds_no_more_sessions_than_it_may<A: Adapter>() {
    let adapter = A::over(OnDisk::at(&FaultDisk::new(0), clock(), |builder| builder.max_sessions(10)));
    for n in 0..50 {
        let id = adapter.create(&values(&n.to_string()), HOUR).unwrap();
        assert!(adapter.load(&id).unwrap().is_some(), "a new session takes the place of an old one");
        // What is not on disk yet is not evicted.
        adapter.store().flush().wait().unwrap();
        assert!(adapter.store().stats().sessions <= 10, "{} sessions", adapter.store().stats().sessions);
    }
}

fn a_session_that_is_over_and_only_on_disk_is_never_served_again<A: Adapter>() {
    let disk = FaultDisk::new(0);
    let adapter: A = durable(&disk);
    let id = adapter.create(&values("Ada"), MINUTE).unwrap();
    adapter.store().close().unwrap();
    let found = after_power_cut(&adapter, &disk);
    found.advance(2 * MINUTE);
    assert_eq!(found.store().stats().disk_sessions, 1, "it was not swept");
    begins_anew(&found, &id);
    assert_eq!(found.store().stats().sessions, found.store().stats().disk_sessions);
}

/// Creates a session in place of one that is gone: under its id if the client chooses the id, else under another.
fn begins_anew<A: Adapter>(adapter: &A, id: &A::Id) {
    if A::SAVE_CREATES {
        adapter.save(id, &values("Grace"), HOUR).unwrap();
        assert_eq!(adapter.load(id).unwrap(), Some(values("Grace")));
    } else if let Some(created) = adapter.create_at(id, &values("Grace"), HOUR) {
        let created = created.unwrap();
        assert_ne!(created, *id, "a client with the old id finds another visitor's session");
        assert_eq!(adapter.load(&created).unwrap(), Some(values("Grace")));
        assert_eq!(adapter.load(id).unwrap(), None);
    }
    adapter.store().flush().wait().unwrap();
}

fn a_record_that_cannot_be_read_is_no_session_and_hides_no_new_one<A: Adapter>() {
    let disk = FaultDisk::new(0);
    let adapter: A = durable(&disk);
    let id = adapter.create(&values("a name that is in the file once"), HOUR).unwrap();
    adapter.store().close().unwrap();
    let mut bytes = disk.contents("store").unwrap();
    let name = b"a name that is in the file once";
    let at = bytes.windows(name.len()).position(|window| window == name).expect("it is in the file");
    bytes[at] ^= 1;
    disk.replace("store", &bytes);
    let found = after_power_cut(&adapter, &disk);
    // Before it is read: a damaged record is put aside soon after a read.
    begins_anew(&found, &id);
    if !A::SAVE_CREATES {
        assert_eq!(found.load(&id).unwrap(), None);
    }
    assert!(found.store().stats().corrupt > 0);
}

fn a_record_that_a_later_release_wrote_is_replaced_by_nothing<A: Adapter>() {
    const NAME: &str = "a name that is in the file once";
    /// Sets the format of the records with format `from`.
    fn set_format(disk: &FaultDisk, from: u8, to: u8) {
        let mut bytes = disk.contents("store").unwrap();
        let find = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).rposition(|window| window == what);
        let at = find(&bytes, NAME.as_bytes()).expect("it is in the file");
        let format = find(&bytes[..at], b"sesl").expect("its record begins before") + 4;
        assert_eq!(std::mem::replace(&mut bytes[format], to), from);
        disk.replace("store", &bytes);
    }
    let disk = FaultDisk::new(0);
    let adapter: A = durable(&disk);
    let id = adapter.create(&values(NAME), HOUR).unwrap();
    adapter.store().close().unwrap();
    set_format(&disk, 1, 2);
    let disk = disk.crash(1);
    let rolled_back: A = durable(&disk);
    if A::SAVE_CREATES {
        let text = error_text(&rolled_back.save(&id, &values("Grace"), HOUR).expect_err("a later release reads it"));
        assert!(text.contains("record format is 2, this build reads 1"), "{text}");
    } else if let Some(created) = rolled_back.create_at(&id, &values("Grace"), HOUR) {
        assert_ne!(created.unwrap(), id);
    }
    rolled_back.store().close().unwrap();
    set_format(&disk, 2, 1);
    let again: A = durable(&disk.crash(1));
    assert_eq!(again.load(&id).unwrap(), Some(values(NAME)));
}

fn with_key(key: &str) -> Data {
    Data::from([(key.to_owned(), "1".to_owned()), ("name".to_owned(), "\"Ada\"".to_owned())])
}

#[track_caller]
fn is_refused_for<T: std::fmt::Debug>(limit: usize, result: Result<T, Failure>) {
    let text = error_text(&result.expect_err("it is longer than allowed"));
    assert!(text.contains(&format!("1 to {limit} are allowed")) && text.contains("key limit"), "{text}");
}

fn keys_of_every_kind_come_back_and_longer_ones_than_a_mebibyte_are_refused<A: Adapter>() {
    const MOST: usize = 1 << 20;
    let disk = FaultDisk::new(0);
    let adapter = A::over(OnDisk::at(&disk, clock(), |builder| builder.record_limit(8 << 20)));
    let known = adapter.create(&values("Ada"), HOUR).unwrap();
    let long = |begin: &str, bytes: usize| format!("{begin}{}", "k".repeat(bytes - begin.len()));
    let odd = ["", "\0", "\0\0", "\0a", "a\0b", "sessile.", "sessile.label", "sessile.table", "\0sessile.table", "session"];
    let odd = odd.map(str::to_owned);
    let lengths = [255, 256, 257, 65_535, 65_536, MOST];
    let long_ones = lengths.iter().flat_map(|bytes| ["", "\0", "sessile."].map(|begin| long(begin, *bytes)));
    let mut kept = Vec::new();
    for key in odd.into_iter().chain(long_ones) {
        let data = with_key(&key);
        let id = adapter.create(&data, HOUR).unwrap();
        adapter.save(&known, &data, HOUR).unwrap();
        for id in [&id, &known] {
            assert!(adapter.load(id).unwrap().as_ref() == Some(&data), "{} bytes: {:?}", key.len(), key.get(..10));
        }
        kept.push((id, data));
    }
    adapter.store().flush().wait().unwrap();
    let found = A::over(OnDisk::at(&disk.crash(1), clock(), |builder| builder.record_limit(8 << 20)));
    for (id, data) in &kept {
        assert!(found.load(id).unwrap().as_ref() == Some(data));
    }
    if !A::IS_ONE_TEXT {
        for key in [long("", MOST + 1), long("\0", MOST + 1), long("sessile.", MOST + 1), long("", 3 * MOST)] {
            is_refused_for(MOST, found.create(&with_key(&key), HOUR));
            is_refused_for(MOST, found.save(&known, &with_key(&key), HOUR));
            assert!(
                found.load(&known).unwrap() == kept.last().map(|(_, data)| data.clone()),
                "a save that is refused changes nothing"
            );
        }
    }
}

fn keys_have_the_limits_that_the_application_set<A: Adapter>() {
    let limited = A::over(OnDisk::at(&FaultDisk::new(0), clock(), |builder| builder.key_limit(300)));
    let known = limited.create(&values("Ada"), HOUR).unwrap();
    for begin in ["", "\0", "sessile."] {
        let key = |bytes: usize| format!("{begin}{}", "k".repeat(bytes - begin.len()));
        limited.create(&with_key(&key(300)), HOUR).unwrap();
        limited.save(&known, &with_key(&key(300)), HOUR).unwrap();
        assert_eq!(limited.load(&known).unwrap(), Some(with_key(&key(300))));
        if !A::IS_ONE_TEXT {
            is_refused_for(300, limited.create(&with_key(&key(301)), HOUR));
            is_refused_for(300, limited.save(&known, &with_key(&key(301)), HOUR));
        }
    }
    let limited = A::over(OnDisk::at(&FaultDisk::new(0), clock(), |builder| builder.keys_limit(4)));
    let keys = |n: usize| (0..n).map(|key| (key.to_string(), "1".to_owned())).collect::<Data>();
    let id = limited.create(&keys(4), HOUR).unwrap();
    if !A::IS_ONE_TEXT {
        for refused in [limited.create(&keys(5), HOUR).map(drop), limited.save(&id, &keys(5), HOUR)] {
            let text = error_text(&refused.unwrap_err());
            assert!(text.contains("5 keys, at most 4 are allowed") && text.contains("keys limit"), "{text}");
        }
    }
    let unlimited = A::over(OnDisk::at(&FaultDisk::new(0), clock(), |builder| builder));
    let id = unlimited.create(&keys(5000), HOUR).unwrap();
    assert_eq!(unlimited.load(&id).unwrap(), Some(keys(5000)));
}

fn a_value_and_a_session_that_are_too_large_are_refused_by_their_limit<A: Adapter>() {
    let limited = A::over(OnDisk::at(&FaultDisk::new(0), clock(), |builder| builder.record_limit(10_000)));
    let known = limited.create(&values("Ada"), HOUR).unwrap();
    let half = |n: u32| (n.to_string(), format!("{:?}", "x".repeat(6000)));
    let whole = Data::from([("whole".to_owned(), format!("{:?}", "x".repeat(12_000)))]);
    for data in [Data::from([half(1), half(2)]), whole] {
        for refused in [limited.create(&data, HOUR).map(drop), limited.save(&known, &data, HOUR)] {
            let text = error_text(&refused.unwrap_err());
            assert!(text.contains("at most 10000 are allowed") && text.contains("record limit"), "{text}");
        }
    }
    assert_eq!(limited.load(&known).unwrap(), Some(values("Ada")));
}

fn a_key_limit_that_was_lowered_refuses_no_save_that_leaves_the_key_alone<A: Adapter>() {
    let disk = FaultDisk::new(0);
    let adapter: A = durable(&disk);
    let key = "k".repeat(300);
    let mut data = with_key(&key);
    let id = adapter.create(&data, HOUR).unwrap();
    adapter.store().close().unwrap();
    let found = A::over(OnDisk::at(&disk.crash(1), clock(), |builder| builder.key_limit(100)));
    found.advance(MINUTE);
    move_end(&found, &id, &data, HOUR).expect("the page goes out");
    data.insert("name".to_owned(), "\"Grace\"".to_owned());
    assert_eq!(found.load(&id).unwrap().map(|data| data.len()), Some(2));
    found.save(&id, &data, HOUR).unwrap();
    assert_eq!(found.load(&id).unwrap().as_ref(), Some(&data));
    if !A::IS_ONE_TEXT {
        let mut changed = data.clone();
        changed.insert(key.clone(), "2".to_owned());
        is_refused_for(100, found.save(&id, &changed, HOUR));
    }
    data.remove(&key);
    found.save(&id, &data, HOUR).unwrap();
    assert_eq!(found.load(&id).unwrap(), Some(data));
}

/// How a session ends while a request with it runs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Deleted,
    OwnerSignedOutEverywhere,
    OwnerBeganAnother,
    TimeIsOver,
}

impl End {
    const ALL: [Self; 4] = [Self::Deleted, Self::OwnerSignedOutEverywhere, Self::OwnerBeganAnother, Self::TimeIsOver];

    fn happen<A: Adapter>(self, adapter: &A, id: &A::Id) {
        match self {
            Self::Deleted => adapter.delete(id).unwrap(),
            Self::OwnerSignedOutEverywhere => assert_eq!(adapter.store().destroy_sessions_of("\"Ada\"").wait().unwrap(), 1),
            Self::OwnerBeganAnother => drop(adapter.create(&values("Ada"), HOUR).unwrap()),
            Self::TimeIsOver => adapter.advance(2 * HOUR),
        }
    }
}

fn a_save_that_stored_nothing_is_an_error_and_counted<A: Adapter>() {
    let settings = |builder: Builder| builder.sessions_per_owner(1, OwnerLimit::EvictOldest);
    let adapter = A::over(OnDisk::at(&FaultDisk::new(0), clock(), settings)).owned_by("name");
    for end in End::ALL {
        for sweeps in [false, true] {
            let id = adapter.create(&values("Ada"), HOUR).unwrap();
            let mut data = adapter.load(&id).unwrap().unwrap();
            end.happen(&adapter, &id);
            if sweeps {
                adapter.store().sweep().wait().unwrap();
            }
            let before = adapter.store().stats();
            data.insert("more".to_owned(), "1".to_owned());
            let saved = adapter.save(&id, &data, HOUR);
            let dropped = adapter.store().stats().dropped_commits - before.dropped_commits;
            if A::SAVE_CREATES && end == End::TimeIsOver {
                saved.expect("the client keeps the id for its next session");
                assert_eq!((dropped, adapter.load(&id).unwrap()), (0, Some(data)));
                continue;
            }
            // For the reason, see the documentation of `AxumSessionPool`.
            if A::IS_ONE_TEXT {
                saved.expect("an error would keep the session in the crate's memory");
            } else {
                let text = error_text(&saved.expect_err("nothing was stored"));
                assert!(text.contains(&Error::SessionEnded.to_string()), "{end:?}: {text}");
            }
            assert_eq!((dropped, adapter.store().stats().sessions), (1, before.sessions), "{end:?}");
            assert_eq!(adapter.load(&id).unwrap(), None, "{end:?}");
        }
    }
}
