//! What of one host is on its way through the relay, and how far its stream is finished.
//!
//! Every received event carries a [`Token`]. It holds the event's place in the host's and the relay's budgets, and when it is
//! finished the cursor may pass it: the cursor is the highest number below which everything is finished.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Events of one host that may be on their way at once.
pub(super) const HOST_EVENTS_MAX: usize = 1_024;
/// Bytes of one host that may be on their way at once.
pub(super) const HOST_BYTES_MAX: usize = 16 << 20;

/// The budgets and the progress of one host.
#[derive(Debug)]
pub struct Flow {
    events: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    progress: Mutex<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    epoch: u64,
    /// Received and not yet passed by the mark, in order.
    pending: VecDeque<(u64, bool)>,
    received: Option<u64>,
    mark: Option<u64>,
    saved: Option<u64>,
    /// An event was dropped before it was finished.
    lost: bool,
}

impl Flow {
    /// The flow of a host whose stream is finished up to `cursor` (`None`: never listened to).
    pub fn new(cursor: Option<u64>) -> Self {
        let progress = Progress {
            received: cursor,
            mark: cursor,
            saved: cursor,
            ..Progress::default()
        };
        Self {
            events: Arc::new(Semaphore::new(HOST_EVENTS_MAX)),
            bytes: Arc::new(Semaphore::new(HOST_BYTES_MAX)),
            progress: Mutex::new(progress),
        }
    }

    /// Waits until an event of `bytes` fits into the host's and the relay's budgets, and takes it in. A number at or below
    /// one already received does not move the cursor: it is a replay.
    pub async fn admit(self: &Arc<Self>, seq: u64, bytes: usize, relay: &Arc<Semaphore>) -> Token {
        let size = u32::try_from(bytes.min(HOST_BYTES_MAX)).unwrap_or(u32::MAX);
        // Semaphores are closed nowhere; an error would only mean that nothing is to be counted any more.
        let room = [
            Arc::clone(&self.events).acquire_owned().await.ok(),
            Arc::clone(&self.bytes).acquire_many_owned(size).await.ok(),
            Arc::clone(relay).acquire_many_owned(size).await.ok(),
        ];
        let mut progress = self.progress.lock();
        let tracked = progress.received.is_none_or(|received| seq > received);
        if tracked {
            progress.pending.push_back((seq, false));
            progress.received = Some(seq);
        }
        Token {
            flow: Arc::clone(self),
            epoch: progress.epoch,
            seq,
            tracked,
            room,
        }
    }

    /// Lets the cursor pass a number that needs no work, in its turn.
    pub fn pass(&self, seq: u64) {
        let mut progress = self.progress.lock();
        if progress.received.is_none_or(|received| seq > received) {
            progress.pending.push_back((seq, true));
            progress.received = Some(seq);
            progress.settle();
        }
    }

    /// The number to resume after: everything up to it has been received, in this process or an earlier one.
    pub fn received(&self) -> Option<u64> {
        self.progress.lock().received
    }

    /// The highest number below which everything is finished.
    pub fn mark(&self) -> Option<u64> {
        self.progress.lock().mark
    }

    /// Starts a new numbering at `from`: the host has lost its own.
    pub fn restart(&self, from: Option<u64>) {
        let mut progress = self.progress.lock();
        let epoch = progress.epoch + 1;
        *progress = Progress {
            epoch,
            received: from,
            mark: from,
            saved: progress.saved,
            ..Progress::default()
        };
    }

    /// If an event was lost on its way, goes back to the mark, so that it comes again.
    pub fn resume(&self) {
        let mut progress = self.progress.lock();
        if progress.lost {
            let (epoch, mark, saved) = (progress.epoch + 1, progress.mark, progress.saved);
            *progress = Progress {
                epoch,
                received: mark,
                mark,
                saved,
                ..Progress::default()
            };
        }
    }

    /// The cursor, if it has moved since it was last saved.
    pub fn unsaved(&self) -> Option<Option<u64>> {
        let progress = self.progress.lock();
        (progress.mark != progress.saved).then_some(progress.mark)
    }

    /// The cursor `cursor` is saved.
    pub fn saved(&self, cursor: Option<u64>) {
        self.progress.lock().saved = cursor;
    }

    /// Events on their way.
    pub fn in_flight(&self) -> usize {
        HOST_EVENTS_MAX.saturating_sub(self.events.available_permits())
    }

    fn finish(&self, epoch: u64, seq: u64) {
        let mut progress = self.progress.lock();
        if progress.epoch != epoch {
            return;
        }
        if let Ok(at) = progress.pending.binary_search_by_key(&seq, |(seq, _)| *seq)
            && let Some((_, done)) = progress.pending.get_mut(at)
        {
            *done = true;
        }
        progress.settle();
    }
}

impl Progress {
    fn settle(&mut self) {
        while let Some((seq, true)) = self.pending.front().copied() {
            self.mark = Some(seq);
            self.pending.pop_front();
        }
    }
}

/// One event on its way. Dropping it frees its room; only [`Token::finish`] lets the cursor pass it.
#[derive(Debug)]
pub struct Token {
    flow: Arc<Flow>,
    epoch: u64,
    seq: u64,
    tracked: bool,
    room: [Option<OwnedSemaphorePermit>; 3],
}

impl Token {
    /// The number the host gave the event.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Frees the room in the budgets; the cursor waits on.
    pub fn release(&mut self) {
        self.room = [None, None, None];
    }

    /// The event needs no more work and what it led to is durable: the cursor may pass it.
    pub fn finish(mut self) {
        if std::mem::take(&mut self.tracked) {
            self.flow.finish(self.epoch, self.seq);
        }
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        let mut progress = self.flow.progress.lock();
        progress.lost |= self.tracked && progress.epoch == self.epoch;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn admit(flow: &Arc<Flow>, seq: u64) -> Token {
        flow.admit(seq, 10, &Arc::new(Semaphore::new(1 << 20)))
            .await
    }

    #[tokio::test]
    async fn cursor_waits_for_the_lowest_unfinished_event_and_then_jumps() {
        let flow = Arc::new(Flow::new(Some(5)));
        let (a, b, c) = (
            admit(&flow, 7).await,
            admit(&flow, 8).await,
            admit(&flow, 20).await,
        );
        b.finish();
        c.finish();
        assert_eq!(flow.mark(), Some(5));
        a.finish();
        assert_eq!(flow.mark(), Some(20));
        assert_eq!(flow.unsaved(), Some(Some(20)));
        flow.saved(Some(20));
        assert_eq!(flow.unsaved(), None);
    }

    #[tokio::test]
    async fn dropped_event_frees_its_room_and_holds_the_cursor() {
        let flow = Arc::new(Flow::new(None));
        drop(admit(&flow, 1).await);
        admit(&flow, 2).await.finish();
        assert_eq!(flow.mark(), None);
        assert_eq!(flow.received(), Some(2));
        assert_eq!(flow.in_flight(), 0);
    }

    #[tokio::test]
    async fn lost_event_is_asked_for_again() {
        let flow = Arc::new(Flow::new(Some(5)));
        admit(&flow, 6).await.finish();
        let unfinished = admit(&flow, 9).await;
        flow.resume();
        assert_eq!(flow.received(), Some(9), "nothing is lost yet");
        drop(admit(&flow, 7).await);
        flow.resume();
        assert_eq!(flow.received(), Some(9), "a replay that is lost is none");
        drop(admit(&flow, 10).await);
        flow.resume();
        assert_eq!((flow.received(), flow.mark()), (Some(6), Some(6)));
        unfinished.finish();
        assert_eq!(flow.mark(), Some(6), "it comes again too");
        admit(&flow, 9).await.finish();
        assert_eq!(flow.mark(), Some(9));
    }

    #[tokio::test]
    async fn replayed_event_does_not_move_the_cursor_back() {
        let flow = Arc::new(Flow::new(Some(10)));
        admit(&flow, 4).await.finish();
        assert_eq!(flow.mark(), Some(10));
        flow.pass(11);
        assert_eq!(flow.mark(), Some(11));
    }

    #[tokio::test]
    async fn events_of_an_older_numbering_leave_the_new_one_alone() {
        let flow = Arc::new(Flow::new(Some(1_000)));
        let old = admit(&flow, 1_001).await;
        flow.restart(None);
        let new = admit(&flow, 3).await;
        old.finish();
        assert_eq!(flow.mark(), None);
        new.finish();
        assert_eq!(flow.mark(), Some(3));
    }

    #[tokio::test]
    async fn host_over_its_budget_waits_for_room() {
        let flow = Arc::new(Flow::new(None));
        let relay = Arc::new(Semaphore::new(1 << 30));
        let mut tokens = Vec::new();
        for seq in 0..HOST_EVENTS_MAX as u64 {
            tokens.push(flow.admit(seq, 1, &relay).await);
        }
        let mut next = Box::pin(flow.admit(5_000, 1, &relay));
        assert!(futures::poll!(next.as_mut()).is_pending());
        tokens[0].release();
        assert_eq!(next.await.seq(), 5_000);
    }
}
