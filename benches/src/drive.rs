//! Closed-loop load: workers that each wait for one answer before they ask again.

use crate::Failure;
use crate::report::{Latencies, Outcome};
use clap::Args;
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::LocalSet;

/// How much load, and until when.
#[derive(Debug, Clone, Args)]
pub(crate) struct Load {
    /// Connections that ask at the same time
    #[arg(long, default_value_t = 64)]
    pub(crate) connections: usize,
    /// Stop after this many seconds
    #[arg(long, default_value_t = 10.0)]
    pub(crate) seconds: f64,
    /// Stop after this many requests, if that comes first
    #[arg(long)]
    pub(crate) count: Option<u64>,
}

/// One client with its own connection.
pub(crate) trait Worker: 'static {
    /// Asks once; `turn` counts the requests of all workers. Answers how many things it got done.
    fn turn(&mut self, turn: u64) -> impl Future<Output = Result<u64, Failure>>;
}

/// A worker stops for good after this many failures in a row.
const PATIENCE: u32 = 20;

/// Runs the workers until the load's limit and adds up what they did.
pub(crate) async fn drive<W: Worker>(workers: Vec<W>, load: &Load) -> Outcome {
    let budget = Rc::new(Cell::new(load.count.unwrap_or(u64::MAX)));
    let turns = Rc::new(Cell::new(0_u64));
    let start = Instant::now();
    let end = start + Duration::from_secs_f64(load.seconds);
    let local = LocalSet::new();
    let tasks: Vec<_> = workers
        .into_iter()
        .map(|worker| {
            let (budget, turns) = (Rc::clone(&budget), Rc::clone(&turns));
            local.spawn_local(work(worker, budget, turns, end))
        })
        .collect();
    local
        .run_until(async {
            let mut outcome = Outcome::default();
            for task in tasks {
                match task.await {
                    Ok(part) => add(&mut outcome, part),
                    Err(error) => {
                        outcome.errors += 1;
                        outcome.first_error.get_or_insert(error.to_string());
                    }
                }
            }
            outcome.seconds = start.elapsed().as_secs_f64();
            outcome
        })
        .await
}

async fn work<W: Worker>(
    mut worker: W,
    budget: Rc<Cell<u64>>,
    turns: Rc<Cell<u64>>,
    end: Instant,
) -> Outcome {
    let mut outcome = Outcome::default();
    let mut latencies = Latencies::default();
    let mut failures_in_a_row = 0;
    while Instant::now() < end && failures_in_a_row < PATIENCE {
        let Some(left) = budget.get().checked_sub(1) else {
            break;
        };
        budget.set(left);
        let turn = turns.replace(turns.get() + 1);
        let asked = Instant::now();
        match worker.turn(turn).await {
            Ok(count) => {
                latencies.add(asked.elapsed());
                outcome.count += count;
                failures_in_a_row = 0;
            }
            Err(error) => {
                outcome.errors += 1;
                outcome.first_error.get_or_insert(error.to_string());
                failures_in_a_row += 1;
            }
        }
    }
    outcome.latencies = latencies;
    outcome
}

fn add(total: &mut Outcome, part: Outcome) {
    total.count += part.count;
    total.errors += part.errors;
    total.latencies.merge(part.latencies);
    if total.first_error.is_none() {
        total.first_error = part.first_error;
    }
}
