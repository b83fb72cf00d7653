//! `app.bsky.actor`: what apps keep for a member, answered here always unless the caller names another
//! service, and profiles as an AppView shows them.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use rochdale_protocol::xrpc::names;
use rochdale_service::xrpc::Kind::{Procedure, Query};
use rochdale_service::xrpc::{Input, Limits, Method, Output, XrpcError, method};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::view;
use crate::account::preference::{self, PreferenceError, Visible};
use crate::api::error::invalid;
use crate::app::Pds;
use crate::auth::{AnyMember, Member};
use crate::proxy::read_after_write::View;
use crate::proxy::{self, Elsewhere};

const GET: &str = "app.bsky.actor.getPreferences";
const PUT: &str = "app.bsky.actor.putPreferences";
/// All preferences of one account together, in bytes.
const BODY_BYTES_MAX: u64 = 1_000_000;

pub(super) fn rows() -> Vec<Method<Pds>> {
    vec![
        method(GET, Query, "any member", Limits::DEFAULT, get),
        method(PUT, Procedure, "member", Limits::body(BODY_BYTES_MAX), put),
        view::row(View::Profile),
        view::row(View::Profiles),
    ]
}

impl From<PreferenceError> for XrpcError {
    fn from(error: PreferenceError) -> Self {
        match error {
            PreferenceError::NoType
            | PreferenceError::Namespace(_)
            | PreferenceError::TooMany(_)
            | PreferenceError::Json(_) => invalid(error),
            PreferenceError::Forbidden(_) => XrpcError::new(
                StatusCode::BAD_REQUEST,
                names::INVALID_REQUEST,
                error.to_string(),
            ),
        }
    }
}

#[derive(Serialize)]
struct Preferences {
    preferences: Vec<Box<RawValue>>,
}

async fn get(
    State(pds): State<Pds>,
    AnyMember(caller): AnyMember,
    elsewhere: Elsewhere,
) -> Result<Response, XrpcError> {
    if let Some(target) = elsewhere.target(&pds) {
        return proxy::forward_query(&pds, &caller, target, GET).await;
    }
    let all = pds.store.preferences.all(caller.id()).await?;
    let shown = preference::shown(all, Visible::to(caller.scope), pds.now_ms());
    let preferences = shown
        .into_iter()
        .filter_map(|json| RawValue::from_string(json).ok());
    Ok(Output(Preferences {
        preferences: preferences.collect(),
    })
    .into_response())
}

#[derive(Deserialize, Serialize)]
struct Put {
    preferences: Vec<Box<RawValue>>,
}

async fn put(
    State(pds): State<Pds>,
    caller: Member,
    elsewhere: Elsewhere,
    Input(input): Input<Put>,
) -> Result<Response, XrpcError> {
    if let Some(target) = elsewhere.target(&pds) {
        let body = serde_json::to_vec(&input).map_err(XrpcError::internal)?;
        return proxy::forward_json(&pds, &caller, target, PUT, body).await;
    }
    let visible = Visible::to(caller.scope);
    let texts: Vec<&str> = input.preferences.iter().map(|json| json.get()).collect();
    let with = preference::check(&texts, visible)?;
    pds.store
        .preferences
        .replace(caller.id(), preference::kept(visible), with)
        .await?;
    Ok(StatusCode::OK.into_response())
}
