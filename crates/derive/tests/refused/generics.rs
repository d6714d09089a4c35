//! Refused.
#[derive(sessile::Model)]
struct Cart<T> {
    items: Vec<T>,
}

#[derive(sessile::Model)]
struct Name<'a> {
    name: &'a str,
}

fn main() {}
