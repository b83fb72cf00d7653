//! Who is calling, and what they may do.
//!
//! Owns session tokens, password hashing, service tokens and the extractors that handlers take.
//! Must not decide what an account's state forbids in a single method: handlers say which caller
//! they accept by the extractor they name.

pub mod extract;
pub mod operator;
pub mod password;
pub mod replay;
pub mod service_token;
pub mod token;

pub use extract::{AnyMember, FullMember, FullOrTakenDown, Member, Viewer};
pub use operator::{Admin, Moderator};
