//! Which operations there are, in an order in which each finds what it needs.

use super::Member;
use crate::client::Ask;
use serde_json::{Value, json};

/// What an operation cannot be asked without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    Nothing,
    /// A code that was mailed before.
    Code,
    /// The password of user `admin`.
    Admin,
}

/// One operation.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) name: &'static str,
    pub(super) needs: Needs,
    pub(super) ask: fn(&Member) -> Ask,
    /// Puts what later operations need from the answer to the member.
    pub(super) keep: fn(&mut Member, &Value),
}

impl Operation {
    fn new(name: &'static str, ask: fn(&Member) -> Ask) -> Self {
        Self {
            name,
            needs: Needs::Nothing,
            ask,
            keep: |_, _| {},
        }
    }

    fn needs(mut self, needs: Needs) -> Self {
        self.needs = needs;
        self
    }

    fn keeps(mut self, keep: fn(&mut Member, &Value)) -> Self {
        self.keep = keep;
        self
    }
}

/// Every operation. The first makes the accounts, the last deletes them.
pub(super) fn all() -> Vec<Operation> {
    [
        sessions(),
        mail(),
        data_and_identity(),
        state(),
        operators(),
        end(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn sessions() -> Vec<Operation> {
    vec![
        Operation::new("createAccount", |member| {
            let body = json!({
                "handle": format!("{}.test", member.name),
                "email": member.email,
                "password": member.name,
            });
            Ask::post(server("createAccount"), body.to_string())
        })
        .keeps(|member, answer| {
            member.did = text(answer, "did");
            member.access = text(answer, "accessJwt");
        }),
        Operation::new("getSession", |member| own_get(member, server("getSession"))),
        Operation::new("createAppPassword", |member| {
            own(
                member,
                server("createAppPassword"),
                json!({ "name": "bench" }),
            )
        })
        .keeps(|member, answer| member.app_password = text(answer, "password")),
        Operation::new("listAppPasswords", |member| {
            own_get(member, server("listAppPasswords"))
        }),
        Operation::new("createSession with an app password", |member| {
            sign_in(member, &member.app_password)
        })
        .keeps(|member, answer| member.refresh = text(answer, "refreshJwt")),
        Operation::new("refreshSession", |member| {
            Ask::post(server("refreshSession"), "").bearer(&member.refresh)
        })
        .keeps(|member, answer| member.refresh = text(answer, "refreshJwt")),
        Operation::new("deleteSession", |member| {
            Ask::post(server("deleteSession"), "").bearer(&member.refresh)
        }),
        Operation::new("revokeAppPassword", |member| {
            own(
                member,
                server("revokeAppPassword"),
                json!({ "name": "bench" }),
            )
        }),
    ]
}

fn mail() -> Vec<Operation> {
    vec![
        Operation::new("requestEmailConfirmation", |member| {
            own_empty(member, server("requestEmailConfirmation"))
        }),
        confirm_email("confirmEmail"),
        Operation::new("requestEmailUpdate", |member| {
            own_empty(member, server("requestEmailUpdate"))
        }),
        Operation::new("updateEmail", |member| {
            let body = json!({ "email": format!("new-{}", member.email), "token": member.code });
            own(member, server("updateEmail"), body)
        })
        .needs(Needs::Code)
        .keeps(|member, _| member.email.insert_str(0, "new-")),
        confirm_email("confirmEmail of another address"),
        Operation::new("requestPasswordReset", |member| {
            let body = json!({ "email": member.email });
            Ask::post(server("requestPasswordReset"), body.to_string())
        }),
        Operation::new("resetPassword", |member| {
            let body = json!({ "token": member.code, "password": member.name });
            Ask::post(server("resetPassword"), body.to_string())
        })
        .needs(Needs::Code),
        Operation::new("createSession", |member| sign_in(member, &member.name))
            .keeps(|member, answer| member.access = text(answer, "accessJwt")),
    ]
}

fn confirm_email(name: &'static str) -> Operation {
    Operation::new(name, |member| {
        let body = json!({ "email": member.email, "token": member.code });
        own(member, server("confirmEmail"), body)
    })
    .needs(Needs::Code)
}

fn data_and_identity() -> Vec<Operation> {
    vec![
        Operation::new("putPreferences", |member| {
            let body = json!({ "preferences": [
                { "$type": "app.bsky.actor.defs#adultContentPref", "enabled": false },
                { "$type": "app.bsky.actor.defs#interestsPref", "tags": ["bread", "rent", "books"] },
            ] });
            own(
                member,
                "/xrpc/app.bsky.actor.putPreferences".to_owned(),
                body,
            )
        }),
        Operation::new("getPreferences", |member| {
            own_get(member, "/xrpc/app.bsky.actor.getPreferences".to_owned())
        }),
        Operation::new("getServiceAuth", |member| {
            let query = "aud=did:web:app.bench.example&lxm=app.bsky.feed.getTimeline";
            own_get(member, format!("{}?{query}", server("getServiceAuth")))
        }),
        Operation::new("updateHandle", |member| {
            let body = json!({ "handle": format!("new-{}.test", member.name) });
            own(member, identity("updateHandle"), body)
        }),
        Operation::new("getRecommendedDidCredentials", |member| {
            own_get(member, identity("getRecommendedDidCredentials"))
        }),
        Operation::new("requestPlcOperationSignature", |member| {
            own_empty(member, identity("requestPlcOperationSignature"))
        }),
        Operation::new("signPlcOperation", |member| {
            own(
                member,
                identity("signPlcOperation"),
                json!({ "token": member.code }),
            )
        })
        .needs(Needs::Code),
    ]
}

fn state() -> Vec<Operation> {
    vec![
        Operation::new("checkAccountStatus", |member| {
            own_get(member, server("checkAccountStatus"))
        }),
        Operation::new("deactivateAccount", |member| {
            own(member, server("deactivateAccount"), json!({}))
        }),
        Operation::new("activateAccount", |member| {
            own_empty(member, server("activateAccount"))
        }),
    ]
}

fn operators() -> Vec<Operation> {
    let all = vec![
        Operation::new("createInviteCode", |_| {
            Ask::post(
                server("createInviteCode"),
                json!({ "useCount": 1 }).to_string(),
            )
        }),
        Operation::new("getAccountInfo", |member| {
            Ask::get(format!("{}?did={}", admin("getAccountInfo"), member.did))
        }),
        Operation::new("updateSubjectStatus, taken down", |member| {
            judge(member, json!({ "applied": true, "ref": "bench" }))
        }),
        Operation::new("updateSubjectStatus, lifted", |member| {
            judge(member, json!({ "applied": false }))
        }),
    ];
    let by_admin = |operation: Operation| operation.needs(Needs::Admin);
    all.into_iter().map(by_admin).collect()
}

fn end() -> Vec<Operation> {
    vec![
        Operation::new("requestAccountDelete", |member| {
            own_empty(member, server("requestAccountDelete"))
        }),
        Operation::new("deleteAccount", |member| {
            let body = json!({
                "did": member.did,
                "password": member.name,
                "token": member.code,
            });
            Ask::post(server("deleteAccount"), body.to_string())
        })
        .needs(Needs::Code),
    ]
}

fn server(method: &str) -> String {
    format!("/xrpc/com.atproto.server.{method}")
}

fn identity(method: &str) -> String {
    format!("/xrpc/com.atproto.identity.{method}")
}

fn admin(method: &str) -> String {
    format!("/xrpc/com.atproto.admin.{method}")
}

fn own(member: &Member, path: String, body: Value) -> Ask {
    Ask::post(path, body.to_string()).bearer(&member.access)
}

fn own_empty(member: &Member, path: String) -> Ask {
    Ask::post(path, "").bearer(&member.access)
}

fn own_get(member: &Member, path: String) -> Ask {
    Ask::get(path).bearer(&member.access)
}

fn sign_in(member: &Member, password: &str) -> Ask {
    let body = json!({ "identifier": member.did, "password": password });
    Ask::post(server("createSession"), body.to_string())
}

fn judge(member: &Member, takedown: Value) -> Ask {
    let body = json!({
        "subject": { "$type": "com.atproto.admin.defs#repoRef", "did": member.did },
        "takedown": takedown,
    });
    Ask::post(admin("updateSubjectStatus"), body.to_string())
}

/// A text of the answer; an empty one, which the next operation's refusal will show, when it is missing.
fn text(answer: &Value, key: &str) -> String {
    let value = answer.get(key).and_then(Value::as_str);
    value.unwrap_or_default().to_owned()
}
