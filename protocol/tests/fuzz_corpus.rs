//! Every stored input of the fuzz targets, through the same functions, with the ordinary compiler.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test reports by panicking, and names the file it was at"
)]

#[expect(unreachable_pub, reason = "the fuzz crate exports them")]
#[path = "../../tests/fuzz/src/lib.rs"]
mod targets;

use std::fs;

/// Runs one target over its stored inputs, of which there are at least `count`.
fn run(target: &str, count: usize, entry: fn(&[u8])) {
    let folder = format!(
        "{}/../tests/fuzz/seeds/{target}",
        env!("CARGO_MANIFEST_DIR")
    );
    let mut inputs = 0;
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        // Printed only if the test fails: the last one is the culprit.
        println!("{}", path.display());
        entry(&fs::read(path).unwrap());
        inputs += 1;
    }
    assert!(inputs >= count, "{target} has lost inputs: {inputs}");
}

#[test]
fn stored_inputs_hold_in_every_target() {
    run("cbor", 7, targets::cbor);
    run("json", 21, targets::json);
    run("car", 5, targets::car);
    run("frame", 27, targets::frame);
    run("mst", 9, targets::mst);
    run("mst_edits", 4, targets::mst_edits);
    run("plc_operation", 60, targets::plc_operation);
    run("did_document", 5, targets::did_document);
    run("jwt", 4, targets::jwt);
}

#[test]
fn short_and_monotonous_inputs_hold_in_every_target() {
    let entries = [
        targets::cbor,
        targets::json,
        targets::car,
        targets::frame,
        targets::mst,
        targets::mst_edits,
        targets::plc_operation,
        targets::did_document,
        targets::jwt,
    ];
    for entry in entries {
        entry(b"");
        for byte in 0..=u8::MAX {
            entry(&[byte]);
            entry(&[byte; 300]);
        }
    }
}
