//! Refused.
use std::borrow::Cow;

#[derive(sessile::Model)]
struct Cart {
    name: &'static str,
    note: Cow<'static, str>,
    raw: *const u8,
    call: fn() -> u8,
}

fn main() {}
