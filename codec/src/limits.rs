//! The sizes of keys, values and records.

use crate::Error;

/// Bounds on what is stored, checked when a value is set and when a record is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest record, and so the largest value. Default: 1 MiB; at most 1 GiB.
    pub record_bytes: usize,
    /// Most keys in a record. Default: 4,096.
    pub keys: usize,
    /// Longest key. Default: 255 bytes.
    pub key_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { record_bytes: 1 << 20, keys: 4096, key_bytes: 255 }
    }
}

/// Archives have signed 32-bit pointers; half of their range leaves room for every alignment.
const MOST_RECORD_BYTES: usize = 1 << 30;

impl Limits {
    /// Only the format's own bound: 1 GiB for a record.
    pub const UNLIMITED: Self = Self { record_bytes: MOST_RECORD_BYTES, keys: usize::MAX, key_bytes: 1 << 20 };

    pub(crate) fn check_key(&self, key: &str) -> Result<(), Error> {
        if key.is_empty() || key.len() > self.key_bytes {
            return Err(Error::BadKey { found_bytes: key.len(), limit_bytes: self.key_bytes });
        }
        Ok(())
    }

    pub(crate) fn check_value(&self, found_bytes: usize) -> Result<(), Error> {
        let limit_bytes = self.most_bytes();
        if found_bytes > limit_bytes {
            return Err(Error::ValueTooLarge { found_bytes, limit_bytes });
        }
        Ok(())
    }

    /// Returns the size of the largest record or value that is written.
    pub(crate) fn most_bytes(&self) -> usize {
        self.record_bytes.min(MOST_RECORD_BYTES)
    }
}
