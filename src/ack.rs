//! The acknowledgement of a queued write: await it, wait for it, or drop it.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use crate::{Error, disk::Ticket};

/// The acknowledgement of a write that is already queued.
///
/// `.await` it in async code, on any runtime or none; call [`wait`](Self::wait) in sync code. Both return the result once the
/// write is as durable as its [`Durability`](crate::Durability) requires. Dropping it loses only the result: the write
/// continues.
///
/// # Examples
/// ```
/// # let session = sessile::testing::session();
/// session.insert("step", 1)?;
/// session.save().wait()?; // in sync code
/// # let _ = async {
/// session.insert("step", 2)?;
/// session.save().await?; // in async code
/// # Ok::<(), sessile::Error>(())
/// # };
/// # Ok::<(), sessile::Error>(())
/// ```
///
/// # Errors
/// [`Error::Degraded`] if the disk refused. The change is in memory, is served from there, and is retried until it is on disk;
/// a crash before that would undo it. [`Error::Closed`] after [`Store::close`](crate::Store::close).
#[derive(Debug)]
pub struct Ack<T = ()> {
    ticket: Ticket,
    value: Option<Result<T, Error>>,
}

impl<T> Ack<T> {
    pub(crate) fn new(ticket: Ticket, value: T) -> Self {
        Self { ticket, value: Some(Ok(value)) }
    }

    /// Creates an acknowledgement whose result is already known.
    pub(crate) fn settled(result: Result<T, Error>) -> Self {
        Self { ticket: Ticket::done(), value: Some(result) }
    }

    /// Blocks the thread until the write is acknowledged. In async code, `.await` the acknowledgement instead.
    ///
    /// # Errors
    /// See [`Ack`].
    pub fn wait(mut self) -> Result<T, Error> {
        self.ticket.wait()?;
        self.take()
    }

    fn take(&mut self) -> Result<T, Error> {
        self.value.take().expect("an acknowledgement is not polled after it was ready")
    }
}

// The value is never pinned in place.
impl<T> Unpin for Ack<T> {}

impl<T> Future for Ack<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(self.ticket.poll(context))?;
        Poll::Ready(self.take())
    }
}
