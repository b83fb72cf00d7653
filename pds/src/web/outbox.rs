//! `/outbox`: mail that did not leave this machine (yet). On a test server anyone may look; elsewhere
//! the operator, who can so pass a code on when no mail server is configured or it is down.

use std::fmt::Write as _;

use axum::extract::{FromRequestParts, Query, Request, State};
use axum::response::Response;
use rochdale_protocol::syntax::Datetime;
use rochdale_service::xrpc::XrpcError;
use serde::Deserialize;

use super::page::{escape, frame};
use crate::app::{App, Pds};
use crate::auth::Admin;
use crate::store::mail::QueuedMail;

/// Mails on one page.
const MAILS_SHOWN: usize = 20;

/// Which page.
#[derive(Deserialize)]
pub(super) struct Place {
    /// Only mails with a smaller number: older ones.
    before: Option<i64>,
}

pub(super) async fn show(
    State(pds): State<Pds>,
    Query(Place { before }): Query<Place>,
    request: Request,
) -> Result<Response, XrpcError> {
    if !pds.dev {
        let (mut parts, _body) = request.into_parts();
        Admin::from_request_parts(&mut parts, &pds).await?;
    }
    // One more than is shown tells whether there is another page.
    let queued = pds.store.mail.newest(before, MAILS_SHOWN + 1).await?;
    let written = pds.mailer.newest_in_folder(before, MAILS_SHOWN + 1).await;
    let written = written.map_err(XrpcError::internal)?;
    let waiting = queued.iter().map(|mail| (mail.id, text_of(mail)));
    let mut mails: Vec<(i64, String)> = waiting.chain(written).collect();
    mails.sort_by_key(|(id, _)| std::cmp::Reverse(*id));
    // One that is just being written stands in both.
    mails.dedup_by_key(|(id, _)| *id);
    let has_older = mails.len() > MAILS_SHOWN;
    mails.truncate(MAILS_SHOWN);
    let mut body = format!("<p>{}</p>\n", escape(&way_out(&pds)));
    if mails.is_empty() {
        body.push_str("<p>Nothing is waiting here.</p>\n");
    }
    for (_, text) in &mails {
        let _infallible = writeln!(body, "<pre>{}</pre>", escape(text));
    }
    let last = mails.last().filter(|_| has_older).map(|(id, _)| *id);
    body.push_str(&links(before.is_some(), last));
    Ok(super::uncached(frame("Outbox", &body)))
}

fn links(has_newer: bool, last: Option<i64>) -> String {
    let newest = has_newer.then(|| "<a href=\"/outbox\">Newest mails</a>".to_owned());
    let older = last.map(|id| format!("<a href=\"/outbox?before={id}\">Older mails</a>"));
    let links: Vec<String> = newest.into_iter().chain(older).collect();
    if links.is_empty() {
        return String::new();
    }
    format!("<nav>{}</nav>\n", links.join(" \u{b7} "))
}

fn way_out(pds: &App) -> String {
    match pds.mailer.folder() {
        None => "Mail goes out through the configured mail server. Here is what it has not taken, \
            newest first."
            .to_owned(),
        Some(folder) => format!(
            "No mail server is configured: mail goes nowhere but here and into {}, newest first.",
            folder.display()
        ),
    }
}

fn text_of(queued: &QueuedMail) -> String {
    let date = |ms| Datetime::from_unix_ms(ms).to_string();
    let mail = &queued.mail;
    let fate = match queued.next_try_at_ms {
        Some(next_ms) => format!("tried {} times, next at {}", queued.tries, date(next_ms)),
        None => "given up".to_owned(),
    };
    let error = queued.last_error.as_deref().unwrap_or("none");
    format!(
        "To: {}\nSubject: {}\nMade: {}\nState: {fate}\nLast error: {error}\n\n{}",
        mail.to,
        mail.subject,
        date(mail.created_at_ms),
        mail.text
    )
}
