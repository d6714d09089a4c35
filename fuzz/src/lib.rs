//! What each fuzz target does with its bytes, as plain functions.
//!
//! The files here are also part of the tests of the package that they are about, which run every function over its corpus: see
//! `corpus.rs` in `codec/tests/it` and in `tests/it`. So a finding, once it is in the corpus, is a test that CI runs.

pub mod codec;
pub mod token;
