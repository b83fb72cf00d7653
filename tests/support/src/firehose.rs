//! A reader of an event stream, with its own clock and patience.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use rochdale_protocol::crypto::PublicKey;
use rochdale_protocol::repo::{Commit, car};
use rochdale_protocol::sync::{Event, Frame, decode_frame};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// How long a reader waits for one event.
const PATIENCE: Duration = Duration::from_secs(15);
/// A stream that is silent for so long has nothing more to replay.
const SILENCE: Duration = Duration::from_millis(900);
/// Largest block a test expects in a frame.
const BLOCK_BYTES: usize = 2_000_000;

/// One event as a reader saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Sequence number; 0 for `#info`.
    pub seq: u64,
    /// `#commit`, `#sync`, `#identity`, `#account` or `#info`.
    pub kind: String,
    /// The account it is about.
    pub did: String,
    /// Revision, for commits and syncs.
    pub rev: Option<String>,
    /// The revision before, for commits.
    pub since: Option<String>,
    /// Number of operations, for commits.
    pub ops: usize,
    blocks: Bytes,
}

impl Seen {
    /// Checks that the commit in this event is signed by `key`.
    pub fn verify(&self, key: &PublicKey) {
        let car = car::read(&self.blocks, BLOCK_BYTES).expect("a CAR file");
        let root = car.roots[0].as_cid().expect("a root");
        let commit = Commit::decode(&car.blocks[&root]).expect("a commit");
        commit
            .verify(key)
            .expect("signed by the key in the directory");
    }

    fn of(seq: u64, event: &Event) -> Self {
        let mut seen = Self {
            seq,
            kind: event.kind().to_owned(),
            did: event.did().to_string(),
            rev: None,
            since: None,
            ops: 0,
            blocks: Bytes::new(),
        };
        match event {
            Event::Commit(commit) => {
                seen.rev = Some(commit.rev.to_string());
                seen.since = commit.since.map(|rev| rev.to_string());
                seen.ops = commit.ops.len();
                seen.blocks = commit.blocks.clone();
            }
            Event::Sync(sync) => seen.rev = Some(sync.rev.to_string()),
            Event::Identity(_) | Event::Account(_) => {}
        }
        seen
    }
}

/// A connection to `com.atproto.sync.subscribeRepos`.
#[derive(Debug)]
pub struct Firehose {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Firehose {
    /// Connects for what comes from now on.
    pub async fn live(base: &str) -> Self {
        Self::connect(base, "").await
    }

    /// Connects with a cursor.
    pub async fn from(base: &str, cursor: u64) -> Self {
        Self::connect(base, &format!("?cursor={cursor}")).await
    }

    async fn connect(base: &str, query: &str) -> Self {
        let base = base.replace("http://", "ws://");
        let url = format!("{base}/xrpc/com.atproto.sync.subscribeRepos{query}");
        let (socket, _) = tokio_tungstenite::connect_async(url)
            .await
            .expect("a WebSocket");
        Self { socket }
    }

    /// The port this end of the connection has.
    pub fn local_port(&self) -> u16 {
        match self.socket.get_ref() {
            MaybeTlsStream::Plain(stream) => stream.local_addr().expect("an address").port(),
            _ => panic!("a connection without TLS"),
        }
    }

    /// The HTTP status that a WebSocket request with this cursor is refused with.
    pub async fn refused(base: &str, cursor: &str) -> u16 {
        let base = base.replace("http://", "ws://");
        let url = format!("{base}/xrpc/com.atproto.sync.subscribeRepos?cursor={cursor}");
        match tokio_tungstenite::connect_async(url).await {
            Err(tokio_tungstenite::tungstenite::Error::Http(answer)) => answer.status().as_u16(),
            other => panic!("expected a refusal before the upgrade, got {other:?}"),
        }
    }

    /// Everything after `cursor` that the stream holds now.
    pub async fn replay(base: &str, cursor: u64) -> Vec<Seen> {
        let mut reader = Self::from(base, cursor).await;
        let mut all = Vec::new();
        while let Ok(Some(frame)) = tokio::time::timeout(SILENCE, reader.next_frame()).await {
            match frame {
                Frame::Message { seq, event } => all.push(Seen::of(seq, &event)),
                Frame::Info(info) => all.push(Seen {
                    seq: 0,
                    kind: "#info".to_owned(),
                    did: info.name,
                    rev: None,
                    since: None,
                    ops: 0,
                    blocks: Bytes::new(),
                }),
                Frame::Unknown { .. } | Frame::Error { .. } => break,
            }
        }
        all
    }

    async fn next_frame(&mut self) -> Option<Frame> {
        loop {
            match self.socket.next().await? {
                Ok(Message::Binary(bytes)) => {
                    return Some(decode_frame(&bytes).expect("a well-formed frame"));
                }
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    async fn next_event(&mut self) -> Seen {
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.next_frame()).await;
            match frame.expect("an event in time").expect("an open stream") {
                Frame::Message { seq, event } => return Seen::of(seq, &event),
                Frame::Info(_) | Frame::Unknown { .. } => {}
                Frame::Error { name, message } => panic!("stream error {name}: {message:?}"),
            }
        }
    }

    /// The next commit of `did`.
    pub async fn next_commit_of(&mut self, did: &str) -> Seen {
        loop {
            let seen = self.next_event().await;
            if seen.kind == "#commit" && seen.did == did {
                return seen;
            }
        }
    }

    /// The commit of `did` with revision `rev`.
    pub async fn commit_with(&mut self, did: &str, rev: &str) -> Seen {
        loop {
            let seen = self.next_commit_of(did).await;
            if seen.rev.as_deref() == Some(rev) {
                return seen;
            }
        }
    }

    /// The name in the next error frame.
    pub async fn next_error(&mut self) -> String {
        let frame = tokio::time::timeout(PATIENCE, self.next_frame()).await;
        match frame.expect("a frame in time").expect("an open stream") {
            Frame::Error { name, .. } => name,
            other => panic!("expected an error frame, got {other:?}"),
        }
    }

    /// Every event that still comes before the server ends the stream.
    pub async fn rest(&mut self) -> Vec<Seen> {
        let mut rest = Vec::new();
        let collect = async {
            while let Some(frame) = self.next_frame().await {
                if let Frame::Message { seq, event } = frame {
                    rest.push(Seen::of(seq, &event));
                }
            }
        };
        tokio::time::timeout(PATIENCE, collect)
            .await
            .expect("the end of the stream in time");
        rest
    }

    /// Whether the server ends the stream in time.
    pub async fn ends(&mut self) -> bool {
        let rest = async { while self.next_frame().await.is_some() {} };
        tokio::time::timeout(PATIENCE, rest).await.is_ok()
    }
}
