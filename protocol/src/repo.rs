//! repo: under construction.
