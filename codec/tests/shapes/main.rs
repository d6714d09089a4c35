//! What people store through serde comes back, or is refused when it is stored.

#![allow(clippy::option_option, clippy::zero_sized_map_values, reason = "values of every shape")]

mod generated;
#[allow(unreachable_pub, reason = "shared with the tests of the adapters")]
mod list;
mod numbers;
mod shapes;
