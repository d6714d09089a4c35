//! Refused.
#[derive(sessile::Model)]
union Cart {
    number: u32,
    float: f32,
}

#[derive(sessile::Model)]
enum Never {}

fn main() {}
