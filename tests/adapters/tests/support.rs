//! What the subjects share: a store in a file with a clock that the test sets, and an executor for one future.

use std::{
    cell::RefCell,
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, SystemTime},
};

use sessile::{Builder, Clock, Durability, Store, testing::ManualClock};
use sessile_fault_disk::FaultDisk;
use session_store_contract::{Failure, Subject};
use tempfile::TempDir;

/// An adapter over its own store.
pub(crate) trait Adapter: Subject + Sized {
    /// Whether the other crate passes its values as one text, so that limits of keys do not apply, and ignores errors of a late
    /// save.
    const IS_ONE_TEXT: bool = false;

    fn over(disk: OnDisk) -> Self;

    fn disk(&self) -> &OnDisk;

    /// The same store, in which the value under `key`, as JSON, is a session's owner.
    #[must_use]
    fn owned_by(self, key: &'static str) -> Self;

    fn index_owners(&self, version: u32) -> Result<u64, sessile::Error>;

    fn store(&self) -> &Store {
        &self.disk().store
    }
}

thread_local! {
    static USED: RefCell<Option<(Store, u32)>> = const { RefCell::new(None) };
}

/// Lets each owner function on this thread use `store`.
pub(crate) fn let_owner_functions_use(store: &Store) {
    USED.set(Some((store.clone(), 0)));
}

/// Returns how often owner functions on this thread have used the store.
pub(crate) fn uses_by_owner_functions() -> u32 {
    USED.with_borrow(|used| used.as_ref().map_or(0, |(_, uses)| *uses))
}

/// What every adapter's owner function returns.
pub(crate) fn owner_of(owner: Option<String>) -> Option<String> {
    let store = USED.with_borrow_mut(|used| {
        let (store, uses) = used.as_mut()?;
        *uses += 1;
        Some(store.clone())
    });
    if let (Some(store), Some(owner)) = (store, &owner) {
        store.sessions_of(owner.as_str()).unwrap();
        let session = store.session(None).unwrap();
        session.sign_in(owner.as_str()).unwrap();
        session.save().wait().unwrap();
        store.destroy_session_of(owner.as_str(), &session.handle().unwrap()).wait().unwrap();
    }
    owner
}

/// A store that can be closed and opened again.
pub(crate) struct OnDisk {
    pub(crate) store: Store,
    pub(crate) clock: ManualClock,
    place: Place,
}

enum Place {
    Directory(TempDir),
    Simulated(FaultDisk),
}

impl OnDisk {
    pub(crate) fn new() -> Self {
        Self::open(Place::Directory(tempfile::tempdir().unwrap()), ManualClock::default(), |builder| builder)
    }

    /// A store on a simulated disk, with a small journal.
    pub(crate) fn at(disk: &FaultDisk, clock: ManualClock, settings: impl FnOnce(Builder) -> Builder) -> Self {
        Self::open(Place::Simulated(disk.clone()), clock, |builder| settings(builder.journal_bytes(192 << 10)))
    }

    fn open(place: Place, clock: ManualClock, settings: impl FnOnce(Builder) -> Builder) -> Self {
        // Most cases do not test power cuts; those that do set another durability.
        let builder =
            Store::builder().clock(clock.clone()).durability(Durability::Relaxed).wait_for_lock(Duration::from_secs(10));
        let builder = settings(builder);
        let store = match &place {
            Place::Directory(directory) => builder.open(directory.path().join("sessions.redb")),
            Place::Simulated(disk) => builder.open_on(disk),
        };
        Self { store: store.unwrap(), clock, place }
    }

    pub(crate) fn reopen(self) -> Self {
        let Self { store, clock, place } = self;
        store.close().unwrap();
        drop(store);
        Self::open(place, clock, |builder| builder)
    }

    /// Returns the bytes of all files, after everything was written.
    pub(crate) fn files(&self) -> Vec<u8> {
        self.store.flush().wait().unwrap();
        let Place::Directory(directory) = &self.place else { panic!("the store has no directory") };
        let files = std::fs::read_dir(directory.path()).unwrap();
        files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.clock.now()
    }
}

/// Returns an id as a client of a store creates it, which was never used before.
pub(crate) fn new_id() -> String {
    static LAST: AtomicU64 = AtomicU64::new(0);
    format!("{:022}", LAST.fetch_add(1, Ordering::Relaxed))
}

/// Returns an error's text with its causes.
pub(crate) fn error_text(error: &Failure) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Runs a future to its end on this thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
