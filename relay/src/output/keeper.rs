//! The task that stores the state following from the log, and only then lets the hosts' cursors pass.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rochdale_service::clock::SharedClock;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Output;
use crate::store::{StateBatch, Store};

const BATCH: usize = 4_096;
/// State is stored at most this often under load: it leaves the disk to the log, and changes of one account melt into one.
const PACE: Duration = Duration::from_millis(100);
const RETRY: Duration = Duration::from_millis(500);

/// One thing to store.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are outputs")]
pub enum Stored {
    /// An output whose event is in the log under that number.
    Output {
        /// The output, its event taken out.
        output: Output,
        /// Its number, if it had an event.
        seq: Option<u64>,
    },
    /// Numbers up to this one shall be reserved.
    Reserve(u64),
}

/// The keeper's parts.
#[derive(Debug)]
pub struct Keeper {
    /// Where state goes.
    pub store: Store,
    /// The time.
    pub clock: SharedClock,
    /// What to store.
    pub inbox: mpsc::Receiver<Stored>,
    /// Raised when a reservation is durable.
    pub reserved: Arc<AtomicU64>,
}

impl Keeper {
    /// Runs until the writer is gone.
    pub async fn run(mut self) {
        let mut items = Vec::new();
        while self.inbox.recv_many(&mut items, BATCH).await > 0 {
            let started = Instant::now();
            self.store(&mut items).await;
            if !self.inbox.is_closed() {
                tokio::time::sleep_until(started + PACE).await;
            }
        }
    }

    async fn store(&self, items: &mut Vec<Stored>) {
        let mut batch = StateBatch::default();
        let mut reserve = None;
        for item in items.iter_mut() {
            match item {
                Stored::Reserve(seq) => {
                    batch.reserve(*seq);
                    reserve = Some(*seq);
                }
                Stored::Output { output, seq } => {
                    if let Some(change) = output.change.take() {
                        batch.change(change, *seq);
                    }
                    if let Some(seq) = seq {
                        batch.applied(*seq);
                    }
                    if let Some(did) = output.announced.take() {
                        batch.announced(did);
                    }
                }
            }
        }
        let batch = Arc::new(batch);
        while let Err(error) = self.store.apply(&batch, self.clock.now_ms()).await {
            tracing::error!(%error, "account state cannot be stored; trying again");
            if matches!(error, crate::store::StoreError::Closed) {
                return;
            }
            tokio::time::sleep(RETRY).await;
        }
        if let Some(seq) = reserve {
            self.reserved.fetch_max(seq, Ordering::Release);
        }
        for item in items.drain(..) {
            let Stored::Output { output, .. } = item else {
                continue;
            };
            if let Some(token) = output.token {
                token.finish();
            }
            if let Some(ticket) = output.ticket {
                ticket.settle();
            }
            if let Some(done) = output.done {
                // Whoever asked may have gone.
                let _gone = done.send(());
            }
        }
    }
}
