//! What the benches share: how rounds are timed, how a result is printed beside its target, and what all of them store.
//!
//! What is compared runs interleaved in one process, in rounds of a fraction of a millisecond: whatever else the machine does then
//! falls on all alike, and the median passes over the rounds that were interrupted. Absolute numbers are of this machine;
//! ratios are what targets are about.
//!
//! `SESSILE_BENCH_QUICK=1` makes every bench a run of seconds, which shows that it works and measures nothing.

pub mod disk;
mod input;
mod others;
mod random;
mod timing;
mod typical;
mod web;

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

pub use self::{
    input::{TypicalModel, Zipf, model, sessile_store, sessile_store_on, tower_fill, tower_record, tower_store, write_typical},
    others::Others,
    random::Random,
    timing::{Contestant, Target, compare, is_quick, median, report, row, sized},
    typical::{USER_ID, typical},
    web::{
        App, Work, around, bare_app, call, calling, no_op_app, request, sessile_app, sessile_around, tower_app, tower_around,
    },
};

/// Drives a future to its end on this thread.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = pin!(future);
    // Nearly every future here is ready at once: no waker is made for those.
    if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        return output;
    }
    let waker = Arc::new(Unpark(thread::current())).into();
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}
