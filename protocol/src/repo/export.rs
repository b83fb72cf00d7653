//! The order in which a repository is exported: commit, then the tree depth first, each node before
//! what it holds, records and subtrees in order of key ("atproto repository" spec, streamable CAR order).
//!
//! The walker asks for one node at a time and keeps one node per height, so that an export needs no
//! more memory for a million records than for one, and a reader can check it as it arrives.
