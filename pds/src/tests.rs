//! A started server over HTTP, with a stand-in for the DID directory.

mod accounts;
mod sessions;
mod support;
