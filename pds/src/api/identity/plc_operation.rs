//! `com.atproto.identity.{getRecommendedDidCredentials,requestPlcOperationSignature,
//! signPlcOperation,submitPlcOperation}`: the member's DID, when it moves or gets keys of its own.

use std::collections::BTreeMap;

use axum::extract::State;
use http::StatusCode;
use rochdale_protocol::plc::{Limits, Operation, Service, check_limits};
use rochdale_service::xrpc::{Charges, Input, NoInput, Output, XrpcError};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::account::code::EmailPurpose;
use crate::account::sign_up::pds_service;
use crate::account::{Account, mailed};
use crate::api::error::invalid;
use crate::api::server::mail_budget;
use crate::app::{App, Pds};
use crate::auth::{AnyMember, FullOrTakenDown, Member};
use crate::identity::operation::{
    Credentials, OperationFault, Recommended, Wanted, at_name, with_wanted,
};
use crate::identity::plc::PlcClientError;
use crate::keys::KeyError;
use crate::sequencer::EventDraft;
use crate::store::account::AccountChange;

pub(super) const RECOMMENDED: &str = "com.atproto.identity.getRecommendedDidCredentials";
pub(super) const REQUEST: &str = "com.atproto.identity.requestPlcOperationSignature";
pub(super) const SIGN: &str = "com.atproto.identity.signPlcOperation";
pub(super) const SUBMIT: &str = "com.atproto.identity.submitPlcOperation";

impl From<OperationFault> for XrpcError {
    fn from(error: OperationFault) -> Self {
        match error {
            OperationFault::Kind
            | OperationFault::RotationKey
            | OperationFault::ServiceType
            | OperationFault::ServiceEndpoint
            | OperationFault::SigningKey
            | OperationFault::Handle => invalid(error),
        }
    }
}

fn credentials(pds: &App, account: &Account) -> Result<Credentials, KeyError> {
    let own = pds.keys.rotation().public().to_did_key();
    let mut rotation_keys: Vec<String> = pds.config.recovery_key.clone().into_iter().collect();
    rotation_keys.push(own);
    Ok(Credentials {
        rotation_keys,
        also_known_as: account.handle.iter().map(at_name).collect(),
        signing_key: pds.keys.signing_key(account)?.public().to_did_key(),
        service: pds_service(pds),
    })
}

pub(super) async fn recommended(
    State(pds): State<Pds>,
    AnyMember(caller): AnyMember,
) -> Result<Output<Recommended>, XrpcError> {
    let own = credentials(&pds, &caller.account)?;
    let present = if caller.did().is_plc() {
        match pds.plc.state(caller.did()).await {
            Ok(state) => Some(state.data),
            Err(PlcClientError::NotFound(_) | PlcClientError::Tombstoned(_)) => None,
            Err(error) => return Err(error.into()),
        }
    } else {
        None
    };
    Ok(Output(own.recommend(present.as_ref())))
}

pub(super) async fn request(
    State(pds): State<Pds>,
    FullOrTakenDown(caller): FullOrTakenDown,
    charges: Charges,
    _no_input: NoInput,
) -> Result<StatusCode, XrpcError> {
    mail_budget::take(&charges, caller.did(), "plc")?;
    mailed::send(&pds, &caller.account, EmailPurpose::PlcOperation).await?;
    Ok(StatusCode::OK)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sign {
    token: Option<String>,
    rotation_keys: Option<Vec<String>>,
    also_known_as: Option<Vec<String>>,
    verification_methods: Option<BTreeMap<String, String>>,
    services: Option<BTreeMap<String, Service>>,
}

#[derive(Serialize)]
pub(super) struct Signed {
    operation: Box<RawValue>,
}

pub(super) async fn sign(
    State(pds): State<Pds>,
    FullOrTakenDown(caller): FullOrTakenDown,
    Input(input): Input<Sign>,
) -> Result<Output<Signed>, XrpcError> {
    let token = input.token.ok_or_else(|| {
        invalid("email confirmation token required to sign PLC operations: see requestPlcOperationSignature")
    })?;
    if !caller.did().is_plc() {
        return Err(invalid(
            "only a did:plc has operations: edit the document of your did:web yourself",
        ));
    }
    // The code comes last: neither a directory that does not answer nor a mistake costs it.
    let next = pds.plc.state(caller.did()).await?.next();
    let own = pds.keys.rotation().public().to_did_key();
    if !next.rotation_keys.contains(&own) {
        return Err(invalid(
            "this server's key is not among the rotation keys of the DID: sign with one of your own",
        ));
    }
    let wanted = Wanted {
        rotation_keys: input.rotation_keys,
        also_known_as: input.also_known_as,
        verification_methods: input.verification_methods,
        services: input.services,
    };
    let signed = Operation::Plc(with_wanted(next, wanted).sign(pds.keys.rotation()));
    check_limits(&signed, &Limits::strict_submit()).map_err(invalid)?;
    let redeem = mailed::redeem(&pds, EmailPurpose::PlcOperation, &token);
    pds.store
        .accounts
        .change(AccountChange::of(caller.id()).redeems(redeem))
        .await?;
    let operation = RawValue::from_string(signed.to_json()).map_err(XrpcError::internal)?;
    Ok(Output(Signed { operation }))
}

#[derive(Deserialize)]
pub(super) struct Submit {
    operation: Box<RawValue>,
}

pub(super) async fn submit(
    State(pds): State<Pds>,
    caller: Member,
    Input(input): Input<Submit>,
) -> Result<StatusCode, XrpcError> {
    let operation = Operation::from_json(input.operation.get().as_bytes()).map_err(invalid)?;
    let own_key = pds.keys.rotation().public().to_did_key();
    credentials(&pds, &caller.account)?.check(&operation, &own_key)?;
    let work = pds.clone();
    let account = caller.account;
    let submitted = pds.owned("identity operation", async move {
        work.plc.submit(&account.did, &operation).await?;
        work.resolver.purge(&account.did);
        let event = EventDraft::identity(account.id, &account.did, None, work.clock.now_us());
        let change = AccountChange::of(account.id).sends(vec![event]);
        Ok::<_, XrpcError>(work.store.accounts.change(change).await?)
    });
    submitted.await??;
    Ok(StatusCode::OK)
}
