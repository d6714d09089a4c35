//! Encodes entries and models as bytes, through reusable buffers.
//!
//! Invariant: equal keys, metadata and entries are encoded as equal bytes. There is no padding with undefined content.

use std::cell::Cell;

use rkyv::{
    api::serialize_using,
    ser::{Positional, Serializer, Writer, allocator::Arena},
    util::AlignedVec,
};

use crate::{Error, Key, Limits, Meta, Model, Record, error::ArchiveFault, header, stored::NewEntry};

/// The buffers for encoding, one set for each thread.
pub(crate) struct Encoder {
    bytes: AlignedVec,
    arena: Arena,
}

/// A larger buffer is freed, so that one large session does not keep its memory in every thread.
const KEEP_BYTES: usize = 64 << 10;

impl Encoder {
    fn new() -> Self {
        Self { bytes: AlignedVec::new(), arena: Arena::new() }
    }

    /// Runs `encode` with this thread's buffers.
    pub(crate) fn with<T>(encode: impl FnOnce(&mut Self) -> T) -> T {
        thread_local! {
            static ENCODER: Cell<Option<Encoder>> = const { Cell::new(None) };
        }
        // Taken, not borrowed: a model's `Serialize` may store another value meanwhile, or panic and leave a partial one
        // behind. While a thread ends, there is none to take.
        let mut encoder = ENCODER.try_with(Cell::take).ok().flatten().unwrap_or_else(Self::new);
        let result = encode(&mut encoder);
        if encoder.bytes.capacity() <= KEEP_BYTES && encoder.arena.shrink() <= KEEP_BYTES {
            let _ = ENCODER.try_with(|kept| kept.set(Some(encoder)));
        }
        result
    }

    /// Archives one model.
    pub(crate) fn archive<M: Model>(&mut self, model: &M, limits: &Limits) -> Result<&mut AlignedVec, Error> {
        self.bytes.clear();
        let writer = ArchiveWriter::new(&mut self.bytes, limits);
        let mut serializer = Serializer::new(writer, self.arena.acquire(), ());
        serialize_using::<_, ArchiveFault>(model, &mut serializer).map_err(ArchiveFault::into_error)?;
        Ok(&mut self.bytes)
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
        let writer = ArchiveWriter::new(&mut self.bytes, limits);
        let mut serializer = Serializer::new(writer, self.arena.acquire(), ());
        serialize_using::<_, ArchiveFault>(entries, &mut serializer).map_err(ArchiveFault::into_record_error)?;
        header::write(&mut self.bytes, key, meta);
        Ok(Record::from_encoder(&self.bytes, entries.iter().any(NewEntry::keeps_check)))
    }
}

/// The output of an archive: a buffer that does not grow beyond a limit.
///
/// The limit holds during writing, not only afterwards: rkyv's pointers have 32 bits, and it panics if a target is too far.
pub struct ArchiveWriter<'a> {
    bytes: &'a mut AlignedVec,
    limit_bytes: usize,
    depth: usize,
}

impl<'a> ArchiveWriter<'a> {
    fn new(bytes: &'a mut AlignedVec, limits: &Limits) -> Self {
        Self { bytes, limit_bytes: limits.most_bytes(), depth: 0 }
    }

    /// Begins a level of nesting.
    pub(crate) fn enter(&mut self) -> Result<(), ArchiveFault> {
        if self.depth == crate::MAX_DEPTH {
            return Err(ArchiveFault::TooDeep);
        }
        self.depth += 1;
        Ok(())
    }

    /// Ends a level of nesting.
    pub(crate) fn leave(&mut self) {
        self.depth -= 1;
    }
}

impl Positional for ArchiveWriter<'_> {
    fn pos(&self) -> usize {
        self.bytes.len()
    }
}

impl Writer<ArchiveFault> for ArchiveWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), ArchiveFault> {
        // Both are lengths of slices, so their sum fits.
        let found_bytes = self.bytes.len() + bytes.len();
        if found_bytes > self.limit_bytes {
            return Err(ArchiveFault::TooLarge { found_bytes, limit_bytes: self.limit_bytes });
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}
