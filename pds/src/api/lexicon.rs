//! `com.atproto.lexicon.resolveLexicon`: the schema that the authority of an NSID publishes.

use axum::extract::State;
use rochdale_protocol::data::{Cid, json};
use rochdale_protocol::syntax::{AtUri, Nsid};
use rochdale_service::xrpc::Kind;
use rochdale_service::xrpc::{Limits, Method, Output, Query, XrpcError, method};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::api::error::lexicon_error;
use crate::app::Pds;

const RESOLVE: &str = "com.atproto.lexicon.resolveLexicon";

#[derive(Deserialize)]
struct Parameters {
    nsid: Nsid,
}

#[derive(Serialize)]
struct Resolved {
    uri: AtUri,
    cid: Cid,
    schema: Box<RawValue>,
}

async fn resolve(
    State(pds): State<Pds>,
    Query(parameters): Query<Parameters>,
) -> Result<Output<Resolved>, XrpcError> {
    let published = pds.lexicons.published(&parameters.nsid).await;
    let published = published.map_err(lexicon_error)?;
    let mut text = Vec::with_capacity(published.record.len() * 2);
    json::write_cbor(&published.record, &mut text).map_err(XrpcError::internal)?;
    let text = String::from_utf8(text).map_err(XrpcError::internal)?;
    Ok(Output(Resolved {
        uri: published.uri.clone(),
        cid: published.cid,
        schema: RawValue::from_string(text).map_err(XrpcError::internal)?,
    }))
}

pub(super) fn rows() -> Vec<Method<Pds>> {
    vec![method(
        RESOLVE,
        Kind::Query,
        "none",
        Limits::DEFAULT,
        resolve,
    )]
}
