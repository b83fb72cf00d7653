//! A small network on this machine: a directory of DIDs and hosts that stream what they are told to.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use http::StatusCode;
use parking_lot::Mutex;
use rochdale_protocol::sync::{FrameTemplate, error_frame};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::repo::Repo;

/// The DID directory.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    /// Its origin.
    pub(crate) url: String,
    state: Arc<DirectoryState>,
}

#[derive(Debug, Default)]
struct DirectoryState {
    documents: Mutex<HashMap<String, Value>>,
    down: AtomicBool,
    hanging: AtomicBool,
    asked: AtomicUsize,
}

impl Directory {
    /// An empty directory.
    pub(crate) async fn start() -> Self {
        let state = Arc::new(DirectoryState::default());
        let routes = Router::new()
            .route("/{did}", get(document))
            .with_state(Arc::clone(&state));
        Self {
            url: serve(routes).await,
            state,
        }
    }

    /// Says that `repo` lives at `host` and signs with its present key.
    pub(crate) fn publish(&self, repo: &Repo, host: &FakeHost) {
        let document = json!({
            "@context": ["https://www.w3.org/ns/did/v1"],
            "id": repo.did.as_str(),
            "alsoKnownAs": ["at://ada.example.org"],
            "verificationMethod": [{
                "id": format!("{}#atproto", repo.did),
                "type": "Multikey",
                "controller": repo.did.as_str(),
                "publicKeyMultibase": repo.key.public().to_multibase(),
            }],
            "service": [{"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": host.url}],
        });
        self.state
            .documents
            .lock()
            .insert(repo.did.to_string(), document);
    }

    /// Stops or starts answering.
    pub(crate) fn set_down(&self, down: bool) {
        self.state.down.store(down, Ordering::SeqCst);
    }

    /// Takes questions and never answers, or answers again.
    pub(crate) fn set_hanging(&self, hanging: bool) {
        self.state.hanging.store(hanging, Ordering::SeqCst);
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.state.asked.load(Ordering::SeqCst)
    }
}

async fn document(State(state): State<Arc<DirectoryState>>, Path(did): Path<String>) -> Response {
    state.asked.fetch_add(1, Ordering::SeqCst);
    while state.hanging.load(Ordering::SeqCst) {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    if state.down.load(Ordering::SeqCst) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    match state.documents.lock().get(&did) {
        Some(document) => Json(document.clone()).into_response(),
        None => (
            StatusCode::NOT_FOUND,
            Json(json!({"message": "DID not registered"})),
        )
            .into_response(),
    }
}

/// A host.
#[derive(Debug, Clone)]
pub(crate) struct FakeHost {
    /// Its origin.
    pub(crate) url: String,
    /// Its name for `requestCrawl`.
    pub(crate) name: String,
    state: Arc<HostState>,
}

#[derive(Debug)]
struct HostState {
    events: Mutex<Vec<(u64, Message)>>,
    next_seq: Mutex<u64>,
    changed: watch::Sender<u64>,
    cut: watch::Sender<u64>,
    cursors: Mutex<Vec<Option<u64>>>,
    open: AtomicUsize,
    described: AtomicUsize,
    refusing: AtomicBool,
    is_pds: AtomicBool,
    slow: AtomicBool,
    statuses: Mutex<HashMap<String, Value>>,
}

impl FakeHost {
    /// A host without events whose numbers start above `first_seq`.
    pub(crate) async fn start(first_seq: u64) -> Self {
        let state = Arc::new(HostState {
            events: Mutex::default(),
            next_seq: Mutex::new(first_seq + 1),
            changed: watch::Sender::new(0),
            cut: watch::Sender::new(0),
            cursors: Mutex::default(),
            open: AtomicUsize::new(0),
            described: AtomicUsize::new(0),
            refusing: AtomicBool::new(false),
            is_pds: AtomicBool::new(true),
            slow: AtomicBool::new(false),
            statuses: Mutex::default(),
        });
        let routes = Router::new()
            .route("/xrpc/com.atproto.sync.subscribeRepos", get(subscribe))
            .route("/xrpc/com.atproto.server.describeServer", get(describe))
            .route("/xrpc/com.atproto.sync.getRepoStatus", get(repo_status))
            .with_state(Arc::clone(&state));
        let url = serve(routes).await;
        let name = url.trim_start_matches("http://").to_owned();
        Self { url, name, state }
    }

    /// Sends an event to everybody who listens; answers its number.
    pub(crate) fn send(&self, event: &FrameTemplate) -> u64 {
        let mut next = self.state.next_seq.lock();
        let seq = *next;
        *next += 1;
        self.state
            .events
            .lock()
            .push((seq, Message::Binary(event.with_seq(seq))));
        self.state.changed.send_modify(|changes| *changes += 1);
        seq
    }

    /// Sends any message in place of the next event.
    pub(crate) fn send_raw(&self, message: Message) -> u64 {
        let mut next = self.state.next_seq.lock();
        let seq = *next;
        *next += 1;
        self.state.events.lock().push((seq, message));
        self.state.changed.send_modify(|changes| *changes += 1);
        seq
    }

    /// Forgets all events and numbers on from `first_seq`.
    pub(crate) fn reset_numbers(&self, first_seq: u64) {
        *self.state.next_seq.lock() = first_seq + 1;
        self.state.events.lock().clear();
        self.cut();
    }

    /// Closes all connections.
    pub(crate) fn cut(&self) {
        self.state.cut.send_modify(|cuts| *cuts += 1);
    }

    /// Refuses new connections, or takes them again.
    pub(crate) fn set_refusing(&self, refusing: bool) {
        self.state.refusing.store(refusing, Ordering::SeqCst);
        if refusing {
            self.cut();
        }
    }

    /// Stops or starts to look like a PDS.
    pub(crate) fn set_is_pds(&self, is_pds: bool) {
        self.state.is_pds.store(is_pds, Ordering::SeqCst);
    }

    /// Takes its time to describe itself.
    pub(crate) fn set_slow(&self) {
        self.state.slow.store(true, Ordering::SeqCst);
    }

    /// What it answers when asked for the status of an account.
    pub(crate) fn set_status(&self, did: &str, status: Value) {
        self.state.statuses.lock().insert(did.to_owned(), status);
    }

    /// The cursors it was asked for so far, one per connection.
    pub(crate) fn cursors(&self) -> Vec<Option<u64>> {
        self.state.cursors.lock().clone()
    }

    /// Connections open now.
    pub(crate) fn open(&self) -> usize {
        self.state.open.load(Ordering::SeqCst)
    }

    /// How often it was asked to describe itself.
    pub(crate) fn described(&self) -> usize {
        self.state.described.load(Ordering::SeqCst)
    }
}

async fn serve(routes: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move { axum::serve(listener, routes).await.expect("serves") });
    format!("http://localhost:{port}")
}

async fn describe(State(state): State<Arc<HostState>>) -> Response {
    state.described.fetch_add(1, Ordering::SeqCst);
    if state.slow.load(Ordering::SeqCst) {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    if state.is_pds.load(Ordering::SeqCst) {
        Json(json!({"did": "did:web:localhost", "availableUserDomains": []})).into_response()
    } else {
        StatusCode::NOT_FOUND.into_response()
    }
}

async fn repo_status(
    State(state): State<Arc<HostState>>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let status = query
        .get("did")
        .and_then(|did| state.statuses.lock().get(did).cloned());
    status.map_or_else(
        || StatusCode::NOT_FOUND.into_response(),
        |status| Json(status).into_response(),
    )
}

async fn subscribe(
    State(state): State<Arc<HostState>>,
    Query(query): Query<HashMap<String, String>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    if state.refusing.load(Ordering::SeqCst) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let cursor = query
        .get("cursor")
        .map(|cursor| cursor.parse().expect("a number"));
    state.cursors.lock().push(cursor);
    upgrade.on_upgrade(move |socket| async move {
        state.open.fetch_add(1, Ordering::SeqCst);
        stream(&state, socket, cursor).await;
        state.open.fetch_sub(1, Ordering::SeqCst);
    })
}

async fn stream(state: &HostState, mut socket: WebSocket, cursor: Option<u64>) {
    let mut changed = state.changed.subscribe();
    let mut cut = state.cut.subscribe();
    let head = *state.next_seq.lock() - 1;
    if cursor.is_some_and(|cursor| cursor > head) {
        let frame = Message::Binary(error_frame("FutureCursor", Some("cursor in the future")));
        // The other side may have gone already.
        drop(socket.send(frame).await);
        return;
    }
    let mut sent = cursor.unwrap_or(head);
    loop {
        changed.borrow_and_update();
        let due: Vec<_> = {
            let events = state.events.lock();
            let from = events.partition_point(|(seq, _)| *seq <= sent);
            events.iter().skip(from).cloned().collect()
        };
        for (seq, message) in due {
            if socket.send(message).await.is_err() {
                return;
            }
            sent = seq;
        }
        tokio::select! {
            biased;
            _ = cut.changed() => return,
            _ = changed.changed() => {}
            received = socket.recv() => match received {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
        }
    }
}

/// A frame that no decoder takes.
pub(crate) fn garbage() -> Message {
    Message::Binary(Bytes::from_static(&[0xff, 0x00, 0x13]))
}
