//! poem 3.

use std::{collections::BTreeMap, time::Duration};

use poem::session::SessionStorage;
use serde_json::Value;
use sessile_poem::PoemSessions;
use session_store_contract::{self as contract, Data, Failure, Subject};

use crate::support::{Adapter, OnDisk, block_on, new_id, owner_of};

pub(crate) struct Poem {
    disk: OnDisk,
    sessions: PoemSessions,
}

impl Poem {
    fn new() -> Self {
        Self::on(OnDisk::new())
    }

    fn on(disk: OnDisk) -> Self {
        Self { sessions: PoemSessions::new(disk.store.clone()), disk }
    }

    fn put(&self, id: &str, data: &Data, life: Option<Duration>) -> Result<(), Failure> {
        let entries: BTreeMap<String, Value> =
            data.iter().map(|(key, json)| (key.clone(), serde_json::from_str(json).unwrap())).collect();
        block_on(self.sessions.update_session(id, &entries, life)).map_err(|error| error.to_string().into())
    }
}

impl Subject for Poem {
    type Id = String;

    const SAVE_CREATES: bool = true;

    fn create(&self, data: &Data, life: Duration) -> Result<String, Failure> {
        let id = new_id();
        self.put(&id, data, Some(life))?;
        Ok(id)
    }

    fn load(&self, id: &String) -> Result<Option<Data>, Failure> {
        let loaded = block_on(self.sessions.load_session(id)).map_err(|error| error.to_string())?;
        Ok(loaded.map(|entries| entries.into_iter().map(|(key, value)| (key, value.to_string())).collect()))
    }

    fn save(&self, id: &String, data: &Data, life: Duration) -> Result<(), Failure> {
        self.put(id, data, Some(life))
    }

    fn delete(&self, id: &String) -> Result<(), Failure> {
        block_on(self.sessions.remove_session(id)).map_err(|error| error.to_string().into())
    }

    fn sweep(&self) -> Result<(), Failure> {
        Ok(self.disk.store.sweep().wait()?)
    }

    fn unknown(&self) -> String {
        new_id()
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

impl Adapter for Poem {
    fn over(disk: OnDisk) -> Self {
        Self::on(disk)
    }

    fn disk(&self) -> &OnDisk {
        &self.disk
    }

    fn owned_by(self, key: &'static str) -> Self {
        Self { sessions: self.sessions.owned_by(move |entries| owner_of(entries.get(key).map(ToString::to_string))), ..self }
    }

    fn index_owners(&self, version: u32) -> Result<u64, sessile::Error> {
        self.sessions.index_owners(version)
    }
}

#[test]
fn keeps_the_contract() {
    contract::check(Poem::new);
}

#[test]
fn without_a_time_of_its_own_a_session_has_the_idle_timeout() {
    let poem = Poem::new();
    let id = new_id();
    poem.put(&id, &Data::new(), None).unwrap();
    poem.advance(Duration::from_hours(167));
    assert!(poem.load(&id).unwrap().is_some());
    poem.advance(Duration::from_hours(1));
    assert!(poem.load(&id).unwrap().is_none());
}

#[test]
fn what_is_stored_to_an_ended_session_is_an_error_and_counted() {
    let poem = Poem::new();
    let id = poem.create(&Data::new(), Duration::from_hours(1)).unwrap();
    assert_eq!(poem.disk.store.stats().dropped_commits, 0);
    poem.delete(&id).unwrap();
    let stored = block_on(poem.sessions.update_session(&id, &BTreeMap::new(), None));
    let error = stored.unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(sessile::Error::SessionEnded)), "{error:?}");
    assert_eq!((poem.disk.store.stats().dropped_commits, poem.disk.store.stats().sessions), (1, 0));
}
