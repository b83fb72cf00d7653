//! A subscriber of a server's event stream.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use rochdale_protocol::sync::{Event, Frame, decode_frame};
use rochdale_service::outbound::Socket;

use crate::server::Server;

/// Long enough for anything that must happen.
const SOON: Duration = Duration::from_secs(20);

/// An open subscription.
pub(crate) struct Firehose {
    socket: Socket,
}

impl Firehose {
    /// Subscribes after `cursor`; from now on without one.
    pub(crate) async fn open(server: &Server, cursor: Option<u64>) -> Self {
        let query = cursor.map(|cursor| format!("?cursor={cursor}"));
        let url = format!(
            "{}/xrpc/com.atproto.sync.subscribeRepos{}",
            server.url.replacen("http", "ws", 1),
            query.unwrap_or_default()
        );
        let client = &server.directory.client;
        let (socket, _) = client.connect_ws(&url, 1 << 23).await.expect("connects");
        Self { socket }
    }

    /// The next frame as it came; `None` when the server closed the connection.
    pub(crate) async fn bytes(&mut self) -> Option<Bytes> {
        loop {
            let message = tokio::time::timeout(SOON, self.socket.next()).await;
            let message = message.expect("an event comes")?.ok()?;
            if message.is_binary() {
                return Some(message.into_data());
            }
        }
    }

    /// The next frame.
    pub(crate) async fn frame(&mut self) -> Frame {
        let bytes = self.bytes().await.expect("the stream goes on");
        decode_frame(&bytes).expect("a valid frame")
    }

    /// The next event and its number.
    pub(crate) async fn event(&mut self) -> (u64, Event) {
        match self.frame().await {
            Frame::Message { seq, event } => (seq, event),
            other => panic!("no event: {other:?}"),
        }
    }

    /// The next `count` events in short: `commit`, `sync`, `identity`, or `account` with its status.
    pub(crate) async fn told(&mut self, count: usize) -> Vec<String> {
        let mut told = Vec::new();
        for _ in 0..count {
            told.push(match self.event().await.1 {
                Event::Commit(_) => "commit".to_owned(),
                Event::Sync(_) => "sync".to_owned(),
                Event::Identity(_) => "identity".to_owned(),
                Event::Account(event) => match event.status {
                    None => format!("account {}", if event.active { "active" } else { "?" }),
                    Some(status) => format!("account {status}"),
                },
            });
        }
        told
    }

    /// Skips what there is up to the first event of `did` that `wanted` takes.
    pub(crate) async fn until(&mut self, mut wanted: impl FnMut(&Event) -> bool) -> Event {
        loop {
            let (_, event) = self.event().await;
            if wanted(&event) {
                return event;
            }
        }
    }
}
