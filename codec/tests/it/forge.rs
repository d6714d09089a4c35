//! Records that this crate would not write, with a header and a checksum that are right.

use rkyv::{
    Archive, Place, Serialize,
    rancor::{Error, Fallible},
    ser::{Allocator, Writer, WriterExt},
    vec::{ArchivedVec, VecResolver},
    with::{ArchiveWith, SerializeWith},
};
use sessile_codec::{Fingerprint, ModelPart, rkyv};

use crate::fuzz::{HEADER, KEY, seal};

/// An entry as it lies in a record.
#[derive(Archive, Serialize)]
pub(crate) struct Forged {
    pub(crate) key: String,
    #[rkyv(with = Skewed)]
    pub(crate) bytes: Bytes,
    pub(crate) tag: [u8; 8],
    pub(crate) version: u16,
    pub(crate) lane: u8,
    pub(crate) zero: u8,
}

/// Bytes that begin so many bytes after a multiple of sixteen.
pub(crate) struct Bytes {
    pub(crate) content: Vec<u8>,
    pub(crate) skew: usize,
}

impl Forged {
    /// A value of the serde lane.
    pub(crate) fn serde(key: &str, content: &[u8]) -> Self {
        let bytes = Bytes { content: content.to_vec(), skew: 0 };
        Self { key: key.to_owned(), bytes, tag: [0; 8], version: 0, lane: 1, zero: 0 }
    }

    /// A value of the model lane, with the shape of `M`.
    pub(crate) fn model<M: ModelPart>(key: &str, tag: &str, version: u16, content: &[u8]) -> Self {
        let mut bytes = [0; 8];
        bytes[..tag.len()].copy_from_slice(tag.as_bytes());
        let fingerprint = u64::from_str_radix(&Fingerprint::of::<M>().to_string(), 16).unwrap();
        Self { tag: bytes, version, lane: 0, ..Self::serde(key, &[content, &fingerprint.to_le_bytes()].concat()) }
    }
}

/// The bytes of a record of these entries, in this order.
#[allow(clippy::needless_pass_by_value, reason = "an archived record is a vector")]
pub(crate) fn record(entries: Vec<Forged>) -> Vec<u8> {
    let archive = rkyv::to_bytes::<Error>(&entries).unwrap();
    let mut record = [&[0; HEADER][..], &archive].concat();
    seal(&mut record);
    record
}

/// The record of these entries as it is read.
pub(crate) fn read(entries: Vec<Forged>) -> sessile_codec::Record {
    let bytes = record(entries);
    sessile_codec::Record::check(&bytes, &KEY, bytes.len()).unwrap()
}

pub(crate) struct Skewed;

impl ArchiveWith<Bytes> for Skewed {
    type Archived = ArchivedVec<u8>;
    type Resolver = VecResolver;

    fn resolve_with(field: &Bytes, resolver: VecResolver, out: Place<ArchivedVec<u8>>) {
        ArchivedVec::resolve_from_len(field.content.len(), resolver, out);
    }
}

impl<S: Fallible + Allocator + Writer + ?Sized> SerializeWith<Bytes, S> for Skewed {
    fn serialize_with(field: &Bytes, serializer: &mut S) -> Result<VecResolver, S::Error> {
        serializer.align(16)?;
        serializer.pad(field.skew)?;
        let position = serializer.pos();
        serializer.write(&field.content)?;
        Ok(VecResolver::from_pos(position))
    }
}
