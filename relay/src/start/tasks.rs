//! What a running relay does now and then, and how it stops.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rochdale_service::shutdown::Shutdown;

use crate::app::Relay;

const SAVE_CURSORS_EVERY: Duration = Duration::from_secs(1);
const TRIM_EVERY: Duration = Duration::from_secs(60);

/// The end of the pipeline, to be waited for at a stop.
pub(super) struct OutputEnd {
    pub(super) writer: JoinHandle<()>,
    pub(super) keeper: tokio::task::JoinHandle<()>,
}

/// Starts all of them.
pub(super) fn spawn(relay: &Arc<Relay>, output: OutputEnd, shutdown: &Shutdown) {
    let parts = || (Arc::clone(relay), shutdown.clone());
    let (own, _) = parts();
    shutdown.spawn("relay takedowns", async move {
        if let Err(error) = own.resume_takedowns().await {
            tracing::warn!(%error, "stored takedowns were not all announced");
        }
    });
    let (own, stopping) = parts();
    shutdown.spawn("relay cursors", save_cursors(own, stopping));
    let (own, stopping) = parts();
    shutdown.spawn("relay retention", trim(own, stopping));
    let (own, stopping) = parts();
    shutdown.spawn("relay stop", stop(own, output, stopping));
}

async fn save_cursors(relay: Arc<Relay>, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            () = tokio::time::sleep(SAVE_CURSORS_EVERY) => {}
        }
        if let Err(error) = relay.hosts.save_cursors().await {
            tracing::warn!(%error, "the hosts' cursors were not saved; trying again");
        }
        metrics::gauge!("rochdale_relay_verify_queue").set(relay.shards.waiting() as f64);
        metrics::gauge!("rochdale_relay_log_bytes").set(relay.log.size_bytes() as f64);
    }
}

async fn trim(relay: Arc<Relay>, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            () = tokio::time::sleep(TRIM_EVERY) => {}
        }
        let (log, now_us) = (Arc::clone(&relay.log), relay.clock.now_us());
        match tokio::task::spawn_blocking(move || log.trim(now_us)).await {
            Ok(Ok(_removed)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "old events were not removed; trying again"),
            Err(panic) => tracing::error!(%panic, "removing old events panicked"),
        }
    }
}

/// Lets what is on its way arrive, from the front to the back, and leaves the disk as a clean start wants it.
async fn stop(relay: Arc<Relay>, output: OutputEnd, shutdown: Shutdown) {
    shutdown.requested().await;
    let shards = Arc::clone(&relay.shards);
    let stopped = tokio::task::spawn_blocking(move || {
        shards.stop();
        output.writer.join()
    });
    if stopped.await.is_err() || output.keeper.await.is_err() {
        tracing::error!("the relay did not stop in order; the next start catches up");
        return;
    }
    let saved = async {
        relay.hosts.save_cursors().await?;
        relay.store.set_reserved(relay.log.head()).await
    };
    if let Err(error) = saved.await {
        tracing::warn!(%error, "the last cursors were not saved; some events will come again");
    }
    relay.store.database().close().await;
}
