//! Refused.
#[derive(sessile::Model)]
#[model(version = 2)]
enum Middle {
    First,
    #[model(since = 2)]
    New,
    Last,
}

#[derive(sessile::Model)]
#[model(version = 2)]
enum OnlyNew {
    #[model(since = 2)]
    New,
}

#[derive(sessile::Model)]
#[model(version = 2)]
enum Defaults {
    First,
    #[model(since = 2, default = 7)]
    New,
    #[model(nested)]
    Nested,
}

fn main() {}
