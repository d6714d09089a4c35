//! The stores that durable commits are compared with, each as its documentation says that a commit is durable.

pub(crate) mod fjall;
pub(crate) mod lmdb;
pub(crate) mod log;
pub(crate) mod redb;
pub(crate) mod sqlite;
