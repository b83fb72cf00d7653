//! The thread that writes the log and publishes what it has written.
//!
//! No timers: a batch is what arrived while the previous one was being synced.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rochdale_service::clock::SharedClock;
use rochdale_service::shutdown::Shutdown;
use rochdale_service::stream::{Frame, Stream};
use tokio::sync::mpsc;

use super::Output;
use super::keeper::Stored;
use crate::log::{Appender, Draft, Hidden, Kind};

const BATCH_BYTES: usize = 1 << 20;
const BATCH_EVENTS: usize = 2_000;
/// Numbers are reserved in steps of this size; a crash skips at most as many.
const RESERVE_STEP: u64 = 1_000_000;
const RETRY: Duration = Duration::from_secs(1);

/// What the health page asks of the writer.
#[derive(Debug, Default)]
pub struct Health {
    failing_since_ms: AtomicU64,
}

impl Health {
    /// Since when events cannot be written, Unix ms; `None` while all is well.
    pub fn failing_since_ms(&self) -> Option<u64> {
        Some(self.failing_since_ms.load(Ordering::Acquire)).filter(|since| *since > 0)
    }

    fn set(&self, failing_since_ms: Option<u64>) {
        self.failing_since_ms
            .store(failing_since_ms.unwrap_or(0), Ordering::Release);
    }
}

/// The writer's parts. [`Writer::run`] is its thread.
#[derive(Debug)]
pub struct Writer {
    /// The log.
    pub appender: Appender,
    /// Where events go when they are on disk.
    pub stream: Arc<Stream>,
    /// Hides the past of deleted accounts.
    pub hidden: Arc<Hidden>,
    /// The time.
    pub clock: SharedClock,
    /// The end of a stuck writer.
    pub shutdown: Shutdown,
    /// Verdicts.
    pub inbox: mpsc::Receiver<Output>,
    /// State to store.
    pub keeper: mpsc::Sender<Stored>,
    /// The highest number that may be given out.
    pub reserved: Arc<AtomicU64>,
    /// Shown on the health page.
    pub health: Arc<Health>,
}

impl Writer {
    /// Runs until every sender of verdicts is gone, then seals the log.
    pub fn run(mut self) {
        let mut requested = self.reserved.load(Ordering::Acquire);
        let mut outputs = Vec::new();
        while let Some(first) = self.inbox.blocking_recv() {
            self.collect(first, &mut outputs);
            let next = self.appender.next_seq();
            if next + RESERVE_STEP / 2 > requested {
                requested = next + RESERVE_STEP;
                if self
                    .keeper
                    .blocking_send(Stored::Reserve(requested))
                    .is_err()
                {
                    break;
                }
            }
            if !self.write(&mut outputs) {
                break;
            }
        }
        if let Err(error) = self.appender.close() {
            tracing::warn!(%error, "the log was not sealed; the next start recovers it");
        }
    }

    fn collect(&mut self, first: Output, outputs: &mut Vec<Output>) {
        let size = |output: &Output| {
            output
                .draft
                .as_ref()
                .map_or(0, |draft| draft.frame.as_bytes().len())
        };
        let mut bytes = size(&first);
        outputs.push(first);
        while bytes < BATCH_BYTES && outputs.len() < BATCH_EVENTS {
            let Ok(output) = self.inbox.try_recv() else {
                break;
            };
            bytes += size(&output);
            outputs.push(output);
        }
    }

    /// Writes and publishes one batch; `false` when the relay stops before it could be written.
    fn write(&mut self, outputs: &mut Vec<Output>) -> bool {
        let mut drafts: Vec<Draft> = Vec::with_capacity(outputs.len());
        let shown: Vec<bool> = outputs
            .iter_mut()
            .map(|output| {
                output
                    .draft
                    .take()
                    .map(|draft| drafts.push(draft))
                    .is_some()
            })
            .collect();
        let last = self.appender.next_seq() + drafts.len() as u64;
        while self.reserved.load(Ordering::Acquire) < last {
            if self.keeper.is_closed() {
                return false;
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
        let Some(stored) = self.append(&drafts) else {
            return false;
        };
        self.hide_deleted(outputs, &shown, &stored);
        self.observe(&drafts);
        let mut seqs = stored
            .iter()
            .map(|(seq, _)| *seq)
            .collect::<Vec<_>>()
            .into_iter();
        let subject = |draft: &Draft| self.hidden.subject(draft.kind, draft.did.as_str());
        let frames = stored
            .into_iter()
            .zip(&drafts)
            .map(|((seq, bytes), draft)| Frame {
                seq,
                bytes,
                subject: subject(draft),
            });
        self.stream.publish(frames.collect());
        for (mut output, shown) in outputs.drain(..).zip(shown) {
            if let Some(token) = &mut output.token {
                token.release();
            }
            let seq = if shown { seqs.next() } else { None };
            if self
                .keeper
                .blocking_send(Stored::Output { output, seq })
                .is_err()
            {
                return false;
            }
        }
        true
    }

    /// Appends until it works: a full disk stops the relay's input, not the relay.
    fn append(&mut self, drafts: &[Draft]) -> Option<Vec<(u64, bytes::Bytes)>> {
        loop {
            match self.appender.append(drafts, self.clock.now_us()) {
                Ok(stored) => {
                    self.health.set(None);
                    return Some(stored);
                }
                Err(error) => {
                    tracing::error!(%error, "events cannot be stored; trying again");
                    let since = self
                        .health
                        .failing_since_ms()
                        .unwrap_or_else(|| self.clock.now_ms());
                    self.health.set(Some(since));
                    if self.shutdown.is_requested() {
                        return None;
                    }
                    std::thread::park_timeout(RETRY);
                }
            }
        }
    }

    /// What a deleted account had said before is hidden before the deletion is shown.
    fn hide_deleted(&self, outputs: &[Output], shown: &[bool], stored: &[(u64, bytes::Bytes)]) {
        let with_events = outputs
            .iter()
            .zip(shown)
            .filter(|(_, shown)| **shown)
            .map(|(output, _)| output);
        for (output, (seq, _)) in with_events.zip(stored) {
            if let Some(change) = output
                .change
                .as_ref()
                .filter(|change| change.account_changed && change.account.upstream.is_deleted())
            {
                self.hidden.hide(change.did.as_str(), *seq);
            }
        }
    }

    fn observe(&self, drafts: &[Draft]) {
        let now_us = self.clock.now_us();
        for kind in Kind::ALL {
            let count = drafts.iter().filter(|draft| draft.kind == kind).count() as u64;
            if count > 0 {
                metrics::counter!("rochdale_relay_events_total", "kind" => kind.name())
                    .increment(count);
            }
        }
        let latency = metrics::histogram!("rochdale_relay_latency_seconds");
        for draft in drafts {
            latency.record(now_us.saturating_sub(draft.arrival_us) as f64 / 1e6);
        }
        metrics::gauge!("rochdale_relay_output_queue").set(self.inbox.len() as f64);
    }
}
