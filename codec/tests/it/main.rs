//! What the codec promises about whole records.

#![allow(clippy::option_option, clippy::zero_sized_map_values, reason = "values of every shape")]

#[allow(unreachable_pub, reason = "public in the package of the fuzz targets")]
#[path = "../../../fuzz/src/codec/mod.rs"]
mod fuzz;

mod corpus;
mod depth;
mod errors;
mod exact;
mod forge;
mod golden;
mod model;
mod properties;
mod shape;
mod trust;
