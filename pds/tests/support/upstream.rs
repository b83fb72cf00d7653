//! A service that members' calls are passed on to: it remembers what it got and answers as it is told.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{HeaderMap, Method, StatusCode};
use parking_lot::Mutex;
use rochdale_pds::config::RawService;
use rochdale_protocol::crypto::PublicKey;
use rochdale_protocol::xrpc::service_auth::{self, Claims};
use serde_json::{Value, json};

use crate::member::Member;
use crate::server::Server;

/// The ids of the services in its DID document. The first one leads to nowhere.
const SERVICES: [&str; 5] = [
    "#bsky_appview",
    "#atproto_labeler",
    "#bsky_notif",
    "#bsky_chat",
    "#bsky_fg",
];

/// A running service.
#[derive(Clone)]
pub(crate) struct Upstream {
    /// Its origin.
    pub(crate) url: String,
    /// Its DID.
    pub(crate) did: String,
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    seen: Mutex<Vec<Seen>>,
    replies: Mutex<HashMap<String, Reply>>,
    given_up: Arc<AtomicUsize>,
}

/// A call that arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The body ended early.
    pub(crate) broken: bool,
}

/// What a method is answered.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// This.
    Whole {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: Bytes,
    },
    /// Nothing, for as long as the caller waits.
    Silence,
    /// A few bytes, and then the connection breaks.
    BreaksOff,
}

impl Reply {
    /// JSON with status 200.
    pub(crate) fn json(value: &Value) -> Self {
        Self::status(200, value)
    }

    /// JSON with another status.
    pub(crate) fn status(status: u16, value: &Value) -> Self {
        Self::bytes(value.to_string())
            .with("content-type", "application/json; charset=utf-8")
            .and_status(status)
    }

    /// Bytes without a type.
    pub(crate) fn bytes(body: impl Into<Bytes>) -> Self {
        Self::Whole {
            status: 200,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    /// With a header.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        if let Self::Whole { headers, .. } = &mut self {
            headers.push((name, value.into()));
        }
        self
    }

    fn and_status(mut self, to: u16) -> Self {
        if let Self::Whole { status, .. } = &mut self {
            *status = to;
        }
        self
    }
}

impl Seen {
    /// The claims of the call's token, which `member` must have signed.
    pub(crate) async fn claims(&self, server: &Server, member: &Member) -> Claims {
        let token = self.token().expect("a bearer token");
        let (_, document) = server.directory.document(&member.did).await;
        let key = document["verificationMethod"][0]["publicKeyMultibase"].as_str();
        let key = PublicKey::from_multibase(key.expect("a key")).expect("a key");
        let token = service_auth::parse(&token).expect("a service token");
        token.verify(&key).expect("the member's signature").clone()
    }

    fn token(&self) -> Option<String> {
        let header = self.headers.get("authorization")?.to_str().ok()?;
        Some(header.strip_prefix("Bearer ")?.to_owned())
    }

    /// Audience and method that the token is for.
    pub(crate) async fn vouches(&self, server: &Server, member: &Member) -> (String, String) {
        let claims = self.claims(server, member).await;
        assert_eq!(claims.iss, member.did);
        (claims.aud, claims.lxm.unwrap_or_default())
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let upstream = Self {
            url: format!("http://localhost:{port}"),
            did: format!("did:web:localhost%3A{port}"),
            inner: Arc::default(),
        };
        let router = Router::new().fallback(serve).with_state(upstream.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        upstream
    }

    /// Answers a method, also where it answered otherwise before.
    pub(crate) fn replies(&self, nsid: &str, reply: Reply) {
        self.inner.replies.lock().insert(nsid.to_owned(), reply);
    }

    /// The calls of a method, oldest first.
    pub(crate) fn seen(&self, nsid: &str) -> Vec<Seen> {
        let path = format!("/xrpc/{nsid}");
        let of_method = |seen: &&Seen| seen.path.split('?').next() == Some(&path);
        self.inner
            .seen
            .lock()
            .iter()
            .filter(of_method)
            .cloned()
            .collect()
    }

    /// The newest call of a method.
    pub(crate) fn newest(&self, nsid: &str) -> Seen {
        let seen = self.seen(nsid).pop();
        seen.unwrap_or_else(|| panic!("{nsid} was not called"))
    }

    /// Calls that arrived and were not waited for.
    pub(crate) fn given_up(&self) -> usize {
        self.inner.given_up.load(Ordering::Relaxed)
    }

    /// As an entry of the server's configuration.
    pub(crate) fn service(&self) -> RawService {
        RawService {
            did: self.did.clone(),
            url: self.url.clone(),
        }
    }

    /// The value of an `atproto-proxy` header.
    pub(crate) fn named(&self, id: &str) -> String {
        format!("{}#{id}", self.did)
    }

    fn document(&self) -> Value {
        let service = |id: &str, endpoint: String| json!({ "id": id, "type": "Any", "serviceEndpoint": endpoint });
        let mut services = vec![service("#first", format!("{}/first", self.url))];
        services.extend(SERVICES.map(|id| service(id, self.url.clone())));
        json!({ "id": self.did, "service": services })
    }
}

/// Counts the calls whose caller went away.
struct Waiting(Arc<AtomicUsize>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

async fn serve(State(upstream): State<Upstream>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if parts.uri.path() == "/.well-known/did.json" {
        return axum::Json(upstream.document()).into_response();
    }
    let body = to_bytes(body, 1 << 26).await;
    let seen = Seen {
        method: parts.method,
        path: parts.uri.to_string(),
        headers: parts.headers,
        broken: body.is_err(),
        body: body.unwrap_or_default(),
    };
    upstream.inner.seen.lock().push(seen);
    let nsid = parts.uri.path().trim_start_matches("/xrpc/");
    let reply = upstream.inner.replies.lock().get(nsid).cloned();
    match reply {
        None => {
            let body = json!({ "error": "MethodNotImplemented", "message": nsid });
            (StatusCode::NOT_IMPLEMENTED, axum::Json(body)).into_response()
        }
        Some(Reply::Silence) => {
            let _waiting = Waiting(Arc::clone(&upstream.inner.given_up));
            std::future::pending().await
        }
        Some(Reply::BreaksOff) => {
            let pieces = stream::iter([Ok("{\"feed\":"), Err(std::io::Error::other("gone"))]);
            // The first piece is on its way before the second one fails.
            let pieces = pieces.then(async |piece| {
                tokio::time::sleep(Duration::from_millis(50)).await;
                piece
            });
            Body::from_stream(pieces).into_response()
        }
        Some(Reply::Whole {
            status,
            headers,
            body,
        }) => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            response.body(Body::from(body)).expect("a response")
        }
    }
}
