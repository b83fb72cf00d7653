//! HTML: the frame of every page, escaping, and the front page.

use std::fmt::Write as _;

use axum::response::{Html, IntoResponse, Response};
use http::header::{
    CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};

use crate::app::App;

const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;max-width:42rem;margin:3rem auto;\
    padding:0 1rem;color:#1d1d1d;background:#fcfcfa}code,pre{font-family:ui-monospace,monospace}\
    pre{background:#f1f1ec;padding:1rem;overflow:auto;white-space:pre-wrap}\
    dt{font-weight:600}dd{margin:0 0 .6rem}a{color:#0b5394}\
    @media(prefers-color-scheme:dark){body{color:#e6e6e6;background:#161616}\
    pre{background:#222}a{color:#8ab4f8}}";

/// Text as HTML.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A whole page; `body` is HTML.
pub(super) fn frame(title: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>{title}</h1>\n{body}</main>\n</body>\n</html>\n"
    )
}

/// The page with the headers that keep it from being framed or sniffed.
pub(super) fn respond(html: String) -> Response {
    let headers = [
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        ),
        (REFERRER_POLICY, "same-origin"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
    ];
    (headers, Html(html)).into_response()
}

/// What this server is, for a person who opens it in a browser.
pub(super) fn front(pds: &App) -> String {
    let mut facts = vec![
        ("Server", escape(&pds.host)),
        ("DID", format!("<code>{}</code>", escape(pds.did.as_str()))),
        ("Version", env!("CARGO_PKG_VERSION").to_owned()),
        (
            "Handles",
            pds.handles
                .domains()
                .iter()
                .map(|domain| format!("<code>name{}</code>", escape(domain)))
                .collect::<Vec<_>>()
                .join(", "),
        ),
        (
            "Signing up",
            if pds.config.invites_required {
                "with an invite code"
            } else {
                "open"
            }
            .to_owned(),
        ),
    ];
    let about = &pds.config.about;
    if let Some(email) = &about.contact_email {
        facts.push(("Contact", link(&format!("mailto:{email}"), email)));
    }
    if let Some(url) = &about.privacy_policy_url {
        facts.push(("Privacy policy", link(url, url)));
    }
    if let Some(url) = &about.terms_of_service_url {
        facts.push(("Terms of service", link(url, url)));
    }
    if pds.dev {
        facts.push(("Mail", link("/outbox", "outbox of this test server")));
    }
    let mut list = String::from("<dl>\n");
    for (name, value) in facts {
        // Writing to a string cannot fail.
        let _infallible = writeln!(list, "<dt>{name}</dt><dd>{value}</dd>");
    }
    list.push_str("</dl>\n");
    let body = format!(
        "<p>This is a personal data server of the <a href=\"https://atproto.com\">AT Protocol</a>: \
         it keeps its members' accounts, posts and files. Sign in with any app of the network: \
         choose <code>{}</code> as your hosting provider.</p>\n{list}",
        escape(&pds.url)
    );
    frame("Personal data server", &body)
}

fn link(href: &str, text: &str) -> String {
    let safe = ["https://", "http://", "mailto:", "/"]
        .iter()
        .any(|start| href.starts_with(start));
    if safe {
        format!("<a href=\"{}\">{}</a>", escape(href), escape(text))
    } else {
        escape(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(
            escape("<a href='x'>\"&"),
            "&lt;a href=&#39;x&#39;&gt;&quot;&amp;"
        );
        assert_eq!(link("javascript:alert(1)", "x"), "x");
        assert!(frame("<b>", "").contains("<title>&lt;b&gt;</title>"));
    }
}
