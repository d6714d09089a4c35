//! `axum_session` 0.22.

use std::{
    io::ErrorKind,
    task::{Context, Waker},
    time::Duration,
};

use axum_session::{DatabaseError, DatabasePool};
use sessile::testing::ManualClock;
use sessile_axum_session::AxumSessionPool;
use sessile_fault_disk::{FaultDisk, IoKind};
use session_store_contract::{self as contract, Data, Failure, Subject};

use crate::support::{Adapter, OnDisk, block_on, new_id, owner_of};

pub(crate) struct Axum {
    disk: OnDisk,
    pool: AxumSessionPool,
}

const TABLE: &str = "sessions";

impl Axum {
    fn new() -> Self {
        Self::on(OnDisk::new())
    }

    fn on(disk: OnDisk) -> Self {
        Self { pool: AxumSessionPool::new(disk.store.clone()), disk }
    }

    /// In whole seconds, rounded up, as `axum_session` counts.
    fn ends(&self, life: Duration) -> i64 {
        let ends = self.disk.now() + life;
        let since = ends.duration_since(std::time::UNIX_EPOCH).unwrap();
        i64::try_from(since.as_millis().div_ceil(1000)).unwrap()
    }

    fn store(&self, id: &str, session: &str, table: &str) {
        block_on(self.pool.store(id, session, self.ends(Duration::from_hours(1)), table)).unwrap();
    }
}

impl Subject for Axum {
    type Id = String;

    const SAVE_CREATES: bool = true;

    fn create(&self, data: &Data, life: Duration) -> Result<String, Failure> {
        let id = new_id();
        self.save(&id, data, life)?;
        Ok(id)
    }

    fn load(&self, id: &String) -> Result<Option<Data>, Failure> {
        let session = block_on(self.pool.load(id, TABLE))?;
        assert_eq!(block_on(self.pool.exists(id, TABLE))?, session.is_some());
        Ok(session.map(|session| serde_json::from_str(&session).unwrap()))
    }

    fn save(&self, id: &String, data: &Data, life: Duration) -> Result<(), Failure> {
        let session = serde_json::to_string(data).unwrap();
        Ok(block_on(self.pool.store(id, &session, self.ends(life), TABLE))?)
    }

    fn delete(&self, id: &String) -> Result<(), Failure> {
        Ok(block_on(self.pool.delete_one_by_id(id, TABLE))?)
    }

    fn sweep(&self) -> Result<(), Failure> {
        assert_eq!(block_on(self.pool.delete_by_expiry(TABLE))?, Vec::<String>::new());
        Ok(())
    }

    fn unknown(&self) -> String {
        new_id()
    }

    fn advance(&self, by: Duration) {
        self.disk.clock.advance(by);
    }

    fn reopen(self) -> Option<Self> {
        let Self { disk, pool } = self;
        drop(pool);
        Some(Self::on(disk.reopen()))
    }
}

impl Adapter for Axum {
    const IS_ONE_TEXT: bool = true;

    fn over(disk: OnDisk) -> Self {
        Self::on(disk)
    }

    fn disk(&self) -> &OnDisk {
        &self.disk
    }

    fn owned_by(self, key: &'static str) -> Self {
        let owner = move |session: &str| owner_of(serde_json::from_str::<Data>(session).ok()?.remove(key));
        Self { pool: self.pool.owned_by(owner), ..self }
    }

    fn index_owners(&self, version: u32) -> Result<u64, sessile::Error> {
        self.pool.index_owners(version)
    }
}

#[test]
fn keeps_the_contract() {
    contract::check(|| {
        let axum = Axum::new();
        // On a whole second, so that rounding to one changes nothing.
        let since = axum.disk.now().duration_since(std::time::UNIX_EPOCH).unwrap();
        axum.disk.clock.set(std::time::UNIX_EPOCH + Duration::from_secs(since.as_secs()));
        axum
    });
}

#[test]
fn tables_are_apart() {
    let axum = Axum::new();
    axum.store("a", "one", "first");
    axum.store("a", "two", "second");
    axum.store("b", "three", "second");
    let load = |id: &str, table: &str| block_on(axum.pool.load(id, table)).unwrap();
    assert_eq!((load("a", "first").as_deref(), load("a", "second").as_deref()), (Some("one"), Some("two")));
    let count = |table: &str| block_on(axum.pool.count(table)).unwrap();
    assert_eq!((count("first"), count("second"), count("third")), (1, 2, 0));
    block_on(axum.pool.delete_all("second")).unwrap();
    assert_eq!((count("first"), count("second")), (1, 0));
    assert_eq!((load("a", "first").as_deref(), load("a", "second")), (Some("one"), None));
}

#[test]
fn any_id_in_any_table_is_a_session_of_its_own() {
    let axum = Axum::new();
    let (long, longer) = ("k".repeat(256), "k".repeat(1 << 20));
    // The application chooses them.
    let names = ["", "a", "sessile.", "sessile.table", &long];
    let ids = [names.as_slice(), &[&*longer, "\0", "\0a", "a\0b", "sessile.\0"]].concat();
    let pairs = || names.iter().flat_map(|table| ids.iter().map(move |id| (*table, *id)));
    for (nth, (table, id)) in pairs().enumerate() {
        axum.store(id, &nth.to_string(), table);
    }
    for (nth, (table, id)) in pairs().enumerate() {
        assert_eq!(block_on(axum.pool.load(id, table)).unwrap(), Some(nth.to_string()));
    }
    for table in names {
        assert_eq!(block_on(axum.pool.count(table)).unwrap(), i64::try_from(ids.len()).unwrap());
    }
}

#[test]
fn ids_cannot_be_listed() {
    let axum = Axum::new();
    let id = new_id();
    axum.store(&id, "one", TABLE);
    assert!(matches!(block_on(axum.pool.get_ids(TABLE)), Err(DatabaseError::GenericNotSupportedError(_))));
    assert!(!axum.disk.files().windows(id.len()).any(|window| window == id.as_bytes()), "the file holds an id");
}

#[test]
fn delete_all_waits_for_the_disk() {
    let disk = FaultDisk::new(0);
    let axum = Axum::on(OnDisk::at(&disk, ManualClock::default(), |builder| builder));
    for _ in 0..3 {
        axum.store(&new_id(), "one", TABLE);
    }
    axum.disk.store.flush().wait().unwrap();
    disk.stall_syncs();
    let mut deleted = axum.pool.delete_all(TABLE);
    let waits = (0..3).all(|_| deleted.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    // Before the check: a store on a stuck disk does not close, so the test would hang instead of failing.
    disk.heal();
    assert!(waits);
    block_on(deleted).unwrap();
    assert_eq!(Axum::on(OnDisk::at(&disk.crash(1), ManualClock::default(), |builder| builder)).disk.store.stats().sessions, 0);
    axum.store(&new_id(), "one", TABLE);
    axum.disk.store.flush().wait().unwrap();
    disk.fail_from(IoKind::Sync, 0, ErrorKind::Other);
    assert!(block_on(axum.pool.delete_all(TABLE)).is_err(), "the disk did not take it");
    disk.heal();
}
