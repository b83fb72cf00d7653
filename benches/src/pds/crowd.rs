//! A server with very many accounts, of which nearly none does anything.

use super::accounts::{self, Account};
use crate::Failure;
use crate::client::Client;
use crate::process;
use crate::report::{Latencies, Outcome, Watch, WatchOptions, rounded};
use crate::server::Server;
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Instant;
use url::Url;

/// Repositories asked for at once.
const PAGE: usize = 1_000;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// File with the accounts, as written by `seed`
    #[arg(long, default_value = "accounts.json")]
    accounts: PathBuf,
    /// Seconds to watch the idle server
    #[arg(long, default_value_t = 10.0)]
    idle_seconds: f64,
    /// Random accounts to read
    #[arg(long, default_value_t = 1_000)]
    reads: usize,
    /// The command that starts the server on the folder with the accounts, and prints one line when it is ready
    #[arg(trailing_var_arg = true, required = true)]
    command: Vec<String>,
}

/// Starts the server and reads its memory: idle, after reads of random accounts, after a list of all.
pub(super) async fn idle(options: Options, watching: &WatchOptions) -> Result<(), Failure> {
    let accounts = accounts::read(&options.accounts)?;
    let watch = Watch::start(watching)?;
    let server = Server::start(&options.command).await?;
    let url = server.ready.get("pds").and_then(Value::as_str);
    let url: Url = url.ok_or("the ready line names no PDS")?.parse()?;
    let mut client = Client::new(&url)?;
    let resident_mib = || process::resident_mib(server.pid).map(rounded);

    let ready_mib = resident_mib();
    let idle_cpu = process::idle_cpu_ms_per_second(server.pid, options.idle_seconds).await?;
    let idle_mib = resident_mib();
    let read = read_random(&mut client, &accounts, options.reads).await?;
    let read_mib = resident_mib();
    let listed = list_all(&mut client).await?;
    let listed_mib = resident_mib();
    if listed.count < accounts.len() as u64 {
        return Err(format!("{} of {} accounts are listed", listed.count, accounts.len()).into());
    }
    let extra = json!({
        "start_seconds": rounded(server.start_time.as_secs_f64()),
        "idle_cpu_ms_per_second": rounded(idle_cpu),
        "read_p99_ms": read.quantile_ms(0.99).map(rounded),
        "rss_ready_mib": ready_mib,
        "rss_idle_mib": idle_mib,
        "rss_read_mib": read_mib,
        "rss_listed_mib": listed_mib,
        "rss_most_mib": process::peak_mib(server.pid).map(rounded),
    });
    server.stop().await?;
    watch.finish("pds.accounts-idle", &listed, extra)
}

/// Describes random repositories and lists their records.
async fn read_random(
    client: &mut Client,
    accounts: &[Account],
    number: usize,
) -> Result<Latencies, Failure> {
    let mut latencies = Latencies::default();
    for _ in 0..number {
        let index = rand::random::<u64>() as usize % accounts.len().max(1);
        let did = &accounts.get(index).ok_or("there is no account")?.did;
        let describe = format!("/xrpc/com.atproto.repo.describeRepo?repo={did}");
        let collection = super::COLLECTION;
        let list = format!("/xrpc/com.atproto.repo.listRecords?repo={did}&collection={collection}");
        for path in [describe, list] {
            let asked = Instant::now();
            client.get(&path).await?.success()?;
            latencies.add(asked.elapsed());
        }
    }
    Ok(latencies)
}

/// `listRepos` to its end; counts the repositories, and times the pages.
async fn list_all(client: &mut Client) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::default();
    let start = Instant::now();
    let mut path = format!("/xrpc/com.atproto.sync.listRepos?limit={PAGE}");
    loop {
        let asked = Instant::now();
        let page = client.get(&path).await?.json()?;
        outcome.latencies.add(asked.elapsed());
        let repos = page.get("repos").and_then(Value::as_array);
        outcome.count += repos.ok_or("the answer has no repos")?.len() as u64;
        let Some(cursor) = page.get("cursor").and_then(Value::as_str) else {
            break;
        };
        path = format!("/xrpc/com.atproto.sync.listRepos?limit={PAGE}&cursor={cursor}");
    }
    outcome.seconds = start.elapsed().as_secs_f64();
    Ok(outcome)
}
