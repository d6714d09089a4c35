//! What the benches store and ask for: one typical session, the same one for every contestant, and streams of ids.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use sessile::{Builder, Durability, Model, Session, Store, Tag, Token, testing::FaultDisk};
use tower_sessions::{MemoryStore, SessionStore, session::Record};

use crate::block_on;

/// The key that is read: a number, as nearly every request needs one.
pub const USER_ID: &str = "user_id";

/// A signed-in visitor's session in a shop: ten values, some 500 bytes as MessagePack, some 900 as a record.
#[must_use]
pub fn typical(user_id: u64) -> Vec<(&'static str, Value)> {
    vec![
        (
            "cart",
            json!([
                { "sku": "A-1042", "count": 2, "cents": 1999 },
                { "sku": "B-0007", "count": 1, "cents": 450 },
                { "sku": "C-3310", "count": 5, "cents": 75 },
            ]),
        ),
        ("csrf", json!("vZ3pXb0JmJkq0mU6y3u0c9m3n1sW5dQ2r8tYxKfLhAe")),
        ("email", json!("ada.lovelace@analytical-engine.example")),
        ("name", json!("Ada Lovelace")),
        ("preferences", json!({ "locale": "en-GB", "theme": "dark", "currency": "GBP", "per_page": 50 })),
        ("return_to", json!("/account/orders?page=2&sort=newest")),
        ("roles", json!(["admin", "editor", "viewer"])),
        (USER_ID, json!(user_id)),
        ("viewed", json!(["A-1042", "C-3310", "D-0815", "E-4711", "F-0042"])),
        ("visits", json!(0)),
    ]
}

/// Signs a visitor in and sets the [`typical`] values.
pub fn write_typical(session: &Session, user_id: u64) {
    session.bind_owner(user_id.to_le_bytes());
    for (key, value) in typical(user_id) {
        session.insert(key, value).expect("the values are small");
    }
}

/// What a session knows of its visitor, as a model.
#[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize, serde::Serialize, serde::Deserialize)]
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

impl Model for TypicalModel {
    const TAG: Tag = Tag::new("typical");
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

/// A stream of numbers that is the same in every run (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next one.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// One below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next_u64()) * end as u128) >> 64) as usize
    }

    /// One from 0 to 1.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }
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
