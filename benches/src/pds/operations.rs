//! Account operations, one after the other: each once for every one of some new accounts, on one
//! connection, so that CPU time and fsyncs can be told for each.

mod table;

use super::Place;
use crate::Failure;
use crate::client::{Answer, Ask, Client};
use crate::report::{Outcome, Watch, WatchOptions, note};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use table::{Needs, Operation};

/// What an operation leaves to be done behind its answer, such as the relay's log, is counted to it.
const SETTLE: Duration = Duration::from_millis(300);
/// Mails that the page of the outbox shows, so accounts whose codes can be read.
pub(super) const MOST_ACCOUNTS: i64 = 100;

/// An account, with what the operations so far have given it.
#[derive(Debug, Default)]
struct Member {
    name: String,
    did: String,
    email: String,
    access: String,
    /// Refresh token of a session that an app password opened.
    refresh: String,
    app_password: String,
    /// The code mailed last.
    code: String,
}

/// Runs every operation and prints a line for each.
pub(super) async fn each_for_itself(
    place: &Place,
    number: usize,
    admin_password: Option<&str>,
    options: &WatchOptions,
) -> Result<(), Failure> {
    let mut client = Client::new(&place.url)?;
    let mut members: Vec<Member> = (0..number).map(|_| Member::new()).collect();
    for operation in table::all() {
        match operation.needs {
            Needs::Nothing => {}
            Needs::Admin if admin_password.is_some() => {}
            Needs::Admin => {
                let name = operation.name;
                note(&format!("{name} is left out without --admin-password"));
                continue;
            }
            Needs::Code => {
                if let Err(error) = read_codes(&mut client, &mut members, admin_password).await {
                    note(&format!("{} is left out: {error}", operation.name));
                    continue;
                }
            }
        }
        measure(
            &operation,
            &mut client,
            &mut members,
            admin_password,
            options,
        )
        .await?;
    }
    Ok(())
}

impl Member {
    fn new() -> Self {
        let name = format!("o{:011x}", rand::random::<u64>() >> 20);
        Self {
            email: format!("{name}@bench.example"),
            name,
            ..Self::default()
        }
    }
}

async fn measure(
    operation: &Operation,
    client: &mut Client,
    members: &mut [Member],
    admin_password: Option<&str>,
    options: &WatchOptions,
) -> Result<(), Failure> {
    let watch = Watch::start(options)?;
    let mut outcome = Outcome::default();
    let start = Instant::now();
    for member in members {
        let mut ask = (operation.ask)(member);
        if let (Needs::Admin, Some(password)) = (operation.needs, admin_password) {
            ask = ask.admin(password);
        }
        let asked = Instant::now();
        match client.ask(ask).await.and_then(Answer::success) {
            Ok(body) => {
                outcome.latencies.add(asked.elapsed());
                outcome.count += 1;
                // Some answer nothing.
                let answer = serde_json::from_slice(&body).unwrap_or(Value::Null);
                (operation.keep)(member, &answer);
            }
            Err(error) => {
                outcome.errors += 1;
                outcome.first_error.get_or_insert(error.to_string());
            }
        }
    }
    outcome.seconds = start.elapsed().as_secs_f64();
    tokio::time::sleep(SETTLE).await;
    let extra = json!({ "operation": operation.name });
    watch.finish("pds.account-operation", &outcome, extra)
}

/// Finds every member's newest code on the page that shows what mail would have gone out.
async fn read_codes(
    client: &mut Client,
    members: &mut [Member],
    admin_password: Option<&str>,
) -> Result<(), Failure> {
    let mut ask = Ask::get("/outbox");
    if let Some(password) = admin_password {
        ask = ask.admin(password);
    }
    let page = client.ask(ask).await?.success()?;
    let page = String::from_utf8_lossy(&page);
    let mails: Vec<&str> = page.split("<pre>").skip(1).collect(); // newest first
    for member in members {
        let to = format!("To: {}", member.email);
        let newest = mails.iter().find(|mail| has_line(mail, &to));
        let code = newest.and_then(|mail| mail.lines().map(str::trim).find(|line| is_code(line)));
        let code = code.ok_or_else(|| format!("the outbox shows no code for {}", member.email))?;
        code.clone_into(&mut member.code);
    }
    Ok(())
}

fn has_line(mail: &str, wanted: &str) -> bool {
    mail.lines().any(|line| line.trim() == wanted)
}

/// Whether this is five capitals or digits, a dash, and five more.
fn is_code(line: &str) -> bool {
    let is_half = |half: &str| {
        half.len() == 5
            && half
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    };
    line.split_once('-')
        .is_some_and(|(left, right)| is_half(left) && is_half(right))
}
