//! Load generator: speaks HTTP and WebSocket to any PDS, DID directory or relay and prints one JSON
//! line a result, so that the same load can be put on this project's services and on their peers.
//!
//! Knows nothing of how the services are built. `README.md` beside it tells how to run it.

mod client;
mod clock;
mod directory;
mod drive;
mod frames;
mod pds;
mod process;
mod relay;
mod report;
mod server;
mod start;
mod syncs;

use clap::{Parser, Subcommand};

/// Why a bench could not be run.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, Parser)]
#[command(about = "Load generator for PDSs, DID directories and relays", version)]
struct Arguments {
    #[command(flatten)]
    watch: report::WatchOptions,
    #[command(subcommand)]
    service: Service,
}

#[derive(Debug, Subcommand)]
enum Service {
    /// Benches of a PDS
    #[command(subcommand)]
    Pds(pds::Bench),
    /// Benches of a did:plc directory
    #[command(subcommand)]
    Directory(directory::Bench),
    /// A fake host whose stream a relay consumes, measured at the relay's subscribers
    Relay(relay::Options),
    /// Start, idle cost and stop of a whole stack
    Start(start::Options),
}

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    // One thread: the generator must take as little as it can from the machine it measures.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match arguments.service {
            Service::Pds(bench) => pds::run(bench, &arguments.watch).await,
            Service::Directory(bench) => directory::run(bench, &arguments.watch).await,
            Service::Relay(options) => relay::run(options, &arguments.watch).await,
            Service::Start(options) => start::run(options, &arguments.watch).await,
        }
    })
}
