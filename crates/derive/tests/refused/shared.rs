//! Refused.
use std::{rc::Rc, sync::Arc};

#[derive(sessile::Model)]
enum Cart {
    Named { name: Rc<String> },
    Listed(Vec<Arc<str>>),
}

fn main() {}
