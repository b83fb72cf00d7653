//! How fast connections are made: a restart must not be a storm of handshakes.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Turns that are handed out no closer to each other than a fixed time.
#[derive(Debug)]
pub(super) struct Pace {
    each: Duration,
    next: Mutex<Instant>,
}

impl Pace {
    pub(super) fn new(per_second: u32) -> Self {
        Self {
            each: Duration::from_secs(1) / per_second.max(1),
            next: Mutex::new(Instant::now()),
        }
    }

    /// Waits for the next turn. Those who come first go first.
    pub(super) async fn turn(&self) {
        let at = {
            let mut next = self.next.lock();
            let at = (*next).max(Instant::now());
            *next = at + self.each;
            at
        };
        tokio::time::sleep_until(at).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn turns_come_at_once_when_nobody_waits_and_evenly_when_many_do() {
        let pace = Pace::new(100);
        let started = Instant::now();
        pace.turn().await;
        assert!(started.elapsed() < Duration::from_millis(8));
        futures::future::join_all((0..20).map(|_| pace.turn())).await;
        let waited = started.elapsed();
        assert!(waited >= Duration::from_millis(195), "{waited:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
        let started = Instant::now();
        pace.turn().await;
        assert!(
            started.elapsed() < Duration::from_millis(8),
            "unused turns are not saved up, and not owed"
        );
    }
}
