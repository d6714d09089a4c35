//! Refused.
use sessile::{error::CodecError, model::Stored};

#[derive(sessile::Model)]
#[model(version = 2, migrate = read)]
struct Both {
    #[model(since = 2)]
    voucher: u8,
}

fn read(old: Stored<'_>) -> Result<Both, CodecError> {
    Err(old.no_migration())
}

#[derive(sessile::Model)]
#[model(version = 2, removed(old: u8, until = 2))]
struct Folder {
    #[model(nested)]
    entries: Vec<Item>,
}

#[derive(sessile::model::ModelPart)]
enum Item {
    Folder(#[model(nested)] Folder),
}

#[derive(sessile::Model)]
#[model(version = 2, removed(old: u8, until = 2))]
struct Tree {
    children: Result<Box<Tree>, u8>,
}

fn main() {}
