//! A real server that speaks S3, over a folder of its own.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rochdale_service::config::Secret;
use tempfile::TempDir;

use crate::config::S3;

const BUCKET: &str = "coop-blobs";
const SECRET: &str = "testtest";

/// A running `s3s-fs`, which checks signatures and keeps objects as files.
pub(crate) struct Server {
    child: Option<Child>,
    folder: TempDir,
    port: u16,
}

impl Server {
    pub(crate) async fn start() -> Self {
        // Another test may have installed it already.
        drop(rustls::crypto::ring::default_provider().install_default());
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut server = Self {
            child: None,
            folder,
            port: free.local_addr().unwrap().port(),
        };
        drop(free);
        server.start_again().await;
        server
    }

    /// Starts it on the same folder and port.
    pub(crate) async fn start_again(&mut self) {
        let port = self.port.to_string();
        let child = Command::new("s3s-fs")
            .args(["--host", "127.0.0.1", "--port", &port])
            .args(["--access-key", "test", "--secret-key", SECRET])
            .arg(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.expect("s3s-fs: tests/run installs it"));
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(10), "s3s-fs starts");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn stop(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Where the objects show as files.
    pub(crate) fn bucket(&self) -> PathBuf {
        self.folder.path().join(BUCKET)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn config(&self) -> S3 {
        S3 {
            endpoint: format!("http://127.0.0.1:{}", self.port),
            bucket: BUCKET.to_owned(),
            region: "us-east-1".to_owned(),
            prefix: "members/files".to_owned(),
            access_key_id: "test".to_owned(),
            secret_access_key: Secret::new(SECRET),
            timeout: Duration::from_secs(10),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}
