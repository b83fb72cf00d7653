//! A server on a free port with a folder of its own, and a small client for it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use rochdale_pds::Config;
use rochdale_pds::config::{Raw, Shared};
use rochdale_protocol::crypto::SigningKey;
use rochdale_resolver::LocalSuffix;
use rochdale_service::Env;
use rochdale_service::clock::ManualClock;
use rochdale_service::config::Secret;
use rochdale_service::outbound::{Outbound, StreamLimits};
use rochdale_service::shutdown::Shutdown;
use rochdale_service::xrpc::LimitsConfig;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::directory::Directory;
use crate::member::Member;

/// The main password of every member.
pub(crate) const PASSWORD: &str = "one member one vote";
/// The operator's password; it has a colon, as it may.
pub(crate) const ADMIN: &str = "oper:ator";
/// The largest answer that the client takes, in bytes.
const ANSWER_BYTES_MAX: usize = 1 << 26;

/// What a test may set before the server starts.
pub(crate) struct Options {
    /// The `[pds]` table.
    pub(crate) raw: Raw,
    /// How the server resolves names; `.test` handles are its own.
    pub(crate) resolver: rochdale_resolver::Config,
    /// Request limits, off by default.
    pub(crate) limits: LimitsConfig,
    /// A test server: loopback is reached, `.test` handles are taken. On by default; off, handles
    /// end in `.coop-name.org`.
    pub(crate) dev: bool,
}

/// A running server; it ends when dropped.
pub(crate) struct Server {
    /// Its origin.
    pub(crate) url: String,
    /// The directory that it uses.
    pub(crate) directory: Arc<Directory>,
    /// The time of directory and server.
    pub(crate) clock: ManualClock,
    folder: Arc<TempDir>,
    client: Outbound,
    shutdown: Shutdown,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.request();
    }
}

impl Server {
    /// A server with a directory of its own. Signing up is open, limits are off, handles end in
    /// `.test`, passwords are hashed cheaply.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_options| {}).await
    }

    /// As [`Self::start`], with other settings.
    pub(crate) async fn start_with(change: impl FnOnce(&mut Options)) -> Self {
        let directory = Arc::new(Directory::start().await);
        Self::beside(&directory, change).await
    }

    /// A further server that uses the same directory.
    pub(crate) async fn beside(
        directory: &Arc<Directory>,
        change: impl FnOnce(&mut Options),
    ) -> Self {
        let folder = Arc::new(tempfile::tempdir().expect("a folder"));
        Self::on(folder, directory, change).await
    }

    /// A server on the data in `folder`.
    pub(crate) async fn on(
        folder: Arc<TempDir>,
        directory: &Arc<Directory>,
        change: impl FnOnce(&mut Options),
    ) -> Self {
        let port = free_port().await;
        let url = format!("http://localhost:{port}");
        let raw = Raw {
            port,
            data_dir: folder.path().to_owned(),
            handle_domains: vec![".test".to_owned()],
            invites_required: false,
            admin_password: Some(Secret::new(ADMIN)),
            plc_url: directory.url.clone(),
            password_memory_kib: 64,
            password_passes: 1,
            ..Raw::default()
        };
        let mut resolver = rochdale_resolver::Config::new(directory.url.clone());
        resolver.dev = true;
        let mut options = Options {
            raw,
            resolver,
            limits: LimitsConfig {
                enabled: false,
                ..LimitsConfig::default()
            },
            dev: true,
        };
        change(&mut options);
        if !options.dev {
            options.raw.handle_domains = vec![".coop-name.org".to_owned()];
        }
        for suffix in &options.raw.handle_domains {
            options.resolver.local.push(LocalSuffix {
                suffix: suffix.clone(),
                base_url: url.clone(),
            });
        }
        let shared = Shared {
            resolver: options.resolver,
            limits: options.limits,
        };
        let config = Config::validate(options.raw, shared).expect("a configuration");
        let shutdown = Shutdown::new();
        let env = Env {
            clock: directory.clock.shared(),
            shutdown: shutdown.clone(),
            outbound: directory.client.clone(),
            dev: options.dev,
        };
        let running = rochdale_pds::start(config, env).await.expect("a server");
        Self {
            url: running.url,
            directory: Arc::clone(directory),
            clock: directory.clock.clone(),
            folder,
            client: directory.client.clone(),
            shutdown,
        }
    }

    /// Stops in order and gives the folder back, for a start on the same data.
    pub(crate) async fn stop(self) -> Arc<TempDir> {
        let left = self.shutdown.finish(Duration::from_secs(10)).await;
        assert_eq!((left, self.shutdown.failure()), (0, None));
        Arc::clone(&self.folder)
    }

    /// The server's folder.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// The server's DID.
    pub(crate) fn did(&self) -> String {
        let host = self.url.trim_start_matches("http://");
        format!("did:web:{}", host.replace(':', "%3A"))
    }

    /// Any request, answered with status, headers and bytes.
    pub(crate) async fn raw(&self, request: Request<Body>) -> (u16, HeaderMap, Bytes) {
        let limits = StreamLimits {
            head_timeout_ms: 30_000,
            idle_timeout_ms: 30_000,
            max_bytes: ANSWER_BYTES_MAX as u64,
            trusted: true,
        };
        let answer = self.client.send(request, limits).await.expect("an answer");
        let (parts, body) = answer.into_parts();
        let bytes = axum::body::to_bytes(body, ANSWER_BYTES_MAX).await;
        (
            parts.status.as_u16(),
            parts.headers,
            bytes.expect("a whole answer"),
        )
    }

    /// Any request to a path of this server, answered with status, headers and JSON (or text).
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> (u16, HeaderMap, Value) {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).expect("a request");
        let (status, headers, bytes) = self.raw(request).await;
        let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
        let value = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).unwrap_or_else(|_| text())
        };
        (status, headers, value)
    }

    /// A GET of any path with these headers.
    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> (u16, Value) {
        let (status, _, body) = self.send(Method::GET, path, headers, Body::empty()).await;
        (status, body)
    }

    /// A query, such as `com.atproto.server.getSession`, with this `Authorization` (or none).
    pub(crate) async fn ask(&self, query: &str, auth: &str) -> (u16, Value) {
        let headers = [("authorization", auth)];
        let headers = if auth.is_empty() { &[][..] } else { &headers };
        self.get(&format!("/xrpc/{query}"), headers).await
    }

    /// A procedure with JSON, or without a body when it is `null`, with this `Authorization`.
    pub(crate) async fn call(&self, nsid: &str, auth: &str, body: Value) -> (u16, Value) {
        let mut headers = Vec::new();
        if !auth.is_empty() {
            headers.push(("authorization", auth));
        }
        let bytes = if body.is_null() {
            Body::empty()
        } else {
            headers.push(("content-type", "application/json"));
            Body::from(body.to_string())
        };
        let path = format!("/xrpc/{nsid}");
        let (status, _, body) = self.send(Method::POST, &path, &headers, bytes).await;
        (status, body)
    }

    /// Signs `name`.test up.
    pub(crate) async fn sign_up(&self, name: &str) -> (u16, Value) {
        self.call("com.atproto.server.createAccount", "", wish(name))
            .await
    }

    /// A new member, whose handle is `name`.test and whose address is `name`@coop.example.
    pub(crate) async fn member(&self, name: &str) -> Member {
        Member::of(&ok(self.sign_up(name).await))
    }

    /// As [`Server::member`], with a rotation key of her own.
    pub(crate) async fn member_with_key(&self, name: &str, key: &SigningKey) -> Member {
        let mut body = wish(name);
        body["recoveryKey"] = json!(key.public().to_did_key());
        let create = "com.atproto.server.createAccount";
        Member::of(&ok(self.call(create, "", body).await))
    }

    /// Signs in: status and answer.
    pub(crate) async fn sign_in(&self, identifier: &str, password: &str) -> (u16, Value) {
        let body = json!({ "identifier": identifier, "password": password });
        self.call("com.atproto.server.createSession", "", body)
            .await
    }

    /// The mails in the outbox, oldest first.
    pub(crate) fn mails(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.folder().join("outbox")) else {
            return Vec::new();
        };
        let mut paths: Vec<_> = entries
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.extension().is_some_and(|end| end == "eml"))
            .collect();
        paths.sort();
        let read = |path| std::fs::read_to_string(path).expect("a mail");
        paths.into_iter().map(read).collect()
    }

    /// The code in the newest mail.
    pub(crate) fn mailed_code(&self) -> String {
        let mails = self.mails();
        code_in(mails.last().expect("a mail"))
    }
}

/// A sign-up that would succeed.
pub(crate) fn wish(name: &str) -> Value {
    json!({
        "handle": format!("{name}.test"),
        "email": format!("{name}@coop.example"),
        "password": PASSWORD,
    })
}

/// The code in a mail: a line of its own, such as `ABCDE-23456`.
pub(crate) fn code_in(mail: &str) -> String {
    let is_code = |line: &&str| {
        line.len() == 11 && line.as_bytes()[5] == b'-' && **line == line.to_uppercase()
    };
    let code = mail.lines().map(str::trim).find(is_code);
    code.unwrap_or_else(|| panic!("no code in {mail}"))
        .to_owned()
}

/// The answer of a request that must have succeeded.
#[track_caller]
pub(crate) fn ok((status, answer): (u16, Value)) -> Value {
    assert_eq!(status, 200, "{answer}");
    answer
}

/// Checks a refusal by status and name; answers its message.
#[track_caller]
pub(crate) fn refused((status, answer): (u16, Value), wanted: (u16, &str)) -> String {
    let name = answer["error"].as_str().unwrap_or_default();
    assert_eq!((status, name), wanted, "{answer}");
    answer["message"].as_str().unwrap_or_default().to_owned()
}

/// The `Authorization` of a token.
pub(crate) fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// The `Authorization` of the operator.
pub(crate) fn operator() -> String {
    basic("admin", ADMIN)
}

/// Basic credentials.
pub(crate) fn basic(user: &str, password: &str) -> String {
    use base64::Engine;
    let text = format!("{user}:{password}");
    let encoded = base64::engine::general_purpose::STANDARD.encode(text);
    format!("Basic {encoded}")
}

/// Waits up to 20 seconds until `done` says so.
pub(crate) async fn eventually(what: &str, mut done: impl AsyncFnMut() -> bool) {
    for _ in 0..400 {
        if done().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never happened: {what}");
}

/// A port that nobody listens on at the moment.
pub(crate) async fn free_port() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let address = listener.expect("a free port").local_addr();
    address.expect("an address").port()
}
