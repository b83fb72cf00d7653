//! Every stored input of the fuzz targets of the log, with the ordinary compiler.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test reports by panicking, and names the file it was at"
)]

#[expect(unreachable_pub, reason = "the fuzz targets call them")]
#[path = "../../../tests/fuzz/src/tlog.rs"]
mod targets;

use std::fs;

/// A target's name, the number of inputs that it has at least, and its entry.
type Target = (&'static str, usize, fn(&[u8]));

const TARGETS: [Target; 7] = [
    ("tlog_note", 9, targets::note),
    ("tlog_tile_path", 8, targets::tile_path),
    ("tlog_tile_bytes", 5, targets::tile_bytes),
    ("tlog_proof", 5, targets::proof),
    ("tlog_policy", 5, targets::policy_file),
    ("tlog_add_checkpoint", 5, targets::add_checkpoint),
    ("tlog_leaf", 5, targets::leaf),
];

fn inputs(target: &str) -> Vec<Vec<u8>> {
    let folder = format!(
        "{}/../../tests/fuzz/seeds/{target}",
        env!("CARGO_MANIFEST_DIR")
    );
    let files = fs::read_dir(folder).unwrap();
    files
        .map(|file| {
            let path = file.unwrap().path();
            // Printed only if the test fails: the last one is the culprit.
            println!("{}", path.display());
            fs::read(path).unwrap()
        })
        .collect()
}

#[test]
fn stored_inputs_hold_whole_and_cut() {
    for (target, count, entry) in TARGETS {
        let inputs = inputs(target);
        assert!(inputs.len() >= count, "{target} has lost inputs");
        for input in inputs {
            for end in 0..=input.len() {
                entry(input.get(..end).unwrap());
            }
        }
    }
}

#[test]
fn short_and_monotonous_inputs_hold() {
    for (_, _, entry) in TARGETS {
        entry(b"");
        for byte in 0..=u8::MAX {
            entry(&[byte]);
            entry(&[byte; 300]);
        }
    }
}
