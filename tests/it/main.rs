//! What the library promises, one module for each guarantee.

mod answers;
mod api;
mod corpus;
mod events;
mod failures;
mod full_disk;
mod g10_deploys;
mod g1_durable;
mod g2_whole;
mod g3_ended;
mod g4_merge;
mod g5_memory;
mod g6_bad_input;
mod g7_forged;
mod g8_secrets;
mod limits;
mod open;
mod owners;
mod quick;
mod renew;
mod session;
mod strict;
mod support;
mod tidy;
mod timeouts;
mod web;
