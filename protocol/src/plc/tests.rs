mod chains;
mod interop;
mod operations;
