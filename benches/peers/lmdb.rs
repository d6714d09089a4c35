//! LMDB, with its defaults.

use std::path::Path;

use heed::{CommitOrAbort, Database, Env, EnvOpenOptions, types::Bytes};
use sessile_benches::disk::{Group, Record, Sink};

/// LMDB: one transaction for a group, with its default durability.
pub(crate) fn open(directory: &Path) -> Group {
    struct Lmdb {
        env: Env,
        records: Database<'static, Bytes, Bytes>,
    }
    impl Lmdb {
        fn new(env: Env) -> Result<Self, heed::Error> {
            let txn = env.write_txn()?;
            let made = env.create_databases_and_commit(txn, |opener, txn| -> Result<_, heed::Error> {
                Ok(CommitOrAbort::<_, ()>::Commit(opener.create_database(txn, None)?))
            });
            let records = made?.unwrap_commit();
            Ok(Self { env, records })
        }
    }
    impl Sink for Lmdb {
        fn commit(&mut self, records: &[Record]) {
            let mut txn = self.env.write_txn().expect("the disk works");
            for (key, value) in records {
                self.records.put(&mut txn, key, value).expect("the disk works");
            }
            txn.commit().expect("the disk works");
        }
    }
    let mut options = EnvOpenOptions::new();
    options.map_size(8 << 30);
    // SAFETY: the directory is this run's own, so nobody else changes the file that is mapped.
    let env = unsafe { options.open(directory) }.expect("the directory is new");
    Group::new(Lmdb::new(env).expect("the directory is new"))
}
