//! `/outbox` on a test server: the mails it would have sent.

use axum::extract::State;
use axum::response::Response;
use rochdale_service::xrpc::XrpcError;

use super::page::{escape, frame};
use crate::app::Pds;

const MAILS_SHOWN: usize = 100;

pub(super) async fn show(State(pds): State<Pds>) -> Result<Response, XrpcError> {
    let mails = pds
        .mailer
        .newest(MAILS_SHOWN)
        .await
        .map_err(XrpcError::internal)?;
    let mut body =
        String::from("<p>Mail of this test server, newest first. It goes nowhere else.</p>\n");
    if mails.is_empty() {
        body.push_str("<p>Nothing was sent yet.</p>\n");
    }
    for mail in mails {
        body.push_str("<pre>");
        body.push_str(&escape(&mail));
        body.push_str("</pre>\n");
    }
    Ok(super::uncached(frame("Outbox", &body)))
}
