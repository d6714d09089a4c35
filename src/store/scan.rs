//! Every session of the store, one after the other: for an export, and for what concerns all sessions of one kind.
//!
//! Invariants: a session that is there from the beginning to the end of a scan is seen, unless it moves to another key meanwhile; one
//! that has ended before it is reached is not; nothing is brought into memory.

use sessile_codec::Record;

use super::Store;
use crate::{
    Error,
    disk::{ENDED, is_note},
    token::Key,
};

impl Store {
    /// Shows every session to `visit`, in no order, with the moment of its last use in milliseconds since 1970. Ends with its first error.
    pub(crate) fn scan<E: From<Error>>(&self, mut visit: impl FnMut(&Key, &Record, u64) -> Result<(), E>) -> Result<(), E> {
        self.0.disk.check_process()?;
        // What only memory has goes to the disk's queue, and so is among the keys.
        self.0.memory.write_back(&self.0.disk, false);
        let ended = self.0.disk.of_owner(&ENDED)?;
        // Which are no sessions.
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
