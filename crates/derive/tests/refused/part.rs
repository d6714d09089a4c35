//! Refused.
#[derive(sessile::model::ModelPart)]
#[model(name = "item")]
struct Named;

#[derive(sessile::model::ModelPart)]
struct Changed {
    #[model(since = 2)]
    added: u8,
}

fn main() {}
