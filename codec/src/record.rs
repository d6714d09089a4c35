//! A record: one session as checked, immutable, 16-aligned, shareable bytes, read in place.
//!
//! Invariants: a [`Record`] exists only over bytes that passed [`Record::check`] or were just written by the encoder. A
//! [`View`] exists only over bytes that passed the check for its model. A buffer is never written to after it was made. So the
//! type is the proof, and access needs no second check. This is the only file with `unsafe`: the accesses that rely on that
//! proof.
//!
//! Knows nothing of time, key rings or disks.
#![allow(unsafe_code)]

use std::{
    cell::UnsafeCell,
    fmt,
    hint::black_box,
    marker::PhantomData,
    mem::MaybeUninit,
    num::{NonZeroU64, NonZeroUsize},
    ops::Deref,
    panic::{RefUnwindSafe, UnwindSafe},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rkyv::{
    Portable,
    api::{access_with_context, root_position},
    bytecheck::CheckBytes,
    string::ArchivedString,
    vec::ArchivedVec,
};

use crate::{
    Entry, EntryRef, Error, Key, MAX_DEPTH, Meta, Model, error::ArchiveFault, header, model::ModelChecker, stored::StoredEntry,
};

/// Values are aligned so. Nothing in a model may need more.
pub(crate) const ALIGNMENT: usize = 16;

/// Sixteen bytes at a multiple of sixteen.
#[repr(C, align(16))]
struct Block(UnsafeCell<[u8; ALIGNMENT]>);

/// Immutable bytes, 16-aligned and shared: one allocation holds the counts, the bytes and, if there is room for it after them, a
/// [`Passed`]. The owner stores the number of bytes.
#[derive(Clone)]
struct Blocks(Arc<[Block]>);

// SAFETY: what is shared is the bytes, which nothing writes to while there is more than one reference to them, and the `Passed`
// after them, which is only accessed as an atomic number.
unsafe impl Send for Blocks {}
// SAFETY: as for `Send`.
unsafe impl Sync for Blocks {}
// A panic leaves nothing half-written: a `Passed` is written at once.
impl UnwindSafe for Blocks {}
impl RefUnwindSafe for Blocks {}

/// A check that a value in a buffer has passed: where the value begins, and the code that accepted it.
///
/// The bytes do not change, so a check that passed once passes again. The check is identified by the address of its
/// code: two checks that the linker has merged are the same code, so one accepts what the other accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Passed(NonZeroU64);

impl Passed {
    /// The check for a `T` of a value that begins at `start`.
    fn of<T>(start: usize) -> Option<Self>
    where
        T: Portable + for<'c> CheckBytes<ModelChecker<'c>>,
    {
        let check: fn(&[u8]) -> Result<&T, Error> = check_archive;
        Self::new(start, check as usize)
    }

    /// Returns `None` for what does not fit into eight bytes: a value beyond the first MiB of its record, or an address of more
    /// than 48 bits.
    #[inline]
    fn new(start: usize, check: usize) -> Option<Self> {
        let block = u16::try_from(start / ALIGNMENT).ok()?;
        let check = u64::try_from(check).ok().filter(|check| check >> 48 == 0)?;
        NonZeroU64::new(check << 16 | u64::from(block)).map(Self)
    }
}

impl Blocks {
    /// Length of a [`Passed`].
    const PASSED_LEN: usize = size_of::<AtomicU64>();

    /// Copies `bytes`, padded with zeros to whole blocks, with room for a [`Passed`] if `keeps_check`.
    fn copy_of(bytes: &[u8], keeps_check: bool) -> Self {
        let len = bytes.len() + if keeps_check { Self::PASSED_LEN } else { 0 };
        let mut shared = Arc::new_uninit_slice(len.div_ceil(size_of::<Block>()));
        let blocks: &mut [MaybeUninit<Block>] = Arc::get_mut(&mut shared).expect("the new blocks are not shared yet");
        // The bytes end in the last block or, if there is no room for the check after them, in the one before.
        for block in blocks.iter_mut().rev().take(2) {
            block.write(Block(UnsafeCell::new([0; ALIGNMENT])));
        }
        // In one piece: a copy by blocks, with an iterator, took a third of the time to write a record.
        // SAFETY: `blocks` has room for `bytes`, by the division above, is new and so overlaps nothing, and a `Block` is sixteen
        // bytes of any content. `bytes` fill every block but the last two, which were filled with zeros before.
        let shared = unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), blocks.as_mut_ptr().cast(), bytes.len());
            shared.assume_init()
        };
        Self(shared)
    }

    /// Returns all bytes for writing, to the code that has just made the blocks.
    fn bytes_mut(&mut self) -> &mut [u8] {
        let blocks = Arc::get_mut(&mut self.0).expect("the new blocks are not shared yet");
        // SAFETY: as in `first`, and no other code reads or writes: `get_mut` returned the only reference.
        unsafe { std::slice::from_raw_parts_mut(blocks.as_mut_ptr().cast(), size_of_val(blocks)) }
    }

    /// Returns the first `len` bytes.
    ///
    /// # Safety
    /// At least `len` bytes were copied into the blocks.
    #[inline]
    unsafe fn first(&self, len: usize) -> &[u8] {
        debug_assert!(len <= self.memory_bytes(), "the bytes were copied");
        // SAFETY: a `Block` is sixteen initialised bytes without padding (`repr(C, align(16))` over `[u8; 16]`, size pinned by
        // a test), and `len` of them were copied, as the caller promises, so they are readable; they live as long as `self`.
        // Nothing writes to them: `passed` accesses only those after what was copied, and `bytes_mut` needs the only reference.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), len) }
    }

    /// Returns the memory of the blocks, without the counts.
    #[inline]
    fn memory_bytes(&self) -> usize {
        self.0.len() * size_of::<Block>()
    }

    /// Returns the last check that a value in the blocks has passed, 0 if there is none; `None` if there is no room for it.
    ///
    /// # Safety
    /// At most `len` bytes were copied into the blocks.
    #[inline]
    unsafe fn passed(&self, len: usize) -> Option<&AtomicU64> {
        (len + Self::PASSED_LEN <= self.memory_bytes()).then(|| self.last_word()).flatten()
    }

    /// Returns the last eight bytes as a number; `None` if there is no block. Only [`passed`](Self::passed) gives it away for writing.
    #[inline]
    fn last_word(&self) -> Option<&AtomicU64> {
        let at = self.memory_bytes().checked_sub(Self::PASSED_LEN)?;
        // SAFETY: the last eight bytes of the last block are inside an `UnsafeCell`, 8-aligned because a block is 16-aligned, and
        // initialised. They live as long as `self`. They are written to only through `passed`, whose caller promises that all
        // copied bytes end before them; `first` returns only copied bytes, and `bytes_mut` needs the only reference.
        Some(unsafe { AtomicU64::from_ptr(self.0.as_ptr().cast::<u8>().add(at).cast_mut().cast()) })
    }

    /// Makes the processor fetch the last lines, all at once. Does not read the header first, which would be one more line to wait
    /// for.
    #[inline]
    fn prefetch(&self) {
        // What is padded, and kept after it, is less than this.
        let copied = self.memory_bytes().saturating_sub(ALIGNMENT + Self::PASSED_LEN);
        // SAFETY: `copy_of` adds at most the room for a `Passed` and less than a block of padding to what it copies.
        let lines = unsafe { self.first(copied) }.rchunks(LINE).take(MOST_PREFETCHED);
        // Only the reads matter, not their result. The last word, because the list of entries ends near it.
        let last = self.last_word().map_or(0, |word| word.load(Ordering::Relaxed));
        black_box((lines.filter_map(<[u8]>::last).fold(0, |sum, byte| sum ^ byte), last));
    }
}

/// Blocks, and how many bytes were copied into them.
#[derive(Clone)]
pub(crate) struct Buffer {
    blocks: Blocks,
    len: usize,
}

impl Buffer {
    pub(crate) fn copy_of(bytes: &[u8], keeps_check: bool) -> Self {
        Self { blocks: Blocks::copy_of(bytes, keeps_check), len: bytes.len() }
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: `len` bytes were copied, by `copy_of`, or when the record was made whose blocks these are.
        unsafe { self.blocks.first(self.len) }
    }

    #[inline]
    fn passed(&self) -> Option<&AtomicU64> {
        // SAFETY: as in `bytes`.
        unsafe { self.blocks.passed(self.len) }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Session values are private: a log may contain only a size.
        write!(f, "Buffer({} bytes)", self.len)
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
pub(crate) fn check_archive<T>(bytes: &[u8]) -> Result<&T, Error>
where
    T: Portable + for<'c> CheckBytes<ModelChecker<'c>>,
{
    // rkyv refuses the level that reaches its limit, so it gets one more than we allow.
    const DEPTH: NonZeroUsize = NonZeroUsize::new(MAX_DEPTH + 1).expect("the limit is not zero");
    const { assert!(align_of::<T>() <= ALIGNMENT, "values are 16-aligned: nothing in a model may need more") };
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
pub struct Record(Blocks);

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
        let buffer = Buffer::copy_of(bytes, false);
        check_body(&buffer.bytes()[header::LEN..])?;
        let record = Self(buffer.blocks);
        if record.passed().is_none() && record.entries().iter().any(StoredEntry::keeps_check) {
            return Ok(Self(Blocks::copy_of(record.bytes(), true)));
        }
        Ok(record)
    }

    /// Creates a record from the encoder's output: a header and a `Body` of entries that are sorted by key.
    pub(crate) fn from_encoder(bytes: &[u8], keeps_check: bool) -> Self {
        let buffer = Buffer::copy_of(bytes, keeps_check);
        debug_assert_eq!(check_body(&buffer.bytes()[header::LEN..]), Ok(()));
        Self(buffer.blocks)
    }

    /// Returns the record as it is stored.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: a record has as many bytes as its header says, by `header::check` and `header::write`, and all were copied.
        unsafe { self.0.first(self.stored_len()) }
    }

    /// Returns the last check that one of the values has passed.
    #[inline]
    fn passed(&self) -> Option<&AtomicU64> {
        // SAFETY: as in `bytes`.
        unsafe { self.0.passed(self.stored_len()) }
    }

    /// Returns the size of the record in memory: the bytes, the padding and the last check that passed. It does not include the
    /// reference counts.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.0.memory_bytes()
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
    #[inline]
    pub fn into_entry(self, key: &str) -> Option<Entry> {
        let entry = self.find(key)?.as_ref();
        let start = entry.stored.as_ptr().addr() - self.bytes().as_ptr().addr();
        let (lane, len, until_ms) = (entry.lane, entry.stored.len(), entry.until_ms);
        let buffer = Buffer { len: self.stored_len(), blocks: self.0 };
        Some(Entry { lane, buffer, start, len, until_ms })
    }

    /// Returns a view of the model under `key`, reusing this share of the record's bytes; `None` if it cannot be read as it is:
    /// [`Entry::view`] then migrates it, or returns the reason.
    #[must_use]
    pub fn into_current_view<M: Model>(self, key: &str) -> Option<View<M>> {
        let entry = self.find(key)?.as_ref();
        if !entry.is_current::<M>() {
            return None;
        }
        let bytes = entry.bytes();
        let start = bytes.as_ptr().addr() - self.bytes().as_ptr().addr();
        check_once::<M>(bytes, start, self.passed()).ok()?;
        let len = bytes.len();
        Some(View { blocks: self.0, start, len, model: PhantomData })
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
        self.sealed(self.copied(), key, meta)
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
            if (old.lane, old.until_ms, old.stored.len()) != (new.lane, new.until_ms, new.stored.len()) {
                return None;
            }
            // Only now: most patches that do not fit end at their first key.
            let buffer = buffer.get_or_insert_with(|| self.copied());
            if new.stored.is_empty() {
                // The position of an empty value may be outside the record.
                continue;
            }
            let start = old.stored.as_ptr().addr() - self.bytes().as_ptr().addr();
            buffer.bytes_mut()[start..start + new.stored.len()].copy_from_slice(new.stored);
        }
        Some(self.sealed(buffer?, key, meta))
    }

    /// Copies the bytes, with room for a check if there is room here.
    fn copied(&self) -> Blocks {
        Blocks::copy_of(self.bytes(), self.passed().is_some())
    }

    /// Writes the header of `blocks`, a copy of this record with other values in it.
    fn sealed(&self, mut blocks: Blocks, key: &Key, meta: &Meta) -> Self {
        let len = self.stored_len();
        header::write(&mut blocks.bytes_mut()[..len], key, meta);
        let record = Self(blocks);
        debug_assert_eq!(check_body(&record.bytes()[header::LEN..]), Ok(()));
        record
    }

    /// Makes the processor fetch the uncached lines of the record all at once. Otherwise, sharing the record and finding a
    /// value in it would wait for one line of memory after another. For a long record, only the end is fetched, where the
    /// entries are listed.
    #[inline]
    pub fn prefetch(&self) {
        self.0.prefetch();
    }

    /// Whether both are the same bytes in memory, which means that no commit happened in between.
    #[must_use]
    #[inline]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0.0, &other.0.0)
    }

    #[inline]
    fn header(&self) -> &[u8; header::LEN] {
        // SAFETY: a record is longer than its header, and all of it was copied.
        let header = unsafe { self.0.first(header::LEN) };
        header.first_chunk().expect("the header has its length")
    }

    /// Length of the record as it is stored.
    #[inline]
    fn stored_len(&self) -> usize {
        header::LEN + self.archive_len()
    }

    #[inline]
    fn archive_len(&self) -> usize {
        let bytes = self.header()[12..16].try_into().expect("a slice of 4 bytes is an array of 4 bytes");
        u32::from_le_bytes(bytes) as usize
    }

    #[inline]
    fn find(&self, key: &str) -> Option<&StoredEntry> {
        let entries = self.entries();
        let at = match short_form(key) {
            // Comparing eight bytes each at known places is faster than comparing texts, although more of them are compared.
            Some(form) if entries.len() <= MOST_SCANNED => {
                key_forms(entries, self.bytes()).position(|found| found == Some(&form))?
            }
            _ => entries.binary_search_by(|entry| entry.key.as_str().cmp(key)).ok()?,
        };
        Some(&entries[at])
    }

    #[inline]
    fn entries(&self) -> &[StoredEntry] {
        let archive = &self.bytes()[header::LEN..];
        // SAFETY: a `Record` is made in three places. `check` ran the depth-limited bytecheck for a `Body` on these bytes, in this
        // buffer or in one that it copied into this one. `from_encoder` got them from rkyv's own serializer of a `Body`. `sealed`
        // got them from another `Record`, and at most overwrote bytes of values. A `Body` holds those as bytes of any content,
        // and they belong to nothing else: the check assigns each part of an archive its own range. A copy has the same
        // alignment: every buffer is 16-aligned and the header a multiple of 16 long. An archive points only relative to itself,
        // and nothing writes to it afterwards.
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
    blocks: Blocks,
    start: usize,
    len: usize,
    model: PhantomData<M::Archived>,
}

impl<M: Model> View<M> {
    /// Checks that `entry` is an archived `M`.
    pub(crate) fn check(entry: Entry) -> Result<Self, Error> {
        let bytes = entry.as_ref().bytes();
        check_once::<M>(bytes, entry.start, entry.buffer.passed())?;
        let len = bytes.len();
        Ok(Self { blocks: entry.buffer.blocks, start: entry.start, len, model: PhantomData })
    }
}

/// Checks that `bytes`, which begin at `start` of a buffer, are an archived `M`, unless the check that was `known` to pass is this.
#[inline]
fn check_once<M: Model>(bytes: &[u8], start: usize, known: Option<&AtomicU64>) -> Result<(), Error> {
    let (Some(known), Some(passed)) = (known, Passed::of::<M::Archived>(start)) else {
        return check_archive::<M::Archived>(bytes).map(|_| ());
    };
    // Relaxed: what the number says of the bytes is true on every thread that can read them.
    if known.load(Ordering::Relaxed) != passed.0.get() {
        check_archive::<M::Archived>(bytes)?;
        known.store(passed.0.get(), Ordering::Relaxed);
    }
    Ok(())
}

impl<M: Model> Deref for View<M> {
    type Target = M::Archived;

    fn deref(&self) -> &M::Archived {
        // SAFETY: the view's bytes are within those that were copied, as `View::check` and `into_current_view` found them there.
        let bytes = unsafe { &self.blocks.first(self.start + self.len)[self.start..] };
        // SAFETY: `View::check` and `Record::into_current_view`, which create views, ran the depth-limited bytecheck for
        // `M::Archived` on exactly these bytes at this address, or found that the same code had accepted them, and nothing
        // writes to the bytes of a buffer.
        unsafe { access_unchecked::<M::Archived>(bytes) }
    }
}

impl<M: Model> Clone for View<M> {
    fn clone(&self) -> Self {
        Self { blocks: self.blocks.clone(), start: self.start, len: self.len, model: PhantomData }
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
/// `bytes` passed [`check_archive`] for a `T`, here or at another address of the same alignment, or rkyv has written them as one.
unsafe fn access_unchecked<T: Portable>(bytes: &[u8]) -> &T {
    // SAFETY: as the caller promises; the position is the one at which `check_archive` looks for the root.
    unsafe { rkyv::api::access_pos_unchecked(bytes, root_position::<T>(bytes.len())) }
}

#[cfg(test)]
mod tests;
