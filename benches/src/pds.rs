//! Benches of a PDS.

mod accounts;
mod blobs;
mod crowd;
mod exports;
mod firehose;
mod imports;
mod operations;
mod reads;
mod writes;

use crate::Failure;
use crate::drive::Load;
use crate::report::WatchOptions;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use url::Url;

/// The collection that all records are in.
const COLLECTION: &str = "app.bsky.feed.post";

/// Which PDS, and which accounts at it.
#[derive(Debug, Clone, Args)]
pub(crate) struct Place {
    /// Origin of the PDS
    #[arg(long)]
    url: Url,
    /// File with the accounts, as written by `seed`
    #[arg(long, default_value = "accounts.json")]
    accounts: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Makes accounts and fills them with records, 200 a commit; writes the accounts file
    Seed {
        #[command(flatten)]
        place: Place,
        /// How many accounts
        #[arg(long, default_value_t = 64)]
        number: usize,
        /// Records in each
        #[arg(long, default_value_t = 10_000)]
        records: u64,
        /// Accounts filled at the same time
        #[arg(long, default_value_t = 8)]
        connections: usize,
    },
    /// `createRecord`, each connection in a repository of its own as far as there are enough
    CreateRecord {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        load: Load,
    },
    /// `repo.getRecord` of random records
    GetRecord {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        load: Load,
    },
    /// `listRecords` of 100, from random places
    ListRecords {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        load: Load,
    },
    /// `getRepo`, one after the other
    GetRepo {
        #[command(flatten)]
        place: Place,
        /// How many exports
        #[arg(long, default_value_t = 20)]
        number: usize,
    },
    /// One large blob up and down; the server's `pds.blobs.limit_bytes` must allow it
    Blob {
        #[command(flatten)]
        place: Place,
        /// Its size in bytes
        #[arg(long, default_value_t = 1 << 30)]
        size: u64,
    },
    /// `createAccount`
    CreateAccount {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        load: Load,
    },
    /// Writes at a rate and times each from its acknowledgement to its event, at every subscriber
    Firehose {
        #[command(flatten)]
        place: Place,
        /// Sockets that follow the stream
        #[arg(long, default_value_t = 1)]
        subscribers: usize,
        /// Connections that write
        #[arg(long, default_value_t = 8)]
        connections: usize,
        /// Writes a second, all connections together
        #[arg(long, default_value_t = 500.0)]
        rate: f64,
        /// For how long
        #[arg(long, default_value_t = 10.0)]
        seconds: f64,
    },
    /// Imports a repository while others write at a rate, and compares their writes before and meanwhile
    Import {
        #[command(flatten)]
        place: Place,
        /// Records of the repository
        #[arg(long, default_value_t = 100_000)]
        records: u64,
        /// Others that write
        #[arg(long, default_value_t = 8)]
        members: usize,
        /// Their writes a second, all together
        #[arg(long, default_value_t = 200.0)]
        rate: f64,
        /// Seconds of writes before the import
        #[arg(long, default_value_t = 10.0)]
        seconds: f64,
    },
    /// Every account operation by itself, once for each of some new accounts; a line for each
    AccountOperations {
        #[command(flatten)]
        place: Place,
        /// How many accounts
        #[arg(long, default_value_t = operations::MOST_ACCOUNTS,
              value_parser = clap::value_parser!(i64).range(1..=operations::MOST_ACCOUNTS))]
        number: i64,
        /// Password of user `admin`; without it operators' methods are left out
        #[arg(long)]
        admin_password: Option<String>,
    },
    /// Memory of a server with very many accounts, which it starts itself: idle, and after reads of them
    AccountsIdle(crowd::Options),
    /// Grows one repository through the sizes and measures a write at each
    RepoGrowth {
        #[command(flatten)]
        place: Place,
        /// Sizes in records, ascending
        #[arg(long, value_delimiter = ',', default_values_t = [1_000, 100_000, 1_000_000])]
        sizes: Vec<u64>,
        /// Writes measured at each size
        #[arg(long, default_value_t = 1_000)]
        writes: u64,
        /// Connections that write
        #[arg(long, default_value_t = 1)]
        connections: usize,
    },
}

/// Runs one bench.
pub(crate) async fn run(bench: Bench, watch: &WatchOptions) -> Result<(), Failure> {
    match bench {
        Bench::Seed {
            place,
            number,
            records,
            connections,
        } => writes::seed(&place, number, records, connections, watch).await,
        Bench::CreateRecord { place, load } => writes::create_record(&place, &load, watch).await,
        Bench::GetRecord { place, load } => reads::get_record(&place, &load, watch).await,
        Bench::ListRecords { place, load } => reads::list_records(&place, &load, watch).await,
        Bench::GetRepo { place, number } => exports::get_repo(&place, number, watch).await,
        Bench::Blob { place, size } => blobs::round_trip(&place, size, watch).await,
        Bench::CreateAccount { place, load } => accounts::create(&place, &load, watch).await,
        Bench::Firehose {
            place,
            subscribers,
            connections,
            rate,
            seconds,
        } => {
            let plan = firehose::Plan {
                subscribers,
                connections,
                rate,
                seconds,
            };
            firehose::follow(&place, &plan, watch).await
        }
        Bench::Import {
            place,
            records,
            members,
            rate,
            seconds,
        } => {
            let plan = imports::Plan {
                records,
                members,
                rate,
                seconds,
            };
            imports::beside_writes(&place, &plan, watch).await
        }
        Bench::AccountOperations {
            place,
            number,
            admin_password,
        } => {
            let number = usize::try_from(number)?;
            operations::each_for_itself(&place, number, admin_password.as_deref(), watch).await
        }
        Bench::AccountsIdle(options) => crowd::idle(options, watch).await,
        Bench::RepoGrowth {
            place,
            sizes,
            writes,
            connections,
        } => writes::growth(&place, &sizes, writes, connections, watch).await,
    }
}
