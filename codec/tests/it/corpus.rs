//! Runs the body of every fuzz target over its corpus.

use std::{fs, path::Path};

use crate::fuzz::{model, patch, record, round_trip};

/// Runs `body` over the files in `fuzz/corpus/{target}`.
#[track_caller]
fn run(target: &str, body: fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let files: Vec<_> = fs::read_dir(&dir).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.len() >= 5, "{} has {} files", dir.display(), files.len());
    for file in files {
        println!("{}", file.display());
        body(&fs::read(&file).unwrap());
    }
}

#[test]
fn the_corpus_of_record_passes() {
    run("record", record::run);
}

#[test]
fn the_corpus_of_round_trip_passes() {
    run("round_trip", round_trip::run);
}

#[test]
fn the_corpus_of_model_passes() {
    run("model", model::run);
}

#[test]
fn the_corpus_of_patch_passes() {
    run("patch", patch::run);
}
