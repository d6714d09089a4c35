//! All tables as they were at one moment, and their copy into a file of its own.
//!
//! What is in the store's journal is passed as changes. Each table is written in its own order, with the changes in their places: so
//! the copy has no free space in it, and takes a tenth of the time.
//!
//! Invariant: the table that makes the file a store is written last, in a transaction of its own. A copy that was interrupted is
//! not a store.

use std::{
    collections::{BTreeMap, HashMap},
    iter::Peekable,
};

use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table, TableDefinition, WriteTransaction,
};
use sessile_codec::Record;

use super::{
    Contents, EXPIRY, OWNERS, PREFIX, QUARANTINE, RECORDS, contents_of, expiry_entry, minute, owner_entry, stored_record, tail,
};
use crate::{
    disk::{
        form::AtRest,
        meta::StoreMeta,
        op::{ENDED, NOTES},
        pending::Change,
    },
    owner::NOBODY,
    token::Key,
};

/// All tables at one moment. While it exists, redb does not use the pages again that are in it.
pub(in crate::disk) struct Snapshot(ReadTransaction);

/// Is called before each transaction of a copy, with the number of records that are copied. Returns the bytes of the transaction. An
/// error ends the copy.
pub(in crate::disk) type Pace<'a> = &'a mut dyn FnMut(u64) -> Result<usize, redb::Error>;

/// A copy that was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::disk) struct Copied {
    pub(in crate::disk) records: u64,
    /// Records that cannot be read, and are in quarantine in the copy.
    pub(in crate::disk) damaged: u64,
}

/// What comes next of two sorted sequences.
enum Next<S, C> {
    Stored(S),
    Change(C),
}

impl Snapshot {
    pub(in crate::disk) fn begin(db: &Database) -> Result<Self, redb::Error> {
        Ok(Self(db.begin_read()?))
    }

    /// Returns the number of records.
    pub(in crate::disk) fn records(&self) -> Result<u64, redb::Error> {
        Ok(self.0.open_table(RECORDS)?.len()?)
    }

    /// Returns the values of the `meta` table.
    pub(in crate::disk) fn meta(&self) -> Result<Option<StoreMeta>, redb::Error> {
        Ok(match contents_of(&self.0)? {
            Contents::Store(meta) => Some(meta),
            Contents::OtherFormat(_) | Contents::SomethingElse => None,
        })
    }

    /// Copies the tables, as `changes` make them, into `into`, which is empty. Damaged records go to quarantine there. `meta` is
    /// what the copy says of itself.
    pub(in crate::disk) fn copy(
        &self,
        into: &Database,
        form: &AtRest,
        changes: &[Change],
        meta: &StoreMeta,
        pace: Pace<'_>,
    ) -> Result<Copied, redb::Error> {
        let changes: HashMap<&Key, Option<&Record>> = changes.iter().map(|(key, record)| (key, record.as_ref())).collect();
        let mut puts: Vec<(&Key, &Record)> = changes.iter().filter_map(|(key, record)| Some((*key, (*record)?))).collect();
        puts.sort_unstable_by_key(|(key, _)| *key);

        let (records, damaged) = self.copy_records(into, form, &changes, &puts, pace)?;
        let is_left_out = |key: &Key| changes.contains_key(key) || damaged.contains_key(key);
        let expiry = puts.iter().map(|(key, record)| expiry_entry(minute(record.meta().deadline_ms()), key)).collect();
        self.copy_index(into, EXPIRY, expiry, is_left_out, &mut || pace(records))?;
        let owned = puts.iter().map(|(key, record)| (record.meta().owner, key)).filter(|(owner, _)| *owner != NOBODY);
        let owners = owned.map(|(owner, key)| owner_entry(&owner, key)).collect();
        self.copy_index(into, OWNERS, owners, is_left_out, &mut || pace(records))?;
        let quarantine = self.0.open_table(QUARANTINE)?;
        transact(into, |txn| {
            let mut table = txn.open_table(QUARANTINE)?;
            for entry in quarantine.iter()? {
                let (key, value) = entry?;
                table.insert(key.value(), value.value())?;
            }
            damaged.iter().try_for_each(|(key, value)| table.insert(key, value.as_slice()).map(drop))?;
            Ok(())
        })?;
        super::create(into, meta)?;
        Ok(Copied { records, damaged: damaged.len() as u64 })
    }

    /// Copies the records. Returns their number, and those that are damaged.
    fn copy_records(
        &self,
        into: &Database,
        form: &AtRest,
        changes: &HashMap<&Key, Option<&Record>>,
        puts: &[(&Key, &Record)],
        pace: Pace<'_>,
    ) -> Result<(u64, BTreeMap<Key, Vec<u8>>), redb::Error> {
        let records = self.0.open_table(RECORDS)?;
        let (mut stored, mut puts) = (records.iter()?.peekable(), puts.iter().peekable());
        let (mut copied, mut damaged, mut is_over) = (0, BTreeMap::new(), false);
        while !is_over {
            let most_bytes = pace(copied)?;
            transact(into, |txn| {
                let mut table = txn.open_table(RECORDS)?;
                let mut bytes = 0;
                while bytes < most_bytes {
                    let next = first(&mut stored, &mut puts, |(stored, _), (put, _)| stored.value() <= *put)?;
                    match next {
                        None => {
                            is_over = true;
                            break;
                        }
                        Some(Next::Change((key, record))) => {
                            bytes += put(&mut table, form, key, record)?;
                            copied += 1;
                        }
                        Some(Next::Stored((key, value))) => {
                            let (key, value) = (key.value(), value.value());
                            bytes += value.len();
                            if changes.contains_key(key) {
                                // It comes with the changes, if it is still there.
                            } else if form.is_damaged(stored_record(value), key) {
                                damaged.insert(*key, value.to_vec());
                            } else {
                                table.insert(key, value)?;
                                copied += 1;
                            }
                        }
                    }
                }
                Ok(())
            })?;
        }
        Ok((copied, damaged))
    }

    /// Copies the entries of an index, except those of keys that `is_left_out` accepts, and adds `entries`.
    fn copy_index<const N: usize>(
        &self,
        into: &Database,
        index: TableDefinition<'static, &'static [u8; N], ()>,
        mut entries: Vec<[u8; N]>,
        is_left_out: impl Fn(&Key) -> bool,
        pace: &mut dyn FnMut() -> Result<usize, redb::Error>,
    ) -> Result<(), redb::Error> {
        entries.sort_unstable();
        let table = self.0.open_table(index)?;
        let (mut stored, mut added) = (table.iter()?.peekable(), entries.iter().peekable());
        let mut is_over = false;
        while !is_over {
            let most_entries = pace()? / N;
            transact(into, |txn| {
                let mut copy = txn.open_table(index)?;
                for _ in 0..most_entries {
                    match first(&mut stored, &mut added, |(stored, _), added| stored.value() <= added)? {
                        None => {
                            is_over = true;
                            break;
                        }
                        Some(Next::Stored((entry, _))) if is_left_out(&tail(entry.value())) => {}
                        Some(Next::Stored((entry, _))) => drop(copy.insert(entry.value(), ())?),
                        Some(Next::Change(entry)) => drop(copy.insert(entry, ())?),
                    }
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// Returns the first of two sorted sequences' next elements; `is_first` returns whether a stored one comes before a change.
fn first<'c, S, C>(
    stored: &mut Peekable<impl Iterator<Item = Result<S, redb::StorageError>>>,
    changes: &mut Peekable<impl Iterator<Item = &'c C>>,
    is_first: impl Fn(&S, &C) -> bool,
) -> Result<Option<Next<S, &'c C>>, redb::Error> {
    let takes_stored = match (stored.peek(), changes.peek()) {
        (Some(Ok(stored)), Some(change)) => is_first(stored, change),
        (Some(_), _) => true,
        (None, _) => false,
    };
    if takes_stored {
        return Ok(stored.next().transpose()?.map(Next::Stored));
    }
    Ok(changes.next().map(Next::Change))
}

/// Stores a record that is new under `key`. Returns its bytes.
fn put(
    table: &mut Table<'_, &'static [u8; 16], &'static [u8]>,
    form: &AtRest,
    key: &Key,
    record: &Record,
) -> Result<usize, redb::Error> {
    let len = form.len_bytes(record);
    let mut value = table.insert_reserve(key, PREFIX + len)?;
    value.as_mut()[..PREFIX].copy_from_slice(&minute(record.meta().deadline_ms()).to_le_bytes());
    let written = form.write(&mut value.as_mut()[PREFIX..], key, record);
    written.map_err(|error| redb::Error::Io(std::io::Error::other(error)))?;
    Ok(PREFIX + len)
}

/// The numbers of records of each kind.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::disk) struct Counted {
    pub(in crate::disk) records: u64,
    pub(in crate::disk) sessions: u64,
    pub(in crate::disk) damaged: u64,
    /// Those of another release, or sealed with a key that is not configured.
    pub(in crate::disk) unknown: u64,
}

/// Reads every record.
pub(in crate::disk) fn count(db: &Database, form: &AtRest) -> Result<Counted, redb::Error> {
    let table = db.begin_read()?.open_table(RECORDS)?;
    let mut counted = Counted::default();
    for entry in table.iter()? {
        let (key, value) = entry?;
        counted.records += 1;
        match form.read(stored_record(value.value()), key.value()) {
            Ok(record) => counted.sessions += u64::from(![ENDED, NOTES].contains(&record.meta().owner)),
            Err(error) if error.is_damage() => counted.damaged += 1,
            Err(_) => counted.unknown += 1,
        }
    }
    Ok(counted)
}

/// Runs `work` in one transaction, without what would make the next open after a crash short: an interrupted copy is not opened.
fn transact(db: &Database, work: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>) -> Result<(), redb::Error> {
    let txn = db.begin_write()?;
    work(&txn)?;
    Ok(txn.commit()?)
}
