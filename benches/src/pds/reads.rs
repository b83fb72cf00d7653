//! Reading records.

use super::accounts::{self, Account};
use super::{COLLECTION, Place};
use crate::Failure;
use crate::client::Client;
use crate::drive::{Load, Worker, drive};
use crate::report::{Watch, WatchOptions};
use serde_json::json;
use std::rc::Rc;

/// Which call a reader makes.
#[derive(Debug, Clone, Copy)]
enum Call {
    Get,
    List,
}

struct Reader {
    client: Client,
    accounts: Rc<[Account]>,
    call: Call,
}

impl Reader {
    /// The path of a call for a random record of a random account.
    fn path(&self) -> Result<String, Failure> {
        let random = rand::random::<u64>();
        let index = random as usize % self.accounts.len().max(1);
        let account = self.accounts.get(index).ok_or("there is no account")?;
        let key = account.record_key((random >> 32) % account.records.max(1))?;
        let did = &account.did;
        Ok(match self.call {
            Call::Get => format!(
                "/xrpc/com.atproto.repo.getRecord?repo={did}&collection={COLLECTION}&rkey={key}"
            ),
            Call::List => format!(
                "/xrpc/com.atproto.repo.listRecords?repo={did}&collection={COLLECTION}&limit=100&cursor={key}"
            ),
        })
    }
}

impl Worker for Reader {
    async fn turn(&mut self, _turn: u64) -> Result<u64, Failure> {
        let path = self.path()?;
        self.client.get(&path).await?.success().map(|_| 1)
    }
}

/// `repo.getRecord` under load.
pub(super) async fn get_record(
    place: &Place,
    load: &Load,
    options: &WatchOptions,
) -> Result<(), Failure> {
    read(place, load, options, Call::Get, "pds.get-record").await
}

/// `listRecords` under load.
pub(super) async fn list_records(
    place: &Place,
    load: &Load,
    options: &WatchOptions,
) -> Result<(), Failure> {
    read(place, load, options, Call::List, "pds.list-records").await
}

async fn read(
    place: &Place,
    load: &Load,
    options: &WatchOptions,
    call: Call,
    name: &str,
) -> Result<(), Failure> {
    let accounts: Rc<[Account]> = accounts::load(place).await?.into();
    let mut workers = Vec::new();
    for _ in 0..load.connections {
        workers.push(Reader {
            client: Client::new(&place.url)?,
            accounts: Rc::clone(&accounts),
            call,
        });
    }
    let watch = Watch::start(options)?;
    let outcome = drive(workers, load).await;
    let extra = json!({ "connections": load.connections, "accounts": accounts.len() });
    watch.finish(name, &outcome, extra)
}
