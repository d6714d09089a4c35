//! Backups of a store that is in use, and stores that are restored from them.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use sessile::{Error, Session, Store, Token, testing};

use crate::support::{OnDisk, saved};

fn n(store: &Store, token: &Token) -> Option<u64> {
    store.session(Some(token)).unwrap().get("n").unwrap()
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(directory).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_backup_has_what_was_committed_before_and_nothing_after() {
    let disk = OnDisk::new();
    let (_, kept) = saved(&disk.store, 1);
    let (gone, ended) = saved(&disk.store, 2);
    gone.destroy();
    gone.save().wait().unwrap();
    // In memory only, so far.
    let quick = disk.store.session(None).unwrap();
    quick.insert_quick("n", 3).unwrap();
    quick.save().wait().unwrap();
    let signed_in = disk.store.session(None).unwrap();
    signed_in.sign_in("ada").unwrap();
    signed_in.set_label("laptop").unwrap();
    signed_in.save().wait().unwrap();

    let to = disk.dir.path().join("backup.redb");
    let backup = disk.store.backup(&to).unwrap();
    assert_eq!((backup.sessions, backup.damaged, backup.moment), (3, 0, Some(disk.store.now())));
    assert_eq!(backup.file_bytes, to.metadata().unwrap().len());
    let (_, later) = saved(&disk.store, 4);
    let session = disk.store.session(Some(&kept)).unwrap();
    session.insert("n", 5).unwrap();
    session.save().wait().unwrap();

    let restored = Store::builder().clock(disk.clock.clone()).open(&to).unwrap();
    assert_eq!(restored.backup_moment(), backup.moment);
    assert_eq!([&kept, &ended, &later].map(|token| n(&restored, token)), [Some(1), None, None]);
    assert_eq!(n(&restored, &quick.token().unwrap()), Some(3));
    assert_eq!(restored.sessions_of("ada").unwrap()[0].label.as_deref(), Some("laptop"));
    assert_eq!((restored.stats().sessions, disk.store.backup_moment()), (3, None));
}

/// One writer sets the sessions in turn to 1, 2, 3 and so on. A copy of one moment has, with the greatest number in it, all the
/// numbers that were the last ones then.
#[test]
fn a_backup_is_of_one_moment_while_commits_and_checkpoints_go_on() {
    // Several times what the journal holds, so that records move from it to the database all the time.
    const SESSIONS: u64 = 1000;
    let disk = OnDisk::with(|builder| builder.journal_bytes(192 << 10));
    let sessions: Vec<(Session, Token)> = (0..SESSIONS).map(|n| saved(&disk.store, n)).collect();
    let (stop, written) = (AtomicBool::new(false), AtomicU64::new(SESSIONS - 1));
    thread::scope(|scope| {
        // Also when an assertion fails, or the writer would never end.
        let _stop = StopOnDrop(&stop);
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let next = written.load(Ordering::Relaxed) + 1;
                let session = disk.store.session(Some(&sessions[usize::try_from(next % SESSIONS).unwrap()].1)).unwrap();
                session.insert("n", next).unwrap();
                session.insert("padding", "x".repeat(600)).unwrap();
                session.save().wait().unwrap();
                written.store(next, Ordering::Relaxed);
            }
        });
        for nth in 0..10 {
            let to = disk.dir.path().join(format!("backup-{nth}.redb"));
            let before = written.load(Ordering::Relaxed);
            while written.load(Ordering::Relaxed) < before + 100 {
                thread::yield_now();
            }
            let before = written.load(Ordering::Relaxed);
            assert_eq!(disk.store.backup(&to).unwrap().sessions, SESSIONS);
            let copy = Store::builder().clock(disk.clock.clone()).open(&to).unwrap();
            let mut found: Vec<u64> = sessions.iter().map(|(_, token)| n(&copy, token).unwrap()).collect();
            found.sort_unstable();
            let last = *found.last().unwrap();
            assert!(last >= before, "{last} is older than the call, at {before}");
            assert!(found.into_iter().eq(last + 1 - SESSIONS..=last), "of several moments");
        }
    });
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_restored_store_goes_on_by_itself() {
    let disk = OnDisk::new();
    let (_, token) = saved(&disk.store, 1);
    let (backup, to) = (disk.dir.path().join("backup.redb"), disk.dir.path().join("restored.redb"));
    disk.store.backup(&backup).unwrap();
    let builder = || Store::builder().clock(disk.clock.clone());
    assert_eq!(builder().restore(&backup, &to).unwrap().sessions, 1);
    let restored = builder().open(&to).unwrap();
    let session = restored.session(Some(&token)).unwrap();
    session.insert("n", 2).unwrap();
    session.save().wait().unwrap();
    restored.close().unwrap();
    assert_eq!(n(&builder().open(&to).unwrap(), &token), Some(2));
    assert_eq!(n(&builder().open(&backup).unwrap(), &token), Some(1), "the backup stays as it was");
    // The file of the restored store is no backup of that moment any more.
    assert_eq!(builder().restore(&to, disk.dir.path().join("third.redb")).unwrap().moment, None);
    // A backup of the restored store is of its own moment.
    disk.clock.advance(std::time::Duration::from_mins(1));
    let (restored, again) = (builder().open(&to).unwrap(), disk.dir.path().join("again.redb"));
    assert_eq!(restored.backup(&again).unwrap().moment, Some(disk.store.now()));
}

#[test]
fn a_backup_beside_a_journal_is_an_error() {
    let disk = OnDisk::new();
    let (_, token) = saved(&disk.store, 1);
    let backup = disk.dir.path().join("backup.redb");
    disk.store.backup(&backup).unwrap();
    let session = disk.store.session(Some(&token)).unwrap();
    session.insert("n", 2).unwrap();
    session.save().wait().unwrap();
    // As after a kill: the file and its journal; and somebody puts the backup in the file's place.
    let killed = tempfile::tempdir().unwrap();
    for name in names(disk.dir.path()).iter().filter(|name| name.starts_with("sessions")) {
        fs::copy(disk.dir.path().join(name), killed.path().join(name)).unwrap();
    }
    fs::copy(&backup, killed.path().join("sessions.redb")).unwrap();
    let opened = Store::builder().clock(disk.clock.clone()).open(killed.path().join("sessions.redb"));
    assert!(matches!(opened, Err(Error::JournalMismatch { .. })), "{opened:?}");
    // Nor is a store restored beside a journal.
    fs::remove_file(killed.path().join("sessions.redb")).unwrap();
    let restored = Store::builder().restore(&backup, killed.path().join("sessions.redb"));
    assert!(matches!(restored, Err(Error::ForeignJournal { .. })), "{restored:?}");
}

#[test]
fn a_backup_replaces_nothing_and_what_is_no_store_is_not_restored() {
    let disk = OnDisk::new();
    saved(&disk.store, 1);
    let path = |name: &str| disk.dir.path().join(name);
    fs::write(path("notes"), "my notes").unwrap();
    let before = names(disk.dir.path());
    assert!(matches!(disk.store.backup(path("notes")), Err(Error::Backup { .. })));
    assert!(matches!(disk.store.backup(path("sessions.redb")), Err(Error::Backup { .. })));
    assert!(matches!(disk.store.backup(path("missing/backup")), Err(Error::Open { .. } | Error::Backup { .. })));
    let restore = |from: &str| Store::builder().clock(disk.clock.clone()).restore(path(from), path("restored.redb"));
    assert!(matches!(restore("notes"), Err(Error::Backup { .. })));
    assert!(matches!(restore("missing"), Err(Error::Open { .. })));
    assert!(matches!(restore("sessions.redb"), Err(Error::AlreadyOpen { .. })), "it is in use");
    assert_eq!(names(disk.dir.path()), before);
    assert_eq!(fs::read(path("notes")).unwrap(), b"my notes");

    // The file of a store that was killed lacks what is in its journal.
    fs::copy(path("sessions.redb"), path("killed.redb")).unwrap();
    let Err(Error::Backup { source, .. }) = restore("killed.redb") else { panic!("it was restored") };
    assert!(source.to_string().contains("journal"), "{source}");
    // A backup of which a part is missing.
    disk.store.backup(path("backup.redb")).unwrap();
    let whole = fs::read(path("backup.redb")).unwrap();
    for len in [0, 100, 4096, whole.len() / 2] {
        fs::write(path("cut.redb"), &whole[..len]).unwrap();
        assert!(matches!(restore("cut.redb"), Err(Error::Backup { .. })), "{len} bytes");
    }
    assert!(!path("restored.redb").exists());
    restore("backup.redb").unwrap();
}

#[test]
fn an_interrupted_backup_leaves_nothing_and_the_store_goes_on() {
    let disk = OnDisk::new();
    let (_, token) = saved(&disk.store, 1);
    let to = disk.dir.path().join("backup.redb");
    let mut calls = 0;
    let stopped = catch_unwind(AssertUnwindSafe(|| {
        disk.store.backup_with(&to, |_| {
            calls += 1;
            assert!(calls < 3, "stop here");
        })
    }));
    assert!(stopped.is_err(), "the panic is the caller's");
    let is_left = || names(disk.dir.path()).iter().any(|name| name.starts_with("backup"));
    assert!(!is_left());
    assert_eq!(n(&disk.store, &token), Some(1));
    // Closing ends it, from another thread, which waits for it, and from the same one.
    thread::scope(|scope| {
        let mut closing = None;
        let closed = disk.store.backup_with(&to, |_| {
            closing.get_or_insert_with(|| scope.spawn(|| disk.store.close()));
            // Until the other thread has asked for the end.
            thread::yield_now();
        });
        if let Some(closing) = closing {
            closing.join().unwrap().unwrap();
        }
        assert!(matches!(closed, Ok(_) | Err(Error::Backup { .. })), "{closed:?}");
    });
    let _ = fs::remove_file(&to);
    assert!(!is_left());
    let disk = OnDisk::new();
    let closed = disk.store.backup_with(&to, |_| disk.store.close().unwrap());
    assert!(matches!(closed, Err(Error::Backup { .. } | Error::Closed)), "{closed:?}");
    assert!(!is_left());
}

#[cfg(feature = "encryption")]
#[test]
fn a_backup_of_an_encrypted_store_is_encrypted_with_its_keys() {
    use sessile::Keys;

    let disk = OnDisk::with(|builder| builder.encrypt(Keys::from([1; 32])));
    let session = disk.store.session(None).unwrap();
    session.insert("secret", "the word that nobody may read").unwrap();
    session.save().wait().unwrap();
    let (backup, to) = (disk.dir.path().join("backup.redb"), disk.dir.path().join("restored.redb"));
    disk.store.backup(&backup).unwrap();
    let bytes = fs::read(&backup).unwrap();
    assert!(!bytes.windows(8).any(|part| part == b"the word"));
    let builder = || Store::builder().clock(disk.clock.clone());
    assert!(matches!(builder().restore(&backup, &to), Err(Error::Encrypted { .. })));
    assert!(matches!(builder().encrypt(Keys::from([2; 32])).restore(&backup, &to), Err(Error::UnknownSealKey { .. })));
    assert!(!to.exists());
    builder().encrypt(Keys::from([1; 32])).restore(&backup, &to).unwrap();
    let restored = builder().encrypt(Keys::from([1; 32])).open(&to).unwrap();
    let found: Option<String> = restored.session(session.token().as_ref()).unwrap().get("secret").unwrap();
    assert_eq!(found.as_deref(), Some("the word that nobody may read"));
}

#[test]
fn a_damaged_record_is_in_quarantine_in_the_backup() {
    use sessile_fault_disk::FaultDisk;

    let disk = FaultDisk::new(1);
    let open = |disk: &FaultDisk| Store::builder().open_on(disk).unwrap();
    let store = open(&disk);
    let tokens: Vec<Token> = (0..50)
        .map(|n| {
            let session = store.session(None).unwrap();
            session.insert("mark", format!("the value of session {n:02}")).unwrap();
            session.save().wait().unwrap();
            session.token().unwrap()
        })
        .collect();
    store.close().unwrap();
    let mut bytes = disk.contents("store").unwrap();
    let at = bytes.windows(23).position(|part| part == b"the value of session 07").unwrap();
    bytes[at] ^= 1;
    disk.replace("store", &bytes);

    let store = open(&disk);
    let backup = testing::backup_on(&store, &disk).unwrap();
    assert_eq!((backup.sessions, backup.damaged), (49, 1));
    let copy = FaultDisk::new(2);
    copy.replace("store", &disk.contents("backup").unwrap());
    let copy = open(&copy);
    let alive = tokens.iter().filter(|token| copy.session(Some(token)).unwrap().token().is_some()).count();
    assert_eq!((alive, copy.stats().sessions), (49, 49));
}
