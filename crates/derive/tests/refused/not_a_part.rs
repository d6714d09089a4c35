//! Refused.
#[derive(sessile::Model)]
struct Trip {
    days: std::ops::Range<u16>,
}

fn main() {}
