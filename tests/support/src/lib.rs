//! Actors for integration tests: a [`Stack`] of real services in one child process, its
//! [`Member`]s, and [`Firehose`] readers. They speak only HTTP and WebSockets, as an app would.
//!
//! Failures panic with what was expected and what came: this crate exists for tests alone.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "test support: a panic with context is the right failure"
)]

mod firehose;
mod member;
mod second;
mod stack;
mod strace;
mod verify;

pub use firehose::{Firehose, Seen};
pub use member::{Created, Member, Refused};
pub use second::{SecondPds, mailed_code};
pub use stack::{Options, Stack};
pub use strace::Strace;
pub use verify::{signing_key, verify_export};
