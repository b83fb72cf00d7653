//! `com.atproto.server.reserveSigningKey`: a signing key for an account that is to move here.

use axum::extract::State;
use rochdale_protocol::syntax::Did;
use rochdale_service::xrpc::{Input, Output, XrpcError};
use serde::{Deserialize, Serialize};

use crate::api::error::invalid;
use crate::app::Pds;
use crate::keys::Keyring;
use crate::store::account::ReservedKey;

pub(super) const NSID: &str = "com.atproto.server.reserveSigningKey";

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Reserve {
    did: Option<Did>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reserved {
    signing_key: String,
}

/// Only for a DID: a key without one could never be claimed, and anyone could fill the store.
pub(super) async fn handle(
    State(pds): State<Pds>,
    Input(input): Input<Reserve>,
) -> Result<Output<Reserved>, XrpcError> {
    let did = input
        .did
        .ok_or_else(|| invalid("did is required: the key is kept for it"))?;
    if pds.resolver.did_document(&did).await.is_err() {
        return Err(invalid(
            "did cannot be resolved: a key is reserved for existing DIDs only",
        ));
    }
    let key = Keyring::generate();
    let offered = ReservedKey {
        sealed: pds.keys.seal(&did, &key)?,
        public: key.public().to_did_key(),
    };
    let kept = pds
        .store
        .accounts
        .reserve_key(did.to_string(), offered, pds.now_ms())
        .await?;
    Ok(Output(Reserved {
        signing_key: kept.public,
    }))
}
