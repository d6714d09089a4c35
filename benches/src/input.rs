//! The stores of the benches, filled with the same sessions for every contestant, and streams of ids.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use sessile::{Builder, Durability, Model, Session, Store, Token};
use sessile_fault_disk::FaultDisk;
use tower_sessions::{MemoryStore, SessionStore, session::Record};

use crate::{Random, USER_ID, block_on, typical};

/// Signs a visitor in and sets the [`typical`] values.
pub fn write_typical(session: &Session, user_id: u64) {
    session.sign_in(user_id).unwrap();
    for (key, value) in typical(user_id) {
        session.insert(key, value).expect("the values are small");
    }
}

/// What a session knows of its visitor, as a model.
#[derive(Model, serde::Serialize, serde::Deserialize)]
#[model(crate = sessile_codec, name = "typical")]
pub struct TypicalModel {
    /// The number that is read.
    pub user_id: u64,
    /// A text.
    pub name: String,
    /// A text.
    pub email: String,
    /// A few texts.
    pub roles: Vec<String>,
}

/// A [`TypicalModel`].
#[must_use]
pub fn model(user_id: u64) -> TypicalModel {
    TypicalModel {
        user_id,
        name: "Ada Lovelace".to_owned(),
        email: "ada.lovelace@analytical-engine.example".to_owned(),
        roles: ["admin", "editor", "viewer"].map(str::to_owned).to_vec(),
    }
}

/// A relaxed store without a file with `sessions` typical sessions, all in memory and all written, and their tokens.
///
/// # Panics
/// If the operating system gives no random bytes or no thread.
#[must_use]
pub fn sessile_store(sessions: u64) -> (Store, Vec<Token>) {
    filled(sessions, Builder::open_in_memory)
}

/// The same on `disk`, which counts what is asked of it.
///
/// # Panics
/// If the operating system gives no random bytes or no thread.
#[must_use]
pub fn sessile_store_on(disk: &FaultDisk, sessions: u64) -> (Store, Vec<Token>) {
    filled(sessions, |builder| builder.open_on(disk))
}

fn filled(sessions: u64, open: impl FnOnce(Builder) -> Result<Store, sessile::Error>) -> (Store, Vec<Token>) {
    // On a busy machine a million sessions take their time.
    let builder = Store::builder().memory_budget(usize::MAX).commit_timeout(Duration::from_mins(10));
    let builder = builder.durability(Durability::Relaxed);
    let store = open(builder).expect("a store without a file needs only randomness and a thread");
    let tokens = (0..sessions).map(|user_id| {
        let session = store.session(None).expect("a new session needs no I/O");
        write_typical(&session, user_id);
        session.save().wait().expect("memory does not fail");
        session.token().expect("it was saved")
    });
    let tokens = tokens.collect();
    store.flush().wait().expect("memory does not fail");
    (store, tokens)
}

/// A store of tower-sessions with `sessions` typical sessions, and their ids as a cookie holds them.
///
/// # Panics
/// Never: memory does not fail.
#[must_use]
pub fn tower_store(sessions: u64) -> (Arc<MemoryStore>, Vec<String>) {
    let store = Arc::new(MemoryStore::default());
    let ids = tower_fill(&store, sessions);
    (store, ids)
}

/// Stores so many typical sessions in any store of tower-sessions; and their ids.
///
/// # Panics
/// If the store fails.
pub fn tower_fill(store: &Arc<impl SessionStore>, sessions: u64) -> Vec<String> {
    let ids = (0..sessions).map(|user_id| {
        let session = tower_sessions::Session::new(None, store.clone(), None);
        block_on(async {
            for (key, value) in typical(user_id) {
                session.insert(key, value).await.expect("the store works");
            }
            session.save().await.expect("the store works");
        });
        session.id().expect("it was saved").to_string()
    });
    ids.collect()
}

/// A typical session as tower-sessions has it: what its stores write is this as MessagePack.
///
/// # Panics
/// Never: it was stored just before.
#[must_use]
pub fn tower_record(user_id: u64) -> Record {
    let (store, ids) = tower_store(1);
    let id = ids[0].parse().expect("it was printed by the same type");
    let mut record = block_on(store.load(&id)).expect("memory does not fail").expect("it was stored");
    record.data.insert(USER_ID.to_owned(), json!(user_id));
    record
}

/// Ids of which the `n`-th most wanted is asked for in proportion to `n` to the minus `skew`.
#[derive(Debug)]
pub struct Zipf {
    sums: Vec<f64>,
}

impl Zipf {
    /// Over the ids below `ids`; 0 is the most wanted.
    #[must_use]
    pub fn new(ids: usize, skew: f64) -> Self {
        let mut sum = 0.0;
        let sums = (1..=ids).map(|rank| {
            sum += (rank as f64).powf(-skew);
            sum
        });
        Self { sums: sums.collect() }
    }

    /// The next id.
    pub fn next(&self, random: &mut Random) -> usize {
        let at = random.unit() * self.sums[self.sums.len() - 1];
        self.sums.partition_point(|sum| *sum <= at).min(self.sums.len() - 1)
    }

    /// The share of requests that go to the `ids` most wanted ones.
    #[must_use]
    pub fn share_of_first(&self, ids: usize) -> f64 {
        self.sums[ids - 1] / self.sums[self.sums.len() - 1]
    }
}
