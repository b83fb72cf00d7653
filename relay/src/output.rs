//! From verdict to subscriber: number, store, show, remember.
//!
//! One thread writes the log and publishes; one task stores the state that follows from it. The order is fixed: log on disk,
//! then subscribers, then state, then the cursor of the host. It decides nothing about events.

mod keeper;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rochdale_protocol::syntax::Did;
use tokio::sync::oneshot;

use crate::hosts::Token;
use crate::log::Draft;
use crate::verify::Change;

pub use keeper::Keeper;
pub use writer::{Health, Writer};

/// What became of one event, or of one of the relay's own decisions.
#[derive(Debug, Default)]
pub struct Output {
    /// The event to show.
    pub draft: Option<Draft>,
    /// The state to store.
    pub change: Option<Change>,
    /// The place in the host's stream.
    pub token: Option<Token>,
    /// The DID whose takedown this shows.
    pub announced: Option<Did>,
    /// Told when all of it is durable.
    pub done: Option<oneshot::Sender<()>>,
    /// Moved when the state is stored.
    pub ticket: Option<Ticket>,
}

/// A number that rises as the state of a shard gets stored.
#[derive(Debug)]
pub struct Ticket {
    /// The highest number stored.
    pub stored: Arc<AtomicU64>,
    /// This one.
    pub number: u64,
}

impl Ticket {
    fn settle(self) {
        self.stored.fetch_max(self.number, Ordering::Release);
    }
}
