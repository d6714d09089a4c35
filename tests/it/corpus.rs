//! Runs the body of the fuzz target over its corpus; those of the codec run in the codec's tests.

use std::{fs, path::Path};

#[allow(unreachable_pub, reason = "public in the package of the fuzz targets")]
#[path = "../../fuzz/src/token.rs"]
mod token;

#[test]
fn the_corpus_of_token_passes() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/token");
    let files: Vec<_> = fs::read_dir(corpus).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.len() >= 5, "{} files", files.len());
    for file in files {
        println!("{}", file.display());
        token::run(&fs::read(&file).unwrap());
    }
}
