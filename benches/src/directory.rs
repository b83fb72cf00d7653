//! Benches of a did:plc directory.

mod operations;

pub(crate) use operations::random_key;

use crate::Failure;
use crate::client::Client;
use crate::drive::{Load, Worker, drive};
use crate::report::{Latencies, Outcome, Watch, WatchOptions, note};
use clap::Subcommand;
use operations::Genesis;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;
use url::Url;

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Registers DIDs, signed before the clock starts; writes the DIDs file
    Create {
        /// Origin of the directory
        #[arg(long)]
        url: Url,
        /// Where the DIDs are kept for `resolve`
        #[arg(long, default_value = "dids.json")]
        dids: PathBuf,
        /// How many
        #[arg(long, default_value_t = 20_000)]
        number: usize,
        /// Connections that ask at the same time
        #[arg(long, default_value_t = 64)]
        connections: usize,
    },
    /// Resolves random ones of the DIDs in the file
    Resolve {
        /// Origin of the directory
        #[arg(long)]
        url: Url,
        /// The DIDs, as written by `create`
        #[arg(long, default_value = "dids.json")]
        dids: PathBuf,
        #[command(flatten)]
        load: Load,
    },
    /// Reads the whole export, a thousand operations a page
    Export {
        /// Origin of the directory
        #[arg(long)]
        url: Url,
        /// Page by time, as the older directories do, and not by sequence
        #[arg(long)]
        by_time: bool,
    },
}

/// Runs one bench.
pub(crate) async fn run(bench: Bench, watch: &WatchOptions) -> Result<(), Failure> {
    match bench {
        Bench::Create {
            url,
            dids,
            number,
            connections,
        } => create(&url, &dids, number, connections, watch).await,
        Bench::Resolve { url, dids, load } => resolve(&url, &dids, &load, watch).await,
        Bench::Export { url, by_time } => export(&url, by_time, watch).await,
    }
}

struct Registrar {
    client: Client,
    waiting: Rc<RefCell<Vec<Genesis>>>,
}

impl Worker for Registrar {
    async fn turn(&mut self, _turn: u64) -> Result<u64, Failure> {
        let next = self.waiting.borrow_mut().pop();
        let Some(genesis) = next else {
            return Ok(0);
        };
        let path = format!("/{}", genesis.did);
        self.client
            .post(&path, None, genesis.json)
            .await?
            .success()?;
        Ok(1)
    }
}

async fn create(
    url: &Url,
    file: &PathBuf,
    number: usize,
    connections: usize,
    options: &WatchOptions,
) -> Result<(), Failure> {
    let waiting: Vec<Genesis> = (0..number).map(Genesis::new).collect::<Result<_, _>>()?;
    let dids: Vec<&str> = waiting.iter().map(|genesis| genesis.did.as_str()).collect();
    std::fs::write(file, serde_json::to_vec(&dids)?)?;
    note(&format!("{number} operations signed"));
    let waiting = Rc::new(RefCell::new(waiting));
    let mut workers = Vec::new();
    for _ in 0..connections {
        workers.push(Registrar {
            client: Client::new(url)?,
            waiting: Rc::clone(&waiting),
        });
    }
    let load = Load {
        connections,
        seconds: 3_600.0,
        count: Some(number as u64),
    };
    let watch = Watch::start(options)?;
    let outcome = drive(workers, &load).await;
    let extra = json!({ "connections": connections });
    watch.finish("directory.create", &outcome, extra)
}

struct Resolver {
    client: Client,
    dids: Rc<[String]>,
}

impl Worker for Resolver {
    async fn turn(&mut self, _turn: u64) -> Result<u64, Failure> {
        let index = rand::random::<u64>() as usize % self.dids.len().max(1);
        let did = self.dids.get(index).ok_or("the file has no DID")?;
        let path = format!("/{did}");
        self.client.get(&path).await?.success().map(|_| 1)
    }
}

async fn resolve(
    url: &Url,
    file: &PathBuf,
    load: &Load,
    options: &WatchOptions,
) -> Result<(), Failure> {
    let dids: Vec<String> = serde_json::from_slice(&std::fs::read(file)?)?;
    let dids: Rc<[String]> = dids.into();
    let mut workers = Vec::new();
    for _ in 0..load.connections {
        workers.push(Resolver {
            client: Client::new(url)?,
            dids: Rc::clone(&dids),
        });
    }
    let watch = Watch::start(options)?;
    let outcome = drive(workers, load).await;
    let extra = json!({ "connections": load.connections, "dids": dids.len() });
    watch.finish("directory.resolve", &outcome, extra)
}

async fn export(url: &Url, by_time: bool, options: &WatchOptions) -> Result<(), Failure> {
    let mut client = Client::new(url)?;
    let watch = Watch::start(options)?;
    let mut outcome = Outcome::default();
    let mut latencies = Latencies::default();
    let mut after = if by_time {
        String::new()
    } else {
        "&after=0".to_owned()
    };
    let mut bytes = 0;
    let start = Instant::now();
    loop {
        let asked = Instant::now();
        let path = format!("/export?count=1000{after}");
        let page = client.get(&path).await?.success()?;
        latencies.add(asked.elapsed());
        let Some(last) = page.split(|&byte| byte == b'\n').next_back() else {
            break;
        };
        if last.is_empty() {
            break;
        }
        outcome.count += page.split(|&byte| byte == b'\n').count() as u64;
        bytes += page.len() as u64;
        let entry: Value = serde_json::from_slice(last)?;
        let key = if by_time { "createdAt" } else { "seq" };
        let value = entry
            .get(key)
            .ok_or("the entry has no place in the export")?;
        after = format!("&after={}", value.to_string().trim_matches('"'));
    }
    outcome.seconds = start.elapsed().as_secs_f64();
    outcome.latencies = latencies;
    watch.finish("directory.export", &outcome, json!({ "bytes": bytes }))
}
