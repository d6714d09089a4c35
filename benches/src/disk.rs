//! What the benches of the disk share: stores that acknowledge a put when it is durable, what drives them, and what is counted.
//!
//! Every contestant keeps the same 600 bytes under the same 16-byte keys and lies in a directory beside this build, so on a real
//! disk. Peers without a group commit of their own get one here: see [`Group`].

mod bytes;
mod group;
mod load;
mod sessile_put;

use std::{
    future::Future,
    path::Path,
    pin::Pin,
    task::{Context, Poll},
};

use sessile::Ack;
use tempfile::TempDir;

use self::group::Joined;
pub use self::{
    bytes::{DeviceBytes, forget_cached, rest},
    group::{Group, Record, Sink},
    load::{Latencies, Measured, closed_loop, open_loop, runtime},
    sessile_put::{FILE, SessilePut, builder},
};

/// Bytes of a record.
pub const RECORD_BYTES: usize = 600;

/// A store of records.
pub trait Durable: Send + Sync {
    /// Puts the record of session `n`, with something in it that was not there before.
    fn put(&self, n: usize, news: u64) -> Put<'_>;
}

/// A put that is under way. Its output is there when it is durable.
#[derive(Debug)]
pub enum Put<'a> {
    /// Of this crate.
    Sessile(Ack),
    /// Of a peer's group.
    Group(Joined<'a>),
    /// It was done at once.
    Done,
}

impl Future for Put<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match &mut *self {
            Self::Sessile(ack) => Pin::new(ack).poll(context).map(|result| result.expect("the disk works")),
            Self::Group(joined) => Pin::new(joined).poll(context),
            Self::Done => Poll::Ready(()),
        }
    }
}

/// The key of session `n` at a peer: random, as a hash is.
#[must_use]
pub fn key(n: usize) -> [u8; 16] {
    let mut random = crate::Random(n as u64);
    (u128::from(random.next_u64()) << 64 | u128::from(random.next_u64())).to_le_bytes()
}

/// A directory on the disk that `beside` is on, which goes when it is dropped.
///
/// # Panics
/// If there is no room for it.
#[must_use]
pub fn directory(beside: &str) -> TempDir {
    std::fs::create_dir_all(beside).expect("the build has a directory");
    tempfile::Builder::new().prefix("sessile-bench-").tempdir_in(beside).expect("the disk has room")
}

/// Bytes that the files in `path` take.
///
/// # Panics
/// If it is no directory.
#[must_use]
pub fn bytes_in(path: &Path) -> u64 {
    let entries = path.read_dir().expect("it is a directory");
    entries
        .flatten()
        .filter_map(|entry| Some(if entry.path().is_dir() { bytes_in(&entry.path()) } else { entry.metadata().ok()?.len() }))
        .sum()
}
