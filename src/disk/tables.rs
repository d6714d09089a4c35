//! Every redb table and its encoding.
//!
//! ```text
//! records     record key [16]                     -> minute u32 LE, record or sealed record
//! expiry      minute u32 BE, record key [16]      -> ()
//! owners      owner [16], record key [16]         -> ()
//! meta        "format" | "store_id" | "mac_keys"  -> bytes; the keys are sealed if the records are
//!             "sealed"                            -> the form of sealed records u32 LE; absent if they are plain
//!             "journal"                           -> generation u64 LE, salt u64 LE, whether one is in use u8, newest in use u64 LE if one is named
//!             "clock"                             -> certain time u64 LE, the clock when it was first ahead u64 LE
//!             "copied"                            -> from a backup: its moment ms u64 LE, its generation u64 LE
//! quarantine  record key [16]                     -> its damaged value in `records`
//! ```
//!
//! Invariants: they change in one transaction; every record has exactly one entry in `expiry`, under the minute stored before
//! it, which is never later than its deadline; every record with an owner has exactly one entry in `owners`. The expiry entry
//! is lazy: each write of a used session moves its deadline, but only the sweep moves its entry.
//!
//! Every transaction uses quick-repair: without it, the next crash costs a walk through the whole file.

mod snapshot;

use std::ops::Bound;

use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table, TableDefinition, WriteTransaction,
};
use sessile_codec::Record;
use zeroize::Zeroizing;

pub(super) use self::snapshot::{Copied, Counted, Snapshot, count};
use super::{
    form::{AtRest, IndexedFields},
    meta::{CopyMark, JournalMark, Minute, StoreMeta},
    op::{ENDED, NOTES},
    pending::Change,
};
use crate::{
    Error,
    owner::NOBODY,
    timeline::Mark,
    token::{Handle, Key},
};

const RECORDS: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("records");
const EXPIRY: TableDefinition<'_, &[u8; 20], ()> = TableDefinition::new("expiry");
const OWNERS: TableDefinition<'_, &[u8; 32], ()> = TableDefinition::new("owners");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const QUARANTINE: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("quarantine");

/// The layout of the tables, and of the records in them, that this build writes and reads. 1 had records with a shorter header,
/// and was never released.
pub(super) const FORMAT: u32 = 2;
/// Length of the minute before a record.
const PREFIX: usize = 4;

/// What a redb file contains.
pub(super) enum Contents {
    Store(StoreMeta),
    OtherFormat(u32),
    SomethingElse,
}

/// Runs `work` in one transaction. Returns the number of records after it.
pub(super) fn write(
    db: &Database,
    form: &AtRest,
    work: impl FnOnce(&mut Tables<'_>) -> Result<(), redb::Error>,
) -> Result<u64, redb::Error> {
    let mut txn = db.begin_write()?;
    txn.set_quick_repair(true);
    let records = {
        let mut tables = Tables::open(&txn, form)?;
        work(&mut tables)?;
        tables.records.len()?
    };
    txn.commit()?;
    Ok(records)
}

pub(super) fn create(db: &Database, meta: &StoreMeta) -> Result<(), redb::Error> {
    let mut txn = db.begin_write()?;
    txn.set_quick_repair(true);
    {
        let mut table = txn.open_table(META)?;
        table.insert("format", FORMAT.to_le_bytes().as_slice())?;
        table.insert("store_id", meta.store_id.as_slice())?;
        table.insert("mac_keys", meta.mac_keys.as_slice())?;
        table.insert("journal", meta.journal.encode().as_slice())?;
        if let Some(form) = meta.sealed {
            table.insert("sealed", form.to_le_bytes().as_slice())?;
        }
        if let Some(clock) = meta.clock {
            table.insert("clock", encode_clock(clock).as_slice())?;
        }
        if let Some(copied) = meta.copied {
            table.insert("copied", copied.encode().as_slice())?;
        }
    }
    // The tables are created here, so that a reader can rely on them.
    Tables::open(&txn, &AtRest::Plain)?;
    Ok(txn.commit()?)
}

pub(super) fn contents(db: &Database) -> Result<Contents, redb::Error> {
    contents_of(&db.begin_read()?)
}

fn contents_of(txn: &ReadTransaction) -> Result<Contents, redb::Error> {
    let table = match txn.open_table(META) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_) | redb::TableError::TableTypeMismatch { .. }) => {
            return Ok(Contents::SomethingElse);
        }
        Err(error) => return Err(error.into()),
    };
    let read = |name| table.get(name).map(|found| found.map(|value| value.value().to_vec()));
    let (format, store_id, mac_keys, journal) = (read("format")?, read("store_id")?, read("mac_keys")?, read("journal")?);
    Ok(match parse_meta(format, store_id, mac_keys, journal, read("clock")?, read("sealed")?) {
        Contents::Store(meta) => {
            let copied = read("copied")?.and_then(|bytes| CopyMark::decode(&bytes));
            Contents::Store(StoreMeta { copied, ..meta })
        }
        other => other,
    })
}

/// Classifies the file by the values of its meta table.
pub(super) fn parse_meta(
    format: Option<Vec<u8>>,
    store_id: Option<Vec<u8>>,
    mac_keys: Option<Vec<u8>>,
    journal: Option<Vec<u8>>,
    clock: Option<Vec<u8>>,
    sealed: Option<Vec<u8>>,
) -> Contents {
    // Without it there is nothing to compare the clock with, but the store is complete.
    let clock = clock.and_then(|bytes| decode_clock(&bytes));
    let number = |bytes: Vec<u8>| Some(u32::from_le_bytes(bytes.try_into().ok()?));
    // A value of another length is a form that this build does not know.
    let sealed = sealed.map(|bytes| number(bytes).unwrap_or(u32::MAX));
    let number = format.and_then(number);
    let store_id = store_id.and_then(|bytes| bytes.try_into().ok());
    let journal = journal.and_then(|bytes| JournalMark::decode(&bytes));
    match (number, store_id, mac_keys) {
        (Some(FORMAT), Some(store_id), Some(mac_keys)) => match journal {
            Some(journal) => {
                let mac_keys = Zeroizing::new(mac_keys);
                Contents::Store(StoreMeta { store_id, mac_keys, sealed, journal, clock, copied: None })
            }
            None => Contents::SomethingElse,
        },
        (Some(found), ..) if found != FORMAT => Contents::OtherFormat(found),
        _ => Contents::SomethingElse,
    }
}

/// Calls `read` with the stored bytes under `key`, and returns its result.
pub(super) fn load<T>(db: &Database, key: &Key, read: impl FnOnce(&[u8]) -> T) -> Result<Option<T>, redb::Error> {
    let table = db.begin_read()?.open_table(RECORDS)?;
    let found = table.get(key)?;
    Ok(found.map(|value| read(stored_record(value.value()))))
}

/// Calls `read` with up to `limit` records after the one under `after`, and returns the results.
#[cfg(feature = "encryption")]
pub(super) fn slice<T>(
    db: &Database,
    after: Option<&Key>,
    limit: usize,
    read: impl Fn(&[u8], &Key) -> T,
) -> Result<Vec<(Key, T)>, redb::Error> {
    let table = db.begin_read()?.open_table(RECORDS)?;
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let entries = table.range::<&[u8; 16]>((from, Bound::Unbounded))?.take(limit);
    entries
        .map(|entry| {
            let (key, value) = entry?;
            Ok((*key.value(), read(stored_record(value.value()), key.value())))
        })
        .collect()
}

/// Returns for each of `keys` whether it has a record.
pub(super) fn which(db: &Database, keys: &[Key]) -> Result<Vec<bool>, redb::Error> {
    let table = db.begin_read()?.open_table(RECORDS)?;
    keys.iter().map(|key| Ok(table.get(key)?.is_some())).collect()
}

/// Returns the number of records, including expired ones that were not swept yet.
pub(super) fn len(db: &Database) -> Result<u64, redb::Error> {
    Ok(db.begin_read()?.open_table(RECORDS)?.len()?)
}

/// Returns the keys of all records.
#[cfg(feature = "foreign")]
pub(super) fn keys(db: &Database) -> Result<Vec<Key>, redb::Error> {
    let table = db.begin_read()?.open_table(RECORDS)?;
    table.iter()?.map(|entry| Ok(*entry?.0.value())).collect()
}

/// Returns the keys of all records of one owner.
pub(super) fn of_owner(db: &Database, owner: &[u8; 16]) -> Result<Vec<Key>, redb::Error> {
    let table = db.begin_read()?.open_table(OWNERS)?;
    let (from, to) = (owner_entry(owner, &[0; 16]), owner_entry(owner, &[0xff; 16]));
    let entries = table.range::<&[u8; 32]>(&from..=&to)?;
    entries.map(|entry| Ok(tail(entry?.0.value()))).collect()
}

/// Returns up to `limit` entries of the expiry index that are due at `now_ms` and that `may_go` accepts, oldest first.
pub(super) fn due(
    db: &Database,
    now_ms: u64,
    limit: usize,
    may_go: impl Fn(&Key) -> bool,
) -> Result<Vec<Position>, redb::Error> {
    let table = db.begin_read()?.open_table(EXPIRY)?;
    let (from, to) = (expiry_entry(0, &[0; 16]), expiry_entry(minute(now_ms), &[0xff; 16]));
    let entries = table.range::<&[u8; 20]>(&from..=&to)?.map(|entry| Ok(parse_expiry(entry?.0.value())));
    let goes = |entry: &Result<Position, redb::Error>| entry.as_ref().map_or(true, |(_, key)| may_go(key));
    entries.filter(goes).take(limit).collect()
}

/// A place in the expiry index.
pub(super) type Position = (Minute, Key);

/// Returns up to `most` sessions after `after` that have no owner, or are over at `now_ms` by redb's records, in the order of
/// the expiry index. Also returns the position to continue after; `None` at the end of the index.
pub(super) fn expendable(
    db: &Database,
    form: &AtRest,
    after: Option<Position>,
    now_ms: u64,
    most: usize,
) -> Result<(Vec<Key>, Option<Position>), redb::Error> {
    let txn = db.begin_read()?;
    let (expiry, records) = (txn.open_table(EXPIRY)?, txn.open_table(RECORDS)?);
    // If all have an owner, the rest of the index need not be read.
    let all_have_owners = records.len()? <= txn.open_table(OWNERS)?.len()?;
    let last = if all_have_owners { minute(now_ms) } else { Minute::MAX };
    let Some((from, to)) = expiry_range(after, last) else { return Ok((Vec::new(), None)) };
    let range = (from.as_ref().map_or(Bound::Unbounded, Bound::Excluded), Bound::Included(&to));
    let mut found = Vec::new();
    for entry in expiry.range::<&[u8; 20]>(range)? {
        let position = parse_expiry(entry?.0.value());
        let record = records.get(&position.1)?;
        let Some(outline) = record.and_then(|value| form.outline(stored_record(value.value()))) else { continue };
        let is_session = outline.owner != ENDED && outline.owner != NOTES;
        if outline.owner == NOBODY || (is_session && outline.deadline_ms <= now_ms) {
            found.push(position.1);
            if found.len() == most {
                return Ok((found, Some(position)));
            }
        }
    }
    Ok((found, None))
}

/// The tables of one write transaction.
pub(super) struct Tables<'txn> {
    form: &'txn AtRest,
    records: Table<'txn, &'static [u8; 16], &'static [u8]>,
    expiry: Table<'txn, &'static [u8; 20], ()>,
    owners: Table<'txn, &'static [u8; 32], ()>,
    meta: Table<'txn, &'static str, &'static [u8]>,
    quarantine: Table<'txn, &'static [u8; 16], &'static [u8]>,
}

impl<'txn> Tables<'txn> {
    fn open(txn: &'txn WriteTransaction, form: &'txn AtRest) -> Result<Self, redb::Error> {
        Ok(Self {
            form,
            records: txn.open_table(RECORDS)?,
            expiry: txn.open_table(EXPIRY)?,
            owners: txn.open_table(OWNERS)?,
            meta: txn.open_table(META)?,
            quarantine: txn.open_table(QUARANTINE)?,
        })
    }

    pub(super) fn apply(&mut self, changes: &[Change]) -> Result<(), redb::Error> {
        changes.iter().try_for_each(|(key, record)| self.change(key, record.as_ref()))
    }

    /// Stores `record` under `key`; `None` deletes.
    pub(super) fn change(&mut self, key: &Key, record: Option<&Record>) -> Result<(), redb::Error> {
        match record {
            Some(record) => self.put(key, record),
            None => self.delete(key),
        }
    }

    pub(super) fn set_journal(&mut self, mark: JournalMark) -> Result<(), redb::Error> {
        self.meta.insert("journal", mark.encode().as_slice())?;
        Ok(())
    }

    pub(super) fn set_clock(&mut self, mark: Mark) -> Result<(), redb::Error> {
        self.meta.insert("clock", encode_clock(mark).as_slice())?;
        Ok(())
    }

    pub(super) fn set_mac_keys(&mut self, mac_keys: &[u8]) -> Result<(), redb::Error> {
        self.meta.insert("mac_keys", mac_keys)?;
        Ok(())
    }

    /// Quarantines the bytes under `key`, if `is_damaged` returns `true` for them. Returns whether it did.
    pub(super) fn quarantine(&mut self, key: &Key, is_damaged: impl FnOnce(&[u8]) -> bool) -> Result<bool, redb::Error> {
        let found = self.records.get(key)?.map(|value| value.value().to_vec());
        let Some(bytes) = found.filter(|bytes| is_damaged(bytes.get(PREFIX..).unwrap_or_default())) else { return Ok(false) };
        self.quarantine.insert(key, bytes.as_slice())?;
        self.delete(key)?;
        Ok(true)
    }

    fn put(&mut self, key: &Key, record: &Record) -> Result<(), redb::Error> {
        let meta = record.meta();
        let deadline = minute(meta.deadline_ms());
        let before = self.indexed(key)?;
        let listed = match before {
            // Lazy: the sweep moves an entry that is too early.
            Some((listed, _)) if listed <= deadline => listed,
            _ => deadline,
        };
        if before.map(|(listed, _)| listed) != Some(listed) {
            if let Some((old, _)) = before {
                self.expiry.remove(&expiry_entry(old, key))?;
            }
            self.expiry.insert(&expiry_entry(listed, key), ())?;
        }
        self.set_owner(key, before.map_or([0; 16], |(_, owner)| owner), meta.owner)?;
        let form = self.form;
        self.store(key, listed, form.len_bytes(record), |into| form.write(into, key, record))
    }

    fn store(
        &mut self,
        key: &Key,
        listed: Minute,
        len: usize,
        write: impl FnOnce(&mut [u8]) -> Result<(), Error>,
    ) -> Result<(), redb::Error> {
        let mut value = self.records.insert_reserve(key, PREFIX + len)?;
        value.as_mut()[..PREFIX].copy_from_slice(&listed.to_le_bytes());
        // Sealing needs randomness; without it the transaction fails like after a disk error.
        write(&mut value.as_mut()[PREFIX..]).map_err(|error| redb::Error::Io(std::io::Error::other(error)))
    }

    pub(super) fn delete(&mut self, key: &Key) -> Result<(), redb::Error> {
        if let Some((listed, owner)) = self.indexed(key)? {
            self.expiry.remove(&expiry_entry(listed, key))?;
            self.set_owner(key, owner, [0; 16])?;
            self.records.remove(key)?;
        }
        Ok(())
    }

    /// Moves the expiry entry of a live record, or removes an entry without a record.
    pub(super) fn relist(&mut self, key: &Key, from: Minute, deadline_ms: u64) -> Result<(), redb::Error> {
        self.expiry.remove(&expiry_entry(from, key))?;
        let record = self.records.get(key)?.map(|value| value.value().get(PREFIX..).unwrap_or_default().to_vec());
        let Some(record) = record else { return Ok(()) };
        self.expiry.insert(&expiry_entry(minute(deadline_ms), key), ())?;
        self.store(key, minute(deadline_ms), record.len(), |into| {
            into.copy_from_slice(&record);
            Ok(())
        })
    }

    /// Returns the indexed fields of the record under `key`, unchecked.
    pub(super) fn outline(&self, key: &Key) -> Result<Option<IndexedFields>, redb::Error> {
        let found = self.records.get(key)?;
        Ok(found.and_then(|value| self.form.outline(value.value().get(PREFIX..)?)))
    }

    /// Returns the handle of the session under `key`, unchecked; `None` if the record cannot be read.
    pub(super) fn handle(&self, key: &Key) -> Result<Option<Handle>, redb::Error> {
        let found = self.records.get(key)?;
        Ok(found.and_then(|value| self.form.handle(value.value().get(PREFIX..)?, key)))
    }

    /// Returns the index entries of the record under `key`: its expiry minute and its owner.
    fn indexed(&self, key: &Key) -> Result<Option<(Minute, [u8; 16])>, redb::Error> {
        let found = self.records.get(key)?;
        Ok(found.and_then(|value| parse_record(value.value(), self.form).1))
    }

    fn set_owner(&mut self, key: &Key, old: [u8; 16], new: [u8; 16]) -> Result<(), redb::Error> {
        if old == new {
            return Ok(());
        }
        if old != [0; 16] {
            self.owners.remove(&owner_entry(&old, key))?;
        }
        if new != [0; 16] {
            self.owners.insert(&owner_entry(&new, key), ())?;
        }
        Ok(())
    }
}

pub(super) fn encode_clock(mark: Mark) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&mark.certain_ms.to_le_bytes());
    bytes[8..].copy_from_slice(&mark.ahead_ms.to_le_bytes());
    bytes
}

fn decode_clock(bytes: &[u8]) -> Option<Mark> {
    let bytes: &[u8; 16] = bytes.try_into().ok()?;
    let (certain_ms, ahead_ms) = bytes.split_first_chunk()?;
    Some(Mark { certain_ms: u64::from_le_bytes(*certain_ms), ahead_ms: u64::from_le_bytes(ahead_ms.try_into().ok()?) })
}

/// Returns the record in a value of its table, unchecked.
fn stored_record(value: &[u8]) -> &[u8] {
    value.get(PREFIX..).unwrap_or_default()
}

/// Returns the record in a value of its table, unchecked, and its index entries.
pub(super) fn parse_record<'a>(value: &'a [u8], form: &AtRest) -> (&'a [u8], Option<(Minute, [u8; 16])>) {
    let Some((minute, record)) = value.split_first_chunk::<PREFIX>() else { return (&[], None) };
    let owner = form.outline(record).map_or([0; 16], |outline| outline.owner);
    (record, Some((u32::from_le_bytes(*minute), owner)))
}

/// Returns the minute of `ms`; every time beyond the last minute, some eight thousand years away, is in the last one.
pub(super) fn minute(ms: u64) -> Minute {
    Minute::try_from(ms / 60_000).unwrap_or(Minute::MAX)
}

/// Returns the last moment of a minute; for the last minute, never.
#[cfg(feature = "encryption")]
pub(super) fn last_ms(minute: Minute) -> u64 {
    if minute == Minute::MAX { u64::MAX } else { u64::from(minute) * 60_000 + 59_999 }
}

fn expiry_entry(minute: Minute, key: &Key) -> [u8; 20] {
    let mut entry = [0; 20];
    // Big-endian, so that the order of entries is the order of minutes.
    entry[..4].copy_from_slice(&minute.to_be_bytes());
    entry[4..].copy_from_slice(key);
    entry
}

/// Returns the range of entries after `after` up to the end of minute `last`; `None` if it is empty.
fn expiry_range(after: Option<Position>, last: Minute) -> Option<(Option<[u8; 20]>, [u8; 20])> {
    let (from, to) = (after.map(|(minute, key)| expiry_entry(minute, &key)), expiry_entry(last, &[0xff; 16]));
    from.is_none_or(|from| from < to).then_some((from, to))
}

fn parse_expiry(entry: &[u8; 20]) -> Position {
    let minute = entry.first_chunk().expect("an expiry entry begins with four bytes");
    (u32::from_be_bytes(*minute), tail(entry))
}

fn owner_entry(owner: &[u8; 16], key: &Key) -> [u8; 32] {
    let mut entry = [0; 32];
    entry[..16].copy_from_slice(owner);
    entry[16..].copy_from_slice(key);
    entry
}

/// Returns the record key at the end of an index entry.
fn tail(entry: &[u8]) -> Key {
    *entry.last_chunk().expect("an index entry ends with a record key")
}

#[cfg(test)]
mod tests;
