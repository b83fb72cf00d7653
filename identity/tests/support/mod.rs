//! A directory on a free port with its own folder and clock, and somebody with keys.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "each test binary uses its part of it, and reports by panicking"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use rochdale_identity::{Running, config, start};
use rochdale_protocol::crypto::{Curve, SigningKey};
use rochdale_protocol::plc::{Operation, Service, Tombstone, UnsignedOperation};
use rochdale_service::Env;
use rochdale_service::clock::ManualClock;
use rochdale_service::config::Secret;
use rochdale_service::outbound::{Outbound, Policy};
use rochdale_service::shutdown::Shutdown;
use rochdale_service::xrpc::LimitsConfig;
use tempfile::TempDir;

/// When every test begins, Unix milliseconds.
pub(crate) const START_MS: u64 = 1_790_000_000_000;

/// A running directory.
pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) clock: ManualClock,
    pub(crate) url: String,
    pub(crate) http: reqwest::Client,
    shutdown: Shutdown,
}

/// An answer that was read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Asserts a refusal and gives its message.
    pub(crate) fn refused(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(
            self.header("content-type"),
            "application/json; charset=utf-8"
        );
        assert_eq!(self.header("access-control-allow-origin"), "*");
        self.json()["message"].as_str().unwrap().to_owned()
    }

    pub(crate) fn ok(&self) -> &str {
        assert_eq!(self.status, 200, "{}", self.body);
        &self.body
    }
}

async fn run(
    folder: &TempDir,
    clock: &ManualClock,
    raw: config::Raw,
    limited: bool,
) -> (Running, Shutdown) {
    let raw = config::Raw {
        port: 0,
        data_dir: folder.path().into(),
        ..raw
    };
    let shutdown = Shutdown::new();
    let env = env(clock, &shutdown);
    let running = start(config::Config::validate(raw, limits(limited)).unwrap(), env)
        .await
        .unwrap();
    (running, shutdown)
}

/// Tests submit more than an address may, unless they are about that.
fn limits(enabled: bool) -> LimitsConfig {
    LimitsConfig {
        enabled,
        bypass_key: Some(Secret::new("let me through")),
        ..LimitsConfig::default()
    }
}

fn env(clock: &ManualClock, shutdown: &Shutdown) -> Env {
    let policy = Policy {
        dev: true,
        user_agent: "rochdale-test".into(),
    };
    let outbound = Outbound::new(policy).unwrap();
    Env {
        clock: clock.shared(),
        shutdown: shutdown.clone(),
        outbound,
        dev: true,
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(config::Raw::default()).await
    }

    pub(crate) async fn with(raw: config::Raw) -> Self {
        Self::build(raw, false).await
    }

    /// With the limits of production.
    pub(crate) async fn limited() -> Self {
        Self::build(config::Raw::default(), true).await
    }

    async fn build(raw: config::Raw, limited: bool) -> Self {
        let folder = TempDir::new().unwrap();
        let clock = ManualClock::at_us(START_MS * 1000);
        let (running, shutdown) = run(&folder, &clock, raw, limited).await;
        let url = format!("http://{}", running.address);
        // A second world finds it installed already.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self {
            folder,
            clock,
            url,
            http,
            shutdown,
        }
    }

    /// Stops the directory and starts another one over the same folder.
    pub(crate) async fn restart(&mut self) {
        assert_eq!(self.shutdown.finish(Duration::from_secs(4)).await, 0);
        let (running, shutdown) =
            run(&self.folder, &self.clock, config::Raw::default(), false).await;
        self.url = format!("http://{}", running.address);
        self.shutdown = shutdown;
    }

    pub(crate) fn wait_ms(&self, ms: u64) {
        self.clock.advance(Duration::from_millis(ms));
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        read(self.http.get(format!("{}{path}", self.url))).await
    }

    pub(crate) async fn post(&self, did: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self.http.post(format!("{}/{did}", self.url));
        read(
            request
                .header("content-type", "application/json")
                .body(body),
        )
        .await
    }

    pub(crate) async fn submit(&self, did: &str, operation: &Operation) -> Answer {
        self.post(did, operation.to_json()).await
    }

    /// Submits and asserts success.
    pub(crate) async fn accepts(&self, did: &str, operation: &Operation) {
        let answer = self.submit(did, operation).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "OK"));
    }
}

pub(crate) async fn read(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer {
        status,
        headers,
        body: response.text().await.unwrap(),
    }
}

/// Somebody with three rotation keys, the strongest first.
pub(crate) struct Holder {
    pub(crate) did: String,
    pub(crate) keys: [SigningKey; 3],
    pub(crate) genesis: Operation,
}

pub(crate) fn key(curve: Curve, seed: u64) -> SigningKey {
    let mut bytes = [1; 32];
    bytes[24..].copy_from_slice(&seed.to_be_bytes());
    SigningKey::from_bytes(curve, &bytes).unwrap()
}

impl Holder {
    /// Not registered yet. Different seeds make different DIDs.
    pub(crate) fn new(seed: u64) -> Self {
        let keys = [
            key(Curve::K256, seed * 10 + 1),
            key(Curve::P256, seed * 10 + 2),
            key(Curve::K256, seed * 10 + 3),
        ];
        let content = Self::content(&keys, &format!("holder{seed}.test"));
        let genesis = Operation::Plc(content.sign(&keys[2]));
        Self {
            did: genesis.founded_did().to_string(),
            keys,
            genesis,
        }
    }

    pub(crate) async fn registered(world: &World, seed: u64) -> Self {
        let holder = Self::new(seed);
        world.accepts(&holder.did, &holder.genesis).await;
        holder
    }

    fn content(keys: &[SigningKey], handle: &str) -> UnsignedOperation {
        let endpoint = "https://pds.coop.example".into();
        let pds = Service {
            kind: "AtprotoPersonalDataServer".into(),
            endpoint,
        };
        let did_keys: Vec<_> = keys.iter().map(|key| key.public().to_did_key()).collect();
        UnsignedOperation {
            verification_methods: BTreeMap::from([("atproto".into(), did_keys[2].clone())]),
            rotation_keys: did_keys,
            also_known_as: vec![format!("at://{handle}")],
            services: BTreeMap::from([("atproto_pds".into(), pds)]),
            prev: None,
        }
    }

    /// An unsigned update of the handle after an operation.
    pub(crate) fn update(&self, prev: &Operation, handle: &str) -> UnsignedOperation {
        UnsignedOperation {
            prev: Some(prev.cid()),
            ..Self::content(&self.keys, handle)
        }
    }

    /// The same, signed with one of the keys.
    pub(crate) fn signed(&self, prev: &Operation, handle: &str, key: usize) -> Operation {
        Operation::Plc(self.update(prev, handle).sign(&self.keys[key]))
    }

    pub(crate) fn tombstone(&self, prev: &Operation, key: usize) -> Operation {
        Operation::Tombstone(Tombstone::sign(prev.cid(), &self.keys[key]))
    }
}
