//! xrpc: under construction.
