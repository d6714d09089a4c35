//! Entries and models to bytes, through buffers that are used again.
//!
//! Invariant: equal keys, meta data and entries give equal bytes; there is no padding of unknown content.

use std::cell::RefCell;

use rkyv::{
    api::serialize_using,
    ser::{Serializer, allocator::Arena},
    util::AlignedVec,
};

use crate::{EntryRef, Error, Key, Limits, Meta, Model, Record, error::ArchiveFault, header, record::NewEntry};

/// The buffers that encoding needs, one set for each thread.
pub(crate) struct Encoder {
    bytes: AlignedVec,
    arena: Arena,
}

/// A buffer larger than this is given back, so that one large session does not stay in every thread for ever.
const KEEP_BYTES: usize = 64 << 10;

impl Encoder {
    fn new() -> Self {
        Self { bytes: AlignedVec::new(), arena: Arena::new() }
    }

    /// Runs `encode` with this thread's buffers.
    pub(crate) fn with<T>(encode: impl FnOnce(&mut Self) -> T) -> T {
        thread_local! {
            static ENCODER: RefCell<Option<Encoder>> = const { RefCell::new(None) };
        }
        // Taken, not borrowed: a model's `Serialize` may itself store a value on the way.
        let mut encoder = ENCODER.take().unwrap_or_else(Self::new);
        let result = encode(&mut encoder);
        if encoder.bytes.capacity() <= KEEP_BYTES {
            ENCODER.set(Some(encoder));
        }
        result
    }

    /// Archives one model.
    pub(crate) fn archive<M: Model>(&mut self, model: &M) -> Result<&[u8], Error> {
        self.bytes.clear();
        let mut serializer = Serializer::new(&mut self.bytes, self.arena.acquire(), ());
        serialize_using::<_, ArchiveFault>(model, &mut serializer).map_err(ArchiveFault::into_error)?;
        Ok(&self.bytes)
    }

    /// Writes a record of `entries`, which are sorted by key.
    pub(crate) fn record(
        &mut self,
        key: &Key,
        meta: &Meta,
        entries: &Vec<NewEntry<'_>>,
        limits: &Limits,
    ) -> Result<Record, Error> {
        if entries.len() > limits.keys {
            return Err(Error::TooManyKeys { found: entries.len(), limit: limits.keys });
        }
        self.bytes.clear();
        self.bytes.resize(header::LEN, 0);
        let mut serializer = Serializer::new(&mut self.bytes, self.arena.acquire(), ());
        serialize_using::<_, ArchiveFault>(entries, &mut serializer).map_err(ArchiveFault::into_error)?;
        limits.check_record(self.bytes.len())?;
        header::write(&mut self.bytes, key, meta);
        Ok(Record::from_encoder(&self.bytes))
    }
}

impl Record {
    /// Writes a record of `entries`, whose keys must rise.
    ///
    /// # Errors
    /// [`Error::BadKey`], [`Error::TooManyKeys`], [`Error::RecordTooLarge`], and [`Error::BadArchive`] if the keys do not rise.
    pub fn encode<'a>(
        key: &Key,
        meta: &Meta,
        entries: impl IntoIterator<Item = (&'a str, EntryRef<'a>)>,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let entries: Vec<_> = entries.into_iter().collect();
        if !entries.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(Error::BadArchive);
        }
        for (key, _) in &entries {
            limits.check_key(key)?;
        }
        let entries = entries.into_iter().map(|(key, entry)| NewEntry::new(key, entry)).collect();
        Encoder::with(|encoder| encoder.record(key, meta, &entries, limits))
    }
}
