//! Writing records: filling accounts, single writes under load, the cost of a write in a large repository.

use super::accounts::{self, Account, record};
use super::{COLLECTION, Place};
use crate::Failure;
use crate::client::Client;
use crate::drive::{Load, Worker, drive};
use crate::report::{Watch, WatchOptions, note};
use serde_json::json;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

/// Most operations in one commit.
const BATCH: u64 = 200;
/// How long a worker waits for an account that another one has.
const PAUSE: Duration = Duration::from_millis(1);
/// Time enough for a bench that ends by its count.
const LONG_SECONDS: f64 = 7_200.0;

/// Fills accounts from a common queue; an account is with one worker at a time.
struct Fill {
    client: Client,
    waiting: Rc<RefCell<VecDeque<Account>>>,
    filled: Rc<RefCell<Vec<Account>>>,
    records: u64,
}

impl Worker for Fill {
    /// One commit into the account whose turn it is; waits while others have all that are not full.
    async fn turn(&mut self, _turn: u64) -> Result<u64, Failure> {
        let mut account = loop {
            let next = self.waiting.borrow_mut().pop_front();
            match next {
                Some(account) => break account,
                None => tokio::time::sleep(PAUSE).await,
            }
        };
        let count = BATCH.min(self.records - account.records);
        let done = account.fill(&mut self.client, count).await;
        if account.records < self.records {
            self.waiting.borrow_mut().push_back(account);
        } else {
            self.filled.borrow_mut().push(account);
        }
        done.map(|()| count)
    }
}

/// Makes accounts, fills them and writes the accounts file.
pub(super) async fn seed(
    place: &Place,
    number: usize,
    records: u64,
    connections: usize,
    options: &WatchOptions,
) -> Result<(), Failure> {
    let load = Load {
        connections: connections.min(number),
        seconds: LONG_SECONDS,
        count: Some(number as u64),
    };
    let (accounts, made) = accounts::sign_up_under(place, &load).await?;
    if let Some(error) = made.first_error {
        return Err(format!("{} accounts were not made: {error}", made.errors).into());
    }
    note(&format!("{number} accounts made"));
    let watch = Watch::start(options)?;
    let (filled, outcome) = fill(place, accounts, records, connections.min(number)).await?;
    accounts::save(&place.accounts, &filled)?;
    let extra = json!({ "accounts": number, "records": records, "connections": connections });
    watch.finish("pds.seed", &outcome, extra)
}

async fn fill(
    place: &Place,
    accounts: Vec<Account>,
    records: u64,
    connections: usize,
) -> Result<(Vec<Account>, crate::report::Outcome), Failure> {
    let commits = |account: &Account| records.saturating_sub(account.records).div_ceil(BATCH);
    let load = Load {
        connections,
        seconds: LONG_SECONDS,
        count: Some(accounts.iter().map(commits).sum()),
    };
    let (full, waiting): (Vec<_>, Vec<_>) = accounts
        .into_iter()
        .partition(|account| account.records >= records);
    let waiting = Rc::new(RefCell::new(VecDeque::from(waiting)));
    let filled = Rc::new(RefCell::new(full));
    let mut workers = Vec::new();
    for _ in 0..connections {
        workers.push(Fill {
            client: Client::new(&place.url)?,
            waiting: Rc::clone(&waiting),
            filled: Rc::clone(&filled),
            records,
        });
    }
    let outcome = drive(workers, &load).await;
    let mut accounts = filled.take();
    accounts.extend(waiting.take());
    if outcome.errors > 0 {
        let error = outcome.first_error.as_deref().unwrap_or_default();
        note(&format!(
            "{} commits failed, first: {error}",
            outcome.errors
        ));
    }
    Ok((accounts, outcome))
}

struct Create {
    client: Client,
    account: Account,
}

impl Worker for Create {
    async fn turn(&mut self, turn: u64) -> Result<u64, Failure> {
        let body = json!({
            "repo": self.account.did,
            "collection": COLLECTION,
            "record": record(turn),
        });
        let path = "/xrpc/com.atproto.repo.createRecord";
        let token = Some(self.account.token());
        let answer = self.client.post(path, token, body.to_string()).await?;
        answer.success().map(|_| 1)
    }
}

fn creators(
    place: &Place,
    accounts: &[Account],
    connections: usize,
) -> Result<Vec<Create>, Failure> {
    let several = accounts.iter().cycle().take(connections);
    several
        .map(|account| {
            Ok(Create {
                client: Client::new(&place.url)?,
                account: account.clone(),
            })
        })
        .collect()
}

/// `createRecord` under load.
pub(super) async fn create_record(
    place: &Place,
    load: &Load,
    options: &WatchOptions,
) -> Result<(), Failure> {
    let accounts = accounts::load(place).await?;
    let workers = creators(place, &accounts, load.connections)?;
    let watch = Watch::start(options)?;
    let outcome = drive(workers, load).await;
    let extra = json!({ "connections": load.connections, "accounts": accounts.len() });
    watch.finish("pds.create-record", &outcome, extra)
}

/// The cost of a write as one repository grows.
pub(super) async fn growth(
    place: &Place,
    sizes: &[u64],
    writes: u64,
    connections: usize,
    options: &WatchOptions,
) -> Result<(), Failure> {
    let mut accounts = vec![Account::sign_up(&mut Client::new(&place.url)?).await?];
    for &size in sizes {
        let (grown, _) = fill(place, accounts, size, 1).await?;
        accounts = grown;
        note(&format!("the repository has {size} records"));
        let load = Load {
            connections,
            seconds: LONG_SECONDS,
            count: Some(writes),
        };
        let workers = creators(place, &accounts, connections)?;
        let watch = Watch::start(options)?;
        let outcome = drive(workers, &load).await;
        let extra = json!({ "connections": connections, "records": size });
        watch.finish("pds.repo-growth", &outcome, extra)?;
    }
    Ok(())
}
