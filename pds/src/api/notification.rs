//! `app.bsky.notification.{registerPush,unregisterPush}`: the service that pushes to a device is named
//! in the body, and gets the call itself.

use axum::extract::State;
use axum::response::Response;
use rochdale_protocol::syntax::Did;
use rochdale_service::xrpc::Kind::Procedure;
use rochdale_service::xrpc::{Input, Limits, Method, XrpcError, method};
use serde_json::{Map, Value};

use super::error::invalid;
use crate::app::Pds;
use crate::auth::Member;
use crate::proxy::{self, Elsewhere};

const REGISTER: &str = "app.bsky.notification.registerPush";
const UNREGISTER: &str = "app.bsky.notification.unregisterPush";

pub(super) fn rows() -> Vec<Method<Pds>> {
    vec![
        method(REGISTER, Procedure, "member", Limits::DEFAULT, register),
        method(UNREGISTER, Procedure, "member", Limits::DEFAULT, unregister),
    ]
}

async fn register(
    State(pds): State<Pds>,
    caller: Member,
    elsewhere: Elsewhere,
    Input(input): Input<Map<String, Value>>,
) -> Result<Response, XrpcError> {
    pass_on(&pds, &caller, elsewhere, REGISTER, &input).await
}

async fn unregister(
    State(pds): State<Pds>,
    caller: Member,
    elsewhere: Elsewhere,
    Input(input): Input<Map<String, Value>>,
) -> Result<Response, XrpcError> {
    pass_on(&pds, &caller, elsewhere, UNREGISTER, &input).await
}

async fn pass_on(
    pds: &Pds,
    caller: &Member,
    request: Elsewhere,
    nsid: &str,
    input: &Map<String, Value>,
) -> Result<Response, XrpcError> {
    let service = input.get("serviceDid").and_then(Value::as_str);
    let service = service.ok_or_else(|| invalid("serviceDid is required: a DID"))?;
    let service: Did = service.parse().map_err(invalid)?;
    let target = proxy::push_service(pds, service);
    let json = serde_json::to_vec(input).map_err(XrpcError::internal)?;
    proxy::forward_json(pds, caller, request.to(target), nsid, json).await
}
