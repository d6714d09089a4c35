//! Refused.
use std::num::NonZeroUsize;

#[derive(sessile::Model)]
struct Cart {
    count: usize,
    list: Vec<(u8, isize)>,
    some: Option<NonZeroUsize>,
}

fn main() {}
