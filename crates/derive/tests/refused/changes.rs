//! Refused.
#[derive(sessile::Model)]
#[model(version = 3)]
struct Profile {
    #[model(since = 2, from = u8)]
    no_convert: u16,
    #[model(default = 7)]
    no_since: u8,
    #[model(since = 2, was = "same")]
    same: u8,
    #[model(since = 2, was = "not a name")]
    renamed: u8,
    #[model(was = "older")]
    no_version: u8,
    #[model(since = 2, was = "a", default = 7)]
    renamed_with_default: u8,
    #[model(since = 2, was = "b")]
    #[model(since = 2, from = u8, convert = u16::from)]
    twice_in_a_version: u16,
    #[model(since = 2)]
    #[model(since = 3)]
    twice: u8,
    #[model(since = 3)]
    #[model(since = 2, from = u8, convert = u16::from)]
    before: u16,
    #[model(since = 2, from = usize, convert = u64::try_from)]
    size: u64,
    #[model(sinse = 2)]
    misspelt: u8,
}

fn main() {}
