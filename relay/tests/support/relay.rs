//! A relay under test and those who subscribe to it.

use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use rochdale_protocol::sync::{Event, Frame, decode_frame};
use rochdale_relay::config::{Raw, Shared};
use rochdale_relay::{Config, Running, start};
use rochdale_service::Env;
use rochdale_service::clock::{SharedClock, SystemClock};
use rochdale_service::outbound::{Outbound, Policy};
use rochdale_service::shutdown::Shutdown;
use rochdale_service::xrpc::LimitsConfig;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::network::Directory;

/// Long enough for anything that must happen.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// Long enough to believe that nothing comes.
pub(crate) const QUIET: Duration = Duration::from_millis(400);
/// The admin password of every relay here.
pub(crate) const PASSWORD: &str = "open sesame";

/// A relay in this process.
pub(crate) struct TestRelay {
    /// Its origin.
    pub(crate) url: String,
    shutdown: Shutdown,
}

impl TestRelay {
    /// Starts one on the data in `folder` that resolves with `directory`, limits off.
    pub(crate) async fn start(folder: &Path, directory: &Directory) -> Self {
        Self::start_with(folder, directory, |_| {}).await
    }

    /// As [`Self::start`], with another configuration.
    pub(crate) async fn start_with(
        folder: &Path,
        directory: &Directory,
        change: impl FnOnce(&mut (Raw, LimitsConfig)),
    ) -> Self {
        Self::start_at(folder, directory, SystemClock::shared(), change, |_| {}).await
    }

    /// As [`Self::start_with`], with another clock, and with what no file can configure.
    pub(crate) async fn start_at(
        folder: &Path,
        directory: &Directory,
        clock: SharedClock,
        change: impl FnOnce(&mut (Raw, LimitsConfig)),
        tune: impl FnOnce(&mut Config),
    ) -> Self {
        let raw = Raw {
            port: 0,
            data_dir: folder.to_owned(),
            admin_password: Some(PASSWORD.to_owned().into()),
            ..Raw::default()
        };
        let mut parts = (
            raw,
            LimitsConfig {
                enabled: false,
                ..LimitsConfig::default()
            },
        );
        change(&mut parts);
        let resolver = rochdale_resolver::Config {
            dev: true,
            ..rochdale_resolver::Config::new(&*directory.url)
        };
        let shared = Shared {
            resolver,
            limits: parts.1,
            dev: true,
        };
        let mut config = Config::validate(parts.0, shared).expect("a configuration");
        tune(&mut config);
        let shutdown = Shutdown::new();
        let env = Env {
            clock,
            shutdown: shutdown.clone(),
            outbound: Outbound::new(Policy {
                dev: true,
                user_agent: "relay test".to_owned(),
            })
            .expect("a client"),
            dev: true,
        };
        let Running { url, .. } = start(config, env).await.expect("starts");
        Self { url, shutdown }
    }

    /// Stops in order.
    pub(crate) async fn stop(&self) {
        assert_eq!(
            self.shutdown.finish(Duration::from_secs(10)).await,
            0,
            "everything ends"
        );
        assert_eq!(self.shutdown.failure(), None);
    }

    /// Subscribes.
    pub(crate) async fn subscribe(&self, cursor: Option<&str>) -> Subscription {
        let query = cursor
            .map(|cursor| format!("?cursor={cursor}"))
            .unwrap_or_default();
        let url = format!(
            "{}/xrpc/com.atproto.sync.subscribeRepos{query}",
            self.url.replacen("http", "ws", 1)
        );
        let (socket, _) = tokio_tungstenite::connect_async(url)
            .await
            .expect("connects");
        Subscription { socket }
    }

    /// A GET: status and JSON.
    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        let response = client()
            .get(format!("{}{path}", self.url))
            .send()
            .await
            .expect("answers");
        let status = response.status().as_u16();
        (status, response.json().await.unwrap_or(Value::Null))
    }

    /// A POST without credentials: status and JSON.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let response = client()
            .post(format!("{}{path}", self.url))
            .json(body)
            .send()
            .await
            .expect("answers");
        let status = response.status().as_u16();
        (status, response.json().await.unwrap_or(Value::Null))
    }

    /// A POST by the operator: status and JSON.
    pub(crate) async fn admin_post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = client()
            .post(format!("{}{path}", self.url))
            .basic_auth("admin", Some(PASSWORD))
            .json(body);
        let response = request.send().await.expect("answers");
        let status = response.status().as_u16();
        (status, response.json().await.unwrap_or(Value::Null))
    }

    /// A GET by the operator: status and JSON.
    pub(crate) async fn admin_get(&self, path: &str) -> (u16, Value) {
        let request = client()
            .get(format!("{}{path}", self.url))
            .basic_auth("admin", Some(PASSWORD));
        let response = request.send().await.expect("answers");
        let status = response.status().as_u16();
        (status, response.json().await.unwrap_or(Value::Null))
    }

    /// Has it listen to `hostname`.
    pub(crate) async fn crawl(&self, hostname: &str) {
        let body = serde_json::json!({"hostname": hostname});
        assert_eq!(
            self.post("/xrpc/com.atproto.sync.requestCrawl", &body)
                .await,
            (200, Value::Null)
        );
    }
}

/// An HTTP client that follows no redirects.
pub(crate) fn client() -> reqwest::Client {
    // Another test may have installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client")
}

/// A subscriber.
pub(crate) struct Subscription {
    pub(crate) socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Subscription {
    /// The next frame, or `None` at the end of the stream.
    pub(crate) async fn frame(&mut self) -> Option<bytes::Bytes> {
        loop {
            match timeout(SOON, self.socket.next())
                .await
                .expect("something comes")
            {
                Some(Ok(Message::Binary(frame))) => return Some(frame),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return None,
            }
        }
    }

    /// The next event with its number.
    pub(crate) async fn event(&mut self) -> (u64, Event) {
        let frame = self.frame().await.expect("an event");
        match decode_frame(&frame).expect("a frame") {
            Frame::Message { seq, event } => (seq, event),
            other => panic!("not an event: {other:?}"),
        }
    }

    /// Waits for `count` events.
    pub(crate) async fn events(&mut self, count: usize) -> Vec<(u64, Event)> {
        let mut events = Vec::with_capacity(count);
        for _ in 0..count {
            events.push(self.event().await);
        }
        events
    }

    /// Whether nothing comes for a while.
    pub(crate) async fn is_quiet(&mut self) -> bool {
        timeout(QUIET, self.socket.next()).await.is_err()
    }
}

/// Waits until `check` holds.
pub(crate) async fn eventually(what: &str, mut check: impl AsyncFnMut() -> bool) {
    let waited = timeout(SOON, async {
        while !check().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(waited.await.is_ok(), "it does not happen that {what}");
}
