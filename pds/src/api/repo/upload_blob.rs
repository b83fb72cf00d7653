//! `com.atproto.repo.uploadBlob`: takes a file in, to be referred to by a record.

use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use futures::stream;
use http::request::Parts;
use rochdale_protocol::data::Value;
use rochdale_protocol::xrpc::service_auth;
use rochdale_service::xrpc::{Budget, Charges, Output, RawBody, XrpcError};
use serde::Serialize;

use crate::account::Account;
use crate::app::Pds;
use crate::auth::extract::{AuthError, Member, bearer};

pub(super) const NSID: &str = "com.atproto.repo.uploadBlob";

/// Of one account, wherever its uploads come from: a member who moves in with 30,000 pictures is
/// done within hours, and members behind one address do not hinder each other.
const HOUR: Budget = Budget {
    name: "upload-blob-hour",
    points: 10_000,
    seconds: 3_600,
};

#[derive(Serialize)]
pub(super) struct Uploaded {
    blob: Value,
}

pub(super) async fn handle(
    State(pds): State<Pds>,
    Uploader(account): Uploader,
    charges: Charges,
    body: RawBody,
) -> Result<Output<Uploaded>, XrpcError> {
    charges.take(&HOUR, &account.did, 1)?;
    let (kind, length) = (body.content_type.clone(), body.content_length);
    let pieces = stream::try_unfold(body, |mut body| async move {
        let piece = body.chunk().await;
        let piece = piece.map_err(|error| error.message().to_owned())?;
        Ok::<_, String>(piece.map(|piece| (piece, body)))
    });
    let received = pds
        .blobs
        .receive(account.id, kind.as_deref(), length, Box::pin(pieces))
        .await?;
    let blob = pds.blobs.settle(received).await?;
    Ok(Output(Uploaded {
        blob: blob.to_value(),
    }))
}

/// A member, or another service that uploads for one, such as a video service.
pub(super) struct Uploader(Arc<Account>);

impl FromRequestParts<Pds> for Uploader {
    type Rejection = XrpcError;

    async fn from_request_parts(parts: &mut Parts, pds: &Pds) -> Result<Self, XrpcError> {
        let token = bearer(parts)?.to_owned();
        // A session's token does not pass for a service's: its type is another.
        if service_auth::parse(&token).is_err() {
            return Ok(Self(Member::from_request_parts(parts, pds).await?.account));
        }
        let issuer = pds
            .check_service_token(&token, NSID)
            .await
            .map_err(AuthError::from)?;
        let account = pds
            .accounts
            .by_did(&issuer)
            .await?
            .ok_or(AuthError::AccountNotFound)?;
        if account.is_taken_down() {
            return Err(AuthError::TakenDown.into());
        }
        Ok(Self(account))
    }
}
