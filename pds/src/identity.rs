//! The member's identity as this server handles it: the DID directory, and operations on a DID.

pub mod operation;
pub mod plc;
