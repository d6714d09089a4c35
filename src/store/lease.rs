//! A sharded reference count, with which sessions keep their store open.
//!
//! With a single `Arc`, the cores would pass the cache line of its counter around: with two threads on hot sessions that took
//! as much time as everything else together.
//!
//! Invariant: a lease keeps the store open. The store itself holds no lease; its handles do.

use std::{
    fmt,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::Store;

/// The number of counters, each in its own cache lines. Threads are assigned in turn, so with at most 32 threads no two share
/// one.
const LEASES: usize = 32;

/// A clone of one of a store's counters, for the sessions that some threads load.
#[derive(Clone)]
pub(crate) struct Lease(Arc<Padded>);

/// Aligned so that each counter has its own cache lines.
#[repr(align(128))]
struct Padded(Store);

impl Deref for Lease {
    type Target = Store;

    #[inline]
    fn deref(&self) -> &Store {
        &self.0.0
    }
}

/// The leases of a handle, shared by all its clones; `None` in handles that are leases themselves.
#[derive(Clone)]
pub(super) struct Leases(Option<Arc<[Lease; LEASES]>>);

impl Leases {
    /// Creates the leases of a new store.
    pub(super) fn of(inner: &Arc<super::Inner>) -> Self {
        let lease = |_| Lease(Arc::new(Padded(Store(inner.clone(), Self(None)))));
        Self(Some(Arc::new(std::array::from_fn(lease))))
    }
}

impl Store {
    /// Returns a lease on this store for a session of this thread.
    pub(crate) fn lease(&self) -> Lease {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static SEAT: usize = THREADS.fetch_add(1, Ordering::Relaxed) % LEASES;
        }
        match &self.1.0 {
            Some(leases) => leases[SEAT.with(|seat| *seat)].clone(),
            None => Lease(Arc::new(Padded(self.clone()))),
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
