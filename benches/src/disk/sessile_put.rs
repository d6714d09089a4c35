//! This crate as one of the contestants, through the API that handlers use.

use std::{path::Path, time::Duration};

use sessile::{Ack, Builder, Durability, Store, Token};

use super::{Durable, Put, RECORD_BYTES};

/// The store's file in its directory.
pub const FILE: &str = "sessions.redb";

/// A store, and the tokens of its sessions.
pub struct SessilePut {
    store: Store,
    tokens: Vec<Token>,
}

/// A store as its defaults are, but that its sessions are not on probation: the first use of one would be a write.
pub fn builder() -> Builder {
    Store::builder().unconfirmed_timeout(Duration::MAX)
}

/// Bytes of a value that makes a record [`RECORD_BYTES`] long.
const VALUE_BYTES: usize = RECORD_BYTES - 136;

/// Makes a text of `news` in `bytes`, which are as cheap to make as what the others are given.
fn value(news: u64, bytes: &mut [u8; VALUE_BYTES]) -> &str {
    for (nth, byte) in bytes[..16].iter_mut().enumerate() {
        *byte = b'a' + (news >> (4 * nth) & 15) as u8;
    }
    std::str::from_utf8(bytes).expect("it is ASCII")
}

impl SessilePut {
    /// A store in `directory` with `sessions` sessions, as `builder` says.
    ///
    /// # Panics
    /// If the disk fails.
    #[must_use]
    pub fn new(builder: Builder, directory: &Path, sessions: usize) -> Self {
        Self::fill(builder.open(directory.join(FILE)).expect("the directory is new"), sessions)
    }

    /// Makes `sessions` sessions in `store`.
    ///
    /// # Panics
    /// If the disk fails.
    #[must_use]
    pub fn fill(store: Store, sessions: usize) -> Self {
        let tokens = (0..sessions).map(|_| create(&store)).collect();
        store.flush().wait().expect("the disk works");
        Self::of(store, tokens)
    }

    /// The sessions of `tokens` in `store`.
    #[must_use]
    pub fn of(store: Store, tokens: Vec<Token>) -> Self {
        Self { store, tokens }
    }

    /// Changes session `n`, as durable as the store's class says.
    ///
    /// # Panics
    /// If the session is gone.
    pub fn save(&self, n: usize, news: u64) -> Ack {
        let session = self.store.session(Some(&self.tokens[n])).expect("the disk works");
        session.insert("data", value(news, &mut [b'z'; VALUE_BYTES])).expect("it is short");
        session.save()
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The sessions' tokens.
    #[must_use]
    pub fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// Closes the store.
    ///
    /// # Panics
    /// If the disk fails.
    pub fn close(&self) {
        self.store.close().expect("the disk works");
    }
}

fn create(store: &Store) -> Token {
    let session = store.session(None).expect("a new session needs no I/O");
    session.insert("data", value(0, &mut [b'z'; VALUE_BYTES])).expect("it is short");
    // At once, unless more waits for the disk than a store lets wait.
    session.save_with(Durability::Relaxed).wait().expect("the disk works");
    assert_eq!(session.record_bytes(), RECORD_BYTES, "or the contestants do not store the same");
    session.token().expect("it was saved")
}

impl Durable for SessilePut {
    fn put(&self, n: usize, news: u64) -> Put<'_> {
        Put::Sessile(self.save(n, news))
    }
}
