// Written by generator.rs: run `SESSILE_WRITE_GENERATED=1 cargo test -p sessile-derive --test histories`.
mod h0 {
pub(crate) mod v1 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 1)]
pub(crate) struct M { pub(crate) f1: [i16; 2], pub(crate) f2: Box<i32> }
impl Make for M { fn make(rng: &mut Rng) -> Self { Self { f1: Make::make(rng), f2: Make::make(rng) } } } }
pub(crate) mod v2 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 2)]
pub(crate) struct M { #[model(since = 2, was = "f1")] pub(crate) f3: [i16; 2], pub(crate) f2: Box<i32> }
impl Make for M { fn make(rng: &mut Rng) -> Self { Self { f3: Make::make(rng), f2: Make::make(rng) } } } }
impl From<v1::M> for v2::M { fn from(old: v1::M) -> Self { Self { f3: old.f1, f2: old.f2 } } }
pub(crate) mod v3 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 3)]
pub(crate) struct M { #[model(since = 2, was = "f1")] pub(crate) f3: [i16; 2], #[model(since = 3, was = "f2")] pub(crate) f4: Box<i32> }
impl Make for M { fn make(rng: &mut Rng) -> Self { Self { f3: Make::make(rng), f4: Make::make(rng) } } } }
impl From<v2::M> for v3::M { fn from(old: v2::M) -> Self { Self { f3: old.f3, f4: old.f2 } } }
pub(crate) mod mutant { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m")]
pub(crate) struct M { pub(crate) f1: [i16; 2] } }
}
mod h1 {
pub(crate) mod v1 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 1)]
pub(crate) struct M { pub(crate) f1: u32, pub(crate) f2: char }
impl Make for M { fn make(rng: &mut Rng) -> Self { Self { f1: Make::make(rng), f2: Make::make(rng) } } } }
pub(crate) mod v2 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 2)]
pub(crate) struct M { pub(crate) f1: u32, #[model(since = 2)] pub(crate) f4: Option<i8>, pub(crate) f2: char, #[model(since = 2, default = 7)] pub(crate) f3: u16, #[model(since = 2)] pub(crate) f5: char }
impl Make for M { fn make(rng: &mut Rng) -> Self { Self { f1: Make::make(rng), f4: Make::make(rng), f2: Make::make(rng), f3: Make::make(rng), f5: Make::make(rng) } } } }
impl From<v1::M> for v2::M { fn from(old: v1::M) -> Self { Self { f1: old.f1, f4: Default::default(), f2: old.f2, f3: 7, f5: Default::default() } } }
pub(crate) mod v3 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 3, removed(f5: char, since = 2, until = 3, after = "f7"))]
pub(crate) struct M { pub(crate) f1: u32, #[model(since = 2)] #[model(since = 3, was = "f4")] pub(crate) f6: Option<i8>, pub(crate) f2: char, #[model(since = 2, default = 7)] pub(crate) f3: u16, #[model(since = 3)] pub(crate) f7: Vec<f64> }
impl Make for M { fn make(rng: &mut Rng) -> Self { Self { f1: Make::make(rng), f6: Make::make(rng), f2: Make::make(rng), f3: Make::make(rng), f7: Make::make(rng) } } } }
impl From<v2::M> for v3::M { fn from(old: v2::M) -> Self { Self { f1: old.f1, f6: old.f4, f2: old.f2, f3: old.f3, f7: Default::default() } } }
pub(crate) mod mutant { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m")]
pub(crate) struct M { pub(crate) f1: u32 } }
}
mod h2 {
pub(crate) mod v1 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 1)]
pub(crate) enum M { V3 { f1: [Option<f64>; 2], f2: [(bool, u64); 2] }, V5 { f4: Vec<Option<u16>> }, V6 {  } }
impl Make for M { fn make(rng: &mut Rng) -> Self { match rng.below(3) { 0 => Self::V3 { f1: Make::make(rng), f2: Make::make(rng) }, 1 => Self::V5 { f4: Make::make(rng) }, 2 => Self::V6 {  }, _ => unreachable!() } } } }
pub(crate) mod v2 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 2)]
pub(crate) enum M { V3 { #[model(since = 2)] f8: Box<[i64; 2]>, f1: [Option<f64>; 2], #[model(since = 2)] f7: ((f64, bool), Vec<bool>), f2: [(bool, u64); 2] }, V5 { f4: Vec<Option<u16>> }, V6 {  } }
impl Make for M { fn make(rng: &mut Rng) -> Self { match rng.below(3) { 0 => Self::V3 { f8: Make::make(rng), f1: Make::make(rng), f7: Make::make(rng), f2: Make::make(rng) }, 1 => Self::V5 { f4: Make::make(rng) }, 2 => Self::V6 {  }, _ => unreachable!() } } } }
impl From<v1::M> for v2::M { fn from(old: v1::M) -> Self { match old { v1::M::V3 { f1, f2 } => Self::V3 { f8: Default::default(), f1: f1, f7: Default::default(), f2: f2 }, v1::M::V5 { f4 } => Self::V5 { f4: f4 }, v1::M::V6 {  } => Self::V6 {  } } } }
pub(crate) mod v3 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 3)]
pub(crate) enum M { #[model(since = 3, was = "V3")] V9 { #[model(since = 2)] f8: Box<[i64; 2]>, f1: [Option<f64>; 2], #[model(since = 2)] f7: ((f64, bool), Vec<bool>), f2: [(bool, u64); 2] }, V5 { f4: Vec<Option<u16>> }, V6 {  } }
impl Make for M { fn make(rng: &mut Rng) -> Self { match rng.below(3) { 0 => Self::V9 { f8: Make::make(rng), f1: Make::make(rng), f7: Make::make(rng), f2: Make::make(rng) }, 1 => Self::V5 { f4: Make::make(rng) }, 2 => Self::V6 {  }, _ => unreachable!() } } } }
impl From<v2::M> for v3::M { fn from(old: v2::M) -> Self { match old { v2::M::V3 { f8, f1, f7, f2 } => Self::V9 { f8: f8, f1: f1, f7: f7, f2: f2 }, v2::M::V5 { f4 } => Self::V5 { f4: f4 }, v2::M::V6 {  } => Self::V6 {  } } } }
pub(crate) mod mutant { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m")]
pub(crate) enum M { V3 { f2: [(bool, u64); 2], f1: [Option<f64>; 2] }, V5 { f4: Vec<Option<u16>> }, V6 {  } } }
}
mod h3 {
pub(crate) mod v1 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 1)]
pub(crate) struct M { pub(crate) f1: u8 }
impl Make for M { fn make(rng: &mut Rng) -> Self { Self { f1: Make::make(rng) } } } }
pub(crate) mod v2 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 2)]
pub(crate) struct M { #[model(since = 2)] pub(crate) f3: Box<u16>, #[model(since = 2, was = "f1", from = u8, convert = u16::from)] pub(crate) f2: u16 }
impl Make for M { fn make(rng: &mut Rng) -> Self { Self { f3: Make::make(rng), f2: Make::make(rng) } } } }
impl From<v1::M> for v2::M { fn from(old: v1::M) -> Self { Self { f3: Default::default(), f2: u16::from(old.f1) } } }
pub(crate) mod v3 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 3)]
pub(crate) struct M { #[model(since = 2)] #[model(since = 3, was = "f3")] pub(crate) f5: Box<u16>, #[model(since = 2, was = "f1", from = u8, convert = u16::from)] pub(crate) f2: u16, #[model(since = 3)] pub(crate) f4: (u16, i16) }
impl Make for M { fn make(rng: &mut Rng) -> Self { Self { f5: Make::make(rng), f2: Make::make(rng), f4: Make::make(rng) } } } }
impl From<v2::M> for v3::M { fn from(old: v2::M) -> Self { Self { f5: old.f3, f2: old.f2, f4: Default::default() } } }
pub(crate) mod mutant { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m")]
pub(crate) struct M { pub(crate) f1: Box<u8> } }
}
mod h4 {
pub(crate) mod v1 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 1)]
pub(crate) struct M { pub(crate) f1: i64, pub(crate) f2: u16 }
impl Make for M { fn make(rng: &mut Rng) -> Self { Self { f1: Make::make(rng), f2: Make::make(rng) } } } }
pub(crate) mod v2 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 2)]
pub(crate) struct M { #[model(since = 2)] pub(crate) f4: i64, pub(crate) f1: i64, #[model(since = 2, was = "f2")] pub(crate) f3: u16 }
impl Make for M { fn make(rng: &mut Rng) -> Self { Self { f4: Make::make(rng), f1: Make::make(rng), f3: Make::make(rng) } } } }
impl From<v1::M> for v2::M { fn from(old: v1::M) -> Self { Self { f4: Default::default(), f1: old.f1, f3: old.f2 } } }
pub(crate) mod v3 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 3)]
pub(crate) struct M { #[model(since = 3)] pub(crate) f6: BTreeMap<u16, Option<i16>>, #[model(since = 2)] pub(crate) f4: i64, #[model(since = 3, was = "f1")] pub(crate) f5: i64, #[model(since = 2, was = "f2")] pub(crate) f3: u16 }
impl Make for M { fn make(rng: &mut Rng) -> Self { Self { f6: Make::make(rng), f4: Make::make(rng), f5: Make::make(rng), f3: Make::make(rng) } } } }
impl From<v2::M> for v3::M { fn from(old: v2::M) -> Self { Self { f6: Default::default(), f4: old.f4, f5: old.f1, f3: old.f3 } } }
pub(crate) mod mutant { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m")]
pub(crate) struct M { pub(crate) renamed: i64, pub(crate) f2: u16 } }
}
mod h5 {
pub(crate) mod v1 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 1)]
pub(crate) enum M { V2 { f1: u128 }, V3 {  }, V5 { f4: Duration } }
impl Make for M { fn make(rng: &mut Rng) -> Self { match rng.below(3) { 0 => Self::V2 { f1: Make::make(rng) }, 1 => Self::V3 {  }, 2 => Self::V5 { f4: Make::make(rng) }, _ => unreachable!() } } } }
pub(crate) mod v2 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 2, removed(V3 {  }, until = 2, after = "V2", convert = gone_1))]
pub(crate) enum M { V2 { f1: u128 }, V5 { f4: Duration } }
fn gone_1() -> M { M::V2 { f1: Default::default() } }
impl Make for M { fn make(rng: &mut Rng) -> Self { match rng.below(2) { 0 => Self::V2 { f1: Make::make(rng) }, 1 => Self::V5 { f4: Make::make(rng) }, _ => unreachable!() } } } }
impl From<v1::M> for v2::M { fn from(old: v1::M) -> Self { match old { v1::M::V2 { f1 } => Self::V2 { f1: f1 }, v1::M::V3 { .. } => Self::V2 { f1: Default::default() }, v1::M::V5 { f4 } => Self::V5 { f4: f4 } } } }
pub(crate) mod v3 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 3, removed(V3 {  }, until = 2, after = "V2", convert = gone_1))]
pub(crate) enum M { V2 { #[model(since = 3)] f6: u8, f1: u128 }, V5 { f4: Duration } }
fn gone_1() -> M { M::V2 { f6: Default::default(), f1: Default::default() } }
impl Make for M { fn make(rng: &mut Rng) -> Self { match rng.below(2) { 0 => Self::V2 { f6: Make::make(rng), f1: Make::make(rng) }, 1 => Self::V5 { f4: Make::make(rng) }, _ => unreachable!() } } } }
impl From<v2::M> for v3::M { fn from(old: v2::M) -> Self { match old { v2::M::V2 { f1 } => Self::V2 { f6: Default::default(), f1: f1 }, v2::M::V5 { f4 } => Self::V5 { f4: f4 } } } }
pub(crate) mod mutant { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m")]
pub(crate) enum M { V2 { f1: i64 }, V3 {  }, V5 { f4: Duration } } }
}
mod h6 {
pub(crate) mod v1 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 1)]
pub(crate) struct M { pub(crate) f1: BTreeMap<u16, i8> }
impl Make for M { fn make(rng: &mut Rng) -> Self { Self { f1: Make::make(rng) } } } }
pub(crate) mod v2 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 2)]
pub(crate) struct M { #[model(since = 2, was = "f1")] pub(crate) f2: BTreeMap<u16, i8> }
impl Make for M { fn make(rng: &mut Rng) -> Self { Self { f2: Make::make(rng) } } } }
impl From<v1::M> for v2::M { fn from(old: v1::M) -> Self { Self { f2: old.f1 } } }
pub(crate) mod v3 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 3)]
pub(crate) struct M { #[model(since = 3)] pub(crate) f3: i8, #[model(since = 2, was = "f1")] #[model(since = 3, was = "f2")] pub(crate) f4: BTreeMap<u16, i8> }
impl Make for M { fn make(rng: &mut Rng) -> Self { Self { f3: Make::make(rng), f4: Make::make(rng) } } } }
impl From<v2::M> for v3::M { fn from(old: v2::M) -> Self { Self { f3: Default::default(), f4: old.f2 } } }
pub(crate) mod mutant { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m")]
pub(crate) struct M { pub(crate) renamed: BTreeMap<u16, i8> } }
}
mod h7 {
pub(crate) mod v1 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 1)]
pub(crate) struct M { pub(crate) f1: i8 }
impl Make for M { fn make(rng: &mut Rng) -> Self { Self { f1: Make::make(rng) } } } }
pub(crate) mod v2 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 2)]
pub(crate) struct M { #[model(since = 2, from = i8, convert = i16::from)] pub(crate) f1: i16 }
impl Make for M { fn make(rng: &mut Rng) -> Self { Self { f1: Make::make(rng) } } } }
impl From<v1::M> for v2::M { fn from(old: v1::M) -> Self { Self { f1: i16::from(old.f1) } } }
pub(crate) mod v3 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 3)]
pub(crate) struct M { #[model(since = 2, from = i8, convert = i16::from)] #[model(since = 3, was = "f1")] pub(crate) f2: i16 }
impl Make for M { fn make(rng: &mut Rng) -> Self { Self { f2: Make::make(rng) } } } }
impl From<v2::M> for v3::M { fn from(old: v2::M) -> Self { Self { f2: old.f1 } } }
pub(crate) mod mutant { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m")]
pub(crate) struct M { pub(crate) added: i8, pub(crate) f1: i8 } }
}
mod h8 {
pub(crate) mod v1 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 1)]
pub(crate) enum M { V2 { f1: Box<(f64, ())> }, V3 {  }, V4 {  } }
impl Make for M { fn make(rng: &mut Rng) -> Self { match rng.below(3) { 0 => Self::V2 { f1: Make::make(rng) }, 1 => Self::V3 {  }, 2 => Self::V4 {  }, _ => unreachable!() } } } }
pub(crate) mod v2 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 2)]
pub(crate) enum M { V2 { #[model(since = 2, was = "f1")] f5: Box<(f64, ())> }, V3 {  }, V4 {  } }
impl Make for M { fn make(rng: &mut Rng) -> Self { match rng.below(3) { 0 => Self::V2 { f5: Make::make(rng) }, 1 => Self::V3 {  }, 2 => Self::V4 {  }, _ => unreachable!() } } } }
impl From<v1::M> for v2::M { fn from(old: v1::M) -> Self { match old { v1::M::V2 { f1 } => Self::V2 { f5: f1 }, v1::M::V3 {  } => Self::V3 {  }, v1::M::V4 {  } => Self::V4 {  } } } }
pub(crate) mod v3 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 3)]
pub(crate) enum M { V2 { #[model(since = 3)] f6: u8, #[model(since = 2, was = "f1")] f5: Box<(f64, ())>, #[model(since = 3)] f7: u128 }, V3 {  }, V4 {  } }
impl Make for M { fn make(rng: &mut Rng) -> Self { match rng.below(3) { 0 => Self::V2 { f6: Make::make(rng), f5: Make::make(rng), f7: Make::make(rng) }, 1 => Self::V3 {  }, 2 => Self::V4 {  }, _ => unreachable!() } } } }
impl From<v2::M> for v3::M { fn from(old: v2::M) -> Self { match old { v2::M::V2 { f5 } => Self::V2 { f6: Default::default(), f5: f5, f7: Default::default() }, v2::M::V3 {  } => Self::V3 {  }, v2::M::V4 {  } => Self::V4 {  } } } }
pub(crate) mod mutant { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m")]
pub(crate) enum M { V2 { f1: Box<(f64, ())> }, Renamed {}, V4 {  } } }
}
mod h9 {
pub(crate) mod v1 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 1)]
pub(crate) struct M { pub(crate) f1: Box<u128>, pub(crate) f2: i32, pub(crate) f3: bool, pub(crate) f4: (u128, f64), pub(crate) f5: () }
impl Make for M { fn make(rng: &mut Rng) -> Self { Self { f1: Make::make(rng), f2: Make::make(rng), f3: Make::make(rng), f4: Make::make(rng), f5: Make::make(rng) } } } }
pub(crate) mod v2 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 2)]
pub(crate) struct M { pub(crate) f1: Box<u128>, pub(crate) f2: i32, pub(crate) f3: bool, pub(crate) f4: (u128, f64), pub(crate) f5: (), #[model(since = 2)] pub(crate) f6: f64 }
impl Make for M { fn make(rng: &mut Rng) -> Self { Self { f1: Make::make(rng), f2: Make::make(rng), f3: Make::make(rng), f4: Make::make(rng), f5: Make::make(rng), f6: Make::make(rng) } } } }
impl From<v1::M> for v2::M { fn from(old: v1::M) -> Self { Self { f1: old.f1, f2: old.f2, f3: old.f3, f4: old.f4, f5: old.f5, f6: Default::default() } } }
pub(crate) mod v3 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 3)]
pub(crate) struct M { pub(crate) f1: Box<u128>, #[model(since = 3)] pub(crate) f7: char, pub(crate) f2: i32, pub(crate) f3: bool, pub(crate) f4: (u128, f64), pub(crate) f5: (), #[model(since = 2)] #[model(since = 3, was = "f6")] pub(crate) f8: f64 }
impl Make for M { fn make(rng: &mut Rng) -> Self { Self { f1: Make::make(rng), f7: Make::make(rng), f2: Make::make(rng), f3: Make::make(rng), f4: Make::make(rng), f5: Make::make(rng), f8: Make::make(rng) } } } }
impl From<v2::M> for v3::M { fn from(old: v2::M) -> Self { Self { f1: old.f1, f7: Default::default(), f2: old.f2, f3: old.f3, f4: old.f4, f5: old.f5, f8: old.f6 } } }
pub(crate) mod mutant { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m")]
pub(crate) struct M { pub(crate) f1: Box<u128>, pub(crate) f2: i32, pub(crate) f3: bool, pub(crate) f4: (u128, f64), pub(crate) f5: char } }
}
mod h10 {
pub(crate) mod v1 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 1)]
pub(crate) struct M { pub(crate) f1: Vec<BTreeMap<u16, String>>, pub(crate) f2: i8, pub(crate) f3: i8, pub(crate) f4: (Option<bool>, [char; 2]) }
impl Make for M { fn make(rng: &mut Rng) -> Self { Self { f1: Make::make(rng), f2: Make::make(rng), f3: Make::make(rng), f4: Make::make(rng) } } } }
pub(crate) mod v2 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 2, removed(f2: i8, until = 2, after = "f1"), removed(f4: (Option<bool>, [char; 2]), until = 2, after = "f3"))]
pub(crate) struct M { pub(crate) f1: Vec<BTreeMap<u16, String>>, pub(crate) f3: i8 }
impl Make for M { fn make(rng: &mut Rng) -> Self { Self { f1: Make::make(rng), f3: Make::make(rng) } } } }
impl From<v1::M> for v2::M { fn from(old: v1::M) -> Self { Self { f1: old.f1, f3: old.f3 } } }
pub(crate) mod v3 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 3, removed(f2: i8, until = 2, after = "f1"), removed(f4: (Option<bool>, [char; 2]), until = 2, after = "f3"))]
pub(crate) struct M { pub(crate) f1: Vec<BTreeMap<u16, String>>, pub(crate) f3: i8, #[model(since = 3)] pub(crate) f5: Vec<Vec<i8>> }
impl Make for M { fn make(rng: &mut Rng) -> Self { Self { f1: Make::make(rng), f3: Make::make(rng), f5: Make::make(rng) } } } }
impl From<v2::M> for v3::M { fn from(old: v2::M) -> Self { Self { f1: old.f1, f3: old.f3, f5: Default::default() } } }
pub(crate) mod mutant { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m")]
pub(crate) struct M { pub(crate) f1: Vec<BTreeMap<u16, String>>, pub(crate) f3: i8, pub(crate) f4: (Option<bool>, [char; 2]) } }
}
mod h11 {
pub(crate) mod v1 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 1)]
pub(crate) enum M { V3 { f1: [String; 2], f2: bool } }
impl Make for M { fn make(rng: &mut Rng) -> Self { match rng.below(1) { 0 => Self::V3 { f1: Make::make(rng), f2: Make::make(rng) }, _ => unreachable!() } } } }
pub(crate) mod v2 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 2)]
pub(crate) enum M { #[model(since = 2, was = "V3")] V4 { f1: [String; 2], f2: bool } }
impl Make for M { fn make(rng: &mut Rng) -> Self { match rng.below(1) { 0 => Self::V4 { f1: Make::make(rng), f2: Make::make(rng) }, _ => unreachable!() } } } }
impl From<v1::M> for v2::M { fn from(old: v1::M) -> Self { match old { v1::M::V3 { f1, f2 } => Self::V4 { f1: f1, f2: f2 } } } }
pub(crate) mod v3 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 3)]
pub(crate) enum M { #[model(since = 2, was = "V3")] V4 { #[model(since = 3, was = "f1")] f6: [String; 2], f2: bool, #[model(since = 3)] f5: i8 } }
impl Make for M { fn make(rng: &mut Rng) -> Self { match rng.below(1) { 0 => Self::V4 { f6: Make::make(rng), f2: Make::make(rng), f5: Make::make(rng) }, _ => unreachable!() } } } }
impl From<v2::M> for v3::M { fn from(old: v2::M) -> Self { match old { v2::M::V4 { f1, f2 } => Self::V4 { f6: f1, f2: f2, f5: Default::default() } } } }
pub(crate) mod mutant { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m")]
pub(crate) enum M { V3 { f1: [String; 2], renamed: bool } } }
}
mod h12 {
pub(crate) mod v1 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 1)]
pub(crate) struct M { pub(crate) f1: Vec<f64>, pub(crate) f2: i16, pub(crate) f3: (), pub(crate) f4: (), pub(crate) f5: i32 }
impl Make for M { fn make(rng: &mut Rng) -> Self { Self { f1: Make::make(rng), f2: Make::make(rng), f3: Make::make(rng), f4: Make::make(rng), f5: Make::make(rng) } } } }
pub(crate) mod v2 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 2)]
pub(crate) struct M { pub(crate) f1: Vec<f64>, pub(crate) f2: i16, pub(crate) f3: (), pub(crate) f4: (), #[model(since = 2)] pub(crate) f6: Option<[u64; 2]>, pub(crate) f5: i32 }
impl Make for M { fn make(rng: &mut Rng) -> Self { Self { f1: Make::make(rng), f2: Make::make(rng), f3: Make::make(rng), f4: Make::make(rng), f6: Make::make(rng), f5: Make::make(rng) } } } }
impl From<v1::M> for v2::M { fn from(old: v1::M) -> Self { Self { f1: old.f1, f2: old.f2, f3: old.f3, f4: old.f4, f6: Default::default(), f5: old.f5 } } }
pub(crate) mod v3 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 3, removed(f4: (), until = 3, after = "f3"), removed(f6: Option<[u64; 2]>, since = 2, until = 3, after = "f4"))]
pub(crate) struct M { pub(crate) f1: Vec<f64>, pub(crate) f2: i16, pub(crate) f3: (), #[model(since = 3, was = "f5")] pub(crate) f7: i32 }
impl Make for M { fn make(rng: &mut Rng) -> Self { Self { f1: Make::make(rng), f2: Make::make(rng), f3: Make::make(rng), f7: Make::make(rng) } } } }
impl From<v2::M> for v3::M { fn from(old: v2::M) -> Self { Self { f1: old.f1, f2: old.f2, f3: old.f3, f7: old.f5 } } }
pub(crate) mod mutant { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m")]
pub(crate) struct M { pub(crate) f1: Vec<f64>, pub(crate) f2: i16, pub(crate) f3: (), pub(crate) f5: i32 } }
}
mod h13 {
pub(crate) mod v1 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 1)]
pub(crate) struct M { pub(crate) f1: bool, pub(crate) f2: char, pub(crate) f3: Duration }
impl Make for M { fn make(rng: &mut Rng) -> Self { Self { f1: Make::make(rng), f2: Make::make(rng), f3: Make::make(rng) } } } }
pub(crate) mod v2 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 2, removed(f2: char, until = 2, after = "f1"))]
pub(crate) struct M { pub(crate) f1: bool, pub(crate) f3: Duration }
impl Make for M { fn make(rng: &mut Rng) -> Self { Self { f1: Make::make(rng), f3: Make::make(rng) } } } }
impl From<v1::M> for v2::M { fn from(old: v1::M) -> Self { Self { f1: old.f1, f3: old.f3 } } }
pub(crate) mod v3 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 3, removed(f2: char, until = 2, after = "f4"))]
pub(crate) struct M { pub(crate) f1: bool, #[model(since = 3)] pub(crate) f4: Option<BTreeMap<u16, ()>>, pub(crate) f3: Duration }
impl Make for M { fn make(rng: &mut Rng) -> Self { Self { f1: Make::make(rng), f4: Make::make(rng), f3: Make::make(rng) } } } }
impl From<v2::M> for v3::M { fn from(old: v2::M) -> Self { Self { f1: old.f1, f4: Default::default(), f3: old.f3 } } }
pub(crate) mod mutant { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m")]
pub(crate) struct M { pub(crate) f1: bool, pub(crate) f2: char, pub(crate) renamed: Duration } }
}
mod h14 {
pub(crate) mod v1 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 1)]
pub(crate) enum M { V3 { f1: [Vec<String>; 2], f2: f64 }, V5 { f4: Option<i32> } }
impl Make for M { fn make(rng: &mut Rng) -> Self { match rng.below(2) { 0 => Self::V3 { f1: Make::make(rng), f2: Make::make(rng) }, 1 => Self::V5 { f4: Make::make(rng) }, _ => unreachable!() } } } }
pub(crate) mod v2 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 2)]
pub(crate) enum M { V3 { f1: [Vec<String>; 2], f2: f64 }, #[model(since = 2, was = "V5")] V6 { f4: Option<i32> } }
impl Make for M { fn make(rng: &mut Rng) -> Self { match rng.below(2) { 0 => Self::V3 { f1: Make::make(rng), f2: Make::make(rng) }, 1 => Self::V6 { f4: Make::make(rng) }, _ => unreachable!() } } } }
impl From<v1::M> for v2::M { fn from(old: v1::M) -> Self { match old { v1::M::V3 { f1, f2 } => Self::V3 { f1: f1, f2: f2 }, v1::M::V5 { f4 } => Self::V6 { f4: f4 } } } }
pub(crate) mod v3 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 3)]
pub(crate) enum M { V3 { f1: [Vec<String>; 2], #[model(since = 3)] f7: char, f2: f64 }, #[model(since = 2, was = "V5")] V6 { f4: Option<i32> } }
impl Make for M { fn make(rng: &mut Rng) -> Self { match rng.below(2) { 0 => Self::V3 { f1: Make::make(rng), f7: Make::make(rng), f2: Make::make(rng) }, 1 => Self::V6 { f4: Make::make(rng) }, _ => unreachable!() } } } }
impl From<v2::M> for v3::M { fn from(old: v2::M) -> Self { match old { v2::M::V3 { f1, f2 } => Self::V3 { f1: f1, f7: Default::default(), f2: f2 }, v2::M::V6 { f4 } => Self::V6 { f4: f4 } } } }
pub(crate) mod mutant { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m")]
pub(crate) enum M { V3 { f1: [Vec<String>; 2], renamed: f64 }, V5 { f4: Option<i32> } } }
}
mod h15 {
pub(crate) mod v1 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 1)]
pub(crate) struct M { pub(crate) f1: Box<u64>, pub(crate) f2: Box<f64> }
impl Make for M { fn make(rng: &mut Rng) -> Self { Self { f1: Make::make(rng), f2: Make::make(rng) } } } }
pub(crate) mod v2 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 2, removed(f2: Box<f64>, until = 2, after = "f1"))]
pub(crate) struct M { pub(crate) f1: Box<u64> }
impl Make for M { fn make(rng: &mut Rng) -> Self { Self { f1: Make::make(rng) } } } }
impl From<v1::M> for v2::M { fn from(old: v1::M) -> Self { Self { f1: old.f1 } } }
pub(crate) mod v3 { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m", version = 3, removed(f2: Box<f64>, until = 2, after = "f1"))]
pub(crate) struct M { pub(crate) f1: Box<u64>, #[model(since = 3)] pub(crate) f3: i8 }
impl Make for M { fn make(rng: &mut Rng) -> Self { Self { f1: Make::make(rng), f3: Make::make(rng) } } } }
impl From<v2::M> for v3::M { fn from(old: v2::M) -> Self { Self { f1: old.f1, f3: Default::default() } } }
pub(crate) mod mutant { use super::super::prelude::*;
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "m")]
pub(crate) struct M { pub(crate) f1: Box<u64>, pub(crate) added: Box<f64>, pub(crate) f2: Box<f64> } }
}
histories!(h0, h1, h2, h3, h4, h5, h6, h7, h8, h9, h10, h11, h12, h13, h14, h15);
