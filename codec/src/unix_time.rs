//! A `SystemTime` in a model: the time since 1970.
//!
//! Facts: rkyv's own adapter adds the stored duration to 1970 and panics if this machine cannot represent the sum. Stored bytes
//! must not cause a panic, so this one returns an error.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rkyv::{
    Archive, Place,
    rancor::{Fallible, Source},
    time::ArchivedDuration,
    with::{ArchiveWith, DeserializeWith, SerializeWith},
};

/// Stores a field of type `SystemTime` as the time since 1970. `#[derive(Model)]` puts it on such fields.
pub struct UnixTime;

/// A time that cannot be stored or read: before 1970, or after what this machine can represent.
#[derive(Debug)]
pub(crate) struct TimeOutOfRange;

impl fmt::Display for TimeOutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time before 1970, or after what this machine can represent")
    }
}

impl std::error::Error for TimeOutOfRange {}

fn since_epoch(time: &SystemTime) -> Option<Duration> {
    time.duration_since(UNIX_EPOCH).ok()
}

impl ArchiveWith<SystemTime> for UnixTime {
    type Archived = ArchivedDuration;
    type Resolver = ();

    fn resolve_with(field: &SystemTime, (): (), out: Place<ArchivedDuration>) {
        // `serialize_with` ran before and refused what is before 1970.
        since_epoch(field).unwrap_or_default().resolve((), out);
    }
}

impl<S: Fallible<Error: Source> + ?Sized> SerializeWith<SystemTime, S> for UnixTime {
    fn serialize_with(field: &SystemTime, _: &mut S) -> Result<(), S::Error> {
        since_epoch(field).map(|_| ()).ok_or_else(|| S::Error::new(TimeOutOfRange))
    }
}

impl<D: Fallible<Error: Source> + ?Sized> DeserializeWith<ArchivedDuration, SystemTime, D> for UnixTime {
    fn deserialize_with(field: &ArchivedDuration, _: &mut D) -> Result<SystemTime, D::Error> {
        let since_epoch = Duration::new(field.as_secs(), field.subsec_nanos());
        UNIX_EPOCH.checked_add(since_epoch).ok_or_else(|| D::Error::new(TimeOutOfRange))
    }
}
