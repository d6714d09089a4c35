//! Copies a closed store into a new one, whose records have another form or other keys.
//!
//! In a file that was once plain, replaced records stay readable in its free pages. So a store is not encrypted in place.
//!
//! Invariants: the new store appears under its name complete or not at all; the old one is not changed and, while it is read,
//! cannot be opened by another process; a record without its key ends the copy, only damage is left out.

use std::{ffi::OsString, io, sync::Arc, time::Duration};

use super::{
    database::{self, Database, Options},
    form::{self, Encryption, Unreadable},
    meta::StoreMeta,
    op::{ENDED, is_note},
    recover,
    tables::{self, Tables},
    volume::Volume,
};
use crate::{Error, error::Cause, keys::VERSION, token::random_bytes};

/// A store's file, and the keys of what is in it.
pub(crate) struct Place {
    pub(crate) volume: Arc<dyn Volume>,
    pub(crate) name: OsString,
    pub(crate) encryption: Encryption,
}

impl Place {
    fn cannot_open(&self, source: Cause) -> Error {
        Error::Open { path: self.volume.path(&self.name), source }
    }
}

/// Records in one transaction.
const SLICE: usize = 500;

/// Copies `from` to `to`. Returns the number of copied sessions. The journal of `from` must be empty, as a clean close leaves
/// it.
pub(crate) fn copy(from: &Place, to: &Place, cache_bytes: usize) -> Result<u64, Error> {
    if to.volume.look(&to.name).is_ok() {
        return Err(to.cannot_open(io::Error::from(io::ErrorKind::AlreadyExists).into()));
    }
    recover::refuse_orphans(&*to.volume, &to.name)?;
    let options = Options { cache_bytes, verify: false, accept_empty: false };
    let (old, meta) = Database::open(from.volume.clone(), &from.name, options, &from.encryption, Duration::ZERO)?;
    if meta.journal.in_use {
        let text = "another process has used the store since it was closed";
        return Err(from.cannot_open(Cause::text(text)));
    }
    let store_id = random_bytes()?;
    let form = to.encryption.form(store_id);
    let new_meta = StoreMeta::new(store_id, form.seal_secret(&meta.mac_keys)?, &form);
    let (mut copied, mut notes) = (0_u64, 0);
    let write = |new: &redb::Database, work: &dyn Fn(&mut Tables<'_>) -> Result<(), redb::Error>| {
        database::bounded(|| tables::write(new, &form, work)).map_err(|source| to.cannot_open(source))
    };
    database::make(&*to.volume, &to.name, options, &new_meta, |new| {
        if let Some(clock) = meta.clock {
            // Otherwise a clock that was set back would bring back expired sessions.
            write(new, &|tables| tables.set_clock(clock))?;
        }
        let mut after = None;
        loop {
            let read = |bytes: &[u8], key: &_| old.at_rest().read(bytes, key);
            let slice = old.with(|redb| tables::slice(redb, after.as_ref(), SLICE, read))?;
            let Some((last, _)) = slice.last() else { return Ok(()) };
            after = Some(*last);
            let mut changes = Vec::with_capacity(slice.len());
            for (key, found) in slice {
                match found {
                    // An ended session was sealed for the old store, and does not open in the new one.
                    Ok(record) if record.meta().owner == ENDED => {}
                    Ok(record) => {
                        notes += u64::from(is_note(&key));
                        changes.push((key, Some(record)));
                    }
                    Err(Unreadable::UnknownKey(key)) => return Err(old.at_rest().unknown_key(key, &old.path())),
                    Err(Unreadable::OtherSeal(found)) => return Err(Error::SealVersion { found, expected: VERSION }),
                    Err(Unreadable::Codec(error)) if !form::is_damage(&error) => return Err(error.into()),
                    // Its session is absent in the old store, too.
                    Err(Unreadable::Codec(_) | Unreadable::Altered) => {}
                }
            }
            copied = write(new, &|tables| tables.apply(&changes))?;
        }
    })?;
    old.close()?;
    let (new, meta) = Database::open(to.volume.clone(), &to.name, options, &to.encryption, Duration::ZERO)?;
    new.close()?;
    if meta.store_id != store_id {
        // Another process was faster, and has the name.
        return Err(to.cannot_open(io::Error::from(io::ErrorKind::AlreadyExists).into()));
    }
    Ok(copied.saturating_sub(notes))
}
