//! tower-sessions 0.14 and 0.15.

use std::{collections::HashMap, time::Duration};

use serde_json::Value;
use sessile::testing::ManualClock;
use sessile_fault_disk::FaultDisk;
use sessile_tower_sessions::TowerSessions;
use session_store_contract::{self as contract, Data, Failure, Subject};
use time::OffsetDateTime;

use crate::support::{Adapter, OnDisk, block_on, owner_of};

pub(crate) struct Tower<const VERSION: u32> {
    disk: OnDisk,
    sessions: TowerSessions,
}

impl<const VERSION: u32> Tower<VERSION> {
    fn new() -> Self {
        Self::on(OnDisk::new())
    }

    fn on(disk: OnDisk) -> Self {
        Self { sessions: TowerSessions::new(disk.store.clone()), disk }
    }

    fn ends(&self, life: Duration) -> OffsetDateTime {
        OffsetDateTime::from(self.disk.now() + life)
    }
}

fn to_map(data: &Data) -> HashMap<String, Value> {
    data.iter().map(|(key, json)| (key.clone(), serde_json::from_str(json).unwrap())).collect()
}

fn from_map(map: &HashMap<String, Value>) -> Data {
    map.iter().map(|(key, value)| (key.clone(), value.to_string())).collect()
}

macro_rules! test_version {
    ($core:ident, $version:literal, $tests:ident) => {
        impl Subject for Tower<$version> {
            type Id = $core::session::Id;

            fn create(&self, data: &Data, life: Duration) -> Result<Self::Id, Failure> {
                self.create_at(&Self::Id::default(), data, life).expect("there is such a call")
            }

            fn create_at(&self, id: &Self::Id, data: &Data, life: Duration) -> Option<Result<Self::Id, Failure>> {
                use $core::SessionStore;
                let mut record = $core::session::Record { id: *id, data: to_map(data), expiry_date: self.ends(life) };
                Some(block_on(self.sessions.create(&mut record)).map(|()| record.id).map_err(Into::into))
            }

            fn load(&self, id: &Self::Id) -> Result<Option<Data>, Failure> {
                use $core::SessionStore;
                let loaded = block_on(SessionStore::load(&self.sessions, id))?;
                assert!(loaded.iter().all(|record| record.id == *id));
                Ok(loaded.map(|record| from_map(&record.data)))
            }

            fn save(&self, id: &Self::Id, data: &Data, life: Duration) -> Result<(), Failure> {
                use $core::SessionStore;
                let record = $core::session::Record { id: *id, data: to_map(data), expiry_date: self.ends(life) };
                Ok(block_on(SessionStore::save(&self.sessions, &record))?)
            }

            fn delete(&self, id: &Self::Id) -> Result<(), Failure> {
                use $core::SessionStore;
                Ok(block_on(SessionStore::delete(&self.sessions, id))?)
            }

            fn sweep(&self) -> Result<(), Failure> {
                use $core::ExpiredDeletion;
                Ok(block_on(self.sessions.delete_expired())?)
            }

            fn unknown(&self) -> Self::Id {
                Self::Id::default()
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

        impl Adapter for Tower<$version> {
            fn over(disk: OnDisk) -> Self {
                Self::on(disk)
            }

            fn disk(&self) -> &OnDisk {
                &self.disk
            }

            fn owned_by(self, key: &'static str) -> Self {
                Self { sessions: self.sessions.owned_by(move |data| owner_of(data.get(key).map(ToString::to_string))), ..self }
            }

            fn index_owners(&self, version: u32) -> Result<u64, sessile::Error> {
                self.sessions.index_owners(version)
            }
        }

        mod $tests {
            use $core::{
                SessionStore,
                session::{Id, Record},
                session_store::Error,
            };

            use super::*;

            #[test]
            fn keeps_the_contract() {
                contract::check(Tower::<$version>::new);
            }

            fn created(tower: &Tower<$version>, data: &[(&str, i32)]) -> Record {
                let data = data.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value))).collect();
                let mut record = Record { id: Id::default(), data, expiry_date: tower.ends(Duration::from_hours(1)) };
                block_on(tower.sessions.create(&mut record)).unwrap();
                record
            }

            fn loaded(tower: &Tower<$version>, id: Id) -> Record {
                block_on(SessionStore::load(&tower.sessions, &id)).unwrap().unwrap()
            }

            fn save(tower: &Tower<$version>, record: &Record) {
                block_on(SessionStore::save(&tower.sessions, record)).unwrap();
            }

            fn pairs(record: &Record) -> Vec<(&str, i64)> {
                let mut pairs: Vec<_> = record.data.iter().map(|(key, value)| (&**key, value.as_i64().unwrap())).collect();
                pairs.sort_unstable();
                pairs
            }

            #[test]
            fn requests_at_the_same_time_lose_nothing_of_each_other() {
                let tower = Tower::new();
                let id = created(&tower, &[("cart", 1), ("gone", 1), ("theme", 1)]).id;
                let (mut first, mut second) = (loaded(&tower, id), loaded(&tower, id));
                first.data.insert("cart".to_owned(), 2.into());
                first.data.insert("seen".to_owned(), 1.into());
                second.data.insert("theme".to_owned(), 2.into());
                second.data.remove("gone");
                save(&tower, &first);
                save(&tower, &second);
                assert_eq!(pairs(&loaded(&tower, id)), [("cart", 2), ("seen", 1), ("theme", 2)]);
                // Both save again, each with a map that does not include the other's changes.
                first.data.insert("cart".to_owned(), 1.into());
                save(&tower, &first);
                second.data.insert("theme".to_owned(), 3.into());
                save(&tower, &second);
                assert_eq!(pairs(&loaded(&tower, id)), [("cart", 1), ("seen", 1), ("theme", 3)]);
            }

            #[test]
            fn who_has_just_created_a_session_loses_nothing_of_others_either() {
                let tower = Tower::new();
                let mut first = created(&tower, &[("cart", 1)]);
                let mut second = loaded(&tower, first.id);
                second.data.insert("theme".to_owned(), 2.into());
                save(&tower, &second);
                first.data.insert("cart".to_owned(), 2.into());
                save(&tower, &first);
                assert_eq!(pairs(&loaded(&tower, first.id)), [("cart", 2), ("theme", 2)]);
            }

            #[test]
            fn a_map_that_was_cleared_clears_what_it_was_loaded_with() {
                let tower = Tower::new();
                let id = created(&tower, &[("cart", 1), ("theme", 1)]).id;
                let (mut first, mut second) = (loaded(&tower, id), loaded(&tower, id));
                first.data.insert("seen".to_owned(), 1.into());
                save(&tower, &first);
                second.data.clear();
                save(&tower, &second);
                assert_eq!(pairs(&loaded(&tower, id)), [("seen", 1)]);
            }

            #[test]
            fn a_map_that_was_never_loaded_counts_whole() {
                let tower = Tower::new();
                let mut record = created(&tower, &[("cart", 1), ("theme", 1)]);
                record.data = HashMap::from([("cart".to_owned(), 2.into())]);
                save(&tower, &record);
                assert_eq!(pairs(&loaded(&tower, record.id)), [("cart", 2)]);
            }

            #[test]
            fn without_a_budget_the_last_save_wins_whole() {
                let mut tower = Tower::new();
                tower.sessions = tower.sessions.merge_budget(0);
                let id = created(&tower, &[("cart", 1)]).id;
                let (mut first, mut second) = (loaded(&tower, id), loaded(&tower, id));
                first.data.insert("seen".to_owned(), 1.into());
                second.data.insert("theme".to_owned(), 2.into());
                save(&tower, &first);
                save(&tower, &second);
                assert_eq!(pairs(&loaded(&tower, id)), [("cart", 1), ("theme", 2)]);
            }

            #[test]
            fn eight_requests_in_parallel_lose_no_key() {
                let tower = Tower::new();
                let id = created(&tower, &[]).id;
                std::thread::scope(|scope| {
                    for thread in 0..8 {
                        let tower = &tower;
                        scope.spawn(move || {
                            for n in 0..25 {
                                let mut record = loaded(tower, id);
                                record.data.insert(format!("{thread} {n}"), n.into());
                                save(tower, &record);
                            }
                        });
                    }
                });
                assert_eq!(loaded(&tower, id).data.len(), 200);
            }

            #[test]
            fn a_late_save_is_an_error_unless_it_changes_nothing() {
                let tower = Tower::new();
                let id = created(&tower, &[("cart", 1)]).id;
                let (reads, mut writes) = (loaded(&tower, id), loaded(&tower, id));
                block_on(SessionStore::delete(&tower.sessions, &id)).unwrap();
                // With `with_always_save`, every request saves.
                save(&tower, &reads);
                writes.data.insert("cart".to_owned(), 2.into());
                let refused = block_on(SessionStore::save(&tower.sessions, &writes));
                let ended = sessile::Error::SessionEnded.to_string();
                assert!(matches!(refused, Err(Error::Backend(text)) if text == ended));
                writes.data.remove("cart");
                assert!(block_on(SessionStore::save(&tower.sessions, &writes)).is_err(), "a value that is taken out is a change");
                assert_eq!(tower.disk.store.stats().dropped_commits, 3);
                let unknown = Record { data: reads.data.clone(), ..reads };
                let tower = Tower { sessions: tower.sessions.merge_budget(0), ..tower };
                assert!(block_on(SessionStore::save(&tower.sessions, &unknown)).is_err(), "what it changed is not known");
            }

            #[test]
            fn what_is_over_a_limit_cannot_be_encoded() {
                let disk = OnDisk::at(&FaultDisk::new(0), ManualClock::default(), |builder| builder.key_limit(100));
                let tower = Tower::on(disk);
                let mut record = created(&tower, &[("cart", 1)]);
                record.data.insert("k".repeat(101), 1.into());
                let limit = "a key has 101 bytes, 1 to 100 are allowed";
                let saved = block_on(SessionStore::save(&tower.sessions, &record));
                assert!(matches!(saved, Err(Error::Encode(text)) if text.contains(limit)));
                let created = block_on(tower.sessions.create(&mut record));
                assert!(matches!(created, Err(Error::Encode(text)) if text.contains(limit)));
            }

            #[test]
            fn an_unchanged_save_is_written_once_a_tenth_of_the_life_has_gone() {
                let tower = Tower::new();
                let mut record = created(&tower, &[("cart", 1)]);
                tower.disk.store.flush().wait().unwrap();
                let written = || {
                    tower.disk.store.sweep().wait().unwrap();
                    tower.disk.store.stats().syncs
                };
                let before = written();
                let hour = Duration::from_hours(1);
                for _ in 0..5 {
                    tower.disk.clock.advance(hour / 60);
                    record.expiry_date = tower.ends(hour);
                    save(&tower, &record);
                }
                assert_eq!(written(), before, "five minutes of an hour are no write");
                assert_eq!(loaded(&tower, record.id).expiry_date.unix_timestamp(), record.expiry_date.unix_timestamp());
                tower.disk.clock.advance(hour / 60);
                record.expiry_date = tower.ends(hour);
                save(&tower, &record);
                tower.disk.store.flush().wait().unwrap();
                assert!(written() > before, "six minutes are");
            }

            #[test]
            fn a_user_can_be_signed_out_everywhere() {
                let mut tower = Tower::new();
                let user = |data: &HashMap<String, Value>| Some(data.get("user")?.to_string());
                tower.sessions = tower.sessions.owned_by(user);
                let (laptop, phone) = (created(&tower, &[("user", 7)]), created(&tower, &[]));
                let other = created(&tower, &[("user", 8)]);
                assert_eq!(tower.disk.store.sessions_of("7").unwrap().len(), 1);
                let mut signed_in = loaded(&tower, phone.id);
                let stale = loaded(&tower, phone.id);
                signed_in.data.insert("user".to_owned(), 7.into());
                save(&tower, &signed_in);
                save(&tower, &stale);
                assert_eq!(tower.disk.store.sessions_of("7").unwrap().len(), 2, "a request without that value signs no user out");
                assert_eq!(tower.disk.store.destroy_sessions_of("7").wait().unwrap(), 2);
                for id in [laptop.id, phone.id] {
                    assert!(block_on(SessionStore::load(&tower.sessions, &id)).unwrap().is_none());
                }
                assert_eq!(pairs(&loaded(&tower, other.id)), [("user", 8)]);
            }

            #[test]
            fn neither_the_file_nor_a_print_holds_an_id() {
                let tower = Tower::new();
                let record = created(&tower, &[("cart", 1)]);
                assert!(!format!("{:?}", tower.sessions).contains(&record.id.to_string()));
                let bytes = tower.disk.files();
                for secret in [record.id.0.to_le_bytes(), record.id.0.to_be_bytes()] {
                    assert!(!bytes.windows(16).any(|window| window == secret));
                }
                let text = record.id.to_string();
                assert!(!bytes.windows(text.len()).any(|window| window == text.as_bytes()));
            }
        }
    };
}

test_version!(tower_sessions_core_0_14, 14, v0_14);
test_version!(tower_sessions_core_0_15, 15, v0_15);

#[test]
fn a_session_of_0_14_is_one_of_0_15() {
    let old = Tower::<14>::new();
    let data = Data::from([("name".to_owned(), r#""Ada""#.to_owned())]);
    let id = Subject::create(&old, &data, Duration::from_hours(1)).unwrap();
    let new = Tower::<15>::on(old.disk);
    assert_eq!(Subject::load(&new, &tower_sessions_core_0_15::session::Id(id.0)).unwrap(), Some(data));
}
