//! Telling relays that there is something to crawl.
//!
//! Owns how often: at start, and with new events at most once in twenty minutes. A relay that
//! does not answer is no concern of any write.

use std::time::Duration;

use rochdale_service::outbound::{Limits, Outbound};
use tokio::sync::Notify;

/// Least time between two requests.
const EVERY: Duration = Duration::from_secs(20 * 60);

/// The relays this server is to be crawled by.
#[derive(Debug)]
pub(super) struct Crawlers {
    outbound: Outbound,
    origins: Vec<String>,
    host: String,
    new: Notify,
}

impl Crawlers {
    pub(super) fn new(outbound: Outbound, origins: Vec<String>, host: String) -> Self {
        Self {
            outbound,
            origins,
            host,
            new: Notify::new(),
        }
    }

    /// There are new events. Callable from any thread.
    pub(super) fn something_new(&self) {
        self.new.notify_one();
    }

    pub(super) async fn run(&self) {
        if self.origins.is_empty() {
            return std::future::pending().await;
        }
        loop {
            futures::future::join_all(self.origins.iter().map(|origin| self.request(origin))).await;
            tokio::time::sleep(EVERY).await;
            self.new.notified().await;
        }
    }

    async fn request(&self, origin: &str) {
        let url = format!("{origin}/xrpc/com.atproto.sync.requestCrawl");
        let body = serde_json::json!({ "hostname": self.host })
            .to_string()
            .into_bytes();
        let limits = Limits {
            max_bytes: 64 << 10,
            trusted: true,
            ..Limits::default()
        };
        match self.outbound.post_json(&url, body, limits).await {
            Ok(answer) if answer.status < 300 => tracing::info!(origin, "asked to be crawled"),
            Ok(answer) => {
                tracing::warn!(
                    origin,
                    status = answer.status,
                    "a relay refused to crawl us"
                );
            }
            Err(error) => tracing::warn!(origin, %error, "a relay could not be asked to crawl us"),
        }
    }
}
