//! What a session holds its store by.
//!
//! A share of one `Arc` for each session would have the cores pass the cache line of its counter around: with two threads on hot sessions
//! that took as much time as all the rest.
//!
//! Invariant: a lease keeps the store open, and the store keeps no lease that would keep it open: those hang on its handles.

use std::{
    fmt,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::Store;

/// Counters, each in a cache line of its own. Threads take turns at them, so with as many threads as cores seldom two share one.
const LEASES: usize = 32;

/// One of a store's counters, for the sessions that some threads load.
#[derive(Clone)]
pub(crate) struct Lease(Arc<Padded>);

/// Each counter has cache lines to itself.
#[repr(align(128))]
struct Padded(Store);

impl Deref for Lease {
    type Target = Store;

    #[inline]
    fn deref(&self) -> &Store {
        &self.0.0
    }
}

/// The leases of a handle, which all its clones share; none in the handles that are leases themselves.
#[derive(Clone)]
pub(super) struct Leases(Option<Arc<[Lease; LEASES]>>);

impl Leases {
    /// Those of a new store, of which `inner` is all that there is.
    pub(super) fn of(inner: &Arc<super::Inner>) -> Self {
        let lease = |_| Lease(Arc::new(Padded(Store(inner.clone(), Self(None)))));
        Self(Some(Arc::new(std::array::from_fn(lease))))
    }
}

impl Store {
    /// A hold on this store for a session of this thread.
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
