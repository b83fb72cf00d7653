//! A started server over HTTP, with a stand-in for the DID directory.

mod accounts;
mod blobs;
mod lexicons;
mod moving;
mod records;
mod sessions;
mod support;
mod sync;
