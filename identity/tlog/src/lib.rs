//! A transparency log as pure functions: its Merkle tree, the tiles that publish it, the notes that
//! sign it, and the proofs that anyone can check offline.
//!
//! Follows the C2SP specifications of 2026-07 (signed-note, tlog-checkpoint, tlog-cosignature,
//! tlog-tiles, tlog-witness, tlog-proof, tlog-policy) over the tree of RFC 6962. Owns every format
//! that goes over the wire or to disk. Must not do I/O, wait, ask a clock or draw random numbers:
//! times and key seeds are arguments, and hashes come from a [`merkle::HashSource`] that the caller
//! has filled. What a log or a witness *does* with all this is the identity service's business.
//!
//! From below: [`merkle`] knows hashes, [`tile`] files, [`note`] signatures, [`checkpoint`] and
//! [`cosignature`] what is signed, [`policy`] whom to trust, [`proof`] and [`witness`] put these
//! together, and [`leaf`] says what stands in the log.

mod base64;
pub mod checkpoint;
pub mod cosignature;
mod decimal;
mod hash_lines;
pub mod leaf;
pub mod merkle;
pub mod note;
pub mod policy;
pub mod proof;
pub mod tile;
pub mod witness;
