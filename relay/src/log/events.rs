//! The log as the event stream of subscribers.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use rochdale_service::stream::{EventLog, Frame, LogError as StreamError};

use super::{Hidden, Log};

/// The log behind the subscription.
#[derive(Debug, Clone)]
pub struct StreamLog {
    log: Arc<Log>,
    hidden: Arc<Hidden>,
}

impl StreamLog {
    /// The stream of `log`, without what is hidden.
    pub fn new(log: Arc<Log>, hidden: Arc<Hidden>) -> Self {
        Self { log, hidden }
    }
}

impl EventLog for StreamLog {
    fn read(
        &self,
        after: u64,
        limit_bytes: usize,
    ) -> BoxFuture<'_, Result<Vec<Frame>, StreamError>> {
        let own = self.clone();
        async move {
            let read = tokio::task::spawn_blocking(move || {
                let records = own.log.read(after, limit_bytes)?;
                let subject = |record: &super::Record| own.hidden.subject(record.kind, &record.did);
                let frames = records.into_iter().map(|record| Frame {
                    seq: record.seq,
                    subject: subject(&record),
                    bytes: record.frame,
                });
                Ok::<_, super::LogError>(frames.collect())
            });
            match read.await {
                Ok(frames) => frames.map_err(|error| StreamError(error.into())),
                Err(panic) => Err(StreamError(panic.into())),
            }
        }
        .boxed()
    }

    fn head(&self) -> u64 {
        self.log.head()
    }

    fn trimmed(&self) -> BoxFuture<'_, Result<u64, StreamError>> {
        std::future::ready(Ok(self.log.trimmed())).boxed()
    }
}
