//! Notifications of what happens to sessions: [`Store::subscribe`](crate::Store::subscribe) returns [`Events`] of all
//! sessions, [`Session::watch`](crate::Session::watch) a [`Watch`] for the end of one.

pub use crate::store::{EndReason, Event, Events, SessionEnd, Watch};
