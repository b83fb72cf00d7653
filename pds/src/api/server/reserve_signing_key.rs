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

/// Without a DID the key is kept under its own name: whoever puts it into their DID document comes
/// back for it with that DID.
pub(super) async fn handle(
    State(pds): State<Pds>,
    Input(input): Input<Reserve>,
) -> Result<Output<Reserved>, XrpcError> {
    let key = Keyring::generate();
    let public = key.public().to_did_key();
    let name: Did = match input.did {
        Some(did) if pds.resolver.did_document(&did).await.is_ok() => did,
        Some(_unknown) => {
            return Err(invalid(
                "did cannot be resolved: a key is reserved for existing DIDs only",
            ));
        }
        None => public.parse().map_err(XrpcError::internal)?,
    };
    let offered = ReservedKey {
        sealed: pds.keys.seal(&name, &key)?,
        public,
    };
    let kept = pds
        .store
        .accounts
        .reserve_key(name.to_string(), offered, pds.now_ms())
        .await?;
    Ok(Output(Reserved {
        signing_key: kept.public,
    }))
}
