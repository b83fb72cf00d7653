//! `com.atproto.server.describeServer`: what a client must know before it signs anyone up.

use axum::extract::State;
use rochdale_service::xrpc::Output;
use serde::Serialize;

use crate::app::Pds;

pub(super) const NSID: &str = "com.atproto.server.describeServer";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Description {
    did: String,
    available_user_domains: Vec<String>,
    invite_code_required: bool,
    phone_verification_required: bool,
    blob_upload_limit: u64,
    /// Not of the lexicon: whether codes reach members by mail, or only through the operator.
    delivers_mail: bool,
    links: Links,
    contact: Contact,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Links {
    #[serde(skip_serializing_if = "Option::is_none")]
    privacy_policy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    terms_of_service: Option<String>,
}

#[derive(Serialize)]
struct Contact {
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
}

pub(super) async fn handle(State(pds): State<Pds>) -> Output<Description> {
    let about = pds.config.about.clone();
    Output(Description {
        did: pds.did.to_string(),
        available_user_domains: pds.handles.domains().to_vec(),
        invite_code_required: pds.config.invites_required,
        phone_verification_required: false,
        blob_upload_limit: pds.config.blobs.limit_bytes,
        delivers_mail: pds.mailer.delivers(),
        links: Links {
            privacy_policy: about.privacy_policy_url,
            terms_of_service: about.terms_of_service_url,
        },
        contact: Contact {
            email: about.contact_email,
        },
    })
}
