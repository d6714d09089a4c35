//! What the library promises, one module for each guarantee.

mod answers;
mod api;
mod corpus;
mod failures;
mod full_disk;
mod g1_durable;
mod g2_whole;
mod g3_ended;
mod g4_merge;
mod g5_memory;
mod g6_bad_input;
mod g7_forged;
mod g8_secrets;
mod open;
mod owners;
mod session;
mod support;
mod tidy;
mod web;
