//! SQLite with a write-ahead log and `synchronous = FULL`, so that a commit is durable.

use std::path::Path;

use rusqlite::{Connection, params};
use sessile_benches::disk::{Group, Record, Sink};

struct Sqlite {
    connection: Connection,
    /// Whether a group is one transaction, or each put is.
    grouped: bool,
}

impl Sqlite {
    fn new(directory: &Path, grouped: bool) -> rusqlite::Result<Self> {
        let connection = Connection::open(directory.join("sqlite"))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute("CREATE TABLE records (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID", ())?;
        Ok(Self { connection, grouped })
    }

    fn write(&mut self, records: &[Record]) -> rusqlite::Result<()> {
        let txn = self.connection.transaction()?;
        {
            let mut statement = txn.prepare_cached("INSERT OR REPLACE INTO records VALUES (?1, ?2)")?;
            for (key, value) in records {
                statement.execute(params![key, value])?;
            }
        }
        txn.commit()
    }
}

impl Sink for Sqlite {
    fn commit(&mut self, records: &[Record]) {
        // More than there are writers: it is being filled.
        if self.grouped || records.len() > 1_000 {
            self.write(records).expect("the disk works");
        } else {
            records.chunks(1).for_each(|record| self.write(record).expect("the disk works"));
        }
    }
}

/// SQLite with a write-ahead log and `synchronous = FULL`: a transaction for each put.
pub(crate) fn open(directory: &Path) -> Group {
    Group::new(Sqlite::new(directory, false).expect("the directory is new"))
}

/// The same with a transaction for each group.
pub(crate) fn grouped(directory: &Path) -> Group {
    Group::new(Sqlite::new(directory, true).expect("the directory is new"))
}
