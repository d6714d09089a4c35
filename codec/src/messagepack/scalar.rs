//! Writes scalars, and the headers of values with a length: the shortest form of each, as MessagePack recommends.

use super::{MessagePackError, write::fits};

/// The longest header: a marker and a length of 32 bits.
pub(crate) const MOST_HEADER_BYTES: usize = 5;

pub(super) fn nil(out: &mut Vec<u8>) {
    out.push(0xc0);
}

pub(super) fn bool(out: &mut Vec<u8>, value: bool) {
    out.push(if value { 0xc3 } else { 0xc2 });
}

#[inline]
pub(super) fn unsigned(out: &mut Vec<u8>, value: u64) {
    let bytes = value.to_be_bytes();
    match value {
        0..0x80 => out.push(bytes[7]),
        0x80..=0xff => out.extend([0xcc, bytes[7]]),
        0x100..=0xffff => marked(out, 0xcd, &bytes[6..]),
        0x1_0000..=0xffff_ffff => marked(out, 0xce, &bytes[4..]),
        _ => marked(out, 0xcf, &bytes),
    }
}

#[inline]
pub(super) fn signed(out: &mut Vec<u8>, value: i64) {
    let bytes = value.to_be_bytes();
    match value {
        0.. => unsigned(out, value.cast_unsigned()),
        -0x20..0 => out.push(bytes[7]),
        -0x80..-0x20 => out.extend([0xd0, bytes[7]]),
        -0x8000..-0x80 => marked(out, 0xd1, &bytes[6..]),
        -0x8000_0000..-0x8000 => marked(out, 0xd2, &bytes[4..]),
        _ => marked(out, 0xd3, &bytes),
    }
}

pub(super) fn f32(out: &mut Vec<u8>, value: f32) {
    marked(out, 0xca, &value.to_be_bytes());
}

pub(super) fn f64(out: &mut Vec<u8>, value: f64) {
    marked(out, 0xcb, &value.to_be_bytes());
}

#[inline]
pub(super) fn text(out: &mut Vec<u8>, text: &str) -> Result<(), MessagePackError> {
    match u8::try_from(text.len()) {
        Ok(len @ 0..0x20) => out.push(0xa0 | len),
        _ => long(out, text.len(), [0xd9, 0xda, 0xdb])?,
    }
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

pub(crate) fn bytes(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), MessagePackError> {
    long(out, bytes.len(), [0xc4, 0xc5, 0xc6])?;
    out.extend_from_slice(bytes);
    Ok(())
}

#[inline]
pub(super) fn array(out: &mut Vec<u8>, len: usize) -> Result<(), MessagePackError> {
    elements(out, len, 0x90, [0xdc, 0xdd])
}

#[inline]
pub(super) fn map(out: &mut Vec<u8>, len: usize) -> Result<(), MessagePackError> {
    elements(out, len, 0x80, [0xde, 0xdf])
}

/// The header of `len` elements: in the low bits of `few`, or after one of `markers` in 16 or 32 bits.
#[inline]
fn elements(out: &mut Vec<u8>, len: usize, few: u8, markers: [u8; 2]) -> Result<(), MessagePackError> {
    match u8::try_from(len) {
        Ok(len @ 0..0x10) => {
            out.push(few | len);
            Ok(())
        }
        _ => many(out, len, markers),
    }
}

#[inline(never)]
fn many(out: &mut Vec<u8>, len: usize, [short, long]: [u8; 2]) -> Result<(), MessagePackError> {
    let bytes = fits(len)?.to_be_bytes();
    if len <= 0xffff {
        marked(out, short, &bytes[2..]);
    } else {
        marked(out, long, &bytes);
    }
    Ok(())
}

/// The header of `len` bytes, after one of `markers` in 8, 16 or 32 bits.
#[inline(never)]
fn long(out: &mut Vec<u8>, len: usize, markers: [u8; 3]) -> Result<(), MessagePackError> {
    let bytes = fits(len)?.to_be_bytes();
    match len {
        ..=0xff => marked(out, markers[0], &bytes[3..]),
        0x100..=0xffff => marked(out, markers[1], &bytes[2..]),
        _ => marked(out, markers[2], &bytes),
    }
    Ok(())
}

#[inline]
fn marked(out: &mut Vec<u8>, marker: u8, bytes: &[u8]) {
    out.push(marker);
    out.extend_from_slice(bytes);
}
