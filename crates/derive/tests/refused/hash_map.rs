//! Refused.
use std::collections::{HashMap, HashSet};

#[derive(sessile::Model)]
struct Cart {
    prices: HashMap<String, u64>,
    seen: Option<HashSet<u64>>,
}

fn main() {}
