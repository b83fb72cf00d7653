//! syntax: under construction.
