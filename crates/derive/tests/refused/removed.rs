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

#[derive(sessile::Model)]
#[model(version = 2, removed(Gone { id: u64 }, until = 2))]
enum NoConvert {
    Current,
}

#[derive(sessile::Model)]
#[model(version = 2, removed(Gone(usize), until = 2, convert = path))]
enum Sizes {
    Current,
}

#[derive(sessile::Model)]
#[model(version = 2, removed(Gone, until = 2, convert = path))]
struct NotEnum {
    name: String,
}

fn main() {}
