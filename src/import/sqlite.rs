//! Reads the rows of a table out of an SQLite file, without SQLite, which would need a C compiler or a library of the system.
//!
//! Facts behind it: the file format is public and promised to stay (sqlite.org/fileformat2.html). A file is pages; a table is a B-tree
//! whose leaves hold the rows; what does not fit into a leaf goes on in a list of overflow pages. Invariants: no byte is read outside of
//! the file, and no page more often than there are pages, whatever is in them; a file with changes beside it that are not in it yet, in a
//! `-wal` or a `-journal`, is refused.

use std::{ffi::OsString, fs, path::Path};

use super::ImportError;

/// A whole SQLite file.
pub(super) struct File {
    bytes: Vec<u8>,
    page_bytes: usize,
    /// What of a page is in use: the rest is reserved for extensions.
    usable_bytes: usize,
}

/// The value of a column.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

type Result<T> = std::result::Result<T, String>;

const MAGIC: &[u8] = b"SQLite format 3\0";
/// Before the first page's own header.
const HEADER_BYTES: usize = 100;
const LEAF: u8 = 13;
const INTERIOR: u8 = 5;
/// Deeper than any tree of pages that fits a file system.
const MOST_DEPTH: usize = 40;

impl File {
    pub(super) fn read(path: &Path) -> std::result::Result<Self, ImportError> {
        for suffix in ["-wal", "-journal"] {
            let mut beside = OsString::from(path);
            beside.push(suffix);
            if fs::metadata(&beside).is_ok_and(|found| found.len() > 0) {
                let detail = format!(
                    "beside it lies {}, with changes that are not in it yet; end the program that uses it, or run \
                     `PRAGMA wal_checkpoint(TRUNCATE)` in it",
                    beside.display()
                );
                return Err(ImportError::File { path: path.to_owned(), detail });
            }
        }
        let bytes = fs::read(path)?;
        Self::of(bytes).map_err(|detail| ImportError::File { path: path.to_owned(), detail })
    }

    fn of(bytes: Vec<u8>) -> Result<Self> {
        let header = bytes.get(..HEADER_BYTES).filter(|header| header.starts_with(MAGIC));
        let header = header.ok_or("it is no SQLite file; give the database's file")?;
        let page_bytes = match u16::from_be_bytes([header[16], header[17]]) {
            1 => 65536,
            other => usize::from(other),
        };
        let usable_bytes = page_bytes.saturating_sub(usize::from(header[20]));
        if !page_bytes.is_power_of_two() || !(512..=65536).contains(&page_bytes) || usable_bytes < 480 {
            return Err(format!("its pages have {page_bytes} bytes, expected a power of two from 512 to 65536; it is damaged"));
        }
        if header[56..60] != [0, 0, 0, 1] {
            return Err("its text is not UTF-8; copy it into a database that is (`PRAGMA encoding`)".to_owned());
        }
        Ok(Self { bytes, page_bytes, usable_bytes })
    }

    /// Shows the columns of every row of `table` to `visit`.
    pub(super) fn rows(&self, table: &str, mut visit: impl FnMut(Vec<Value>)) -> Result<()> {
        let (mut root, mut tables) = (None, Vec::new());
        // The table of tables has the first page, and the columns type, name, table, root page, text.
        self.walk(1, |columns| {
            if let [Value::Text(kind), Value::Text(name), _, Value::Integer(page), ..] = &columns[..]
                && kind == "table"
            {
                if name == table {
                    root = Some(*page);
                }
                tables.push(name.clone());
            }
        })?;
        let root = root.ok_or_else(|| format!("it has no table `{table}`, found {tables:?}; give one of these"))?;
        self.walk(usize::try_from(root).unwrap_or(0), &mut visit)
    }

    fn walk(&self, root: usize, mut visit: impl FnMut(Vec<Value>)) -> Result<()> {
        // A tree reads each page once; with more to read, pages lead back to each other.
        let mut left = self.bytes.len() / self.page_bytes;
        let mut stack = vec![(root, 0)];
        while let Some((number, depth)) = stack.pop() {
            left = left.checked_sub(1).filter(|_| depth < MOST_DEPTH).ok_or("its pages lead in a circle; it is damaged")?;
            let page = self.page(number)?;
            let header = if number == 1 { HEADER_BYTES } else { 0 };
            let cells = usize::from(u16_at(page, header + 3)?);
            match page[header] {
                LEAF => {
                    for nth in 0..cells {
                        let at = usize::from(u16_at(page, header + 8 + 2 * nth)?);
                        visit(columns(&self.payload(page, at)?)?);
                    }
                }
                INTERIOR => {
                    // The last one first, so that rows come in their order.
                    stack.push((u32_at(page, header + 8)?, depth + 1));
                    for nth in (0..cells).rev() {
                        let at = usize::from(u16_at(page, header + 12 + 2 * nth)?);
                        stack.push((u32_at(page, at)?, depth + 1));
                    }
                }
                other => {
                    return Err(format!(
                        "page {number} is of kind {other}, expected one of a table with row ids (5, 13); it is damaged, or the \
                         table is one `WITHOUT ROWID`"
                    ));
                }
            }
        }
        Ok(())
    }

    fn page(&self, number: usize) -> Result<&[u8]> {
        let start = number.checked_sub(1).and_then(|before| before.checked_mul(self.page_bytes));
        let page = start.and_then(|start| self.bytes.get(start..)?.get(..self.page_bytes));
        page.ok_or_else(|| format!("it has no page {number}; it is damaged or cut off"))
    }

    /// The bytes of the row whose cell begins at `at`, with those on overflow pages.
    fn payload(&self, page: &[u8], at: usize) -> Result<Vec<u8>> {
        let (len, rest) = varint(page.get(at..).ok_or_else(short)?)?;
        let (_row_id, rest) = varint(rest)?;
        let len = usize::try_from(len).ok().filter(|len| *len <= self.bytes.len()).ok_or_else(short)?;
        let local = self.local_bytes(len);
        let mut payload = rest.get(..local).ok_or_else(short)?.to_vec();
        let mut next = if local < len { u32_at(rest, local)? } else { 0 };
        // Each overflow page adds bytes, so that it ends however they are linked.
        while payload.len() < len {
            let page = self.page(next)?;
            let take = (len - payload.len()).min(self.usable_bytes - 4);
            payload.extend_from_slice(&page[4..4 + take]);
            next = u32_at(page, 0)?;
        }
        Ok(payload)
    }

    /// How much of a row of `len` bytes stands in its leaf.
    fn local_bytes(&self, len: usize) -> usize {
        let usable = self.usable_bytes;
        let (most, least) = (usable - 35, (usable - 12) * 32 / 255 - 23);
        if len <= most {
            return len;
        }
        let wanted = least + (len - least) % (usable - 4);
        if wanted <= most { wanted } else { least }
    }
}

/// The columns of a row.
fn columns(payload: &[u8]) -> Result<Vec<Value>> {
    let (header_bytes, types) = varint(payload)?;
    let header_bytes = usize::try_from(header_bytes).unwrap_or(usize::MAX);
    let mut values = payload.get(header_bytes..).ok_or_else(short)?;
    let types_bytes = header_bytes.checked_sub(payload.len() - types.len()).ok_or_else(short)?;
    let mut types = types.get(..types_bytes).ok_or_else(short)?;
    let mut columns = Vec::new();
    while !types.is_empty() {
        let (kind, rest) = varint(types)?;
        types = rest;
        let len = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return Err(format!("a column has the type {kind}, which is reserved; it is damaged")),
            _ => (kind - 12) / 2,
        };
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let (bytes, rest) = values.split_at_checked(len).ok_or_else(short)?;
        values = rest;
        columns.push(match kind {
            0 => Value::Null,
            8 => Value::Integer(0),
            9 => Value::Integer(1),
            7 => Value::Real(f64::from_be_bytes(bytes.try_into().expect("the type 7 has eight bytes"))),
            1..=6 => Value::Integer(integer(bytes)),
            _ if kind % 2 == 0 => Value::Blob(bytes.to_vec()),
            _ => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
        });
    }
    Ok(columns)
}

/// A signed big-endian integer of up to eight bytes.
fn integer(bytes: &[u8]) -> i64 {
    let negative = bytes.first().is_some_and(|first| *first >= 0x80);
    bytes.iter().fold(if negative { -1 } else { 0 }, |value, byte| value << 8 | i64::from(*byte))
}

/// A number of up to nine bytes, whose high bits say whether another follows, and what comes after it.
fn varint(bytes: &[u8]) -> Result<(u64, &[u8])> {
    let mut value = 0_u64;
    for (nth, byte) in bytes.iter().enumerate().take(9) {
        if nth == 8 {
            return Ok((value << 8 | u64::from(*byte), &bytes[9..]));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Ok((value, &bytes[nth + 1..]));
        }
    }
    Err(short())
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16> {
    let found = bytes.get(at..).and_then(<[u8]>::first_chunk);
    Ok(u16::from_be_bytes(*found.ok_or_else(short)?))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<usize> {
    let found = bytes.get(at..).and_then(<[u8]>::first_chunk);
    usize::try_from(u32::from_be_bytes(*found.ok_or_else(short)?)).map_err(|_| short())
}

fn short() -> String {
    "a page says that more follows than there is; it is damaged".to_owned()
}
