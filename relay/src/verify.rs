//! Which events are passed on.
//!
//! Owns the rules of the atproto sync spec for relays: host authority, signature, revision order, operation inversion,
//! hosting status; and the state they need. Work is spread over shards by DID, so that the events of one DID are judged in
//! order. Nothing here waits for the network on a shard's thread: an account whose identity must be fetched is parked.

mod account;
mod budget;
mod entry;
mod event;
mod judge;
mod lookup;
mod pool;
mod replay;
mod shard;

#[cfg(test)]
mod tests;

pub use account::{
    Account, AccountId, Change, FetchedIdentity, Identity, Known, RepoState, Upstream,
};
pub use event::{DropReason, Incoming};
pub use pool::{Shards, ShardsConfig, Stopping};
pub use replay::{ReplayError, replay};
pub use shard::Command;
