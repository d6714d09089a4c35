//! Visits every session of the store: for an export, and for changes of all sessions of one kind.
//!
//! Invariants: a session that exists from the beginning to the end of a scan is visited, unless it moves to another key
//! meanwhile; one that ended before its turn is not; nothing is loaded into memory.

use sessile_codec::Record;

use super::Store;
use crate::{
    Error,
    disk::{ENDED, is_note},
    token::Key,
};

impl Store {
    /// Calls `visit` with every session, in no order, and the time of its last use in milliseconds since 1970. Stops at its
    /// first error.
    pub(crate) fn scan<E: From<Error>>(&self, mut visit: impl FnMut(&Key, &Record, u64) -> Result<(), E>) -> Result<(), E> {
        self.0.disk.check_process()?;
        // Changes that only memory has go to the disk's queue, so their keys are included.
        self.0.memory.write_back(&self.0.disk, false);
        let ended = self.0.disk.of_owner(&ENDED)?;
        // These are not sessions.
        for key in self.0.disk.keys()?.into_iter().filter(|key| !is_note(key) && ended.binary_search(key).is_err()) {
            if let Some((record, seen_ms)) = self.inspect(&key)? {
                visit(&key, &record, seen_ms)?;
            }
        }
        Ok(())
    }
}

#[cfg(all(test, feature = "sealed", feature = "test-util"))]
mod tests {
    #[test]
    fn ends_of_sealed_sessions_are_no_sessions() {
        let store = crate::testing::store();
        store.begin_sealing();
        store.destroy_sessions_of("ada").wait().unwrap();
        let session = store.session(None).unwrap();
        session.sign_in("ada").unwrap();
        session.save().wait().unwrap();
        let mut seen = Vec::new();
        let note = |key: &_, _: &_, _| {
            seen.push(*key);
            Ok::<(), crate::Error>(())
        };
        store.scan(note).unwrap();
        assert_eq!(seen, [session.token().unwrap().key()]);
    }
}
