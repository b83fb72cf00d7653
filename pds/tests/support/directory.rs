//! A real did:plc directory, and identities that live elsewhere.

use std::collections::BTreeMap;

use rochdale_protocol::crypto::{Curve, SigningKey};
use rochdale_protocol::plc::{Operation, Service, UnsignedOperation};
use rochdale_protocol::syntax::Did;
use rochdale_service::Env;
use rochdale_service::clock::{Clock, ManualClock, SystemClock};
use rochdale_service::outbound::{Limits, Outbound, Policy};
use rochdale_service::shutdown::Shutdown;
use rochdale_service::xrpc::LimitsConfig;
use serde_json::Value;
use tempfile::TempDir;

/// A running directory; it ends when dropped.
pub(crate) struct Directory {
    /// Its origin.
    pub(crate) url: String,
    /// The time of everything that runs beside it; starts at the present.
    pub(crate) clock: ManualClock,
    /// A client that reaches this machine.
    pub(crate) client: Outbound,
    shutdown: Shutdown,
    _folder: TempDir,
}

impl Drop for Directory {
    fn drop(&mut self) {
        self.shutdown.request();
    }
}

/// What a request to the directory or a server of these tests may take.
pub(crate) const LIMITS: Limits<'static> = Limits {
    max_bytes: 1 << 26,
    timeout_ms: 30_000,
    redirects: 0,
    accept: "*/*",
    host: None,
    trusted: true,
};

impl Directory {
    pub(crate) async fn start() -> Self {
        let clock = ManualClock::at_us(SystemClock.now_us());
        let shutdown = Shutdown::new();
        let client = Outbound::new(Policy {
            dev: true,
            user_agent: "pds test".to_owned(),
        });
        let client = client.expect("a client");
        let folder = tempfile::tempdir().expect("a folder");
        let raw = rochdale_identity::config::Raw {
            port: 0,
            data_dir: folder.path().to_owned(),
            ..rochdale_identity::config::Raw::default()
        };
        let limits = LimitsConfig {
            enabled: false,
            ..LimitsConfig::default()
        };
        let config = rochdale_identity::config::Config::validate(raw, limits);
        let env = Env {
            clock: clock.shared(),
            shutdown: shutdown.clone(),
            outbound: client.clone(),
            dev: true,
        };
        let running = rochdale_identity::start(config.expect("a configuration"), env).await;
        Self {
            url: running.expect("a directory").url,
            clock,
            client,
            shutdown,
            _folder: folder,
        }
    }

    /// Hands an operation in: status and answer.
    pub(crate) async fn submit(&self, did: &Did, operation: &Operation) -> (u16, String) {
        let url = format!("{}/{did}", self.url);
        let body = operation.to_json().into_bytes();
        let answer = self.client.post_json(&url, body, LIMITS).await;
        let answer = answer.expect("the directory answers");
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        (answer.status, text)
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let url = format!("{}/{path}", self.url);
        let answer = self.client.get(&url, LIMITS).await;
        let answer = answer.expect("the directory answers");
        let body = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        (answer.status, body)
    }

    /// The operations of a DID, oldest first; none for one that is unknown.
    pub(crate) async fn log(&self, did: &str) -> Vec<Value> {
        match self.get(&format!("{did}/log")).await {
            (200, Value::Array(operations)) => operations,
            (404, _) => Vec::new(),
            other => panic!("log of {did}: {other:?}"),
        }
    }

    /// Every operation there is, as the export has them.
    pub(crate) async fn export(&self) -> Vec<Value> {
        let url = format!("{}/export?count=1000", self.url);
        let answer = self.client.get(&url, LIMITS).await;
        let body = answer.expect("the directory answers").body;
        let lines = body.split(|byte| *byte == b'\n');
        lines
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).expect("a line of JSON"))
            .collect()
    }

    /// The newest operation of a DID.
    pub(crate) async fn newest(&self, did: &str) -> Operation {
        let operations = self.log(did).await;
        let newest = operations.last().expect("an operation").to_string();
        Operation::from_json(newest.as_bytes()).expect("a valid operation")
    }

    /// The document of a DID: status and JSON.
    pub(crate) async fn document(&self, did: &str) -> (u16, Value) {
        self.get(did).await
    }

    /// Registers an identity whose document names another server, under this one key.
    pub(crate) async fn register(&self, handle: &str, key: &SigningKey) -> Did {
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
        let (status, answer) = self.submit(&did, &genesis).await;
        assert_eq!(status, 200, "{answer}");
        did
    }

    /// Appends an operation that `change` makes of the present state, signed by `key`.
    pub(crate) async fn update(
        &self,
        did: &str,
        key: &SigningKey,
        change: impl FnOnce(&mut UnsignedOperation),
    ) {
        let did: Did = did.parse().expect("a DID");
        let newest = self.newest(did.as_str()).await;
        let state = newest.data(&did).expect("not a tombstone");
        let mut next = UnsignedOperation {
            rotation_keys: state.rotation_keys,
            verification_methods: state.verification_methods,
            also_known_as: state.also_known_as,
            services: state.services,
            prev: Some(newest.cid()),
        };
        change(&mut next);
        let (status, answer) = self.submit(&did, &Operation::Plc(next.sign(key))).await;
        assert_eq!(status, 200, "{answer}");
    }
}

/// A key of the curve that most accounts use; the same seed gives the same key.
pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(Curve::K256, &[seed; 32]).expect("a key")
}
