//! data: under construction.
