//! Refused.
use std::{
    cell::{Cell, RefCell},
    sync::{Mutex, atomic::AtomicU64},
    time::Instant,
};

#[derive(sessile::model::ModelPart)]
struct Cart {
    cell: Cell<u8>,
    list: RefCell<Vec<u8>>,
    lock: Mutex<u8>,
    count: AtomicU64,
    since: Instant,
    path: std::path::PathBuf,
}

fn main() {}
