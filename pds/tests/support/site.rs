//! Somebody's own domain: a web site with a DID document and handles, and a name server.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::header::HOST;
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::{TcpListener, UdpSocket};

#[derive(Debug, Default)]
struct Said {
    document: Mutex<Option<Value>>,
    handles: Mutex<HashMap<String, String>>,
}

/// A web site on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    /// Its origin.
    pub(crate) url: String,
    /// The did:web that it may publish.
    pub(crate) did: String,
    said: Arc<Said>,
}

impl Site {
    pub(crate) async fn start() -> Self {
        let said = Arc::new(Said::default());
        let routes = Router::new()
            .route("/.well-known/did.json", get(document))
            .route("/.well-known/atproto-did", get(handle))
            .with_state(Arc::clone(&said));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self {
            url: format!("http://localhost:{port}"),
            did: format!("did:web:localhost%3A{port}"),
            said,
        }
    }

    /// Publishes the document of its DID.
    pub(crate) fn publish(&self, document: Value) {
        *self.said.document.lock() = Some(document);
    }

    /// Says whose a handle is.
    pub(crate) fn says(&self, handle: &str, did: &str) {
        let mut handles = self.said.handles.lock();
        handles.insert(handle.to_owned(), did.to_owned());
    }
}

async fn document(State(said): State<Arc<Said>>) -> Response {
    match said.document.lock().clone() {
        Some(document) => Json(document).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn handle(State(said): State<Arc<Said>>, headers: HeaderMap) -> Response {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let did = host.and_then(|host| said.handles.lock().get(host).cloned());
    match did {
        Some(did) => format!("{did}\n").into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// A DNS server that knows TXT records and nothing else (RFC 1035).
#[derive(Debug, Clone)]
pub(crate) struct NameServer {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    records: Arc<Mutex<HashMap<String, Vec<String>>>>,
}

impl NameServer {
    pub(crate) async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let address = socket.local_addr().expect("an address");
        let records: Arc<Mutex<HashMap<String, Vec<String>>>> = Arc::default();
        let known = Arc::clone(&records);
        tokio::spawn(async move {
            let mut query = [0; 512];
            while let Ok((length, asker)) = socket.recv_from(&mut query).await {
                let answer = answer(&query[..length], &known.lock());
                if let Some(answer) = answer {
                    socket.send_to(&answer, asker).await.expect("an answer");
                }
            }
        });
        Self { address, records }
    }

    /// Sets the TXT records of a name.
    pub(crate) fn set(&self, name: &str, texts: &[&str]) {
        let texts = texts.iter().map(|&text| text.to_owned()).collect();
        self.records.lock().insert(name.to_owned(), texts);
    }
}

fn answer(query: &[u8], records: &HashMap<String, Vec<String>>) -> Option<Vec<u8>> {
    let mut labels = Vec::new();
    let mut at = 12;
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        let label = query.get(at..at + length)?;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        at += length;
    }
    let question = query.get(12..at + 4)?;
    let kind = u16::from_be_bytes([*query.get(at)?, *query.get(at + 1)?]);
    const TXT: u16 = 16;
    let texts = records.get(&labels.join("."));
    let found: &[String] = texts.filter(|_| kind == TXT).map_or(&[], Vec::as_slice);
    let code = if texts.is_some() { 0 } else { 3 };
    let mut answer = query.get(..2)?.to_vec();
    answer.extend([0x84, code, 0, 1]);
    answer.extend(u16::try_from(found.len()).ok()?.to_be_bytes());
    answer.extend([0; 4]);
    answer.extend(question);
    for text in found {
        let length = u8::try_from(text.len()).ok()?;
        // A pointer to the question's name, TXT, IN, a TTL of one second.
        answer.extend([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 1, 0, length + 1, length]);
        answer.extend(text.as_bytes());
    }
    Some(answer)
}
