//! crypto: under construction.
