//! Every stored input of the fuzz target for schemas, with the ordinary compiler.
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

#[expect(unreachable_pub, reason = "the fuzz target calls it")]
#[path = "../../tests/fuzz/src/schema.rs"]
mod target;

use std::fs;

#[test]
fn stored_inputs_hold() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fuzz/seeds/schema");
    let mut inputs = 0;
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        // Printed only if the test fails: the last one is the culprit.
        println!("{}", path.display());
        target::schema(&fs::read(path).unwrap());
        inputs += 1;
    }
    assert!(inputs >= 12, "inputs are lost: {inputs}");
}

#[test]
fn short_and_cut_inputs_hold() {
    target::schema(b"");
    for byte in 0..=u8::MAX {
        target::schema(&[byte]);
        target::schema(&[byte; 300]);
    }
    let text = include_bytes!("../known/app/bsky/feed/like.json");
    for end in 0..text.len() {
        target::schema(text.get(..end).unwrap());
    }
}
