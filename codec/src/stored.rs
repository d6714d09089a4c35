//! An entry in a record's archive: its layout, and how it is written there.
//!
//! Knows nothing of what the value's bytes mean.

use rkyv::{
    Archive, Place, Serialize,
    rancor::Fallible,
    ser::{Allocator, Writer, WriterExt},
    string::{ArchivedString, StringResolver},
    vec::{ArchivedVec, VecResolver},
    with::{ArchiveWith, SerializeWith},
};

use crate::{EntryRef, Fingerprint, Lane, Tag, error::ArchiveFault, record::ALIGNMENT};

/// For smaller models the check is cheaper than a cache miss. Their records reserve no room for it.
pub(crate) const LEAST_KEPT: usize = 64;

/// One entry that is being written into an archive.
#[derive(Archive, Serialize)]
#[rkyv(archived = StoredEntryOf)]
pub(crate) struct NewEntry<'a> {
    #[rkyv(with = AsText)]
    pub(crate) key: &'a str,
    #[rkyv(with = AsAlignedBytes)]
    bytes: &'a [u8],
    tag: [u8; 8],
    version: u16,
    lane: u8,
    // Named, so that the archive has no padding with undefined content.
    zero: u8,
}

/// An entry in an archive. The lifetime comes from the borrowed form; nothing in it borrows.
pub(crate) type StoredEntry = StoredEntryOf<'static>;

impl<'a> NewEntry<'a> {
    /// Whether the record should keep which check this value has passed.
    pub(crate) fn keeps_check(&self) -> bool {
        self.lane == Lane::MODEL && self.bytes.len() >= LEAST_KEPT
    }

    pub(crate) fn new(key: &'a str, entry: EntryRef<'a>) -> Self {
        let (tag, version) = match entry.lane {
            Lane::Model { tag, version, .. } => (tag, version),
            // A serde value has no tag: its time of expiry is in the same bytes.
            Lane::Serde | Lane::SerdeExplicit => (Tag::from_bytes(entry.until_ms.to_le_bytes()), 0),
        };
        Self { key, bytes: entry.stored, tag: tag.to_bytes(), version, lane: entry.lane.code(), zero: 0 }
    }
}

impl StoredEntry {
    #[inline]
    fn lane(&self) -> Option<Lane> {
        match self.lane {
            Lane::MODEL => Some(Lane::Model {
                tag: Tag::from_bytes(self.tag),
                version: self.version.to_native(),
                fingerprint: Fingerprint::from_bytes(*self.bytes.last_chunk()?),
            }),
            Lane::SERDE => Some(Lane::Serde),
            Lane::SERDE_EXPLICIT => Some(Lane::SerdeExplicit),
            _ => None,
        }
    }

    /// Whether the record should keep which check this value has passed.
    pub(crate) fn keeps_check(&self) -> bool {
        self.lane == Lane::MODEL && self.bytes.len() >= LEAST_KEPT
    }

    /// Whether it is an entry as written by [`NewEntry::new`]. So bytes that are zero now stay free for a later format.
    pub(crate) fn is_well_formed(&self) -> bool {
        let fits_lane = self.lane().is_some_and(|lane| matches!(lane, Lane::Model { .. }) || self.version.to_native() == 0);
        fits_lane && self.zero == 0 && self.bytes.as_ptr().addr().is_multiple_of(ALIGNMENT)
    }

    #[inline]
    pub(crate) fn as_ref(&self) -> EntryRef<'_> {
        let lane = self.lane().expect("`Record::check` refuses entries of an unknown lane");
        let until_ms = if matches!(lane, Lane::Model { .. }) { 0 } else { u64::from_le_bytes(self.tag) };
        EntryRef { lane, stored: self.bytes.as_slice(), until_ms }
    }
}

/// Archives a borrowed text as rkyv archives a `String`.
pub(crate) struct AsText;

impl ArchiveWith<&str> for AsText {
    type Archived = ArchivedString;
    type Resolver = StringResolver;

    fn resolve_with(field: &&str, resolver: Self::Resolver, out: Place<Self::Archived>) {
        ArchivedString::resolve_from_str(field, resolver, out);
    }
}

impl<S: Fallible<Error = ArchiveFault> + Writer + ?Sized> SerializeWith<&str, S> for AsText {
    fn serialize_with(field: &&str, serializer: &mut S) -> Result<Self::Resolver, S::Error> {
        ArchivedString::serialize_from_str(field, serializer)
    }
}

/// Archives borrowed bytes 16-aligned, so that they can be an archive themselves.
pub(crate) struct AsAlignedBytes;

impl ArchiveWith<&[u8]> for AsAlignedBytes {
    type Archived = ArchivedVec<u8>;
    type Resolver = VecResolver;

    fn resolve_with(field: &&[u8], resolver: Self::Resolver, out: Place<Self::Archived>) {
        ArchivedVec::resolve_from_len(field.len(), resolver, out);
    }
}

impl<S: Fallible<Error = ArchiveFault> + Allocator + Writer + ?Sized> SerializeWith<&[u8], S> for AsAlignedBytes {
    fn serialize_with(field: &&[u8], serializer: &mut S) -> Result<Self::Resolver, S::Error> {
        let position = serializer.align(ALIGNMENT)?;
        serializer.write(field)?;
        Ok(VecResolver::from_pos(position))
    }
}
