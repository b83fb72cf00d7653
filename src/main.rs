//! The `rochdale` binary.

fn main() {}
