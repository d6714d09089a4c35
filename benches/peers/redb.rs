//! redb, with its defaults.

use std::path::Path;

use redb::{Database, TableDefinition};
use sessile_benches::disk::{Group, Record, Sink};

const TABLE: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("records");

/// A redb file: one transaction for a group, with its default durability.
pub(crate) fn open(directory: &Path) -> Group {
    struct Redb(Database);
    impl Sink for Redb {
        fn commit(&mut self, records: &[Record]) {
            let txn = self.0.begin_write().expect("the disk works");
            {
                let mut table = txn.open_table(TABLE).expect("the disk works");
                for (key, value) in records {
                    table.insert(key, value.as_slice()).expect("the disk works");
                }
            }
            txn.commit().expect("the disk works");
        }
    }
    Group::new(Redb(Database::create(directory.join("redb")).expect("the directory is new")))
}
