//! Refused.
#[derive(sessile::Model)]
struct TooNew {
    #[model(since = 2)]
    voucher: u8,
}

#[derive(sessile::Model)]
#[model(version = 0)]
struct Zero;

#[derive(sessile::Model)]
#[model(version = 65536)]
struct TooLarge;

#[derive(sessile::Model)]
#[model(version = 3)]
struct Silent {
    #[model(since = 2)]
    theme: u8,
}

fn main() {}
