//! A server on a free port, a directory that keeps operations in memory, and a small client.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, Method, Request, StatusCode};
use rochdale_protocol::crypto::SigningKey;
use rochdale_protocol::plc::{DidDocument, Operation, Service, UnsignedOperation};
use rochdale_protocol::syntax::Did;
use rochdale_service::Env;
use rochdale_service::clock::ManualClock;
use rochdale_service::config::Secret;
use rochdale_service::outbound::{Outbound, Policy, StreamLimits};
use rochdale_service::shutdown::Shutdown;
use rochdale_service::xrpc::LimitsConfig;
use serde_json::{Value, json};

use crate::config::{Config, Raw, Shared};
use crate::start;

pub(super) const PASSWORD: &str = "one member one vote";
pub(super) const ADMIN: &str = "operator";

type Log = Arc<Mutex<HashMap<String, Vec<Operation>>>>;

/// The whole of a did:plc directory that a PDS needs.
#[derive(Clone, Default)]
pub(super) struct Directory {
    log: Log,
}

impl Directory {
    async fn start(&self) -> String {
        let router = Router::new()
            .route("/{did}", get(document).post(submit))
            .route("/{did}/log/last", get(last))
            .with_state(self.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://localhost:{}", listener.local_addr().unwrap().port());
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    pub(super) fn operations(&self, did: &str) -> Vec<Operation> {
        self.log
            .lock()
            .unwrap()
            .get(did)
            .cloned()
            .unwrap_or_default()
    }

    /// Registers a DID whose document names another server and this key.
    pub(super) fn register(&self, handle: &str, key: &SigningKey) -> Did {
        let own = key.public().to_did_key();
        let service = Service {
            kind: "AtprotoPersonalDataServer".to_owned(),
            endpoint: "https://old.example.org".to_owned(),
        };
        let genesis = UnsignedOperation {
            rotation_keys: vec![own.clone()],
            verification_methods: BTreeMap::from([("atproto".to_owned(), own)]),
            also_known_as: vec![format!("at://{handle}")],
            services: BTreeMap::from([("atproto_pds".to_owned(), service)]),
            prev: None,
        };
        let genesis = Operation::Plc(genesis.sign(key));
        let did = genesis.founded_did();
        self.append(&did, genesis);
        did
    }

    pub(super) fn append(&self, did: &Did, operation: Operation) {
        self.log
            .lock()
            .unwrap()
            .entry(did.to_string())
            .or_default()
            .push(operation);
    }

    /// How many DIDs are registered, and how many of them were ended.
    pub(super) fn counts(&self) -> (usize, usize) {
        let log = self.log.lock().unwrap();
        let ended = log
            .values()
            .filter(|chain| chain.last().is_some_and(Operation::is_tombstone));
        (log.len(), ended.count())
    }
}

async fn submit(
    State(directory): State<Directory>,
    Path(did): Path<String>,
    body: Bytes,
) -> Response {
    let refuse = |why: String| {
        (
            StatusCode::BAD_REQUEST,
            axum::Json(json!({ "message": why })),
        )
            .into_response()
    };
    let operation = match Operation::from_json(&body) {
        Ok(operation) => operation,
        Err(error) => return refuse(error.to_string()),
    };
    let mut log = directory.log.lock().unwrap();
    let chain = log.entry(did).or_default();
    let head = chain.last().map(Operation::cid);
    if operation.prev().copied() != head {
        return refuse("prev is not the last operation".to_owned());
    }
    chain.push(operation);
    "OK".into_response()
}

async fn last(State(directory): State<Directory>, Path(did): Path<String>) -> Response {
    match directory.operations(&did).last() {
        Some(operation) => operation.to_json().into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn document(State(directory): State<Directory>, Path(did): Path<String>) -> Response {
    let operations = directory.operations(&did);
    let Some(operation) = operations.last() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    match operation.data(&did.parse::<Did>().unwrap()) {
        Some(data) => DidDocument::render(&data).into_response(),
        None => StatusCode::GONE.into_response(),
    }
}

/// A running server.
pub(super) struct Server {
    pub(super) url: String,
    pub(super) directory: Directory,
    pub(super) clock: ManualClock,
    pub(super) folder: tempfile::TempDir,
    client: Outbound,
    shutdown: Shutdown,
    raw: Raw,
    limits: LimitsConfig,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.request();
    }
}

impl Server {
    pub(super) async fn start() -> Self {
        Self::start_with(|_raw| {}).await
    }

    pub(super) async fn start_with(change: impl FnOnce(&mut Raw)) -> Self {
        let limits = LimitsConfig {
            enabled: false,
            ..LimitsConfig::default()
        };
        Self::start_limited(limits, change).await
    }

    pub(super) async fn start_limited(limits: LimitsConfig, change: impl FnOnce(&mut Raw)) -> Self {
        let directory = Directory::default();
        let plc_url = directory.start().await;
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::at_us(1_800_000_000_000_000);
        let policy = Policy {
            dev: true,
            user_agent: "rochdale-test".to_owned(),
        };
        let client = Outbound::new(policy).unwrap();
        let mut raw = Raw {
            port: 0,
            data_dir: folder.path().to_owned(),
            handle_domains: vec![".test".to_owned()],
            invites_required: false,
            admin_password: Some(Secret::new(ADMIN)),
            plc_url,
            password_memory_kib: 64,
            password_passes: 1,
            ..Raw::default()
        };
        change(&mut raw);
        let mut server = Self {
            url: String::new(),
            directory,
            clock,
            folder,
            client,
            shutdown: Shutdown::new(),
            raw,
            limits,
        };
        server.run().await;
        server
    }

    async fn run(&mut self) {
        let mut resolver = rochdale_resolver::Config::new(self.raw.plc_url.clone());
        resolver.dev = true;
        let limits = self.limits.clone();
        let config = Config::validate(self.raw.clone(), Shared { resolver, limits }).unwrap();
        let env = Env {
            clock: self.clock.shared(),
            shutdown: self.shutdown.clone(),
            outbound: self.client.clone(),
            dev: true,
        };
        let running = start(config, env).await.unwrap();
        self.url = running.url;
        self.raw.port = running.address.port();
    }

    /// Stops the server and starts it again, on the same folder and port.
    pub(super) async fn restart(&mut self) {
        self.shutdown.request();
        self.shutdown.finish(Duration::from_secs(4)).await;
        self.shutdown = Shutdown::new();
        self.run().await;
    }

    /// Any request, answered with status, headers and bytes.
    pub(super) async fn raw(&self, request: Request<Body>) -> (u16, HeaderMap, Bytes) {
        let limits = StreamLimits {
            head_timeout_ms: 20_000,
            idle_timeout_ms: 20_000,
            max_bytes: 1 << 24,
            trusted: true,
        };
        let answer = self.client.send(request, limits).await.unwrap();
        let (parts, body) = answer.into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 24).await.unwrap();
        (parts.status.as_u16(), parts.headers, bytes)
    }

    async fn send(&self, request: Request<Body>) -> (u16, Value) {
        let (status, _, bytes) = self.raw(request).await;
        let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
        let value = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).unwrap_or_else(|_| text())
        };
        (status, value)
    }

    /// A GET with these headers.
    pub(super) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> (u16, Value) {
        let mut request = Request::builder().uri(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// A procedure with JSON, or without a body when it is `null`.
    pub(super) async fn call(&self, nsid: &str, auth: &str, body: &Value) -> (u16, Value) {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/xrpc/{nsid}", self.url));
        if !auth.is_empty() {
            request = request.header("authorization", auth);
        }
        let body = if body.is_null() {
            Body::empty()
        } else {
            request = request.header("content-type", "application/json");
            Body::from(body.to_string())
        };
        self.send(request.body(body).unwrap()).await
    }

    /// A query with a bearer token.
    pub(super) async fn ask(&self, path: &str, token: &str) -> (u16, Value) {
        self.get(
            &format!("/xrpc/{path}"),
            &[("authorization", &bearer(token))],
        )
        .await
    }

    pub(super) async fn sign_up(&self, name: &str) -> (u16, Value) {
        let body = json!({
            "handle": format!("{name}.test"),
            "email": format!("{name}@coop.example"),
            "password": PASSWORD,
        });
        self.call("com.atproto.server.createAccount", "", &body)
            .await
    }

    pub(super) async fn member(&self, name: &str) -> Member {
        let (status, session) = self.sign_up(name).await;
        assert_eq!(status, 200, "{session}");
        Member::of(&session)
    }

    pub(super) async fn sign_in(&self, identifier: &str, password: &str) -> (u16, Value) {
        let body = json!({ "identifier": identifier, "password": password });
        self.call("com.atproto.server.createSession", "", &body)
            .await
    }

    /// The code in the newest mail.
    pub(super) fn mailed_code(&self) -> String {
        let outbox = std::fs::read_dir(self.folder.path().join("outbox")).unwrap();
        let newest = outbox.map(|entry| entry.unwrap().path()).max().unwrap();
        let mail = std::fs::read_to_string(newest).unwrap();
        let code = mail.lines().map(str::trim).find(|line| {
            line.len() == 11 && line.as_bytes()[5] == b'-' && *line == line.to_uppercase()
        });
        code.unwrap().to_owned()
    }
}

pub(super) struct Member {
    pub(super) did: String,
    pub(super) access: String,
    pub(super) refresh: String,
}

impl Member {
    pub(super) fn of(session: &Value) -> Self {
        let text = |key: &str| session[key].as_str().unwrap().to_owned();
        Self {
            did: text("did"),
            access: text("accessJwt"),
            refresh: text("refreshJwt"),
        }
    }
}

pub(super) fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// Basic credentials of the operator.
pub(super) fn basic() -> String {
    use base64::Engine;
    let text = format!("admin:{ADMIN}");
    format!(
        "Basic {}",
        base64::engine::general_purpose::STANDARD.encode(text)
    )
}
