//! Refused.
use std::time::SystemTime;

#[derive(sessile::Model)]
struct Cart {
    pair: (u8, SystemTime),
    boxed: Vec<Box<SystemTime>>,
}

fn main() {}
