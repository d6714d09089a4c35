//! A running import: passes sessions to the store, and counts the results.
//!
//! Invariants: a session that cannot be read or stored is refused, and the import continues; after a refused session without a
//! known key, the set of sessions in the source is unknown, so no session counts as gone.

use std::collections::HashMap;

use serde_json::Value;
use sessile::{
    Error, Store,
    foreign::{
        ForeignKind, New, Owners, SessionKey, Sessions, Values,
        import::{self, Came, Exported},
    },
    model::Entry,
};
use tower_sessions_core::session::{Id, Record};

use crate::{Import, ImportError, Imported, Outcome, SessionImport};

/// The callback for each session.
pub(crate) type Each<'a> = Box<dyn FnMut(&SessionImport) + 'a>;

/// The number of stored reasons.
const MOST_REASONS: usize = 100;
/// The number of characters in an id of tower-sessions.
const ID_CHARACTERS: usize = 22;

/// A running import.
pub(crate) struct Run<'a> {
    pub(crate) store: &'a Store,
    import: import::Import<'a>,
    owners: Owners<HashMap<String, Value>>,
    each: Option<Each<'a>>,
    imported: Imported,
    /// Whether it is known which sessions the source has.
    is_whole: bool,
    /// The unit of positions.
    unit: &'static str,
}

impl<'a> Import<'a> {
    pub(crate) fn begin(self, unit: &'static str) -> Result<Run<'a>, ImportError> {
        let Self { store, source, owners, each } = self;
        let import = import::Import::begin(store, source.as_deref())?;
        Ok(Run { store, import, owners, each, imported: Imported::default(), is_whole: true, unit })
    }
}

impl Run<'_> {
    pub(crate) fn sessions(&self, kind: ForeignKind) -> Sessions {
        Sessions::new(self.store.clone(), kind)
    }

    pub(crate) fn record_limit_bytes(&self) -> usize {
        self.import.record_limit_bytes()
    }

    /// Imports a record of tower-sessions: `bytes`, or why there are none. The end of `id` is the session's id.
    pub(crate) fn take_record(
        &mut self,
        position: u64,
        sessions: &Sessions,
        id: &str,
        bytes: Result<&[u8], &str>,
    ) -> Result<(), ImportError> {
        // The id leads to its session even if the record cannot be read.
        let named = id.get(id.len().saturating_sub(ID_CHARACTERS)..).and_then(|id| id.parse::<Id>().ok());
        let key = named.map(|id| sessions.key(&id.0.to_le_bytes()));
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(why) => {
                self.refuse(position, key, why);
                return Ok(());
            }
        };
        match rmp_serde::from_slice::<Record>(bytes) {
            // The store would not have found it under another id.
            Ok(record) if named == Some(record.id) => {
                let values = sessions.values(record.data.iter().map(|(key, value)| (&**key, value)));
                // A time before 1970 is over in any case.
                let ends_ms = (record.expiry_date.unix_timestamp_nanos() / 1_000_000).max(0);
                let new = values.map(|values| (values, u64::try_from(ends_ms).unwrap_or(u64::MAX)));
                self.take_foreign(position, sessions, &record.id.0.to_le_bytes(), new, &record.data)?;
            }
            Ok(_) => self.refuse(position, key, "its record names another id than it is stored under"),
            Err(error) => self.refuse(position, key, &format!("its record is not one of tower-sessions: {}", kind(&error))),
        }
        Ok(())
    }

    /// Imports the session of another crate with these values and this end.
    pub(crate) fn take_foreign(
        &mut self,
        position: u64,
        sessions: &Sessions,
        id: &[u8],
        new: Result<(Values, u64), Error>,
        data: &HashMap<String, Value>,
    ) -> Result<(), ImportError> {
        let key = sessions.key(id);
        let came = match new {
            Ok((values, ends_ms)) => {
                let owner = self.owners.of(data);
                self.import.take(sessions, &key, &New { values: &values, ends_ms, owner })
            }
            Err(error) => {
                self.import.see(&key);
                Err(error)
            }
        };
        self.came(position, came)
    }

    /// Imports a session that a store of this crate exported.
    pub(crate) fn take_exported<'v>(
        &mut self,
        position: u64,
        exported: &Exported,
        values: impl IntoIterator<Item = (&'v str, Entry)>,
    ) -> Result<(), ImportError> {
        let came = self.import.take_exported(exported, values);
        self.came(position, came)
    }

    /// Counts the result for a session. One that could not be stored is refused, unless the store failed.
    fn came(&mut self, position: u64, came: Result<Came, Error>) -> Result<(), ImportError> {
        let outcome = match came {
            Ok(Came::Created) => Outcome::Created,
            Ok(Came::Updated) => Outcome::Updated,
            Ok(Came::Unchanged) => Outcome::Unchanged,
            Ok(Came::Kept) => Outcome::Kept,
            Ok(Came::EndedHere) => Outcome::EndedHere,
            Ok(Came::Expired) => Outcome::Expired,
            // `Config`: the key or the owner is one of the store's own notes.
            Err(error @ (Error::Codec(_) | Error::StoreFull { .. } | Error::BadOwner { .. } | Error::Config { .. })) => {
                self.reject(position, &error.to_string());
                return Ok(());
            }
            Err(error) => return Err(error.into()),
            Ok(came) => {
                self.reject(
                    position,
                    &format!("the store answered with {came:?}, which this version does not know; update it"),
                );
                return Ok(());
            }
        };
        note(&mut self.imported, &mut self.each, Some(position), outcome);
        Ok(())
    }

    /// Counts a refused session. `key`: the session's key, if it is known.
    pub(crate) fn refuse(&mut self, position: u64, key: Option<SessionKey>, why: &str) {
        match key {
            Some(key) => self.import.see(&key),
            None => self.is_whole = false,
        }
        self.reject(position, why);
    }

    /// Counts a key that is not a session's.
    #[cfg(feature = "redis")]
    pub(crate) fn skip(&mut self) {
        self.imported.skipped += 1;
    }

    fn reject(&mut self, position: u64, why: &str) {
        if self.imported.reasons.len() < MOST_REASONS {
            self.imported.reasons.push(format!("{} {position}: {why}", self.unit));
        }
        note(&mut self.imported, &mut self.each, Some(position), Outcome::Refused { reason: why.to_owned() });
    }

    pub(crate) fn finish(self) -> Result<Imported, ImportError> {
        let Self { import, mut imported, mut each, is_whole, .. } = self;
        import.finish(is_whole, || note(&mut imported, &mut each, None, Outcome::Gone))?;
        Ok(imported)
    }
}

fn note(imported: &mut Imported, each: &mut Option<Each<'_>>, position: Option<u64>, outcome: Outcome) {
    *match outcome {
        Outcome::Created => &mut imported.created,
        Outcome::Updated => &mut imported.updated,
        Outcome::Unchanged => &mut imported.unchanged,
        Outcome::Kept => &mut imported.kept,
        Outcome::EndedHere => &mut imported.ended_here,
        Outcome::Gone => &mut imported.gone,
        Outcome::Expired => &mut imported.expired,
        Outcome::Refused { .. } => &mut imported.refused,
    } += 1;
    if let Some(each) = each {
        each(&SessionImport { position, outcome });
    }
}

/// Returns what is wrong with the bytes, without their content.
fn kind(error: &rmp_serde::decode::Error) -> &'static str {
    use rmp_serde::decode::Error as E;
    match error {
        E::InvalidMarkerRead(_) | E::InvalidDataRead(_) => "the bytes end too early",
        E::TypeMismatch(_) | E::Syntax(_) | E::Uncategorized(_) | E::OutOfRange => "another type was expected",
        E::DepthLimitExceeded => "it is nested too deep",
        _ => "its form is another",
    }
}
