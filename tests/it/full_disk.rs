//! F7 on a real file system that is really full.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use sessile::{Error, Store};

use crate::support::{n_of, saved};

/// A file system of a few megabytes.
struct Small {
    path: PathBuf,
    _dir: tempfile::TempDir,
}

impl Small {
    /// Returns `None` if this process may not mount one.
    fn mount(megabytes: u32) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("small");
        fs::create_dir(&path).unwrap();
        let size = format!("size={megabytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&path).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self { path, _dir: dir })
    }

    /// Takes all the room that is left; remove the file to free it.
    fn fill(&self) -> PathBuf {
        let ballast = self.path.join("ballast");
        let mut content = vec![1; 1 << 20];
        let mut file = fs::File::create(&ballast).unwrap();
        while !content.is_empty() {
            if std::io::Write::write_all(&mut file, &content).is_err() {
                content.truncate(content.len() / 2);
            }
        }
        ballast
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // If a file system stays mounted, the removal of its directory fails.
        let _ = Command::new("umount").arg(&self.path).status();
    }
}

fn open(path: &Path) -> Store {
    Store::builder().journal_bytes(384 << 10).memory_budget(0).open(path.join("sessions.redb")).unwrap()
}

#[test]
fn f7_a_file_system_that_is_full_refuses_commits_and_takes_logouts_and_heals() {
    let Some(small) = Small::mount(8) else {
        println!("skipped: only root may mount a small file system; the simulated full disk is tested in any case");
        return;
    };
    for cycle in 0..3 {
        let store = open(&small.path);
        let sessions: Vec<_> = (0..40).map(|n| saved(&store, n)).collect();
        let ballast = small.fill();
        let mut acknowledged = Vec::new();
        let error = loop {
            let session = store.session(None).unwrap();
            session.insert("n", 1000_u64).unwrap();
            session.insert("long", "x".repeat(4000)).unwrap();
            match session.save().wait() {
                Ok(()) => acknowledged.push(session.token().unwrap()),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, Error::Degraded { .. }) && error.is_transient(), "{error:?}");
        assert!(store.stats().degraded);
        for (n, (_, token)) in sessions.iter().enumerate() {
            assert_eq!(n_of(&store, token), Some(n as u64), "reads go on");
        }
        for (session, _) in &sessions[..10] {
            session.destroy();
            session.save().wait().expect("logging out works on a full disk");
        }
        fs::remove_file(ballast).unwrap();
        let healed = Instant::now();
        while store.flush().wait().is_err() || store.stats().degraded {
            assert!(healed.elapsed() < Duration::from_secs(2), "it does not heal");
            thread::sleep(Duration::from_millis(1));
        }
        acknowledged.push(saved(&store, 1000).1);
        // The files as a process that is killed now leaves them.
        let copy = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(&small.path).unwrap().map(Result::unwrap) {
            fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
        let found = open(copy.path());
        assert!(acknowledged.iter().all(|token| n_of(&found, token) == Some(1000)), "cycle {cycle}");
        for (n, (_, token)) in sessions.iter().enumerate() {
            assert_eq!(n_of(&found, token), (n >= 10).then_some(n as u64), "cycle {cycle}");
        }
        store.close().unwrap();
        for entry in fs::read_dir(&small.path).unwrap().map(Result::unwrap) {
            fs::remove_file(entry.path()).unwrap();
        }
    }
}
