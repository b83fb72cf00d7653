//! Proofs that a repository holds a record, or does not.
