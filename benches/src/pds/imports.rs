//! A large repository that is imported while others write: what they notice of it.

use super::accounts::{Account, record};
use super::{COLLECTION, Place};
use crate::Failure;
use crate::client::{Ask, Client};
use crate::directory::random_key;
use crate::report::{Latencies, Outcome, Watch, WatchOptions, note, rounded};
use bytes::Bytes;
use rochdale_protocol::crypto::Curve;
use rochdale_protocol::data::{Cid, Link, cbor, json};
use rochdale_protocol::repo::{Tree, UnsignedCommit, car};
use rochdale_protocol::syntax::Did;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::LocalSet;
use url::Url;

/// How long the others write before their writes count: the first one of each loads a repository.
const WARM_UP: Duration = Duration::from_secs(2);

/// What load to make.
#[derive(Debug)]
pub(super) struct Plan {
    /// Records of the imported repository.
    pub(super) records: u64,
    /// Others that write, each into a repository of its own.
    pub(super) members: usize,
    /// Writes a second, all of them together.
    pub(super) rate: f64,
    /// How long they write before the import.
    pub(super) seconds: f64,
}

/// What the others are writing beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    WarmUp,
    Before,
    Import,
    Over,
}

/// What the others saw.
#[derive(Debug)]
struct Seen {
    phase: Cell<Phase>,
    before: RefCell<Latencies>,
    during: RefCell<Latencies>,
    errors: Cell<u64>,
    first_error: RefCell<Option<String>>,
}

/// Runs the plan.
pub(super) async fn beside_writes(
    place: &Place,
    plan: &Plan,
    options: &WatchOptions,
) -> Result<(), Failure> {
    let mut client = Client::new(&place.url)?;
    let mover = Account::sign_up(&mut client).await?;
    let file = repository(&mover, plan.records)?;
    let file_bytes = file.len();
    note(&format!("a file of {} records made", plan.records));
    let seen = Rc::new(Seen::new());
    let local = LocalSet::new();
    let pause = Duration::from_secs_f64(plan.members as f64 / plan.rate);
    let mut writers = Vec::new();
    for index in 0..plan.members {
        let account = Account::sign_up(&mut client).await?;
        let writer = Client::new(&place.url)?;
        let offset = pause.mul_f64(index as f64 / plan.members as f64);
        let writes = write(writer, account, offset, pause, Rc::clone(&seen));
        writers.push(local.spawn_local(writes));
    }
    let work = async {
        tokio::time::sleep(WARM_UP).await;
        seen.phase.set(Phase::Before);
        tokio::time::sleep(Duration::from_secs_f64(plan.seconds)).await;
        options.reset_peak()?;
        let before_mib = options.resident_mib();
        let watch = Watch::start(options)?;
        seen.phase.set(Phase::Import);
        let taken = import(&place.url, mover.token(), file).await;
        seen.phase.set(Phase::Over);
        for writer in writers {
            writer.await?;
        }
        Ok::<_, Failure>((watch, before_mib, taken?))
    };
    let (watch, before_mib, taken) = local.run_until(work).await?;
    check(&mut client, &mover, plan.records).await?;
    let before = seen.before.take();
    let outcome = Outcome {
        count: plan.records,
        seconds: taken.as_secs_f64(),
        latencies: seen.during.take(),
        errors: seen.errors.get(),
        first_error: seen.first_error.take(),
    };
    let p99 = outcome.latencies.quantile_ms(0.99);
    let before_p99 = before.quantile_ms(0.99);
    let ratio = p99.zip(before_p99).map(|(during, before)| during / before);
    let extra = json!({
        "bytes": file_bytes,
        "members": plan.members,
        "rate": plan.rate,
        "writes_during": outcome.latencies.count(),
        "before_p50_ms": before.quantile_ms(0.5).map(rounded),
        "before_p99_ms": before_p99.map(rounded),
        "p99_ratio": ratio.map(rounded),
        "rss_before_mib": before_mib.map(rounded),
        "rss_most_mib": options.peak_mib().map(rounded),
    });
    watch.finish("pds.import", &outcome, extra)
}

/// The CAR file of a repository of `records` posts. Its key is nobody's: who imports a file signs
/// anew.
fn repository(of: &Account, records: u64) -> Result<Bytes, Failure> {
    let mut entries = Vec::new();
    let mut blocks = Vec::new();
    for number in 0..records {
        let text = record(number).to_string();
        let block = cbor::encode(&json::parse(text.as_bytes())?);
        let cid = Cid::dag_cbor(&block);
        let key = format!("{COLLECTION}/{}", of.record_key(number)?);
        entries.push((key, Link::Known(cid)));
        blocks.push((cid, block));
    }
    let mut tree = Tree::from_sorted(entries)?;
    let nodes = tree.commit_nodes();
    let did: Did = of.did.parse()?;
    let commit = UnsignedCommit {
        did,
        rev: of.record_key(records)?.parse()?,
        data: nodes.root,
    };
    let commit = commit.sign(&random_key(Curve::K256)?);
    let mut file = car::Writer::new(&[commit.cid()]);
    file.block(&commit.cid(), &commit.encode());
    for (cid, block) in &nodes.added {
        file.block(cid, block);
    }
    for (cid, block) in &blocks {
        file.block(cid, block);
    }
    Ok(file.into_bytes().into())
}

/// Uploads from a thread of its own, so that the others' writes do not wait for the generator.
async fn import(url: &Url, token: &str, file: Bytes) -> Result<Duration, Failure> {
    let ask = Ask::post("/xrpc/com.atproto.repo.importRepo", file)
        .of_type(car::MEDIA_TYPE)
        .bearer(token);
    let mut client = Client::new(url)?;
    let upload = move || -> Result<Duration, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let start = Instant::now();
        runtime.block_on(client.ask(ask))?.success()?;
        Ok(start.elapsed())
    };
    tokio::task::spawn_blocking(upload).await?
}

/// Whether the repository is there.
async fn check(client: &mut Client, mover: &Account, records: u64) -> Result<(), Failure> {
    let path = "/xrpc/com.atproto.server.checkAccountStatus";
    let status = client.ask(Ask::get(path).bearer(mover.token())).await?;
    let status = status.json()?;
    let there = status.get("indexedRecords").and_then(Value::as_u64);
    if there == Some(records) {
        return Ok(());
    }
    Err(format!("{records} records were imported and {there:?} are there").into())
}

/// Writes at a steady pace until the import is over.
async fn write(
    mut client: Client,
    account: Account,
    offset: Duration,
    pause: Duration,
    seen: Rc<Seen>,
) {
    let mut due = Instant::now() + offset;
    let mut number = 0;
    while seen.phase.get() != Phase::Over {
        // A write that had to wait for the one before has waited since it was due.
        let is_late = Instant::now() > due;
        tokio::time::sleep_until(due.into()).await;
        let phase = seen.phase.get();
        let asked = if is_late { due } else { Instant::now() };
        due += pause;
        number += 1;
        let body = json!({
            "repo": account.did,
            "collection": COLLECTION,
            "record": record(number),
        });
        let path = "/xrpc/com.atproto.repo.createRecord";
        let answer = client.post(path, Some(account.token()), body.to_string());
        match answer.await.and_then(|answer| answer.success()) {
            Ok(_) => seen.takes(phase, asked.elapsed()),
            Err(error) => seen.fails(&error),
        }
    }
}

impl Seen {
    fn new() -> Self {
        Self {
            phase: Cell::new(Phase::WarmUp),
            before: RefCell::default(),
            during: RefCell::default(),
            errors: Cell::new(0),
            first_error: RefCell::default(),
        }
    }

    /// A write that began in `phase` has ended. What is under way when the import begins or ends
    /// is counted to it.
    fn takes(&self, began: Phase, latency: Duration) {
        match (began, self.phase.get()) {
            (_, Phase::Import) | (Phase::Import, _) => self.during.borrow_mut().add(latency),
            (Phase::Before, _) => self.before.borrow_mut().add(latency),
            (Phase::WarmUp | Phase::Over, _) => {}
        }
    }

    fn fails(&self, error: &Failure) {
        self.errors.set(self.errors.get() + 1);
        let mut first = self.first_error.borrow_mut();
        first.get_or_insert_with(|| error.to_string());
    }
}
