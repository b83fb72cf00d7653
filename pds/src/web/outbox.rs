//! `/outbox`: mail that did not leave this machine (yet). On a test server anyone may look; elsewhere
//! the operator, who can so pass a code on when no mail server is configured or it is down.

use std::fmt::Write as _;

use axum::extract::{FromRequestParts, Request, State};
use axum::response::Response;
use rochdale_protocol::syntax::Datetime;
use rochdale_service::xrpc::XrpcError;

use super::page::{escape, frame};
use crate::app::{App, Pds};
use crate::auth::Admin;
use crate::store::mail::QueuedMail;

const MAILS_SHOWN: usize = 100;

pub(super) async fn show(State(pds): State<Pds>, request: Request) -> Result<Response, XrpcError> {
    if !pds.dev {
        let (mut parts, _body) = request.into_parts();
        Admin::from_request_parts(&mut parts, &pds).await?;
    }
    let queued = pds.store.mail.newest(MAILS_SHOWN).await?;
    let written = pds.mailer.newest_in_folder(MAILS_SHOWN).await;
    let written = written.map_err(XrpcError::internal)?;
    let mut body = format!("<p>{}</p>\n", escape(&way_out(&pds)));
    if queued.is_empty() && written.is_empty() {
        body.push_str("<p>Nothing is waiting here.</p>\n");
    }
    for mail in &queued {
        show_queued(&mut body, mail);
    }
    for mail in &written {
        let _infallible = writeln!(body, "<pre>{}</pre>", escape(mail));
    }
    Ok(super::uncached(frame("Outbox", &body)))
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

fn show_queued(body: &mut String, queued: &QueuedMail) {
    let date = |ms| Datetime::from_unix_ms(ms).to_string();
    let mail = &queued.mail;
    let fate = match queued.next_try_at_ms {
        Some(next_ms) => format!("tried {} times, next at {}", queued.tries, date(next_ms)),
        None => "given up".to_owned(),
    };
    let error = queued.last_error.as_deref().unwrap_or("none");
    let text = format!(
        "To: {}\nSubject: {}\nMade: {}\nState: {fate}\nLast error: {error}\n\n{}",
        mail.to,
        mail.subject,
        date(mail.created_at_ms),
        mail.text
    );
    let _infallible = writeln!(body, "<pre>{}</pre>", escape(&text));
}
