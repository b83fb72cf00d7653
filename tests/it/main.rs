//! Integration tests: the whole stack in process.
