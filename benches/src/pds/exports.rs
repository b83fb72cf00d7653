//! Exporting whole repositories.

use super::Place;
use super::accounts;
use crate::Failure;
use crate::client::{Ask, Client};
use crate::report::{Latencies, Outcome, Watch, WatchOptions, rounded};
use http_body_util::BodyExt;
use serde_json::json;
use std::time::{Duration, Instant};

/// `getRepo`, one after the other: the latencies reported are those of the first byte.
pub(super) async fn get_repo(
    place: &Place,
    number: usize,
    options: &WatchOptions,
) -> Result<(), Failure> {
    let accounts = accounts::load(place).await?;
    let mut client = Client::new(&place.url)?;
    let watch = Watch::start(options)?;
    let before_mib = options.resident_mib();
    let mut most_mib = before_mib;
    let mut outcome = Outcome::default();
    let mut first_bytes = Latencies::default();
    let mut total_bytes = 0;
    let start = Instant::now();
    for account in accounts.iter().cycle().take(number) {
        let path = format!("/xrpc/com.atproto.sync.getRepo?did={}", account.did);
        let (first, length) = export(&mut client, &path).await?;
        first_bytes.add(first);
        total_bytes += length;
        outcome.count += 1;
        most_mib = most_mib.zip(options.resident_mib()).map(|(a, b)| a.max(b));
    }
    outcome.seconds = start.elapsed().as_secs_f64();
    outcome.latencies = first_bytes;
    let extra = json!({
        "mb_per_second": rounded(total_bytes as f64 / 1e6 / outcome.seconds),
        "bytes_each": total_bytes / outcome.count.max(1),
        "records_each": accounts.first().map(|account| account.records),
        "rss_before_mib": before_mib.map(rounded),
        "rss_most_mib": most_mib.map(rounded),
    });
    watch.finish("pds.get-repo", &outcome, extra)
}

/// Time to the first byte of the body, and its length.
async fn export(client: &mut Client, path: &str) -> Result<(Duration, u64), Failure> {
    let asked = Instant::now();
    let response = client.send(Ask::get(path)).await?;
    if !response.status().is_success() {
        return Err(format!("{} for {path}", response.status()).into());
    }
    let mut body = response.into_body();
    let mut first = None;
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame?.data_ref() {
            first.get_or_insert_with(|| asked.elapsed());
            length += data.len() as u64;
        }
    }
    Ok((first.ok_or("the export is empty")?, length))
}
