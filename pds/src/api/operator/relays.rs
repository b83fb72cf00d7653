//! `GET /admin/relays`: how the configured relays see this server.
//! `POST /admin/relays/requestCrawl`: asks them to crawl it, now.

use axum::Json;
use axum::extract::State;
use rochdale_service::xrpc::XrpcError;
use serde::Serialize;

use crate::app::Pds;
use crate::auth::Admin;
use crate::sequencer::RelayStatus;

pub(super) const ROUTE: &str = "/admin/relays";
pub(super) const REQUEST_CRAWL: &str = "/admin/relays/requestCrawl";

/// A relay whose `seq` is above `head` has seen another life of this server: it waits in silence.
#[derive(Serialize)]
pub(super) struct Relays {
    host: String,
    head: u64,
    subscribers: usize,
    relays: Vec<RelayStatus>,
}

pub(super) async fn list(State(pds): State<Pds>, _operator: Admin) -> Json<Relays> {
    let relays = pds.sequencer.relay_status().await;
    Json(Relays {
        host: pds.host.clone(),
        head: pds.sequencer.head(),
        subscribers: pds.sequencer.stream().subscribers(),
        relays,
    })
}

pub(super) async fn request_crawl(
    State(pds): State<Pds>,
    operator: Admin,
) -> Result<Json<Relays>, XrpcError> {
    pds.note(&operator.name, REQUEST_CRAWL, &pds.host, "")
        .await?;
    pds.sequencer.request_crawl().await;
    Ok(list(State(pds), operator).await)
}
