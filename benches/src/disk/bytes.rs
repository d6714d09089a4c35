//! What reaches the device, and how to make it come to rest.

use std::{
    fs::{self, File},
    os::linux::fs::MetadataExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// Counts the bytes written to the device that a directory lies on, by anybody.
///
/// A process's own count (`/proc/self/io`) is of no use: it counts a whole folio of the page cache for a write of one sector.
#[derive(Debug)]
pub struct DeviceBytes {
    stat: PathBuf,
}

const SECTOR: u64 = 512;

impl DeviceBytes {
    /// Of the device under `directory`; `None` if it is not one that the kernel counts for.
    #[must_use]
    pub fn of(directory: &Path) -> Option<Self> {
        let device = fs::metadata(directory).ok()?.st_dev();
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let this = Self { stat: format!("/sys/dev/block/{major}:{minor}/stat").into() };
        this.read().map(|_| this)
    }

    fn read(&self) -> Option<u64> {
        let text = fs::read_to_string(&self.stat).ok()?;
        text.split_whitespace().nth(6)?.parse::<u64>().ok().map(|sectors| sectors * SECTOR)
    }

    /// Bytes written since the machine was started, after everything that waits to be was.
    ///
    /// # Panics
    /// If the counter is gone.
    #[must_use]
    pub fn now(&self) -> u64 {
        rustix::fs::sync();
        self.read().expect("it was there")
    }
}

/// Waits until nobody writes in the background any more, but for `patience` at most.
pub fn rest(directory: &Path, patience: Duration) {
    let Some(device) = DeviceBytes::of(directory) else { return thread::sleep(patience.min(Duration::from_secs(1))) };
    let give_up = Instant::now() + patience;
    let mut before = device.now();
    while Instant::now() < give_up {
        thread::sleep(Duration::from_millis(100));
        let now = device.now();
        // A page now and then is somebody's log.
        if now - before < 64 << 10 {
            return;
        }
        before = now;
    }
}

/// Lets the page cache forget the files in `directory`, so that they are read from the device.
///
/// # Panics
/// If they cannot be opened.
pub fn forget_cached(directory: &Path) {
    for entry in directory.read_dir().expect("it is a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            forget_cached(&path);
            continue;
        }
        let file = File::open(&path).expect("it is this run's own");
        // Only clean pages can be forgotten.
        rustix::fs::fsync(&file).expect("the disk works");
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("it is a file");
    }
}
