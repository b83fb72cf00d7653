//! What `rochdale up --demo` adds: two members and some posts, made as any app would make them.

use rochdale_service::outbound::{Limits, Outbound};
use serde_json::{Value, json};

use crate::run::RunError;

/// Every demo member's password.
const PASSWORD: &str = "rochdale-1844";

/// Handle, then posts.
const MEMBERS: [(&str, &[&str]); 2] = [
    (
        "eliza.test",
        &[
            "The store on Toad Lane opens at eight. Flour, butter, sugar, oatmeal and candles.",
            "One member, one vote: the minutes of Monday's meeting are on the board.",
            "Our accounts move with us. That is the whole point.",
        ],
    ),
    (
        "charles.test",
        &[
            "Dividend on purchases, education for all, and the books are open to every member.",
            "Sister societies are welcome to mirror our directory.",
        ],
    ),
];

/// Adds the members, unless there are accounts already.
///
/// # Errors
/// When the PDS refuses one of the calls.
pub(crate) async fn fill(pds: &str, outbound: &Outbound) -> Result<(), RunError> {
    let url = format!("{pds}/xrpc/com.atproto.sync.listRepos?limit=1");
    let limits = Limits {
        trusted: true,
        ..Limits::default()
    };
    let repos = outbound
        .get(&url, limits)
        .await
        .map_err(|cause| failed(&cause))?;
    let repos: Value = serde_json::from_slice(&repos.body).map_err(|cause| failed(&cause))?;
    if repos.pointer("/repos/0").is_some() {
        return Ok(());
    }
    for (handle, posts) in MEMBERS {
        add(pds, outbound, handle, posts).await?;
    }
    tracing::info!(
        handles = ?MEMBERS.map(|(handle, _)| handle),
        password = PASSWORD,
        "the demo has two members; sign in with either handle"
    );
    Ok(())
}

fn failed(cause: &dyn std::fmt::Display) -> RunError {
    RunError::Demo(cause.to_string())
}

async fn add(pds: &str, outbound: &Outbound, handle: &str, posts: &[&str]) -> Result<(), RunError> {
    let call = async |method: &str, body: &Value, token: Option<&str>| {
        let url = format!("{pds}/xrpc/{method}");
        let limits = Limits {
            trusted: true,
            timeout_ms: 20_000,
            ..Limits::default()
        };
        let body = body.to_string().into_bytes();
        let answer = outbound.post_json_as(&url, body, token, limits).await;
        let answer = answer.map_err(|cause| failed(&cause))?;
        let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if answer.status == 200 {
            Ok(value)
        } else {
            Err(failed(&value))
        }
    };
    let email = format!("{}@coop.example", handle.trim_end_matches(".test"));
    let account = json!({ "handle": handle, "email": email, "password": PASSWORD });
    let session = call("com.atproto.server.createAccount", &account, None).await?;
    let field = |name: &str| {
        session
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (did, token) = (field("did"), field("accessJwt"));
    for (minute, text) in posts.iter().enumerate() {
        let record = json!({
            "$type": "app.bsky.feed.post",
            "text": text,
            "createdAt": format!("2026-11-24T08:{minute:02}:00.000Z"),
        });
        let write = json!({ "repo": did, "collection": "app.bsky.feed.post", "record": record });
        call("com.atproto.repo.createRecord", &write, Some(&token)).await?;
    }
    Ok(())
}
