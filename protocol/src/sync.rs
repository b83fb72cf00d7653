//! sync: under construction.
