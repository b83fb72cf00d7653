//! The AT Protocol as pure functions: identifiers, data model, keys, repositories, event frames,
//! did:plc and XRPC vocabulary. No I/O, no async, no clock and no randomness of its own.

pub mod crypto;
pub mod data;
pub mod plc;
pub mod repo;
pub mod sync;
pub mod syntax;
pub mod xrpc;
