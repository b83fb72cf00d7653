//! Integration tests: real processes, real files, real sockets. One module per area; the actors
//! live in `tests/support`.
#![expect(
    clippy::unwrap_used,
    clippy::too_many_lines,
    clippy::indexing_slicing,
    reason = "a test reports by panicking, and a table of cases stays in one piece"
)]

mod bad_input;
mod blob;
mod crash;
mod disk;
mod hangup;
mod house;
mod import;
mod lexicon;
mod metrics;
mod migrate;
mod path;
mod stall;
mod start;
mod trace;

/// The binary under test.
const BINARY: &str = env!("CARGO_BIN_EXE_rochdale");
