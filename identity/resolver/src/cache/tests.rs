use super::*;
use rochdale_service::clock::ManualClock;
use std::time::Duration;
use tokio::sync::Notify;

const START_US: u64 = 1_700_000_000_000_000;
const POLICY: Policy = Policy {
    fresh_us: 1000,
    stale_us: 10_000,
    negative_us: 100,
};

fn answers() -> (Answers<&'static str, u32>, ManualClock) {
    let clock = ManualClock::at_us(START_US);
    (Answers::new(1 << 20, POLICY, clock.shared(), |_| 8), clock)
}

fn down() -> ResolveError {
    ResolveError::Unreachable {
        name: "a".into(),
        cause: "planted".into(),
    }
}

fn gone() -> ResolveError {
    ResolveError::DidNotFound("a".into())
}

fn wait(clock: &ManualClock, us: u64) {
    clock.advance(Duration::from_micros(us));
}

fn unasked() -> impl Future<Output = Result<u32, ResolveError>> {
    std::future::poll_fn(|_| panic!("a fetch that was not due"))
}

#[tokio::test]
async fn a_fresh_answer_is_not_fetched_again_and_an_old_one_is() {
    let (answers, clock) = answers();
    assert_eq!(answers.get(&"a", async { Ok(1) }).await, Ok(1));
    wait(&clock, 999);
    assert_eq!(answers.get(&"a", unasked()).await, Ok(1));
    wait(&clock, 1);
    assert_eq!(answers.get(&"a", async { Ok(2) }).await, Ok(2));
}

#[tokio::test]
async fn a_failure_is_remembered_for_a_short_while() {
    let (answers, clock) = answers();
    assert_eq!(answers.get(&"a", async { Err(gone()) }).await, Err(gone()));
    wait(&clock, 99);
    assert_eq!(answers.get(&"a", unasked()).await, Err(gone()));
    wait(&clock, 1);
    assert_eq!(answers.get(&"a", async { Ok(1) }).await, Ok(1));
}

#[tokio::test]
async fn an_old_answer_bridges_an_outage_but_not_a_definite_no() {
    let (answers, clock) = answers();
    assert_eq!(answers.get(&"a", async { Ok(1) }).await, Ok(1));
    wait(&clock, 5000);
    assert_eq!(answers.get(&"a", async { Err(down()) }).await, Ok(1));
    assert_eq!(
        answers.get(&"a", unasked()).await,
        Ok(1),
        "the outage is remembered"
    );
    wait(&clock, 5000);
    assert_eq!(
        answers.get(&"a", async { Err(down()) }).await,
        Err(down()),
        "too old"
    );
    wait(&clock, 100);
    assert_eq!(answers.get(&"a", async { Ok(2) }).await, Ok(2));
    wait(&clock, 1000);
    assert_eq!(answers.get(&"a", async { Err(gone()) }).await, Err(gone()));
    wait(&clock, 100);
    assert_eq!(
        answers.get(&"a", async { Err(down()) }).await,
        Err(down()),
        "it was given up"
    );
}

#[tokio::test]
async fn callers_at_the_same_time_share_one_fetch() {
    let (answers, _clock) = answers();
    let answers = Arc::new(answers);
    let fetches = Arc::new(AtomicU32::new(0));
    let callers: Vec<_> = (0..20)
        .map(|_| {
            let (answers, fetches) = (Arc::clone(&answers), Arc::clone(&fetches));
            tokio::spawn(async move {
                let fetch = async {
                    fetches.fetch_add(1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    Ok(7)
                };
                answers.get(&"a", fetch).await
            })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap(), Ok(7));
    }
    assert_eq!(fetches.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_the_fetch_to_the_next() {
    let (answers, _clock) = answers();
    let fetch = answers.get(&"a", std::future::pending());
    assert!(
        tokio::time::timeout(Duration::from_millis(5), fetch)
            .await
            .is_err()
    );
    assert_eq!(answers.get(&"a", async { Ok(1) }).await, Ok(1));
}

#[tokio::test]
async fn a_refresh_fetches_a_fresh_answer_again_within_its_budget() {
    let (answers, clock) = answers();
    assert_eq!(answers.get(&"a", async { Ok(1) }).await, Ok(1));
    wait(&clock, 1);
    assert_eq!(
        answers.refresh(&"a", |_| true, async { Ok(2) }).await,
        Ok(2)
    );
    assert_eq!(answers.refresh(&"a", |_| false, unasked()).await, Ok(2));
    assert_eq!(answers.get(&"a", unasked()).await, Ok(2));
    assert_eq!(
        answers.refresh(&"new", |_| false, async { Ok(3) }).await,
        Ok(3)
    );
}

#[tokio::test]
async fn a_refresh_takes_an_answer_that_was_asked_for_after_it() {
    let (answers, clock) = answers();
    let (answers, started) = (Arc::new(answers), Arc::new(Notify::new()));
    let go_on = Arc::new(Notify::new());
    let first = {
        let (answers, started, go_on) = (
            Arc::clone(&answers),
            Arc::clone(&started),
            Arc::clone(&go_on),
        );
        tokio::spawn(async move {
            let fetch = async {
                started.notify_one();
                go_on.notified().await;
                Err(down())
            };
            answers.get(&"a", fetch).await
        })
    };
    started.notified().await;
    let second = {
        let (answers, clock) = (Arc::clone(&answers), clock.clone());
        tokio::spawn(async move {
            let fetch = async move {
                wait(&clock, 1);
                Ok(2)
            };
            answers.refresh(&"a", |_| true, fetch).await
        })
    };
    tokio::task::yield_now().await;
    wait(&clock, 1);
    go_on.notify_one();
    assert_eq!(first.await.unwrap(), Err(down()));
    assert_eq!(second.await.unwrap(), Ok(2));
}

#[tokio::test]
async fn a_purge_also_forgets_what_is_being_fetched() {
    let (answers, _clock) = answers();
    assert_eq!(answers.get(&"a", async { Ok(1) }).await, Ok(1));
    assert_eq!(answers.purge(&"a"), Some(1));
    assert_eq!(answers.purge(&"a"), None);
    let fetch = async {
        answers.purge(&"a");
        Ok(2)
    };
    assert_eq!(answers.get(&"a", fetch).await, Ok(2));
    assert_eq!(answers.get(&"a", async { Ok(3) }).await, Ok(3));
    assert_eq!(answers.purge(&"never seen"), None);
}

#[tokio::test]
async fn memory_is_bounded() {
    let clock = ManualClock::at_us(START_US);
    let answers: Answers<u32, u32> = Answers::new(100_000, POLICY, clock.shared(), |_| 600);
    for key in 0..2000 {
        assert_eq!(answers.get(&key, async { Ok(key) }).await, Ok(key));
    }
    answers.slots.run_pending_tasks();
    assert!(answers.slots.weighted_size() <= 100_000);
    assert!(answers.slots.entry_count() <= 100);
}
