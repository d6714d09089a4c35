//! Refused.
#[derive(sessile::Model)]
struct ShoppingCart;

#[derive(sessile::Model)]
#[model(name = "shopping cart")]
struct Spaces;

#[derive(sessile::Model)]
#[model(nmae = "cart")]
struct Misspelt;

#[derive(sessile::Model)]
#[model(name = "a", name = "b")]
struct Twice;

fn main() {}
