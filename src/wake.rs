//! Calls the application's wakers while this crate holds no lock.
//!
//! Why: an executor may poll the task within `wake` itself, on this thread, and the task may use the store. Under one of the
//! store's locks it would deadlock.
//!
//! Invariant: a thread that has a [`Deferred`] calls no waker; its wakers are called when its last `Deferred` is dropped.

use std::{cell::RefCell, task::Waker};

#[derive(Default)]
struct Waiting {
    depth: usize,
    wakers: Vec<Waker>,
}

thread_local! {
    static WAITING: RefCell<Waiting> = RefCell::default();
}

/// Wakes now, or when this thread's last [`Deferred`] is dropped.
pub(crate) fn wake(waker: Waker) {
    let mut now = Some(waker);
    // A thread that ends has nothing to defer to, and holds no lock.
    let _ = WAITING.try_with(|waiting| {
        let mut waiting = waiting.borrow_mut();
        if waiting.depth > 0 {
            waiting.wakers.extend(now.take());
        }
    });
    if let Some(waker) = now {
        waker.wake();
    }
}

/// Create this before a lock in the same scope, so that it is dropped after it.
#[must_use = "wakers are deferred for as long as this lives"]
#[derive(Debug)]
pub(crate) struct Deferred(());

impl Deferred {
    pub(crate) fn begin() -> Self {
        let _ = WAITING.try_with(|waiting| waiting.borrow_mut().depth += 1);
        Self(())
    }
}

impl Drop for Deferred {
    fn drop(&mut self) {
        let wakers = WAITING.try_with(|waiting| {
            let mut waiting = waiting.borrow_mut();
            waiting.depth -= 1;
            if waiting.depth == 0 { std::mem::take(&mut waiting.wakers) } else { Vec::new() }
        });
        wakers.unwrap_or_default().into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::Wake,
    };

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn wakers_are_called_at_once_or_after_the_last_lock() {
        let count = Arc::new(Count::default());
        let woken = || count.0.load(Ordering::Relaxed);
        wake(count.clone().into());
        assert_eq!(woken(), 1);
        let outer = Deferred::begin();
        let inner = Deferred::begin();
        wake(count.clone().into());
        drop(inner);
        assert_eq!(woken(), 1);
        drop(outer);
        assert_eq!(woken(), 2);
        wake(count.clone().into());
        assert_eq!(woken(), 3);
    }
}
