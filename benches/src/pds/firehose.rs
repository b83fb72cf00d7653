//! The stream of a PDS under writes: how long after its acknowledgement a commit's event arrives, and how
//! many events the subscribers get together.

use super::accounts::{self, Account, record};
use super::{COLLECTION, Place};
use crate::Failure;
use crate::client::Client;
use crate::frames::{Subscription, revision};
use crate::report::{Latencies, Outcome, Watch, WatchOptions, rounded};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::LocalSet;

/// How long late events are waited for.
const GRACE: Duration = Duration::from_secs(5);

/// What load to make.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) subscribers: usize,
    pub(super) connections: usize,
    pub(super) rate: f64,
    pub(super) seconds: f64,
}

/// What writers and subscribers saw.
#[derive(Debug, Default)]
struct Seen {
    /// Revision to when its write was sent and acknowledged.
    acknowledged: HashMap<String, (Instant, Instant)>,
    /// Arrivals of revisions, at any subscriber.
    arrivals: Vec<(String, Instant)>,
    errors: u64,
    first_error: Option<String>,
}

impl Seen {
    fn fails(&mut self, error: &Failure) {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| error.to_string());
    }
}

/// Runs the plan.
pub(super) async fn follow(
    place: &Place,
    plan: &Plan,
    options: &WatchOptions,
) -> Result<(), Failure> {
    let accounts = accounts::load(place).await?;
    let seen = Rc::new(RefCell::new(Seen::default()));
    let local = LocalSet::new();
    for _ in 0..plan.subscribers {
        let path = "/xrpc/com.atproto.sync.subscribeRepos";
        let subscription = Subscription::open(&place.url, path).await?;
        local.spawn_local(subscribe(subscription, Rc::clone(&seen)));
    }
    let watch = Watch::start(options)?;
    let start = Instant::now();
    let end = start + Duration::from_secs_f64(plan.seconds);
    let pause = Duration::from_secs_f64(plan.connections as f64 / plan.rate);
    let mut writers = Vec::new();
    for (index, account) in accounts.iter().cycle().take(plan.connections).enumerate() {
        let client = Client::new(&place.url)?;
        let offset = pause.mul_f64(index as f64 / plan.connections as f64);
        let pace = Pace {
            first: start + offset,
            pause,
            end,
        };
        writers.push(local.spawn_local(write(client, account.clone(), pace, Rc::clone(&seen))));
    }
    local
        .run_until(async {
            for writer in writers {
                writer.await?;
            }
            wait_for_all(&seen, plan.subscribers).await;
            Ok::<(), Failure>(())
        })
        .await?;
    let (outcome, extra) = summary(&seen.borrow(), plan, start);
    watch.finish("pds.firehose", &outcome, extra)
}

/// When a writer writes.
struct Pace {
    first: Instant,
    pause: Duration,
    end: Instant,
}

async fn write(mut client: Client, account: Account, pace: Pace, seen: Rc<RefCell<Seen>>) {
    let mut due = pace.first;
    let mut number = 0;
    while due < pace.end {
        tokio::time::sleep_until(due.into()).await;
        // An open loop would pile up behind a slow server: a write that is late moves the next ones.
        due = Instant::now().max(due) + pace.pause;
        number += 1;
        let body = json!({
            "repo": account.did,
            "collection": COLLECTION,
            "record": record(number),
        });
        let sent = Instant::now();
        match create(&mut client, &account, body.to_string()).await {
            Ok(rev) => {
                let times = (sent, Instant::now());
                seen.borrow_mut().acknowledged.insert(rev, times);
            }
            Err(error) => seen.borrow_mut().fails(&error),
        }
    }
}

async fn create(client: &mut Client, account: &Account, body: String) -> Result<String, Failure> {
    let path = "/xrpc/com.atproto.repo.createRecord";
    let answer = client
        .post(path, Some(account.token()), body)
        .await?
        .json()?;
    let rev = answer.pointer("/commit/rev").and_then(Value::as_str);
    Ok(rev.ok_or("the answer has no commit")?.to_owned())
}

async fn subscribe(mut subscription: Subscription, seen: Rc<RefCell<Seen>>) {
    loop {
        let read = subscription
            .read(|frame| {
                if let Some(rev) = revision(frame) {
                    let arrival = (rev.to_owned(), Instant::now());
                    seen.borrow_mut().arrivals.push(arrival);
                }
            })
            .await;
        if let Err(error) = read {
            return seen.borrow_mut().fails(&error);
        }
    }
}

async fn wait_for_all(seen: &RefCell<Seen>, subscribers: usize) {
    let end = Instant::now() + GRACE;
    let missing = || {
        let seen = seen.borrow();
        seen.arrivals.len() < seen.acknowledged.len() * subscribers
    };
    while missing() && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn summary(seen: &Seen, plan: &Plan, start: Instant) -> (Outcome, Value) {
    let mut from_acknowledgement = Latencies::default();
    let mut before_acknowledgement = 0_u64;
    let mut delivered = 0_u64;
    let mut last = start;
    for (rev, arrival) in &seen.arrivals {
        let Some((_, acknowledged)) = seen.acknowledged.get(rev) else {
            continue;
        };
        delivered += 1;
        last = last.max(*arrival);
        before_acknowledgement += u64::from(arrival < acknowledged);
        from_acknowledgement.add(arrival.saturating_duration_since(*acknowledged));
    }
    let wanted = (seen.acknowledged.len() * plan.subscribers) as u64;
    let seconds = last.duration_since(start).as_secs_f64();
    let outcome = Outcome {
        count: delivered,
        seconds,
        latencies: from_acknowledgement,
        errors: seen.errors,
        first_error: seen.first_error.clone(),
    };
    let extra = json!({
        "subscribers": plan.subscribers,
        "writes": seen.acknowledged.len(),
        "writes_per_second": rounded(seen.acknowledged.len() as f64 / seconds),
        "missing": wanted.saturating_sub(delivered),
        "before_acknowledgement": before_acknowledgement,
    });
    (outcome, extra)
}
