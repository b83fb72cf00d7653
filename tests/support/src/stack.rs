//! One `rochdale up` child process on free ports with a data folder of its own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::member::{Member, Refused, refuse};

/// How a stack is started.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// More flags for `rochdale up`, such as `--limits`.
    pub flags: Vec<String>,
    /// Environment variables, such as `ROCHDALE_PDS__…`.
    pub env: Vec<(String, String)>,
}

/// A running PDS, relay and DID service.
#[derive(Debug)]
pub struct Stack {
    child: Option<Child>,
    binary: PathBuf,
    options: Options,
    folder: Arc<TempDir>,
    ports: [u16; 3],
    /// Base URL of the PDS, without a slash at the end.
    pub pds: String,
    /// Base URL of the DID service.
    pub identity: String,
    /// Base URL of the relay.
    pub relay: String,
    /// Password of user `admin`.
    pub admin_password: String,
    /// The client that every actor shares.
    pub http: reqwest::Client,
}

impl Stack {
    /// Starts `binary` with a new data folder and waits for its ready line.
    pub fn start(binary: impl AsRef<Path>) -> Self {
        Self::start_with(binary, Options::default())
    }

    /// As [`Stack::start`], with more flags and variables.
    pub fn start_with(binary: impl AsRef<Path>, options: Options) -> Self {
        // A second call in one process finds the provider installed already.
        drop(rustls::crypto::ring::default_provider().install_default());
        let mut stack = Self {
            child: None,
            binary: binary.as_ref().to_owned(),
            options,
            folder: Arc::new(tempfile::tempdir().expect("a temporary folder")),
            ports: [0; 3],
            pds: String::new(),
            identity: String::new(),
            relay: String::new(),
            admin_password: String::new(),
            http: reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .expect("an HTTP client"),
        };
        stack.spawn();
        stack
    }

    fn spawn(&mut self) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log.jsonl"))
            .expect("a log file");
        let mut child = Command::new(&self.binary)
            .arg("up")
            .arg("--data")
            .arg(self.data())
            .args(["--pds-port", &self.ports[0].to_string()])
            .args(["--identity-port", &self.ports[1].to_string()])
            .args(["--relay-port", &self.ports[2].to_string()])
            .args(&self.options.flags)
            .envs(self.options.env.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the rochdale binary starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("standard output"))
            .read_line(&mut line)
            .expect("a ready line");
        let Ok(ready) = serde_json::from_str::<Value>(&line) else {
            panic!("no ready line but {line:?}; the log says:\n{}", self.log());
        };
        let text = |key: &str| ready[key].as_str().expect(key).to_owned();
        self.pds = text("pds");
        self.identity = text("identity");
        self.relay = text("relay");
        self.admin_password = text("admin_password");
        self.ports = [&self.pds, &self.identity, &self.relay].map(|url| {
            url.rsplit(':')
                .next()
                .and_then(|port| port.parse().ok())
                .expect("a port")
        });
        self.child = Some(child);
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Everything the services logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log.jsonl")).unwrap_or_default()
    }

    /// Process id of the stack.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("a running stack").id()
    }

    /// Ends the process with SIGKILL, as a power cut would end it for everything but the disk.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("SIGKILL");
            child.wait().expect("the child ends");
        }
    }

    /// Asks the process to stop with SIGTERM and returns its exit code, or panics after 8 s.
    pub async fn stop(&mut self) -> i32 {
        let status = Command::new("kill")
            .arg(self.pid().to_string())
            .status()
            .expect("kill runs");
        assert!(status.success(), "SIGTERM is delivered");
        self.ended().await.code().unwrap_or(-1)
    }

    /// Waits for the process to end and answers how it did, or panics after 8 s.
    pub async fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("a running stack");
        for _ in 0..160 {
            if let Some(status) = child.try_wait().expect("a status") {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        child.kill().expect("SIGKILL");
        panic!("still running after 8 s; the log says:\n{}", self.log());
    }

    /// Starts the stack again on the same data folder and ports.
    pub fn start_again(&mut self) {
        assert!(self.child.is_none(), "stop or kill it first");
        self.spawn();
    }

    /// Signs up `name` at the PDS.
    pub async fn member(&self, name: &str) -> Member {
        self.sign_up(name).await.expect("sign-up succeeds")
    }

    /// Signs up `name`, or says how the PDS refused.
    ///
    /// # Errors
    /// The XRPC error of `createAccount`.
    pub async fn sign_up(&self, name: &str) -> Result<Member, Refused> {
        let answer = self
            .http
            .post(format!(
                "{}/xrpc/com.atproto.server.createAccount",
                self.pds
            ))
            .json(&json!({
                "handle": format!("{name}.test"),
                "email": format!("{name}@coop.example"),
                "password": Member::PASSWORD,
            }))
            .send()
            .await
            .expect("the PDS answers");
        let session = refuse(answer).await?;
        Ok(Member::from_session(self, &session))
    }

    /// Calls an admin procedure of the PDS.
    ///
    /// # Errors
    /// The XRPC error that the PDS answered.
    pub async fn admin(&self, nsid: &str, body: &Value) -> Result<Value, Refused> {
        let answer = self
            .http
            .post(format!("{}/xrpc/{nsid}", self.pds))
            .basic_auth("admin", Some(&self.admin_password))
            .json(body)
            .send()
            .await
            .expect("the PDS answers");
        refuse(answer).await
    }

    /// A GET below `base`, parsed as JSON.
    ///
    /// # Errors
    /// The XRPC error that the service answered.
    pub async fn get(&self, base: &str, path: &str) -> Result<Value, Refused> {
        let answer = self
            .http
            .get(format!("{base}{path}"))
            .send()
            .await
            .expect("the service answers");
        refuse(answer).await
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(30).collect();
            eprintln!("--- last lines of the stack's log");
            for line in tail.iter().rev() {
                eprintln!("{line}");
            }
        }
    }
}
