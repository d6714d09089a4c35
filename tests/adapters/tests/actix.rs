//! actix-session 0.11.

use std::{collections::HashMap, time::Duration};

use actix_session::storage::{SaveError, SessionKey, SessionStore, UpdateError};
use sessile_actix_session::ActixSessions;
use session_store_contract::{self as contract, Data, Failure, Subject};

use crate::support::{Adapter, OnDisk, block_on, owner_of};

pub(crate) struct Actix {
    disk: OnDisk,
    sessions: ActixSessions,
}

impl Actix {
    fn new() -> Self {
        Self::on(OnDisk::new())
    }

    fn on(disk: OnDisk) -> Self {
        Self { sessions: ActixSessions::new(disk.store.clone()), disk }
    }
}

fn key(id: &str) -> SessionKey {
    SessionKey::try_from(id.to_owned()).unwrap()
}

fn state(data: &Data) -> HashMap<String, String> {
    data.clone().into_iter().collect()
}

fn ttl(life: Duration) -> time::Duration {
    life.try_into().unwrap()
}

impl Subject for Actix {
    type Id = String;

    fn create(&self, data: &Data, life: Duration) -> Result<String, Failure> {
        Ok(block_on(self.sessions.save(state(data), &ttl(life)))?.into())
    }

    fn load(&self, id: &String) -> Result<Option<Data>, Failure> {
        Ok(block_on(self.sessions.load(&key(id)))?.map(|state| state.into_iter().collect()))
    }

    fn save(&self, id: &String, data: &Data, life: Duration) -> Result<(), Failure> {
        let saved = String::from(block_on(self.sessions.update(key(id), state(data), &ttl(life)))?);
        assert_eq!(saved, *id);
        Ok(())
    }

    fn touch(&self, id: &String, life: Duration) -> Option<Result<(), Failure>> {
        Some(block_on(self.sessions.update_ttl(&key(id), &ttl(life))).map_err(Into::into))
    }

    fn delete(&self, id: &String) -> Result<(), Failure> {
        Ok(block_on(self.sessions.delete(&key(id)))?)
    }

    fn sweep(&self) -> Result<(), Failure> {
        Ok(self.disk.store.sweep().wait()?)
    }

    fn unknown(&self) -> String {
        actix_session::storage::generate_session_key().into()
    }

    fn advance(&self, by: Duration) {
        self.disk.clock.advance(by);
    }

    fn reopen(self) -> Option<Self> {
        let Self { disk, sessions } = self;
        drop(sessions);
        Some(Self::on(disk.reopen()))
    }
}

impl Adapter for Actix {
    fn over(disk: OnDisk) -> Self {
        Self::on(disk)
    }

    fn disk(&self) -> &OnDisk {
        &self.disk
    }

    fn owned_by(self, key: &'static str) -> Self {
        Self { sessions: self.sessions.owned_by(move |state| owner_of(state.get(key).cloned())), ..self }
    }

    fn index_owners(&self, version: u32) -> Result<u64, sessile::Error> {
        self.sessions.index_owners(version)
    }
}

#[test]
fn keeps_the_contract() {
    contract::check(Actix::new);
}

#[test]
fn an_update_of_a_gone_key_is_an_error_and_makes_nothing() {
    let actix = Actix::new();
    let id = actix.create(&Data::new(), Duration::from_hours(1)).unwrap();
    actix.delete(&id).unwrap();
    let updated = block_on(actix.sessions.update(key(&id), HashMap::new(), &ttl(Duration::from_hours(1))));
    let Err(UpdateError::Other(error)) = updated else { panic!("{updated:?}") };
    assert!(matches!(error.downcast_ref(), Some(sessile::Error::SessionEnded)), "{error:?}");
    assert_eq!(actix.disk.store.stats().dropped_commits, 1);
    // A request that changed nothing gets its page.
    block_on(actix.sessions.update_ttl(&key(&id), &ttl(Duration::from_hours(1)))).unwrap();
    assert_eq!((actix.disk.store.stats().dropped_commits, actix.disk.store.stats().sessions), (2, 0));
}

#[test]
fn what_is_over_a_limit_cannot_be_serialized() {
    use sessile::{Error, error::CodecError};
    use sessile_fault_disk::FaultDisk;

    let disk = OnDisk::at(&FaultDisk::new(0), sessile::testing::ManualClock::default(), |builder| builder.key_limit(100));
    let actix = Actix::on(disk);
    let hour = ttl(Duration::from_hours(1));
    let long = || HashMap::from([("k".repeat(101), "1".to_owned())]);
    let is_key = |error: &anyhow::Error| {
        let expected = CodecError::BadKey { found_bytes: 101, limit_bytes: 100 };
        assert!(matches!(error.downcast_ref(), Some(Error::Codec(found)) if *found == expected), "{error:?}");
    };
    let Err(SaveError::Serialization(error)) = block_on(actix.sessions.save(long(), &hour)) else { panic!("it was saved") };
    is_key(&error);
    let id = actix.create(&Data::new(), Duration::from_hours(1)).unwrap();
    let updated = block_on(actix.sessions.update(key(&id), long(), &hour));
    let Err(UpdateError::Serialization(error)) = updated else { panic!("{updated:?}") };
    is_key(&error);
}

#[test]
fn values_keep_their_text() {
    let actix = Actix::new();
    // Not as serde_json would write it: spaces, a long number, keys in no order, an escaped letter.
    let text = "{ \"b\": 1.000000000000000000001, \"a\" : \"\\u0041\" }";
    let data = Data::from([("odd".to_owned(), text.to_owned())]);
    let id = actix.create(&data, Duration::from_hours(1)).unwrap();
    assert_eq!(actix.load(&id).unwrap(), Some(data));
}
