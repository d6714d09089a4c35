//! Refused.
#[derive(sessile::Model)]
#[model(version = 2, removed(legacy: u64))]
struct NoUntil;

#[derive(sessile::Model)]
#[model(version = 2, removed(legacy: u64, until = 2, after = "nmae"))]
struct NoField {
    name: String,
}

#[derive(sessile::Model)]
#[model(version = 3, removed(legacy: u64, since = 3, until = 2))]
struct Order;

#[derive(sessile::Model)]
#[model(version = 2, removed(legacy: usize, until = 2))]
struct Size;

#[derive(sessile::Model)]
#[model(version = 2, removed(Legacy: u64, until = 2))]
enum Variants {
    Current,
}

fn main() {}
