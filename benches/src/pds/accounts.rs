//! Accounts at the PDS, and the file that carries them from one bench to the next.

use super::{COLLECTION, Place};
use crate::Failure;
use crate::client::Client;
use crate::drive::{Load, Worker, drive};
use crate::report::{Outcome, Watch, WatchOptions};
use rochdale_protocol::syntax::Tid;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

/// Clock identifier of the record keys that are made up here.
const CLOCK_ID: u16 = 7;

/// An account with a run of records whose keys can be computed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) did: String,
    handle: String,
    password: String,
    token: String,
    /// Time in the key of the first record; the next ones follow at one microsecond each.
    first_record_us: u64,
    pub(crate) records: u64,
}

impl Account {
    /// Signs a new account up.
    pub(crate) async fn sign_up(client: &mut Client) -> Result<Self, Failure> {
        let name = format!("b{:011x}", rand::random::<u64>() >> 20);
        let handle = format!("{name}.test");
        let body = json!({
            "handle": handle,
            "email": format!("{name}@bench.example"),
            "password": name,
        });
        let path = "/xrpc/com.atproto.server.createAccount";
        let answer = client.post(path, None, body.to_string()).await?.json()?;
        Ok(Self {
            did: text(&answer, "did")?,
            handle,
            password: name,
            token: text(&answer, "accessJwt")?,
            first_record_us: crate::clock::now_us(),
            records: 0,
        })
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// The key of the record with this number.
    pub(crate) fn record_key(&self, number: u64) -> Result<String, Failure> {
        let tid = Tid::new(self.first_record_us + number, CLOCK_ID).ok_or("the time is over")?;
        Ok(tid.to_string())
    }

    /// Writes the next `count` records (200 at most) in one commit.
    pub(crate) async fn fill(&mut self, client: &mut Client, count: u64) -> Result<(), Failure> {
        let mut writes = Vec::new();
        for number in self.records..self.records + count {
            writes.push(json!({
                "$type": "com.atproto.repo.applyWrites#create",
                "collection": COLLECTION,
                "rkey": self.record_key(number)?,
                "value": record(number),
            }));
        }
        let body = json!({ "repo": self.did, "writes": writes }).to_string();
        let path = "/xrpc/com.atproto.repo.applyWrites";
        client
            .post(path, Some(&self.token), body)
            .await?
            .success()?;
        self.records += count;
        Ok(())
    }

    async fn sign_in(&mut self, client: &mut Client) -> Result<(), Failure> {
        let body = json!({ "identifier": self.handle, "password": self.password });
        let path = "/xrpc/com.atproto.server.createSession";
        let answer = client.post(path, None, body.to_string()).await?.json()?;
        self.token = text(&answer, "accessJwt")?;
        Ok(())
    }
}

/// A small post, no two alike.
pub(crate) fn record(number: u64) -> Value {
    json!({
        "$type": COLLECTION,
        "text": format!("Entry number {number} of a member who likes to keep a diary."),
        "createdAt": "2026-01-02T03:04:05.678Z",
    })
}

/// Reads the accounts file.
pub(crate) fn read(file: &Path) -> Result<Vec<Account>, Failure> {
    Ok(serde_json::from_slice(&std::fs::read(file)?)?)
}

/// Reads the accounts file; signs in again, since tokens do not live long.
pub(crate) async fn load(place: &Place) -> Result<Vec<Account>, Failure> {
    let mut accounts = read(&place.accounts)?;
    let mut client = Client::new(&place.url)?;
    for account in &mut accounts {
        account.sign_in(&mut client).await?;
    }
    Ok(accounts)
}

pub(crate) fn save(file: &Path, accounts: &[Account]) -> Result<(), Failure> {
    Ok(std::fs::write(file, serde_json::to_vec_pretty(accounts)?)?)
}

/// Signs accounts up.
struct SignUp {
    client: Client,
    made: Rc<RefCell<Vec<Account>>>,
}

impl Worker for SignUp {
    async fn turn(&mut self, _turn: u64) -> Result<u64, Failure> {
        let account = Account::sign_up(&mut self.client).await?;
        self.made.borrow_mut().push(account);
        Ok(1)
    }
}

/// Signs accounts up until the load's limit.
pub(crate) async fn sign_up_under(
    place: &Place,
    load: &Load,
) -> Result<(Vec<Account>, Outcome), Failure> {
    let made = Rc::default();
    let mut workers = Vec::new();
    for _ in 0..load.connections {
        workers.push(SignUp {
            client: Client::new(&place.url)?,
            made: Rc::clone(&made),
        });
    }
    let outcome = drive(workers, load).await;
    Ok((made.take(), outcome))
}

/// `createAccount` under load.
pub(crate) async fn create(
    place: &Place,
    load: &Load,
    options: &WatchOptions,
) -> Result<(), Failure> {
    let watch = Watch::start(options)?;
    let (_, outcome) = sign_up_under(place, load).await?;
    let extra = json!({ "connections": load.connections });
    watch.finish("pds.create-account", &outcome, extra)
}

fn text(answer: &Value, key: &str) -> Result<String, Failure> {
    let value = answer.get(key).and_then(Value::as_str);
    Ok(value
        .ok_or_else(|| format!("the answer has no {key}"))?
        .to_owned())
}
