//! How a session is shown: shared by `createSession`, `refreshSession` and `getSession`.

use std::time::Duration;

use rochdale_protocol::syntax::Did;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::account::Account;
use crate::account::session::Session;
use crate::app::App;

/// The DID document is a courtesy: an answer does not wait longer for it.
const DOCUMENT_WAIT: Duration = Duration::from_secs(2);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SessionView {
    #[serde(flatten)]
    tokens: Option<Tokens>,
    handle: String,
    did: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    did_doc: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    email_confirmed: bool,
    email_auth_factor: bool,
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tokens {
    access_jwt: String,
    refresh_jwt: String,
}

/// The document of an account's DID. Absent when it cannot be had: clients then stay with the server
/// they signed in to.
pub(super) async fn did_doc(pds: &App, did: &Did) -> Option<Box<RawValue>> {
    match tokio::time::timeout(DOCUMENT_WAIT, pds.resolver.did_document(did)).await {
        Ok(Ok(document)) => RawValue::from_string(document.json().to_owned()).ok(),
        Ok(Err(_)) | Err(_) => None,
    }
}

impl SessionView {
    pub(super) async fn of(pds: &App, account: &Account, session: Option<Session>) -> Self {
        let did_doc = did_doc(pds, &account.did).await;
        // Clients ask for the confirmation of what they are shown here.
        let pending = account.email_pending.as_ref();
        Self {
            tokens: session.map(|session| Tokens {
                access_jwt: session.access,
                refresh_jwt: session.refresh,
            }),
            handle: account.handle_text().to_owned(),
            did: account.did.to_string(),
            did_doc,
            email: pending.or(account.email.as_ref()).cloned(),
            email_confirmed: pending.is_none() && account.email_confirmed_at_ms.is_some(),
            email_auth_factor: account.email_factor,
            active: account.is_active(),
            status: account.status().name(),
        }
    }
}
