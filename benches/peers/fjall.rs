//! fjall, with its defaults, and each batch synced.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use sessile_benches::disk::{Group, Record, Sink};

/// fjall: one batch for a group, synced with `PersistMode::SyncData`.
pub(crate) fn open(directory: &Path) -> Group {
    struct Fjall {
        database: Database,
        records: Keyspace,
    }
    impl Sink for Fjall {
        fn commit(&mut self, records: &[Record]) {
            let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
            for (key, value) in records {
                batch.insert(&self.records, key.as_slice(), value.as_slice());
            }
            batch.commit().expect("the disk works");
        }
    }
    let database = Database::builder(directory.join("fjall")).open().expect("the directory is new");
    let records = database.keyspace("records", KeyspaceCreateOptions::default).expect("the directory is new");
    Group::new(Fjall { database, records })
}
