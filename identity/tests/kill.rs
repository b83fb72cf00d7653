//! A directory that is killed in the middle of writes keeps every operation it has acknowledged, and
//! nothing half.
//!
//! The test runs itself again as the process to kill: with a folder in the environment it is a
//! directory over that folder, and prints its address.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test reports by panicking, and the process to kill by printing"
)]

mod support;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use futures::future::join_all;
use rochdale_identity::{config, start};
use rochdale_service::Env;
use rochdale_service::clock::SystemClock;
use rochdale_service::outbound::{Outbound, Policy};
use rochdale_service::shutdown::Shutdown;
use rochdale_service::xrpc::LimitsConfig;
use support::Holder;

const FOLDER: &str = "ROCHDALE_TEST_KILL_FOLDER";

async fn serve(folder: &str) -> String {
    let raw = config::Raw {
        port: 0,
        data_dir: folder.into(),
        ..config::Raw::default()
    };
    let limits = LimitsConfig {
        enabled: false,
        ..LimitsConfig::default()
    };
    let policy = Policy {
        dev: true,
        user_agent: "rochdale-test".into(),
    };
    let env = Env {
        clock: SystemClock::shared(),
        shutdown: Shutdown::new(),
        outbound: Outbound::new(policy).unwrap(),
        dev: true,
    };
    let running = start(config::Config::validate(raw, limits).unwrap(), env)
        .await
        .unwrap();
    format!("http://{}", running.address)
}

/// Starts the process to kill; gives its address.
fn launch(folder: &str) -> (Child, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "acknowledged_operations_survive_a_kill",
            "--nocapture",
        ])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let url = lines
        .map(Result::unwrap)
        .find_map(|line| line.strip_prefix("URL ").map(str::to_owned));
    (child, url.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_operations_survive_a_kill() {
    if let Ok(folder) = std::env::var(FOLDER) {
        println!("\nURL {}", serve(&folder).await);
        return std::future::pending().await;
    }
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().to_str().unwrap();
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::new();
    let mut acknowledged = Vec::new();
    for round in 0..3_u64 {
        let (mut child, url) = launch(path);
        let writers = (0..8_u64).map(|writer| {
            let (http, url) = (http.clone(), url.clone());
            tokio::spawn(async move {
                let mut accepted = Vec::new();
                for n in 0.. {
                    let holder = Holder::new(round * 1_000_000 + writer * 10_000 + n);
                    let request = http.post(format!("{url}/{}", holder.did));
                    let answer = request.body(holder.genesis.to_json()).send().await;
                    // The connection breaks when the process is killed.
                    let Ok(answer) = answer else { break };
                    if answer.status() == 200 {
                        accepted.push(holder.did);
                    }
                }
                accepted
            })
        });
        let writers: Vec<_> = writers.collect();
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        for accepted in join_all(writers).await {
            acknowledged.extend(accepted.unwrap());
        }
    }
    assert!(acknowledged.len() >= 30, "{}", acknowledged.len());
    let url = serve(path).await;
    for did in &acknowledged {
        let answer = http
            .get(format!("{url}/{did}/log/audit"))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "{did}");
        let audit: serde_json::Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(audit.as_array().unwrap().len(), 1);
    }
    // Whatever else was kept is whole, numbered without a gap, and found under its DID.
    let (mut after, mut stored) = (0, 0);
    loop {
        let page = http
            .get(format!("{url}/export?after={after}"))
            .send()
            .await
            .unwrap();
        let page = page.text().await.unwrap();
        if page.is_empty() {
            break;
        }
        for line in page.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            after += 1;
            assert_eq!(line["seq"], after);
            stored += 1;
        }
    }
    assert!(stored >= acknowledged.len());
}
