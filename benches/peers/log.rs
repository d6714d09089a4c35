//! The least that a durable put needs.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::Mutex,
};

use sessile_benches::disk::{Durable, Group, Put, RECORD_BYTES, Record, Sink, key};

/// What a durable put cannot do without: one write and one fdatasync for a group, in space that was made beforehand and is used
/// again from its beginning.
struct Log {
    file: File,
    at: u64,
    buffer: Vec<u8>,
}

const LOG_BYTES: u64 = 64 << 20;

impl Log {
    fn new(directory: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(directory.join("log"))?;
        let zeros = vec![0; 1 << 20];
        for at in (0..LOG_BYTES).step_by(zeros.len()) {
            file.write_all_at(&zeros, at)?;
        }
        file.sync_all()?;
        Ok(Self { file, at: 0, buffer: Vec::new() })
    }
}

impl Sink for Log {
    fn commit(&mut self, records: &[Record]) {
        self.buffer.clear();
        for (key, value) in records {
            let start = self.buffer.len();
            self.buffer.extend_from_slice(&[0; 8]);
            self.buffer.extend_from_slice(key);
            self.buffer.extend_from_slice(value);
            let crc = crc32fast::hash(&self.buffer[start + 8..]);
            self.buffer[start..start + 4].copy_from_slice(&(RECORD_BYTES as u32).to_le_bytes());
            self.buffer[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
        }
        let len = self.buffer.len() as u64;
        if self.at + len > LOG_BYTES {
            self.at = 0;
        }
        self.file.write_all_at(&self.buffer, self.at).expect("the disk works");
        self.file.sync_data().expect("the disk works");
        self.at += len;
    }
}

/// A bare log behind a thread.
pub(crate) fn grouped(directory: &Path) -> Group {
    Group::new(Log::new(directory).expect("the directory is new"))
}

/// A bare log that each writer writes to by itself, one after the other: the least that a single writer must wait for.
pub(crate) fn inline(directory: &Path) -> impl Durable + use<> {
    struct Inline(Mutex<Log>);
    impl Durable for Inline {
        fn put(&self, n: usize, news: u64) -> Put<'_> {
            let mut value = [0x5a; RECORD_BYTES];
            value[..8].copy_from_slice(&news.to_le_bytes());
            self.0.lock().expect("the disk works").commit(&[(key(n), value)]);
            Put::Done
        }
    }
    Inline(Mutex::new(Log::new(directory).expect("the directory is new")))
}
