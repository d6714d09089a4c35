//! How callers wait for the disk.
//!
//! Invariants: a group is resolved once, with its first result; dropping a ticket cancels no operation.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
};

use parking_lot::{Condvar, Mutex};

use super::process::Process;
use crate::Error;

/// The callers that wait for the same write.
#[derive(Debug, Default)]
pub(super) struct Group {
    state: Mutex<GroupState>,
    resolved: Condvar,
}

#[derive(Debug, Default)]
struct GroupState {
    result: Option<Result<(), Error>>,
    wakers: Vec<Waker>,
}

impl Group {
    /// Resolves the group. Later calls do nothing.
    pub(super) fn resolve(&self, result: Result<(), Error>) {
        let mut state = self.state.lock();
        if state.result.is_some() {
            return;
        }
        state.result = Some(result);
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.resolved.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Blocks the thread until the group is resolved.
    pub(super) fn wait(&self) -> Result<(), Error> {
        let mut state = self.state.lock();
        loop {
            if let Some(result) = &state.result {
                return result.clone();
            }
            self.resolved.wait(&mut state);
        }
    }
}

/// A promise that an operation will be durable. The caller waits for it or drops it.
#[derive(Debug)]
pub(crate) struct Ticket(Wait);

#[derive(Debug)]
enum Wait {
    Done(Result<(), Error>),
    /// The group, and the process whose threads resolve it.
    For(Arc<Group>, Process),
}

impl Ticket {
    pub(crate) fn done() -> Self {
        Self(Wait::Done(Ok(())))
    }

    pub(crate) fn failed(error: Error) -> Self {
        Self(Wait::Done(Err(error)))
    }

    /// A ticket for `group`, which the threads of `process` resolve.
    pub(super) fn waiting(group: &Arc<Group>, process: &Process) -> Self {
        Self(Wait::For(group.clone(), process.clone()))
    }

    /// Blocks the thread until the group is resolved.
    pub(crate) fn wait(&self) -> Result<(), Error> {
        match &self.0 {
            Wait::Done(result) => result.clone(),
            Wait::For(group, process) => {
                process.check()?;
                group.wait()
            }
        }
    }

    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match &self.0 {
            Wait::Done(result) => Poll::Ready(result.clone()),
            Wait::For(group, process) => {
                process.check()?;
                let mut state = group.state.lock();
                if let Some(result) = &state.result {
                    return Poll::Ready(result.clone());
                }
                // A future that is polled again has one waker here, not one for each poll.
                if !state.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                    state.wakers.push(context.waker().clone());
                }
                Poll::Pending
            }
        }
    }
}
