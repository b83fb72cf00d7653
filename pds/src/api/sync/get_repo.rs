//! `com.atproto.sync.getRepo`: a repository as a CAR file, or what came since a revision.
//! `com.atproto.sync.getCheckout` is its deprecated predecessor.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use rochdale_protocol::syntax::{Did, Tid};
use rochdale_service::xrpc::{Query, XrpcError};
use serde::Deserialize;

use super::visible::{car_response, visible};
use crate::app::Pds;
use crate::auth::extract::Viewer;

pub(super) const NSID: &str = "com.atproto.sync.getRepo";
pub(super) const CHECKOUT: &str = "com.atproto.sync.getCheckout";

#[derive(Deserialize)]
pub(super) struct Parameters {
    did: Did,
    since: Option<Tid>,
}

pub(super) async fn handle(
    State(pds): State<Pds>,
    Query(parameters): Query<Parameters>,
    viewer: Viewer,
) -> Result<Response, XrpcError> {
    export(&pds, &viewer, &parameters.did, parameters.since).await
}

#[derive(Deserialize)]
pub(super) struct CheckoutParameters {
    did: Did,
}

pub(super) async fn checkout(
    State(pds): State<Pds>,
    Query(parameters): Query<CheckoutParameters>,
    viewer: Viewer,
) -> Result<Response, XrpcError> {
    export(&pds, &viewer, &parameters.did, None).await
}

async fn export(
    pds: &Pds,
    viewer: &Viewer,
    did: &Did,
    since: Option<Tid>,
) -> Result<Response, XrpcError> {
    let account = visible(pds, viewer, did).await?;
    let export = pds.repos.export(account.id, since).await?;
    Ok(car_response(Body::from_stream(export)))
}
