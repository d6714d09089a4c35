//! Opening a store: an existing file, what is wrong with it, and another process that has it open.

use std::{fs, thread, time::Duration};

use sessile::{Error, OwnerLimit, Store};

use crate::support::{OnDisk, n_of, saved};

#[test]
fn a_second_open_is_told_so() {
    let disk = OnDisk::new();
    let path = disk.dir.path().join("sessions.redb");
    let error = Store::open(&path).unwrap_err();
    assert!(matches!(&error, Error::AlreadyOpen { path: found } if *found == path), "{error}");
    assert!(error.is_transient());
}

#[test]
fn a_second_open_waits_for_the_hand_over() {
    let disk = OnDisk::new();
    let (_, token) = saved(&disk.store, 1);
    let path = disk.dir.path().join("sessions.redb");
    let waiting = thread::spawn({
        let clock = disk.clock.clone();
        move || Store::builder().clock(clock).wait_for_lock(Duration::from_mins(1)).open(path)
    });
    while !waiting.is_finished() {
        // However long the other side has waited, it gets the file only here.
        thread::yield_now();
        disk.store.close().unwrap();
    }
    assert_eq!(n_of(&waiting.join().unwrap().unwrap(), &token), Some(1));
}

#[test]
fn an_emptied_file_is_not_a_new_store() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sessions.redb");
    fs::write(&path, b"").unwrap();
    assert!(matches!(Store::open(&path), Err(Error::EmptyFile { .. })));
    assert_eq!(fs::metadata(&path).unwrap().len(), 0, "it is left alone");
}

#[test]
fn other_files_are_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("notes.txt");
    fs::write(&text, "not a database".repeat(1000)).unwrap();
    let before = fs::read(&text).unwrap();
    assert!(matches!(Store::open(&text), Err(Error::Open { .. })));
    assert_eq!(fs::read(&text).unwrap(), before);

    let other = dir.path().join("other.redb");
    drop(redb::Database::create(&other).unwrap());
    assert!(matches!(Store::open(&other), Err(Error::NotAStore { .. })));
}

#[test]
fn a_store_of_another_format_is_refused_by_its_number() {
    let disk = OnDisk::new();
    disk.store.close().unwrap();
    let path = disk.dir.path().join("sessions.redb");
    {
        let db = redb::Database::open(&path).unwrap();
        let write = db.begin_write().unwrap();
        let meta = redb::TableDefinition::<&str, &[u8]>::new("meta");
        write.open_table(meta).unwrap().insert("format", 9_u32.to_le_bytes().as_slice()).unwrap();
        write.commit().unwrap();
    }
    let error = Store::open(&path).unwrap_err();
    assert!(matches!(error, Error::StoreFormat { found: 9, expected: 2, .. }), "{error}");
}

#[test]
fn a_missing_directory_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let error = Store::open(dir.path().join("missing").join("sessions.redb")).unwrap_err();
    assert!(matches!(error, Error::Open { .. }));
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("No such file"), "{error:?}");
}

#[test]
fn many_threads_that_open_a_new_store_at_once_agree_on_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sessions.redb");
    let tokens: Vec<_> = thread::scope(|scope| {
        let open = || {
            let store = Store::builder().wait_for_lock(Duration::from_mins(1)).open(&path).unwrap();
            saved(&store, 1).1
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let store = Store::open(&path).unwrap();
    for token in tokens {
        assert_eq!(n_of(&store, &token), Some(1));
    }
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["sessions.redb"], "no draft is left");
}

#[test]
fn a_closed_store_says_so() {
    let disk = OnDisk::new();
    let (session, _) = saved(&disk.store, 1);
    disk.store.close().unwrap();
    disk.store.close().unwrap();
    session.insert("n", 2_u64).unwrap();
    assert!(matches!(session.save().wait(), Err(Error::Closed)));
    assert!(matches!(disk.store.flush().wait(), Err(Error::Closed)));
}

#[test]
fn a_setting_without_a_sensible_meaning_is_refused_by_its_name_before_a_file_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sessions.redb");
    let (new, short) = (Store::builder, Duration::from_micros(999));
    for (builder, name, range) in [
        (new().idle_timeout(short), "`idle_timeout` is 999µs", "at least 1ms"),
        (new().absolute_timeout(Duration::from_nanos(1)), "`absolute_timeout` is 1ns", "at least 1ms"),
        (new().unconfirmed_timeout(Duration::ZERO), "`unconfirmed_timeout` is 0ns", "at least 1ms"),
        (new().commit_timeout(Duration::ZERO), "`commit_timeout` is 0ns", "at least 1ms"),
        (new().sweep_interval(Duration::ZERO), "`sweep_interval` is 0ns", "at least 1s"),
        (new().sweep_interval(Duration::from_millis(999)), "`sweep_interval` is 999ms", "at least 1s"),
        (new().sessions_per_owner(0, OwnerLimit::Refuse), "`sessions_per_owner` is 0", "at least 1"),
        (new().max_sessions(0), "`max_sessions` is 0", "at least 1"),
        (new().max_disk_bytes(0), "`max_disk_bytes` is 0", "at least 1048576"),
        (new().max_disk_bytes((1 << 20) - 1), "`max_disk_bytes` is 1048575", "at least 1048576"),
        (new().journal_bytes((192 << 10) - 1), "`journal_bytes` is 196607", "196608 to 8589934592"),
        (new().journal_bytes((8 << 30) + 1), "`journal_bytes` is 8589934593", "196608 to 8589934592"),
        (new().record_limit(255), "`record_limit` is 255", "256 to 1073741824"),
        (new().record_limit((1 << 30) + 1), "`record_limit` is 1073741825", "256 to 1073741824"),
        (new().keys_limit(0), "`keys_limit` is 0", "at least 1"),
        (new().key_limit(15), "`key_limit` is 15", "16 to 1048576"),
        (new().key_limit((1 << 20) + 1), "`key_limit` is 1048577", "16 to 1048576"),
    ] {
        let Err(error @ Error::Config { .. }) = builder.open(&path) else { panic!("{name} was taken") };
        let text = error.to_string();
        assert!(text.contains(name) && text.contains(range), "{text}");
        assert!(!path.exists(), "{name}");
    }
}

#[test]
fn a_setting_at_the_end_of_its_range_is_taken() {
    let (new, long) = (Store::builder, Duration::from_millis(1));
    for builder in [
        new().idle_timeout(long).absolute_timeout(long).unconfirmed_timeout(long).commit_timeout(long),
        new().sweep_interval(Duration::from_secs(1)).max_sessions(1).max_disk_bytes(1 << 20).keys_limit(1),
        new().journal_bytes(192 << 10).record_limit(256).key_limit(16).sessions_per_owner(1, OwnerLimit::Refuse),
        new().journal_bytes(8 << 30).record_limit(1 << 30).key_limit(1 << 20),
        new().idle_timeout(Duration::MAX).absolute_timeout(Duration::MAX).unconfirmed_timeout(Duration::MAX),
        new().sweep_interval(Duration::MAX).commit_timeout(Duration::MAX).flush_interval(Duration::MAX),
        new().flush_interval(Duration::ZERO).memory_budget(0).disk_cache(0).rotation_grace(Duration::ZERO),
    ] {
        builder.open_in_memory().unwrap().close().unwrap();
    }
}
