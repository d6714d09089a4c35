//! The values that a store's file has about itself, and the unit of its expiry index.

use zeroize::Zeroizing;

use super::{
    form::{self, AtRest},
    segment::Generation,
};
use crate::timeline::Mark;

/// Minutes since 1970: the expiry index is in minutes.
pub(super) type Minute = u32;

/// The values of the `meta` table.
#[derive(Clone)]
pub(super) struct StoreMeta {
    pub(super) store_id: [u8; 16],
    pub(super) mac_keys: Zeroizing<Vec<u8>>,
    /// The form of sealed records, if the store's are sealed.
    pub(super) sealed: Option<u32>,
    pub(super) journal: JournalMark,
    /// The time of the last write; `None` in a new store.
    pub(super) clock: Option<Mark>,
    /// What a backup says of itself, and still says when it is used as a store.
    pub(super) copied: Option<CopyMark>,
}

/// The moment of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CopyMark {
    /// In milliseconds since 1970.
    pub(super) moment_ms: u64,
    /// The newest generation of the journal that the backup had: a store that is used has a newer one.
    pub(super) generation: u64,
}

impl CopyMark {
    pub(super) fn encode(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.moment_ms.to_le_bytes());
        bytes[8..].copy_from_slice(&self.generation.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let [moment_ms, generation] = *bytes.as_chunks::<8>().0 else { return None };
        Some(Self { moment_ms: u64::from_le_bytes(moment_ms), generation: u64::from_le_bytes(generation) })
    }
}

impl StoreMeta {
    /// Returns the values of a store that never had a journal.
    pub(super) fn new(store_id: [u8; 16], mac_keys: Zeroizing<Vec<u8>>, form: &AtRest) -> Self {
        let sealed = form.is_sealed().then_some(form::FORMAT);
        Self { store_id, mac_keys, sealed, journal: JournalMark::default(), clock: None, copied: None }
    }
}

/// Up to where the tables contain the journal's changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct JournalMark {
    /// The newest generation that the tables contain completely, and its salt; 0 if there was none.
    pub(super) generation: u64,
    pub(super) salt: u64,
    /// Whether a later generation may contain acknowledged changes.
    pub(super) in_use: bool,
    /// The newest generation that is known to be in use; 0 if none is named here. A segment names the one after it, too.
    pub(super) newest: u64,
}

impl JournalMark {
    pub(super) fn as_generation(self) -> Generation {
        Generation { number: self.generation, salt: self.salt }
    }

    pub(super) fn encode(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(25);
        bytes.extend_from_slice(&self.generation.to_le_bytes());
        bytes.extend_from_slice(&self.salt.to_le_bytes());
        bytes.push(u8::from(self.in_use));
        if self.newest != 0 {
            bytes.extend_from_slice(&self.newest.to_le_bytes());
        }
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (generation, rest) = bytes.split_first_chunk()?;
        let (salt, rest) = rest.split_first_chunk()?;
        let (in_use, rest) = rest.split_first()?;
        let newest = match rest {
            [] => 0,
            newest => Some(u64::from_le_bytes(newest.try_into().ok()?)).filter(|newest| *newest != 0)?,
        };
        let (generation, salt) = (u64::from_le_bytes(*generation), u64::from_le_bytes(*salt));
        (*in_use <= 1).then_some(Self { generation, salt, in_use: *in_use == 1, newest })
    }
}
