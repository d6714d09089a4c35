//! What the library promises, one module for each guarantee.

mod answers;
mod api;
mod attacks;
mod backup;
mod binding;
mod bytes;
mod closures;
mod cookies;
mod corpus;
mod csrf;
mod derived_models;
#[cfg(feature = "device-bound")]
mod device_bound;
mod documents;
#[cfg(feature = "encryption")]
mod encryption;
mod events;
mod f13_journals;
mod f19_waiting;
mod f20_threads;
mod f5_any_failure;
mod f7_rotated;
mod failures;
mod flash;
mod full_disk;
mod g10_deploys;
mod g1_durable;
mod g2_whole;
mod g3_ended;
mod g4_merge;
mod g5_memory;
mod g6_bad_input;
mod g7_forged;
#[cfg(feature = "tracing")]
mod g8_logs;
mod g8_secrets;
mod g9_clocks;
mod keys;
mod limits;
mod linearizable;
mod mistakes;
mod model;
mod named;
mod open;
mod owners;
#[cfg(unix)]
mod paths;
#[cfg(feature = "sealed")]
mod presented;
mod quick;
#[cfg(feature = "sealed")]
mod quiet_disk;
mod races;
mod renew;
mod save;
mod scope;
#[cfg(feature = "sealed")]
mod sealed;
mod session;
mod sign_in;
mod strict;
mod support;
#[cfg(unix)]
mod surroundings;
mod sweeps;
mod test_kit;
mod tidy;
mod timeouts;
mod transport;
mod web;
