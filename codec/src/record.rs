//! A record: one session as checked, immutable, 16-aligned, shareable bytes, read in place.
//!
//! Invariants: a [`Record`] exists only over bytes that passed [`Record::check`] or were just written by the encoder. A
//! [`View`] exists only over bytes that passed the check for its model. A buffer is never written to after it was made. So the
//! type is the proof, and access needs no second check. This is the only file with `unsafe`: the accesses that rely on that
//! proof.
//!
//! Knows nothing of time, key rings or disks.
#![allow(unsafe_code)]

use std::{fmt, hint::black_box, marker::PhantomData, mem::MaybeUninit, num::NonZeroUsize, ops::Deref, sync::Arc};

use rkyv::{
    Archive, Place, Portable, Serialize,
    api::{access_with_context, root_position},
    bytecheck::CheckBytes,
    rancor::Fallible,
    ser::{Allocator, Writer, WriterExt},
    string::{ArchivedString, StringResolver},
    vec::{ArchivedVec, VecResolver},
    with::{ArchiveWith, SerializeWith},
};

use crate::{Entry, EntryRef, Error, Key, Lane, MAX_DEPTH, Meta, Model, Tag, error::ArchiveFault, header, model::ModelChecker};

/// Sixteen bytes at a multiple of sixteen.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
struct Block([u8; 16]);

/// Immutable bytes, 16-aligned and shared: one allocation holds the counts and the bytes.
#[derive(Clone)]
pub(crate) struct Buffer(Arc<[Block]>);

impl Buffer {
    /// Copies `bytes`, padded with zeros to whole blocks.
    pub(crate) fn copy_of(bytes: &[u8]) -> Self {
        let mut buffer = Arc::new_uninit_slice(bytes.len().div_ceil(size_of::<Block>()));
        let blocks: &mut [MaybeUninit<Block>] = Arc::get_mut(&mut buffer).expect("the new buffer is not shared yet");
        if let Some(last) = blocks.last_mut() {
            last.write(Block([0; 16]));
        }
        // In one piece: a copy by blocks, with an iterator, took a third of the time to write a record.
        // SAFETY: `blocks` has room for `bytes`, by the division above, is new and so overlaps nothing, and a `Block` is sixteen
        // bytes of any content. `bytes` fill every block but the end of the last one, which was filled with zeros before.
        let buffer = unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), blocks.as_mut_ptr().cast(), bytes.len());
            buffer.assume_init()
        };
        Self(buffer)
    }

    /// Returns the bytes for writing, to the code that has just made the buffer.
    fn bytes_mut(&mut self) -> &mut [u8] {
        let blocks = Arc::get_mut(&mut self.0).expect("the new buffer is not shared yet");
        // SAFETY: as in `bytes`, and no other code reads or writes: `get_mut` returned the only reference.
        unsafe { std::slice::from_raw_parts_mut(blocks.as_mut_ptr().cast(), size_of_val(blocks)) }
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: a `Block` is sixteen initialised bytes without padding (`repr(C, align(16))` over `[u8; 16]`, size pinned by
        // a test), so `len` blocks are `16 * len` readable bytes; they live as long as `self` and nothing writes to them.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), self.0.len() * size_of::<Block>()) }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Session values are private: a log may contain only a size.
        write!(f, "Buffer({} bytes)", self.0.len() * size_of::<Block>())
    }
}

/// One entry that is being written into an archive.
#[derive(Archive, Serialize)]
#[rkyv(archived = StoredEntryOf)]
pub(crate) struct NewEntry<'a> {
    #[rkyv(with = AsText)]
    key: &'a str,
    #[rkyv(with = AsAlignedBytes)]
    bytes: &'a [u8],
    tag: [u8; 8],
    version: u16,
    lane: u8,
    // Named, so that the archive has no padding with undefined content.
    zero: u8,
}

/// An entry in an archive. The lifetime comes from the borrowed form; nothing in it borrows.
type StoredEntry = StoredEntryOf<'static>;

impl<'a> NewEntry<'a> {
    pub(crate) fn new(key: &'a str, entry: EntryRef<'a>) -> Self {
        let (tag, version) = match entry.lane {
            Lane::Model { tag, version } => (tag, version),
            // A serde value has no tag: its time of expiry is in the same bytes.
            Lane::Serde | Lane::SerdeExplicit => (Tag::from_bytes(entry.until_ms.to_le_bytes()), 0),
        };
        Self { key, bytes: entry.bytes, tag: tag.to_bytes(), version, lane: entry.lane.code(), zero: 0 }
    }
}

impl StoredEntry {
    fn lane(&self) -> Option<Lane> {
        Lane::from_parts(self.lane, Tag::from_bytes(self.tag), self.version.to_native())
    }

    /// Whether it is an entry as written by [`NewEntry::new`]. So bytes that are zero now stay free for a later format.
    fn is_well_formed(&self) -> bool {
        let fits_lane = self.lane().is_some_and(|lane| matches!(lane, Lane::Model { .. }) || self.version.to_native() == 0);
        fits_lane && self.zero == 0 && self.bytes.as_ptr().addr().is_multiple_of(align_of::<Block>())
    }

    fn as_ref(&self) -> EntryRef<'_> {
        let lane = self.lane().expect("`Record::check` refuses entries of an unknown lane");
        let until_ms = if matches!(lane, Lane::Model { .. }) { 0 } else { u64::from_le_bytes(self.tag) };
        EntryRef { lane, bytes: self.bytes.as_slice(), until_ms }
    }
}

/// Archives a borrowed text as rkyv archives a `String`.
struct AsText;

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
struct AsAlignedBytes;

impl ArchiveWith<&[u8]> for AsAlignedBytes {
    type Archived = ArchivedVec<u8>;
    type Resolver = VecResolver;

    fn resolve_with(field: &&[u8], resolver: Self::Resolver, out: Place<Self::Archived>) {
        ArchivedVec::resolve_from_len(field.len(), resolver, out);
    }
}

impl<S: Fallible<Error = ArchiveFault> + Allocator + Writer + ?Sized> SerializeWith<&[u8], S> for AsAlignedBytes {
    fn serialize_with(field: &&[u8], serializer: &mut S) -> Result<Self::Resolver, S::Error> {
        let position = serializer.align(align_of::<Block>())?;
        serializer.write(field)?;
        Ok(VecResolver::from_pos(position))
    }
}

/// The longest text that rkyv archives in place, without a pointer.
const SHORT: usize = size_of::<ArchivedString>();
/// A record with more entries is searched by binary search.
const MOST_SCANNED: usize = 32;

/// Bytes that memory and caches exchange at a time.
const LINE: usize = 64;
/// One and a half times as many lines as a core requests at once.
const MOST_PREFETCHED: usize = 24;

/// Returns the bytes that a short `key` is archived as: itself and then 0xff, which occurs in no text. No other key has the
/// same.
#[inline]
fn short_form(key: &str) -> Option<[u8; SHORT]> {
    let mut form = [0xff; SHORT];
    form.get_mut(..key.len())?.copy_from_slice(key.as_bytes());
    Some(form)
}

/// Returns the first bytes of each of `entries` in `bytes`: the archived form of its key.
fn key_forms<'a>(entries: &[StoredEntry], bytes: &'a [u8]) -> impl Iterator<Item = Option<&'a [u8; SHORT]>> {
    const { assert!(std::mem::offset_of!(StoredEntry, key) == 0, "an entry begins with its key") };
    let start = entries.as_ptr().addr() - bytes.as_ptr().addr();
    let rows = bytes[start..start + size_of_val(entries)].chunks_exact(size_of::<StoredEntry>());
    rows.map(<[u8]>::first_chunk)
}

/// Everything after the header: the entries, sorted by key.
type Body = ArchivedVec<StoredEntry>;

/// Checks that `bytes` are an archived `T`, at most [`MAX_DEPTH`] levels deep, and returns it.
pub(crate) fn check_archive<'a, T>(bytes: &'a [u8]) -> Result<&'a T, Error>
where
    T: Portable + for<'c> CheckBytes<ModelChecker<'c>>,
{
    // rkyv refuses the level that reaches its limit, so it gets one more than we allow.
    const DEPTH: NonZeroUsize = NonZeroUsize::new(MAX_DEPTH + 1).expect("the limit is not zero");
    const { assert!(align_of::<T>() <= align_of::<Block>(), "values are 16-aligned: nothing in a model may need more") };
    let mut validator = rkyv::validation::archive::ArchiveValidator::with_max_depth(bytes, Some(DEPTH));
    access_with_context::<T, _, ArchiveFault>(bytes, &mut validator).map_err(ArchiveFault::into_error)
}

/// Checks that `archive` is a [`Body`] as this crate writes it.
fn check_body(archive: &[u8]) -> Result<(), Error> {
    let entries = check_archive::<Body>(archive)?.as_slice();
    let sorted = entries.is_sorted_by(|a, b| a.key.as_str() < b.key.as_str());
    let mut forms = entries.iter().zip(key_forms(entries, archive));
    // `Record::find` relies on the forms.
    let found = forms.all(|(entry, found)| short_form(&entry.key).is_none_or(|form| found == Some(&form)));
    if sorted && found && entries.iter().all(StoredEntry::is_well_formed) { Ok(()) } else { Err(Error::BadArchive) }
}

/// One session as bytes: checked, immutable, cheap to clone and to send.
///
/// Entries are found and read in place; only what is requested is decoded.
#[derive(Clone)]
pub struct Record(Buffer);

impl Record {
    /// Checks bytes from outside, which were stored under `key`, and copies them.
    ///
    /// # Errors
    /// The typed error for the problem: too short, magic, format version, layout of rkyv, length, checksum (also if the bytes
    /// belong to another key), archive, depth, or more than `limit_bytes`.
    pub fn check(bytes: &[u8], key: &Key, limit_bytes: usize) -> Result<Self, Error> {
        if bytes.len() > limit_bytes {
            return Err(Error::RecordTooLarge { found_bytes: bytes.len(), limit_bytes });
        }
        header::check(bytes, key)?;
        let buffer = Buffer::copy_of(bytes);
        check_body(&buffer.bytes()[header::LEN..bytes.len()])?;
        Ok(Self(buffer))
    }

    /// Creates a record from the encoder's output: a header and a `Body` of entries that are sorted by key.
    pub(crate) fn from_encoder(bytes: &[u8]) -> Self {
        let buffer = Buffer::copy_of(bytes);
        debug_assert_eq!(check_body(&buffer.bytes()[header::LEN..bytes.len()]), Ok(()));
        Self(buffer)
    }

    /// Returns the record as it is stored.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes()[..header::LEN + self.archive_len()]
    }

    /// Returns the record's metadata.
    #[must_use]
    #[inline]
    pub fn meta(&self) -> Meta {
        header::parse_meta(self.header())
    }

    /// Returns the value under `key`.
    #[must_use]
    #[inline]
    pub fn get(&self, key: &str) -> Option<EntryRef<'_>> {
        self.find(key).map(StoredEntry::as_ref)
    }

    /// Returns the value under `key`, sharing this record's bytes.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<Entry> {
        self.clone().into_entry(key)
    }

    /// Returns the value under `key`, reusing this share of the record's bytes.
    #[must_use]
    pub fn into_entry(self, key: &str) -> Option<Entry> {
        let entry = self.find(key)?.as_ref();
        let start = entry.bytes.as_ptr().addr() - self.0.bytes().as_ptr().addr();
        let (lane, len, until_ms) = (entry.lane, entry.bytes.len(), entry.until_ms);
        Some(Entry { lane, buffer: self.0, start, len, until_ms })
    }

    /// Whether there is a value under `key`.
    #[must_use]
    #[inline]
    pub fn contains_key(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// Returns all entries, in the order of their keys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, EntryRef<'_>)> {
        self.entries().iter().map(|entry| (entry.key.as_str(), entry.as_ref()))
    }

    /// Returns the number of entries.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.entries().len()
    }

    /// Whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the same entries with another header: another record key, or other times.
    #[must_use]
    pub fn with_meta(&self, key: &Key, meta: &Meta) -> Self {
        self.sealed(Buffer::copy_of(self.bytes()), key, meta)
    }

    /// Returns the record with another header and with other bytes for some values, if each has the same lane and length as the
    /// value it replaces. Everything else stays in place, so the bytes are what the encoder would write.
    pub(crate) fn overwritten<'a>(
        &self,
        key: &Key,
        meta: &Meta,
        changes: impl Iterator<Item = (&'a str, EntryRef<'a>)>,
    ) -> Option<Self> {
        let mut buffer = None;
        for (name, new) in changes {
            let old = self.find(name)?.as_ref();
            if (old.lane, old.until_ms, old.bytes.len()) != (new.lane, new.until_ms, new.bytes.len()) {
                return None;
            }
            // Only now: most patches that do not fit end at their first key.
            let buffer = buffer.get_or_insert_with(|| Buffer::copy_of(self.bytes()));
            if new.bytes.is_empty() {
                // The position of an empty value may be outside the record.
                continue;
            }
            let start = old.bytes.as_ptr().addr() - self.0.bytes().as_ptr().addr();
            buffer.bytes_mut()[start..start + new.bytes.len()].copy_from_slice(new.bytes);
        }
        Some(self.sealed(buffer?, key, meta))
    }

    /// Writes the header of `buffer`, a copy of this record with other values in it.
    fn sealed(&self, mut buffer: Buffer, key: &Key, meta: &Meta) -> Self {
        let len = self.bytes().len();
        header::write(&mut buffer.bytes_mut()[..len], key, meta);
        debug_assert_eq!(check_body(&buffer.bytes()[header::LEN..len]), Ok(()));
        Self(buffer)
    }

    /// Makes the processor fetch the uncached lines of the record all at once. Otherwise, sharing the record and finding a
    /// value in it would wait for one line of memory after another. For a long record, only the end is fetched, where the
    /// entries are listed.
    #[inline]
    pub fn prefetch(&self) {
        let lines = self.0.bytes().rchunks(LINE).take(MOST_PREFETCHED);
        // Only the read matters, not its result. The last byte, because the list ends with the record, anywhere in a line.
        black_box(lines.filter_map(<[u8]>::last).fold(0, |sum, byte| sum ^ byte));
    }

    /// Whether both are the same bytes in memory, which means that no commit happened in between.
    #[must_use]
    #[inline]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0.0, &other.0.0)
    }

    #[inline]
    fn header(&self) -> &[u8; header::LEN] {
        self.0.bytes().first_chunk().expect("a record is longer than its header")
    }

    #[inline]
    fn archive_len(&self) -> usize {
        let bytes = self.header()[12..16].try_into().expect("a slice of 4 bytes is an array of 4 bytes");
        u32::from_le_bytes(bytes) as usize
    }

    fn find(&self, key: &str) -> Option<&StoredEntry> {
        let entries = self.entries();
        let at = match short_form(key) {
            // Comparing eight bytes each at known places is faster than comparing texts, although more of them are compared.
            Some(form) if entries.len() <= MOST_SCANNED => {
                key_forms(entries, self.0.bytes()).position(|found| found == Some(&form))?
            }
            _ => entries.binary_search_by(|entry| entry.key.as_str().cmp(key)).ok()?,
        };
        Some(&entries[at])
    }

    #[inline]
    fn entries(&self) -> &[StoredEntry] {
        let archive = &self.0.bytes()[header::LEN..header::LEN + self.archive_len()];
        // SAFETY: a `Record` is made in three places. `check` ran the depth-limited bytecheck for a `Body` on exactly these
        // bytes at this address. `from_encoder` got them from rkyv's own serializer of a `Body`. `sealed` got them from another
        // `Record`, and at most overwrote bytes of values. A `Body` holds those as bytes of any content, and they belong to
        // nothing else: the check assigns each part of an archive its own range. Both copied them with the same alignment: the
        // buffer is 16-aligned and the header a multiple of 16 long. An archive points only relative to itself, and nothing
        // writes to it afterwards.
        unsafe { access_unchecked::<Body>(archive) }.as_slice()
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Only sizes and keys: session values are private.
        f.debug_struct("Record")
            .field("revision", &self.meta().revision)
            .field("bytes", &self.bytes().len())
            .field("keys", &self.iter().map(|(key, _)| key).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// A model, read in place in its record, for as long as the view is kept.
///
/// It owns a share of the record's bytes: no lifetime, no copy. It dereferences to the archived form of the model, in which a
/// `String` is an `ArchivedString`, a `u32` is read with `.to_native()`, and so on.
pub struct View<M: Model> {
    buffer: Buffer,
    start: usize,
    len: usize,
    model: PhantomData<M::Archived>,
}

impl<M: Model> View<M> {
    /// Checks that `entry` is an archived `M`.
    pub(crate) fn check(entry: Entry) -> Result<Self, Error> {
        check_archive::<M::Archived>(entry.as_ref().bytes)?;
        Ok(Self { buffer: entry.buffer, start: entry.start, len: entry.len, model: PhantomData })
    }
}

impl<M: Model> Deref for View<M> {
    type Target = M::Archived;

    fn deref(&self) -> &M::Archived {
        let bytes = &self.buffer.bytes()[self.start..self.start + self.len];
        // SAFETY: `View::check`, the only way to create a `View` except by a clone, ran the depth-limited bytecheck for
        // `M::Archived` on exactly these bytes at this address, and nothing writes to a buffer.
        unsafe { access_unchecked::<M::Archived>(bytes) }
    }
}

impl<M: Model> Clone for View<M> {
    fn clone(&self) -> Self {
        Self { buffer: self.buffer.clone(), start: self.start, len: self.len, model: PhantomData }
    }
}

impl<M: Model> fmt::Debug for View<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Session values are private. To print one, print what the view dereferences to.
        f.debug_struct("View").field("tag", &M::TAG).field("bytes", &self.len).finish_non_exhaustive()
    }
}

/// Accesses the `T` at the end of `bytes`.
///
/// # Safety
/// `bytes` passed [`check_archive`] for a `T` at exactly this address, or rkyv has just written them as one there.
unsafe fn access_unchecked<T: Portable>(bytes: &[u8]) -> &T {
    // SAFETY: as the caller promises; the position is the one at which `check_archive` looks for the root.
    unsafe { rkyv::api::access_pos_unchecked(bytes, root_position::<T>(bytes.len())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_bytes_and_nothing_else() {
        assert_eq!((size_of::<Block>(), align_of::<Block>()), (16, 16));
        assert_eq!((size_of::<StoredEntry>(), align_of::<StoredEntry>()), (28, 4));
    }

    #[test]
    fn a_record_is_two_words_and_can_be_sent_and_shared() {
        fn sendable<T: Send + Sync + 'static>() {}
        sendable::<Record>();
        sendable::<Entry>();
        assert_eq!(size_of::<Record>(), 2 * size_of::<usize>());
    }

    #[test]
    fn a_buffer_is_aligned_and_padded_with_zeros() {
        for len in 0..70_u8 {
            let bytes: Vec<u8> = (0..len).map(|n| n | 0x80).collect();
            let buffer = Buffer::copy_of(&bytes);
            assert_eq!(buffer.bytes().as_ptr().addr() % 16, 0);
            assert_eq!(buffer.bytes().len(), bytes.len().next_multiple_of(16));
            assert_eq!(&buffer.bytes()[..bytes.len()], bytes);
            assert!(buffer.bytes()[bytes.len()..].iter().all(|byte| *byte == 0));
        }
    }
}
