//! Integration tests: real processes, real files, real sockets. One module per area; the actors
//! live in `tests/support`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod bad_input;
mod crash;
mod hangup;
mod house;
mod path;
mod stall;
mod start;
mod trace;

/// The binary under test.
const BINARY: &str = env!("CARGO_BIN_EXE_rochdale");
